"""A corpus of arrays for any system: dialogues, a class left out, outside corpora, traces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from networks import SHRUNK
from tiny import NoAudio

from serlab.bench.contracts import (
    Corpus,
    FloatArray,
    Fold,
    FoldResult,
    ProtocolSpec,
    Scalar,
    Split,
    System,
    Target,
    TrialSpec,
    Utterance,
)
from serlab.bench.corpora.relabel import beside
from serlab.bench.data import Rated
from serlab.bench.features.base import feature
from serlab.bench.protocols import make_split
from serlab.bench.shapes import STAND_IN, every_input
from serlab.bench.trial import Bench, run_fold
from serlab.models.variant import make, resolve

LABELS = ("anger", "happiness", "neutral", "sadness")
DIMENSIONS = ("arousal", "valence")
RATE_HZ = 10.0


@dataclass(frozen=True)
class Drawn:
    """Continuous labels that follow the class."""

    level: float
    n_frames: int
    rate_hz: float = RATE_HZ

    def read(self) -> FloatArray:
        """The labels (frame, dimension)."""
        drift = np.sin(np.arange(self.n_frames) / 3)[:, None] * 0.2
        return (np.array([[self.level, -self.level]]) + drift).astype(np.float32)


def corpus(
    n_speakers: int = 4, n_each: int = 2, labels: Sequence[str] = (*LABELS, "boredom")
) -> Corpus:
    """Utterances of about a second in dialogues of two speakers; boredom is no class."""
    utterances = []
    for s in range(n_speakers):
        for k in range(n_each):
            for n, label in enumerate(labels):
                seconds = 0.8 + 0.1 * ((s + k + n) % 4)
                utterances.append(
                    Utterance(
                        id=f"s{s}-{label}-{k}",
                        speaker=f"s{s}",
                        session=f"session{s // 2}",
                        dialogue=f"d{s // 2}-{k}",
                        turn=2 * n + s % 2,
                        audio=NoAudio(),
                        emotion=label,
                        facts={"seconds": str(seconds)},
                        traces=Drawn(n / 2 - 0.75, round(seconds * RATE_HZ)),
                    )
                )
    return Corpus(
        name="rich",
        utterances=tuple(utterances),
        labels=tuple(sorted(labels)),
        licence="none",
        source="test",
        dimensions=DIMENSIONS,
    )


def arrays(system: System, utterances: Sequence[Utterance]) -> dict[str, dict[str, FloatArray]]:
    """Every input of every utterance, from which the label can be told."""
    found: dict[str, dict[str, FloatArray]] = {}
    for name, spec in every_input(system).items():
        made = feature(spec)
        found[name] = {u.id: _array(u, made.n_values or STAND_IN, made.rate_hz) for u in utterances}
    return found


def _array(u: Utterance, n_values: int, rate_hz: float) -> FloatArray:
    rng = np.random.default_rng([*u.id.encode()])
    kind = (*LABELS, "boredom").index(u.emotion or "boredom")
    n_frames = round(float(u.facts["seconds"]) * rate_hz) if rate_hz else 1
    values = rng.standard_normal((n_frames, n_values)) * 0.5
    if n_values == 1:  # a tone whose pitch tells the label
        time = np.arange(n_frames) / (rate_hz or 1.0)
        values[:, 0] = 0.3 * values[:, 0] + np.sin(2 * np.pi * (60 + 120 * kind) * time)
    else:
        width = max(1, n_values // 5)
        values[:, kind * width : (kind + 1) * width] += 1.5
    return values.astype(np.float32)


def bench(
    system: System,
    protocol: ProtocolSpec | None = None,
    *,
    held: Corpus | None = None,
    folds: tuple[Fold, ...] = (),
) -> Bench:
    """The corpus, two outside ones, and the arrays that a system reads."""
    held = held or corpus()
    protocol = protocol or ProtocolSpec(validation=1, labels=LABELS)
    split = make_split(held, protocol) if not folds else Split(
        protocol=protocol, corpus="rich", synthetic=False, labels=protocol.labels, folds=folds
    )  # fmt: skip
    outside = tuple(u for name in ("near", "far") for u in beside(corpus(2), name).utterances)
    rated = Rated(traces={u.id: u.traces.read() for u in held.utterances if u.traces},
                  rate_hz=RATE_HZ)  # fmt: skip
    return Bench(
        corpus=held,
        split=split,
        arrays=arrays(system, (*held.utterances, *outside)),
        rates={name: feature(spec).rate_hz for name, spec in every_input(system).items()},
        outside=outside,
        rated=rated if protocol.target == "traces" else None,
    )


def system_of(name: str, changes: Mapping[str, Scalar] | None = None) -> System:
    """A system at the tests' size."""
    return make(resolve(name, "", {**SHRUNK.get(name, {}), **(changes or {})}))


def run(system: System, held: Bench, *, max_epochs: int = 0, seed: int = 0) -> FoldResult:
    """One training on the first fold."""
    variant = system.variant  # type: ignore[attr-defined]
    spec = TrialSpec(
        variant=variant,
        corpus="rich",
        data="none",
        protocol=held.split.protocol,
        split=held.split.hash,
        seed=seed,
        max_epochs=max_epochs,
    )
    return run_fold(spec, "base", held.split.folds[0], system, held)


def few(target: Target = "emotion") -> tuple[ProtocolSpec, tuple[Fold, ...], Corpus]:
    """Sixteen utterances that train, validate and are tested: can they be learnt by heart?"""
    held = corpus(n_speakers=2, n_each=2, labels=LABELS)
    ids = tuple(u.id for u in held.utterances)
    labels = LABELS if target == "emotion" else DIMENSIONS
    protocol = ProtocolSpec(labels=labels, target=target, selection="last-epoch")
    return protocol, (Fold(name="all", train=ids, validation=(), test=ids),), held


def replaced(held: Bench, **changes: object) -> Bench:
    """A bench with some things changed."""
    return replace(held, **changes)  # type: ignore[arg-type]
