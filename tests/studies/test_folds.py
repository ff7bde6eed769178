"""Studies whose folds come from files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from serlab.studies.plan import make_plan, refuse_leaks
from serlab.studies.specification import load_study

STUDY = """
question = "What do published folds say?"
seeds = [0]
[base]
system = "functionals_svm"
[[corpora]]
name = "synth"
options = { utterances = 96, speakers = 4 }
[protocol]
split = "file"
folds = "folds"
validation = 1
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study, without the files that it names."""
    (tmp_path / "study").mkdir()
    path = tmp_path / "study" / "study.toml"
    path.write_text(STUDY, encoding="utf-8")
    return path


def write(study: Path, part: str, ids: list[str]) -> None:
    folder = study.parent / "folds" / "fold_1"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"key": f"synth-{i}"}) for i in ids]
    (folder / f"synth_{part}_fold_1.jsonl").write_text("\n".join(lines), encoding="utf-8")


def ids(n_speakers: int) -> dict[str, list[str]]:
    from serlab.bench.corpora.base import load_corpus

    found: dict[str, list[str]] = {}
    options = {"utterances": 96, "speakers": n_speakers}
    for u in load_corpus("synth", roots={}, options=options).utterances:
        found.setdefault(u.speaker, []).append(u.id)
    return found


def test_they_lie_beside_the_study_and_leave_no_path_in_a_result(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever serlab is called from; the trial's key knows the folds and not their place."""
    first, *others = ids(4).values()
    write(study, "train", [i for speaker in others for i in speaker][:-2])
    write(study, "test", first)
    monkeypatch.chdir(tmp_path)
    plan = make_plan(load_study("study/study.toml"), {})
    (ground,) = plan.grounds
    assert ground.split.folds[0].test == tuple(first)
    assert ground.split.leaks == ()
    assert str(tmp_path) not in repr([job.trial for job in plan.jobs()])
    left = ", ".join([i for speaker in others for i in speaker][-2:])
    assert ground.notes == (f"in no fold of the files: 2 utterances ({left})",)


def test_shared_speakers_are_told_loudly(study: Path) -> None:
    """Files that leak are the user's choice: nothing stops, and it stands beside every result."""
    every = [i for speaker in ids(4).values() for i in speaker]
    write(study, "train", every[::2] + every[1::4])
    write(study, "test", every[3::4])
    plan = make_plan(load_study(str(study)), {})
    assert plan.grounds[0].split.leaks[0].startswith("leaking: the files of folds also train or")
    told: list[str] = []
    refuse_leaks(plan, told.append)
    assert any("LEAK" in line and "speakers stand in more than one part" in line for line in told)
