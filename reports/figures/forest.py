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
    Absent,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.records import Block, Verdict
from serlab.reports.words import (
    HEADLINES,
    clean,
    interval,
    listed,
    p_value,
    plural,
    points,
    title_of,
    wrapped,
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
            f"The band is the margin of {points(self.margin)}; filled marks are separable from "
            "the base (Holm-adjusted), hollow ones are not."
        )
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
                arm=arm.name,
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
            marks=block.corpus.marks,
            corpus=block.corpus.name,
            metric=block.study.metric,
            base=block.study.base,
            margin=block.study.margin,
            level=block.study.level,
            effects=tuple(rows),
            left_out=tuple(a.name for a in block.others if not a.effect),
        )

    def draw(self, numbers: ForestNumbers, width_in: float) -> Figure:
        """One line an arm, its numbers beside it."""
        n = len(numbers.effects)
        figure = new_figure(width_in, 0.95 + 0.27 * n + 0.16 * bool(numbers.marks))
        axes = figure.add_subplot()
        title = title_of(numbers.metric)
        mark(figure, numbers.marks, f"Effect on {title} of each change, {numbers.corpus}")
        axes.axvspan(-numbers.margin, numbers.margin, color=BAND, linewidth=0, zorder=0)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
        for y, row in enumerate(numbers.effects):
            _draw_row(axes, y, row)
        axes.set_ylim(n - 0.4, -0.75)
        axes.set_yticks(range(n), [wrapped(r.arm, 34, 1) for r in numbers.effects])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        quiet(axes)
        axes.xaxis.set_major_formatter(lambda x, _: f"{x * 100:+.0f}".replace("-", "−"))
        margin = f"margin of {numbers.margin * 100:g} shaded"
        axes.set_xlabel(f"difference in {title} to the base, points ({margin})")
        _headings(axes, numbers)
        return figure


def _draw_row(axes: Axes, y: int, row: Row) -> None:
    estimate = row.estimate
    separable = row.verdict in {Verdict.BETTER, Verdict.WORSE}
    colour = MUTED
    if separable:
        colour = BLUE if row.verdict is Verdict.BETTER else ORANGE
    axes.plot([estimate.low, estimate.high], [y, y], color=colour, linewidth=1.6, zorder=2)
    axes.plot(
        [estimate.mean],
        [y],
        marker="D" if row.kind == "baseline" else "o",
        markersize=4.5 if row.kind == "baseline" else 5.5,
        markerfacecolor=colour if separable else "white",
        markeredgecolor=colour,
        markeredgewidth=1.2,
        zorder=3,
    )
    axes.text(
        1.02,
        y,
        interval(estimate, sign=True),
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=7.5,
        fontweight="bold" if separable else "normal",
    )
    axes.text(
        1.44,
        y,
        p_value(row.p_holm),
        transform=axes.get_yaxis_transform(),
        va="center",
        ha="right",
        fontsize=7.5,
    )


def _headings(axes: Axes, numbers: ForestNumbers) -> None:
    over = axes.get_yaxis_transform()
    small = {"fontsize": 7, "color": MUTED, "transform": over, "va": "center"}
    axes.text(1.02, -0.75, f"difference [{numbers.level:.0%} interval]", **small)
    axes.text(1.44, -0.75, "p", ha="right", **small)
