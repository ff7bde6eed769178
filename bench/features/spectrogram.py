"""The companded magnitude spectrogram of Li et al. (Interspeech 2018), and raw samples."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from serlab.bench.contracts import FloatArray, setting
from serlab.bench.errors import BadValue
from serlab.bench.features import spectra
from serlab.bench.features.base import FEATURES, Extractor, check_frame


@FEATURES.register(
    "spectrogram",
    title="companded magnitude spectrogram",
    source="Li, Song, McLoughlin, Guo, Dai, Interspeech 2018: frames and companding [N]; "
    "magnitude and scaling as lixiangucas01/GLAM [R]; scope of the scaling [I]",
    dimension="(frame, bin)",
)
@dataclass(frozen=True, kw_only=True)
class Spectrogram(Extractor):
    """Magnitudes of the transform from 0 Hz up to ``top_hz``, scaled, then compressed.

    In this order: the magnitudes of the bins from low to high; means of ``pool_bins``
    neighbours; ``scaling`` divides by a full scale F (the utterance's largest value, or the
    magnitude of a sine of amplitude 1), giving x in [0, 1]; ``span`` "signed" makes it
    2 x - 1; ``compression`` "mu_law" makes it sign(x) ln(1 + mu |x|) / ln(1 + mu).

    With ``compression`` "log", x is instead 1 + max(20 log10(magnitude / F), -range_db) /
    range_db before ``span``. Without scaling F is 1, ``span`` has no effect and the values are
    left as they are for a normalisation over the training part (log: dB, nothing cut but at
    -200 dB). An utterance of digital silence is 0 before ``span``.

    The paper leaves open over what the largest value is taken. Segments are cut after this
    feature, so a scale for each segment is not offered. A "fixed" full scale may be exceeded,
    by 4/pi at most for audio in [-1, 1].
    """

    window_s: float = setting(0.040, "length of a frame in seconds", tag="N", low=0.001, high=1.0)
    hop_s: float = setting(0.010, "distance of frames in seconds", tag="N", low=0.001, high=1.0)
    n_fft: int = setting(1600, "length of the Fourier transform in samples", tag="N", low=16)
    top_hz: float = setting(4000.0, "frequency below which bins are kept", tag="N", low=1.0)
    window: str = setting("hamming", "window function", tag="N", choices=spectra.WINDOWS)
    pool_bins: int = setting(1, "neighbouring bins that are averaged", low=1)
    scaling: str = setting(
        "utterance", "what is full scale", choices=("utterance", "fixed", "none")
    )
    span: str = setting(
        "signed", "range of scaled values: [-1, 1] or [0, 1]", tag="N", choices=("signed", "unit")
    )
    compression: str = setting("mu_law", "companding", tag="N", choices=("mu_law", "log", "none"))
    mu: float = setting(255.0, "constant of the mu-law", tag="N", low=1e-3)
    range_db: float = setting(80.0, "range of a scaled log below full scale", low=1.0, high=200.0)

    def __post_init__(self) -> None:
        """Checks what the settings must be to each other."""
        check_frame(self.window_s, self.hop_s, self.rate_hz, self.n_fft)
        if self.top_hz > self.rate_hz / 2:
            wanted = f"at most half of rate_hz, {self.rate_hz / 2:g}"
            raise BadValue("top_hz", self.top_hz, wanted)
        if self.n_bins < 1 or self.n_bins % self.pool_bins:
            raise BadValue("pool_bins", self.pool_bins, f"a divisor of the {self.n_bins} bins")

    @property
    def n_bins(self) -> int:
        """Bins of the transform that are kept: those below ``top_hz``."""
        return math.floor(self.top_hz * self.n_fft / self.rate_hz + 1e-9)

    @property
    def frame_rate_hz(self) -> float:
        """Frames per second."""
        return self.rate_hz / round(self.hop_s * self.rate_hz)

    @property
    def n_values(self) -> int:
        """Bins, or means of bins."""
        return self.n_bins // self.pool_bins

    def values(self, samples: FloatArray) -> FloatArray:
        """Compressed magnitudes, shape (frame, value)."""
        length, hop = (round(s * self.rate_hz) for s in (self.window_s, self.hop_s))
        framed = spectra.frames(samples, length, hop)
        held = torch.cat([self._magnitudes(block) for block in spectra.blocks(framed)])
        array: Any = self._compressed(held, self._full_scale(held)).contiguous().numpy()
        values: FloatArray = array
        return values

    def _magnitudes(self, framed: Tensor) -> Tensor:
        shape = spectra.window(self.window, framed.shape[1])
        spectrum = torch.fft.rfft(framed * shape, n=self.n_fft)
        kept = spectra.squared(spectrum[:, : self.n_bins]).sqrt_()
        if self.pool_bins == 1:
            return kept
        return kept.reshape(len(kept), self.n_values, self.pool_bins).mean(dim=2)

    def _full_scale(self, held: Tensor) -> float:
        if self.scaling == "none":
            return 1.0
        if self.scaling == "utterance":
            return float(held.max()) or 1.0
        length = round(self.window_s * self.rate_hz)
        return float(spectra.window(self.window, length).sum()) / 2

    def _compressed(self, held: Tensor, full_scale: float) -> Tensor:
        scaled = held / full_scale
        if self.compression == "log":
            scaled = 20.0 * scaled.clamp_(min=1e-10).log10_()
            if self.scaling != "none":
                scaled = 1.0 + scaled.clamp_(min=-self.range_db) / self.range_db
        if self.scaling != "none" and self.span == "signed":
            scaled = 2.0 * scaled - 1.0
        if self.compression == "mu_law":
            scaled = scaled.sign() * torch.log1p(self.mu * scaled.abs()) / math.log1p(self.mu)
        return scaled


@FEATURES.register(
    "waveform",
    title="raw samples",
    source="the audio itself, resampled by soxr",
    dimension="(sample, 1)",
)
@dataclass(frozen=True, kw_only=True)
class Waveform(Extractor):
    """The samples, as they are but for the sampling rate; a frame is a sample."""

    @property
    def frame_rate_hz(self) -> float:
        """The sampling rate."""
        return float(self.rate_hz)

    @property
    def n_values(self) -> int:
        """One."""
        return 1

    def values(self, samples: FloatArray) -> FloatArray:
        """The samples, shape (sample, 1)."""
        return samples[:, None]
