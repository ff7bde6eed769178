"""Log-mel spectrogram and mel-frequency cepstral coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from serlab.bench.contracts import FloatArray, setting
from serlab.bench.errors import BadValue
from serlab.bench.features import spectra
from serlab.bench.features.base import FEATURES, Extractor, check_frame


@FEATURES.register(
    "log_mel",
    title="log-mel spectrogram",
    source="Davis and Mermelstein, IEEE TASSP 28(4), 1980; values as librosa.power_to_db",
    dimension="(frame, mel)",
)
@dataclass(frozen=True, kw_only=True)
class LogMel(Extractor):
    """Log energies of mel bands in dB, and their deltas behind them if asked.

    Bands lie from low to high; with ``deltas`` 1 or 2 the first (and second) derivatives of all
    bands follow all bands. 20/power * log10(max(energy, floor)) is no absolute level: 0 dB is a
    filter output of 1.
    """

    version: ClassVar[int] = 2

    window_s: float = setting(0.025, "length of a frame in seconds", low=0.001, high=1.0)
    hop_s: float = setting(0.010, "distance of frames in seconds", low=0.001, high=1.0)
    n_fft: int = setting(512, "length of the Fourier transform in samples", low=16)
    window: str = setting("hann", "window function", choices=spectra.WINDOWS)
    power: float = setting(2.0, "exponent of the magnitude", low=1.0, high=2.0)
    n_mels: int = setting(64, "number of bands", low=2, high=512)
    low_hz: float = setting(0.0, "lower edge of the lowest band", low=0.0)
    high_hz: float = setting(8000.0, "upper edge of the highest band", low=1.0)
    scale: str = setting("slaney", "mel scale", choices=spectra.MEL_SCALES)
    norm: str = setting("slaney", "height of the filters", choices=("slaney", "none"))
    floor: float = setting(1e-10, "least energy, to which less is raised", low=1e-30)
    deltas: int = setting(0, "order of the derivatives that are appended", low=0, high=2)
    centre: str = setting(
        "none", "what is subtracted from each band", choices=("none", "utterance-mean")
    )

    def __post_init__(self) -> None:
        """Checks what the settings must be to each other."""
        check_frame(self.window_s, self.hop_s, self.rate_hz, self.n_fft)
        if not self.low_hz < self.high_hz <= self.rate_hz / 2:
            wanted = f"more than low_hz and at most half of rate_hz, {self.rate_hz / 2:g}"
            raise BadValue("high_hz", self.high_hz, wanted)
        filters = spectra.mel_filters(*self._filter_settings)
        empty = int((filters.sum(dim=0) == 0).sum())
        if empty:
            wanted = f"fewer bands or a longer n_fft: {empty} bands hold no bin of the transform"
            raise BadValue("n_mels", self.n_mels, wanted)

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.rate_hz / self._hop

    @property
    def n_values(self) -> int:
        """Bands, times one more than the order of the deltas."""
        return self.n_mels * (1 + self.deltas)

    def values(self, samples: FloatArray) -> FloatArray:
        """Bands in dB, shape (frame, value)."""
        return _numpy(self._finished(self.bands(samples)))

    def bands(self, samples: FloatArray) -> Tensor:
        """Bands in dB (frame, mel), without deltas and not centred."""
        length = round(self.window_s * self.rate_hz)
        shape = spectra.window(self.window, length, torch.float64)
        spectrum = spectra.short_time(samples, shape, self._hop, self.n_fft)
        return spectra.joined(map(self._bands, spectrum))

    def _bands(self, spectrum: Tensor) -> Tensor:
        groups = spectra.mel_groups(*self._filter_settings)
        energies = spectra.mel_energies(spectrum, groups, self.power)
        return energies.clamp_(min=self.floor).log10_().mul_(20.0 / self.power)

    def _finished(self, contours: Tensor) -> Tensor:
        derived = [spectra.delta(contours, order) for order in range(1, self.deltas + 1)]
        if self.centre == "utterance-mean":
            contours = contours - contours.mean(dim=0)
        return torch.cat([contours, *derived], dim=1) if derived else contours

    @property
    def _hop(self) -> int:
        return round(self.hop_s * self.rate_hz)

    @property
    def _filter_settings(self) -> tuple[int, int, int, float, float, str, str]:
        edges = (self.low_hz, self.high_hz)
        return (self.rate_hz, self.n_fft, self.n_mels, *edges, self.scale, self.norm)


@FEATURES.register(
    "mfcc",
    title="mel-frequency cepstral coefficients",
    source="Davis and Mermelstein, IEEE TASSP 28(4), 1980; values as librosa.feature.mfcc",
    dimension="(frame, coefficient)",
)
@dataclass(frozen=True, kw_only=True)
class Mfcc(LogMel):
    """Orthonormal DCT-II of the log-mel bands, the zeroth coefficient first, then deltas."""

    n_mfcc: int = setting(20, "number of coefficients, the zeroth included", low=1)

    def __post_init__(self) -> None:
        """Checks what the settings must be to each other."""
        super().__post_init__()
        if self.n_mfcc > self.n_mels:
            raise BadValue("n_mfcc", self.n_mfcc, f"at most n_mels, {self.n_mels}")

    @property
    def n_values(self) -> int:
        """Coefficients, times one more than the order of the deltas."""
        return self.n_mfcc * (1 + self.deltas)

    def values(self, samples: FloatArray) -> FloatArray:
        """Coefficients, shape (frame, value)."""
        basis = spectra.cosine_basis(self.n_mels, self.n_mfcc, torch.float64)
        return _numpy(self._finished((self.bands(samples).double() @ basis).float()))


def _numpy(values: Tensor) -> FloatArray:
    array: Any = values.contiguous().numpy()  # torch types it without the element's type
    held: FloatArray = array
    return held
