"""Interactions: what changes are worth alone, in pairs beyond their sum, and as shares of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serlab.bench.metrics.base import metric
from serlab.bench.statistics.factorial import Term
from serlab.bench.statistics.records import Estimate
from serlab.reports.attribution import Attribution, NoAttribution
from serlab.reports.factorial import kind_of, name_of
from serlab.reports.figure import (
    BLUE,
    FIGURES,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    Absent,
    is_narrow,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.heat import COLOURS
from serlab.reports.records import Block
from serlab.reports.words import (
    clean,
    in_points,
    interval,
    label,
    listed,
    marks_of,
    number,
    short,
    title_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text


@dataclass(frozen=True, kw_only=True)
class InteractionsNumbers:
    """The attribution of a grid's changes."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    margin: float
    level: float
    changes: tuple[str, ...]
    held: Attribution

    def term(self, first: str, second: str) -> Term:
        """The main effect where both are one change, otherwise what both are beyond their sum."""
        return next(t for t in self.held.effects if set(t.changes) == {first, second})

    @property
    def deepest(self) -> float:
        """The size at which the colour is deepest, two margins at least: noise stays pale."""
        return max([2 * self.margin, *(abs(t.estimate.mean) for t in self.held.effects)])

    def separable(self, term: Term) -> bool:
        """Whether its adjusted p allows to call it other than 0."""
        return term.p_holm is not None and term.p_holm < 1 - self.level

    def rows(self) -> list[dict[str, object]]:
        """One row an effect, then the Shapley values and what they add up to."""
        whole = Term(changes=("all changes",), estimate=self.held.total, p_holm=None)
        kinds = [(kind_of(t), t) for t in self.held.effects]
        kinds += [("Shapley value", t) for t in self.held.shapley] + [("total", whole)]
        return [
            {
                "kind": kind,
                "change": name_of(term),
                "metric": self.metric,
                "value": term.estimate.mean,
                "low": term.estimate.low,
                "high": term.estimate.high,
                "level": self.level,
                "p_holm": term.p_holm,
                "includes_zero": includes_zero(term.estimate),
            }
            for kind, term in kinds
        ]

    def caption(self) -> str:
        """The caption."""
        title = title_of(self.metric)
        deepest = _told(self.deepest, self.metric).lstrip("+")
        unit = " points" if in_points(self.metric) else ""
        return (
            f"Effects of {len(self.changes)} changes on {title}{' in points' if unit else ''}, "
            f"{clean(self.corpus)}, from all their combinations. Framed: {title} with a change "
            "less that without it, averaged over the others. Other cells: what two changes are "
            "worth together beyond the sum of each alone. Below each value its "
            f"{self.level:.0%} interval; hatched where that includes 0, bold where separable from "
            f"0 (Holm within each kind). Blue gains, orange loses; deepest at {deepest}{unit}. "
            f"Shapley values are what each change adds, averaged over all orders; they sum to "
            f"{interval(self.held.total, sign=True)}; filled where separable from 0."
        )

    def alt(self) -> str:
        """Every effect in words."""
        told = [
            f"{name_of(t)} {interval(t.estimate, sign=True)}"
            + ("" if self.separable(t) else ", not separable from 0")
            for t in self.held.effects
        ]
        shares = [f"{name_of(t)} {interval(t.estimate, sign=True)}" for t in self.held.shapley]
        return (
            f"Main effects and interactions in {title_of(self.metric)}: {'; '.join(told)}. "
            f"Shapley values: {listed(shares)}."
        )


def includes_zero(estimate: Estimate) -> bool:
    """Whether 0 is in the interval; so it is where there is none."""
    return not (estimate.low > 0 or estimate.high < 0)


@FIGURES.register("interactions", order=2)
class Interactions:
    """What the changes of a full factorial are worth, alone and together."""

    def info(self, block: Block) -> InteractionsNumbers | Absent:
        """The block's attribution, or why it has none."""
        held = block.attribution
        if held is None:
            return Absent(reason="the study is no grid", notable=False)
        if isinstance(held, NoAttribution):
            return Absent(reason=held.reason)
        return InteractionsNumbers(
            marks=marks_of(block, block.arms),
            corpus=block.corpus.name,
            metric=block.study.metric,
            margin=block.study.margin,
            level=block.study.level,
            changes=tuple(t.changes[0] for t in held.effects if len(t.changes) == 1),
            held=held,
        )

    def draw(self, numbers: InteractionsNumbers, width_in: float) -> Figure:
        """The cells, with the Shapley values at their right, or below where there is no room."""
        k, wide = len(numbers.changes), not is_narrow(width_in)
        room_in = width_in - (3.9 if wide else 1.15)
        broken = room_in / k < 0.78
        cells_in, shares_in = (0.56 if broken else 0.46) * k, 0.75 + 0.24 * k
        height = 1.15 + cells_in + (0 if wide else shares_in) + 0.16 * bool(numbers.marks)
        figure = new_figure(width_in, height)
        title = f"Effects on {title_of(numbers.metric)} alone and together"
        mark(figure, numbers.marks, f"{title}, {short(numbers.corpus, 20)}")
        if wide:
            panels = figure.subplots(1, 2, sharey=True, width_ratios=[room_in, 2.2])
        else:
            panels = figure.subplots(2, 1, height_ratios=[cells_in + 0.4, shares_in])
        _cells(panels[0], numbers, broken=broken)
        names = [wrapped(label(change), 17, 2) for change in numbers.changes]
        _heads(panels[0], numbers.changes, room_in / k)
        panels[0].set_yticks(range(k), names)
        _shares(panels[1], numbers)
        if not wide:
            panels[1].set_yticks(range(k), names)
            panels[1].set_ylim(k - 0.5, -0.5)
        return figure


# --- drawing -------------------------------------------------------------------------------


def _told(value: float, name: str) -> str:
    factor, digits = (100, 1) if in_points(name) else (1, 3)
    return number(value * factor, digits, sign=True)


def _heads(axes: Axes, changes: Sequence[str], cell_in: float) -> None:
    """The changes below their columns, turned where they are many."""
    places = range(len(changes))
    if len(changes) > 4:
        names = [short(label(change), 20) for change in changes]
        axes.set_xticks(places, names, rotation=35, ha="right", rotation_mode="anchor")
        return
    axes.set_xticks(places, [wrapped(label(c), int(14 * cell_in), 3) for c in changes])


def _cells(axes: Axes, numbers: InteractionsNumbers, *, broken: bool) -> None:
    """The lower half of the square of changes, its diagonal framed."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colours = LinearSegmentedColormap.from_list("serlab", COLOURS)
    up = 1 if metric(numbers.metric).higher_is_better else -1
    k = len(numbers.changes)
    for i, j in np.argwhere(np.tri(k)).tolist():
        term = numbers.term(numbers.changes[i], numbers.changes[j])
        share = up * term.estimate.mean / numbers.deepest
        corner = (j - 0.47, i - 0.47)
        fill = colours(0.5 + share / 2)
        axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor=fill))
        if includes_zero(term.estimate):
            axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor="none", edgecolor="#bbbbbb",
                                     hatch="////", linewidth=0))  # fmt: skip
        if i == j:
            axes.add_patch(Rectangle(corner, 0.94, 0.94, facecolor="none", edgecolor=INK))
        for text in _texts(axes, (j, i), term, numbers, broken=broken):
            text.set_color("#fefefe" if abs(share) > 0.75 else "#111111")
            text.set_bbox({"facecolor": fill, "linewidth": 0, "pad": 0.6})
    axes.set_xlim(-0.5, k - 0.5)
    axes.set_ylim(k - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _texts(
    axes: Axes,
    place: tuple[float, float],
    term: Term,
    numbers: InteractionsNumbers,
    *,
    broken: bool,
) -> tuple[Text, Text]:
    """Value and interval, the latter on two lines where the cell is narrow."""
    (x, y), estimate = place, term.estimate
    bold = "bold" if numbers.separable(term) else "normal"
    value = _told(estimate.mean, numbers.metric)
    low, high = (_told(v, numbers.metric) for v in (estimate.low, estimate.high))
    told = f"[{low},{chr(10) if broken else ' '}{high}]" if estimate.estimable else "no interval"
    up = 0.22 if broken else 0.16
    upper = axes.text(x, y - up, value, ha="center", va="center", fontsize=8, fontweight=bold)
    lower = axes.text(x, y + 0.18, told, ha="center", va="center", fontsize=6.3, linespacing=1.1)
    return upper, lower


def _shares(axes: Axes, numbers: InteractionsNumbers) -> None:
    """A dot and its interval for each Shapley value."""
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    up = 1 if metric(numbers.metric).higher_is_better else -1
    for y, term in enumerate(_in_order(numbers.held.shapley, numbers.changes)):
        estimate = term.estimate
        colour = MUTED
        if numbers.separable(term):
            colour = BLUE if up * estimate.mean > 0 else ORANGE
        axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=1.6, zorder=2)
        axes.plot([estimate.mean], [y], "o", markersize=5.5, markeredgecolor=colour,
                  markerfacecolor=colour if numbers.separable(term) else PAPER,
                  markeredgewidth=1.2, zorder=3)  # fmt: skip
    unit = ", points" if in_points(numbers.metric) else ""
    axes.set_xlabel(f"Shapley value{unit}\nall: {_all(numbers)}")
    axes.xaxis.set_major_formatter(lambda x, _: _tick(x, numbers.metric))
    axes.locator_params(axis="x", nbins=5)
    axes.tick_params(axis="y", length=0)
    quiet(axes, grid="x")
    axes.spines["left"].set_visible(False)


def _tick(value: float, name: str) -> str:
    factor, digits = (100, 0) if in_points(name) else (1, 2)
    return number(value * factor, digits, sign=True)


def _all(numbers: InteractionsNumbers) -> str:
    whole = numbers.held.total
    mean, low, high = (_told(v, numbers.metric) for v in (whole.mean, whole.low, whole.high))
    return f"{mean} [{low}, {high}]" if whole.estimable else mean


def _in_order(terms: Sequence[Term], changes: Sequence[str]) -> list[Term]:
    return sorted(terms, key=lambda t: changes.index(t.changes[0]))
