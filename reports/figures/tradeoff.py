"""Accuracy against latency and against parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serlab.bench.metrics.base import metric as found
from serlab.bench.statistics.records import Estimate
from serlab.reports.figure import (
    FIGURES,
    INK,
    MARKERS,
    MUTED,
    PALETTE,
    PAPER,
    Absent,
    mark,
    new_figure,
    quiet,
    spread,
)
from serlab.reports.records import Arm, Block
from serlab.reports.words import clean, interval, marks_of, number, short, tagged, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.062
"""Least distance of two labels, as a share of the axes' height."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One arm's accuracy and cost; a cost of None was not measured."""

    arm: str
    is_base: bool
    score: Estimate
    latency_ms: float | None
    parameters: int | None


@dataclass(frozen=True, kw_only=True)
class TradeoffNumbers:
    """Accuracy and cost of each arm."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    level: float
    conditions: str
    points: tuple[Point, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row an arm."""
        return [
            {
                "arm": p.arm,
                self.metric: p.score.mean,
                "low": p.score.low,
                "high": p.score.high,
                "latency_p50_ms": p.latency_ms,
                "parameters": p.parameters,
            }
            for p in self.points
        ]

    def caption(self) -> str:
        """The caption."""
        text = (
            f"Pooled {title_of(self.metric)} on {clean(self.corpus)} with {self.level:.0%} "
            "intervals against the median latency of one utterance and against the number of "
            "parameters; the star is the base. Intervals of single arms say less about a "
            "difference than the paired comparison does."
        )
        return text + (f" Latency: {self.conditions}." if self.conditions else "")

    def alt(self) -> str:
        """Each arm's numbers in words."""
        told = [
            f"{clean(p.arm)} {interval(p.score)}"
            + (f", {number(p.latency_ms, 2)} ms" if p.latency_ms is not None else "")
            + (f", {p.parameters} parameters" if p.parameters is not None else "")
            for p in self.points
        ]
        return f"{title_of(self.metric)} against latency and parameters: {'; '.join(told)}."


@FIGURES.register("tradeoff", order=7)
class Tradeoff:
    """What accuracy costs in time and in parameters."""

    def info(self, block: Block) -> TradeoffNumbers | Absent:
        """The arms that have a score and a cost."""
        metric = block.study.metric
        points = tuple(
            Point(
                arm=tagged(arm),
                is_base=arm.is_base,
                score=arm.scores[metric].pooled,
                latency_ms=arm.meter.p50_ms if arm.meter else None,
                parameters=_parameters(arm),
            )
            for arm in block.arms
            if metric in arm.scores
        )
        points = tuple(p for p in points if p.latency_ms is not None or p.parameters is not None)
        if not points:
            return Absent(reason=_why_absent(block))
        return TradeoffNumbers(
            marks=marks_of(block, (a for a in block.arms if tagged(a) in {p.arm for p in points})),
            corpus=block.corpus.name,
            metric=metric,
            level=block.study.level,
            conditions=_conditions(block),
            points=points,
        )

    def draw(self, numbers: TradeoffNumbers, width_in: float) -> Figure:
        """A panel a cost, sharing the axis of accuracy; names at the right."""
        figure = new_figure(width_in, 3.0 + 0.16 * bool(numbers.marks))
        title = title_of(numbers.metric)
        mark(figure, numbers.marks, f"{title} against cost, {numbers.corpus}")
        costs: list[tuple[str, list[float | None]]] = [
            ("median latency, ms", [p.latency_ms for p in numbers.points]),
            ("parameters", [_real(p.parameters) for p in numbers.points]),
        ]
        costs = [c for c in costs if any(v is not None for v in c[1])]
        grid = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for axes, (label, values) in zip(grid, costs, strict=True):
            for index, (point, value) in enumerate(zip(numbers.points, values, strict=True)):
                if value is not None:
                    _draw_point(axes, point, float(value), index)
            _cost_axis(axes, [float(v) for v in values if v is not None])
            axes.set_xlabel(label)
            quiet(axes, grid="y")
        grid[0].set_ylim(top=min(grid[0].get_ylim()[1], found(numbers.metric).high + 0.02))
        grid[0].set_ylabel(f"pooled {title}")
        _names(grid[-1], numbers, costs[-1][1])
        return figure


def _real(value: int | None) -> float | None:
    return None if value is None else float(value)


def _parameters(arm: Arm) -> int | None:
    if arm.meter and arm.meter.parameters is not None:
        return arm.meter.parameters
    return arm.parameters


def _why_absent(block: Block) -> str:
    reasons = {a.meter.latency_reason for a in block.arms if a.meter and a.meter.latency_reason}
    if reasons:
        return f"no latency or size was measured: {sorted(reasons)[0]}"
    return "neither latency nor size was measured in this run"


def _conditions(block: Block) -> str:
    meter = next((a.meter for a in block.arms if a.meter and a.meter.p50_ms is not None), None)
    if meter is None:
        return ""
    length = f"{meter.seconds:g} s of speech" if meter.seconds else "one utterance"
    threads = f"{meter.threads} thread{'s' * (meter.threads != 1)}" if meter.threads else ""
    where = ", ".join(part for part in (clean(meter.device), threads) if part)
    return f"{length} on {where}, {meter.n} calls in a fresh process"


def _look(point: Point, index: int) -> tuple[str, str]:
    if point.is_base:
        return INK, "*"
    return PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]


def _draw_point(axes: Axes, point: Point, value: float, index: int) -> None:
    colour, marker = _look(point, index)
    axes.plot([value, value], [point.score.low, point.score.high], color=colour, linewidth=1)
    axes.plot(
        [value],
        [point.score.mean],
        marker=marker,
        color=colour,
        markersize=9 if point.is_base else 5.5,
        markeredgecolor=PAPER,
        markeredgewidth=0.5,
        linestyle="none",
        zorder=3,
    )


def _cost_axis(axes: Axes, values: list[float]) -> None:
    """Logarithmic where the costs span more than a factor of five; from zero otherwise."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    axes.xaxis.set_major_formatter(lambda x, _: _tick(x))
    if min(values) > 0 and max(values) / min(values) > 5:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=6))
        axes.xaxis.set_major_formatter(lambda x, _: _tick(x))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(min(values) / 1.4, max(values) * 1.4)
        return
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlim(0, (max(values) or 1.0) * 1.15)


def _tick(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def _names(axes: Axes, numbers: TradeoffNumbers, values: list[float | None]) -> None:
    """The arms' names in a column at the right, each beside its height as far as they fit."""
    low, high = axes.get_ylim()
    heights = [p.score.mean for p in numbers.points]
    places = spread([(h - low) / (high - low) for h in heights], GAP)
    overflow = max(0.0, max(places) - 1.0) - max(0.0, -min(places))
    for index, (point, place) in enumerate(zip(numbers.points, places, strict=True)):
        colour, marker = _look(point, index)
        y = place - overflow
        size = 8 if point.is_base else 5
        over = axes.transAxes
        axes.plot(
            [1.06], [y], marker=marker, color=colour, markersize=size, transform=over, clip_on=False
        )
        axes.text(1.1, y, short(point.arm, 26), transform=over, va="center", fontsize=7.5)
        value = values[index]
        if value is not None and math.isfinite(value):
            axes.annotate(
                "",
                xy=(value, point.score.mean),
                xycoords="data",
                xytext=(1.045, y),
                textcoords="axes fraction",
                arrowprops={"arrowstyle": "-", "color": MUTED, "linewidth": 0.4, "shrinkB": 4},
                annotation_clip=False,
            )
