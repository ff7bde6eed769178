"""Latency: every timed call of each arm, process by process, and how the batch changes speed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from serlab.reports.figure import (
    DASHES,
    FIGURES,
    INK,
    MARKERS,
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
from serlab.reports.meters import Metered
from serlab.reports.records import Arm, Block
from serlab.reports.words import (
    are_not,
    clean,
    listed,
    marks_of,
    plural,
    short,
    significant,
    tagged,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]

MOST = 8
"""Arms that are drawn: the base, and those whose median is the furthest from its."""

LINES = 0.54
"""Where the lines of a sweep end and their names begin, as a share of the axes' width."""

Look = tuple[str, str, Any]  # matplotlib's dashes are of several types

SWEPT: Mapping[str, tuple[str, str, str]] = {
    "batch": ("throughput", "utterances a call", "utterances per second"),
    "seconds": ("rtf", "seconds of each utterance", "computing per second of audio, s"),
}
"""By what is swept: the measurement shown against it, and the titles of the two axes."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """The timed calls of one arm, under the conditions that tables show."""

    arm: str
    processes: tuple[Values, ...]
    """Milliseconds, by process, (call,)."""

    @property
    def medians(self) -> list[float]:
        """Of each process, in milliseconds."""
        return [float(np.median(calls)) for calls in self.processes]

    @property
    def middle(self) -> float:
        """The median of the processes' medians, in milliseconds."""
        return float(np.median(self.medians))


@dataclass(frozen=True, kw_only=True)
class Point:
    """One arm's speed at one batch or duration, over its processes."""

    arm: str
    swept: str
    at: float
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True)
class LatencyNumbers:
    """Times of arms, the base's first, and the sweeps."""

    marks: tuple[str, ...]
    conditions: str
    arms: tuple[Timed, ...]
    points: tuple[Point, ...]
    n_left_out: int
    missing: tuple[str, ...]
    """Arms without times, and why."""

    @property
    def sweeps(self) -> tuple[str, ...]:
        """What is swept, of `SWEPT`."""
        return tuple(dict.fromkeys(p.swept for p in self.points))

    def rows(self) -> list[dict[str, object]]:
        """One row a timed call, then one a point of a sweep."""
        calls: list[dict[str, object]] = [
            {"arm": t.arm, "measurement": "call_ms", "process": process, "call": call,
             "value": float(value)}
            for t in self.arms
            for process, values in enumerate(t.processes)
            for call, value in enumerate(values)
        ]  # fmt: skip
        return calls + [
            {"arm": p.arm, "measurement": SWEPT[p.swept][0], p.swept: p.at, "value": p.value,
             "low": p.low, "high": p.high}
            for p in self.points
        ]  # fmt: skip

    def caption(self) -> str:
        """The caption."""
        text = (
            f"Latency ({self.conditions}): a tick is one timed call, a row of ticks one process, "
            "its dot the median and its triangle the 95th percentile. Processes of one arm that "
            "lie apart are what its interval in the table is made of. Features are not in it."
        )
        for swept in self.sweeps:
            name = {"throughput": "throughput", "rtf": "real-time factor"}[SWEPT[swept][0]]
            varied = {"batch": "batch", "seconds": "duration"}[swept]
            text += f" {name.capitalize()} against {varied}, all else equal: mean over processes"
            text += (
                " and its interval, which the axis may cut; arms stand a little aside."
                if any(p.low is not None for p in self.points if p.swept == swept)
                else "."
            )
        if self.missing:
            text += f" Without times: {listed(self.missing)}."
        if self.n_left_out:
            text += (
                " The base and the arms whose median is furthest from its are drawn, "
                f"{are_not(self.n_left_out)}."
            )
        return text

    def alt(self) -> str:
        """Median and extremes of each arm, and each sweep's ends, in words."""
        told = [
            f"{clean(t.arm)} median {significant(t.middle)} ms over "
            f"{plural(sum(map(len, t.processes)), 'call')}, from "
            f"{significant(min(float(p.min()) for p in t.processes))} to "
            f"{significant(max(float(p.max()) for p in t.processes))} ms"
            for t in self.arms
        ]
        ends = []
        for swept in self.sweeps:
            for arm, line in _lines(self.points, swept).items():
                first, last = line[0], line[-1]
                ends.append(
                    f"{clean(arm)} {significant(first.value)} at {first.at:g} and "
                    f"{significant(last.value)} at {last.at:g} {SWEPT[swept][1]}"
                )
        more = f" {SWEPT[self.sweeps[0]][2].capitalize()}: {'; '.join(ends)}." if ends else ""
        return f"Timed calls: {'; '.join(told)}.{more}"


@FIGURES.register("latency", order=8)
class Latency:
    """The raw times of the meters."""

    def info(self, block: Block) -> LatencyNumbers | Absent:
        """The arms that have times under the conditions that tables show."""
        timed = {a.name: t for a in block.arms if (t := _timed(a))}
        if not timed:
            return Absent(reason="no arm's calls were timed", notable=False)
        shown = _shown(block.arms, timed)
        return LatencyNumbers(
            marks=marks_of(block, shown),
            conditions=headline_words(block),
            arms=tuple(timed[a.name] for a in shown),
            points=tuple(p for swept in SWEPT for p in _sweep(shown, swept)),
            n_left_out=len(timed) - len(shown),
            missing=tuple(
                f"{tagged(a)} ({clean(a.meters.reason)})" for a in block.arms if a.name not in timed
            ),
        )

    def draw(self, numbers: LatencyNumbers, width_in: float) -> Figure:
        """Strips, with the sweeps beside them, or below in a column."""
        wide, n_sweeps = not is_narrow(width_in), len(numbers.sweeps)
        strips_in = 0.55 + sum(map(_row_in, numbers.arms))
        below_in = 0.0 if wide else 2.0 * n_sweeps
        least = 2.2 if n_sweeps and wide else 0.0
        height = max(strips_in, least) + below_in + 0.3 + 0.16 * bool(numbers.marks)
        figure = new_figure(width_in, height)
        mark(figure, numbers.marks, "Latency of every call")
        count = 1 + n_sweeps
        if wide:
            held = figure.subplots(1, count, width_ratios=[1.3] + [1.2] * n_sweeps, squeeze=False)
        else:
            ratios = [strips_in] + [2.0] * n_sweeps
            held = figure.subplots(count, 1, height_ratios=ratios, squeeze=False)
        axes: list[Axes] = held.ravel().tolist()
        looks = _looks(numbers.arms)
        _strips(axes[0], numbers.arms, looks, 24 if wide else 18)
        for one, swept in zip(axes[1:], numbers.sweeps, strict=True):
            _lines_drawn(one, _lines(numbers.points, swept), swept, looks)
        return figure


def _timed(arm: Arm) -> Timed | None:
    headline = arm.meters.headline
    calls = [np.array(s, np.float64) / 1e6 for s in headline.samples_ns if s] if headline else []
    return Timed(arm=tagged(arm), processes=tuple(calls)) if calls else None


def _shown(arms: Sequence[Arm], timed: Mapping[str, Timed]) -> list[Arm]:
    """The base first, then in the order of the table those furthest from its median."""
    held = sorted((a for a in arms if a.name in timed), key=lambda a: not a.is_base)
    middle = timed[held[0].name].middle
    rank = sorted(
        range(1, len(held)), key=lambda i: -abs(math.log(timed[held[i].name].middle / middle))
    )
    return [held[i] for i in sorted([0, *rank[: MOST - 1]])]


def _sweep(arms: Sequence[Arm], swept: str) -> list[Point]:
    """Speeds under the conditions of the table but for one of them; none without two of it."""
    points = []
    for arm in arms:
        for cell in _alike(arm, swept):
            value = cell.values.get(SWEPT[swept][0])
            if value is not None and value.value is not None:
                points.append(
                    Point(
                        arm=tagged(arm),
                        swept=swept,
                        at=float(getattr(cell.conditions, swept)),
                        value=value.value,
                        low=value.low,
                        high=value.high,
                    )
                )
    points.sort(key=lambda p: p.at)
    return points if len({p.at for p in points}) > 1 else []


def _alike(arm: Arm, swept: str) -> list[Metered]:
    """The cells of an arm that differ from its headline's in one condition at most, each once."""
    headline = arm.meters.headline
    if headline is None:
        return []
    here = vars(headline.conditions)[swept]
    found = {
        cell.conditions: cell
        for cell in reversed(arm.meters.cells)
        if replace(cell.conditions, **{swept: here}) == headline.conditions
    }
    return list(found.values())


def _lines(points: Sequence[Point], swept: str) -> dict[str, list[Point]]:
    found: dict[str, list[Point]] = {}
    for point in points:
        if point.swept == swept:
            found.setdefault(point.arm, []).append(point)
    return found


# --- drawing -------------------------------------------------------------------------------


def _looks(arms: Sequence[Timed]) -> dict[str, Look]:
    """Colour, marker and dash of each arm; the first, the base, is black."""
    looks: dict[str, Look] = {arms[0].arm: (INK, MARKERS[0], DASHES[0])}
    for i, timed in enumerate(arms[1:]):
        n = len(PALETTE)
        looks[timed.arm] = (PALETTE[i % n], MARKERS[1 + i], DASHES[i // n])
    return looks


def _row_in(timed: Timed) -> float:
    return 0.14 + 0.11 * len(timed.processes)


def _strips(axes: Axes, arms: Sequence[Timed], looks: Mapping[str, Look], width: int) -> None:
    """A band an arm, a row a process; heights in inches."""
    y, middles = 0.0, []
    for timed in arms:
        y += 0.12
        for i, calls in enumerate(timed.processes):
            _row(axes, y + 0.11 * i, calls, looks[timed.arm][0])
        middles.append(y + 0.11 * (len(timed.processes) - 1) / 2)
        y += _row_in(timed) - 0.12
    axes.set_ylim(y + 0.04, 0)
    axes.set_yticks(middles, [wrapped(t.arm, width) for t in arms])
    axes.tick_params(axis="y", length=0)
    cost_axis(axes, [float(v) for t in arms for calls in t.processes for v in calls])
    axes.set_xlabel("milliseconds a call")
    quiet(axes, grid="x")
    axes.spines["left"].set_visible(False)


def _row(axes: Axes, y: float, calls: Values, colour: str) -> None:
    """All ticks are one line with gaps: a picture of hundreds of marks would be large."""
    x = np.repeat(calls, 3)
    x[2::3] = np.nan
    heights = np.tile([y - 0.036, y + 0.036, np.nan], len(calls))
    axes.plot(x, heights, color=colour, linewidth=0.5, alpha=0.55)
    edge: dict[str, Any] = {
        "markeredgecolor": PAPER,
        "markeredgewidth": 0.6,
        "color": colour,
        "zorder": 4,
    }
    axes.plot([float(np.percentile(calls, 95))], [y], "<", markersize=4.5, **edge)
    axes.plot([float(np.median(calls))], [y], "o", markersize=4.5, **edge)


def _lines_drawn(
    axes: Axes,
    lines: Mapping[str, Sequence[Point]],
    swept: str,
    looks: Mapping[str, Look],
) -> None:
    """Lines on logarithmic axes, the points of an arm a little beside those of the others."""
    places = sorted({p.at for line in lines.values() for p in line})
    span = places[-1] / places[0]
    apart = np.linspace(-0.05, 0.05, len(lines)) if len(lines) > 1 else np.zeros(1)
    for (arm, line), aside in zip(lines.items(), apart.tolist(), strict=True):
        colour, marker, dash = looks[arm]
        x, y = [p.at * span**aside for p in line], [p.value for p in line]
        axes.plot(x, y, marker=marker, color=colour, linestyle=dash, markersize=4,
                  markeredgecolor=PAPER, markeredgewidth=0.5)  # fmt: skip
        for at, p in zip(x, line, strict=True):
            if p.low is not None and p.high is not None:
                axes.plot([at] * 2, [p.low, p.high], color=colour, linewidth=0.7, alpha=0.6)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(places, [f"{v:g}" for v in places])
    axes.set_xticks([], minor=True)
    axes.set_xlim(places[0] / span**0.08, places[-1] * span**0.92)
    axes.spines["bottom"].set_bounds(places[0] / span**0.08, places[-1] * span**0.08)
    _decades(axes, [p.value for line in lines.values() for p in line])
    axes.set_xlabel(SWEPT[swept][1], x=LINES, ha="right")
    axes.set_ylabel(SWEPT[swept][2])
    quiet(axes)
    _named(axes, lines, looks)


def _decades(axes: Axes, values: Sequence[float]) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    subs = (1.0, 2.0, 5.0) if max(values) / min(values) < 100 else (1.0,)
    axes.yaxis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axes.yaxis.set_major_formatter(lambda v, _: f"{v:,g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(min(values) / 1.3, max(values) * 1.3)


def _named(axes: Axes, lines: Mapping[str, Sequence[Point]], looks: Mapping[str, Look]) -> None:
    """Names at the lines' ends, moved apart where they would overlap."""
    over = axes.get_yaxis_transform()
    low, high = np.log(axes.get_ylim()).tolist()
    ends = [(math.log(line[-1].value) - low) / (high - low) for line in lines.values()]
    for (arm, line), place, end in zip(lines.items(), spread(ends, 0.085), ends, strict=True):
        y = math.exp(low + place * (high - low))
        axes.text(LINES + 0.09, y, short(arm, 20), transform=over, va="center", fontsize=7,
                  color=INK)  # fmt: skip
        if abs(place - end) > 0.01:
            axes.plot([LINES + 0.02, LINES + 0.08], [line[-1].value, y], transform=over,
                      color=looks[arm][0], linewidth=0.5, clip_on=False)  # fmt: skip
