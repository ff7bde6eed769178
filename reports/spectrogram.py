"""A recording as a small picture: log-mel energies over time, always by the same recipe.

Louder is darker, as phoneticians print it. Scale of mel: O'Shaughnessy, "Speech communication",
1987, as HTK has it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import Audio

WINDOW_S, HOP_S = 0.025, 0.010
N_BANDS, HIGHEST_HZ = 80, 8000.0
RANGE_DB = 60.0
WIDTH_PX = 240
"""Frames of a longer recording are averaged to so many columns."""
N_GREYS = 16
PAUSE_DB = 30.0
"""So far below the loudest moment counts as a pause."""

RECIPE = (
    f"Log-mel spectrograms: Hann windows of {WINDOW_S * 1000:g} ms every {HOP_S * 1000:g} ms, "
    f"{N_BANDS} bands from 0 to {HIGHEST_HZ / 1000:g} kHz, blank above half of the recording’s own "
    "rate. Louder is darker, or brighter on a dark page; "
    f"{RANGE_DB:g} dB below the loudest spot of each recording and less is blank. "
    f"More than {WIDTH_PX} frames are averaged to {WIDTH_PX} columns: the width of a picture tells "
    "nothing of its length."
)

_BLOCK = 512
_BIN_HZ = 16.0
"""Bins of the transform are no wider, so that the lowest bands hold one."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Spectrogram:
    """The picture of one recording, and what can be said of it."""

    energies: Floats
    """(band, column), lowest band first."""
    duration_s: float

    @property
    def decibels(self) -> Floats:
        """0 for the loudest spot, down to -RANGE_DB; all lowest where nothing is heard."""
        top = float(self.energies.max())
        if not top > 0:
            return np.full(self.energies.shape, -RANGE_DB)
        lowest = 10.0 ** (-RANGE_DB / 10)
        found: Floats = 10 * np.log10(np.maximum(self.energies / top, lowest))
        return found

    def words(self) -> str:
        """What a reader who does not see it is told."""
        over_time = self.energies.sum(axis=0)
        if not over_time.any():
            return f"{self.duration_s:.2f} s, nothing is heard"
        loudest_s = (int(over_time.argmax()) + 0.5) / len(over_time) * self.duration_s
        share = np.cumsum(self.energies.sum(axis=1)) / self.energies.sum()
        half_hz = _edges()[int(np.searchsorted(share, 0.5)) + 1]
        pauses = float((over_time < over_time.max() * 10 ** (-PAUSE_DB / 10)).mean())
        return (
            f"{self.duration_s:.2f} s, loudest at {loudest_s:.1f} s, half of the energy below "
            f"{round(half_hz, -1):.0f} Hz, {pauses:.0%} of it pauses"
        )

    def png(self) -> bytes:
        """The picture, one pixel a band and column, low bands at the bottom, 16 greys."""
        from PIL import Image

        levels = np.rint(-self.decibels / RANGE_DB * (N_GREYS - 1)).astype(np.uint8)[::-1]
        image = Image.fromarray(np.ascontiguousarray(levels), mode="P")
        greys = (round(i * 255 / (N_GREYS - 1)) for i in range(N_GREYS))
        image.putpalette([part for grey in greys for part in (grey,) * 3])
        held = io.BytesIO()
        image.save(held, "PNG", optimize=True, bits=4)
        return held.getvalue()


def spectrogram(audio: Audio) -> Spectrogram:
    """The spectrogram of a recording at its own rate."""
    n_frames = 1 + max(0, math.ceil(len(audio.samples) / audio.rate_hz / HOP_S) - 1)
    n_columns = min(n_frames, WIDTH_PX)
    sums, counts = np.zeros((N_BANDS, n_columns)), np.zeros(n_columns)
    first = 0
    for energies in _frames(audio, n_frames):
        columns = np.arange(first, first + len(energies)) * n_columns // n_frames
        np.add.at(sums.T, columns, energies)
        counts += np.bincount(columns, minlength=n_columns)
        first += len(energies)
    return Spectrogram(energies=sums / counts, duration_s=audio.duration_s)


def _frames(audio: Audio, n_frames: int) -> Iterator[Floats]:
    """Energies of the mel bands, blocks of (frame, band); windows stand around their time."""
    length = max(2, round(WINDOW_S * audio.rate_hz))
    size = 1 << max(1, math.ceil(math.log2(max(audio.rate_hz / _BIN_HZ, length))))
    window, filters = np.hanning(length).astype(np.float32), _filters(audio.rate_hz, size)
    padded = np.pad(audio.samples, length)
    for begin in range(0, n_frames, _BLOCK):
        places = np.arange(begin, min(begin + _BLOCK, n_frames))
        middles = np.rint((places + 0.5) * HOP_S * audio.rate_hz).astype(np.int64) + length
        starts = np.minimum(middles - length // 2, len(padded) - length)
        frames = padded[starts[:, None] + np.arange(length)] * window
        yield (np.abs(np.fft.rfft(frames, size)) ** 2) @ filters


def _filters(rate_hz: int, size: int) -> Floats:
    """Triangles over the bins, (bin, band); empty above half of the rate."""
    low, middle, high = (_edges()[i : i + N_BANDS] for i in range(3))
    bins = np.fft.rfftfreq(size, 1 / rate_hz)[:, None]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    found: Floats = np.clip(np.minimum(rising, falling), 0, None)
    return found


def _edges() -> Floats:
    """Edges of the bands in Hz: band i lies from i to i + 2 with its top at i + 1."""
    top = 2595 * math.log10(1 + HIGHEST_HZ / 700)
    found: Floats = 700 * (10 ** (np.linspace(0, top, N_BANDS + 2) / 2595) - 1)
    return found
