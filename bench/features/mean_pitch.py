"""The mean pitch of an utterance, by which speakers are told apart as low and high voices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from serlab.bench.contracts import FloatArray
from serlab.bench.features.base import FEATURES, Extractor

_HOP_S = 0.010
_LOW_HZ, _HIGH_HZ = 75.0, 600.0


@FEATURES.register(
    "mean_pitch",
    title="mean pitch",
    source="Boersma 1993, with the range that Praat has by default",
    dimension="(1, 1)",
)
@dataclass(frozen=True, kw_only=True)
class MeanPitch(Extractor):
    """Hertz from 75 to 600, the mean over the voiced frames; 0 where none is voiced."""

    @property
    def frame_rate_hz(self) -> float:
        """0: one value an utterance."""
        return 0.0

    @property
    def n_values(self) -> int:
        """One."""
        return 1

    def values(self, samples: FloatArray) -> FloatArray:
        """The mean, shape (1, 1)."""
        from serlab.bench.features import pitch

        hop = max(1, round(_HOP_S * self.rate_hz))
        high_hz = min(_HIGH_HZ, 0.45 * self.rate_hz)
        found = pitch.track(samples, self.rate_hz, hop=hop, low_hz=_LOW_HZ, high_hz=high_hz)
        hertz = found.frequency_hz[found.voiced]
        return np.array([[hertz.mean() if len(hertz) else 0.0]], np.float32)
