"""The latency figure: every timed call is there, and a sweep changes one condition alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from serlab.reports.figure import (
    WIDTHS_IN,
    Absent,
    Venue,
    style,
    write_figure,
)
from serlab.reports.figures.latency import MOST, Latency, LatencyNumbers
from serlab.reports.frame import load_frame
from serlab.reports.meters import Metered
from serlab.reports.records import Block


@pytest.fixture(scope="module")
def block(run: Path) -> Block:
    """Six arms over three processes, at batches of 1 and 8."""
    return load_frame(run).blocks[0]


def numbers(block: Block) -> LatencyNumbers:
    held = Latency().info(block)
    assert isinstance(held, LatencyNumbers)
    return held


def test_every_timed_call_is_kept_by_process(block: Block) -> None:
    """In milliseconds; the second process is a tenth slower, as it was written."""
    held = numbers(block)
    assert [t.arm for t in held.arms] == [a.name for a in block.arms]
    base = held.arms[0]
    assert [len(p) for p in base.processes] == [100] * 3
    assert base.medians == pytest.approx([2.0, 2.2, 2.4], rel=1e-3)
    assert base.middle == pytest.approx(2.2, rel=1e-3)
    calls = [r for r in held.rows() if r["measurement"] == "call_ms"]
    assert len(calls) == 6 * 3 * 100


def test_the_batch_sweep_is_the_meters_own(block: Block) -> None:
    """Throughput at both batches with the interval over processes."""
    held = numbers(block)
    assert held.sweeps == ("batch",)
    mine = [p for p in held.points if p.arm == "base"]
    cells = {c.conditions.batch: c.values["throughput"] for c in block.arms[0].meters.cells}
    assert [p.at for p in mine] == [1.0, 8.0]
    assert [(p.value, p.low, p.high) for p in mine] == [
        (cells[b].value, cells[b].low, cells[b].high) for b in (1, 8)
    ]
    assert "Throughput against batch" in held.caption()


def _longer(cell: Metered, *, dtype: str = "fp32") -> Metered:
    return replace(cell, conditions=replace(cell.conditions, seconds=6.0, dtype=dtype))


def test_a_sweep_changes_one_condition_alone(block: Block) -> None:
    """Durations are swept in fp32; a longer cell in another arithmetic is no part of it."""
    arms = []
    for arm in block.arms:
        assert arm.meters.headline is not None
        more = (_longer(arm.meters.headline), _longer(arm.meters.headline, dtype="bf16"))
        arms.append(replace(arm, meters=replace(arm.meters, cells=(*arm.meters.cells, *more))))
    held = numbers(replace(block, arms=tuple(arms)))
    assert held.sweeps == ("batch", "seconds")
    assert [p.at for p in held.points if (p.arm, p.swept) == ("base", "seconds")] == [3.0, 6.0]
    assert [p.at for p in held.points if (p.arm, p.swept) == ("base", "batch")] == [1.0, 8.0]


def test_one_batch_is_no_sweep(fake: ModuleType, tmp_path: Path) -> None:
    """There are the strips alone, and an arm without times says why it has none."""
    study = fake.FakeStudy(batches=(1,), epochs=0, unmetered={("svm", 1): "no <such> device"})
    held = numbers(load_frame(fake.write_fake_run(tmp_path / "run", study)).blocks[0])
    assert not held.points
    assert "Without times: svm (no <such> device)." in held.caption()
    with style("x"):
        assert len(Latency().draw(held, WIDTHS_IN["double"]).axes) == 1


def test_medians_and_percentiles_are_drawn_where_they_are(block: Block) -> None:
    """A dot and a triangle for each process, over one tick for each call."""
    held = numbers(block)
    with style("x"):
        axes = Latency().draw(held, WIDTHS_IN["single"]).axes[0]
    dots = [x for line in axes.lines if line.get_marker() == "o" for x in line.get_xdata()]
    ends = [x for line in axes.lines if line.get_marker() == "<" for x in line.get_xdata()]
    assert dots == [m for t in held.arms for m in t.medians]
    assert ends == [np.percentile(p, 95) for t in held.arms for p in t.processes]
    ticks = [line for line in axes.lines if line.get_marker() == "None"]
    drawn = np.concatenate([np.asarray(t.get_xdata())[::3] for t in ticks])
    assert np.array_equal(drawn, np.concatenate([p for t in held.arms for p in t.processes]))


def test_the_base_and_the_furthest_from_it_are_drawn(fake: ModuleType, tmp_path: Path) -> None:
    """Arms close to the base are left out, and the caption tells how many."""
    names = ["base", *(f"pooling={i}" for i in range(10))]
    study = fake.FakeStudy(skill=dict.fromkeys(names, 0.7), epochs=0, seeds=(0,))
    held = numbers(load_frame(fake.write_fake_run(tmp_path / "run", study)).blocks[0])
    assert [t.arm for t in held.arms] == ["base", *names[-(MOST - 1) :]]
    assert "3 are not" in held.caption()


def test_without_meters_nobody_expects_it(fake: ModuleType, tmp_path: Path) -> None:
    """The page does not say that it is missing."""
    study = fake.FakeStudy(meters=False, epochs=0, seeds=(0,))
    held = Latency().info(load_frame(fake.write_fake_run(tmp_path / "run", study)).blocks[0])
    assert isinstance(held, Absent)
    assert not held.notable


@pytest.mark.parametrize("width", sorted(WIDTHS_IN))
def test_it_fits_every_venue_without_growing_large(
    width: str, block: Block, tmp_path: Path
) -> None:
    """1800 calls take no more than a tenth of a page's 2 MB."""
    held = write_figure(Latency(), "latency", block, tmp_path, slug="x", venue=Venue(width=width))
    assert not isinstance(held, Absent)
    assert len(held.svg) < 200_000
