"""Paired slopes: whether an effect is there in every seed and every speaker, or in a few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from serlab.bench.metrics.base import evaluate
from serlab.bench.statistics.records import Estimate
from serlab.reports.figure import (
    BLUE,
    FIGURES,
    INK,
    ORANGE,
    Absent,
    columns_for,
    is_narrow,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.records import Block, Pooled, groups
from serlab.reports.words import (
    are_not,
    clean,
    interval,
    marks_of,
    tagged,
    title_of,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 8
"""Arms that are drawn; the largest effects are taken."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The metric of one seed, or of one speaker, in the base and in the arm."""

    arm: str
    unit: Literal["seed", "speaker"]
    name: str
    base: float
    other: float


@dataclass(frozen=True, kw_only=True)
class SlopesNumbers:
    """Pairs by arm."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    arms: tuple[str, ...]
    estimates: tuple[Estimate, ...]
    pairs: tuple[Pair, ...]
    n_left_out: int

    def of(self, arm: str, unit: str) -> list[Pair]:
        """The pairs of one arm and one kind of unit."""
        return [p for p in self.pairs if p.arm == arm and p.unit == unit]

    def rows(self) -> list[dict[str, object]]:
        """One row a pair."""
        return [
            {"arm": p.arm, "unit": p.unit, "name": p.name, "base": p.base, "arm_value": p.other}
            for p in self.pairs
        ]

    def caption(self) -> str:
        """The caption."""
        title = title_of(self.metric)
        text = (
            f"{title} of the base (left end) and of the arm (right end) on {clean(self.corpus)}, "
            "paired by training seed (pooled over speakers) and by speaker (mean over seeds). "
            "Solid blue lines rise, dashed orange lines fall."
        )
        if self.n_left_out:
            text += f" The {len(self.arms)} largest effects are drawn, {are_not(self.n_left_out)}."
        return text

    def alt(self) -> str:
        """How many pairs fall, in words."""
        told = []
        for arm in self.arms:
            seeds, speakers = self.of(arm, "seed"), self.of(arm, "speaker")
            fell = [sum(p.other < p.base for p in group) for group in (seeds, speakers)]
            told.append(
                f"{clean(arm)} is below the base in {fell[0]} of {len(seeds)} seeds and "
                f"{fell[1]} of {len(speakers)} speakers"
            )
        return f"Paired slopes of {title_of(self.metric)}: {'; '.join(told)}."


@FIGURES.register("slopes", order=2)
class Slopes:
    """Each effect seed by seed and speaker by speaker."""

    def info(self, block: Block) -> SlopesNumbers | Absent:
        """The pairs of the arms with the largest effects."""
        base = block.base
        arms = [a for a in block.others if a.effect and a.pooled]
        if base is None or base.pooled is None or not arms:
            return Absent(reason="no arm can be compared with the base yet")
        arms.sort(key=lambda a: -abs(a.effect.estimate.mean) if a.effect else 0.0)
        shown = arms[:MOST]
        pairs: list[Pair] = []
        for arm in shown:
            assert arm.effect is not None
            assert arm.pooled is not None
            pairs += _pairs(
                tagged(arm), base.pooled, arm.pooled, arm.effect.seeds, block.study.metric
            )
        return SlopesNumbers(
            marks=marks_of(block, (base, *shown)),
            corpus=block.corpus.name,
            metric=block.study.metric,
            arms=tuple(tagged(a) for a in shown),
            estimates=tuple(a.effect.estimate for a in shown if a.effect),
            pairs=tuple(pairs),
            n_left_out=len(arms) - len(shown),
        )

    def draw(self, numbers: SlopesNumbers, width_in: float) -> Figure:
        """A small panel an arm: seeds at its left, speakers at its right."""
        n = len(numbers.arms)
        n_columns = columns_for(n, width_in)
        n_rows = -(-n // n_columns)
        figure = new_figure(width_in, 0.45 + 1.95 * n_rows + 0.16 * bool(numbers.marks))
        mark(
            figure,
            numbers.marks,
            f"{title_of(numbers.metric)} from the base to each arm, {numbers.corpus}",
        )
        grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False)
        for axes in grid.flat[n:]:
            axes.set_visible(False)
        for axes, arm, estimate in zip(grid.flat, numbers.arms, numbers.estimates, strict=False):
            _panel(axes, numbers, arm, estimate, small=is_narrow(width_in))
        for axes in grid[:, 0]:
            axes.set_ylabel(title_of(numbers.metric))
        return figure


def _panel(
    axes: Axes, numbers: SlopesNumbers, arm: str, estimate: Estimate, *, small: bool
) -> None:
    for start, unit in ((0.0, "seed"), (1.6, "speaker")):
        for pair in numbers.of(arm, unit):
            up = pair.other >= pair.base
            axes.plot(
                [start, start + 1],
                [pair.base, pair.other],
                color=BLUE if up else ORANGE,
                linestyle="-" if up else (0, (3, 1)),
                marker="o",
                markersize=2.6,
                linewidth=1,
            )
    names = ["base", "\nseeds", "arm", "base", "\nspeakers", "arm"]
    axes.set_xticks([0, 0.5, 1, 1.6, 2.1, 2.6], names, fontsize=7)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.3, 2.9)
    quiet(axes, grid="y")
    title = f"{wrapped(arm, 22)}\n"
    size = 6.6 if small else 7.5
    axes.set_title(title + interval(estimate, sign=True), fontsize=size, color=INK)


def _pairs(
    arm: str, base: Pooled, other: Pooled, seeds: tuple[int, ...], metric: str
) -> list[Pair]:
    mine = [base.scores[base.seeds.index(s)] for s in seeds]
    theirs = [other.scores[other.seeds.index(s)] for s in seeds]
    pairs = [
        Pair(
            arm=arm,
            unit="seed",
            name=str(seed),
            base=evaluate(metric, base.truth, one),
            other=evaluate(metric, base.truth, two),
        )
        for seed, one, two in zip(seeds, mine, theirs, strict=True)
    ]
    for speaker, held in groups(base.speakers).items():
        values = [
            _mean(metric, base.truth[held], [s[held] for s in group]) for group in (mine, theirs)
        ]
        pairs.append(Pair(arm=arm, unit="speaker", name=speaker, base=values[0], other=values[1]))
    return pairs


def _mean(metric: str, truth: np.ndarray, scores: list[np.ndarray]) -> float:
    return float(np.mean([evaluate(metric, truth, one) for one in scores]))
