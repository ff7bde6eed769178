"""What a finished run came to, in frozen records: the frame that figures and pages are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray, Scalar, Target
from serlab.bench.statistics.records import Estimate, Need, coded
from serlab.reports.attribution import Attribution, NoAttribution
from serlab.reports.kept import Kept
from serlab.reports.meters import ArmMeters, Conditions

IntArray = npt.NDArray[np.int64]

SHOWN: Mapping[Target, tuple[str, ...]] = {
    "emotion": ("ua", "wa", "macro_f1", "ece"),
    "traces": ("ccc", "pcc", "rmse"),
}
"""The metrics that every table shows, beside the study's own."""

SELECTING: Mapping[Target, str] = {"emotion": "ua", "traces": "ccc"}
"""The score on validation speakers that chooses an epoch; its learning curve has its name."""


class Verdict(StrEnum):
    """What a comparison with the base shows."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    """No difference shown, and one as large as the margin is ruled out: equivalent."""
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
    """Test predictions of an arm, all folds together, for the seeds whose folds all completed.

    A row is an utterance, or, of traces, a frame of one.
    """

    seeds: tuple[int, ...]
    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    folds: tuple[str, ...]
    """The fold in which each utterance was tested."""
    truth: npt.NDArray[Any]  # int64 or float32
    """Indices of classes (row,), or values (row, dimension)."""
    scores: FloatArray
    """Probabilities (seed, row, class), or values (seed, row, dimension)."""
    frames: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    """Index of each row within its utterance, (row,); empty where a row is an utterance."""

    @property
    def n_utterances(self) -> int:
        """Utterances that were tested."""
        return len(set(self.ids)) if self.frames.size else len(self.ids)


def groups(names: Sequence[str]) -> dict[str, IntArray]:
    """The rows of each name, by the names in their order."""
    known, places = coded(names)
    order = np.argsort(places, kind="stable")
    ends = np.cumsum(np.bincount(places, minlength=len(known)))
    return dict(zip(known, np.split(order, ends[:-1]), strict=True))


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
    folds: OverFolds


@dataclass(frozen=True, kw_only=True)
class Effect:
    """An arm's difference to the base in the primary metric."""

    estimate: Estimate
    p_holm: float | None
    verdict: Verdict
    seeds: tuple[int, ...]
    """The seeds that both have; the difference is paired over them."""
    n_comparisons: int
    p_equivalent: float
    """Of a difference of the margin or more, up or down; nan where there is no error."""
    p_equivalent_holm: float | None
    more_seeds: Need | None
    """To find a difference of the margin; like ``more_speakers`` only where all is unclear."""
    more_speakers: Need | None


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
    low: float | None
    """10th percentile; high is the 90th."""
    high: float | None
    total: float | None
    largest: float | None
    n: int
    reason: str


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
    """The study's metric on validation speakers, mean over corpora, folds and seeds."""
    cost: float | None = None
    """What the search keeps low beside it; None where it has no cost."""
    choices: Mapping[str, Scalar] = field(default_factory=dict)
    """Options and settings of its variant; empty where the study does not list it."""


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
    """By metric; one that is undefined for these predictions is left out."""
    undefined: Mapping[str, str]
    """Why, by metric, or by "metric dimension"."""
    dimensions: Mapping[str, Estimate]
    """The primary metric of each dimension of the traces; empty for classes."""
    effect: Effect | None
    no_effect: str
    """Why there is no effect, where there is none."""
    curves: Mapping[str, Curve]
    measured: Mapping[str, Measured]
    meters: ArmMeters
    parameters: int | None
    """As the study counted them when it was resolved."""
    failures: tuple[Failure, ...]
    trials: tuple[tuple[int, str], ...]
    """Seed and key of each trial."""
    chosen_epochs: tuple[int, ...]
    transductive: str = ""
    """How it saw the test speakers' utterances in training; empty where it did not."""
    command: str = ""
    """Of its run, where several are joined."""
    insight: Kept | None = None
    """A look inside its training of the first fold and seed; None where none is kept."""

    @property
    def n_parameters(self) -> float | None:
        """As the meters counted them, or, where these did not run, the study."""
        metered = self.meters.get("parameters").value
        return metered if metered is not None else self.parameters


@dataclass(frozen=True, kw_only=True)
class OutsideFacts:
    """A corpus that some arm is trained on beside the tested one."""

    name: str
    licence: str
    source: str
    n_utterances: int
    n_speakers: int


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """The corpus and the split that a block of results rests on."""

    name: str
    licence: str
    source: str
    synthetic: bool
    n_utterances: int
    """Of the folds' test parts, as the speakers are."""
    n_speakers: int
    labels: tuple[str, ...]
    split: str
    protocol: Mapping[str, Any]  # JSON values of any shape
    leaks: tuple[str, ...]
    audit: tuple[Mapping[str, Any], ...]
    folds: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know of the corpus, such as that it has no dialogues."""
    outside: tuple[OutsideFacts, ...] = ()
    trace_rate_hz: float = 0.0
    """Frames of the traces per second; 0 where it is not recorded."""
    data: str = ""
    """Hash of the utterances and labels; empty where it is not recorded."""

    @property
    def target(self) -> Target:
        """Whether classes or traces are recognised."""
        return "traces" if self.protocol.get("target") == "traces" else "emotion"

    @property
    def marks(self) -> tuple[str, ...]:
        """What every figure and table of these results must say; see `words.marks_of`."""
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


def shown_metrics(study: StudyFacts, corpus: CorpusFacts) -> tuple[str, ...]:
    """The study's metric and those that every table of such labels shows."""
    return tuple(dict.fromkeys((study.metric, *SHOWN[corpus.target])))


@dataclass(frozen=True, kw_only=True)
class Block:
    """The results on one corpus: what a figure is drawn from."""

    study: StudyFacts
    corpus: CorpusFacts
    arms: tuple[Arm, ...]
    search: tuple[SearchPoint, ...] = ()
    """A search's trials in their order. Only the best by validation, or the front, is also among
    the arms: to show the test scores of the others would invite picking by them."""
    cost: str = ""
    """What the search keeps low beside the score; empty where it looks at the score alone."""
    front: tuple[str, ...] = ()
    """Arms of the search whose score and cost no other beats; the study tests and meters them."""
    searched: Counts = field(default_factory=lambda: Counts(planned=0))
    """Trainings of the search's trials that are not among the arms."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Arms that could not run here, and why."""
    metered: Conditions | None = None
    """What the meters that tables and figures show were measured under."""
    attribution: Attribution | NoAttribution | None = None
    """What the changes of a grid study are worth, or why that is not told; None for others."""

    @property
    def base(self) -> Arm | None:
        """The arm that the others are compared with."""
        return next((arm for arm in self.arms if arm.is_base), None)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that are shown, the study's own first."""
        return shown_metrics(self.study, self.corpus)

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
    meter_notes: tuple[str, ...] = ()
    """What a reader must know of the meters, such as that the machine was loaded."""
    n_stale: int = 0
    """Records of trials that the study as now resolved does not ask for."""
    runs: tuple[StudyFacts, ...] = ()
    """What each study asked, under its run's name, where several runs are joined."""
    unsummed: str = ""
    """Why the blocks are not summed up, where they are not alike enough."""

    @property
    def counts(self) -> Counts:
        """Counts over all blocks."""
        return sum((block.counts for block in self.blocks), Counts(planned=0))

    @property
    def synthetic(self) -> bool:
        """Whether any of the corpora is synthesised."""
        return any(block.corpus.synthetic for block in self.blocks)
