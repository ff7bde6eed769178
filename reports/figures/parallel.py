"""Parallel coordinates of a search: what each trial was made of, its cost, and its score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serlab.bench.statistics.records import Floats, Integers
from serlab.reports.figure import (
    BLUE,
    DASHES,
    FAINT,
    FIGURES,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    Absent,
    is_narrow,
    mark,
    new_figure,
)
from serlab.reports.records import Block
from serlab.reports.searched import Dimension, Space, space_of
from serlab.reports.words import (
    clean,
    compact,
    cost_title,
    label,
    listed,
    number,
    plural,
    short,
    title_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST = 3
"""Fewer trials are told by their names."""

MOST_LEVELS = 24
"""Of an option whose levels are named; of more, their number is."""

WIDTH = 0.62
"""How much of its place on an axis the trials of one level are spread over."""

BEST = 5
"""Most trials that are drawn as the best: a tenth of all, and one at least."""

LETTERS = 12.6
"""How many letters of a level's name an inch of the figure's width has room for."""

ROW_IN = 0.5
"""From one axis to the next, in inches."""


@dataclass(frozen=True, kw_only=True)
class ParallelNumbers:
    """The trials of a search as lines over the axes."""

    marks: tuple[str, ...]
    metric: str
    cost: str
    space: Space
    front: tuple[str, ...]
    """Arms that no other beats in score and cost."""

    @property
    def best(self) -> Integers:
        """Places of the trials with the highest scores, the highest first."""
        n = max(1, min(BEST, len(self.space.points) // 10))
        order: Integers = np.argsort(-self.space.scores, kind="stable")[:n]
        return order

    def rows(self) -> list[dict[str, object]]:
        """One row a trial."""
        best = set(self.best.tolist())
        return [
            {
                "trial": p.order,
                "arm": p.arm,
                f"validation_{self.metric}": p.value,
                **({f"cost_{self.cost}": p.cost, "on_front": p.arm in self.front} if self.cost
                   else {}),
                "among_best": i in best,
                **{d.name: p.choices.get(d.name) for d in self.space.dimensions},
            }
            for i, p in enumerate(self.space.points)
        ]  # fmt: skip

    def caption(self) -> str:
        """The caption."""
        n = len(self.best)
        text = (
            "Parallel coordinates: a line is one variant that the search tried, from its mean "
            f"{title_of(self.metric)} on validation speakers down over what it was made of; the "
            f"{'best one is' if n == 1 else f'{n} best are'} thick. Trials of one level are spread "
            "over its place by their scores, the lowest left. A search tries more where it found "
            "good scores, so many lines in a place are its choice and no evidence."
        )
        if self.cost:
            text += f" Dashed: the front of score and {cost_title(self.cost)}."
        if self.space.n_lost:
            text += f" {plural(self.space.n_lost, 'trial')} without a score not shown."
        if self.space.n_again:
            text += f" {plural(self.space.n_again, 'trial')} of the same variants not repeated."
        return text

    def alt(self) -> str:
        """The best trials in words."""
        points = self.space.points
        told = [
            f"trial {points[i].order} ({label(points[i].arm)}) {number(points[i].value)}"
            for i in self.best.tolist()
        ]
        names = listed([clean(d.name) for d in self.space.dimensions])
        return (
            f"{plural(len(points), 'variant')} over {names}; the best validation "
            f"{title_of(self.metric)}: {'; '.join(told)}."
        )


@FIGURES.register("parallel", order=10)
class Parallel:
    """What the trials of a search were made of."""

    def info(self, block: Block) -> ParallelNumbers | Absent:
        """The trials whose variant and score are known."""
        asked = block.study.design == "search"
        if not block.search:
            return Absent(reason="no search was made, or it has not ended yet", notable=asked)
        space = space_of(block)
        if len(space.points) < LEAST or not space.dimensions:
            return Absent(
                reason=f"the search scored {plural(len(space.points), 'variant')}; lines over "
                f"axes need {LEAST} that differ",
                notable=asked,
            )
        return ParallelNumbers(
            marks=block.corpus.marks,
            metric=block.study.metric,
            cost=block.cost,
            space=space,
            front=block.front,
        )

    def draw(self, numbers: ParallelNumbers, width_in: float) -> Figure:
        """One axis below the other, so that their names and levels stand upright."""
        axes_of = _axes_of(numbers)
        height = 0.75 + ROW_IN * len(axes_of) + 0.16 * bool(numbers.marks)
        figure = new_figure(width_in, height)
        mark(figure, numbers.marks, f"Trials by validation {title_of(numbers.metric)}")
        axes = figure.add_subplot()
        scores = numbers.space.scores
        places = np.array([_places(d, scores) for d in axes_of])
        wide = not is_narrow(width_in)
        for y, dimension in enumerate(axes_of):
            _axis(axes, y, dimension, LETTERS * width_in)
        _lines(axes, numbers, places)
        names = [wrapped(d.name, 24 if wide else 15) for d in axes_of]
        axes.set_yticks(range(len(axes_of)), names)
        axes.tick_params(axis="y", length=0)
        axes.set_xticks([])
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(len(axes_of) - 0.45, -0.3)
        axes.spines[["left", "bottom", "top", "right"]].set_visible(False)
        _legend(axes, numbers)
        return figure


def _axes_of(numbers: ParallelNumbers) -> list[Dimension]:
    """Score, cost where all trials have one, and what was varied."""
    space = numbers.space
    title = f"validation {title_of(numbers.metric)}"
    held = [Dimension(name=title, levels=(), log=False, values=space.scores)]
    costs = [p.cost for p in space.points if p.cost is not None]
    if numbers.cost and len(costs) == len(space.points) and min(costs) < max(costs):
        log = min(costs) > 0 and max(costs) / min(costs) > 5
        title = cost_title(numbers.cost)
        held.append(Dimension(name=title, levels=(), log=log, values=np.array(costs, np.float64)))
    return [*held, *space.dimensions]


def _places(dimension: Dimension, scores: Floats) -> Floats:
    """Where each trial crosses an axis, (trial,) from 0 to 1."""
    values, n = dimension.values, len(dimension.levels)
    if not n:
        held = np.log(values) if dimension.log else values
        found: Floats = (held - held.min()) / (np.ptp(held) or 1.0)
        return found
    placed = np.zeros(len(values))
    for level in range(n):
        mine = np.flatnonzero(values == level)
        order = mine[np.argsort(scores[mine], kind="stable")]
        aside = np.linspace(-WIDTH / 2, WIDTH / 2, len(mine)) if len(mine) > 1 else np.zeros(1)
        placed[order] = (level + 0.5 + aside[: len(mine)]) / n
    return placed


# --- drawing -------------------------------------------------------------------------------


def _axis(axes: Axes, y: int, dimension: Dimension, letters: float) -> None:
    """A line with its values below; each level has a stretch of its own."""
    n = len(dimension.levels)
    if n > MOST_LEVELS:
        axes.plot([0, 1], [y, y], color=FAINT, linewidth=3, zorder=1)
        _told(axes, 0.5, y, f"{n} levels, by name", "center")
    elif n:
        width = max(4, round(letters / n))
        for i, level in enumerate(dimension.levels):
            left, right = ((i + 0.5 + side * (WIDTH + 0.16) / 2) / n for side in (-1, 1))
            axes.plot([left, right], [y, y], color=FAINT, linewidth=3, zorder=1)
            _told(axes, (i + 0.5) / n, y, wrapped(level, width, 3), "center")
    else:
        axes.plot([0, 1], [y, y], color=FAINT, linewidth=3, zorder=1)
        for value, place, side in _ticks(dimension):
            _told(axes, place, y, value, side)


def _ticks(dimension: Dimension) -> list[tuple[str, float, str]]:
    """Lowest, middle and highest value as text, with place and alignment."""
    low, high = float(dimension.values.min()), float(dimension.values.max())
    middle = float(np.sqrt(low * high)) if dimension.log else (low + high) / 2
    return [(_short(low), 0.0, "left"), (_short(middle), 0.5, "center"), (_short(high), 1, "right")]


def _short(value: float) -> str:
    return compact(value) if abs(value) >= 1000 else f"{value:.3g}".replace("-", "\N{MINUS SIGN}")


def _told(axes: Axes, x: float, y: int, text: str, side: str) -> None:
    axes.annotate(
        text, (x, y), textcoords="offset points", xytext=(0, -4), ha=side, va="top", fontsize=6.8,
        color=INK, zorder=6, linespacing=1.0,
        bbox={"boxstyle": "square,pad=0.1", "facecolor": PAPER, "edgecolor": "none", "alpha": 0.8},
    )  # fmt: skip


def _lines(axes: Axes, numbers: ParallelNumbers, places: Floats) -> None:
    """The lowest scores first, so that the best lie on top."""
    y = np.arange(len(places))
    best = numbers.best.tolist()
    for i in np.argsort(numbers.space.scores, kind="stable").tolist():
        x, front = places[:, i], numbers.space.points[i].arm in numbers.front
        if i in best:
            axes.plot(x, y, "o-", color=BLUE, linewidth=1.8, markersize=4, zorder=4,
                      markeredgecolor=PAPER, markeredgewidth=0.4)  # fmt: skip
        if front:
            axes.plot(x, y, "D", color=ORANGE, linewidth=1.1, linestyle=DASHES[1], markersize=3.2,
                      zorder=5, markeredgecolor=PAPER, markeredgewidth=0.4)  # fmt: skip
        if not front and i not in best:
            axes.plot(x, y, color=MUTED, linewidth=0.6, alpha=0.4, zorder=2)


def _legend(axes: Axes, numbers: ParallelNumbers) -> None:
    from matplotlib.lines import Line2D

    n = len(numbers.best)
    handles = [
        Line2D([], [], color=BLUE, marker="o", markersize=4, linewidth=1.8,
               label="best" if n == 1 else f"{n} best"),
        Line2D([], [], color=MUTED, linewidth=0.8, label="others"),
    ]  # fmt: skip
    if numbers.cost:
        name = short(f"front with {cost_title(numbers.cost)}", 32)
        front = Line2D([], [], color=ORANGE, marker="D", markersize=3.2, linestyle=DASHES[1],
                       linewidth=1.1, label=name)  # fmt: skip
        handles.insert(1, front)
    axes.figure.legend(handles=handles, loc="outside lower left", ncols=len(handles), fontsize=7)
