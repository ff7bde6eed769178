"""Learning curves of every arm, with the spread over folds and seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serlab.reports.figure import (
    BLUE,
    FIGURES,
    MUTED,
    ORANGE,
    Absent,
    columns_for,
    is_narrow,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.records import SELECTING, Block, Curve
from serlab.reports.words import (
    are_not,
    clean,
    listed,
    marks_of,
    number,
    tagged,
    title_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 12
"""Arms that are drawn, the first of the study."""

LOSSES = (("train_loss", "training", BLUE, "-"), ("validation_loss", "validation", ORANGE, "--"))


@dataclass(frozen=True, kw_only=True)
class CurvesNumbers:
    """Curves by arm and name."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    """That of the validation speakers."""
    arms: tuple[tuple[str, dict[str, Curve]], ...]
    n_left_out: int

    @property
    def score(self) -> str:
        """The name of the validation score's curve."""
        return f"validation_{self.metric}"

    def rows(self) -> list[dict[str, object]]:
        """One row an epoch of a curve."""
        return [
            {
                "arm": arm,
                "curve": name,
                "epoch": epoch,
                "mean": float(curve.mean[epoch - 1]),
                "p10": float(curve.low[epoch - 1]),
                "p90": float(curve.high[epoch - 1]),
                "n": int(curve.n[epoch - 1]),
            }
            for arm, curves in self.arms
            for name, curve in curves.items()
            for epoch in range(1, len(curve.mean) + 1)
        ]

    def caption(self) -> str:
        """The caption."""
        text = (
            f"Learning curves on {clean(self.corpus)}: above, loss on the training (solid) and "
            f"validation (dashed) part; below, {title_of(self.metric)} on validation speakers. "
            "Lines are means over folds and seeds, bands run from the 10th to the 90th percentile; "
            "a curve ends where fewer than half of the trainings are left. The test part is in "
            "none of them."
        )
        return text + (
            f" Of the arms, {are_not(self.n_left_out)} drawn." if self.n_left_out else ""
        )

    def alt(self) -> str:
        """Where each arm's validation UA ends, in words."""
        told = [
            f"{clean(arm)} ends at {number(float(curves[self.score].mean[-1]))} after "
            f"{len(curves[self.score].mean)} epochs"
            for arm, curves in self.arms
            if self.score in curves
        ]
        return f"Learning curves; mean validation {title_of(self.metric)}: {listed(told)}."


@FIGURES.register("curves", order=6)
class Curves:
    """Loss and validation score by epoch."""

    def info(self, block: Block) -> CurvesNumbers | Absent:
        """The curves of the arms that have any."""
        metric = SELECTING[block.corpus.target]
        arms = [a for a in block.arms if _known(a.curves, metric)]
        held = [(tagged(a), dict(a.curves)) for a in arms]
        if not held:
            return Absent(reason="no arm was trained by epochs, so there are no learning curves")
        return CurvesNumbers(
            marks=marks_of(block, arms[:MOST]),
            corpus=block.corpus.name,
            metric=metric,
            arms=tuple(held[:MOST]),
            n_left_out=max(0, len(held) - MOST),
        )

    def draw(self, numbers: CurvesNumbers, width_in: float) -> Figure:
        """Two rows of panels: loss above the validation score, a column an arm."""
        n, narrow = len(numbers.arms), is_narrow(width_in)
        n_columns = 5 if n == 5 and not narrow else columns_for(n, width_in)
        n_rows = -(-n // n_columns)
        figure = new_figure(
            width_in, 0.5 + (2.0 if narrow else 2.6) * n_rows + 0.16 * bool(numbers.marks)
        )
        mark(figure, numbers.marks, f"Learning curves, {numbers.corpus}")
        grid = figure.subplots(2 * n_rows, n_columns, sharex=True, sharey="none", squeeze=False)
        for axes in grid.flat:
            axes.set_visible(False)
        tops = _tops(numbers)
        for index, (arm, curves) in enumerate(numbers.arms):
            row, column = divmod(index, n_columns)
            loss, score = grid[2 * row, column], grid[2 * row + 1, column]
            _losses(loss, curves, named=index == 0, top=tops)
            _score(score, curves, numbers)
            loss.set_title(wrapped(arm, (40 if narrow else 80) // n_columns), fontsize=7.5)
            if column == 0:
                loss.set_ylabel("loss")
                score.set_ylabel(f"validation {title_of(numbers.metric)}")
            else:
                loss.tick_params(labelleft=False)
                score.tick_params(labelleft=False)
            if row == n_rows - 1:
                score.set_xlabel("epoch")
        return figure


def _known(curves: Mapping[str, Curve], metric: str) -> bool:
    return any(name in curves for name in (f"validation_{metric}", *(n for n, *_ in LOSSES)))


def _tops(numbers: CurvesNumbers) -> tuple[float, float]:
    """Range of the losses of all arms, without the few largest values."""
    held = [c[name] for _, c in numbers.arms for name, *_ in LOSSES if name in c]
    if not held:
        return (0.0, 1.0)
    high = max(float(np.percentile(c.high, 98)) for c in held)
    return (min(0.0, min(float(c.low.min()) for c in held)), high * 1.05)


def _losses(axes: Axes, curves: dict[str, Curve], *, named: bool, top: tuple[float, float]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_visible(True)
    quiet(axes, grid="y")
    axes.set_ylim(*top)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for name, label, colour, dash in LOSSES:
        if name in curves:
            _band(axes, curves[name], colour, dash)
            axes.lines[-1].set_label(label)
    if named:
        axes.legend(loc="upper right", handlelength=1.8, borderaxespad=0.1, fontsize=7)


def _score(axes: Axes, curves: dict[str, Curve], numbers: CurvesNumbers) -> None:
    axes.set_visible(True)
    quiet(axes, grid="y")
    axes.set_ylim(_foot(numbers), 1)
    if numbers.score in curves:
        _band(axes, curves[numbers.score], ORANGE, "--")
    else:
        axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", color=MUTED)


def _foot(numbers: CurvesNumbers) -> float:
    """0, or below it where a correlation falls there."""
    lows = [float(c[numbers.score].low.min()) for _, c in numbers.arms if numbers.score in c]
    return max(-1.0, min([0.0, *(low * 1.05 for low in lows)]))


def _band(axes: Axes, curve: Curve, colour: str, dash: str) -> None:
    epochs = np.arange(1, len(curve.mean) + 1)
    axes.fill_between(epochs, curve.low, curve.high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(epochs, curve.mean, color=colour, linestyle=dash, linewidth=1.3)
