"""Functionals: one vector that stands for a whole utterance, whatever its length."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from serlab.bench.contracts import FloatArray, setting
from serlab.bench.errors import BadValue
from serlab.bench.features import descriptors, spectra
from serlab.bench.features.base import FEATURES, Extractor
from serlab.bench.features.descriptors import Contours, Matrix

_LEVELS = (5, 25, 50, 75, 95)

STATIC = (
    "mean", "sd", "skewness", "kurtosis",
    *(f"p{level}" for level in _LEVELS), "iqr", "range", "slope",
)  # fmt: skip
"""Functionals of a contour; "range" is p95 - p5 and "slope" is per second."""

CHANGE = ("mean_abs", "sd", "skewness", "kurtosis", "p5", "p95", "iqr")
"""Functionals of a contour's first derivative."""

VOICED = ("voiced_mean", "voiced_sd")
"""Functionals of a contour's voiced frames."""

TEMPORAL = (
    "voiced_share", "voiced_runs_per_s", "voiced_run_mean_s", "voiced_run_sd_s",
    "unvoiced_run_mean_s", "unvoiced_run_sd_s", "loudness_peaks_per_s",
    "loudness_rise_mean", "loudness_fall_mean", "pitch_rise_mean", "pitch_fall_mean",
)  # fmt: skip
"""Values of the utterance as a whole; rises and falls are means of the changes of that sign."""

_DELTA_FRAMES = 5


@FEATURES.register(
    "functionals",
    title="functionals of log-mel, cepstrum, pitch, voice and spectral shape",
    source="design after Schuller et al., Interspeech 2009-2016 challenges, and Eyben et al., "
    "IEEE TAC 7(2), 2016; ours in detail [I]; pitch by Boersma 1993",
    dimension="(1, functional)",
)
@dataclass(frozen=True, kw_only=True)
class Functionals(Extractor):
    """Moments, percentiles, ranges and slopes of descriptors and of their changes.

    Descriptors come every 10 ms from frames of 25 ms (pitch: three periods of ``low_hz``):
    26 log-mel bands, 13 MFCC, 15 of level and spectral shape, voicing strength, and over voiced
    frames alone pitch in semitones and harmonics-to-noise ratio. A functional of no frame (the
    pitch of a whisper) is 0; ``voiced_share`` tells that case apart. `names` tells what each
    value is.
    """

    low_hz: float = setting(60.0, "lowest pitch", low=30.0, high=100.0)
    high_hz: float = setting(600.0, "highest pitch", low=100.0, high=2000.0)

    def __post_init__(self) -> None:
        """Checks what the settings must be to each other."""
        if self.rate_hz < descriptors.LEAST_RATE_HZ:
            wanted = f"at least {descriptors.LEAST_RATE_HZ}, for spectra up to 8 kHz"
            raise BadValue("rate_hz", self.rate_hz, wanted)
        if self.high_hz < 2 * self.low_hz:
            raise BadValue("high_hz", self.high_hz, f"at least an octave above {self.low_hz:g}")

    @property
    def frame_rate_hz(self) -> float:
        """0: one vector an utterance."""
        return 0.0

    @property
    def n_values(self) -> int:
        """Functionals."""
        return len(self.names)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What each value is, such as "mfcc_3.sd" or "delta_pitch.p95"."""
        contours = (*descriptors.FRAME_NAMES, *descriptors.VOICED_NAMES)
        static = [f"{c}.{f}" for c in contours for f in STATIC]
        change = [f"delta_{c}.{f}" for c in contours for f in CHANGE]
        voiced = [f"{c}.{f}" for c in descriptors.FRAME_NAMES for f in VOICED]
        return (*static, *change, *voiced, *TEMPORAL)

    def values(self, samples: FloatArray) -> FloatArray:
        """The functionals, shape (1, value)."""
        held = descriptors.contours(samples, self.rate_hz, low_hz=self.low_hz, high_hz=self.high_hz)
        voiced = held.voiced
        frame_deltas, pitch_deltas = _deltas(held.frames), _deltas(held.pitch)
        inside = _within_runs(voiced)
        parts = (
            _static(held.frames, held.times_s),
            _static(held.pitch[voiced], held.times_s[voiced]),
            _change(frame_deltas),
            _change(pitch_deltas[inside]),
            _voiced(held.frames[voiced]),
            _temporal(held, frame_deltas, pitch_deltas[inside]),
        )
        row: FloatArray = np.concatenate(parts).astype(np.float32)[None]
        return row


def _deltas(contours: Matrix) -> Matrix:
    derived = spectra.delta(torch.from_numpy(contours), 1, width=_DELTA_FRAMES)
    found: Matrix = derived.numpy()
    return found


def _within_runs(voiced: descriptors.Mask) -> descriptors.Mask:
    """Frames whose delta sees voiced frames alone."""
    half = _DELTA_FRAMES // 2
    padded = np.pad(voiced, half, mode="edge")
    sides = np.lib.stride_tricks.sliding_window_view(padded, _DELTA_FRAMES)
    inside: descriptors.Mask = np.all(sides, axis=1)
    return inside


# --- functionals: contours (frame, contour) -> values, those of a contour side by side --------


def _static(held: Matrix, times_s: Matrix) -> Matrix:
    if not len(held):
        return np.zeros(held.shape[1] * len(STATIC))
    levels = np.percentile(held, _LEVELS, axis=0)
    columns = (
        *_moments(held), *levels, levels[3] - levels[1], levels[4] - levels[0],
        _slope(held, times_s),
    )  # fmt: skip
    return np.stack(columns, axis=1).ravel()


def _change(held: Matrix) -> Matrix:
    if not len(held):
        return np.zeros(held.shape[1] * len(CHANGE))
    levels = np.percentile(held, _LEVELS, axis=0)
    columns = (
        np.abs(held).mean(axis=0), *_moments(held)[1:], levels[0], levels[4], levels[3] - levels[1]
    )  # fmt: skip
    return np.stack(columns, axis=1).ravel()


def _voiced(held: Matrix) -> Matrix:
    if not len(held):
        return np.zeros(held.shape[1] * len(VOICED))
    return np.stack((held.mean(axis=0), held.std(axis=0)), axis=1).ravel()


def _moments(held: Matrix) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """Mean, standard deviation, skewness and excess kurtosis; the last two 0 without spread."""
    mean, sd = held.mean(axis=0), held.std(axis=0)
    flat = sd <= 1e-9 * (1 + np.abs(mean))
    scaled = (held - mean) / np.where(flat, 1.0, sd)
    skewness = np.where(flat, 0.0, (scaled**3).mean(axis=0))
    kurtosis = np.where(flat, 0.0, (scaled**4).mean(axis=0) - 3.0)
    return mean, sd, skewness, kurtosis


def _slope(held: Matrix, times_s: Matrix) -> Matrix:
    """Of the least-squares line over time; 0 for a single frame."""
    centred = times_s - times_s.mean()
    spread = float((centred**2).sum())
    if not spread:
        return np.zeros(held.shape[1])
    # No matrix product: BLAS would start threads, in every process, for so little.
    slope: Matrix = (centred[:, None] * held).sum(axis=0) / spread
    return slope


def _temporal(held: Contours, frame_deltas: Matrix, pitch_deltas: Matrix) -> Matrix:
    rate_hz = 1.0 / descriptors.HOP_S
    duration_s = len(held.voiced) / rate_hz
    voiced, unvoiced = _runs(held.voiced) / rate_hz, _runs(~held.voiced) / rate_hz
    loudness = descriptors.FRAME_NAMES.index("loudness")
    return np.array(
        [
            held.voiced.mean(),
            len(voiced) / duration_s,
            *_mean_sd(voiced),
            *_mean_sd(unvoiced),
            _n_peaks(held.frames[:, loudness]) / duration_s,
            *_rise_fall(frame_deltas[:, loudness]),
            *_rise_fall(pitch_deltas[:, descriptors.VOICED_NAMES.index("pitch")]),
        ]
    )


def _runs(mask: descriptors.Mask) -> Matrix:
    """Lengths of the stretches of True, in frames."""
    edges = np.diff(np.concatenate(([0], mask.astype(np.int8), [0])))
    return (np.flatnonzero(edges < 0) - np.flatnonzero(edges > 0)).astype(np.float64)


def _n_peaks(contour: Matrix) -> int:
    """Local maxima above the mean, after smoothing over 70 ms."""
    if len(contour) < 3:
        return 0
    smooth = np.convolve(np.pad(contour, 3, mode="edge"), np.ones(7) / 7, mode="valid")
    middle = smooth[1:-1]
    return int(((middle > smooth[:-2]) & (middle >= smooth[2:]) & (middle > smooth.mean())).sum())


def _mean_sd(found: Matrix) -> tuple[float, float]:
    return (float(found.mean()), float(found.std())) if len(found) else (0.0, 0.0)


def _rise_fall(changes: Matrix) -> tuple[float, float]:
    rises, falls = changes[changes > 0], changes[changes < 0]
    return _mean_sd(rises)[0], _mean_sd(falls)[0]
