"""What changed between two runs: settings, arms, and each arm's difference."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from serlab.__main__ import main
from serlab.bench.contracts import Status
from serlab.bench.errors import NotComparable
from serlab.bench.store import Store
from serlab.reports.compare import ArmDifference, Comparison, compare_runs
from serlab.reports.records import Verdict

Write = Callable[..., Path]

SKILL = {"base": 0.75, "pooling=max": 0.7, "pooling=mean": 0.55, "gone": 0.6}


@pytest.fixture(scope="module")
def write(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes a run whose study differs from the others in what is given."""

    def made(**changed: Any) -> Path:  # fields of a FakeStudy
        study = fake.FakeStudy(**{"skill": SKILL, "meters": False, **changed})
        path: Path = fake.write_fake_run(tmp_path_factory.mktemp("compared") / "run", study)
        return path

    return made


@pytest.fixture(scope="module")
def first(write: Write) -> Path:
    """Run A of most tests."""
    return write()


def of(found: Comparison, arm: str) -> ArmDifference:
    """An arm's row."""
    return next(row for row in found.differences if row.arm == arm)


def test_same_run(first: Path, write: Write) -> None:
    """Nothing changed, and every arm is the same to the bit."""
    found = compare_runs(first, write())
    assert (found.changes, found.only_a, found.only_b) == ((), (), ())
    assert [row.arm for row in found.differences] == list(SKILL)
    assert all(row.identical for row in found.differences)
    assert {row.verdict for row in found.differences} == {Verdict.SAME}
    assert found.marks == ("SYNTHETIC SPEECH",)


def test_differences_are_paired_and_adjusted(first: Path, write: Write) -> None:
    """B - A of the seeds' means, with p values over the three arms that both have."""
    other = {"base": 0.75, "pooling=max": 0.9, "pooling=mean": 0.4, "new": 0.5}
    found = compare_runs(first, write(skill=other))
    assert (found.only_a, found.only_b) == (("arm gone",), ("arm new",))
    better, worse = of(found, "pooling=max"), of(found, "pooling=mean")
    assert (better.verdict, worse.verdict) == (Verdict.BETTER, Verdict.WORSE)
    assert better.a is not None
    assert better.b is not None
    assert better.difference is not None
    assert better.difference.mean == pytest.approx(better.b.mean - better.a.mean)
    assert 0.1 < better.difference.mean < 0.3
    p_values = sorted(row.difference.p for row in found.differences if row.difference)
    assert sorted(row.p_holm or 0.0 for row in found.differences)[0] == 3 * p_values[0]
    assert of(found, "base").identical
    assert not better.identical


def test_direction_of_the_metric(write: Write) -> None:
    """Where less is better, less is called better."""
    traces = {"target": "traces", "labels": ("arousal", "valence"), "metric": "rmse", "per_cell": 4}
    one, other = write(**traces), write(**traces, skill={**SKILL, "gone": 0.95})
    row = of(compare_runs(one, other), "gone")
    assert row.difference is not None
    assert row.difference.mean < 0
    assert row.verdict is Verdict.BETTER


def test_settings_that_changed(first: Path, write: Write) -> None:
    """Variants, study and environment are told by name, with both values."""
    run = write(epochs=9, seeds=(0, 1), leaks=("it is random",))
    store = Store.open(run)
    resolved = store.resolved()
    store.write_json("resolved.json", {**resolved, "margin": 0.05, "serlab": "0.2.0"})
    facts = {"cpu": "another", "python": "3.11", "gpu": None, "git": {"dirty": True}}
    (path,) = (run / "environments").glob("*.json")
    path.write_text(json.dumps(facts), encoding="utf-8")
    found = compare_runs(first, run)
    told = {change.what: (change.a, change.b) for change in found.changes}
    assert told == {
        "study: margin": ("0.02", "0.05"),
        "study: seeds": ("0, 1, 2", "0, 1"),
        "corpus synth: leaks": ("none", "it is random"),
        **{f"arm {name}: settings.epochs": ("8", "9") for name in SKILL},
        "serlab": ("0.1.0", "0.2.0"),
        "environment: cpu": ("fake CPU <model>", "another"),
        "environment: git.dirty": ("(absent)", "true"),
    }
    assert found.margin == 0.02
    assert (found.a.uncommitted, found.b.uncommitted) == (False, True)
    assert of(found, "base").seeds == (0, 1)
    assert any("it is random" in mark for mark in found.marks)


def test_lost_trainings_are_no_number(first: Path, write: Write) -> None:
    """An arm that lost a training is not compared; a seed that lacks is left out on both sides."""
    lost = {("pooling=max", "fold1", 1): Status.FAILED, ("pooling=mean", "fold1", 1): None}
    found = compare_runs(first, write(lost=lost))
    failed, absent = of(found, "pooling=max"), of(found, "pooling=mean")
    assert (failed.difference, failed.verdict) == (None, None)
    assert failed.reason == "1 training of 15 in B ended without a result"
    assert absent.seeds == (0, 2)
    assert absent.trainings_b.missing == 1
    assert absent.identical


def test_no_common_seed(first: Path, write: Write) -> None:
    """Is a reason, not a difference."""
    row = of(compare_runs(first, write(seeds=(7, 8))), "base")
    assert (row.difference, row.identical) == (None, False)
    assert row.reason == "the two share no seed whose folds all completed"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"metric": "wa"}, "metric: ua, and wa"),
        ({"split": "f" * 16}, "hash of the folds 0123456789abcdef, and ffffffffffffffff"),
        ({"data": "d1"}, "hash of utterances and labels d0, and d1"),
        ({"labels": ("anger", "joy", "neutral", "fear")}, "neutral, sadness, and anger, joy"),
        ({"corpora": ("other",)}, "no common corpus: synth, and other"),
        ({"speakers": ("s1", "s2", "s3", "s4", "s6")}, "utterances"),
    ],
)
def test_unlike_runs_are_refused(
    first: Path, write: Write, changed: dict[str, Any], told: str
) -> None:
    """What was measured otherwise gets no number."""
    with pytest.raises(NotComparable, match=told):
        compare_runs(first, write(**changed))


def test_unlike_protocol_is_told(
    first: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which part of the protocol it is; the command says it in one line and exits with 2."""
    run = write(split="e" * 16)
    resolved = Store.open(run).resolved()
    resolved["corpora"][0]["protocol"]["normalisation"] = "speaker"
    Store.open(run).write_json("resolved.json", resolved)
    assert main(["compare", str(first), str(run)]) == 2
    held = capsys.readouterr()
    assert held.out == ""
    assert "synth: protocol.normalisation train, and speaker" in held.err
    assert "hash of the folds" in held.err
    assert held.err.count("\n") == 1


def test_one_more_corpus(first: Path, write: Write) -> None:
    """Is named, and the corpora that both have are compared."""
    found = compare_runs(first, write(corpora=("synth", "more")))
    assert found.only_b == ("corpus more",)
    assert {row.corpus for row in found.differences} == {"synth"}


def test_text(first: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings, the table and the limits, in lines that a terminal shows."""
    other = write(skill={**SKILL, "pooling=max": 0.9}, seeds=(0, 1))
    assert main(["compare", str(first), str(other)]) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert "SYNTHETIC SPEECH" in lines
    assert "  study: seeds: 0, 1, 2 -> 0, 1" in lines
    assert any(line.endswith("identical bits") for line in lines)
    (row,) = (line for line in lines if line.lstrip().startswith("pooling=max  "))
    assert row.endswith("B is better")
    assert "p adjusted over 4 (Holm)" in text
    assert "compared over 2 seeds: 0, 1" in text
    assert lines[-1] == "Speed is not compared here: see serlab bench compare"


def test_json(first: Path, write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Holds the same numbers, and null where there is none."""
    other = write(skill={**SKILL, "pooling=max": 0.9})
    assert main(["compare", str(first), str(other), "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    row = of(compare_runs(first, other), "pooling=max")
    assert row.difference is not None
    (found,) = (r for r in held["differences"] if r["arm"] == "pooling=max")
    assert found["difference"]["mean"] == row.difference.mean
    assert (found["verdict"], found["identical"]) == ("better", False)
    (same,) = (r for r in held["differences"] if r["arm"] == "base")
    assert same["difference"]["df"] is None


def test_hostile_names(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters reach no terminal."""
    skill = {"base": 0.75, "\x1b[31mred\nline": 0.7}
    assert main(["compare", str(write(skill=skill)), str(write(skill=skill))]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_one_bit_is_seen(first: Path, write: Write) -> None:
    """Scores that differ by one bit, and in no decision, are not called identical."""
    import pyarrow.parquet as pq

    run = write()
    path = next(iter(sorted((run / "predictions").glob("0000*"))))
    table = pq.read_table(path)
    place = table.column_names.index("score_0")
    scores = table["score_0"].to_numpy().copy()
    tested = table["part"].to_pylist().index("test")
    scores[tested] = np.nextafter(scores[tested], np.float32(1), dtype=np.float32)
    pq.write_table(table.set_column(place, "score_0", [scores]), path)
    row = of(compare_runs(first, run), "base")
    assert not row.identical
    assert row.difference is not None
    assert (row.difference.mean, row.verdict) == (0.0, Verdict.SAME)
