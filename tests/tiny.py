"""A corpus of arrays: features without audio, for tests of what comes after features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serlab.bench.contracts import Audio, Corpus, FloatArray, ProtocolSpec, Utterance
from serlab.bench.protocols import make_split
from serlab.bench.trial import Bench

LABELS = ("anger", "neutral", "sadness")


@dataclass(frozen=True)
class NoAudio:
    """Stands where nothing is read."""

    def read(self) -> Audio:
        """Is never called."""
        raise AssertionError("no test of this corpus reads audio")

    def name(self) -> str:
        """For messages."""
        return "nothing"


def corpus(n_speakers: int = 6, n_each: int = 4, labels: tuple[str, ...] = LABELS) -> Corpus:
    """``n_each`` utterances of every label by every speaker; two speakers a session."""
    utterances = tuple(
        Utterance(
            id=f"s{s:02d}-{label}-{k}",
            speaker=f"s{s:02d}",
            session=f"session{s // 2}",
            audio=NoAudio(),
            emotion=label,
            sentence=f"t{k}",
        )
        for s in range(n_speakers)
        for label in labels
        for k in range(n_each)
    )
    return Corpus(name="tiny", utterances=utterances, labels=labels, licence="none", source="test")


def images(held: Corpus, n_bands: int = 16, rate_hz: float = 62.5) -> dict[str, FloatArray]:
    """Log-mel-like arrays (frame, band) whose level in some bands tells the label."""
    rng = np.random.default_rng(0)
    found = {}
    for u in held.utterances:
        x = rng.standard_normal((int(rng.integers(60, 160)), n_bands)).astype(np.float32)
        k = held.labels.index(u.emotion or "")
        x[:, 4 * k : 4 * k + 4] += 1.0
        found[u.id] = x
    return found


def bench(protocol: ProtocolSpec | None = None, n_speakers: int = 6) -> Bench:
    """The corpus cut into folds, with its images."""
    held = corpus(n_speakers)
    split = make_split(held, protocol or ProtocolSpec(validation=1))
    return Bench(corpus=held, split=split, arrays={"image": images(held)}, rates={"image": 62.5})
