"""Audio conditions that a trained system is tested under: another level, noise, a telephone.

After the published test suite for speech emotion recognition: Derington et al., "Testing
Correctness, Fairness, and Robustness of Speech Emotion Recognition Models", arXiv 2312.06270
(IEEE Trans. Affective Computing, 2025), and its code, audeering/ser-tests. Where the suite draws
a strength from several, the strongest is taken, so that every utterance meets the same. Only
tested audio undergoes a condition: nothing is trained, normalised or selected on it.

A condition keeps the number of samples, but for cropping. Samples are not cut off at 1: a
louder copy is louder, as in a sound file of floats, and what clipping does is a condition of its
own. A condition is a function ``(audio, strength)`` to samples (sample,), float32, under
``@CONDITIONS.register``, and gives the same for the same samples, noise included.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from serlab.bench.audio import resample
from serlab.bench.cache import samples_hash
from serlab.bench.contracts import Audio, AudioSource, FloatArray, Utterance, digest
from serlab.bench.perturb import noisy
from serlab.bench.registry import Registry
from serlab.bench.seeds import generator

CONDITIONS = Registry("condition", "serlab.bench.conditions")

VERSION = 1
"""Raised when the same condition gives other samples than before."""

_TELEPHONE_HZ = 8000
_TILT_PIVOT_HZ, _TILT_FROM_HZ = 1000.0, 100.0
_FILTER_S = 0.02
"""How far a filter's impulse response reaches to either side."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What a registered condition is, in plain values."""

    name: str
    about: str
    strength: float
    unit: str
    source: str
    least_unchanged: float
    """Share of predictions that must stay as they are; the published suite's threshold."""
    largest_loss: float | None = None
    """Of UA; the suite's threshold, where it has one."""
    keeps_length: bool = True
    module: str = ""
    attribute: str = ""

    @property
    def mark(self) -> str:
        """Its name and a hash of its strength: another strength is another condition."""
        return f"{self.name}-{digest([self.strength, self.unit, VERSION])[:8]}"

    @property
    def part(self) -> str:
        """What the predictions under it stand under."""
        return f"test:{self.name}"

    def heard(self, audio: Audio) -> Audio:
        """The audio under the condition."""
        change = getattr(importlib.import_module(self.module), self.attribute)
        samples: FloatArray = change(audio, self.strength)
        return Audio(samples=samples.astype(np.float32, copy=False), rate_hz=audio.rate_hz)


def condition(name: str, *, where: str = "") -> Condition:
    """The condition of that name. Raises UnknownName."""
    entry = CONDITIONS.entry(name, where=where)
    known = {f.name for f in fields(Condition)}
    return Condition(
        name=name,
        about=entry.summary,
        module=entry.module,
        attribute=entry.attribute,
        **{key: value for key, value in entry.facts.items() if key in known},
    )


@dataclass(frozen=True, kw_only=True)
class Conditioned:
    """Another source's audio under a condition."""

    source: AudioSource
    how: Condition

    def read(self) -> Audio:
        """The audio, at the rate of the original. Raises BadFile."""
        return self.how.heard(self.source.read())

    def name(self) -> str:
        """The original's name and the condition's."""
        return f"{self.source.name()} [{self.how.name}]"

    def made(self) -> tuple[AudioSource, Mapping[str, object]]:
        """The original, and all else that the samples depend on."""
        return self.source, {"condition": self.how.mark, "libraries": _libraries()}


@cache
def _libraries() -> dict[str, str]:
    return {name: version(name) for name in ("numpy", "scipy", "soxr")}


def under(utterances: Iterable[Utterance], how: Condition) -> list[Utterance]:
    """Those of the utterances that have audio, under a condition; nothing is computed yet."""
    mark = how.mark
    return [
        replace(u, id=f"{u.id}~c-{mark}", audio=Conditioned(source=u.audio, how=how))
        for u in utterances
        if u.audio is not None
    ]


# --- level -----------------------------------------------------------------------------------


@CONDITIONS.register(
    "gain_up",
    strength=2.0,
    unit="dB",
    source="ser-tests, small changes: one of -2, -1, 1, 2 dB",
    least_unchanged=0.95,
)
def gain_up(audio: Audio, strength: float) -> FloatArray:
    """A little louder."""
    return _gained(audio, strength)


@CONDITIONS.register(
    "gain_down",
    strength=-2.0,
    unit="dB",
    source="ser-tests, small changes: one of -2, -1, 1, 2 dB",
    least_unchanged=0.95,
)
def gain_down(audio: Audio, strength: float) -> FloatArray:
    """A little softer."""
    return _gained(audio, strength)


def _gained(audio: Audio, level_db: float) -> FloatArray:
    return audio.samples * np.float32(10 ** (level_db / 20))


@CONDITIONS.register(
    "clip",
    strength=0.003,
    unit="of the samples",
    source="ser-tests, small changes: 0.1, 0.2 or 0.3 % of the samples",
    least_unchanged=0.95,
)
def clip(audio: Audio, strength: float) -> FloatArray:
    """The loudest samples are cut off."""
    limit = np.quantile(np.abs(audio.samples), 1 - strength)
    return audio.samples.clip(-limit, limit)


# --- length ----------------------------------------------------------------------------------


@CONDITIONS.register(
    "crop_start",
    strength=0.0625,
    unit="s",
    source="ser-tests, small changes: 100, 500 or 1000 samples at 16 kHz",
    least_unchanged=0.95,
    keeps_length=False,
)
def crop_start(audio: Audio, strength: float) -> FloatArray:
    """A little is missing at the beginning, never more than half."""
    return audio.samples[_cropped(audio, strength) :]


@CONDITIONS.register(
    "crop_end",
    strength=0.0625,
    unit="s",
    source="ser-tests, small changes: 100, 500 or 1000 samples at 16 kHz",
    least_unchanged=0.95,
    keeps_length=False,
)
def crop_end(audio: Audio, strength: float) -> FloatArray:
    """A little is missing at the end, never more than half."""
    return audio.samples[: len(audio.samples) - _cropped(audio, strength)]


def _cropped(audio: Audio, seconds: float) -> int:
    return min(round(seconds * audio.rate_hz), len(audio.samples) // 2)


# --- noise -----------------------------------------------------------------------------------


@CONDITIONS.register(
    "white_noise",
    strength=20.0,
    unit="dB SNR",
    source="ser-tests, background noise: white noise at 20 dB",
    least_unchanged=0.9,
    largest_loss=0.05,
)
def white_noise(audio: Audio, strength: float) -> FloatArray:
    """White noise beside the speech."""
    rng = generator(VERSION, "condition", "white_noise", samples_hash(audio))
    return noisy(audio, strength, rng, pink=False)


@CONDITIONS.register(
    "pink_noise",
    strength=20.0,
    unit="dB SNR",
    source="ours, for the suite's environmental noise at 20 dB, whose recordings are not here",
    least_unchanged=0.9,
    largest_loss=0.05,
)
def pink_noise(audio: Audio, strength: float) -> FloatArray:
    """Noise of equal octaves, as rooms and traffic have, beside the speech."""
    rng = generator(VERSION, "condition", "pink_noise", samples_hash(audio))
    return noisy(audio, strength, rng, pink=True)


# --- spectrum --------------------------------------------------------------------------------


@CONDITIONS.register(
    "low_pass",
    strength=6500.0,
    unit="Hz",
    source="ser-tests, small changes: Butterworth of order 1 at 6500, 7000 or 7500 Hz",
    least_unchanged=0.95,
)
def low_pass(audio: Audio, strength: float) -> FloatArray:
    """A duller microphone: the magnitude of a first-order low-pass, at any rate of the audio."""
    return _filtered(audio, lambda hz: 1 / np.sqrt(1 + (hz / strength) ** 2))


@CONDITIONS.register(
    "telephone",
    strength=3400.0,
    unit="Hz, from 300 Hz on",
    source="band of ITU-T G.712; thresholds of ser-tests' low quality phone, which has a codec, a "
    "compressor and noise besides",
    least_unchanged=0.5,
    largest_loss=0.05,
)
def telephone(audio: Audio, strength: float) -> FloatArray:
    """The band of a telephone: brought to 8 kHz, band-passed, and brought back."""
    from scipy import signal

    narrow = resample(audio, _TELEPHONE_HZ)
    if not len(narrow.samples):  # less than half a sample at 8 kHz
        return np.zeros_like(audio.samples)
    band = signal.butter(4, (300, strength), "bandpass", fs=_TELEPHONE_HZ, output="sos")
    heard = signal.sosfilt(band, narrow.samples.astype(np.float64)).astype(np.float32)
    back = resample(Audio(samples=heard, rate_hz=_TELEPHONE_HZ), audio.rate_hz).samples
    samples = np.zeros_like(audio.samples)
    samples[: len(back)] = back[: len(samples)]
    return samples


@CONDITIONS.register(
    "tilt_up",
    strength=3.0,
    unit="dB per octave",
    source="ser-tests, spectral tilt: its filters' slopes are not in print, ours is a choice",
    least_unchanged=0.8,
    largest_loss=0.02,
)
def tilt_up(audio: Audio, strength: float) -> FloatArray:
    """High frequencies stronger, low ones weaker, the level as before."""
    return _tilted(audio, strength)


@CONDITIONS.register(
    "tilt_down",
    strength=-3.0,
    unit="dB per octave",
    source="ser-tests, spectral tilt: its filters' slopes are not in print, ours is a choice",
    least_unchanged=0.8,
    largest_loss=0.02,
)
def tilt_down(audio: Audio, strength: float) -> FloatArray:
    """Low frequencies stronger, high ones weaker, the level as before."""
    return _tilted(audio, strength)


def _tilted(audio: Audio, slope_db: float) -> FloatArray:
    """A straight line over octaves from 100 Hz on; below, as at 100 Hz."""

    def gain(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        octaves: npt.NDArray[np.float64] = np.log2(np.maximum(hz, _TILT_FROM_HZ) / _TILT_PIVOT_HZ)
        return 10 ** (slope_db * octaves / 20)

    found = _filtered(audio, gain)
    before, after = (np.square(x, dtype=np.float64).sum() for x in (audio.samples, found))
    return found * np.float32(np.sqrt(before / after) if after else 1.0)


def _filtered(
    audio: Audio, gain: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
) -> FloatArray:
    """The samples (sample,) through a filter without delay of that gain over frequency in Hz."""
    from scipy import signal

    hz = np.linspace(0, audio.rate_hz / 2, 513)
    n_taps = 2 * round(_FILTER_S * audio.rate_hz) + 1
    response = signal.firwin2(n_taps, hz, gain(hz), fs=audio.rate_hz)
    found = signal.oaconvolve(audio.samples.astype(np.float64), response, mode="same")
    samples: FloatArray = found.astype(np.float32)
    return samples
