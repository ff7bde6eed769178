"""What is measured and what came of it: a cell is measured by one fresh process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from serlab.bench.contracts import Measurement, Target, Variant, digest
from serlab.bench.errors import BadValue, UnknownName
from serlab.bench.typed import build

SCHEMA = 1
LEAST_ROUNDS = 3
"""Rounds of a comparison that are made whatever they take: each call is then in the middle once."""

Dtype = Literal["fp32", "bf16", "fp16"]
Outcome = Literal["measured", "failed", "skipped"]
What = Literal["call", "train", "features"]
"""What of a system is compared."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A variant and the conditions that its speed and memory are measured under."""

    variant: Variant
    n_classes: int = 4
    target: Target = "emotion"
    supplied: Mapping[str, int] = field(default_factory=dict)
    """Number of values of the vectors that only a corpus supplies, by name."""
    device: str = "cpu"
    dtype: Dtype = "fp32"
    """Arithmetic of the forward pass; those of 16 bits by torch's autocast, as in training."""
    batch: int = 1
    """Utterances a call; a network sees all of their segments at once."""
    seconds: float = 3.0
    """Length of each utterance."""
    threads: int = 1
    compiled: bool = False
    """Whether torch compiles a prediction; a training step is as it is."""
    calls: int = 100
    """Timed calls, fewer where these take longer than ``limit_s``; all else a fifth as often."""
    limit_s: float = 20.0
    training: bool = True
    """Whether a training step is measured as well."""

    def __post_init__(self) -> None:
        """Checks the numbers and the dtype; 3 seconds are 3.0, with the same key."""
        if self.dtype not in get_args(Dtype):
            raise UnknownName("dtype", self.dtype, get_args(Dtype))
        for name, low in (("batch", 1), ("threads", 1), ("calls", 1)):
            if getattr(self, name) < low:
                raise BadValue(name, getattr(self, name), f"an integer of at least {low}")
        for name in ("seconds", "limit_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise BadValue(name, getattr(self, name), "a number of seconds above 0")
            object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def key(self) -> str:
        """Hash of all of it, for file names and joins."""
        return digest(self)[:16]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Everything that one process measured of one cell; raw times beside what they come to.

    ``measurements`` holds, each with its unit, or null with the reason:

    - of the network's call: ``latency_p50`` to ``latency_p99`` (ms), ``throughput`` (utterances
      a second), ``rtf`` (seconds of computing a second of audio), ``rtf_with_features``,
      ``feature_p50`` (ms for the whole batch);
    - of a training step: ``train_p50`` (ms), of the stage that takes longest;
    - of size: ``parameters``, ``trainable_parameters``, ``checkpoint`` (bytes), ``macs`` (MAC),
      ``flops`` (FLOP), of one call;
    - of memory, in bytes, for the call and with ``train_`` before for the step: ``peak_memory``
      (the process's resident set), ``cuda_allocated``, ``cuda_reserved``, ``cuda_process``;
    - of energy: ``energy`` (J a call), ``idle_power`` (W).
    """

    cell: Cell
    label: str
    """What people call it: a study's arm, or as it was asked for."""
    process: int = 0
    """Which of several processes that measure the same."""
    status: Outcome = "measured"
    reason: str = ""
    """Why it failed or was skipped."""
    phases: Mapping[str, Measurement] = field(default_factory=dict)
    """Seconds of "import", "build", "load", "first_call", "warm_up" and "steady"."""
    samples_ns: tuple[int, ...] = ()
    """Each steady call of the network."""
    feature_ns: tuple[int, ...] = ()
    """Each extraction of a batch's features."""
    train_ns: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Each training step, by stage."""
    measurements: Mapping[str, Measurement] = field(default_factory=dict)
    uncounted: tuple[str, ...] = ()
    """Operators without a formula, for which MACs are null."""
    environment: Mapping[str, object] = field(default_factory=dict)
    schema: int = SCHEMA


def measured_of(table: Mapping[str, Any], where: str = "") -> Measured:  # JSON values
    """What `contracts.plain` made JSON of.

    Raises:
        SerlabError: it is no such record, or one of another schema; ``where`` names its file.
    """
    if table.get("schema") != SCHEMA:
        raise BadValue(f"{where}: schema".removeprefix(": "), table.get("schema"), str(SCHEMA))
    timed = table.get("train_ns", {})
    steps = {name: tuple(spent) for name, spent in timed.items()}
    found: Measured = build(Measured, {**table, "train_ns": steps}, where)
    return found
