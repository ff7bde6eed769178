"""Importance: what makes the score stands first, noise stands at 0 or gives no figure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serlab.bench.statistics.records import Floats
from serlab.reports.figure import WIDTHS_IN, Absent, style, write_figure
from serlab.reports.figures.importance import (
    LEAST,
    SEEDS,
    ImportanceFigure,
    ImportanceNumbers,
    _forests,
)
from serlab.reports.frame import load_frame
from serlab.reports.records import Block, SearchPoint


@pytest.fixture(scope="module")
def plain(run: Path) -> Block:
    """A search without trials as yet."""
    block = load_frame(run).blocks[0]
    return replace(block, study=replace(block.study, design="search"))


def searched(plain: Block, n: int, weights: tuple[float, float, float], noise: float) -> Block:
    """Variants whose score is the weighted sum of three settings and of noise."""
    rng = np.random.default_rng(0)
    values: Floats = np.stack([rng.random(n), rng.random(n), rng.integers(0, 3, n)], axis=1)
    scores = values @ np.array(weights) + noise * rng.normal(size=n)
    points = tuple(
        SearchPoint(
            order=i + 1,
            arm=f"variant {i}",
            status="complete",
            value=float(score),
            choices={"dropout": row[0], "width": row[1], "pooling": f"kind {row[2]:.0f}"},
        )
        for i, (row, score) in enumerate(zip(values.tolist(), scores, strict=True))
    )
    return replace(plain, search=points)


@pytest.fixture(scope="module")
def made(plain: Block) -> Block:
    """Forty variants whose width makes most of the score, and whose dropout nothing."""
    return searched(plain, 40, (0.0, 1.0, 0.2), 0.01)


def numbers(block: Block) -> ImportanceNumbers:
    held = ImportanceFigure().info(block)
    assert isinstance(held, ImportanceNumbers)
    return held


def reason(block: Block) -> str:
    held = ImportanceFigure().info(block)
    assert isinstance(held, Absent)
    assert held.notable
    return held.reason


def test_what_makes_the_score_comes_first(made: Block) -> None:
    """What has no part in it lies about 0 in every repetition."""
    held = numbers(made)
    assert [p.name for p in held.parts] == ["width", "pooling", "dropout"]
    width, pooling, dropout = (p.losses for p in held.parts)
    assert width.min() > pooling.max() > pooling.min() > 0.03
    assert np.abs(dropout).max() < 0.1
    assert (held.explained > 0.5).all()


def test_the_spread_is_of_repetitions(made: Block) -> None:
    """Each has parts and a forest of its own."""
    held = numbers(made)
    rows = held.rows()
    assert len(rows) == 3 * SEEDS
    assert len({r["loss_of_r2"] for r in rows if r["hyperparameter"] == "width"}) == SEEDS
    assert held.parts[0].median == np.median(held.parts[0].losses)


def test_the_order_of_two_equal_makers_is_theirs(plain: Block) -> None:
    """Turned around, the weights turn the figure around."""
    turned = numbers(searched(plain, 40, (1.0, 0.1, 0.0), 0.01))
    assert turned.parts[0].name == "dropout"


def test_the_caption_says_that_it_describes(made: Block) -> None:
    """And how well the forest does, without which the numbers mean nothing."""
    held = numbers(made)
    told = f"explains {np.median(held.explained):.2f} of the variance"
    assert told in held.caption()
    assert "no effect of a hyperparameter, and has no test" in held.caption()
    assert "of 40;" in held.caption()


def test_noise_has_no_importance(plain: Block) -> None:
    """A forest that predicts nothing is not asked what it makes use of."""
    block = searched(plain, 30, (0.0, 0.0, 0.0), 1.0)
    assert "predicts held-out ones no better than their mean" in reason(block)


def test_few_or_equal_trials_are_told(plain: Block, made: Block) -> None:
    """Each with its own reason."""
    assert "scored 19 variants in 3 hyperparameters" in reason(
        replace(made, search=made.search[: LEAST - 1])
    )
    one = tuple(replace(p, choices={"width": p.choices["width"]}) for p in made.search)
    assert "in 1 hyperparameter;" in reason(replace(made, search=one))
    same = tuple(replace(p, value=0.5) for p in made.search)
    assert "all variants have the same score" in reason(replace(made, search=same))
    assert "has not ended yet" in reason(plain)


def test_nobody_expects_it_of_an_ablation(run: Path) -> None:
    """The page does not say that it is missing."""
    held = ImportanceFigure().info(load_frame(run).blocks[0])
    assert isinstance(held, Absent)
    assert not held.notable


@pytest.mark.parametrize("width", sorted(WIDTHS_IN))
def test_every_repetition_is_drawn_where_it_is(width: str, made: Block) -> None:
    """A row a hyperparameter, the bar at the median."""
    held = numbers(made)
    with style("x"):
        figure = ImportanceFigure().draw(held, WIDTHS_IN[width])
    assert figure.get_figwidth() == WIDTHS_IN[width]
    lines = figure.axes[0].lines
    dots = [line for line in lines if line.get_marker() == "o"]
    for part, line in zip(held.parts, dots, strict=True):
        assert np.array_equal(line.get_xdata(), part.losses)
    bars = [line.get_xdata()[0] for line in lines if line.get_linewidth() == 1.6]
    assert bars == [p.median for p in held.parts]


def test_it_has_the_same_bytes_again(made: Block, tmp_path: Path) -> None:
    """Forests and parts have seeds of their own."""
    for slug in ("one", "two"):
        (tmp_path / slug).mkdir()
        write_figure(ImportanceFigure(), "importance", made, tmp_path / slug, slug="x")
        _forests.cache_clear()
    for ending in ("pdf", "svg", "png", "csv", "txt"):
        first, second = (tmp_path / slug / f"x.{ending}" for slug in ("one", "two"))
        assert first.read_bytes() == second.read_bytes(), ending
