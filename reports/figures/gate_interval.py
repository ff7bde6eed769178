"""The gate's interval against its margin: what passed, what was lost, what cannot be told."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from serlab.reports.figure import (
    BAND,
    BLUE,
    DASHES,
    INK,
    MUTED,
    ORANGE,
    PAPER,
    WIDE_IN,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.gate.records import Check, Outcome, Result
from serlab.reports.gate.words import difference_of, parted, real, told, worst_first
from serlab.reports.scale import reach
from serlab.reports.words import (
    clean,
    in_points,
    margin_words,
    number,
    plural,
    short,
    title_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 30
"""Intervals that are drawn; of more, the slices that ended worst."""

SYNTHETIC = "SYNTHETIC SPEECH"

LOOKS = {
    Outcome.PASS: ("o", BLUE, True),
    Outcome.FAIL: ("X", ORANGE, True),
    Outcome.WARN: ("v", ORANGE, True),
    Outcome.INCONCLUSIVE: ("D", INK, False),
    Outcome.UNCLEAR: ("o", MUTED, False),
}
"""Marker, colour, and whether it is filled; the word stands beside it too."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A difference to the baseline, more being better."""

    name: str
    outcome: Outcome
    gating: bool
    mean: float
    low: float
    high: float
    words: str

    @property
    def estimable(self) -> bool:
        """Whether there is an interval; a line has one always."""
        return True


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Something that may be so large at most."""

    name: str
    outcome: Outcome
    value: float
    most: float


@dataclass(frozen=True, kw_only=True)
class GateNumbers:
    """A result of the gate, as far as it can be drawn, and the rest in words."""

    marks: tuple[str, ...]
    result: Result
    lines: tuple[Line, ...]
    amounts: tuple[Amount, ...]
    words: tuple[str, ...]
    """Checks without numbers that can be drawn, and notes."""
    n_left_out: int

    def rows(self) -> list[dict[str, object]]:
        """One row a mark."""
        lines: list[dict[str, object]] = [
            {"check": one.name, "outcome": one.outcome.value, "metric": self.result.metric,
             "difference": one.mean, "low": one.low, "high": one.high,
             "margin": self.result.margin}
            for one in self.lines
        ]  # fmt: skip
        amounts: list[dict[str, object]] = [
            {"check": one.name, "outcome": one.outcome.value, "metric": self.result.metric,
             "amount": one.value, "most": one.most}
            for one in self.amounts
        ]  # fmt: skip
        return lines + amounts

    def caption(self) -> str:
        """The caption."""
        metric, verdict = self.result.metric, f"{clean(self.result.sentence)}."
        if not self.lines:
            return verdict
        margin = margin_words(self.result.margin, metric)
        return (
            f"{verdict} Difference in {title_of(metric)} of the candidate to "
            f"the baseline with its one-sided bounds; the dashed line is a loss of {margin}. A "
            "check passes where its interval lies right of it and fails where it lies left of it; "
            "controls are to fail, and pass where they do."
        )

    def alt(self) -> str:
        """The verdict, then every mark in words."""
        lines = [f"{one.name} {one.words}, {one.outcome.value}" for one in self.lines]
        amounts = [
            f"{one.name} {_told(one.value, self.result.metric)} of at most "
            f"{_told(one.most, self.result.metric)}, {one.outcome.value}"
            for one in self.amounts
        ]
        return ". ".join([clean(self.result.sentence), *lines, *amounts, *self.words]) + "."


class GateInterval:
    """A result of the gate; of a candidate and a baseline, not of a block."""

    def info(self, result: Result) -> GateNumbers:
        """What can be drawn of every check, and the words of the others."""
        gating, slices = parted(result)
        held = [(c, _line(c, result.metric)) for c in (*gating, *slices)]
        lines = {check.name: line for check, line in held if line}
        room = max(0, MOST - sum(check.name in lines for check in gating))
        kept = {c.name for c in worst_first(c for c in slices if c.name in lines)[:room]}
        shown = tuple(line for n, line in lines.items() if line.gating or n in kept)
        amounts = tuple(amount for check in gating for amount in _amounts(check))
        drawn = {*lines, *(check.name for check in gating if _amounts(check))}
        verdict = told(result)
        words = [
            f"{clean(check.name)}: {check.outcome.value}: {clean(check.sentence)}"
            for check in (*gating, *slices)
            if check.name not in drawn and check is not verdict
        ]
        return GateNumbers(
            marks=(SYNTHETIC,) if any(SYNTHETIC in note for note in result.notes) else (),
            result=result,
            lines=shown,
            amounts=amounts,
            words=(*words, *_controls(result), *(f"Note: {clean(note)}" for note in result.notes)),
            n_left_out=len(lines) - len(shown),
        )

    def draw(self, numbers: GateNumbers, width_in: float) -> Figure:
        """Intervals above, thresholds below them, and at the foot what has no numbers."""
        result, n_letters = numbers.result, int(16 * width_in)
        head = textwrap.wrap(clean(result.sentence), n_letters)[:4]
        foot = [part for text in _foot(numbers) for part in textwrap.wrap(text, n_letters)[:3]]
        parts: list[tuple[float, Callable[[Axes], None]]] = [
            (0.14 * len(head), lambda axes: _words(axes, head, INK)),
            (_height(numbers.lines, 0.65), lambda axes: _intervals(axes, numbers)),
            (_height(numbers.amounts, 0.55), lambda axes: _thresholds(axes, numbers)),
            (0.14 * len(foot), lambda axes: _words(axes, foot, MUTED)),
        ]
        used = [(height, draw) for height, draw in parts if height]
        heights = [height for height, _ in used]
        total = 0.45 + sum(heights) + 0.16 * bool(numbers.marks)
        figure = new_figure(width_in, total)
        letters = 30 if width_in > WIDE_IN else 14
        name = " / ".join(short(part, letters) for part in (result.study, result.arm) if part)
        mark(figure, numbers.marks, f"serlab gate {result.command}, {name}".rstrip(", "))
        panels = figure.subplots(len(used), 1, squeeze=False, height_ratios=heights)[:, 0]
        for axes, (_, draw) in zip(panels, used, strict=True):
            draw(axes)
        return figure


def _height(rows: Sequence[Line | Amount], more: float) -> float:
    return more + 0.24 * len(rows) if rows else 0.0


def _controls(result: Result) -> list[str]:
    held = any(check.kind == "control" for check in result.checks)
    return ["Controls are to fail the gate: those that do have passed"] if held else []


def _line(check: Check, metric: str) -> Line | None:
    mean, low, high = (real(check, key) for key in ("difference", "low", "high"))
    if mean is None or low is None or high is None:
        return None
    return Line(
        name=clean(check.name).removeprefix("slice "),
        outcome=check.outcome,
        gating=check.kind != "slice",
        mean=mean,
        low=low,
        high=high,
        words=difference_of(check, metric),
    )


def _amounts(check: Check) -> list[Amount]:
    """Losses, changed predictions and gaps, with the most that the baseline allows."""
    found = []
    for key, limit, what in (("loss", "largest_loss", "loss"), ("gap", "largest_gap", "gap")):
        value, most = real(check, key), real(check, limit)
        if value is not None and most is not None:
            found.append((what, value, most))
    kept, least = real(check, "unchanged"), real(check, "least_unchanged")
    if kept is not None and least is not None:
        found.append(("changed", 1 - kept, 1 - least))
    name = clean(check.name).removeprefix(f"{check.kind} ")
    return [
        Amount(
            name=f"{name}: {what}",
            outcome=Outcome.FAIL if value > most else Outcome.PASS,
            value=value,
            most=most,
        )
        for what, value, most in found
    ]


def _foot(numbers: GateNumbers) -> list[str]:
    more = numbers.n_left_out
    left = [f"{plural(more, 'slice')} with better outcomes not drawn"] if more else []
    return [*left, *numbers.words]


def _told(value: float, metric: str) -> str:
    factor, digits = (100, 1) if in_points(metric) else (1, 3)
    return number(value * factor, digits)


# --- drawing -------------------------------------------------------------------------------


def _intervals(axes: Axes, numbers: GateNumbers) -> None:
    """A line a check, the margin dashed; what lies left of it has lost too much."""
    result, lines = numbers.result, numbers.lines
    points = in_points(result.metric)
    factor, digits = (100, 0) if points else (1, 2)
    half = reach(lines, result.margin)
    low = -max(half, 1.5 * result.margin)
    high = max(-low / 3, min(half, 1.1 * max(line.high for line in lines)))
    axes.set_xlim(low, high)
    axes.axvspan(low, -result.margin, color=BAND, linewidth=0, zorder=0)
    axes.axvline(-result.margin, color=INK, linewidth=1, linestyle=DASHES[1], zorder=1)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    for y, line in enumerate(lines):
        _interval(axes, y, line, (low, high))
    _labels(axes, [(line.name, line.gating) for line in lines])
    axes.set_ylim(top=-1.1)
    words = f"margin {margin_words(result.margin, result.metric)}"
    axes.annotate(words, (-result.margin, -0.8), (-3, 0), textcoords="offset points", ha="right",
                  va="center", fontsize=6.5, color=MUTED)  # fmt: skip
    axes.locator_params(axis="x", nbins=7)
    fine = digits + (half * factor < 3 * 10**-digits)
    axes.xaxis.set_major_formatter(lambda x, _: number(x * factor, fine, sign=True))
    unit = ", points" if points else ""
    gap = " " if _is_wide(axes) else "\n"
    title = title_of(result.metric)
    axes.set_xlabel(f"{title}, candidate minus baseline{unit}{gap}(more is better)")
    _words_beside(axes, [(line.words.replace(" points", ""), line.outcome) for line in lines])


def _interval(axes: Axes, y: float, line: Line, ends: tuple[float, float]) -> None:
    low, high = ends
    marker, colour, filled = LOOKS.get(line.outcome, ("o", MUTED, False))
    inside = [min(max(end, low), high) for end in (line.low, line.high)]
    axes.plot(inside, [y, y], color=colour, linewidth=2.2 if line.gating else 1.4, zorder=2)
    for beyond, at, arrow in ((line.low < low, low, "<"), (line.high > high, high, ">")):
        if beyond:
            axes.plot([at], [y], marker=arrow, color=colour, markersize=4, clip_on=False)
    _mark_at(axes, line.mean, y, (marker, colour, filled))


def _mark_at(axes: Axes, x: float, y: float, look: tuple[str, str, bool]) -> None:
    marker, colour, filled = look
    axes.plot([x], [y], marker=marker, markersize=6, markerfacecolor=colour if filled else PAPER,
              markeredgecolor=PAPER if filled else colour, markeredgewidth=0.5 if filled else 1.2,
              linestyle="none", zorder=3, clip_on=False)  # fmt: skip


def _thresholds(axes: Axes, numbers: GateNumbers) -> None:
    """A bar to the most that is allowed, and a mark at what was found."""
    metric = numbers.result.metric
    factor, digits = (100, 0) if in_points(metric) else (1, 2)
    for y, one in enumerate(numbers.amounts):
        axes.barh([y], [one.most], height=0.5, color=BAND, zorder=0)
        axes.plot([one.most] * 2, [y - 0.32, y + 0.32], color=INK, linewidth=1,
                  linestyle=DASHES[1])  # fmt: skip
        _mark_at(axes, one.value, y, LOOKS[one.outcome])
    axes.axvline(0, color=INK, linewidth=0.8, zorder=1)
    ends = [v for one in numbers.amounts for v in (one.value, one.most)]
    axes.set_xlim(min(0.0, *ends) * 1.1, max(0.01, *ends) * 1.1)
    _labels(axes, [(one.name, True) for one in numbers.amounts])
    axes.locator_params(axis="x", nbins=7)
    fine = digits + (max(ends) * factor < 3 * 10**-digits)
    axes.xaxis.set_major_formatter(lambda x, _: number(x * factor, fine))
    gap = " " if _is_wide(axes) else "\n"
    unit = f",{gap}points or percent" if factor > 1 else ""
    axes.set_xlabel(f"found, and the most allowed (dashed){unit}")
    texts = [f"{_told(a.value, metric)} ({_told(a.most, metric)} at most)" for a in numbers.amounts]
    outcomes = [one.outcome for one in numbers.amounts]
    _words_beside(axes, list(zip(texts, outcomes, strict=True)))


def _labels(axes: Axes, names: Sequence[tuple[str, bool]]) -> None:
    letters = 34 if _is_wide(axes) else 20
    axes.set_yticks(range(len(names)), [short(name, letters) for name, _ in names])
    for text, (_, gating) in zip(axes.get_yticklabels(), names, strict=True):
        text.set_color(INK if gating else MUTED)
    axes.set_ylim(len(names) - 0.5, -0.6)
    axes.tick_params(axis="y", length=0, pad=7)
    quiet(axes)
    axes.spines["left"].set_visible(False)


def _picture(axes: Axes) -> Figure:
    picture = axes.get_figure(root=True)
    assert picture is not None
    return picture


def _is_wide(axes: Axes) -> bool:
    return _picture(axes).get_figwidth() > WIDE_IN


def _words_beside(axes: Axes, rows: Sequence[tuple[str, Outcome]]) -> None:
    """How each ended, and before it the numbers where the width allows."""
    for y, (words, outcome) in enumerate(rows):
        loud = outcome in (Outcome.FAIL, Outcome.WARN, Outcome.INCONCLUSIVE)
        ended = outcome.value.upper() if loud else outcome.value
        columns = [(words, "normal")] if _is_wide(axes) else []
        columns.append((ended, "bold" if loud else "normal"))
        for place, (text, weight) in enumerate(columns):
            axes.annotate(
                text, (1, y), (8 + 96 * place, 0), xycoords=axes.get_yaxis_transform(),
                textcoords="offset points", va="center", fontsize=7.5, fontweight=weight,
                annotation_clip=False,
            )  # fmt: skip


def _words(axes: Axes, lines: Sequence[str], colour: str) -> None:
    """Lines from the picture's left edge, for which no panel makes room."""
    from matplotlib.transforms import blended_transform_factory

    axes.set_axis_off()
    over = blended_transform_factory(_picture(axes).transFigure, axes.transAxes)
    text = axes.text(0.005, 1, "\n".join(lines), transform=over, va="top", fontsize=7.5)
    text.set_color(colour)
    text.set_in_layout(False)
