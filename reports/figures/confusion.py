"""Confusion of the base, and how an arm's confusion differs from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.bench.metrics.categorical import confusion
from serlab.reports.figure import FIGURES, NO_CLASSES, PAPER, Absent, mark, new_figure
from serlab.reports.records import Arm, Block, Pooled
from serlab.reports.words import clean, marks_of, number, plural, short, tagged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Shares = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ConfusionNumbers:
    """Shares of each true class by predicted class, or differences of them."""

    marks: tuple[str, ...]
    corpus: str
    labels: tuple[str, ...]
    arm: str
    base: str
    """Empty where the shares are no differences."""
    shares: Shares
    """(true, predicted); a row sums to 1, or to 0 for differences."""
    counts: tuple[int, ...]
    """Test utterances of each true class."""
    n_seeds: int

    def rows(self) -> list[dict[str, object]]:
        """One row a cell."""
        key = "difference" if self.base else "share"
        return [
            {
                "true": true,
                "predicted": predicted,
                key: float(self.shares[i, j]),
                "n_true": self.counts[i],
            }
            for i, true in enumerate(self.labels)
            for j, predicted in enumerate(self.labels)
        ]

    def caption(self) -> str:
        """The caption."""
        over = f"on {clean(self.corpus)}, mean over {plural(self.n_seeds, 'seed')}"
        if self.base:
            return (
                f"Confusion of {clean(self.arm)} minus that of the base ({clean(self.base)}) "
                f"{over}, in points of each true class (rows); blue cells gained, orange lost. "
                "Shown for the arm with the largest difference to the base."
            )
        return (
            f"Confusion of {clean(self.arm)} {over}: percent of each true class (rows) by "
            "predicted class (columns); n is the number of test utterances."
        )

    def alt(self) -> str:
        """The diagonal and the largest other cell, in words."""
        scale = "points" if self.base else "percent"
        told = [
            f"{clean(name)} {number(self.shares[i, i] * 100, 0, sign=bool(self.base))}"
            for i, name in enumerate(self.labels)
        ]
        off = self.shares - np.diag(np.diag(self.shares))
        i, j = np.unravel_index(int(np.abs(off).argmax()), off.shape)
        most = number(off[i, j] * 100, 0, sign=bool(self.base))
        what = "Confusion difference" if self.base else "Confusion matrix"
        return (
            f"{what} of {clean(self.arm)}. Diagonal in {scale}: {', '.join(told)}. Largest other "
            f"cell: {clean(self.labels[i])} taken for {clean(self.labels[j])}, {most}."
        )


@FIGURES.register("confusion", order=4)
class Confusion:
    """What the base takes for what."""

    def info(self, block: Block) -> ConfusionNumbers | Absent:
        """Row shares of the base."""
        base = block.base
        if block.corpus.target != "emotion":
            return NO_CLASSES
        if base is None or base.pooled is None:
            return Absent(reason="no seed of the base has all its folds completed")
        return _numbers(block, base, base.pooled, _shares(base.pooled), base=None)

    def draw(self, numbers: ConfusionNumbers, width_in: float) -> Figure:
        """A matrix with its numbers."""
        return _draw(numbers, width_in)


@FIGURES.register("confusion_difference", order=4)
class ConfusionDifference:
    """What the arm with the largest effect takes for what more often than the base."""

    def info(self, block: Block) -> ConfusionNumbers | Absent:
        """Differences of row shares."""
        if block.corpus.target != "emotion":
            return NO_CLASSES
        base = block.base
        arms = [a for a in block.others if a.effect and a.pooled and a.kind != "baseline"]
        if base is None or base.pooled is None or not arms:
            return Absent(reason="no arm can be compared with the base yet")
        arm = max(arms, key=lambda a: abs(a.effect.estimate.mean) if a.effect else 0.0)
        assert arm.effect is not None
        assert arm.pooled is not None
        seeds = arm.effect.seeds
        shares = _shares(arm.pooled, seeds) - _shares(base.pooled, seeds)
        return _numbers(block, arm, arm.pooled, shares, base=base)

    def draw(self, numbers: ConfusionNumbers, width_in: float) -> Figure:
        """A matrix with its numbers."""
        return _draw(numbers, width_in)


def _shares(held: Pooled, seeds: tuple[int, ...] = ()) -> Shares:
    chosen = [held.scores[held.seeds.index(s)] for s in seeds or held.seeds]
    counts = np.sum([confusion(held.truth, one) for one in chosen], axis=0)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.zeros(counts.shape)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares


def _numbers(
    block: Block, arm: Arm, held: Pooled, shares: Shares, *, base: Arm | None
) -> ConfusionNumbers:
    n_classes = len(block.corpus.labels)
    return ConfusionNumbers(
        marks=marks_of(block, (arm, base) if base else (arm,)),
        corpus=block.corpus.name,
        labels=block.corpus.labels,
        arm=tagged(arm),
        base=tagged(base) if base else "",
        shares=shares,
        counts=tuple(int(n) for n in np.bincount(held.truth, minlength=n_classes)),
        n_seeds=len(arm.effect.seeds) if base and arm.effect else len(held.seeds),
    )


def _draw(numbers: ConfusionNumbers, width_in: float) -> Figure:
    n = len(numbers.labels)
    cell = min(0.6, (width_in - 1.5) / n)
    height = 1.15 + cell * n + 0.16 * bool(numbers.marks)
    figure = new_figure(min(width_in, max(3.5, 1.5 + cell * n)), height)
    axes = figure.add_subplot()
    name = f"{short(numbers.arm, 30)} minus base" if numbers.base else short(numbers.arm, 36)
    mark(figure, numbers.marks, f"{name}, {short(numbers.corpus, 20)}")
    _cells(axes, numbers)
    names = [short(label, 14) for label in numbers.labels]
    axes.set_xticks(range(n), names, rotation=30 if n > 4 else 0, ha="right" if n > 4 else "center")
    told = [f"{name}  n={count}" for name, count in zip(names, numbers.counts, strict=True)]
    axes.set_yticks(range(n), told)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("predicted, points" if numbers.base else "predicted, percent of the true class")
    axes.set_ylabel("true")
    return figure


def _cells(axes: Axes, numbers: ConfusionNumbers) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    if numbers.base:
        most = max(float(np.abs(numbers.shares).max()), 0.05)
        colours, low = ["#D55E00", "#f2b48c", "#fbfbfb", "#8fc1e3", "#0072B2"], -most
    else:
        colours, low, most = ["#fbfbfb", "#9ecae8", "#0072B2", "#003f66"], 0.0, 1.0
    scale = LinearSegmentedColormap.from_list("serlab", colours)
    n = len(numbers.labels)
    edges = np.arange(n + 1) - 0.5
    axes.pcolormesh(
        edges,
        edges,
        numbers.shares,
        cmap=scale,
        vmin=low,
        vmax=most,
        edgecolors=PAPER,
        linewidth=1.5,
    )
    for (i, j), share in np.ndenumerate(numbers.shares):
        dark = abs(share) / most > (0.72 if numbers.base else 0.42)
        text = number(share * 100, 0, sign=bool(numbers.base))
        axes.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=8,
            fontweight="bold" if i == j else "normal",
            color="#fefefe" if dark else "#111111",
        )
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)
    axes.set_aspect("equal")
