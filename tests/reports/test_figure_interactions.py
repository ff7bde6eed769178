"""The heatmap of interactions: the attribution's numbers, marked where they may be 0."""

from __future__ import annotations

import csv
import itertools
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from serlab.bench.contracts import Status
from serlab.bench.statistics.factorial import Term
from serlab.reports.attribution import Attribution
from serlab.reports.figure import (
    WIDTHS_IN,
    Absent,
    Drawn,
    Venue,
    style,
    write_figure,
)
from serlab.reports.figures.interactions import Interactions, InteractionsNumbers, includes_zero
from serlab.reports.frame import load_frame
from serlab.reports.records import Block

TOGETHER = frozenset({"pooling=mean", "filters=time"})
"""Worth much less together than each alone."""


def study(fake: ModuleType, **other: object) -> object:
    """A full factorial of two changes that work against each other, and a third that does not."""
    skill, options = {}, {}
    for made in itertools.product((0, 1), repeat=3):
        values = [("attention", "mean")[made[0]], ("both", "time")[made[1]], ("a", "b")[made[2]]]
        slots = dict(zip(("pooling", "filters", "dropout"), values, strict=True))
        changed = [f"{s}={v}" for (s, v), on in zip(slots.items(), made, strict=True) if on]
        name = ", ".join(changed) or "base"
        skill[name] = 0.9 - 0.1 * made[0] - 0.15 * made[1] - 0.25 * made[0] * made[1]
        options[name] = slots
    facts = {"design": "grid", "skill": skill, "options": options, "epochs": 0, "meters": False}
    return fake.FakeStudy(**(facts | {"leaks": ("split at random",)} | other))


@pytest.fixture(scope="module")
def block(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Block:
    folder = tmp_path_factory.mktemp("interactions") / "run"
    return load_frame(fake.write_fake_run(folder, study(fake))).blocks[0]


@pytest.fixture(scope="module")
def held(block: Block) -> InteractionsNumbers:
    found = Interactions().info(block)
    assert isinstance(found, InteractionsNumbers)
    return found


def test_cells_are_the_attribution_of_the_block(held: InteractionsNumbers, block: Block) -> None:
    """Nothing is computed twice: main effects, pairs and shares are the block's own."""
    assert isinstance(block.attribution, Attribution)
    rows = held.rows()
    kinds = [row["kind"] for row in rows]
    assert kinds == ["main effect"] * 3 + ["interaction"] * 3 + ["Shapley value"] * 3 + ["total"]
    terms = (*block.attribution.effects, *block.attribution.shapley)
    assert [row["value"] for row in rows[:-1]] == [t.estimate.mean for t in terms]
    shares = [float(str(row["value"])) for row in rows[6:9]]
    assert sum(shares) == pytest.approx(rows[9]["value"])


def test_the_diagonal_holds_main_effects(held: InteractionsNumbers) -> None:
    """One change with itself; a pair is the same from both sides."""
    for change in held.changes:
        assert held.term(change, change).changes == (change,)
    first, second = held.changes[:2]
    assert held.term(first, second) is held.term(second, first)
    assert set(held.term(first, second).changes) == {first, second}


def test_what_may_be_nothing_is_hatched_and_what_is_shown_is_bold(
    held: InteractionsNumbers,
) -> None:
    """The planted pair is neither hatched nor plain; in every cell the marks follow the numbers."""
    with style("x"):
        axes = Interactions().draw(held, WIDTHS_IN["double"]).axes[0]
        marked = [p for p in axes.patches if p.get_hatch()]
        hatched = {(round(p.get_x() + 0.47), round(p.get_y() + 0.47)) for p in marked}
        values = [t for t in axes.texts if "[" not in t.get_text()]
        weights = {t.get_position(): t.get_fontweight() for t in values}
    for i, first in enumerate(held.changes):
        for j, second in enumerate(held.changes[: i + 1]):
            term = held.term(first, second)
            bold = "bold" if held.separable(term) else "normal"
            assert ((j, i) in hatched) is includes_zero(term.estimate)
            assert next(w for (x, y), w in weights.items() if x == j and i - 0.5 < y < i) == bold
    planted = next(t for t in held.held.effects if set(t.changes) == TOGETHER)
    assert planted.estimate.high < 0
    assert held.separable(planted)
    assert hatched


def test_colours_are_centred_on_zero(held: InteractionsNumbers) -> None:
    """A loss is orange and a gain blue, whichever way the metric is better."""

    def fills(numbers: InteractionsNumbers) -> list[tuple[float, ...]]:
        with style("x"):
            axes = Interactions().draw(numbers, WIDTHS_IN["double"]).axes[0]
        return [p.get_facecolor() for p in axes.patches if p.get_fill() and p.get_facecolor()[3]]

    effects = tuple(
        Term(changes=t.changes, estimate=replace(t.estimate, mean=size), p_holm=t.p_holm)
        for t, size in zip(held.held.effects, (-0.1, 0.1, 0.0, 0.0, 0.0, 0.0), strict=True)
    )
    made = replace(held, held=replace(held.held, effects=effects))
    (red, _, blue), lower = fills(made)[0][:3], fills(replace(made, metric="ece"))[0][:3]
    assert red > blue
    assert lower[2] > lower[0]
    middle = fills(made)[-1]
    assert max(middle[:3]) - min(middle[:3]) < 0.01


def test_an_effect_without_an_interval_is_no_finding(held: InteractionsNumbers) -> None:
    """It is hatched, and the cell says so."""
    nothing = {"low": math.nan, "high": math.nan}
    effects = tuple(
        replace(t, estimate=replace(t.estimate, **nothing), p_holm=None) for t in held.held.effects
    )
    made = replace(held, held=replace(held.held, effects=effects))
    assert all(row["includes_zero"] for row in made.rows()[:6])
    with style("x"):
        axes = Interactions().draw(made, WIDTHS_IN["single"]).axes[0]
    assert sum(t.get_text() == "no interval" for t in axes.texts) == 6
    assert sum(bool(p.get_hatch()) for p in axes.patches) == 6


def test_words_tell_what_is_shown(held: InteractionsNumbers) -> None:
    """The caption tells scale and sum, the alternative text every effect."""
    assert "they sum to " in held.caption()
    assert f"deepest at {held.deepest * 100:.1f} points" in held.caption()
    name = next(t for t in held.held.effects if set(t.changes) == TOGETHER).changes
    assert f"{name[0]} × {name[1]} −0." in held.alt()
    assert held.alt().count("not separable from 0") == sum(
        not held.separable(t) for t in held.held.effects
    )


def test_files_are_the_same_again(block: Block, tmp_path: Path) -> None:
    """At every width, with the marks of the corpus in picture and caption."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for width in WIDTHS_IN:
            drawn = write_figure(
                Interactions(),
                "interactions",
                block,
                tmp_path / folder,
                slug=width,
                venue=Venue(width=width),
            )
            assert isinstance(drawn, Drawn)
            for mark in ("SYNTHETIC SPEECH", "NOT SPEAKER-INDEPENDENT"):
                assert mark in drawn.caption
                assert mark in drawn.svg
    for first in (tmp_path / "one").iterdir():
        assert first.read_bytes() == (tmp_path / "two" / first.name).read_bytes(), first.name
    with (tmp_path / "one" / "double.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 10


def test_other_studies_have_none(run: Path, fake: ModuleType, tmp_path: Path) -> None:
    """Quietly where nobody expects it; with the reason where a grid is no factorial."""
    quiet = Interactions().info(load_frame(run).blocks[0])
    assert isinstance(quiet, Absent)
    assert not quiet.notable
    lost = study(fake, lost={("filters=time", "fold0", 2): Status.FAILED})
    told = Interactions().info(load_frame(fake.write_fake_run(tmp_path, lost)).blocks[0])
    assert isinstance(told, Absent)
    assert told.notable
    assert "filters=time is not compared" in told.reason
