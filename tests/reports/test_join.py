"""Several runs in one report: what may stand beside each other, and what stands apart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from serlab.__main__ import main
from serlab.bench.contracts import Status
from serlab.bench.errors import NotComparable
from serlab.bench.statistics.differences import difference
from serlab.bench.store import Store
from serlab.reports.across import across
from serlab.reports.effects import predictions
from serlab.reports.frame import load_frame
from serlab.reports.join import join
from serlab.reports.records import Arm, Block, Frame

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def write(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Writes a small run whose study differs from the others in what is given."""

    def made(name: str, skill: dict[str, float], **changed: Any) -> Path:  # of a FakeStudy
        study = fake.FakeStudy(name=name, skill=skill, **{"meters": False, **changed})
        path: Path = fake.write_fake_run(tmp_path_factory.mktemp("joined") / "run", study)
        return path

    return made


@pytest.fixture(scope="module")
def first(write: Write) -> Path:
    """The run that has the base."""
    return write("li", {"base": 0.6, "pooling=max": 0.7}, meters=True)


@pytest.fixture(scope="module")
def second(write: Write) -> Path:
    """Another system, under the same protocol."""
    return write("wei", {"base": 0.9, "filters=time": 0.5}, seeds=(1, 2, 3))


def joined(*runs: Path) -> Frame:
    """The runs as one frame."""
    return join([load_frame(run) for run in runs])


def arm(block: Block, name: str) -> Arm:
    """An arm of a block."""
    return next(one for one in block.arms if one.name == name)


def test_one_run_is_as_it_was(first: Path) -> None:
    """Nothing is renamed where nothing is joined."""
    frame = load_frame(first)
    assert join([frame]) is frame


def test_arms_stand_beside_each_other(first: Path, second: Path) -> None:
    """In one block, with the base of the first run and names that tell the others' runs."""
    frame = joined(first, second)
    (block,) = frame.blocks
    names = ["base", "pooling=max", "base (wei)", "filters=time (wei)"]
    assert [one.name for one in block.arms] == names
    assert [one.name for one in block.arms if one.is_base] == ["base"]
    assert block.corpus.name == "synth"
    assert "its results are of li and wei; all are compared with the base of li" in (
        block.corpus.notes
    )
    assert (frame.study.name, frame.study.seeds) == ("li + wei", (0, 1, 2, 3))
    assert frame.study.command == "serlab run li && serlab run wei"
    assert frame.counts.planned == 60


def test_effects_are_those_of_the_pair(first: Path, second: Path) -> None:
    """Paired over the common seeds, and adjusted over all three others."""
    (block,) = joined(first, second).blocks
    base, other = load_frame(first).blocks[0].base, load_frame(second).blocks[0].base
    assert base is not None
    assert base.pooled is not None
    assert other is not None
    assert other.pooled is not None
    pair = predictions(base.pooled, (1, 2)), predictions(other.pooled, (1, 2))
    found = arm(block, "base (wei)").effect
    assert found is not None
    assert found.estimate == difference(*pair, metric="ua")
    assert (found.seeds, found.n_comparisons) == ((1, 2), 3)
    assert arm(block, "base").effect is None


def test_no_times_beside_each_other(first: Path, second: Path) -> None:
    """The meters of one run are not those of another's machine and hour."""
    (block,) = joined(first, second).blocks
    assert block.metered is None
    assert "not compared" in arm(block, "base").meters.reason
    assert not arm(block, "base").meters.cells
    assert load_frame(first).blocks[0].metered is not None


def test_same_study_twice(first: Path) -> None:
    """Is told apart by numbers."""
    (block,) = joined(first, first).blocks
    assert [one.name for one in block.arms][2:] == ["base (li #2)", "pooling=max (li #2)"]
    found = arm(block, "base (li #2)").effect
    assert found is not None
    assert found.estimate.mean == 0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"split": "f" * 16}, "hash of the folds 0123456789abcdef, and ffffffffffffffff"),
        ({"data": "d1"}, "hash of utterances and labels d0, and d1"),
        ({"metric": "wa"}, "metric ua, and wa"),
        ({"labels": ("anger", "joy", "neutral", "fear")}, "classes anger, joy, neutral, sadness"),
    ],
)
def test_unlike_stand_apart(first: Path, write: Write, changed: dict[str, Any], told: str) -> None:
    """In blocks of their own, each with its own base, and a sentence why."""
    frame = joined(first, write("other", {"base": 0.9, "x": 0.5}, **changed))
    names = [block.corpus.name for block in frame.blocks]
    assert names == ["synth (li)", "synth (other)"]
    assert [block.base.name for block in frame.blocks if block.base] == ["base", "base"]
    for block, run in zip(frame.blocks, ("other", "li"), strict=True):
        (note,) = (n for n in block.corpus.notes if n.startswith("it is not compared"))
        assert f"synth of {run}, measured otherwise: " in note
    assert told in " ".join(frame.blocks[0].corpus.notes)
    assert across(frame) == ()


def test_unlike_protocol_is_named(first: Path, write: Write) -> None:
    """By the setting that differs."""
    run = write("other", {"base": 0.9}, split="e" * 16)
    resolved = Store.open(run).resolved()
    resolved["corpora"][0]["protocol"]["selection"] = "last-epoch"
    Store.open(run).write_json("resolved.json", resolved)
    notes = " ".join(joined(first, run).blocks[0].corpus.notes)
    assert "protocol.selection validation-score, and last-epoch" in notes


def test_unlike_utterances_are_refused(first: Path, write: Write) -> None:
    """The hashes say that they are the same, and the predictions that they are not."""
    with pytest.raises(NotComparable, match="unlike utterances"):
        joined(first, write("other", {"base": 0.9}, speakers=("s1", "s2", "s3", "s4", "s9")))


def test_unlike_levels_are_refused(first: Path, write: Write) -> None:
    """A report has intervals at one level."""
    run = write("other", {"base": 0.9})
    store = Store.open(run)
    store.write_json("resolved.json", {**store.resolved(), "level": 0.9})
    with pytest.raises(NotComparable, match=r"intervals at 0\.95, and at 0\.9"):
        joined(first, run)


def test_over_corpora(write: Write) -> None:
    """Arms are summed up over corpora where one run has the base on all of them."""
    both = ("one", "two")
    runs = [write(name, {"base": skill}, corpora=both) for name, skill in (("a", 0.6), ("b", 0.9))]
    frame = joined(*runs)
    assert [block.corpus.name for block in frame.blocks] == ["one", "two"]
    (row,) = across(frame)
    assert row.arm.name == "base (b)"
    assert row.summary is not None


def test_one_run_a_corpus(write: Write) -> None:
    """Runs of one study on a corpus each are summed up as one run of all would be."""
    runs = [write("li", {"base": 0.6, "pooling=max": 0.9}, corpora=(c,)) for c in ("one", "two")]
    frame = joined(*runs)
    assert frame.unsummed == ""
    (row,) = across(frame)
    assert (row.arm.name, set(row.effects)) == ("pooling=max", {"one", "two"})


def test_systems_on_corpora(write: Write) -> None:
    """A run a system and corpus: arms are called by their systems, alike on every corpus."""
    runs = [
        write(
            f"{system} on {corpus}",
            {"base": skill, "pooling=max": 0.5},
            corpora=(corpus,),
            system=system,
        )
        for corpus in ("one", "two")
        for system, skill in (("li2018", 0.6), ("wei2022", 0.9))
    ]
    frame = joined(*runs)
    names = ["li2018", "pooling=max (li2018)", "wei2022", "pooling=max (wei2022)"]
    for block in frame.blocks:
        assert [one.name for one in block.arms] == names
        assert [one.name for one in block.arms if one.is_base] == ["li2018"]
    rows = across(frame)
    assert frame.study.name == "li2018 and wei2022 on one and two"
    assert [row.arm.name for row in rows] == names[1:]
    assert all(row.summary for row in rows)


def test_many_runs_have_a_short_title(write: Write) -> None:
    """Four are named; of more, the first three."""
    runs = [write(name, {"base": 0.6}, seeds=(0,)) for name in "abcde"]
    assert joined(*runs[:4]).study.name == "a + b + c + d"
    assert joined(*runs).study.name == "a + b + c + 2 more runs"


def test_unlike_systems_on_unlike_corpora(write: Write) -> None:
    """Nothing is summed up over bases of which each is on a corpus of its own."""
    lost = {("pooling=max", "fold0", 0): Status.FAILED}
    skill = {"base": 0.6, "pooling=max": 0.9}
    runs = [
        write("a", skill, corpora=("one",), system="li2018", lost=lost),
        write("b", skill, corpora=("two",), system="wei2022"),
    ]
    frame = joined(*runs)
    assert frame.unsummed == "the bases are li2018 and wei2022"
    assert across(frame) == ()
    failed = [f.arm for one in frame.blocks[0].arms for f in one.failures]
    assert failed == ["pooling=max (li2018)"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"metric": "wa"}, "two is measured otherwise: metric"),
        ({"options": {"base": {"pooling": "mean"}}}, "base is not the same variant"),
        ({"corpora": ("one",), "split": "f" * 16}, "several blocks are of one"),
    ],
)
def test_unlike_blocks_are_not_summed_up(
    write: Write, tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    """The page says why."""
    skill = {"base": 0.6, "pooling=max": 0.9}
    runs = [
        write("li", skill, corpora=("one",)),
        write("li", skill, **{"corpora": ("two",), **changed}),
    ]
    frame = joined(*runs)
    assert across(frame) == ()
    assert frame.unsummed.startswith(told)
    assert main(["report", *map(str, runs), "--out", str(tmp_path)]) == 0
    assert told in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_searches_are_told_in_their_own_reports(write: Write) -> None:
    """A block of several runs has no search; it says where to look."""
    history = (("base", 0.5, "COMPLETE"), ("pooling=max", 0.4, "COMPLETE"))
    runs = [write(name, {"base": 0.6}, design="search", history=history) for name in ("one", "two")]
    (block,) = joined(*runs).blocks
    assert block.study.design == "joined"
    assert "how the search went is told in the report of one and two" in block.corpus.notes


def test_command(
    first: Path, second: Path, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Writes one page of all runs; several need a folder."""
    apart = write("other", {"base": 0.9, "x": 0.5}, split="f" * 16)
    runs = [str(run) for run in (first, second, apart)]
    assert main(["report", *runs]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["report", *runs, "--out", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", page)
    for told in (
        "li + wei + other",
        "Verdict on synth (li + wei)",
        "Verdict on synth (other)",
        "measured otherwise: hash of the folds",
        "wei, resolved 2026-01-01T00:00:00+00:00 by serlab 0.1.0, seeds 1, 2, 3",
    ):
        assert told in text
    again = re.findall(r"<pre><code>serlab run (\w+)</code></pre>", page)
    assert again == ["li", "li", "wei", "wei", "other", "other"]
    held = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert held is not None
    assert len(json.loads(held[1])["corpora"]) == 2
    assert (tmp_path / "tables" / "0-synth-li-wei-ablation.csv").exists()
