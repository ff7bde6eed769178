"""Framing, filters and transforms that the spectral features share, as torch functions.

A frame is a window's length of samples, the first at the start of the audio: frame i covers the
samples from i * hop to i * hop + window (no padding, librosa's ``center=False``).
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from serlab.bench.contracts import FloatArray

WINDOWS = ("hann", "hamming", "blackman", "rectangular")
MEL_SCALES = ("slaney", "htk")

_BLOCK_VALUES = 1 << 20
"""Values of a block of frames that is transformed at once: small enough to stay near the CPU."""
_BLOCK_BYTES = 1 << 22
"""Of a block of frames in `short_time`."""
_MEL_GROUP = 16
"""Neighbouring mel filters that are applied in one product, to the bins that they cover alone."""


@lru_cache(maxsize=16)
def window(name: str, length: int, kind: torch.dtype = torch.float32) -> Tensor:
    """A periodic window (sample,) of one of `WINDOWS`."""
    made: Tensor
    if name == "rectangular":
        made = torch.ones(length, dtype=kind)
    else:
        maker = {
            "hann": torch.hann_window,
            "hamming": torch.hamming_window,
            "blackman": torch.blackman_window,
        }[name]
        made = maker(length, periodic=True, dtype=kind)
    return made


def frames(samples: FloatArray, length: int, hop: int) -> Tensor:
    """Overlapping frames (frame, sample), a view; zeros complete audio shorter than a frame."""
    signal = torch.from_numpy(np.require(samples, np.float32, ["C", "W"]))
    if len(signal) < length:
        signal = torch.nn.functional.pad(signal, (0, length - len(signal)))
    return signal.unfold(0, length, hop)


def short_time(samples: FloatArray, shape: Tensor, hop: int, n_fft: int) -> Iterator[Tensor]:
    """Spectra (frame, bin), complex128, of the frames as `frames` cuts them.

    In double precision, since in single what is 90 dB below a frame's loudest bin is off by
    thousandths of a decibel. They come in blocks that bound the memory.

    Args:
        samples: the audio (sample,).
        shape: the window (sample,), as long as a frame.
        hop: samples from the start of a frame to that of the next.
        n_fft: length of the transform; zeros complete every frame to it.
    """
    framed = frames(samples, len(shape), hop)
    for block in torch.split(framed, max(1, _BLOCK_BYTES // (8 * n_fft))):
        whole = _scratch(len(block), n_fft, torch.float64)
        filled = whole[:, : len(shape)]
        torch.mul(filled.copy_(block), shape, out=filled)
        whole[:, len(shape) :].zero_()
        yield torch.fft.rfft(whole)


_held = threading.local()


def _scratch(n_rows: int, n_columns: int, kind: torch.dtype) -> Tensor:
    """Memory that a thread uses again and again: to ask the system for it takes much of a run."""
    held: Tensor | None = getattr(_held, str(kind), None)
    size = n_rows * n_columns
    if held is None or len(held) < size:
        held = torch.empty(size, dtype=kind)
        setattr(_held, str(kind), held)
    return held[:size].view(n_rows, n_columns)


def joined(blocks: Iterable[Tensor]) -> Tensor:
    """Blocks of frames one after the other."""
    held = list(blocks)
    return held[0] if len(held) == 1 else torch.cat(held)


def power_spectrum(framed: Tensor, shape: Tensor, n_fft: int) -> Tensor:
    """Squared magnitudes (frame, bin) of windowed frames, zero-padded to ``n_fft``."""
    return squared(torch.fft.rfft(framed * shape, n=n_fft))


def squared(spectrum: Tensor) -> Tensor:
    """Squared magnitudes; four times as fast as ``abs().square()``, which takes a root."""
    return spectrum.real.square() + spectrum.imag.square()


def blocks(framed: Tensor) -> tuple[Tensor, ...]:
    """The frames in blocks that bound the memory taken, whatever the length of the audio."""
    return torch.split(framed, max(1, _BLOCK_VALUES // framed.shape[1]))


@lru_cache(maxsize=16)
def mel_filters(
    rate_hz: int, n_fft: int, n_mels: int, low_hz: float, high_hz: float, scale: str, norm: str
) -> Tensor:
    """Triangular filters (bin, mel); equal to ``librosa.filters.mel`` transposed.

    Args:
        rate_hz: sampling rate.
        n_fft: length of the transform, n_fft // 2 + 1 bins.
        n_mels: number of filters.
        low_hz: lower edge of the lowest filter.
        high_hz: upper edge of the highest filter.
        scale: "slaney" (Auditory Toolbox: linear to 1 kHz, then logarithmic) or "htk"
            (2595 log10(1 + f / 700)).
        norm: "slaney" scales every filter to unit area per Hz; "none" leaves peaks at 1.
    """
    bins = np.linspace(0, rate_hz / 2, n_fft // 2 + 1)
    points = np.linspace(to_mel(low_hz, scale), to_mel(high_hz, scale), n_mels + 2)
    edges = np.array([from_mel(point, scale) for point in points])
    widths = np.diff(edges)
    rise = (bins[:, None] - edges[None, :-2]) / widths[None, :-1]
    fall = (edges[None, 2:] - bins[:, None]) / widths[None, 1:]
    filters = np.maximum(0.0, np.minimum(rise, fall))
    if norm == "slaney":
        filters *= 2.0 / (edges[2:] - edges[:-2])
    return torch.from_numpy(filters.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class MelGroup:
    """Some neighbouring filters, and where they are not all zero."""

    parts: slice
    mels: slice
    filters: Tensor
    """(part, mel): every bin's filter twice, for the real and the imaginary part."""


@lru_cache(maxsize=16)
def mel_groups(
    rate_hz: int, n_fft: int, n_mels: int, low_hz: float, high_hz: float, scale: str, norm: str
) -> tuple[MelGroup, ...]:
    """The filters of `mel_filters` in groups: a product over all bins is mostly of zeros."""
    filters = mel_filters(rate_hz, n_fft, n_mels, low_hz, high_hz, scale, norm)
    found = []
    for first in range(0, n_mels, _MEL_GROUP):
        mels = slice(first, min(first + _MEL_GROUP, n_mels))
        rows = torch.nonzero(filters[:, mels].any(dim=1))
        low, high = (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 1)
        doubled = filters[low:high, mels].repeat_interleave(2, dim=0)
        found.append(MelGroup(parts=slice(2 * low, 2 * high), mels=mels, filters=doubled))
    return tuple(found)


def mel_energies(spectrum: Tensor, groups: Sequence[MelGroup], power: float) -> Tensor:
    """Filter outputs (frame, mel), float32, of magnitudes to a power.

    Squares of the real and imaginary parts are summed by the filters: that spares a pass.
    """
    parts = _scratch(len(spectrum), 2 * spectrum.shape[1], torch.float32)
    parts.copy_(torch.view_as_real(spectrum).flatten(1))
    if power == 2.0:
        parts.square_()
    else:
        parts[:, ::2] = squared(spectrum).pow_(power / 2)
        parts[:, 1::2] = 0.0
    energies = torch.empty(len(parts), groups[-1].mels.stop)
    for group in groups:
        torch.mm(parts[:, group.parts], group.filters, out=energies[:, group.mels])
    return energies


_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_BREAK_HZ = 1000.0
_SLANEY_LOG_STEP = math.log(6.4) / 27.0


def to_mel(hz: float, scale: str) -> float:
    """Mels of a frequency."""
    if scale == "htk":
        return 2595.0 * math.log10(1.0 + hz / 700.0)
    if hz < _SLANEY_BREAK_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    above = math.log(hz / _SLANEY_BREAK_HZ) / _SLANEY_LOG_STEP
    return _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL + above


def from_mel(mel: float, scale: str) -> float:
    """Frequency of so many mels."""
    if scale == "htk":
        return float(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    above = mel - _SLANEY_BREAK_HZ / _SLANEY_HZ_PER_MEL
    if above < 0:
        return mel * _SLANEY_HZ_PER_MEL
    return _SLANEY_BREAK_HZ * math.exp(above * _SLANEY_LOG_STEP)


@lru_cache(maxsize=16)
def cosine_basis(n_in: int, n_out: int, kind: torch.dtype = torch.float32) -> Tensor:
    """The first ``n_out`` rows of the orthonormal DCT-II, transposed: (input, output)."""
    rows = np.arange(n_out)[None, :]
    basis = np.cos(math.pi / n_in * (np.arange(n_in)[:, None] + 0.5) * rows)
    basis *= math.sqrt(2.0 / n_in)
    basis[:, 0] /= math.sqrt(2.0)
    return torch.from_numpy(basis).to(kind)


def delta(contours: Tensor, order: int, *, width: int = 9) -> Tensor:
    """Local derivative per frame of contours (frame, value), by polynomial regression.

    Savitzky-Golay over ``width`` frames with a polynomial of the derivative's order, the ends
    repeated; equal to ``librosa.feature.delta(..., mode="nearest")``.
    """
    half = width // 2
    kernel = _derivative(order, width).to(contours.dtype).view(1, 1, -1)
    signal = contours.T.unsqueeze(1)
    padded = torch.nn.functional.pad(signal, (half, half), mode="replicate")
    return torch.nn.functional.conv1d(padded, kernel).squeeze(1).T


@lru_cache(maxsize=16)
def _derivative(order: int, width: int) -> Tensor:
    """Weights of the frames, float64, that give a derivative at the middle one."""
    half = width // 2
    powers = np.arange(-half, half + 1)[:, None] ** np.arange(order + 1)[None, :]
    weights = np.linalg.pinv(powers.astype(np.float64))[order] * math.factorial(order)
    return torch.from_numpy(weights)
