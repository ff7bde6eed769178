"""A fake run for the reports to read."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def traced(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on traces, one arm of which predicts constants and one is transductive."""
    study = fake.FakeStudy(
        target="traces",
        labels=("arousal", "valence", "liking"),
        skill={
            "base": 0.6,
            "levels=one": 0.35,
            "streams=aligned": 0.8,
            "weight=0.30000000000000004": 0.6,
            "constant": 0.0,
        },
        per_cell=6,
        n_frames=40,
        transductive={"streams=aligned": "it trains on the test speakers' utterances"},
        notes=("it has no dialogues; every utterance is one",),
        outside=("urdu",),
        probes={"base": 0.9, "streams=aligned": 0.5},
        leaks=("utterances are split at random",),
        history=(("levels=one", 0.6, "complete"), ("x", -0.1, "complete")),
        costs={"levels=one": 5e5, "x": 2e4},
    )
    path: Path = fake.write_fake_run(tmp_path_factory.mktemp("traced") / "run", study)
    return path


@pytest.fixture(scope="session")
def run(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of the default fake study; tests only read it."""
    path: Path = fake.write_fake_run(tmp_path_factory.mktemp("run") / "run")
    return path
