"""Calibration: bins of equally many answers, and intervals that speakers make."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from serlab.reports.figure import NO_CLASSES, WIDTHS_IN, Absent, style
from serlab.reports.figures.calibration import BINS, LEAST, MOST, Calibration, CalibrationNumbers
from serlab.reports.frame import load_frame
from serlab.reports.records import Block, Pooled


@pytest.fixture(scope="module")
def block(run: Path) -> Block:
    """Five speakers, 240 utterances, three seeds."""
    return load_frame(run).blocks[0]


def numbers(block: Block) -> CalibrationNumbers:
    held = Calibration().info(block)
    assert isinstance(held, CalibrationNumbers)
    return held


def base_with(block: Block, scores: Any, **changed: Any) -> Block:  # fields of Pooled
    """The block with the base alone, which has other predictions."""
    base = block.base
    assert base is not None
    assert base.pooled is not None
    pooled = replace(base.pooled, scores=np.asarray(scores, np.float32), **changed)
    return replace(block, arms=(replace(base, pooled=pooled),))


def pooled_of(block: Block) -> Pooled:
    base = block.base
    assert base is not None
    assert base.pooled is not None
    return base.pooled


def test_bins_hold_equally_many_answers(block: Block) -> None:
    """All answers of all seeds, each in one bin, none of them twice."""
    rng = np.random.default_rng(0)
    held = pooled_of(block)
    scores = rng.dirichlet([0.6] * 4, size=held.scores.shape[:2])
    found = numbers(base_with(block, scores)).arms[0]
    assert len(found.bins) == BINS
    assert {b.n for b in found.bins} == {72}
    top = np.sort(scores.astype(np.float32).max(axis=-1).ravel())
    assert [b.confidence for b in found.bins] == pytest.approx(top.reshape(BINS, -1).mean(axis=1))
    right = (scores.argmax(axis=-1) == held.truth).mean()
    assert sum(b.n * b.right for b in found.bins) / 720 == pytest.approx(right)
    assert found.excess == pytest.approx(top.mean() - right)


def test_the_interval_is_a_jackknife_over_speakers(block: Block) -> None:
    """The share without each speaker, and the t distribution with one degree less than these."""
    rng = np.random.default_rng(1)
    scores = rng.dirichlet([0.6] * 4, size=pooled_of(block).scores.shape[:2])
    block = base_with(block, scores)
    held, found = pooled_of(block), numbers(block).arms[0]
    top = held.scores.max(axis=-1).astype(float)
    right = held.scores.argmax(axis=-1) == held.truth
    one = found.bins[2]
    inside = (top > one.low) & (top <= one.high)
    names = np.array(held.speakers)
    shares = [right[:, names != s][inside[:, names != s]].mean() for s in sorted(set(names))]
    values = right[inside].mean() + 4 * (np.mean(shares) - np.array(shares))
    half = stats.t.ppf(0.975, 4) * values.std(ddof=1) / np.sqrt(5)
    assert one.right == pytest.approx(right[inside].mean())
    expected = np.clip([values.mean() - half, values.mean() + half], 0, 1)
    assert [one.right_low, one.right_high] == pytest.approx(expected)


def test_the_error_is_the_tables_own(block: Block) -> None:
    """Value and interval of each arm that is drawn."""
    held = numbers(block)
    for arm in held.arms:
        mine = next(a for a in block.arms if a.name == arm.arm)
        assert arm.ece == mine.scores["ece"].pooled
    assert held.arms[0].arm == "base"
    assert len(held.arms) == MOST
    sizes = {a.name: abs(a.effect.estimate.mean) for a in block.arms if a.effect}
    largest = sorted(sizes, key=lambda name: -sizes[name])[: MOST - 1]
    assert {a.arm for a in held.arms[1:]} == set(largest)
    assert "2 are not" in held.caption()


def test_a_bin_of_one_speaker_has_no_interval(block: Block) -> None:
    """Without that speaker there would be no share at all."""
    held = pooled_of(block)
    sure = np.where(np.array(held.speakers) == "s1", 0.9, 0.4)
    scores = np.stack([sure, *[(1 - sure) / 3] * 3], axis=-1)
    said = np.random.default_rng(0).permuted(np.tile(scores, (3, 1, 1)), axis=-1)
    found = numbers(base_with(block, said))
    bins = found.arms[0].bins
    alone = [b for b in bins if b.confidence > 0.8]
    assert [b.n for b in alone] == [3 * 48]
    assert [(b.right_low, b.right_high) for b in alone] == [(None, None)]
    assert all(b.right_low is not None for b in bins if b.confidence < 0.8)


def test_equal_confidences_make_one_bin(block: Block) -> None:
    """A constant answer is no reason to fail or to invent bins."""
    held = pooled_of(block)
    scores = np.broadcast_to(np.array([0.7, 0.1, 0.1, 0.1]), held.scores.shape)
    found = numbers(base_with(block, scores)).arms[0]
    assert [(b.n, b.right) for b in found.bins] == [(720, 0.25)]
    assert found.counts == "720"
    assert found.excess == pytest.approx(0.45)


@pytest.mark.parametrize("width", sorted(WIDTHS_IN))
def test_every_bin_is_drawn_where_it_is(width: str, block: Block) -> None:
    """In a panel an arm, and the figure keeps to its width."""
    held = numbers(block)
    with style("x"):
        figure = Calibration().draw(held, WIDTHS_IN[width])
    assert figure.get_figwidth() <= WIDTHS_IN[width] + 1e-9
    panels = [axes for axes in figure.axes if axes.axison]
    for axes, arm in zip(panels, held.arms, strict=True):
        line = next(x for x in axes.lines if x.get_marker() in {"o", "D"})
        drawn = list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        assert drawn == [(b.confidence, b.right) for b in arm.bins]


def test_what_cannot_be_judged_is_told(block: Block, traced: Path) -> None:
    """Traces have no classes, few utterances no bins, and an arm without ECE is named."""
    assert Calibration().info(load_frame(traced).blocks[0]) is NO_CLASSES
    held = pooled_of(block)
    rows = LEAST - 1
    few = base_with(
        block, held.scores[:, :rows], ids=held.ids[:rows], speakers=held.speakers[:rows],
        truth=held.truth[:rows], folds=held.folds[:rows],
    )  # fmt: skip
    found = Calibration().info(few)
    assert isinstance(found, Absent)
    assert found.reason == "44 utterances are too few to bin; it needs 45"
    arms = (*block.arms[:-1], replace(block.arms[-1], scores={}))
    assert (
        "Without probabilities that can be judged: svm."
        in numbers(replace(block, arms=arms)).caption()
    )
