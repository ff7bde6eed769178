"""Front end: the time-frequency image that a convolutional network sees.

Each option takes the hyperparameters of the system and the option of the compression slot, and
gives a feature with all that differs from its own defaults.
"""

from __future__ import annotations

from typing import Protocol

from serlab.bench.contracts import FeatureSpec
from serlab.bench.errors import BadValue
from serlab.models.variant import OPTIONS

BIN_S = 0.1
"""Length of the Fourier transform in seconds: bins of 10 Hz, as in the paper [N]."""


class ImageSettings(Protocol):
    """The hyperparameters that a front end reads."""

    hop_s: float
    window_s: float
    n_bands: int
    top_hz: float


@OPTIONS.register("front_end.spectrogram", source="Li et al., Interspeech 2018", tag="N")
def spectrogram(settings: ImageSettings, compression: str) -> FeatureSpec:
    """Magnitude spectrogram from 0 Hz up, companded; neighbouring bins are pooled to the bands."""
    n_bins = round(settings.top_hz * BIN_S)
    if n_bins % settings.n_bands:
        expected = f"a divisor of the {n_bins} bins of 10 Hz below {settings.top_hz:g} Hz"
        raise BadValue("n_bands", settings.n_bands, expected)
    return FeatureSpec(
        name="spectrogram",
        settings={
            "hop_s": settings.hop_s,
            "window_s": settings.window_s,
            "top_hz": settings.top_hz,
            "pool_bins": n_bins // settings.n_bands,
            "compression": compression,
        },
    )


@OPTIONS.register("front_end.log_mel", source="ours", tag="I")
def log_mel(settings: ImageSettings, compression: str) -> FeatureSpec:
    """Log-mel bands; the compression slot has no part in it, the logarithm being built in.

    The floor lies 50 dB below a full band: with one at digital silence the pauses of a clean
    recording, not its speech, would decide on the normalisation.
    """
    return FeatureSpec(
        name="log_mel",
        settings={
            "hop_s": settings.hop_s,
            "window_s": settings.window_s,
            "high_hz": settings.top_hz,
            "n_mels": settings.n_bands,
            "low_hz": 50.0,
            "scale": "htk",
            "norm": "none",
            "floor": 1e-5,
        },
    )


@OPTIONS.register("front_end.egemaps_lld", source="Eyben et al., IEEE TAC 2016", tag="A")
def egemaps_lld(settings: ImageSettings, compression: str) -> FeatureSpec:
    """eGeMAPSv02's 25 descriptors of frames of 10 ms, by openSMILE (research-only licence)."""
    return FeatureSpec(name="egemaps", settings={"level": "lld"})


@OPTIONS.register("front_end.compare2016_lld", source="Schuller et al., Interspeech 2016", tag="A")
def compare2016_lld(settings: ImageSettings, compression: str) -> FeatureSpec:
    """ComParE 2016's 65 descriptors of frames of 10 ms, by openSMILE (research-only licence)."""
    return FeatureSpec(name="compare2016", settings={"level": "lld"})
