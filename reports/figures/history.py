"""A search's history: validation score by trial, and the best so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serlab.reports.figure import BLUE, FIGURES, MUTED, ORANGE, Absent, mark, new_figure, quiet
from serlab.reports.records import Block, SearchPoint
from serlab.reports.words import label, number, plural, short, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class HistoryNumbers:
    """The trials of a search in the order in which they were asked for."""

    marks: tuple[str, ...]
    metric: str
    points: tuple[SearchPoint, ...]

    @property
    def valued(self) -> tuple[SearchPoint, ...]:
        """The trials that came to a score."""
        return tuple(p for p in self.points if p.value is not None)

    @property
    def best(self) -> SearchPoint:
        """The trial with the highest validation score, the first of equal ones."""
        return max(self.valued, key=lambda p: (p.value or 0.0, -p.order))

    def best_so_far(self) -> list[float | None]:
        """The best score after each trial; None before the first."""
        held: float | None = None
        course: list[float | None] = []
        for point in self.points:
            if point.value is not None and (held is None or point.value > held):
                held = point.value
            course.append(held)
        return course

    def rows(self) -> list[dict[str, object]]:
        """One row a trial."""
        return [
            {
                "trial": p.order,
                "arm": p.arm,
                "status": p.status,
                f"validation_{self.metric}": p.value,
                "best_so_far": best,
            }
            for p, best in zip(self.points, self.best_so_far(), strict=True)
        ]

    def caption(self) -> str:
        """The caption."""
        lost = len(self.points) - len(self.valued)
        text = (
            f"Optimisation history: mean {title_of(self.metric)} on "
            "validation speakers by trial (dots) and the best so far (line). The test part is "
            "seen by no trial's selection, and the best validation score is optimistic."
        )
        return text + (f" {plural(lost, 'trial')} without a score at the foot." if lost else "")

    def alt(self) -> str:
        """The best trial in words."""
        best = self.best
        return (
            f"Optimisation history of {plural(len(self.points), 'trial')}; the best validation "
            f"{title_of(self.metric)} is {number(best.value)} in trial {best.order} "
            f"({label(best.arm)})."
        )


@FIGURES.register("history", order=9)
class History:
    """How a search went."""

    def info(self, block: Block) -> HistoryNumbers | Absent:
        """The search's trials."""
        if not block.search:
            return Absent(
                reason="the search has not ended yet", notable=block.study.design == "search"
            )
        numbers = HistoryNumbers(
            marks=block.corpus.marks,
            metric=block.study.metric,
            points=block.search,
        )
        if not numbers.valued:
            return Absent(reason="no trial of the search came to a validation score")
        return numbers

    def draw(self, numbers: HistoryNumbers, width_in: float) -> Figure:
        """Dots, a step line, and crosses for what came to nothing."""
        figure = new_figure(width_in, 2.6 + 0.16 * bool(numbers.marks))
        axes = figure.add_subplot()
        title = title_of(numbers.metric)
        mark(figure, numbers.marks, f"Search by validation {title}")
        held = numbers.valued
        axes.plot(
            [p.order for p in held], [p.value or 0.0 for p in held], "o", color=BLUE, alpha=0.7
        )
        course = [np.nan if v is None else v for v in numbers.best_so_far()]
        axes.step([p.order for p in numbers.points], course, where="post", color=ORANGE)
        lost = [p.order for p in numbers.points if p.value is None]
        foot = min(p.value for p in held if p.value is not None)
        axes.plot(lost, [foot] * len(lost), "x", color=MUTED)
        best = numbers.best
        axes.annotate(
            f"best: {number(best.value)}, {short(label(best.arm), 40)}",
            (best.order, best.value or 0.0),
            textcoords="offset points",
            xytext=(4, 5),
            fontsize=7.5,
            ha="left" if best.order <= len(numbers.points) / 2 else "right",
        )
        axes.margins(y=0.15)
        axes.set_xlabel("trial")
        axes.set_ylabel(f"validation {title}")
        quiet(axes, grid="y")
        return figure
