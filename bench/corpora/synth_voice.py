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

import numpy as np
import numpy.typing as npt
from serlab.bench.contracts import FloatArray, Word
from serlab.bench.seeds import generator

VERSION = 1
"""Raised when equal options give another corpus than before."""

EMOTIONS = ("anger", "happiness", "neutral", "sadness", "fear")

Doubles = npt.NDArray[np.float64]


# --- what can be said -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Phone:
    """Voicing and noise amplitude, formants, length, and the band of the noise."""

    voice: float
    noise: float
    formants_hz: tuple[float, float, float]
    length_s: float
    centre_hz: float = 1500.0
    width_hz: float = 2000.0


def _vowel(first: float, second: float, third: float) -> Phone:
    return Phone(voice=1.0, noise=0.0, formants_hz=(first, second, third), length_s=0.10)


def _murmur(voice: float, first: float, second: float, third: float) -> Phone:
    return Phone(voice=voice, noise=0.0, formants_hz=(first, second, third), length_s=0.06)


def _hiss(voice: float, noise: float, centre: float, width: float, length: float = 0.09) -> Phone:
    return Phone(
        voice=voice,
        noise=noise,
        formants_hz=(400.0, 1500.0, 2500.0),
        length_s=length,
        centre_hz=centre,
        width_hz=width,
    )


PHONES = {
    "iy": _vowel(270, 2290, 3010),
    "ih": _vowel(390, 1990, 2550),
    "eh": _vowel(530, 1840, 2480),
    "ae": _vowel(660, 1720, 2410),
    "aa": _vowel(730, 1090, 2440),
    "ao": _vowel(570, 840, 2410),
    "uw": _vowel(300, 870, 2240),
    "ah": _vowel(640, 1190, 2390),
    "er": _vowel(490, 1350, 1690),
    "m": _murmur(0.35, 250, 1000, 2200),
    "n": _murmur(0.35, 250, 1600, 2500),
    "l": _murmur(0.5, 350, 1100, 2700),
    "r": _murmur(0.5, 400, 1200, 1600),
    "w": _murmur(0.45, 300, 700, 2200),
    "y": _murmur(0.45, 270, 2200, 3000),
    "s": _hiss(0.0, 0.30, 6000, 1500),
    "z": _hiss(0.3, 0.18, 6000, 1500),
    "sh": _hiss(0.0, 0.32, 3300, 1000),
    "f": _hiss(0.0, 0.10, 4500, 3000),
    "v": _hiss(0.35, 0.05, 4500, 3000, 0.06),
    "h": _hiss(0.0, 0.12, 1500, 1500, 0.06),
    "_": _hiss(0.0, 0.0, 1500, 2000, 0.045),  # closure of a voiceless stop
    "=": _hiss(0.12, 0.0, 1500, 2000, 0.04),  # closure of a voiced stop
    "t": _hiss(0.0, 0.35, 4500, 1800, 0.025),
    "k": _hiss(0.0, 0.30, 2000, 900, 0.03),
    "p": _hiss(0.0, 0.22, 900, 900, 0.02),
    "d": _hiss(0.3, 0.2, 4000, 1800, 0.015),
    "g": _hiss(0.3, 0.2, 2000, 900, 0.015),
    "b": _hiss(0.3, 0.15, 800, 900, 0.015),
}
PAUSE = Phone(voice=0.0, noise=0.0, formants_hz=(500.0, 1500.0, 2500.0), length_s=0.07)

COMMON = {
    "and": "ae n = d",
    "with": "w ih f",
    "we": "w iy",
    "you": "y uw",
    "see": "s iy",
    "home": "h ao m",
    "today": "_ t uw = d eh",
    "people": "_ p iy _ p ah l",
    "water": "w ao _ t er",
    "about": "ah = b aa uw _ t",
    "morning": "m ao r n ih n",
    "really": "r iy l iy",
    "after": "ae f _ t er",
    "window": "w ih n = d ao",
    "again": "ah = g eh n",
    "other": "ah v er",
}
LEANING = {
    "anger": {
        "stop": "s _ t aa _ p",
        "never": "n eh v er",
        "enough": "ih n ah f",
        "wrong": "r ao n",
        "liar": "l aa y er",
        "shut": "sh ah _ t",
    },
    "happiness": {
        "lovely": "l ah v l iy",
        "great": "= g r eh _ t",
        "winner": "w ih n er",
        "yes": "y eh s",
        "party": "_ p aa r _ t iy",
        "sunny": "s ah n iy",
    },
    "neutral": {
        "monday": "m ah n = d eh",
        "paper": "_ p eh _ p er",
        "seven": "s eh v ih n",
        "number": "n ah m = b er",
        "room": "r uw m",
        "list": "l ih s _ t",
    },
    "sadness": {
        "lost": "l ao s _ t",
        "alone": "ah l ao n",
        "miss": "m ih s",
        "gone": "= g ao n",
        "tears": "_ t iy r s",
        "sorry": "s ao r iy",
    },
    "fear": {
        "help": "h eh l _ p",
        "hide": "h aa y = d",
        "danger": "= d eh n z er",
        "afraid": "ah f r eh = d",
        "run": "r ah n",
        "please": "_ p l iy z",
    },
}
OWN_SHARE, OTHER_SHARE = 0.30, 0.20
"""How often a word leans to the emotion that is said, and to one drawn at random."""


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
    phones, lengths, spans = [PAUSE], [0.06], []
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
    times = np.arange(n_samples // hop + 2) * _HOP_S
    weights = _weights(score, times)
    voice = weights @ np.array([p.voice for p in score.phones])
    voiced = _pulses(_pitch(score, speaker, style, times, draw), n_samples, hop, take, draw)
    noise = draw.standard_normal(n_samples, dtype=np.float32)
    breath = min(max(speaker.breath + style.breath, 0.0), 0.5)
    tract, hiss = _filters(score, speaker, style, take.rate_hz, _fft_size(take.rate_hz))
    tract_t, hiss_t = weights.astype(np.float32) @ tract, weights.astype(np.float32) @ hiss
    level = voice.astype(np.float32)[:, None]
    gains = [(voiced, tract_t * level), (noise, hiss_t + tract_t * level * np.float32(breath))]
    samples = _shape(gains, hop, n_samples)
    return _recorded(samples, speaker.level_db + style.level_db, draw)


def _fft_size(rate_hz: int) -> int:
    return 1 << math.ceil(math.log2((2 * _HOP_S + _TAIL_S) * rate_hz))


def _weights(score: Score, times_s: Doubles) -> Doubles:
    """How much each phone (column) is said at each time (row); rows sum to 1."""
    ends = score.ends_s[:-1]
    after = np.clip((times_s[:, None] - ends) / _GLIDE_S + 0.5, 0, 1)
    ones, zeros = np.ones((len(times_s), 1)), np.zeros((len(times_s), 1))
    return np.hstack([ones, after]) - np.hstack([after, zeros])


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
