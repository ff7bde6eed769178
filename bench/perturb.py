"""Perturbed copies of the audio that is trained on: added noise, another vocal tract, speed.

Copies are sound, so every feature that is made from sound can be made from them; and they are
made once, into the cache, so that training costs no more. A copy is the same for every arm, seed
and fold: it depends on the perturbation, on its number and on the samples. Which copy a training
shows in which epoch is drawn by that training's seed (`Items.with_copies`).

The operations are written out here because the libraries for them do not install beside the
others of this project: audiomentations 0.43 asks for soxr below 1, and torch-audiomentations for
torchaudio. Only resampling is a library's, soxr's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version

import numpy as np

from serlab.bench.cache import samples_hash
from serlab.bench.contracts import (
    Audio,
    AudioSource,
    FeatureSpec,
    FloatArray,
    Interval,
    Perturbation,
    Utterance,
    digest,
)
from serlab.bench.features.base import FEATURES, Extractor
from serlab.bench.seeds import generator

VERSION = 1
"""Raised when the same perturbation gives other samples than before."""

CORNER_HZ = 4800.0
"""The frequency axis is stretched evenly up to here; Jaitly and Hinton's choice for 16 kHz."""
_FRAME_S, _OVERLAP = 0.032, 4
_ROUNDS = 8
"""Of Griffin and Lim's iteration: with them the magnitudes come to a fifth of their norm or
nearer to those that are asked for on EmoDB, without to half of it."""
_LOWEST_HZ = 20.0
"""Pink noise has nothing below: most of its power would be where nobody hears."""


@dataclass(frozen=True, kw_only=True)
class Perturbed:
    """A perturbed copy of another source's audio."""

    source: AudioSource
    how: Perturbation
    number: int
    """Which of the copies, from 1."""

    def read(self) -> Audio:
        """The copy, at the rate of the original. Raises BadFile."""
        return perturbed(self.source.read(), self.how, self.number)

    def name(self) -> str:
        """The original's name and the number of the copy."""
        return f"{self.source.name()} [perturbed copy {self.number}]"

    def made(self) -> tuple[AudioSource, Mapping[str, object]]:
        """The original, and all else that the samples depend on."""
        how = replace(self.how, copies=1)
        return self.source, {
            "how": how,
            "number": self.number,
            "version": VERSION,
            "libraries": _libraries(),
        }


@cache
def _libraries() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "soxr", "torch")}


def is_of_audio(spec: FeatureSpec) -> bool:
    """Whether a feature is made from the waveform, so that copies of it can be had."""
    return issubclass(FEATURES.load(spec.name), Extractor)


def copy_ids(name: str, how: Perturbation) -> tuple[str, ...]:
    """The ids of the copies of an utterance; other perturbations have others."""
    mark = digest(replace(how, copies=1))[:8] if how.copies else ""
    return tuple(f"{name}~{mark}-{number}" for number in range(1, how.copies + 1))


def copies_of(utterance: Utterance, how: Perturbation) -> list[Utterance]:
    """The copies of an utterance, which has audio; nothing of them is computed yet."""
    return [
        replace(utterance, id=name, audio=Perturbed(source=utterance.heard(), how=how, number=k))
        for k, name in enumerate(copy_ids(utterance.id, how), start=1)
    ]


def perturbed(audio: Audio, how: Perturbation, number: int) -> Audio:
    """A copy of the audio, which is the same whenever and wherever it is made.

    One of the kinds that have a range is drawn, and its strength. More copies leave the first
    ones as they are.
    """
    words = (digest(replace(how, copies=1)), str(number), samples_hash(audio))
    rng = generator(VERSION, "perturbation", *words)
    kinds = {"noise": how.snr_db, "warp": how.warp, "speed": how.speed}
    asked = [(kind, between) for kind, between in kinds.items() if between is not None]
    kind, between = asked[int(rng.integers(len(asked)))]
    strength = _drawn(kind, between, rng)
    if kind == "noise":
        samples = noisy(audio, strength, rng, pink=bool(rng.integers(2)))
    elif kind == "warp":
        samples = warped(audio, strength)
    else:
        samples = faster(audio, strength)
    return Audio(samples=samples, rate_hz=audio.rate_hz)


def _drawn(kind: str, between: Interval, rng: np.random.Generator) -> float:
    """Evenly in decibels, or in the logarithm of a factor, so that a half is as likely as two."""
    if kind == "noise":
        return float(rng.uniform(*between))
    return math.exp(rng.uniform(*np.log(between)))


# --- noise -----------------------------------------------------------------------------------


def noisy(audio: Audio, snr_db: float, rng: np.random.Generator, *, pink: bool) -> FloatArray:
    """The samples (sample,) with noise from 0 Hz to half the rate, white or of equal octaves.

    The ratio holds exactly for the utterance as a whole, pauses included; a constant offset is
    no part of the speech's power. Silence stays silence. Nothing is clipped.
    """
    noise = rng.standard_normal(len(audio.samples))
    if pink:
        hz = np.fft.rfftfreq(len(noise), 1 / audio.rate_hz)
        shape = np.where(hz >= _LOWEST_HZ, 1 / np.sqrt(np.maximum(hz, _LOWEST_HZ)), 0.0)
        noise = np.fft.irfft(np.fft.rfft(noise) * shape, n=len(noise))
    wanted = audio.samples.astype(np.float64).var() / 10 ** (snr_db / 10)
    power = np.square(noise).mean()
    noise *= math.sqrt(wanted / power) if power else 0.0
    return (audio.samples + noise).astype(np.float32)


# --- the frequency axis ----------------------------------------------------------------------


def warp_knots(factor: float, rate_hz: int) -> tuple[FloatArray, FloatArray]:
    """Frequencies before and after, in Hz; straight lines between.

    Jaitly and Hinton (ICML workshop 2013): times the factor up to a corner, from there to half
    the rate, which stays where it is. At rates below 16 kHz the corner is at 0.6 of half the rate.
    """
    top = rate_hz / 2
    moved = min(CORNER_HZ, 0.6 * top) * min(factor, 1.0)
    before = np.array([0, moved / factor, top], np.float32)
    return before, np.array([0, moved, top], np.float32)


def warped(audio: Audio, factor: float) -> FloatArray:
    """The samples (sample,), as many as before, with what was at 1 kHz at ``factor`` kHz.

    A phase vocoder: magnitudes move along the frequency axis, phases advance by the moved
    frequencies; then Griffin and Lim's iteration lets overlapping frames agree. (With the phases
    that were there, a tone of 1 kHz times 1.1 falls apart into 1.09 and 1.11 kHz.) It takes about
    200 bytes of memory a sample: 2 GB for three minutes at 48 kHz.
    """
    import torch

    size = _OVERLAP * max(1, round(_FRAME_S / _OVERLAP * audio.rate_hz))
    shape = torch.hann_window(size, dtype=torch.float64)
    settings = {"n_fft": size, "hop_length": size // _OVERLAP, "window": shape}
    signal = torch.from_numpy(audio.samples.astype(np.float64))

    def spectrum(x: torch.Tensor) -> torch.Tensor:  # (bin, frame)
        return torch.stft(x, **settings, pad_mode="constant", return_complex=True)  # type: ignore[arg-type]

    def sound(magnitude: torch.Tensor, phase: torch.Tensor) -> torch.Tensor:
        return torch.istft(torch.polar(magnitude, phase), **settings, length=len(signal))  # type: ignore[arg-type]

    found = spectrum(signal).numpy()
    magnitude, phase = (torch.from_numpy(x) for x in _moved(found, factor, audio.rate_hz))
    made = sound(magnitude, phase)
    for _ in range(_ROUNDS):
        made = sound(magnitude, spectrum(made).angle())
    return made.numpy().astype(np.float32)


def _moved(found: FloatArray, factor: float, rate_hz: int) -> tuple[FloatArray, FloatArray]:
    """Magnitudes and phases (bin, frame) on the warped axis."""
    before, after = warp_knots(factor, rate_hz)
    n_bins = len(found)
    size = 2 * (n_bins - 1)
    hop = size // _OVERLAP
    hz = np.arange(n_bins) * rate_hz / size
    at = np.interp(hz, after, before) * size / rate_hz  # where each bin is taken from
    low = np.minimum(at.astype(int), n_bins - 2)
    share = (at - low)[:, None]
    level = np.abs(found)
    magnitude = level[low] * (1 - share) + level[low + 1] * share
    phase = np.angle(found)
    expected = 2 * np.pi * hz[:, None] * hop / rate_hz
    off = np.diff(phase, axis=1) - expected
    off -= 2 * np.pi * np.round(off / (2 * np.pi))
    heard = (expected + off) * rate_hz / (2 * np.pi * hop)  # frequency of each bin's content
    nearest = np.rint(at).astype(int)
    steps = np.interp(heard[nearest], before, after) * 2 * np.pi * hop / rate_hz
    start = phase[nearest, :1]
    return magnitude, np.concatenate([start, start + np.cumsum(steps, axis=1)], axis=1)


# --- speed -----------------------------------------------------------------------------------


def faster(audio: Audio, factor: float) -> FloatArray:
    """The samples (sample,), fewer by the factor; the pitch rises by it (Ko et al., 2015)."""
    import soxr

    rate = float(audio.rate_hz)
    found = soxr.resample(audio.samples, rate * factor, rate, quality="HQ")
    return found.astype(np.float32, copy=False) if len(found) else audio.samples[:1]
