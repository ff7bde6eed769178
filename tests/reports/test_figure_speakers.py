"""What each arm recognises of each speaker, as numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from serlab.bench.metrics.base import evaluate
from serlab.reports.effects import by_speaker
from serlab.reports.figure import Absent, style
from serlab.reports.figures.speakers import MOST, Speakers, SpeakersNumbers
from serlab.reports.frame import load_frame
from serlab.reports.records import Block


@pytest.fixture(scope="module")
def block(run: Path) -> Block:
    """A fake run of five speakers."""
    return load_frame(run).blocks[0]


@pytest.fixture(scope="module")
def numbers(block: Block) -> SpeakersNumbers:
    """Its numbers."""
    found = Speakers().info(block)
    assert isinstance(found, SpeakersNumbers)
    return found


def test_value_is_the_metric_within_a_speaker(block: Block, numbers: SpeakersNumbers) -> None:
    """The mean over seeds of UA over the speaker's utterances."""
    arm = next(a for a in block.arms if a.name == "filters=time")
    held = arm.pooled
    assert held is not None
    mine = [i for i, name in enumerate(held.speakers) if name == "s3"]
    wanted = np.mean([evaluate("ua", held.truth[mine], s[mine]) for s in held.scores])
    place = numbers.arms.index("filters=time"), numbers.speakers.index("s3")
    assert numbers.values[place] == pytest.approx(wanted)
    row = next(r for r in numbers.rows() if (r["arm"], r["speaker"]) == ("filters=time", "s3"))
    assert row["ua"] == pytest.approx(wanted)
    base = by_speaker(block.base.pooled, "ua")["s3"] if block.base and block.base.pooled else None
    assert base is not None
    assert row["better_than_base"] == pytest.approx(wanted - base)


def test_better_is_up_where_less_is_better(block: Block) -> None:
    """Of a metric whose low values are good, a lower one is a gain."""
    lower = replace(block, study=replace(block.study, metric="ece"))
    found = Speakers().info(lower)
    assert isinstance(found, SpeakersNumbers)
    assert found.gains == pytest.approx(found.values[:1] - found.values)


def test_hardest_speaker_stands_first(numbers: SpeakersNumbers) -> None:
    """By what the base recognises of them."""
    base = numbers.values[0, numbers.shown]
    assert (np.diff(base) >= 0).all()
    assert len(numbers.shown) == 5


def test_of_many_those_that_differ_most(fake: ModuleType, tmp_path: Path) -> None:
    """Twelve are drawn, all are in the rows, and the caption says so."""
    names = tuple(f"s{i:02d}" for i in range(30))
    study = fake.FakeStudy(speakers=names, per_cell=2, seeds=(0,), meters=False)
    found = Speakers().info(load_frame(fake.write_fake_run(tmp_path / "run", study)).blocks[0])
    assert isinstance(found, SpeakersNumbers)
    apart = np.abs(found.gains).sum(axis=0)
    drawn = sorted(found.shown)
    assert len(drawn) == MOST
    assert min(apart[drawn]) >= max(np.delete(apart, drawn))
    rows = found.rows()
    assert len(rows) == 30 * len(found.arms)
    assert {r["speaker"] for r in rows if r["drawn"]} == {names[i] for i in drawn}
    assert "Of 30 speakers, the 12 on whom the arms differ most" in found.caption()
    with style("x"):
        axes = Speakers().draw(found, 3.5).axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == [names[i] for i in found.shown]


def test_one_speaker_has_no_figure(fake: ModuleType, tmp_path: Path) -> None:
    """There is nothing to set beside each other."""
    study = fake.FakeStudy(speakers=("s1",), seeds=(0,), meters=False)
    found = Speakers().info(load_frame(fake.write_fake_run(tmp_path / "run", study)).blocks[0])
    assert found == Absent(reason="no arm has a score for two speakers or more")
