"""Parallel coordinates: every variant crosses every axis where its own value lies."""

from __future__ import annotations

from collections.abc import Sequence
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
from serlab.reports.figures.parallel import Parallel, ParallelNumbers, _axes_of, _places
from serlab.reports.frame import load_frame
from serlab.reports.records import Block, SearchPoint

SPACE = {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "pooling": ["max", "mean"]}


@pytest.fixture(scope="module")
def plain(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Block:
    """A search over poolings as its run was written."""
    study = fake.FakeStudy(
        design="search",
        epochs=0,
        meters=False,
        seeds=(0,),
        history=(
            ("pooling=mean", 0.6, "complete"),
            ("filters=time", None, "fail"),
            ("filters=square", 0.5, "complete"),
            ("pooling=max", 0.4, "complete"),
            ("pooling=mean", 0.6, "complete"),
            ("unknown", 0.7, "complete"),
        ),
        costs={"pooling=mean": 3e5, "filters=square": 1e5, "pooling=max": 2e5},
    )
    path: Path = fake.write_fake_run(tmp_path_factory.mktemp("search") / "run", study)
    return load_frame(path).blocks[0]


@pytest.fixture(scope="module")
def search(plain: Block) -> Block:
    """Twenty variants of three settings, one of which is the same in all."""
    rates = np.geomspace(1e-4, 1e-2, 20)
    trials = [
        SearchPoint(
            order=i + 1,
            arm=f"variant {i}",
            status="complete",
            value=0.5 + 0.01 * i,
            choices={"pooling": ["max", "mean"][i % 2], "learning_rate": float(rate), "epochs": 5},
        )
        for i, rate in enumerate(rates)
    ]
    study = replace(plain.study, toml={"search": {"space": SPACE}})
    return replace(plain, study=study, search=tuple(trials), cost="", front=())


def numbers(block: Block) -> ParallelNumbers:
    held = Parallel().info(block)
    assert isinstance(held, ParallelNumbers)
    return held


def test_a_trial_brings_what_its_variant_is_made_of(plain: Block) -> None:
    """From the study's list of arms; one that is not there, or has no score, is told of."""
    held = numbers(plain)
    assert [(p.order, p.choices["pooling"]) for p in held.space.points] == [
        (1, "mean"), (3, "square"), (4, "max"),
    ]  # fmt: skip
    assert [d.name for d in held.space.dimensions] == ["pooling"]
    assert "2 trials without a score not shown" in held.caption()
    assert "1 trial of the same variants not repeated" in held.caption()
    rows = {r["arm"]: (r["cost_parameters"], r["on_front"]) for r in held.rows()}
    assert rows == {
        "pooling=mean": (3e5, True), "filters=square": (1e5, True), "pooling=max": (2e5, False),
    }  # fmt: skip


def test_axes_are_what_differs_in_the_order_of_the_space(search: Block) -> None:
    """The epochs, which no trial changes, have none."""
    held = numbers(search)
    rate, pooling = held.space.dimensions
    assert (rate.name, rate.log, rate.levels) == ("learning_rate", True, ())
    assert (pooling.name, pooling.log, pooling.levels) == ("pooling", False, ("max", "mean"))
    assert set(held.rows()[0]) == {
        "trial", "arm", "validation_ua", "among_best", "learning_rate", "pooling",
    }  # fmt: skip


def test_numbers_lie_by_their_size_and_levels_are_spread(search: Block) -> None:
    """A rate that grows by a factor moves by a step; no two trials of a level coincide."""
    held = numbers(search)
    rate, pooling = (_places(d, held.space.scores) for d in held.space.dimensions)
    assert rate == pytest.approx(np.linspace(0, 1, 20))
    assert len(set(pooling.tolist())) == 20
    assert (pooling[::2] < 0.5).all()
    assert (pooling[1::2] > 0.5).all()
    assert (np.diff(pooling[::2]) > 0).all()


def test_the_best_are_the_highest_scores(search: Block) -> None:
    """A tenth of twenty are two."""
    held = numbers(search)
    assert held.best.tolist() == [19, 18]
    assert [r["trial"] for r in held.rows() if r["among_best"]] == [19, 20]
    assert "trial 20 (variant 19) 0.690; trial 19 (variant 18) 0.680" in held.alt()


def test_every_variant_is_a_line_and_the_best_lies_on_top(plain: Block, search: Block) -> None:
    """From the score down; a front is dashed as well."""
    with style("x"):
        axes = Parallel().draw(numbers(search), WIDTHS_IN["double"]).axes[0]
        again = Parallel().draw(numbers(plain), WIDTHS_IN["double"]).axes[0]
    lines = [x for x in axes.lines if list(x.get_ydata()) == [0, 1, 2]]
    assert len(lines) == 20
    assert [line.get_marker() for line in lines] == ["None"] * 18 + ["o"] * 2
    assert lines[-1].get_xdata()[0] == 1
    assert [x.get_marker() for x in again.lines].count("D") == 2


def test_so_many_levels_have_no_names(search: Block) -> None:
    """Their number stands on the axis, and every trial still has its line."""
    points = [
        replace(p, order=i + 1, arm=f"v{i}", choices={**p.choices, "pooling": f"level {i:02d}"})
        for i, p in enumerate(search.search * 2)
    ]
    with style("x"):
        axes = Parallel().draw(numbers(replace(search, search=tuple(points))), 7.2).axes[0]
    told = {text.get_text() for text in axes.texts}
    assert "40 levels, by name" in told
    assert not any(text.startswith("level") for text in told)
    assert len([x for x in axes.lines if list(x.get_ydata()) == [0, 1, 2]]) == 40


def test_costs_stand_below_the_score(plain: Block) -> None:
    """Where every trial has one."""
    held = numbers(plain)
    assert [d.name for d in _axes_of(held)] == ["validation UA", "parameters", "pooling"]
    bare = tuple(replace(p, cost=None) for p in plain.search)
    some = numbers(replace(plain, search=(*plain.search[:3], *bare[3:])))
    assert [d.name for d in _axes_of(some)] == ["validation UA", "pooling"]


def _reason(block: Block) -> tuple[str, bool]:
    held = Parallel().info(block)
    assert isinstance(held, Absent)
    return held.reason, held.notable


def _first(points: Sequence[SearchPoint], n: int) -> tuple[SearchPoint, ...]:
    return tuple(points[:n])


def test_too_few_trials_are_no_picture(search: Block, run: Path) -> None:
    """A search is expected to have one, an ablation is not."""
    reason, notable = _reason(replace(search, search=_first(search.search, 2)))
    assert "scored 2 variants" in reason
    assert notable
    assert not _reason(load_frame(run).blocks[0])[1]


@pytest.mark.parametrize("width", sorted(WIDTHS_IN))
def test_hostile_names_do_no_harm_at_any_width(width: str, search: Block, tmp_path: Path) -> None:
    """Names of options and levels are text."""
    hostile = "<script>alert(1)</script>$x_1^{2}$" * 4
    points = tuple(
        replace(p, choices={**p.choices, hostile: f"{hostile}{i % 3}"})
        for i, p in enumerate(search.search)
    )
    held = write_figure(
        Parallel(),
        "parallel",
        replace(search, search=points),
        tmp_path,
        slug="x",
        venue=Venue(width=width),
    )
    assert not isinstance(held, Absent)
    assert "<script" not in held.svg
    again = write_figure(
        Parallel(),
        "parallel",
        replace(search, search=points),
        tmp_path,
        slug="y",
        venue=Venue(width=width),
    )
    assert not isinstance(again, Absent)
    one, two = ((tmp_path / f"{slug}.pdf").read_bytes() for slug in "xy")
    assert one == two
