"""Short sounds for the miniature trees of corpora."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def sound(path: Path, seconds: float = 0.3, rate_hz: int = 16000) -> Path:
    """Writes noise that no other name has, making the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = list(str(path.name).encode()) + list(str(path.parent.name).encode())
    wave = np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate_hz))
    soundfile.write(path, wave, rate_hz)
    return path
