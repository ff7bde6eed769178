"""What the statistics take and give."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.errors import BadValue

Floats = npt.NDArray[np.float64]
Array = npt.NDArray[Any]  # truths are integers or floats, scores floats of any width


@dataclass(frozen=True, kw_only=True)
class ArmPredictions:
    """The pooled test predictions of one arm, of the same utterances for every seed.

    ``truth`` holds indices of classes (utterance,) with ``scores`` (seed, utterance, class), or
    values (utterance,) with ``scores`` (seed, utterance) for continuous labels. An utterance
    may stand for a sample of a trace; its id is then unique to the sample.
    """

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    """Who speaks each utterance."""
    truth: Array
    scores: Array
    labels: tuple[str, ...] = ()
    """The classes in order; compared between arms where both name them."""
    split: str = ""
    """Hash of the folds; compared between arms where both have one."""

    def __post_init__(self) -> None:
        """Checks that everything belongs to the same utterances, each of them there once."""
        n = len(self.ids)
        if not n or not self.seeds:
            raise BadValue(
                "predictions", f"{n} utterances, {len(self.seeds)} seeds", "some of each"
            )
        for key, held in (("seeds", self.seeds), ("ids", self.ids)):
            name, count = Counter(held).most_common(1)[0]
            if count > 1:
                raise BadValue(f"predictions.{key}", name, f"it once, not {count} times")
        if len(self.speakers) != n:
            raise BadValue("predictions.speakers", f"{len(self.speakers)} entries", f"{n}")
        if self.truth.shape != (n,):
            raise BadValue("predictions.truth", f"shape {self.truth.shape}", f"({n},)")
        if self.scores.ndim not in (2, 3) or self.scores.shape[:2] != (len(self.seeds), n):
            expected = f"({len(self.seeds)}, {n}) or ({len(self.seeds)}, {n}, class)"
            raise BadValue("predictions.scores", f"shape {self.scores.shape}", expected)
        if self.labels and self.scores.shape[2:] != (len(self.labels),):
            expected = f"{len(self.labels)} classes, as there are labels"
            raise BadValue("predictions.scores", f"shape {self.scores.shape}", expected)

    def rows(self, seeds: Sequence[int]) -> Array:
        """The scores of some of the seeds, in their order."""
        return self.scores[[self.seeds.index(seed) for seed in seeds]]


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
