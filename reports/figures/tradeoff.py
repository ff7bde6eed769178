"""Accuracy against latency, parameters and operations, with the front that no arm beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from serlab.bench.metrics.base import metric as found
from serlab.bench.statistics.records import Estimate
from serlab.reports.figure import (
    DASHES,
    FIGURES,
    INK,
    MARKERS,
    MUTED,
    PALETTE,
    PAPER,
    Absent,
    cost_axis,
    is_narrow,
    mark,
    new_figure,
    quiet,
    spread,
)
from serlab.reports.meter_tables import headline_words
from serlab.reports.meters import Value
from serlab.reports.records import Arm, Block
from serlab.reports.words import (
    clean,
    compact,
    cost_title,
    interval,
    listed,
    marks_of,
    plural,
    short,
    significant,
    tagged,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP = 0.068
"""Least distance of two names, as a share of the axes' height."""

WIDEST = 4.0
"""How far an axis goes beyond its values to show their intervals, as a factor."""

COSTS = {
    "latency_p50": "latency p50, ms",
    "parameters": "parameters",
    "macs": "MACs of a call",
}
"""What accuracy is shown against, by measurement, with the titles of the axes."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One arm's accuracy and costs."""

    arm: str
    is_base: bool
    score: Estimate
    costs: Mapping[str, Value]
    """Each cost that the arm has."""


@dataclass(frozen=True, kw_only=True)
class TradeoffNumbers:
    """Accuracy and costs of each arm."""

    marks: tuple[str, ...]
    corpus: str
    metric: str
    level: float
    conditions: str
    points: tuple[Point, ...]
    missing: tuple[str, ...] = ()
    """Which arms have no latency or no MACs, and why, in sentences."""

    @property
    def told(self) -> tuple[Point, ...]:
        """Those with a name and a look of their own: the base, the fronts, then the best."""
        if len(self.points) <= MOST_LOOKS:
            return self.points
        best = sorted(self.points, key=lambda p: -self._gain(p))
        fronts = (p for cost in self.costs for p in self.front(cost))
        first = dict.fromkeys(
            [*(p.arm for p in self.points if p.is_base), *(p.arm for p in fronts)]
        )
        kept = list(dict.fromkeys([*first, *(p.arm for p in best)]))[:MOST_LOOKS]
        return tuple(p for p in self.points if p.arm in kept)

    @property
    def costs(self) -> tuple[str, ...]:
        """The costs that any arm has."""
        return tuple(name for name in COSTS if any(name in p.costs for p in self.points))

    def span(self, cost: str) -> tuple[float, float]:
        """What the axis of a cost shows: the intervals, as far as they are near the values."""
        values = [_cost(p, cost) for p in self.points if cost in p.costs]
        ends = [*values, *self._ends(cost)]
        return max(min(ends), min(values) / WIDEST), min(max(ends), max(values) * WIDEST)

    def _ends(self, cost: str) -> list[float]:
        held = [p.costs[cost] for p in self.points if cost in p.costs]
        return [end for h in held for end in (h.low, h.high) if end is not None]

    def _cut(self) -> bool:
        """Whether an interval leaves its axis."""
        spans = {cost: self.span(cost) for cost in self.costs}
        return any(
            not low <= end <= high for c, (low, high) in spans.items() for end in self._ends(c)
        )

    def front(self, cost: str) -> tuple[Point, ...]:
        """The arms that no other beats in both, the cheapest first.

        One beats another where it is as good and as cheap, and better or cheaper. By the values
        alone: what the intervals leave open is not part of it.
        """
        held = [p for p in self.points if cost in p.costs]
        kept = [p for p in held if not any(self._beats(q, p, cost) for q in held)]
        return tuple(sorted(kept, key=lambda p: (_cost(p, cost), p.arm)))

    def _beats(self, one: Point, other: Point, cost: str) -> bool:
        better = self._gain(one) - self._gain(other)
        cheaper = _cost(other, cost) - _cost(one, cost)
        return min(better, cheaper) >= 0 and max(better, cheaper) > 0

    def _gain(self, point: Point) -> float:
        """The score, turned so that more is better."""
        return point.score.mean if found(self.metric).higher_is_better else -point.score.mean

    def rows(self) -> list[dict[str, object]]:
        """One row an arm."""
        fronts = {name: self.front(name) for name in self.costs}
        return [
            {
                "arm": p.arm,
                self.metric: p.score.mean,
                "low": p.score.low,
                "high": p.score.high,
                **{
                    key: value
                    for name in self.costs
                    for key, value in _columns(name, p, on_front=p in fronts[name]).items()
                },
            }
            for p in self.points
        ]

    def caption(self) -> str:
        """The caption."""
        text = (
            f"Pooled {title_of(self.metric)} on {clean(self.corpus)} with {self.level:.0%} "
            "intervals over speakers crossed with seeds, against what it costs; the star is the "
            "base. The line joins the filled marks, which no other arm beats in both, by their "
            "values alone. "
        )
        told = " ".join(self._fronts())
        if self.conditions:
            told += (
                f" Latency, without feature extraction and with {self.level:.0%} intervals over "
                f"processes, and MACs: {self.conditions}."
            )
        told += " Intervals that leave the axis are cut." if self._cut() else ""
        if (rest := len(self.points) - len(self.told)) > 0:
            told += f" Small grey dots, without a name: the {rest} others, which the CSV names."
        return " ".join((text + told, *self.missing))

    def _fronts(self) -> list[str]:
        """The names of each front, and where the intervals do not tell its arms apart."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for cost in self.costs:
            alike.setdefault(tuple(p.arm for p in self.front(cost)), []).append(cost)
        return [
            f"Front of {listed([cost_title(c) for c in costs])}: {_named(names)}"
            f"{self._overlaps(costs)}."
            for names, costs in alike.items()
        ]

    def _overlaps(self, costs: Sequence[str]) -> str:
        """Which intervals of neighbours on a front share values."""
        near = list(pairwise(self.front(costs[0])))
        scores = sum(_overlap(a.score, b.score) for a, b in near)
        counts = {title_of(self.metric): scores}
        counts |= {cost_title(c): sum(_alike(a, b, c) for a, b in near) for c in costs}
        told = [
            f"in {name} for {n} of {plural(len(near), 'pair')}" for name, n in counts.items() if n
        ]
        return f" (the intervals of neighbours on it overlap {listed(told)})" if told else ""

    def alt(self) -> str:
        """Each arm's numbers in words."""
        told = [
            f"{clean(p.arm)} {interval(p.score)}"
            + "".join(f", {_amount(name, held)}" for name, held in p.costs.items())
            for p in self.told
        ]
        if (rest := len(self.points) - len(self.told)) > 0:
            told.append(f"and {rest} others")
        titles = listed([cost_title(name) for name in self.costs])
        lines = " ".join(self._fronts())
        return f"{title_of(self.metric)} against {titles}: {'; '.join(told)}. {lines}"


MOST_LOOKS = 16
"""Arms that a reader can tell apart; looks are alike from the nineteenth on."""
MOST_NAMES = 6
"""Arms of a front that its sentence names; the picture and the CSV mark all."""


def _named(names: Sequence[str]) -> str:
    """The names, or how many these are where a sentence cannot hold them."""
    if len(names) > MOST_NAMES:
        return f"{len(names)} arms"
    return "; ".join(names) if any("," in name for name in names) else listed(tuple(names))


def _cost(point: Point, cost: str) -> float:
    value = point.costs[cost].value
    assert value is not None
    return value


def _columns(cost: str, point: Point, *, on_front: bool) -> dict[str, object]:
    held = point.costs.get(cost)
    row: dict[str, object] = {cost: held.value if held else None}
    if cost == "latency_p50":
        ends = {"": "value", "_low": "low", "_high": "high"}
        row = {f"{cost}{end}_ms": getattr(held, name, None) for end, name in ends.items()}
        row["n_processes"] = held.n if held else None
    return {**row, f"on_front_of_{cost_title(cost).lower()}": on_front}


def _overlap(one: Estimate, other: Estimate) -> bool:
    """Whether their intervals share a value; an interval that is not there excludes none."""
    if not (one.estimable and other.estimable):
        return True
    return one.low <= other.high and other.low <= one.high


def _alike(one: Point, other: Point, cost: str) -> bool:
    """Whether the intervals of a cost share a value; counts have none."""
    a, b = one.costs[cost], other.costs[cost]
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.low <= b.high and b.low <= a.high


def _amount(cost: str, held: Value) -> str:
    if cost == "latency_p50":
        return f"{significant(held.value)} ms"
    return f"{compact(held.value)} {cost_title(cost)}"


@FIGURES.register("tradeoff", order=8)
class Tradeoff:
    """What accuracy costs in time, in parameters and in operations."""

    def info(self, block: Block) -> TradeoffNumbers | Absent:
        """The arms that have a score and a cost."""
        metric = block.study.metric
        scored = {tagged(a): a for a in block.arms if metric in a.scores}
        shown = {name: arm for name, arm in scored.items() if _costs(arm)}
        if not shown:
            return Absent(reason=_why_absent(block))
        return TradeoffNumbers(
            marks=marks_of(block, shown.values()),
            corpus=block.corpus.name,
            metric=metric,
            level=block.study.level,
            conditions=headline_words(block),
            points=tuple(
                Point(
                    arm=name,
                    is_base=arm.is_base,
                    score=arm.scores[metric].pooled,
                    costs=_costs(arm),
                )
                for name, arm in shown.items()
            ),
            missing=_missing(scored) if block.metered else (),
        )

    def draw(self, numbers: TradeoffNumbers, width_in: float) -> Figure:
        """A panel a cost, sharing the axis of accuracy; names at the right, or at the foot."""
        n, n_costs, narrow = len(numbers.told), len(numbers.costs), is_narrow(width_in)
        height = 0.5 + 1.5 * n_costs + 0.16 * n if narrow else max(2.9, 0.19 * n + 0.9)
        figure = new_figure(width_in, height + 0.16 * bool(numbers.marks))
        title = title_of(numbers.metric)
        mark(figure, numbers.marks, f"{title} against cost, {numbers.corpus}")
        shape = (n_costs, 1) if narrow else (1, n_costs)
        grid = figure.subplots(*shape, sharey=True, squeeze=False).ravel()
        for axes, cost in zip(grid, numbers.costs, strict=True):
            _panel(axes, numbers, cost)
        _limit(grid[0], numbers)
        grid[0].set_ylabel(f"pooled {title}")
        if narrow:
            _legend(figure, numbers)
        else:
            _names(grid[-1], numbers)
        return figure


def _costs(arm: Arm) -> dict[str, Value]:
    """The arm's costs; parameters by the study's count where they were not metered."""
    held = {name: arm.meters.get(name) for name in COSTS}
    counted = None if arm.parameters is None else float(arm.parameters)
    if held["parameters"].value is None:
        held["parameters"] = Value(value=counted, unit="parameters")
    return {name: value for name, value in held.items() if value.value is not None}


def _why_absent(block: Block) -> str:
    reasons = sorted({a.meters.reason for a in block.arms if a.meters.reason})
    if not any(block.study.metric in arm.scores for arm in block.arms):
        return "no arm has a score yet"
    return f"neither latency nor size was measured: {reasons[0] if reasons else 'no cell has any'}"


def _missing(scored: Mapping[str, Arm]) -> tuple[str, ...]:
    lost: dict[tuple[str, str], list[str]] = {}
    for name, arm in scored.items():
        for cost in ("latency_p50", "macs"):
            held = arm.meters.get(cost)
            if held.value is None:
                lost.setdefault((cost, clean(held.reason)), []).append(name)
    return tuple(
        f"Without {cost_title(cost)}: {_named(names)} ({why})."
        for (cost, why), names in lost.items()
    )


# --- drawing -------------------------------------------------------------------------------


def _look(point: Point, index: int) -> tuple[str, str]:
    if point.is_base:
        return INK, "*"
    return PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]


def _panel(axes: Axes, numbers: TradeoffNumbers, cost: str) -> None:
    """Crosses of both intervals, and the front as steps."""
    front = numbers.front(cost)
    _steps(axes, [(_cost(p, cost), p.score.mean) for p in front])
    named = numbers.told
    others = [p for p in numbers.points if p not in named and cost in p.costs]
    if others:
        places = [_cost(p, cost) for p in others], [p.score.mean for p in others]
        axes.plot(*places, linestyle="none", marker=".", markersize=4, color="#999999", zorder=0.5)
    for index, point in enumerate(named):
        if cost in point.costs:
            _draw_point(axes, point, point.costs[cost], index, filled=point in front)
    cost_axis(axes, numbers.span(cost))
    axes.set_xlabel(COSTS[cost])
    quiet(axes, grid="y")


def _steps(axes: Axes, points: Sequence[tuple[float, float]]) -> None:
    """The best that is had up to each cost."""
    if len(points) > 1:
        costs, scores = zip(*points, strict=True)
        axes.step(
            costs, scores, where="post", color=MUTED, linewidth=0.9, linestyle=DASHES[1], zorder=1
        )


def _draw_point(axes: Axes, point: Point, cost: Value, index: int, *, filled: bool) -> None:
    colour, marker = _look(point, index)
    value, score = float(cost.value or 0.0), point.score
    axes.plot([value, value], [score.low, score.high], color=colour, linewidth=0.9, alpha=0.75)
    if cost.low is not None and cost.high is not None:
        axes.plot([cost.low, cost.high], [score.mean] * 2, color=colour, linewidth=0.9, alpha=0.75)
    axes.plot(
        [value],
        [score.mean],
        marker=marker,
        markersize=9 if point.is_base else 5.5,
        markerfacecolor=colour if filled else PAPER,
        markeredgecolor=PAPER if filled else colour,
        markeredgewidth=0.5 if filled else 1.1,
        linestyle="none",
        zorder=3,
    )


def _limit(axes: Axes, numbers: TradeoffNumbers) -> None:
    """Ends the axis of accuracy at the metric's range."""
    axes.set_ylim(top=min(axes.get_ylim()[1], found(numbers.metric).high + 0.02))


def _legend(figure: Figure, numbers: TradeoffNumbers) -> None:
    """The arms' names at the foot, the highest first."""
    from matplotlib.lines import Line2D

    named = numbers.told
    order = sorted(range(len(named)), key=lambda i: -named[i].score.mean)
    handles = []
    for index in order:
        colour, marker = _look(named[index], index)
        name = short(named[index].arm, 44)
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", label=name))
    figure.legend(handles=handles, loc="outside lower left", fontsize=7.5, labelspacing=0.35)


def _names(axes: Axes, numbers: TradeoffNumbers) -> None:
    """The arms' names in a column at the right, in the order of their heights.

    A name on any front is bold.
    """
    low, high = axes.get_ylim()
    heights = [p.score.mean for p in numbers.told]
    gap = min(GAP, 1.0 / max(1, len(heights) - 1))
    places = spread([(h - low) / (high - low) for h in heights], gap)
    overflow = max(0.0, max(places) - 1.0) - max(0.0, -min(places))
    on_front = {p.arm for cost in numbers.costs for p in numbers.front(cost)}
    for index, (point, place) in enumerate(zip(numbers.told, places, strict=True)):
        colour, marker = _look(point, index)
        chosen, y, over = point.arm in on_front, place - overflow, axes.transAxes
        axes.plot(
            [1.08],
            [y],
            marker=marker,
            markersize=8 if point.is_base else 5,
            markerfacecolor=colour if chosen else PAPER,
            markeredgecolor=colour,
            linestyle="none",
            transform=over,
            clip_on=False,
        )
        weight = "bold" if chosen else "normal"
        name = short(point.arm, 26)
        axes.text(1.14, y, name, transform=over, va="center", fontsize=7.5, fontweight=weight)
