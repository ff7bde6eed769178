"""Fundamental frequency by the autocorrelation method of Boersma (1993), as in Praat.

P. Boersma, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound", IFA Proceedings 17, 1993: the autocorrelation of a
windowed frame is divided by that of the window, every frame keeps several candidates, and the
cheapest path through them is found. Its costs are those of the paper's table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from serlab.bench.contracts import FloatArray
from serlab.bench.features import spectra

_N_CANDIDATES = 8
_SILENCE = 0.03
_VOICING = 0.45
_OCTAVE_COST = 0.01
_OCTAVE_JUMP = 0.35
_VOICED_UNVOICED = 0.14
_COST_STEP_S = 0.01
"""The time step that the costs of a transition are for."""
_PERIODS = 3
"""Periods of the lowest pitch that a frame holds."""

_Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Pitch:
    """What is known of every frame, shape (frame,)."""

    frequency_hz: FloatArray
    """0 where the frame is unvoiced."""
    strength: FloatArray
    """Highest normalised autocorrelation within the range of pitch, in [0, 1]."""

    @property
    def voiced(self) -> npt.NDArray[np.bool_]:
        """Which frames are voiced."""
        return self.frequency_hz > 0


def window_length(rate_hz: int, low_hz: float) -> int:
    """Samples of a frame, an even number."""
    return 2 * round(_PERIODS * rate_hz / low_hz / 2)


def track(samples: FloatArray, rate_hz: int, *, hop: int, low_hz: float, high_hz: float) -> Pitch:
    """Pitch of every frame of `window_length`, the first at the start of the audio.

    Args:
        samples: shape (sample,); zeros complete what is shorter than a frame.
        rate_hz: their rate.
        hop: samples from frame to frame.
        low_hz: lowest pitch that is looked for.
        high_hz: highest pitch that is looked for, below half of the rate.
    """
    framed = spectra.frames(samples, window_length(rate_hz, low_hz), hop)
    peak = float(np.abs(samples).max())
    found = [_candidates(block, rate_hz, low_hz, high_hz, peak) for block in spectra.blocks(framed)]
    lags, scores, strength, unvoiced = (
        torch.cat(part).numpy() for part in zip(*found, strict=True)
    )
    hertz = np.concatenate([rate_hz / lags, np.zeros((len(lags), 1))], axis=1)
    scores = np.concatenate([scores, unvoiced[:, None]], axis=1)
    path = _cheapest(hertz, scores.astype(np.float64), _COST_STEP_S * rate_hz / hop)
    chosen = np.take_along_axis(hertz, path[:, None], axis=1)[:, 0]
    return Pitch(frequency_hz=chosen.astype(np.float32), strength=strength)


def _candidates(
    framed: Tensor, rate_hz: int, low_hz: float, high_hz: float, peak: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Lags and scores (frame, candidate), best strength and score of no voice (frame,)."""
    centred = framed - framed.mean(dim=1, keepdim=True)
    shortest = max(2, math.floor(rate_hz / high_hz))
    longest = math.ceil(rate_hz / low_hz)
    held = _autocorrelation(centred, longest + 2)[:, shortest - 1 :]
    left, middle, right = held[:, :-2], held[:, 1:-1], held[:, 2:]
    is_peak = (middle > left) & (middle >= right) & (middle > 0.5 * _VOICING)
    curve = (left - 2 * middle + right).clamp(max=-1e-9)
    offset = (0.5 * (left - right) / curve).clamp(-0.5, 0.5)
    height = (middle - 0.25 * (left - right) * offset).clamp(max=1.0)
    lags = torch.arange(shortest, shortest + middle.shape[1]) + offset
    score = torch.where(is_peak, height - _OCTAVE_COST * torch.log2(low_hz * lags / rate_hz), -9.0)
    best = score.topk(min(_N_CANDIDATES, score.shape[1]), dim=1)
    loudness = centred.abs().amax(dim=1) / max(peak, 1e-9)
    unvoiced = _VOICING + (2 - loudness * (1 + _VOICING) / _SILENCE).clamp(min=0)
    strength = middle.amax(dim=1).clamp(0.0, 1.0)
    return lags.gather(1, best.indices), best.values, strength, unvoiced


def _autocorrelation(centred: Tensor, n_lags: int) -> Tensor:
    """Of the frames (frame, lag), divided by the window's own, 1 at lag 0 (0 in silence)."""
    length = centred.shape[1]
    n_fft = 1 << (length + n_lags - 1).bit_length()
    shape = spectra.window("hann", length)
    both = torch.cat([centred * shape, shape[None]])
    power = spectra.squared(torch.fft.rfft(both, n=n_fft))
    raw = torch.fft.irfft(power, n=n_fft)[:, :n_lags]
    normal = raw / raw[:, :1].clamp(min=1e-9)
    unbiased: Tensor = normal[:-1] / normal[-1]
    return unbiased


def _cheapest(hertz: _Matrix, scores: _Matrix, step: float) -> npt.NDArray[np.intp]:
    """The candidate of every frame on the path of the highest total (Viterbi)."""
    voiced = hertz > 0
    octaves = np.log2(np.where(voiced, hertz, 1.0))
    n_frames, n_states = hertz.shape
    back = np.zeros((n_frames, n_states), np.intp)
    total = scores[0]
    everyone = np.arange(n_states)
    for t in range(1, n_frames):
        jump = _OCTAVE_JUMP * np.abs(octaves[t - 1][:, None] - octaves[t][None])
        both = voiced[t - 1][:, None] & voiced[t][None]
        change = _VOICED_UNVOICED * (voiced[t - 1][:, None] ^ voiced[t][None])
        sums = total[:, None] - step * np.where(both, jump, change)
        back[t] = sums.argmax(axis=0)
        total = sums[back[t], everyone] + scores[t]
    path = np.zeros(n_frames, np.intp)
    path[-1] = total.argmax()
    for t in range(n_frames - 1, 0, -1):
        path[t - 1] = back[t, path[t]]
    return path
