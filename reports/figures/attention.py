"""Where a network looks in a few test utterances, beside an untrained one that does the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from serlab.bench.contracts import FloatArray
from serlab.bench.insight import AttentionMap
from serlab.reports.figure import FIGURES, Absent, is_narrow, mark, new_figure
from serlab.reports.insight import MOST_UTTERANCES, Inside, inside, shown_of, why_none
from serlab.reports.records import Block
from serlab.reports.words import clean, listed, marks_of, number, short, tagged

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MOST_FRAMES, MOST_BINS = 80, 40
"""Of a map as it is drawn; where there are more, neighbours are averaged."""

LEVELS = 32
"""Shades of a picture; so many are told apart, and they keep the page small."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One utterance; arrays are (frame, bin), as they are drawn."""

    utterance: str
    speaker: str
    emotion: str
    said: str
    length_s: float
    n_bins: int
    """Of the input, which has more where neighbours are averaged."""
    seen: FloatArray
    trained: FloatArray
    """In multiples of equal attention everywhere, as the control's."""
    control: FloatArray
    with_control: float | None
    """Rank correlation of the trained attention with the control's; None where one is constant."""
    with_input: float | None
    """The same with the input's values."""


@dataclass(frozen=True, kw_only=True)
class AttentionNumbers:
    """A few utterances of one arm."""

    marks: tuple[str, ...]
    corpus: str
    arm: str
    shown: str
    """Which utterances of which training, in words."""
    looked_at: str
    """Name of the input."""
    panels: tuple[Panel, ...]

    @property
    def over_bins(self) -> bool:
        """Whether the attention differs between the bins of a frame."""
        return any(_tells_bins(panel.trained) for panel in self.panels)

    @property
    def brightest(self) -> float:
        """The weight at which the scale ends; one in a hundred of the trained is beyond."""
        trained = np.concatenate([p.trained.ravel() for p in self.panels])
        control = max(float(p.control.max()) for p in self.panels)
        return max(float(np.quantile(trained, 0.99)), min(control, float(trained.max())), 1.05)

    def rows(self) -> list[dict[str, object]]:
        """One row a cell of a picture."""
        return [
            {
                "utterance": panel.utterance,
                "emotion": panel.emotion,
                "said": panel.said,
                "rank_correlation_with_control": panel.with_control,
                "rank_correlation_with_input": panel.with_input,
                "time_s": round((i + 0.5) / len(panel.seen) * panel.length_s, 4),
                "bin": round((j + 0.5) / panel.seen.shape[1] * panel.n_bins - 0.5, 2),
                "input": round(float(panel.seen[i, j]), 4),
                "attention": round(float(panel.trained[i, j]), 4),
                "control": round(float(panel.control[i, j]), 4),
            }
            for panel in self.panels
            for i, j in np.ndindex(panel.seen.shape)
        ]

    def caption(self) -> str:
        """The caption."""
        which = "times and bins" if self.over_bins else "times"
        said = "; the arrow names the class that it says" if self.panels[0].said else ""
        cells = "frames and bins" if self.over_bins else "frames (the input's mean over bins)"
        return (
            f"Attention of {clean(self.arm)} on {clean(self.corpus)} in {self.shown}{said}. "
            f"Top: the input {clean(self.looked_at)} as the network reads it, dark is high. "
            f"Middle: how it weighs {which}, 1 where all weigh the same; where each class has a "
            "map, that of the class the network itself says. Bottom: a network of the same "
            "settings with random weights, on the same scale. Between pictures: rank correlation "
            f"(Spearman) of the middle one with the one above and the one below, over {cells} "
            "that either network looks at. A map that is much like its control says nothing of "
            "what was learnt: training has not made it (randomised weights as a check: Adebayo et "
            "al., Sanity Checks for Saliency Maps, 2018). One that is unlike it may be learnt; two "
            "untrained networks can differ as well, and attention is no explanation of an answer."
        )

    def alt(self) -> str:
        """The utterances and their correlations in words."""
        told = [
            f"{clean(p.utterance)} ({_heard(p)}) {number(p.with_control, 2)} with the control and "
            f"{number(p.with_input, 2)} with the input"
            for p in self.panels
        ]
        return f"Rank correlation of the attention of {clean(self.arm)}: {listed(told)}."


@FIGURES.register("attention", order=7)
class Attention:
    """Whether the attention of an arm is learnt, and where it lies."""

    def info(self, block: Block) -> AttentionNumbers | Absent:
        """The maps of the base, or of the first arm that has some."""
        found = next(inside(block, "maps"), None)
        return why_none(block, "maps") if found is None else _numbers(block, found)

    def draw(self, numbers: AttentionNumbers, width_in: float) -> Figure:
        """A column an utterance: input, attention, control; what they share between them."""
        n, wide = len(numbers.panels), not is_narrow(width_in)
        height_in = min(max(3.3, 0.49 * width_in), 4.5)
        figure = new_figure(width_in, height_in + 0.16 * bool(numbers.marks))
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
        head = f"{short(numbers.arm, 40 if wide else 20)}, {short(numbers.corpus, 24)}"
        mark(figure, numbers.marks, f"Attention of {head}")
        grid = figure.subplots(3, n, squeeze=False, sharex="col", sharey="row")
        for column, panel in zip(grid.T, numbers.panels, strict=True):
            image = _column(column, panel, numbers.brightest, int(width_in * 12 / n))
        for axes in grid.flat:
            axes.tick_params(left=axes in grid[:, 0], bottom=axes in grid[-1], **_TICKS)
        for axes, name in zip(grid[:, 0], ("input", "trained", "control"), strict=True):
            axes.set_ylabel(f"{name}\nbin", labelpad=2)
        bar = figure.colorbar(image, ax=grid[1:, :], aspect=30, pad=0.02, extend="max")
        bar.set_label("weight (1: equal)", labelpad=2)
        bar.ax.tick_params(**_TICKS)
        return figure


# --- numbers ---------------------------------------------------------------------------------


def _numbers(block: Block, found: Inside) -> AttentionNumbers:
    return AttentionNumbers(
        marks=marks_of(block, (found.arm,)),
        corpus=block.corpus.name,
        arm=tagged(found.arm),
        shown=shown_of(block, found, len(found.held.maps)),
        looked_at=found.held.maps[0].input,
        panels=tuple(_panel(one) for one in found.held.maps[:MOST_UTTERANCES]),
    )


def _panel(one: AttentionMap) -> Panel:
    return Panel(
        utterance=one.id,
        speaker=one.speaker,
        emotion=one.emotion,
        said=one.said,
        length_s=one.hop_s * len(one.seen),
        n_bins=one.seen.shape[1],
        seen=_smaller(one.seen),
        trained=_smaller(one.trained * one.trained.size),
        control=_smaller(one.random * one.random.size),
        **_likeness(one),
    )


def _likeness(one: AttentionMap) -> dict[str, float | None]:
    """Rank correlations of the trained attention with the control's and with the input.

    Over the frames and bins that either network looks at; of an attention that does not tell
    bins apart, over frames.
    """
    looked = (one.trained > 0) | (one.random > 0)
    cells = np.ix_(looked.any(axis=1), looked.any(axis=0))
    trained, control, seen = one.trained[cells], one.random[cells], one.seen[cells]
    if not _tells_bins(trained):
        trained, control, seen = (values.mean(axis=1) for values in (trained, control, seen))
    return {
        "with_control": _rank_correlation(trained, control),
        "with_input": _rank_correlation(trained, seen),
    }


def _tells_bins(weights: FloatArray) -> bool:
    return bool(np.ptp(weights, axis=1).max() > 1e-4 * weights.max())


def _rank_correlation(one: FloatArray, other: FloatArray) -> float | None:
    from scipy.stats import rankdata

    if not (np.ptp(one) and np.ptp(other)):
        return None
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def _smaller(values: FloatArray) -> FloatArray:
    """Means over neighbouring cells, so that few enough are left to be drawn."""
    held = values.astype(np.float64)
    for axis, most in enumerate((MOST_FRAMES, MOST_BINS)):
        n = held.shape[axis]
        starts = np.linspace(0, n, min(n, most), endpoint=False).astype(int)
        sizes = np.diff([*starts, n])
        held = np.add.reduceat(held, starts, axis=axis) / (sizes if axis else sizes[:, None])
    return held.astype(np.float32)


# --- drawing ---------------------------------------------------------------------------------


def _heard(panel: Panel) -> str:
    """What the utterance is, and what the network says where that is not the same."""
    wrong = panel.said not in ("", panel.emotion)
    return f"{clean(panel.emotion)}, said {clean(panel.said)}" if wrong else clean(panel.emotion)


def _column(panels: Iterable[Axes], panel: Panel, brightest: float, length: int) -> AxesImage:
    """The three pictures of an utterance; its texts are no longer than ``length``."""
    from matplotlib.colors import Normalize, PowerNorm

    top, middle, bottom = panels
    low, high = np.quantile(panel.seen, [0.02, 0.98]).tolist()
    _image(top, panel, panel.seen, "Greys", Normalize(low, max(high, low + 1e-6)))
    _image(middle, panel, panel.trained, "cividis", PowerNorm(0.5, 0, brightest))
    image = _image(bottom, panel, panel.control, "cividis", PowerNorm(0.5, 0, brightest))
    said = f"→ {short(panel.said, length - 1)}" if panel.said else ""
    head = (short(panel.utterance, length), short(panel.emotion, length), said)
    top.set_title("\n".join(head), **_SMALL | {"fontsize": 6.0})
    middle.set_title(f"ρ {number(panel.with_input, 2)}", **_SMALL)
    bottom.set_title(f"ρ {number(panel.with_control, 2)}", **_SMALL)
    bottom.set_xlabel("time, s", fontsize=6.5)
    return image


_SMALL: dict[str, Any] = {"fontsize": 6.5, "fontweight": "normal", "pad": 3}
_TICKS: dict[str, Any] = {"labelsize": 6, "length": 2, "pad": 2}


def _image(
    axes: Axes, panel: Panel, values: FloatArray, colours: str, scale: Normalize
) -> AxesImage:
    """The map with time to the right and bins upwards, one picture element a cell."""
    from matplotlib import colormaps

    image = axes.imshow(
        values.T,
        origin="lower",
        aspect="auto",
        interpolation="none",
        cmap=colormaps[colours].resampled(LEVELS),
        norm=scale,
        extent=(0, panel.length_s, 0, panel.n_bins),
    )
    axes.locator_params(axis="x", nbins=3)
    axes.locator_params(axis="y", nbins=4)
    axes.spines[:].set_visible(False)
    return image
