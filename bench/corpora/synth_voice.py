"""The voice of the synthetic corpus: speakers, words, styles, and speech from source and filter.

A glottal pulse train (Rosenberg 1971) and noise are shaped, frame by frame, by the formants of the
phone that is said (vowels after Peterson and Barney 1952) scaled by the speaker's vocal tract.
Which way an emotion moves pitch, energy, tempo and spectral tilt follows Scherer (2003, "Vocal
communication of emotion", Speech Communication 40, table 4); the sizes are set so that classes
overlap. This is a stand-in for speech to try a harness on; it says nothing about people.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray, Word
from serlab.bench.corpora.synth_words import (
    COMMON,
    LEANING,
    OTHER_SHARE,
    OWN_SHARE,
    PAUSE,
    PHONES,
    Phone,
)
from serlab.bench.seeds import generator

VERSION = 1
"""Raised when equal options give another corpus than before."""

EMOTIONS = tuple(LEANING)

Doubles = npt.NDArray[np.float64]
T = TypeVar("T", np.float32, np.complex64)


# --- who says it, and how -------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """What stays the same in all that a speaker says."""

    female: bool
    pitch_hz: float
    tract: float
    """Factor on the formants: the inverse of the vocal tract's relative length."""
    tempo: float
    tilt_db: float
    level_db: float
    range_factor: float
    expression: float
    """How far this speaker goes along with an emotion."""
    breath: float


@functools.lru_cache(maxsize=512)
def speaker_of(seed: int, index: int) -> Speaker:
    """The speaker with that index; odd ones are female."""
    draw = generator(seed, "speaker", str(index))
    female = index % 2 == 1
    return Speaker(
        female=female,
        pitch_hz=(205.0 if female else 115.0) * 2 ** (draw.normal(0, 1.2) / 12),
        tract=(1.16 if female else 1.0) * math.exp(draw.normal(0, 0.035)),
        tempo=math.exp(draw.normal(0, 0.07)),
        tilt_db=draw.normal(0, 1.0),
        level_db=draw.normal(0, 1.5),
        range_factor=math.exp(draw.normal(0, 0.15)),
        expression=float(np.clip(draw.normal(1.0, 0.12), 0.7, 1.3)),
        breath=abs(draw.normal(0, 0.02)),
    )


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one utterance is said, beside its speaker's habits."""

    intensity: float
    pitch_st: float = 0.0
    """Shift of the mean pitch, in semitones."""
    log_range: float = 0.0
    level_db: float = 0.0
    log_tempo: float = 0.0
    tilt_db: float = 0.0
    """Added slope of the spectrum above 500 Hz, in dB per octave."""
    jitter: float = 0.0
    breath: float = 0.0


_MOVES = ("pitch_st", "log_range", "level_db", "log_tempo", "tilt_db", "jitter", "breath")
_TARGETS = {
    "anger": (2.2, 0.30, 4.5, 0.10, 2.0, 0.010, 0.00),
    "happiness": (3.2, 0.45, 1.5, 0.04, 0.5, 0.000, 0.00),
    "neutral": (0.0, 0.00, 0.0, 0.00, 0.0, 0.000, 0.00),
    "sadness": (-1.0, -0.35, -3.0, -0.14, -1.5, 0.004, 0.10),
    "fear": (4.5, -0.25, -0.5, 0.18, -0.5, 0.020, 0.08),
}
_SPREADS = (1.3, 0.22, 2.0, 0.08, 1.0, 0.004, 0.03)


@dataclass(frozen=True, kw_only=True)
class Take:
    """One utterance before it is said; everything about it follows from these."""

    id: str
    speaker: int
    emotion: str
    seed: int
    rate_hz: int
    shortest_s: float
    longest_s: float


def style_of(take: Take) -> Style:
    """How the take is said: its emotion's targets, more or less."""
    draw = generator(take.seed, take.id, "style")
    intensity = float(np.clip(draw.normal(1.0, 0.35), 0.1, 2.0))
    reach = intensity * speaker_of(take.seed, take.speaker).expression
    noise = draw.normal(0, _SPREADS)
    moves = (reach * t + float(n) for t, n in zip(_TARGETS[take.emotion], noise, strict=True))
    return Style(intensity=intensity, **dict(zip(_MOVES, moves, strict=True)))


# --- when what is said ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Score:
    """The phones of an utterance one after the other, pauses included, and its words."""

    phones: tuple[Phone, ...]
    ends_s: Doubles
    words: tuple[Word, ...]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return float(self.ends_s[-1])

    def at(self, times_s: Doubles) -> npt.NDArray[np.intp]:
        """Index of the phone that is said at each time."""
        return np.minimum(np.searchsorted(self.ends_s, times_s, "right"), len(self.phones) - 1)


@functools.lru_cache(maxsize=1024)
def score_of(take: Take) -> Score:
    """What the take says and when."""
    draw = generator(take.seed, take.id, "words")
    speaker, style = speaker_of(take.seed, take.speaker), style_of(take)
    tempo = speaker.tempo * math.exp(style.log_tempo)
    asked = float(draw.uniform(take.shortest_s, take.longest_s))
    phones, lengths = [PAUSE], [0.06]
    spans: list[tuple[str, int, int]] = []
    while not spans or sum(lengths) + 0.3 / tempo < asked:
        text, spoken = _word(take.emotion, draw)
        first = len(phones)
        phones += [PHONES[name] for name in spoken.split()]
        drawn = np.exp(draw.normal(0, 0.15, len(phones) - first)) / tempo
        lengths += [p.length_s * float(f) for p, f in zip(phones[first:], drawn, strict=True)]
        spans.append((text, first, len(phones)))
        if draw.random() < 0.3:
            phones.append(PAUSE)
            lengths.append(PAUSE.length_s * float(draw.uniform(0.5, 1.8)) / tempo)
    phones.append(PAUSE)
    lengths.append(0.06)
    ends = np.cumsum(lengths)
    ends *= np.clip(ends[-1], take.shortest_s, take.longest_s) / ends[-1]
    return Score(phones=tuple(phones), ends_s=ends, words=_timed(spans, ends))


def _word(emotion: str, draw: np.random.Generator) -> tuple[str, str]:
    chance = draw.random()
    if chance < OWN_SHARE:
        words = LEANING[emotion]
    elif chance < OWN_SHARE + OTHER_SHARE:
        words = LEANING[EMOTIONS[int(draw.integers(len(EMOTIONS)))]]
    else:
        words = COMMON
    return list(words.items())[int(draw.integers(len(words)))]


def _timed(spans: list[tuple[str, int, int]], ends: Doubles) -> tuple[Word, ...]:
    return tuple(
        Word(text=text, start_s=float(ends[first - 1]), end_s=float(ends[last - 1]))
        for text, first, last in spans
    )


# --- sound ----------------------------------------------------------------------------------

_HOP_S = 0.010
_TAIL_S = 0.040
"""How long a formant rings on after its frame."""
_GLIDE_S = 0.018
"""How long the way from one phone to the next takes."""
_FORMANT_WIDTHS_HZ = (70.0, 100.0, 140.0, 200.0, 280.0)


def say(take: Take) -> FloatArray:
    """The sound of a take, shape (sample,), within [-1, 1]."""
    draw = generator(take.seed, take.id, "sound")
    speaker, style, score = speaker_of(take.seed, take.speaker), style_of(take), score_of(take)
    n_samples = round(score.duration_s * take.rate_hz)
    hop = round(_HOP_S * take.rate_hz)
    times = np.arange(n_samples // hop + 2, dtype=np.float64) * _HOP_S
    place = _places(score, times)
    voice = _between(np.array([[p.voice] for p in score.phones], np.float32), place)
    voiced = _pulses(_pitch(score, speaker, style, times, draw), n_samples, hop, take, draw)
    noise = draw.standard_normal(n_samples, dtype=np.float32)
    breath = np.float32(min(max(speaker.breath + style.breath, 0.0), 0.5))
    tract, hiss = _filters(score, speaker, style, take.rate_hz, _fft_size(take.rate_hz))
    tract_t = _between(tract, place) * voice
    gains = [(voiced, tract_t), (noise, _between(hiss, place) + tract_t * breath)]
    samples = _shape(gains, hop, n_samples)
    return _recorded(samples, speaker.level_db + style.level_db, draw)


def _fft_size(rate_hz: int) -> int:
    return 1 << math.ceil(math.log2((2 * _HOP_S + _TAIL_S) * rate_hz))


def _places(score: Score, times_s: Doubles) -> Doubles:
    """Which phone is said at each time; 2.25 is a quarter of the way from phone 2 to phone 3."""
    ways = np.clip((times_s[:, None] - score.ends_s[:-1]) / _GLIDE_S + 0.5, 0, 1)
    place: Doubles = ways.sum(axis=1)
    return place


def _between(values: npt.NDArray[T], place: Doubles) -> npt.NDArray[T]:
    """Rows of a table (phone, value) at places between them."""
    low = place.astype(np.intp)
    share = (place - low).astype(np.float32)[:, None]
    mixed: npt.NDArray[T] = values[low] * (1 - share)
    mixed += values[np.minimum(low + 1, len(values) - 1)] * share
    return mixed


def _pitch(
    score: Score, speaker: Speaker, style: Style, times_s: Doubles, draw: np.random.Generator
) -> Doubles:
    """Pitch in Hz at each time: mean, declination, an accent on each word, jitter."""
    contour = 2.0 - 4.0 * times_s / score.duration_s
    for word in score.words:
        middle, width = (word.start_s + word.end_s) / 2, (word.end_s - word.start_s) / 2
        height = draw.gamma(4.0, 0.6)
        contour += height * np.exp(-(((times_s - middle) / width) ** 2))
    swing = speaker.range_factor * math.exp(style.log_range) * 0.8
    semitones = style.pitch_st + swing * (contour - contour.mean())
    jitter = 0.004 + max(style.jitter, 0.0)
    wobble = 1 + jitter * draw.standard_normal(len(times_s))
    pitch: Doubles = speaker.pitch_hz * 2 ** (semitones / 12) * wobble
    return np.clip(pitch, 50.0, 700.0)


def _pulses(
    pitch_hz: Doubles, n_samples: int, hop: int, take: Take, draw: np.random.Generator
) -> FloatArray:
    """Slope of the glottal flow: Rosenberg's pulse, rising for 0.4 and falling for 0.2 cycles."""
    at = np.arange(n_samples) / hop
    phase = np.cumsum(np.interp(at, np.arange(len(pitch_hz)), pitch_hz)) / take.rate_hz
    cycle = phase.astype(np.int64)
    part = (phase - cycle).astype(np.float32)
    shimmer = 1 + 0.06 * draw.standard_normal(int(cycle[-1]) + 1).astype(np.float32)
    angle = np.where(part < 0.4, part * np.float32(np.pi / 0.4), 0) + np.where(
        (part >= 0.4) & (part < 0.6), np.float32(np.pi) + (part - 0.4) * np.float32(np.pi / 0.4), 0
    )
    slope: FloatArray = np.sin(angle) * np.where(part < 0.4, np.float32(0.5), np.float32(1.0))
    return slope * shimmer[cycle]


def _filters(
    score: Score, speaker: Speaker, style: Style, rate_hz: int, n_fft: int
) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.complex64]]:
    """Frequency responses (phone, bin) of the vocal tract and of the noise bands."""
    f = np.fft.rfftfreq(n_fft, 1 / rate_hz)[None, :]
    low = np.array([p.formants_hz for p in score.phones])
    high = np.broadcast_to([3500.0, 4500.0], (len(low), 2))
    formants = np.hstack([low, high]) * speaker.tract
    tract = np.ones((len(low), f.shape[1]), np.complex128)
    for centre, width in zip(formants.T[:, :, None], _FORMANT_WIDTHS_HZ, strict=True):
        tract *= centre**2 / (centre**2 - f**2 + 1j * f * width)
    slope = (speaker.tilt_db + style.tilt_db) / (20 * math.log10(2))
    tilt = (np.maximum(f, 500.0) / 500.0) ** np.clip(slope, -1.5, 1.5)
    centres = np.array([[p.centre_hz] for p in score.phones])
    widths = np.array([[p.width_hz] for p in score.phones])
    loud = np.array([[p.noise] for p in score.phones])
    hiss = loud * np.exp(-0.5 * ((f - centres) / widths) ** 2)
    return (tract * tilt).astype(np.complex64), (hiss * np.sqrt(tilt)).astype(np.complex64)


def _shape(
    parts: list[tuple[FloatArray, npt.NDArray[np.complex64]]], hop: int, n_samples: int
) -> FloatArray:
    """Sum of the sources, each filtered in frames of two hops that overlap by one."""
    n_frames, n_bins = parts[0][1].shape
    n_fft, window = 2 * (n_bins - 1), np.hanning(2 * hop + 1)[:-1].astype(np.float32)
    total = np.zeros((n_frames, n_bins), np.complex64)
    for source, response in parts:
        padded = np.zeros((n_frames + 1) * hop, np.float32)
        padded[hop : hop + n_samples] = source
        blocks = padded.reshape(n_frames + 1, hop)
        frames = np.concatenate([blocks[:-1], blocks[1:]], axis=1) * window
        total += np.fft.rfft(frames, n_fft) * response
    n_blocks = -(-n_fft // hop)
    sound = np.zeros((n_frames, n_blocks * hop), np.float32)
    sound[:, :n_fft] = np.fft.irfft(total, n_fft)
    out = np.zeros((n_frames + n_blocks, hop), np.float32)
    for index in range(n_blocks):
        out[index : index + n_frames] += sound[:, index * hop : (index + 1) * hop]
    return out.reshape(-1)[hop : hop + n_samples]


def _recorded(samples: FloatArray, level_db: float, draw: np.random.Generator) -> FloatArray:
    """The sound at its level, with a little noise of the room, never clipped."""
    level = 10 ** ((-28.0 + level_db) / 20)
    room = 10 ** (draw.normal(-62.0, 2.0) / 20)
    scaled = samples * np.float32(level / max(float(np.sqrt(np.mean(samples**2))), 1e-9))
    scaled += np.float32(room) * draw.standard_normal(len(samples), dtype=np.float32)
    peak = float(np.abs(scaled).max())
    return scaled if peak < 0.98 else scaled * np.float32(0.98 / peak)
