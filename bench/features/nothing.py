"""No feature at all, for what learns from the labels alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serlab.bench.contracts import FloatArray, Utterance
from serlab.bench.features.base import FEATURES, Reader


@FEATURES.register(
    "nothing",
    title="a zero",
    source="ours, for the majority class",
    dimension="(1, 1)",
)
@dataclass(frozen=True, kw_only=True)
class Nothing(Reader):
    """One zero an utterance."""

    @property
    def n_values(self) -> int:
        """One."""
        return 1

    def lacks(self, utterance: Utterance) -> str:
        """Nothing."""
        return ""

    def identity(self, utterance: Utterance) -> str:
        """The same for all: a hash of nothing."""
        return "nothing"

    def read(self, utterance: Utterance) -> FloatArray:
        """The zero, shape (1, 1)."""
        return np.zeros((1, 1), np.float32)
