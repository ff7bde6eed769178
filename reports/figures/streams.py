"""How much each stream counts over time in a few test utterances, beside an untrained network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from serlab.bench.contracts import FloatArray
from serlab.bench.insight import StreamWeights
from serlab.reports.figure import (
    FIGURES,
    MARKERS,
    PALETTE,
    Absent,
    is_narrow,
    mark,
    new_figure,
    quiet,
    spread,
)
from serlab.reports.insight import MOST_UTTERANCES, Inside, inside, shown_of, why_none
from serlab.reports.records import Block
from serlab.reports.words import clean, listed, marks_of, number, short, tagged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 300
"""Frames of an utterance that are drawn; of more, every second, third and so on."""

N_MARKERS = 8
"""Along a line."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """One stream in one utterance."""

    name: str
    trained: FloatArray
    """(frame,)"""
    control: FloatArray
    mean: float
    sd: float
    """Over frames."""
    control_mean: float
    control_sd: float


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One utterance."""

    utterance: str
    speaker: str
    hop_s: float
    streams: tuple[Stream, ...]


@dataclass(frozen=True, kw_only=True)
class StreamsNumbers:
    """A few utterances of one arm."""

    marks: tuple[str, ...]
    corpus: str
    arm: str
    shown: str
    """Which utterances of which training, in words."""
    panels: tuple[Panel, ...]

    @property
    def limits(self) -> tuple[float, float]:
        """The weights that are drawn, over 0.2 at least."""
        drawn = [v for p in self.panels for s in p.streams for v in (s.trained, s.control)]
        low, high = min(map(np.min, drawn)), max(map(np.max, drawn))
        room = max(0.05 * (high - low), 0.1 - (high - low) / 2)
        return max(-0.02, float(low - room)), min(1.02, float(high + room))

    def rows(self) -> list[dict[str, object]]:
        """One row a frame and stream."""
        return [
            {
                "utterance": panel.utterance,
                "stream": stream.name,
                "mean": stream.mean,
                "sd_over_frames": stream.sd,
                "control_mean": stream.control_mean,
                "control_sd_over_frames": stream.control_sd,
                "time_s": round(i * panel.hop_s, 4),
                "weight": float(stream.trained[i]),
                "control": float(stream.control[i]),
            }
            for panel in self.panels
            for stream in panel.streams
            for i in range(len(stream.trained))
        ]

    def caption(self) -> str:
        """The caption."""
        return (
            f"Weights of the streams of {clean(self.arm)} on {clean(self.corpus)} in {self.shown}; "
            "they sum to 1 at every time. Thin dashed: "
            "a network of the same settings with random weights. At the right, mean ± standard "
            "deviation over frames, the control's in brackets. What the control does as well "
            "comes with the architecture and the input, not from training. A weight is no measure "
            "of what a stream is worth: the arms without it tell that."
        )

    def alt(self) -> str:
        """Every mean and spread in words."""
        told = [
            f"{clean(panel.utterance)}: " + listed([_told(s, clean(s.name)) for s in panel.streams])
            for panel in self.panels
        ]
        return f"Mean weights of the streams of {clean(self.arm)}. {'. '.join(told)}."


@FIGURES.register("streams", order=7)
class Streams:
    """Which stream an arm listens to, and when."""

    def info(self, block: Block) -> StreamsNumbers | Absent:
        """The weights of the base, or of the first arm that has some."""
        found = next(inside(block, "weights"), None)
        return why_none(block, "weights") if found is None else _numbers(block, found)

    def draw(self, numbers: StreamsNumbers, width_in: float) -> Figure:
        """A row an utterance, its streams named at the right."""
        n, k = len(numbers.panels), max(len(p.streams) for p in numbers.panels)
        each_in = max(1.0, 0.5 * k)
        figure = new_figure(width_in, 0.75 + each_in * n + 0.16 * bool(numbers.marks))
        figure.set_layout_engine("constrained", w_pad=0.04, h_pad=0.03)
        wide = not is_narrow(width_in)
        head = f"{short(numbers.arm, 40 if wide else 18)}, {short(numbers.corpus, 24)}"
        mark(figure, numbers.marks, f"Streams of {head}")
        grid = figure.subplots(n, 1, squeeze=False, sharex=True, sharey=True)[:, 0]
        grid[0].set_ylim(*numbers.limits)
        for axes, panel in zip(grid, numbers.panels, strict=True):
            _draw(axes, panel, gap=0.48 / (each_in - 0.15))
        grid[0].set_xlim(0)
        grid[-1].set_xlabel("time, s")
        figure.supylabel("weight", fontsize=8)
        return figure


# --- numbers ---------------------------------------------------------------------------------


def _numbers(block: Block, found: Inside) -> StreamsNumbers:
    return StreamsNumbers(
        marks=marks_of(block, (found.arm,)),
        corpus=block.corpus.name,
        arm=tagged(found.arm),
        shown=shown_of(block, found, len(found.held.weights)),
        panels=tuple(_panel(one) for one in found.held.weights[:MOST_UTTERANCES]),
    )


def _panel(one: StreamWeights) -> Panel:
    streams = tuple(
        Stream(
            name=name,
            trained=one.trained[:, i],
            control=one.random[:, i],
            mean=float(one.trained[:, i].mean(dtype=np.float64)),
            sd=float(one.trained[:, i].std(dtype=np.float64)),
            control_mean=float(one.random[:, i].mean(dtype=np.float64)),
            control_sd=float(one.random[:, i].std(dtype=np.float64)),
        )
        for i, name in enumerate(one.streams)
    )
    return Panel(utterance=one.id, speaker=one.speaker, hop_s=one.hop_s, streams=streams)


# --- drawing ---------------------------------------------------------------------------------


def _told(stream: Stream, name: str, between: str = " ") -> str:
    own = f"{number(stream.mean, 2)} ± {number(stream.sd, 2)}"
    control = f"({number(stream.control_mean, 2)} ± {number(stream.control_sd, 2)})"
    return between.join((name, own, control))


def _draw(axes: Axes, panel: Panel, gap: float) -> None:
    """Lines of an utterance; the texts at the right are ``gap`` of its height apart."""
    from matplotlib.transforms import offset_copy

    time = np.arange(len(panel.streams[0].trained)) * panel.hop_s
    step = -(-len(time) // MOST_POINTS)
    low, high = axes.get_ylim()
    heights = spread([(s.mean - low) / (high - low) for s in panel.streams], gap)
    whole = axes.get_figure(root=True)
    key, text = (offset_copy(axes.transAxes, whole, x=x, units="points") for x in (7, 12))
    for i, (stream, y) in enumerate(zip(panel.streams, heights, strict=True)):
        colour, shape = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        axes.plot(time[::step], stream.control[::step], color=colour, linewidth=0.7,
                  linestyle=(0, (4, 2)))  # fmt: skip
        every = max(1, len(time[::step]) // N_MARKERS)
        axes.plot(time[::step], stream.trained[::step], shape, color=colour, linewidth=1.3,
                  linestyle="-", markersize=3.5, markevery=(i * every // 2, every))  # fmt: skip
        axes.plot([1], [y], shape, color=colour, markersize=3.5, transform=key, clip_on=False)
        axes.text(1, y, _told(stream, short(stream.name, 20), "\n"), fontsize=6.5, color=colour,
                  transform=text, va="center", linespacing=1.15)  # fmt: skip
    axes.set_title(short(panel.utterance, 40), fontsize=7, fontweight="normal", pad=2)
    axes.locator_params(axis="y", nbins=3)
    quiet(axes, grid="y")
