"""Calibration: whether a confidence is the share of the times that the answer is right."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.bench.metrics.base import predicted_classes
from serlab.bench.metrics.calibration import N_BINS
from serlab.bench.statistics.cells import jackknife
from serlab.bench.statistics.crossed import crossed_interval
from serlab.bench.statistics.records import Estimate, coded
from serlab.reports.effects import foremost
from serlab.reports.figure import (
    BLUE,
    DASHES,
    FIGURES,
    INK,
    MUTED,
    NO_CLASSES,
    ORANGE,
    Absent,
    is_narrow,
    mark,
    new_figure,
    quiet,
)
from serlab.reports.records import Arm, Block, Pooled
from serlab.reports.words import (
    are_not,
    clean,
    count,
    interval,
    listed,
    marks_of,
    number,
    plural,
    tagged,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[np.float64]

MOST = 4
"""Arms that are drawn: the base and the largest effects."""

BINS, FULL = 10, 15
"""Most bins, and the utterances that a bin holds at least on average."""

LEAST = 3 * FULL
"""Utterances below which there is no diagram: it would have fewer than three bins."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """The answers of all seeds whose confidence lies between two values."""

    low: float
    high: float
    n: int
    """Answers: an utterance counts once a seed."""
    confidence: float
    """Mean over the answers, as the share that is right."""
    right: float
    right_low: float | None
    """The interval over speakers; None where one alone fills the bin, or all answers are right."""
    right_high: float | None


@dataclass(frozen=True, kw_only=True)
class Reliability:
    """The bins of one arm, by rising confidence."""

    arm: str
    kind: str
    ece: Estimate
    bins: tuple[Bin, ...]
    n_speakers: int
    n_seeds: int

    @property
    def excess(self) -> float:
        """Mean confidence less accuracy; above 0 it is too sure of itself."""
        n = sum(b.n for b in self.bins)
        return sum(b.n * (b.confidence - b.right) for b in self.bins) / n

    @property
    def counts(self) -> str:
        """Answers a bin."""
        held = [b.n for b in self.bins]
        low, high = count(min(held)), count(max(held))
        return low if low == high else f"{low} to {high}"


@dataclass(frozen=True, kw_only=True)
class CalibrationNumbers:
    """Reliability of the base, first, and of other arms."""

    marks: tuple[str, ...]
    corpus: str
    level: float
    arms: tuple[Reliability, ...]
    n_left_out: int
    missing: tuple[str, ...]
    """Arms whose scores are no probabilities, or that have no whole seed."""

    def rows(self) -> list[dict[str, object]]:
        """One row a bin."""
        return [
            {"arm": a.arm, **vars(b), "ece": a.ece.mean, "ece_low": a.ece.low,
             "ece_high": a.ece.high}
            for a in self.arms
            for b in a.bins
        ]  # fmt: skip

    def caption(self) -> str:
        """The caption."""
        text = (
            f"Calibration on {clean(self.corpus)}: share of right answers against confidence "
            "(the highest probability) in bins of equally many answers, an utterance counting "
            f"once a seed; ticks at the foot are the bins' edges. Bars: {self.level * 100:g}% "
            "interval over speakers, none where one fills a bin or all answers are right. On the "
            "dashed line confidence is right; below it the arm is too sure. ECE is the table's, "
            f"over {N_BINS} bins of equal width, with its interval over speakers and seeds; few "
            "utterances bias it upwards."
        )
        if self.missing:
            text += f" Without probabilities that can be judged: {listed(self.missing)}."
        if self.n_left_out:
            text += f" The base and the largest effects are drawn, {are_not(self.n_left_out)}."
        return text

    def alt(self) -> str:
        """ECE of each arm, and on which side it errs, in words."""
        told = [
            f"{clean(a.arm)} {interval(a.ece)}, its mean confidence "
            f"{number(abs(a.excess))} {'above' if a.excess >= 0 else 'below'} its accuracy"
            for a in self.arms
        ]
        return f"Expected calibration error: {'; '.join(told)}."


@FIGURES.register("calibration", order=5)
class Calibration:
    """A reliability diagram an arm."""

    def info(self, block: Block) -> CalibrationNumbers | Absent:
        """The arms whose expected calibration error is known."""
        if block.corpus.target != "emotion":
            return NO_CLASSES
        arms = [a for a in block.arms if a.pooled and "ece" in a.scores]
        if not arms:
            return Absent(reason="no arm has probabilities for a seed whose folds all completed")
        n = min(a.pooled.n_utterances for a in arms if a.pooled)
        if n < LEAST:
            return Absent(reason=f"{plural(n, 'utterance')} are too few to bin; it needs {LEAST}")
        shown = foremost(arms, MOST)
        return CalibrationNumbers(
            marks=marks_of(block, shown),
            corpus=block.corpus.name,
            level=block.study.level,
            arms=tuple(_reliability(a, a.pooled, block.study.level) for a in shown if a.pooled),
            n_left_out=len(arms) - len(shown),
            missing=tuple(tagged(a) for a in block.arms if a not in arms),
        )

    def draw(self, numbers: CalibrationNumbers, width_in: float) -> Figure:
        """Panels of one size, four or two in a row."""
        n, columns = len(numbers.arms), 2 if is_narrow(width_in) else 4
        rows = -(-n // columns)
        used = min(n, columns)
        width = width_in if used == columns else width_in * max(used, columns / 2) / columns
        side = width_in / columns
        figure = new_figure(width, 0.4 + rows * (side + 0.1) + 0.16 * bool(numbers.marks))
        mark(figure, numbers.marks, f"Calibration, {numbers.corpus}")
        axes = figure.subplots(rows, used, sharex=True, sharey=True, squeeze=False)
        for place, one in enumerate(axes.flat):
            if place >= n:
                one.axis("off")
                continue
            _panel(one, numbers.arms[place])
            one.label_outer()
            if place + columns >= n:
                one.set_xlabel("confidence")
                one.tick_params(labelbottom=True)
            if place % columns == 0:
                one.set_ylabel("share right")
        return figure


def _reliability(arm: Arm, held: Pooled, level: float) -> Reliability:
    confidence = held.scores.max(axis=-1).astype(np.float64)
    right = (predicted_classes(held.scores) == held.truth).astype(np.float64)
    speakers, index = coded(held.speakers)
    edges = _edges(confidence)
    place = np.searchsorted(edges[1:-1], confidence, side="left")
    bins = []
    for step, (low, high) in enumerate(pairwise(edges.tolist())):
        inside = place == step
        if inside.any():
            found = _share(inside, right, index, len(speakers), level)
            bins.append(
                Bin(
                    low=low,
                    high=high,
                    n=int(inside.sum()),
                    confidence=float(confidence[inside].mean()),
                    right=float(right[inside].mean()),
                    right_low=found[0],
                    right_high=found[1],
                )
            )
    return Reliability(
        arm=tagged(arm),
        kind=arm.kind,
        ece=arm.scores["ece"].pooled,
        bins=tuple(bins),
        n_speakers=len(speakers),
        n_seeds=len(held.seeds),
    )


def _edges(confidence: Values) -> Values:
    """Quantiles of the confidences (seed, utterance); equal ones are one edge."""
    n = min(BINS, confidence.shape[-1] // FULL)
    found: Values = np.unique(np.quantile(confidence, np.linspace(0, 1, n + 1)))
    return found if len(found) > 1 else np.repeat(found, 2)


def _share(
    inside: npt.NDArray[np.bool_],
    right: Values,
    index: npt.NDArray[np.int64],
    n_speakers: int,
    level: float,
) -> tuple[float, float] | tuple[None, None]:
    """Interval over speakers of the share right in a bin; the first two are (seed, utterance)."""
    numbers = np.bincount(index, weights=inside.sum(axis=0), minlength=n_speakers)
    hits = np.bincount(index, weights=(inside * right).sum(axis=0), minlength=n_speakers)
    rest = numbers.sum() - numbers
    if n_speakers < 2 or not rest.all():
        return None, None
    whole, without = hits.sum() / numbers.sum(), (hits.sum() - hits) / rest
    found = crossed_interval(jackknife(whole[None], without[:, None]), level=level)
    if not np.isfinite([found.low, found.high]).all():
        return None, None
    low, high = np.clip([found.low, found.high], 0, 1).tolist()
    return low, high


# --- drawing -------------------------------------------------------------------------------


def _panel(axes: Axes, arm: Reliability) -> None:
    colour = {"base": INK, "baseline": ORANGE}.get(arm.kind, BLUE)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8, linestyle=DASHES[1], zorder=1)
    x, y = [b.confidence for b in arm.bins], [b.right for b in arm.bins]
    for b in arm.bins:
        if b.right_low is not None and b.right_high is not None:
            axes.plot([b.confidence] * 2, [b.right_low, b.right_high], color=colour,
                      linewidth=0.8, alpha=0.7)  # fmt: skip
    look = "D" if arm.kind == "baseline" else "o"
    axes.plot(x, y, color=colour, marker=look, markersize=3.2, linewidth=0.9)
    edges = [arm.bins[0].low, *(b.high for b in arm.bins)]
    axes.plot(edges, [0.012] * len(edges), "|", color=colour, markersize=4, markeredgewidth=0.7)
    digits = interval(arm.ece).replace(" [", "\n[")
    axes.text(0.03, 0.98, f"ECE {digits}", transform=axes.transAxes, va="top", fontsize=7)
    axes.text(0.98, 0.055, f"{arm.counts} a bin", transform=axes.transAxes, ha="right",
              fontsize=6.5, color=MUTED)  # fmt: skip
    axes.set_title(wrapped(arm.arm, 20), fontsize=7.5)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_box_aspect(1)
    quiet(axes)
