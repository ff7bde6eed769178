"""What a finished run came to, in frozen records: the frame that figures and pages are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray, Scalar
from serlab.bench.statistics.records import Estimate

IntArray = npt.NDArray[np.int64]


class Verdict(StrEnum):
    """What a comparison with the base shows."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    """No difference shown, and none as large as the margin is left open."""
    UNCLEAR = "unclear"
    """No difference shown, and one as large as the margin may still be there."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many trainings (trial x fold) were planned, and how they ended."""

    planned: int
    completed: int = 0
    pruned: int = 0
    failed: int = 0
    diverged: int = 0
    skipped: int = 0

    @property
    def missing(self) -> int:
        """Trainings that have no record."""
        ended = self.completed + self.pruned + self.failed + self.diverged + self.skipped
        return self.planned - ended

    @property
    def spoiled(self) -> int:
        """Trainings that ended without a result."""
        return self.pruned + self.failed + self.diverged + self.skipped

    @property
    def whole(self) -> bool:
        """Whether every planned training completed."""
        return self.completed == self.planned

    def __add__(self, other: Counts) -> Counts:
        """The counts of both together."""
        return Counts(**{name: mine + vars(other)[name] for name, mine in vars(self).items()})


@dataclass(frozen=True, kw_only=True)
class Pooled:
    """Test predictions of an arm, all folds together, for the seeds whose folds all completed."""

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    folds: tuple[str, ...]
    """The fold in which each utterance was tested."""
    truth: IntArray
    scores: FloatArray
    """Probabilities (seed, utterance, class)."""

    @property
    def predicted(self) -> IntArray:
        """The class with the largest score, (seed, utterance)."""
        found: IntArray = self.scores.argmax(axis=2).astype(np.int64)
        return found


@dataclass(frozen=True, kw_only=True)
class OverFolds:
    """Mean and standard deviation of a metric over the folds, each averaged over its seeds."""

    mean: float
    sd: float | None
    n_folds: int


@dataclass(frozen=True, kw_only=True)
class Score:
    """A metric of one arm: pooled over all test utterances, and over folds."""

    metric: str
    pooled: Estimate
    folds: OverFolds | None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """An arm's difference to the base in the primary metric."""

    estimate: Estimate
    p_holm: float | None
    verdict: Verdict
    seeds: tuple[int, ...]
    """The seeds that both have; the difference is paired over them."""
    n_comparisons: int


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A learning curve over the trainings of one arm; arrays are (epoch,)."""

    mean: FloatArray
    low: FloatArray
    """10th percentile."""
    high: FloatArray
    """90th percentile."""
    n: IntArray
    """Trainings that reached each epoch."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One measurement over the completed trainings of an arm."""

    name: str
    unit: str
    median: float | None
    total: float | None
    largest: float | None
    n: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Latency and size of an arm's network; values that are None have a reason."""

    p50_ms: float | None = None
    p90_ms: float | None = None
    n: int = 0
    latency_reason: str = ""
    feature_ms: float | None = None
    """Time of the feature extraction, which latency leaves out."""
    parameters: int | None = None
    macs: int | None = None
    macs_reason: str = ""
    device: str = ""
    seconds: float | None = None
    """Length of the utterance that latency is measured on."""
    threads: int | None = None
    environment: str = ""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A training that gave no result, and why."""

    arm: str
    fold: str
    seed: int
    status: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SearchPoint:
    """One trial of a search: its validation score, which alone the search may see."""

    order: int
    arm: str
    status: str
    value: float | None
    """Mean validation UA over corpora, folds and seeds."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One arm of a study on one corpus."""

    name: str
    kind: str
    is_base: bool
    system: str
    preset: str
    options: Mapping[str, str]
    settings: Mapping[str, Scalar]
    counts: Counts
    pooled: Pooled | None
    scores: Mapping[str, Score]
    effect: Effect | None
    no_effect: str
    """Why there is no effect, where there is none."""
    curves: Mapping[str, Curve]
    measured: Mapping[str, Measured]
    meter: Meter | None
    parameters: int | None
    failures: tuple[Failure, ...]
    trials: tuple[tuple[int, str], ...]
    """Seed and key of each trial."""
    chosen_epochs: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """The corpus and the split that a block of results rests on."""

    name: str
    licence: str
    source: str
    synthetic: bool
    n_utterances: int
    n_speakers: int
    labels: tuple[str, ...]
    split: str
    protocol: Mapping[str, Any]  # JSON values of any shape
    leaks: tuple[str, ...]
    audit: tuple[Mapping[str, Any], ...]
    folds: tuple[str, ...]

    @property
    def marks(self) -> tuple[str, ...]:
        """What every figure and table of these results must say."""
        speech = ("SYNTHETIC SPEECH",) if self.synthetic else ()
        return speech + tuple(_mark(leak) for leak in self.leaks)


def _mark(leak: str) -> str:
    """A leak as it is printed; to see a test speaker's audio is another fault than a leak."""
    kind, _, rest = leak.partition(":")
    if kind == "transductive":
        return f"TRANSDUCTIVE: {rest.strip()}"
    return f"NOT SPEAKER-INDEPENDENT: {leak}"


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """What the study asked, as resolved before it ran."""

    name: str
    question: str
    design: str
    metric: str
    margin: float
    level: float
    base: str
    command: str
    created: str
    serlab: str
    seeds: tuple[int, ...]
    toml: Mapping[str, Any] = field(default_factory=dict)  # as parsed


@dataclass(frozen=True, kw_only=True)
class Block:
    """The results on one corpus: what a figure is drawn from."""

    study: StudyFacts
    corpus: CorpusFacts
    arms: tuple[Arm, ...]
    search: tuple[SearchPoint, ...] = ()
    """A search's trials in their order. Only the best by validation is also among the arms: to
    show the test scores of the others would invite picking by them."""
    searched: Counts = field(default_factory=lambda: Counts(planned=0))
    """Trainings of the search's trials that are not among the arms."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Arms that could not run here, and why."""

    @property
    def base(self) -> Arm | None:
        """The arm that the others are compared with."""
        return next((arm for arm in self.arms if arm.is_base), None)

    @property
    def others(self) -> tuple[Arm, ...]:
        """All arms but the base."""
        return tuple(arm for arm in self.arms if not arm.is_base)

    @property
    def counts(self) -> Counts:
        """Counts over all arms, and over a search's other trials."""
        return sum((arm.counts for arm in self.arms), self.searched)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A whole run: one block a corpus."""

    path: Path
    study: StudyFacts
    blocks: tuple[Block, ...]
    environments: Mapping[str, Mapping[str, Any]]  # JSON values of any shape
    n_stale: int = 0
    """Records of trials that the study as now resolved does not ask for."""

    @property
    def counts(self) -> Counts:
        """Counts over all blocks."""
        return sum((block.counts for block in self.blocks), Counts(planned=0))

    @property
    def synthetic(self) -> bool:
        """Whether any of the corpora is synthesised."""
        return any(block.corpus.synthetic for block in self.blocks)
