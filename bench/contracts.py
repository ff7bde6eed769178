"""The records that the packages of serlab exchange; the page to read first.

A corpus gives utterances, a protocol cuts them into folds, a variant says what is trained, a
trial spec joins the three with a seed, and a fold result is what one training came to. All are
frozen, and every default is written once, here. Nothing in this module imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from serlab.bench.errors import BadValue, SerlabError

COMPARABLE = 3
"""Raised whenever a change to serlab makes its results differ from those recorded before."""

FloatArray = npt.NDArray[np.float32]
Scalar = str | int | float | bool
Settings = Mapping[str, Scalar]


# --- what a corpus holds -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Audio:
    """Mono samples in [-1, 1], shape (sample,), and their rate."""

    samples: FloatArray
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.rate_hz


class AudioSource(Protocol):
    """Where an utterance's audio comes from: a file, part of one, or a synthesiser."""

    def __hash__(self) -> int:
        """Equal sources read the same."""
        ...

    def read(self) -> Audio:
        """The audio, mono, at its own rate. Raises BadFile."""
        ...

    def name(self) -> str:
        """What a message calls it, such as the file's path."""
        ...


class ArraySource(Protocol):
    """Where frames of video (frame, height, width), uint8, or traces (frame, dimension) are."""

    @property
    def rate_hz(self) -> float:
        """Frames per second."""
        ...

    def read(self) -> npt.NDArray[Any]:  # uint8 for video, float32 for traces
        """The array. Raises BadFile."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    """A spoken word and when it is said, in seconds from the utterance's start."""

    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Utterance:
    """One labelled stretch of speech by one speaker."""

    id: str
    speaker: str
    audio: AudioSource | None = None
    """Missing where a corpus is only a table of features."""
    emotion: str | None = None
    session: str | None = None
    dialogue: str | None = None
    turn: int | None = None
    text: str | None = None
    sentence: str | None = None
    """Which prompt is read, where several speakers say the same text."""
    words: tuple[Word, ...] = ()
    partition: str | None = None
    """The part ("train", "validation", "test") that the corpus itself assigns."""
    source: str | None = None
    """The recording that this is a segment of, where it is one."""
    partner: tuple[tuple[float, float], ...] = ()
    """When somebody else speaks in this audio: (start, end) in seconds from its start."""
    traces: ArraySource | None = None
    video: ArraySource | None = None
    supplied: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Vectors that the corpus itself supplies, by name, such as "face"."""
    corpus: str = ""
    """The outside corpus that it is from; empty for the corpus that is tested."""
    origin: str = ""
    """The corpus that it is from, where several are cut into folds together."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Whatever else the corpus tells: sex, age, intensity."""

    def heard(self) -> AudioSource:
        """Its audio. Raises SerlabError where it has none."""
        if self.audio is None:
            raise SerlabError(f"{self.id}: has no audio")
        return self.audio


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """Utterances with one label set."""

    name: str
    utterances: tuple[Utterance, ...]
    labels: tuple[str, ...]
    licence: str
    source: str
    version: str = "1"
    synthetic: bool = False
    dimensions: tuple[str, ...] = ()
    """Names of the continuous traces' columns, such as ("arousal", "valence", "liking")."""

    def by_id(self) -> dict[str, Utterance]:
        """The utterances by their id."""
        return {u.id: u for u in self.utterances}


# --- how a corpus is cut --------------------------------------------------------------------


class Part(StrEnum):
    """The three parts of a fold."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@dataclass(frozen=True, kw_only=True)
class Fold:
    """Utterance ids of the three parts; the test part is seen by nothing that selects."""

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    def part(self, part: Part) -> tuple[str, ...]:
        """The ids of one part."""
        ids: tuple[str, ...] = getattr(self, part.value)
        return ids


Target = Literal["emotion", "traces"]
Normalisation = Literal["none", "train", "speaker", "corpus"]
Selection = Literal["validation-score", "validation-loss", "last-epoch"]
AbsentClasses = Literal["dropped"]


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec:
    """How accuracy is measured; results under unlike protocols are never compared."""

    target: Target = "emotion"
    """What is recognised: classes of utterances, or continuous traces, frame by frame."""
    split: str = "leave-one-speaker-out"
    validation: int = 2
    """Speakers (or sessions) of the training side that select; they are not trained on."""
    groups: int = 5
    """Number of folds, for the splits that need one."""
    folds: str = ""
    """Folder or file of the folds of the split "file"; relative to the study's file."""
    max_folds: int = 0
    """Runs only the first so many folds; 0 means all."""
    labels: tuple[str, ...] = ()
    """The classes (or the traces' dimensions), in order; empty means the corpus's own."""
    normalisation: Normalisation = "train"
    selection: Selection = "validation-score"
    """What chooses the epoch: the score (UA, or the mean CCC of traces), or the loss."""
    speaker_probe: bool = False
    """Whether a linear probe tells how much of the speakers the embeddings hold."""
    absent_classes: AbsentClasses = "dropped"
    """What a fold's mean does with a class that its test part lacks; pooled figures have all."""
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the counts."""
        for name, low in (("validation", 0), ("groups", 2), ("max_folds", 0)):
            if getattr(self, name) < low:
                value = getattr(self, name)
                raise BadValue(f"protocol.{name}", value, f"an integer of at least {low}")


@dataclass(frozen=True, kw_only=True)
class Split:
    """A protocol applied to a corpus: its folds, and what a reader must be told of them."""

    protocol: ProtocolSpec
    corpus: str
    synthetic: bool
    labels: tuple[str, ...]
    folds: tuple[Fold, ...]
    leaks: tuple[str, ...] = ()
    """Why this split is no speaker-independent one; printed wherever its results are."""

    @cached_property
    def hash(self) -> str:
        """Hash of everything that makes two results comparable."""
        return digest(self)[:16]


# --- what is trained ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """A registered feature and its settings, all spelled out."""

    name: str
    settings: Settings = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Segments:
    """How an utterance's frames become the items that a network sees.

    ``length_s`` 0 means the whole utterance, padded and masked. An utterance's score is the
    mean of its segments' scores.
    """

    length_s: float = 0.0
    train_hop_s: float = 1.0
    test_hop_s: float = 0.4
    short: Literal["zero-pad", "tile"] = "zero-pad"
    random_start: bool = False
    """Draws one segment anew from each utterance in every training epoch."""
    dialogues: bool = False
    """Mini-batches hold whole dialogues, and their size counts dialogues."""


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """What is done to training items only, and how strongly; zeros do nothing.

    Masks follow SpecAugment (Park et al., Interspeech 2019); mixup is Zhang et al., ICLR 2018.
    """

    time_masks: int = 0
    time_mask_s: float = 0.0
    frequency_masks: int = 0
    frequency_mask_share: float = 0.0
    """Largest share of the bins that one mask covers."""
    mixup: float = 0.0
    """Concentration of the Beta distribution of mixing weights."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise on the normalised features."""


Interval = tuple[float, float]
"""The least and the greatest of what is drawn between them."""


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """What is done to the waveform of training utterances only: copies of each are made.

    A copy undergoes one of the kinds that have a range, drawn, with a strength drawn from that
    range. In every epoch a training utterance is itself or one of its copies, each as likely.
    """

    copies: int = 0
    """Of every training utterance; 0 does nothing."""
    snr_db: Interval | None = None
    """Power of the speech over that of added noise, white or pink, in decibels."""
    warp: Interval | None = None
    """Factor of the frequency axis: vocal tract length perturbation."""
    speed: Interval | None = None
    """Factor of the speed, which moves the pitch as well."""

    def __post_init__(self) -> None:
        """Checks that copies and kinds go together, and the ranges."""
        kinds = [kind for kind in (self.snr_db, self.warp, self.speed) if kind is not None]
        if self.copies < 0 or bool(self.copies) != bool(kinds):
            expected = "copies and a range of at least one kind, or neither"
            raise BadValue("perturbation", self, expected)
        for low, high in kinds:
            if not low <= high:
                raise BadValue("perturbation", (low, high), "a range from low to high")
        for factors in (self.warp, self.speed):
            if factors is not None and not (factors[0] >= 0.5 and factors[1] <= 2):
                raise BadValue("perturbation", factors, "factors from 0.5 to 2")


def setting(
    default: Scalar,
    about: str,
    *,
    tag: str = "I",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:  # dataclasses.field is typed as the field's own type
    """A documented hyperparameter: what it is, its support tag, and the values it may take."""
    facts = {"about": about, "tag": tag, "low": low, "high": high, "choices": choices}
    return field(default=default, metadata=facts)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Hyperparameters of gradient training, common to all networks."""

    epochs: int = setting(40, "passes over the training part", low=1)
    batch_size: int = setting(32, "items (segments) in a mini-batch", low=1)
    optimiser: str = setting("adamw", "update rule", choices=("adamw", "adam", "sgd", "adadelta"))
    learning_rate: float = setting(2e-3, "largest learning rate", low=0.0)
    weight_decay: float = setting(1e-2, "L2 (adam, sgd) or decoupled (adamw) decay", low=0.0)
    momentum: float = setting(0.9, "Nesterov momentum of sgd", low=0.0, high=1.0)
    schedule: str = setting(
        "one-cycle",
        "course of the learning rate",
        choices=("constant", "step", "cosine", "one-cycle"),
    )
    step_share: float = setting(0.4, "share of the epochs before a step's first drop", low=0)
    step_gap: float = setting(0.2, "share of the epochs between its drops", low=1e-6)
    step_factor: float = setting(0.1, "what is left after a drop", low=0, high=1)
    gradient_clip: float = setting(5.0, "largest norm of the gradient; 0 is off", low=0.0)
    class_weights: str = setting("none", "weights of the classes", choices=("none", "balanced"))
    label_smoothing: float = setting(0.0, "share given to the other classes", low=0.0, high=0.9)
    patience: int = setting(0, "epochs without improvement before stopping; 0 is off", low=0)
    average: float = setting(0.0, "decay of the weights' moving average; 0 is off", low=0, high=1)
    precision: str = setting("fp32", "arithmetic of the forward pass", choices=("fp32", "bf16"))


Source = Literal["training", "outside"]
Unlabelled = Literal["out-of-class", "test-speakers"]


@dataclass(frozen=True, kw_only=True)
class Stream:
    """Training items beside those of the training part.

    "training" is the training part again, drawn on its own: its other modalities, unpaired.
    "outside" are the study's outside corpora, whole, their labels mapped to the protocol's.
    """

    source: Source
    inputs: Mapping[str, FeatureSpec]
    corpora: tuple[str, ...] = ()
    """Which of the outside corpora; empty means all."""

    def takes(self, corpus: str) -> bool:
        """Whether an outside corpus is among its own."""
        return self.source == "outside" and (not self.corpora or corpus in self.corpora)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stretch of training: what is trained, on which utterances, with which settings."""

    name: str
    training: TrainingSettings
    trains: tuple[str, ...] = ("",)
    """Prefixes of the names of the parameters that are trained; all others, with their
    normalisation and dropout, stay as in a prediction."""
    streams: tuple[str, ...] = ("train",)
    """"train" or the system's own; the first sets the length of an epoch, and of every other
    one a mini-batch goes beside each of the first's."""
    losses: Mapping[str, float] = field(default_factory=lambda: {"emotion": 1.0})
    """Weight of each of the network's named loss terms, whichever stream they come from."""
    selects: bool = True
    """Whether the epoch is chosen by the protocol's rule or is the last one."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What a network must know of the data to be built."""

    n_classes: int
    """Classes, or dimensions of the traces."""
    n_speakers: int
    """Speakers that are trained on, those of further streams among them."""
    n_features: Mapping[str, int]
    """Values per frame of each input."""
    rate_hz: Mapping[str, float]
    """Frames per second of each input; 0 for one vector an utterance."""
    n_corpora: int = 1
    """The tested corpus and the outside ones."""
    target: Target = "emotion"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A system, one option for each of its slots, and its hyperparameters, all spelled out.

    ``models.variant.resolve`` makes one from a preset and a few differences.
    """

    system: str
    preset: str
    options: Mapping[str, str]
    settings: Settings

    def difference(self, base: Variant) -> str:
        """The label of this variant beside a base, such as ``"pooling=max"``; computed."""
        if self.system != base.system:
            return self.system
        mine = {**self.settings, **self.options}
        theirs = {**base.settings, **base.options}
        parts = [f"{key}={mine[key]}" for key in mine if mine[key] != theirs.get(key)]
        return ", ".join(parts) or "base"


class System(Protocol):
    """A registered system, made from a resolved variant; see ``models.system``.

    `build` gives an ``nn.Module`` (``train.Network``) where there are stages, and an estimator
    (``trial.Estimator``) where there are none.
    """

    def check(self) -> None:
        """Raises BadValue where options or settings do not go together."""
        ...

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """The features that it is tested on, by the names that its network reads."""
        ...

    def streams(self) -> Mapping[str, Stream]:
        """Further training items that its stages ask for, by name."""
        ...

    def unlabelled(self) -> tuple[Unlabelled, ...]:
        """Utterances without a label that join those of the training part."""
        ...

    def segments(self) -> Segments:
        """How utterances are cut for it."""
        ...

    def augmentation(self) -> Augmentation:
        """What is done to its training items."""
        ...

    def perturbation(self) -> Perturbation:
        """What is done to the waveform of its training utterances."""
        ...

    def build(self, sizes: Sizes) -> Any:  # nn.Module or estimator; this module knows no torch
        """The untrained network or estimator."""
        ...

    def stages(self) -> tuple[Stage, ...]:
        """Its training, in order; empty for an estimator."""
        ...


# --- what is asked and what it came to -------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One variant under one protocol with one seed; its key names its results for ever.

    Device, paths and numbers of workers are not part of it.
    """

    variant: Variant
    corpus: str
    data: str
    """Hash of the corpus's utterances and labels."""
    protocol: ProtocolSpec
    split: str
    """Hash of the folds."""
    seed: int
    outside: tuple[str, ...] = ()
    """Hashes of the outside corpora, where the variant trains on them."""
    max_epochs: int = 0
    """Cuts every stage to so many epochs; 0 leaves them."""
    conditions: tuple[str, ...] = ()
    """Marks of the audio conditions that it is tested under as well, sorted."""

    @property
    def key(self) -> str:
        """Hash of all of the above and of the number that marks comparable versions.

        Without conditions it is what it was before there were any.
        """
        spec = plain(self)
        if not self.conditions:
            del spec["conditions"]
        return digest({"comparable": COMPARABLE, "spec": spec})[:16]


class Status(StrEnum):
    """How a training ended."""

    COMPLETED = "completed"
    PRUNED = "pruned"
    FAILED = "failed"
    DIVERGED = "diverged"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A value with its unit, or no value and the reason why."""

    value: float | None
    unit: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What was predicted for the test and validation utterances of one fold.

    A row is an utterance: ``scores`` are probabilities (row, class) in the order of the split's
    labels, ``truth`` (row,) are indices into these. Under the target "traces" a row is a frame
    of an utterance, ``frames`` counts it, and both are values (row, dimension). The part is
    "test", "validation", or "test:gain_up" for the test part's utterances, under their own ids,
    heard under an audio condition.
    """

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    parts: tuple[str, ...]
    truth: npt.NDArray[Any]  # indices of classes, or values
    scores: FloatArray
    frames: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Groups:
    """What group every tested utterance of a corpus is in, such as the speaker's sex."""

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]]
    """By group, a text for every utterance, empty where it is unknown."""


@dataclass(frozen=True, kw_only=True)
class FoldResult:
    """One training of one variant on one fold with one seed."""

    trial: str
    """Key of the trial spec."""
    arm: str
    corpus: str
    split: str
    fold: str
    seed: int
    status: Status
    reason: str = ""
    chosen_epoch: int | None = None
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Per epoch: "train_loss", "validation_loss", "validation_ua" (or "validation_ccc"), and a
    stage's own losses."""
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    predictions: Predictions | None = None
    environment: str = ""
    """Hash of the environment fingerprint, stored once beside the records."""

    @property
    def cell(self) -> str:
        """Names the training in the store: the trial and the fold."""
        return f"{self.trial}-{self.fold}"


# --- hashing ---------------------------------------------------------------------------------


def plain(value: object) -> Any:  # JSON values of any shape
    """The value as dictionaries, lists, strings and numbers, ready for JSON."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, str | bool | int | float) or value is None:
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Iterable):
        return [plain(v) for v in value]
    raise TypeError(f"{type(value).__name__} has no plain form")


def canonical(value: object) -> str:
    """One JSON text for equal values, whatever the order of their keys."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: object) -> str:
    """SHA-256 of the canonical text, in hexadecimal."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
