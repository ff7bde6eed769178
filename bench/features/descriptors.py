"""Low-level descriptors, every 10 ms, that the functionals summarise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from serlab.bench.contracts import FloatArray
from serlab.bench.features import pitch, spectra

HOP_S = 0.010
WINDOW_S = 0.025
LEAST_RATE_HZ = 16000

_N_MELS, _N_MFCC = 26, 13
_TOP_HZ = 8000.0
_FLOOR = 1e-10
_SHARES = (25, 50, 75, 90)

FRAME_NAMES = (
    *(f"mel_{band}" for band in range(1, _N_MELS + 1)),
    *(f"mfcc_{index}" for index in range(1, _N_MFCC + 1)),
    "energy", "loudness", "crossings", "centroid", "spread", "spectral_skewness",
    "spectral_kurtosis", "entropy", "rolloff_25", "rolloff_50", "rolloff_75", "rolloff_90",
    "flux", "tilt", "alpha_ratio", "hammarberg", "voicing",
)  # fmt: skip
"""Descriptors of every frame."""

VOICED_NAMES = ("pitch", "harmonicity")
"""Descriptors of voiced frames: semitones above 27.5 Hz, and harmonics-to-noise ratio in dB."""

Matrix = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Contours:
    """The descriptors of one utterance."""

    frames: Matrix
    """Shape (frame, descriptor), in the order of `FRAME_NAMES`."""
    pitch: Matrix
    """Shape (frame, 2), in the order of `VOICED_NAMES`; 0 where ``voiced`` is false."""
    voiced: Mask
    """Shape (frame,)."""

    @property
    def times_s(self) -> Matrix:
        """When the frames start."""
        times: Matrix = np.arange(len(self.voiced), dtype=np.float64) * HOP_S
        return times


def contours(samples: FloatArray, rate_hz: int, *, low_hz: float, high_hz: float) -> Contours:
    """The descriptors of an utterance, one frame at least.

    Args:
        samples: shape (sample,); zeros complete what is shorter than 25 ms.
        rate_hz: their rate, 16 kHz at least.
        low_hz: lowest pitch.
        high_hz: highest pitch.
    """
    length, hop = round(WINDOW_S * rate_hz), round(HOP_S * rate_hz)
    framed = spectra.frames(samples, length, hop).double()
    voice = _pitch(samples, rate_hz, length, hop, low_hz, high_hz)
    columns = (*_level(framed), *_spectral(framed, rate_hz))
    order = ("energy", "crossings", *_SPECTRAL_ORDER)
    by_name = dict(zip(order, columns, strict=True))
    by_name["voicing"] = torch.from_numpy(voice.strength.astype(np.float64))
    matrix = torch.stack([by_name[name] for name in FRAME_NAMES], dim=1)
    return Contours(frames=matrix.numpy(), pitch=_voice(voice), voiced=voice.voiced)


def _pitch(
    samples: FloatArray, rate_hz: int, length: int, hop: int, low_hz: float, high_hz: float
) -> pitch.Pitch:
    """Pitch on longer frames that share the centres of the spectral ones."""
    more = pitch.window_length(rate_hz, low_hz) - length
    missing = max(0, length - len(samples))
    padded = np.pad(samples, (more // 2, more - more // 2 + missing))
    return pitch.track(padded, rate_hz, hop=hop, low_hz=low_hz, high_hz=high_hz)


def _voice(voice: pitch.Pitch) -> Matrix:
    hertz = np.where(voice.voiced, voice.frequency_hz, 27.5).astype(np.float64)
    # 40 dB is the most that a frame of three periods can tell.
    share = np.clip(voice.strength.astype(np.float64), 1e-4, 1 - 1e-4)
    ratio = np.where(voice.voiced, 10 * np.log10(share / (1 - share)), 0.0)
    return np.stack((12 * np.log2(hertz / 27.5), ratio), axis=1)


def _level(framed: Tensor) -> tuple[Tensor, Tensor]:
    """Energy in dB and the share of sample pairs that cross zero."""
    energy = 10 * framed.square().mean(dim=1).clamp(min=_FLOOR).log10()
    sign = framed >= 0
    return energy, (sign[:, 1:] != sign[:, :-1]).double().mean(dim=1)


_SPECTRAL_ORDER = (
    *(f"mel_{band}" for band in range(1, _N_MELS + 1)),
    *(f"mfcc_{index}" for index in range(1, _N_MFCC + 1)),
    "loudness", "centroid", "spread", "spectral_skewness", "spectral_kurtosis",
    *(f"rolloff_{share}" for share in _SHARES),
    "entropy", "flux", "tilt", "alpha_ratio", "hammarberg",
)  # fmt: skip


def _spectral(framed: Tensor, rate_hz: int) -> tuple[Tensor, ...]:
    n_fft = 1 << (framed.shape[1] - 1).bit_length()
    shape = spectra.window("hamming", framed.shape[1]).double()
    power = spectra.power_spectrum(framed, shape, n_fft) / shape.sum() ** 2
    hertz = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * rate_hz / n_fft
    filters = spectra.mel_filters(rate_hz, n_fft, _N_MELS, 20.0, _TOP_HZ, "htk", "none").double()
    bands = power @ filters
    decibels = 10 * bands.clamp(min=_FLOOR).log10()
    cepstrum = decibels @ spectra.cosine_basis(_N_MELS, _N_MFCC + 1).double()[:, 1:]
    # The exponent is Stevens's: loudness doubles about every 10 dB.
    loudness = bands.clamp(min=_FLOOR).pow(0.3).sum(dim=1)
    kept = (hertz > 0) & (hertz <= _TOP_HZ)
    power, hertz = power[:, kept].clamp(min=_FLOOR * 1e-3), hertz[kept]
    return (
        *decibels.T, *cepstrum.T, loudness, *_shape(power, hertz), *_rolloffs(power, hertz),
        _entropy(power), _flux(power), *_balance(power, hertz),
    )  # fmt: skip


def _shape(power: Tensor, hertz: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Moments of the spectrum over frequency in kHz."""
    share, khz = power / power.sum(dim=1, keepdim=True), hertz / 1000
    centroid = share @ khz
    off = khz[None] - centroid[:, None]
    spread = (share * off**2).sum(dim=1).sqrt()
    third, fourth = ((share * off**order).sum(dim=1) for order in (3, 4))
    return centroid, spread, third / spread**3, fourth / spread**4


def _rolloffs(power: Tensor, hertz: Tensor) -> tuple[Tensor, ...]:
    """Frequencies in kHz below which a share of the energy lies."""
    below = power.cumsum(dim=1)
    below = below / below[:, -1:]
    indices = [(below < share / 100).sum(dim=1).clamp(max=len(hertz) - 1) for share in _SHARES]
    return tuple(hertz[index] / 1000 for index in indices)


def _entropy(power: Tensor) -> Tensor:
    """Of the energy over the bins, 1 where it is equal."""
    share = power / power.sum(dim=1, keepdim=True)
    found: Tensor = -(share * share.log()).sum(dim=1) / np.log(power.shape[1])
    return found


def _flux(power: Tensor) -> Tensor:
    """Distance of a frame's magnitudes, scaled to unit length, from the frame's before."""
    unit = torch.nn.functional.normalize(power.sqrt(), dim=1)
    change = (unit[1:] - unit[:-1]).norm(dim=1)
    return torch.cat([change[:1], change]) if len(change) else torch.zeros(1, dtype=power.dtype)


def _balance(power: Tensor, hertz: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Tilt in dB per octave (100 Hz - 5 kHz), alpha ratio and Hammarberg index in dB."""
    decibels = 10 * power.log10()
    held = (hertz >= 100) & (hertz <= 5000)
    octaves = hertz[held].log2()
    octaves = octaves - octaves.mean()
    tilt = decibels[:, held] @ octaves / octaves.square().sum()
    low, high = (
        10 * power[:, (hertz >= a) & (hertz < b)].sum(dim=1).log10()
        for a, b in ((50, 1000), (1000, 5000))
    )
    lows, highs = (
        decibels[:, (hertz >= a) & (hertz < b)].amax(dim=1) for a, b in ((0, 2000), (2000, 5000))
    )
    return tilt, low - high, lows - highs
