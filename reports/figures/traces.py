"""True and predicted traces over time, of utterances that the base follows as it does most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serlab.bench.contracts import FloatArray
from serlab.bench.metrics.base import evaluate
from serlab.reports.figure import (
    BLUE,
    FIGURES,
    INK,
    NO_TRACES,
    Absent,
    is_narrow,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.records import Block, IntArray, Pooled, groups
from serlab.reports.words import clean, listed, marks_of, number, plural, short, tagged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHARES = (("lower quartile", 0.25), ("median", 0.5), ("upper quartile", 0.75))
"""Which utterances are shown, by their CCC among all."""

MOST_POINTS = 500
"""Frames of an utterance that are drawn; of more, every second, third and so on."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One utterance; arrays are (frame, dimension)."""

    utterance: str
    speaker: str
    place: str
    ccc: float
    frames: IntArray
    truth: FloatArray
    mean: FloatArray
    """Prediction, mean over seeds; low and high are the least and largest of them."""
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, kw_only=True)
class TracesNumbers:
    """A few utterances of one arm."""

    marks: tuple[str, ...]
    corpus: str
    arm: str
    labels: tuple[str, ...]
    n_seeds: int
    n_utterances: int
    rate_hz: float
    """0 where it is not recorded; frames are then counted, not timed."""
    panels: tuple[Panel, ...]

    def rows(self) -> list[dict[str, object]]:
        """One row a frame and dimension."""
        return [
            {
                "utterance": panel.utterance,
                "place": panel.place,
                "dimension": label,
                "frame": int(frame),
                "time_s": float(frame / self.rate_hz) if self.rate_hz else None,
                "truth": float(panel.truth[i, d]),
                "predicted_mean": float(panel.mean[i, d]),
                "predicted_least": float(panel.low[i, d]),
                "predicted_largest": float(panel.high[i, d]),
            }
            for panel in self.panels
            for d, label in enumerate(self.labels)
            for i, frame in enumerate(panel.frames)
        ]

    def caption(self) -> str:
        """The caption."""
        over = f"mean over {plural(self.n_seeds, 'seed')}"
        band = ", band from the least to the largest" if self.n_seeds > 1 else ""
        return (
            f"True (black) and predicted (blue; {over}{band}) traces of {clean(self.arm)} on "
            f"{clean(self.corpus)}. Of {plural(self.n_utterances, 'test utterance')}, those at "
            f"the {listed([p.place for p in self.panels])} of the CCC within an utterance (mean "
            "over dimensions and seeds) are shown; that CCC is not the pooled one of the table."
        )

    def alt(self) -> str:
        """The utterances and their CCC in words."""
        told = [
            f"{clean(p.utterance)} ({p.place}) with a CCC of {number(p.ccc)}" for p in self.panels
        ]
        return f"True and predicted traces of {clean(self.arm)}: {listed(told)}."


@FIGURES.register("traces", order=4)
class Traces:
    """How the base follows an utterance."""

    def info(self, block: Block) -> TracesNumbers | Absent:
        """The base's utterances at the quartiles of CCC."""
        if block.corpus.target != "traces":
            return NO_TRACES
        base = block.base
        if base is None or base.pooled is None:
            return Absent(reason="no seed of the base has all its folds completed")
        held = base.pooled
        found = _by_ccc(held)
        if not found:
            return Absent(reason="no test utterance moves, so there is no CCC within one")
        places = {round(share * (len(found) - 1)): name for name, share in reversed(SHARES)}
        panels = tuple(_panel(held, *found[i], places[i]) for i in sorted(places))
        return TracesNumbers(
            marks=marks_of(block, (base,)),
            corpus=block.corpus.name,
            arm=tagged(base),
            labels=block.corpus.labels,
            n_seeds=len(held.seeds),
            n_utterances=held.n_utterances,
            rate_hz=block.corpus.trace_rate_hz,
            panels=panels,
        )

    def draw(self, numbers: TracesNumbers, width_in: float) -> Figure:
        """A column an utterance, a row a dimension."""
        n_rows, n_columns = len(numbers.labels), len(numbers.panels)
        narrow = is_narrow(width_in)
        between = "\n" if narrow else " "
        figure = new_figure(width_in, 0.8 + 1.15 * n_rows + 0.16 * bool(numbers.marks))
        title = f"Traces of {short(numbers.arm, 30)}, {short(numbers.corpus, 24)}"
        mark(figure, numbers.marks, title)
        grid = figure.subplots(n_rows, n_columns, sharex="col", sharey="row", squeeze=False)
        for column, panel in zip(grid.T, numbers.panels, strict=True):
            for d, axes in enumerate(column):
                _draw(axes, panel, d, numbers.rate_hz)
            told = f"{panel.place}:{between}CCC {number(panel.ccc, 2)}"
            name = short(panel.utterance, 12 if narrow else 26)
            column[0].set_title(f"{name}\n{told}", fontsize=6.5 if narrow else 7.5)
            column[-1].set_xlabel("time, s" if numbers.rate_hz else "frame")
        for axes, label in zip(grid[:, 0], numbers.labels, strict=True):
            axes.set_ylabel(short(label, 16))
        grid[0, 0].legend(loc="best", handlelength=1.4, fontsize=7, borderaxespad=0.1)
        return figure


def _by_ccc(held: Pooled) -> list[tuple[str, IntArray, float]]:
    """Utterances, their rows and CCC (mean over seeds), from the worst; none that is undefined."""
    found = []
    for name, rows in groups(held.ids).items():
        value = np.mean([evaluate("ccc", held.truth[rows], s[rows]) for s in held.scores])
        if np.isfinite(value):
            found.append((name, rows, float(value)))
    return sorted(found, key=lambda one: (one[2], one[0]))


def _panel(held: Pooled, name: str, rows: IntArray, ccc: float, place: str) -> Panel:
    scores = held.scores[:, rows]
    return Panel(
        utterance=name,
        speaker=held.speakers[rows[0]],
        place=place,
        ccc=ccc,
        frames=held.frames[rows],
        truth=held.truth[rows],
        mean=scores.mean(axis=0),
        low=scores.min(axis=0),
        high=scores.max(axis=0),
    )


def _draw(axes: Axes, panel: Panel, d: int, rate_hz: float) -> None:
    step = -(-len(panel.frames) // MOST_POINTS)
    x = panel.frames[::step] / (rate_hz or 1.0)
    low, high = panel.low[::step, d], panel.high[::step, d]
    axes.fill_between(x, low, high, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(x, panel.truth[::step, d], color=INK, linewidth=1.0, label="true")
    axes.plot(x, panel.mean[::step, d], color=BLUE, linewidth=1.2, label="predicted")
    quiet(axes, grid="y")
