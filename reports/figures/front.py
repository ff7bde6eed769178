"""A search for score and cost together: every trial, and the front that no other beats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serlab.bench.statistics.records import Floats
from serlab.reports.figure import (
    BLUE,
    DASHES,
    FIGURES,
    MUTED,
    PAPER,
    Absent,
    cost_axis,
    is_narrow,
    mark,
    new_figure,
    quiet,
    spread,
)
from serlab.reports.records import Block, SearchPoint
from serlab.reports.words import compact, cost_title, label, listed, number, plural, short, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_NAMES = 14
"""Variants of the front that are named in the picture; the caption's file has all."""


@dataclass(frozen=True, kw_only=True)
class FrontNumbers:
    """The trials of a search that have both a score and a cost."""

    marks: tuple[str, ...]
    metric: str
    cost: str
    points: tuple[SearchPoint, ...]
    n_lost: int
    """Trials that came to no score or no cost."""
    names: tuple[str, ...]
    """The arms of the front, the cheapest first."""
    tested: frozenset[str]
    """Arms that have test scores in this report."""
    metered: frozenset[str]
    """Arms whose latency was measured."""

    @property
    def front(self) -> tuple[SearchPoint, ...]:
        """The first trial of each arm of the front."""
        first = {p.arm: p for p in reversed(self.points)}
        return tuple(first[name] for name in self.names if name in first)

    @property
    def title(self) -> str:
        """Of the cost."""
        return cost_title(self.cost)

    def rows(self) -> list[dict[str, object]]:
        """One row a trial."""
        return [
            {
                "trial": p.order,
                "arm": p.arm,
                f"validation_{self.metric}": p.value,
                self.cost: p.cost,
                "on_front": p.arm in self.names,
                "tested": p.arm in self.tested,
                "metered": p.arm in self.metered,
            }
            for p in self.points
        ]

    def caption(self) -> str:
        """The caption."""
        text = (
            f"Search for a high mean {title_of(self.metric)} on validation speakers and few "
            f"{self.title} together: each variant that was tried (circles), and the front that no "
            "other beats in both (filled, joined by the line), by their values alone. Validation "
            "scores of what a search chose are optimistic."
        )
        bare = [label(name) for name in self.names if name not in self.metered]
        if not bare:
            text += " All of the front is tested, and its latency measured, in this report."
        else:
            text += f" Of the front, without a measured latency: {listed(bare)}."
        return text + (f" {plural(self.n_lost, 'trial')} without a score." * bool(self.n_lost))

    def alt(self) -> str:
        """The front in words."""
        told = [
            f"trial {p.order} ({label(p.arm)}) {number(p.value)} with {compact(p.cost)}"
            for p in self.front
        ]
        return (
            f"Validation {title_of(self.metric)} against {self.title} of "
            f"{plural(len(self.points), 'trial')}; on the front: {'; '.join(told)}."
        )


@FIGURES.register("front", order=10)
class Front:
    """What a search for score and cost found."""

    def info(self, block: Block) -> FrontNumbers | Absent:
        """The search's trials."""
        if not block.cost:
            return Absent(reason="no search looked at a cost", notable=False)
        held = tuple(p for p in block.search if p.value is not None and p.cost is not None)
        if not held:
            return Absent(reason="no trial of the search came to a score and a cost")
        return FrontNumbers(
            marks=block.corpus.marks,
            metric=block.study.metric,
            cost=block.cost,
            points=held,
            n_lost=len(block.search) - len(held),
            names=block.front,
            tested=frozenset(a.name for a in block.arms if block.study.metric in a.scores),
            metered=frozenset(
                a.name for a in block.arms if a.meters.get("latency_p50").value is not None
            ),
        )

    def draw(self, numbers: FrontNumbers, width_in: float) -> Figure:
        """Circles, the front as steps, and its variants' names at the right, or at the foot."""
        n = min(len(numbers.front), MOST_NAMES)
        height = 2.6 + 0.16 * n if is_narrow(width_in) else max(2.8, 0.22 * n + 0.9)
        figure = new_figure(width_in, height + 0.16 * bool(numbers.marks))
        axes = figure.add_subplot()
        title = title_of(numbers.metric)
        mark(figure, numbers.marks, f"Search by validation {title} and {numbers.title}")
        _draw_points(axes, numbers)
        cost_axis(axes, [p.cost for p in numbers.points if p.cost is not None])
        axes.margins(y=0.12)
        axes.set_xlabel(numbers.title)
        axes.set_ylabel(f"validation {title}")
        quiet(axes, grid="y")
        if is_narrow(width_in):
            _legend(figure, numbers.front[:MOST_NAMES])
        else:
            _names(axes, numbers.front[:MOST_NAMES])
        return figure


def _draw_points(axes: Axes, numbers: FrontNumbers) -> None:
    others = _places(p for p in numbers.points if p.arm not in numbers.names)
    front = _places(numbers.front)
    axes.plot(others[:, 0], others[:, 1], "o", color=MUTED, markerfacecolor=PAPER, markersize=5)
    axes.step(
        front[:, 0], front[:, 1], where="post", color=MUTED, linewidth=0.9, linestyle=DASHES[1]
    )
    axes.plot(front[:, 0], front[:, 1], "o", color=BLUE, markeredgecolor=PAPER, markersize=6.5)
    for point, (cost, score) in zip(numbers.front, front, strict=True):
        axes.annotate(
            str(point.order),
            (cost, score),
            textcoords="offset points",
            xytext=(0, 5),
            ha="center",
            fontsize=7,
        )


def _places(points: Iterable[SearchPoint]) -> Floats:
    """Cost and score of each point, (point, 2)."""
    return np.array([(p.cost, p.value) for p in points], np.float64).reshape(-1, 2)


def _legend(figure: Figure, front: tuple[SearchPoint, ...]) -> None:
    """The number and the name of each variant of the front, below the axes."""
    from matplotlib.lines import Line2D

    texts = [f"{point.order}  {short(label(point.arm), 44)}" for point in front]
    handles = [Line2D([], [], linestyle="none", label=text) for text in texts]
    figure.legend(handles=handles, loc="outside lower left", fontsize=7.5, handlelength=0)


def _names(axes: Axes, front: tuple[SearchPoint, ...]) -> None:
    """The number and the name of each variant of the front, in the order of their heights."""
    low, high = axes.get_ylim()
    places = spread([((p.value or 0.0) - low) / (high - low) for p in front], 0.075)
    overflow = max(0.0, max(places, default=0.0) - 1.0) - max(0.0, -min(places, default=0.0))
    for point, place in zip(front, places, strict=True):
        text = f"{point.order}  {short(label(point.arm), 44)}"
        axes.text(1.03, place - overflow, text, transform=axes.transAxes, va="center", fontsize=7.5)
