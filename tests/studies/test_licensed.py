"""Shipped studies of corpora that need a licence, planned on miniatures of their trees."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from serlab.studies.catalogue import shipped
from serlab.studies.plan import make_plan, refuse_leaks
from serlab.studies.specification import load_study

LICENSED = sorted(name for name in shipped() if name.rpartition("_")[2] in ("iemocap", "sewa"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes the tree of a corpus, once."""

    @functools.cache
    def make(name: str) -> Path:
        root: Path = tmp_path_factory.mktemp(name)
        importlib.import_module(f"trees.{name}").build(root)
        return root

    return make


def test_there_are_some() -> None:
    """One for each of the five systems, and one of all of them."""
    assert len(LICENSED) == 6


@pytest.mark.parametrize("name", LICENSED)
def test_every_arm_can_run(
    name: str,
    built: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Corpora are read, folds cut, every arm's network built; what leaks is marked."""
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path))
    study = load_study(name)
    roots = {spec.name: built(spec.name) for spec in (*study.corpora, *study.outside)}
    plan = make_plan(study, roots)
    told: list[str] = []
    refuse_leaks(plan, told.append)
    assert not plan.skipped
    assert plan.jobs()
    (ground,) = plan.grounds
    leaks = "random" in study.protocol.split
    assert bool(ground.split.leaks) == leaks
    assert any("LEAK" in line for line in told) == leaks
