"""What the statistics take and give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.errors import BadValue

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Array = npt.NDArray[Any]  # truths are integers or floats, scores floats of any width


def coded(names: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """The names, sorted and each once, and every entry's place among them.

    Example:
        >>> coded(["b", "a", "b"])
        (('a', 'b'), array([1, 0, 1]))
    """
    known = tuple(sorted(set(names)))
    places = {name: i for i, name in enumerate(known)}
    return known, np.fromiter(map(places.__getitem__, names), np.int64, len(names))


@dataclass(frozen=True, kw_only=True)
class ArmPredictions:
    """The pooled test predictions of one arm, of the same utterances for every seed.

    ``truth`` holds indices of classes (utterance,) with ``scores`` (seed, utterance, class). For
    continuous labels a row is a frame of an utterance: ``truth`` holds values (row, dimension)
    with ``scores`` (seed, row, dimension), or both lack the last axis where there is one
    dimension. ``ids`` then repeat, and ``frames`` tells an utterance's rows apart.
    """

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    """Who speaks each utterance."""
    truth: Array
    scores: Array
    labels: tuple[str, ...] = ()
    """The classes (or dimensions) in order; compared between arms where both name them."""
    split: str = ""
    """Hash of the folds; compared between arms where both have one."""
    frames: Integers = field(default_factory=lambda: np.zeros(0, np.int64))
    """Index of each row within its utterance, (row,); empty where a row is an utterance."""

    def __post_init__(self) -> None:
        """Checks that everything belongs to the same rows, each of them there once."""
        n = len(self.ids)
        if not n or not self.seeds:
            raise BadValue(
                "predictions", f"{n} utterances, {len(self.seeds)} seeds", "some of each"
            )
        seed, count = Counter(self.seeds).most_common(1)[0]
        if count > 1:
            raise BadValue("predictions.seeds", seed, f"it once, not {count} times")
        if len(self.speakers) != n:
            raise BadValue("predictions.speakers", f"{len(self.speakers)} entries", f"{n}")
        if self.frames.shape not in ((0,), (n,)):
            raise BadValue("predictions.frames", f"shape {self.frames.shape}", f"({n},) or none")
        _check_unique(self.ids, self.frames)
        self._check_shapes(n)

    def _check_shapes(self, n: int) -> None:
        seeds, truth, scores = len(self.seeds), self.truth.shape, self.scores.shape
        if len(truth) not in (1, 2) or truth[0] != n:
            raise BadValue("predictions.truth", f"shape {truth}", f"({n},) or ({n}, dimension)")
        if len(truth) == 2 and scores != (seeds, *truth):
            raise BadValue("predictions.scores", f"shape {scores}", f"{(seeds, *truth)}")
        if len(scores) not in (2, 3) or scores[:2] != (seeds, n):
            expected = f"({seeds}, {n}) or ({seeds}, {n}, class)"
            raise BadValue("predictions.scores", f"shape {scores}", expected)
        if self.labels and scores[2:] != (len(self.labels),):
            what = "classes" if len(truth) == 1 else "dimensions"
            expected = f"{len(self.labels)} {what}, as there are labels"
            raise BadValue("predictions.scores", f"shape {scores}", expected)

    def dimension(self, place: int) -> ArmPredictions:
        """The same rows with one of their dimensions alone."""
        return replace(
            self,
            truth=self.truth[:, place],
            scores=self.scores[:, :, place],
            labels=(),
        )

    def rows(self, seeds: Sequence[int]) -> Array:
        """The scores of some of the seeds, in their order."""
        return self.scores[[self.seeds.index(seed) for seed in seeds]]


def _check_unique(ids: tuple[str, ...], frames: Integers) -> None:
    known, places = coded(ids)
    if not frames.size:
        if len(known) < len(ids):
            name, count = Counter(ids).most_common(1)[0]
            raise BadValue("predictions.ids", name, f"it once, not {count} times")
        return
    order = np.lexsort((frames, places))
    held, counted = places[order], frames[order]
    again = (held[1:] == held[:-1]) & (counted[1:] == counted[:-1])
    if again.any():
        at = int(np.argmax(again))
        name = f"{known[held[at]]}@{counted[at]}"
        raise BadValue("predictions.ids", name, "each frame of an utterance once")


@dataclass(frozen=True, kw_only=True)
class Cells:
    """One value for each speaker and seed; the mean of a seed's column is the metric's value."""

    metric: str
    speakers: tuple[str, ...]
    seeds: tuple[int, ...]
    values: Floats
    """(speaker, seed)."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class MeanSquares:
    """Mean squares of a (speaker, seed) table; nan where there is one speaker or one seed."""

    speaker: float
    seed: float
    interaction: float

    @property
    def estimable(self) -> bool:
        """Whether all three were had, as planning needs them."""
        return all(map(math.isfinite, (self.speaker, self.seed, self.interaction)))


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over crossed speakers and seeds, and how sure it is.

    Where no interval can be given (one speaker, no variation), all but ``mean`` and the counts
    is nan, and ``note`` says why. ``p`` is two-sided, against 0.
    """

    mean: float
    low: float
    high: float
    level: float
    se: float
    df: float
    p: float
    n_speakers: int
    n_seeds: int
    smallest_detectable: float
    """Difference that is found with a probability of 80 % in a two-sided test at 1 - level."""
    squares: MeanSquares
    note: str = ""

    @property
    def estimable(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)


@dataclass(frozen=True, kw_only=True)
class Need:
    """How many units more a comparison needs; none where no number of them would do."""

    more: int | None
    total: int | None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Mean and standard deviation (over n - 1; nan for one value)."""

    mean: float
    sd: float
    n: int


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Bounds at a level, from so many resamples."""

    low: float
    high: float
    level: float
    n_resamples: int
    note: str = ""
