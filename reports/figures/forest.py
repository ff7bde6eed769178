"""Forest plot: what each change of the base is worth, with the margin that was set beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from serlab.bench.statistics.records import Estimate
from serlab.reports.figure import (
    BAND,
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
from serlab.reports.records import Block, Verdict
from serlab.reports.scale import reach
from serlab.reports.sentences import HEADLINES
from serlab.reports.words import (
    DAGGER,
    clean,
    in_points,
    interval,
    listed,
    margin_words,
    marks_of,
    number,
    p_value,
    plural,
    short,
    tagged,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm's difference to the base."""

    arm: str
    kind: str
    estimate: Estimate
    p_holm: float | None
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class ForestNumbers:
    """Differences to the base, the largest first."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    base: str
    margin: float
    level: float
    effects: tuple[Row, ...]
    left_out: tuple[str, ...]

    @property
    def reach(self) -> float:
        """Half-width of the axis."""
        return reach([r.estimate for r in self.effects], self.margin)

    def rows(self) -> list[dict[str, object]]:
        """One row an arm."""
        return [
            {
                "arm": r.arm,
                "kind": r.kind,
                "metric": self.metric,
                "difference": r.estimate.mean,
                "low": r.estimate.low,
                "high": r.estimate.high,
                "level": self.level,
                "margin": self.margin,
                "df": r.estimate.df,
                "p_holm": r.p_holm,
                "n_speakers": r.estimate.n_speakers,
                "n_seeds": r.estimate.n_seeds,
                "verdict": r.verdict.value,
            }
            for r in self.effects
        ]

    def caption(self) -> str:
        """The caption."""
        first = self.effects[0].estimate
        text = (
            f"Difference in pooled {title_of(self.metric)} to the base ({clean(self.base)}) on "
            f"{clean(self.corpus)}, with {self.level:.0%} intervals over "
            f"{plural(first.n_speakers, 'speaker')} crossed with {plural(first.n_seeds, 'seed')}. "
            f"The band is the margin of {margin_words(self.margin, self.metric)}; filled marks are "
            "separable from the base (Holm-adjusted), hollow ones are not."
        )
        if any(max(abs(r.estimate.low), abs(r.estimate.high)) > self.reach for r in self.effects):
            text += " Arrows: the interval goes on; its ends stand beside it."
        if any(r.kind == "baseline" for r in self.effects):
            text += " Diamonds are other systems, not changes of the base."
        if self.left_out:
            text += f" Not compared: {listed([clean(a) for a in self.left_out])}."
        return text

    def alt(self) -> str:
        """The rows in words."""
        told = [
            f"{clean(r.arm)} {interval(r.estimate, sign=True)}, {HEADLINES[r.verdict]}"
            for r in self.effects
        ]
        return f"Forest plot of differences in {title_of(self.metric)}: {'; '.join(told)}."


@FIGURES.register("forest", order=1)
class Forest:
    """What each change of the base is worth, with its interval and the margin."""

    def info(self, block: Block) -> ForestNumbers | Absent:
        """The differences, or why there are none."""
        rows = [
            Row(
                arm=tagged(arm),
                kind=arm.kind,
                estimate=arm.effect.estimate,
                p_holm=arm.effect.p_holm,
                verdict=arm.effect.verdict,
            )
            for arm in block.others
            if arm.effect
        ]
        if not rows:
            return Absent(reason="no arm can be compared with the base yet")
        rows.sort(key=lambda r: (r.kind == "baseline", -r.estimate.mean, r.arm))
        return ForestNumbers(
            marks=marks_of(block, (arm for arm in block.arms if arm.is_base or arm.effect)),
            corpus=block.corpus.name,
            metric=block.study.metric,
            base=tagged(block.base) if block.base else block.study.base,
            margin=block.study.margin,
            level=block.study.level,
            effects=tuple(rows),
            left_out=tuple(tagged(a) for a in block.others if not a.effect),
        )

    def draw(self, numbers: ForestNumbers, width_in: float) -> Figure:
        """One line an arm, its numbers beside it where the width allows."""
        n, texts_in = len(numbers.effects), 2.6
        figure = new_figure(width_in, 0.95 + 0.27 * n + 0.16 * bool(numbers.marks))
        wide = not is_narrow(width_in)
        panels = figure.subplots(
            1,
            2 if wide else 1,
            squeeze=False,
            width_ratios=[width_in - texts_in - 1.2, texts_in][: 1 + wide],
        )[0]
        axes = panels[0]
        title = title_of(numbers.metric)
        mark(figure, numbers.marks, f"Effect on {title} of each change, {numbers.corpus}")
        axes.axvspan(-numbers.margin, numbers.margin, color=BAND, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        axes.set_xlim(-numbers.reach, numbers.reach)
        for y, row in enumerate(numbers.effects):
            _draw_row(axes, y, row, numbers.reach)
        axes.set_yticks(range(n), [_name(r.arm, 34 if wide else 24) for r in numbers.effects])
        axes.tick_params(axis="y", length=0)
        quiet(axes)
        axes.spines["left"].set_visible(False)
        _axis(axes, numbers, wide=wide)
        for panel in panels:
            panel.set_ylim(n - 0.4, -1.0 if wide else -0.6)
        if wide:
            _texts(panels[1], numbers)
        return figure


def _name(arm: str, most: int) -> str:
    """The name, the word TRANSDUCTIVE below one that carries its dagger."""
    if not arm.endswith(DAGGER):
        return short(arm, most)
    return f"{short(arm.removesuffix(DAGGER), most)}\n{DAGGER} TRANSDUCTIVE"


def _axis(axes: Axes, numbers: ForestNumbers, *, wide: bool) -> None:
    """Differences in points, or those of traces in the metric itself, at round numbers."""
    from matplotlib.ticker import MaxNLocator

    points = in_points(numbers.metric)
    factor, coarse = (100, 0) if points else (1, 2)
    digits = coarse if numbers.reach > 0.03 else coarse + 1
    axes.xaxis.set_major_locator(MaxNLocator(8 if wide else 4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(lambda x, _: number(x * factor, digits, sign=True))
    unit, between = ", points" if points else "", " " if wide else "\n"
    axes.set_xlabel(
        f"difference in {title_of(numbers.metric)} to the base{unit}{between}"
        f"(margin of {numbers.margin * factor:g} shaded)"
    )


def _draw_row(axes: Axes, y: int, row: Row, reach: float) -> None:
    estimate = row.estimate
    separable = row.verdict in {Verdict.BETTER, Verdict.WORSE}
    colour = MUTED
    if separable:
        colour = BLUE if row.verdict is Verdict.BETTER else ORANGE
    ends = [max(estimate.low, -reach), min(estimate.high, reach)]
    axes.plot(ends, [y, y], color=colour, linewidth=1.6, zorder=2)
    for end, marker in ((estimate.low, "<"), (estimate.high, ">")):
        if abs(end) > reach:
            at = -reach if end < 0 else reach
            axes.plot([at], [y], marker=marker, color=colour, markersize=4, clip_on=False)
    axes.plot(
        [estimate.mean],
        [y],
        marker="D" if row.kind == "baseline" else "o",
        markersize=4.5 if row.kind == "baseline" else 5.5,
        markerfacecolor=colour if separable else PAPER,
        markeredgecolor=colour,
        markeredgewidth=1.2,
        zorder=3,
    )


def _texts(axes: Axes, numbers: ForestNumbers) -> None:
    """Interval and p of each row, in two columns."""
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    for y, row in enumerate(numbers.effects):
        bold = "bold" if row.verdict in {Verdict.BETTER, Verdict.WORSE} else "normal"
        told = interval(row.estimate, sign=True)
        axes.text(0.0, y, told, va="center", fontsize=7.5, fontweight=bold)
        axes.text(1.0, y, p_value(row.p_holm), va="center", ha="right", fontsize=7.5)
    heading = f"difference [{numbers.level:.0%} interval]"
    axes.text(0.0, -0.85, heading, va="center", fontsize=7, color=MUTED)
    p = "p (Holm)" if len(numbers.effects) > 1 else "p"
    axes.text(1.0, -0.85, p, va="center", ha="right", fontsize=7, color=MUTED)
