"""The raincloud: every speaker's and seed's score, and densities only where they tell something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from serlab.bench.metrics.base import evaluate
from serlab.reports.figure import WIDTHS_IN, Absent, style, write_figure
from serlab.reports.figures.raincloud import MOST, Cloud, Point, Raincloud, RaincloudNumbers
from serlab.reports.frame import load_frame
from serlab.reports.records import Block


@pytest.fixture(scope="module")
def few(run: Path) -> Block:
    """Five speakers."""
    return load_frame(run).blocks[0]


@pytest.fixture(scope="module")
def many(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Block:
    """Ten speakers, and a base that does not come first."""
    study = fake.FakeStudy(
        speakers=tuple(f"s{i}" for i in range(10)), per_cell=4, epochs=0, meters=False
    )
    block = load_frame(fake.write_fake_run(tmp_path_factory.mktemp("many") / "run", study)).blocks[
        0
    ]
    return replace(block, arms=(*block.arms[1:], block.arms[0]))


def numbers(block: Block) -> RaincloudNumbers:
    held = Raincloud().info(block)
    assert isinstance(held, RaincloudNumbers)
    return held


def test_a_dot_is_a_speaker_and_a_tick_a_seed(few: Block) -> None:
    """Speakers are means over seeds of their own rows; seeds are the metric of all rows."""
    held = numbers(few)
    arm = next(a for a in few.arms if a.name == "pooling=mean")
    assert arm.pooled is not None
    cloud = next(c for c in held.clouds if c.arm == arm.name)
    mine = np.array([s == "s3" for s in arm.pooled.speakers])
    own = [evaluate("ua", arm.pooled.truth[mine], one[mine]) for one in arm.pooled.scores]
    point = next(p for p in cloud.points if (p.unit, p.name) == ("speaker", "s3"))
    assert point.value == pytest.approx(np.mean(own))
    assert point.n_rows == mine.sum() == 48
    assert cloud.of("seed").mean() == pytest.approx(arm.scores["ua"].pooled.mean)
    rows = [r for r in held.rows() if r["arm"] == arm.name]
    assert [r["unit"] for r in rows] == ["speaker"] * 5 + ["seed"] * 3


def test_the_base_comes_first_and_the_others_as_in_the_table(many: Block) -> None:
    """Wherever the study has it."""
    arms = [c.arm for c in numbers(many).clouds]
    assert arms == ["base", *(a.name for a in many.arms if not a.is_base)]


def test_few_speakers_have_neither_density_nor_box(few: Block, many: Block) -> None:
    """Under ten points there are dots and a mean; at ten there is a shape."""
    for block, shaped in ((few, False), (many, True)):
        held = numbers(block)
        with style("x"):
            axes = Raincloud().draw(held, WIDTHS_IN["single"]).axes[0]
        assert bool(axes.collections) is shaped
        assert ("have no density or box" in held.caption()) is not shaped
        assert ("The box holds" in held.caption()) is shaped


def test_every_point_is_drawn_once_at_its_value(many: Block) -> None:
    """Jitter moves a dot across its row, never along the axis of values."""
    held = numbers(many)
    with style("x"):
        axes = Raincloud().draw(held, WIDTHS_IN["double"]).axes[0]
    dots = [line for line in axes.lines if line.get_marker() in {"o", "D"}]
    ticks = [line for line in axes.lines if line.get_marker() == "|"]
    for y, (cloud, dot, tick) in enumerate(zip(held.clouds, dots, ticks, strict=True)):
        assert np.array_equal(dot.get_xdata(), cloud.of("speaker"))
        assert np.array_equal(tick.get_xdata(), cloud.of("seed"))
        assert all(y < place < y + 0.5 for place in dot.get_ydata())


def test_the_same_bytes_again(many: Block, tmp_path: Path) -> None:
    """The jitter is drawn anew and is the same."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_figure(Raincloud(), "raincloud", many, tmp_path / folder, slug="x")
    for ending in ("svg", "pdf", "png", "csv", "txt"):
        first, second = (tmp_path / f / f"x.{ending}" for f in ("one", "two"))
        assert first.read_bytes() == second.read_bytes(), ending


def test_of_many_arms_the_largest_effects_are_drawn(few: Block) -> None:
    """In the order of the table, and the caption counts the rest."""
    arm = next(a for a in few.arms if a.name == "filters=time")
    assert arm.effect is not None
    sizes = [0.3 - 0.01 * i for i in range(MOST + 3)]
    made = tuple(
        replace(
            arm,
            name=f"a{i}",
            effect=replace(arm.effect, estimate=replace(arm.effect.estimate, mean=size)),
        )
        for i, size in enumerate(reversed(sizes))
    )
    assert few.base is not None
    held = numbers(replace(few, arms=(few.base, *made)))
    assert [c.arm for c in held.clouds] == ["base", *(a.name for a in made[4:])]
    assert "largest effects are drawn, 4 are not" in held.caption()


def test_a_speaker_without_a_value_is_left_out_and_counted(traced: Path) -> None:
    """The CCC of constants is none; no number stands in for it."""
    held = numbers(load_frame(traced).blocks[0])
    assert all(np.isfinite(p.value) for c in held.clouds for p in c.points)
    lost = RaincloudNumbers(
        marks=(),
        corpus="c",
        metric="ccc",
        clouds=(
            Cloud(
                arm="base",
                kind="base",
                points=tuple(
                    Point(unit=u, name="x", value=0.5, n_rows=3) for u in ("speaker", "seed")
                ),
                undefined=("s1", "s2"),
            ),
        ),
        has_base=False,
        n_left_out=0,
    )
    assert "Without a value in some arm: 2 speakers." in lost.caption()


def test_one_speaker_has_no_cloud(few: Block) -> None:
    """The page says why."""
    lone = tuple(
        replace(a, pooled=replace(a.pooled, speakers=("s1",) * len(a.pooled.speakers)))
        for a in few.arms
        if a.pooled
    )
    held = Raincloud().info(replace(few, arms=lone))
    assert isinstance(held, Absent)
    assert "two speakers" in held.reason
    assert held.notable
