"""A candidate that is trained for the gate: one arm, the baseline's seeds, a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serlab.__main__ import main
from serlab.bench.errors import BadFile, SerlabError, UnknownName
from serlab.bench.store import Store
from serlab.reports.gate.baseline import FILE
from serlab.reports.gate.outputs import read_json
from serlab.reports.gate.records import Result
from serlab.reports.gate.tested import of_run
from serlab.studies.gate import candidate_study, new_folder

STUDY = """
question = "Does it still learn?"
seeds = [0, 1, 2, 3]
max_epochs = 3
keep_models = true
groups = ["sex"]
[base]
system = "li2018"
preset = "small"
set = { width = 0.25, segment_s = 1.0, batch_size = 4, learning_rate = 4e-3 }
[ablate]
pooling = ["mean"]
[robustness]
conditions = ["gain_up"]
[[corpora]]
name = "synth"
options = { utterances = 48, speakers = 4 }
[protocol]
split = "speaker-groups"
groups = 2
validation = 1
[meters]
latency = false
[resources]
workers = 1
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features go into a folder of the tests' own, the same for all of them."""
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def study_in(folder: Path) -> Path:
    """The study's file."""
    path = folder / "small.toml"
    path.write_text(STUDY)
    return path


def terms(baseline: Path, **changes: Any) -> None:  # terms of a baseline
    """Changes the terms of a baseline."""
    path = baseline / FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def judged(folder: Path, code: int, *words: str) -> Result:
    """The result of a check in the folder, which ends with this code."""
    told = folder / "result.json"
    check = ["gate", "check", "--baseline", str(folder / "baseline"), "--json", str(told)]
    assert main([*check, *words]) == code
    return read_json(told.read_text())


@pytest.mark.slow
def test_from_a_run_to_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Recorded, trained anew, extended where it is inconclusive, and judged as a run again."""
    study, run = study_in(tmp_path), tmp_path / "run"
    assert main(["run", str(study), "--out", str(run), "--no-report"]) == 0
    record = ["gate", "record", str(run), "--out", str(tmp_path / "baseline")]
    assert main([*record, "--extension", "2,3", "--margin", "0.1"]) == 0

    same = tmp_path / "same"
    found = judged(tmp_path, 0, "--study", str(study), "--out", str(same))
    assert found.checks[0].sentence.startswith("UA 0.0 points [0.0, 0.0] against the baseline")
    assert [c.name for c in found.checks[1:3]] == ["robustness gain_up", "fairness sex"]
    assert of_run(same, "base").tested["synth"].predictions.seeds == (0, 1)
    assert {r.arm for r in Store(same).records()} == {"base"}

    model = sorted((same / "models").iterdir())[0]
    (kept,) = judged(tmp_path, 0, "--checkpoint", str(model)).checks
    assert kept.name.startswith("checkpoint synth fold group")
    assert kept.sentence == "the model says the same of 24 utterances, bit for bit"

    words = ("--study", str(study), "--out", str(same))
    assert main(["gate", "check", "--baseline", str(tmp_path / "baseline"), *words]) == 2
    assert "holds a run already" in capsys.readouterr().err

    terms(tmp_path / "baseline", margin=1e-4)
    other, change = tmp_path / "other", "base.set.learning_rate=0.005"
    extended = judged(tmp_path, 3, "--study", str(study), "--out", str(other), "--set", change)
    assert "inconclusive; adding the seeds 2, 3" in capsys.readouterr().err
    numbers = extended.checks[0].numbers
    assert (numbers["look"], numbers["n_seeds"], numbers["level"]) == (2, 4, 0.975)
    assert "learning_rate 0.004 -> 0.005" in extended.notes[1]
    again = judged(tmp_path, 3, "--run", str(other))
    assert again.checks == extended.checks
    held = of_run(other, "base").tested["synth"].predictions
    assert held.seeds == (0, 1, 2, 3)
    assert not np.array_equal(held.scores, of_run(run, "base").tested["synth"].predictions.scores)


def test_one_arm_alone(tmp_path: Path) -> None:
    """Whatever the study's other arms; latency is not asked."""
    study = candidate_study(str(study_in(tmp_path)), "pooling=mean", ["base.set.width=0.5"])
    assert [arm.name for arm in study.arms] == ["pooling=mean"]
    assert study.arms[0].variant.settings["width"] == 0.5
    assert not study.meters.latency
    assert study.conditions == ("gain_up",)


def test_an_arm_that_the_study_lacks(tmp_path: Path) -> None:
    """The nearest is named; a study that is none as well."""
    with pytest.raises(UnknownName, match='did you mean "pooling=mean"'):
        candidate_study(str(study_in(tmp_path)), "pooling=men")
    with pytest.raises(SerlabError, match="nowhere"):
        candidate_study(str(tmp_path / "nowhere.toml"), "base")


def test_a_folder_that_holds_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trainings may be of other code; without a name the folder is a new one each time."""
    monkeypatch.chdir(tmp_path)
    study = candidate_study(str(study_in(tmp_path)), "base")
    assert new_folder(study, tmp_path / "new") == tmp_path / "new"
    first, second = new_folder(study, None), new_folder(study, None)
    assert first.parent == Path("runs/gate")
    assert first.name.startswith("small-")
    assert first != second
    (tmp_path / "resolved.json").write_text("{}")
    with pytest.raises(BadFile, match="holds a run already; --run judges it"):
        new_folder(study, tmp_path)
