"""Synthetic speech, faces and ratings: what the embedded corpus is made of.

A source-filter synthesiser (Fant, Acoustic Theory of Speech Production, 1960): pulses of the
voice and noise, through resonances of the vocal tract. What an emotion does to pitch, energy,
tempo, spectral tilt and jitter follows the signs that Scherer (Speech Communication 40, 2003,
table 3) sums up; the amounts are ours, and overlap between emotions by design.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from serlab.bench.contracts import FloatArray

RATE_HZ = 16_000
VIDEO_HZ = 5.0
TRACE_HZ = 10.0
FACE = 32
"""Height and width of a video frame."""

FORMANTS_HZ = {
    "a": (730.0, 1090.0, 2440.0, 3400.0),
    "e": (530.0, 1840.0, 2480.0, 3500.0),
    "i": (270.0, 2290.0, 3010.0, 3600.0),
    "o": (570.0, 840.0, 2410.0, 3300.0),
    "u": (300.0, 870.0, 2240.0, 3300.0),
}
"""Mean formants of the vowels (Peterson and Barney, JASA 24, 1952, men), the fourth ours."""
BANDWIDTHS_HZ = (80.0, 100.0, 140.0, 220.0)
NOISY = "csfzxthk"
"""Consonants that are spoken as noise; the others as a dip of the voice."""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What a speaker has whatever they feel."""

    pitch_hz: float
    tract: float
    """Factor of all resonances: above 1 for a shorter vocal tract."""
    tempo: float
    level_db: float
    tilt: float


@dataclass(frozen=True, kw_only=True)
class Manner:
    """What an emotion does to a voice, beside neutral speech."""

    pitch_semitones: float = 0.0
    range_semitones: float = 2.0
    energy_db: float = 0.0
    tempo: float = 1.0
    tilt: float = 0.0
    """Added to the pole of the voice's low-pass filter: below 0 is brighter."""
    jitter: float = 0.01


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A vowel or consonant and when it sounds, in seconds."""

    letter: str
    start_s: float
    end_s: float


def speak(
    sounds: Sequence[Sound],
    duration_s: float,
    voice: Voice,
    manner: Manner,
    rng: np.random.Generator,
) -> FloatArray:
    """Samples (sample,) of an utterance at `RATE_HZ`, in [-1, 1]."""
    n = round(duration_s * RATE_HZ)
    pitch = _pitch(n, voice, manner, rng)
    source = _pulses(pitch, voice, manner, rng)
    mouth, noise = _gates(sounds, n)
    speech = np.zeros(n)
    for vowel, gate in mouth.items():
        speech += gate * _resonate(source, vowel, voice.tract)
    hiss = np.diff(rng.standard_normal(n + 1)) * noise
    speech = speech / (np.abs(speech).max() + 1e-9) + 0.08 * hiss * 10 ** (-8 * manner.tilt / 20)
    level = 10 ** ((voice.level_db + manner.energy_db) / 20)
    speech = 0.25 * level * speech + 0.002 * rng.standard_normal(n)
    return np.clip(speech, -0.99, 0.99).astype(np.float32)


def _pitch(
    n: int, voice: Voice, manner: Manner, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Fundamental frequency of every sample: declination, accents, and jitter."""
    t = np.linspace(0, 1, n)
    semitones = manner.pitch_semitones + manner.range_semitones * (0.5 - t)
    for _ in range(3):
        centre, width = rng.uniform(0.05, 0.95), rng.uniform(0.05, 0.12)
        accent = rng.normal(0.8, 0.3) * manner.range_semitones
        semitones = semitones + accent * np.exp(-(((t - centre) / width) ** 2))
    knots = rng.standard_normal(max(4, n // 100)) * manner.jitter * 12
    semitones = semitones + np.interp(t, np.linspace(0, 1, len(knots)), knots)
    pitch: npt.NDArray[np.float64] = voice.pitch_hz * 2 ** (semitones / 12)
    return pitch


def _pulses(
    pitch: npt.NDArray[np.float64], voice: Voice, manner: Manner, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """The voice's source: rounded pulses (Rosenberg, JASA 49, 1971), tilted by a low-pass."""
    from scipy.signal import lfilter

    phase = np.cumsum(pitch / RATE_HZ)
    within = phase % 1
    opening = np.where(within < 0.4, 0.5 * (1 - np.cos(np.pi * within / 0.4)), 0.0)
    closing = np.where((within >= 0.4) & (within < 0.56), np.cos(np.pi * (within - 0.4) / 0.32), 0)
    shimmer = 1 + 3 * manner.jitter * rng.standard_normal(int(phase[-1]) + 2)
    flow = np.diff((opening + closing) * shimmer[phase.astype(int)], prepend=0.0)
    pole = float(np.clip(0.6 + voice.tilt + manner.tilt, 0.05, 0.97))
    filtered: npt.NDArray[np.float64] = lfilter([1 - pole], [1, -pole], flow)
    return filtered


def _resonate(source: npt.NDArray[np.float64], vowel: str, tract: float) -> npt.NDArray[np.float64]:
    """The source through the four resonances of a vowel."""
    from scipy.signal import sosfilt

    sections = []
    for formant, bandwidth in zip(FORMANTS_HZ[vowel], BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * bandwidth / RATE_HZ)
        angle = 2 * np.pi * min(formant * tract, 0.47 * RATE_HZ) / RATE_HZ
        a1, a2 = -2 * radius * np.cos(angle), radius**2
        sections.append([1 + a1 + a2, 0, 0, 1, a1, a2])
    resonant: npt.NDArray[np.float64] = sosfilt(np.array(sections), source)
    return resonant


def _gates(
    sounds: Sequence[Sound], n: int
) -> tuple[dict[str, npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """When each vowel's resonances and when noise are heard, with soft edges."""
    mouth: dict[str, npt.NDArray[np.float64]] = {}
    noise = np.zeros(n)
    for sound in sounds:
        start, end = round(sound.start_s * RATE_HZ), min(n, round(sound.end_s * RATE_HZ))
        if end <= start:
            continue
        shape = np.sin(np.linspace(0, np.pi, end - start)) ** 0.5
        if sound.letter in FORMANTS_HZ:
            mouth.setdefault(sound.letter, np.zeros(n))[start:end] += shape
        elif sound.letter in NOISY:
            noise[start:end] += shape
    return mouth, noise


def face(
    mouth_open: npt.NDArray[np.float64], smile: float, brow: float, shade: float
) -> npt.NDArray[np.uint8]:
    """Grey frames (frame, height, width) of a face.

    Args:
        mouth_open: opening of the mouth in each frame, 0 to 1.
        smile: -1 (corners down) to 1 (corners up).
        brow: -1 (raised) to 1 (drawn together and down).
        shade: brightness of the skin, 0 to 1.
    """
    y, x = np.mgrid[0:FACE, 0:FACE] / (FACE - 1) * 2 - 1
    skin = ((x / 0.8) ** 2 + (y / 0.95) ** 2) < 1
    still = np.where(skin, 0.35 + 0.5 * shade, 0.1)
    for side in (-1, 1):
        still[np.hypot(x - side * 0.35, y + 0.25) < 0.12] = 0.05
        line = -0.5 + 0.15 * brow * (1 - np.abs(x) / 0.6)
        still[(np.abs(y - line) < 0.05) & (np.abs(x - side * 0.35) < 0.22)] = 0.05
    frames = np.repeat(still[None], len(mouth_open), axis=0)
    curve = 0.5 + 0.25 * smile * (0.15 - x**2)
    for frame, opening in zip(frames, mouth_open, strict=True):
        frame[(np.abs(y - curve) < 0.05 + 0.22 * opening) & (np.abs(x) < 0.4)] = 0.02
    return np.round(frames * 255).astype(np.uint8)


def ratings(
    target: npt.NDArray[np.float64], duration_s: float, delay_s: float, rng: np.random.Generator
) -> FloatArray:
    """Continuous ratings (frame, dimension) at `TRACE_HZ` in [-1, 1].

    A rater's hand moves to what is felt after a delay, slowly, and is never still.
    """
    n = max(2, round(duration_s * TRACE_HZ))
    t = np.arange(n) / TRACE_HZ
    rise = 1 - np.exp(-np.maximum(t - delay_s, 0) / 0.4)
    wander = np.cumsum(rng.normal(0, 0.03, (n, len(target))), axis=0)
    return np.clip(rise[:, None] * target + wander, -1, 1).astype(np.float32)
