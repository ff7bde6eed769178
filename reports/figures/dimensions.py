"""The metric of each dimension of the traces in each arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.bench.metrics.base import metric
from serlab.bench.statistics.records import Estimate
from serlab.reports.figure import FIGURES, NO_TRACES, Absent, mark, new_figure
from serlab.reports.heat import DEEPEST, cells
from serlab.reports.records import Arm, Block
from serlab.reports.words import clean, interval, marks_of, number, short, tagged, title_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class DimensionsNumbers:
    """Values (arm, dimension), the base first where there is one; None where it is undefined."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    level: float
    labels: tuple[str, ...]
    arms: tuple[str, ...]
    has_base: bool
    estimates: tuple[tuple[Estimate | None, ...], ...]

    @property
    def values(self) -> Values:
        """(arm, dimension); nan where undefined."""
        rows = [[e.mean if e else np.nan for e in row] for row in self.estimates]
        return np.array(rows, np.float64)

    @property
    def gains(self) -> Values:
        """How much better than the base (zeros where there is none)."""
        if not self.has_base:
            return np.zeros(self.values.shape)
        sign = 1.0 if metric(self.metric).higher_is_better else -1.0
        return sign * (self.values - self.values[:1])

    def rows(self) -> list[dict[str, object]]:
        """One row an arm and dimension."""
        base = self.estimates[0] if self.has_base else ()
        table: list[dict[str, object]] = []
        for arm, estimates in zip(self.arms, self.estimates, strict=True):
            for place, (label, held) in enumerate(zip(self.labels, estimates, strict=True)):
                first = base[place] if base else None
                table.append(
                    {
                        "arm": arm,
                        "dimension": label,
                        self.metric: held.mean if held else None,
                        "low": held.low if held else None,
                        "high": held.high if held else None,
                        "difference_to_base": held.mean - first.mean if held and first else None,
                    }
                )
        return table

    def caption(self) -> str:
        """The caption."""
        return (
            f"{title_of(self.metric)} of each dimension on {clean(self.corpus)}, over the frames "
            f"of all test utterances, mean over seeds, with {self.level:.0%} intervals. Blue cells "
            f"are better than the base, orange cells worse; the deepest colour is a difference of "
            f"{DEEPEST:g} or more. The intervals are of single values: read differences as where "
            "an effect comes from, not as findings."
        )

    def alt(self) -> str:
        """Each arm's dimensions in words."""
        told = [
            f"{clean(arm)} "
            + ", ".join(
                f"{clean(label)} {number(held.mean if held else None)}"
                for label, held in zip(self.labels, row, strict=True)
            )
            for arm, row in zip(self.arms, self.estimates, strict=True)
        ]
        return f"{title_of(self.metric)} by dimension: {'; '.join(told)}."


@FIGURES.register("dimensions", order=3)
class Dimensions:
    """Which dimensions an arm gains and loses."""

    def info(self, block: Block) -> DimensionsNumbers | Absent:
        """The values of the arms that have a whole seed."""
        if block.corpus.target != "traces":
            return NO_TRACES
        arms = sorted((a for a in block.arms if a.pooled), key=lambda a: not a.is_base)
        if not arms:
            return Absent(reason="no arm has a seed whose folds all completed")
        return DimensionsNumbers(
            marks=marks_of(block, arms),
            corpus=block.corpus.name,
            metric=block.study.metric,
            level=block.study.level,
            labels=block.corpus.labels,
            arms=tuple(tagged(a) for a in arms),
            has_base=arms[0].is_base,
            estimates=tuple(_estimates(arm, block.corpus.labels) for arm in arms),
        )

    def draw(self, numbers: DimensionsNumbers, width_in: float) -> Figure:
        """A table of numbers, coloured by the difference to the base."""
        n_arms, n_dimensions = numbers.values.shape
        width = min(width_in, 2.4 + 1.25 * n_dimensions)
        figure = new_figure(width, 0.75 + 0.36 * n_arms + 0.16 * bool(numbers.marks))
        axes = figure.add_subplot()
        title = f"{title_of(numbers.metric)} by dimension, {short(numbers.corpus, 24)}"
        mark(figure, numbers.marks, title)
        texts = [[_told(held) for held in row] for row in numbers.estimates]
        cells(axes, numbers.gains, texts, deepest=DEEPEST, bold_first=numbers.has_base)
        axes.set_xticks(range(n_dimensions), [short(label, 16) for label in numbers.labels])
        axes.set_yticks(range(n_arms), [short(arm, 32) for arm in numbers.arms])
        axes.xaxis.tick_top()
        return figure


def _estimates(arm: Arm, labels: tuple[str, ...]) -> tuple[Estimate | None, ...]:
    return tuple(arm.dimensions.get(label) for label in labels)


def _told(held: Estimate | None) -> str:
    value, bracket, bounds = interval(held).partition(" [")
    return f"{value}\n[{bounds}" if bracket else value
