"""The embedded corpus: synthetic speech with every kind of input that a system may want.

Made by serlab itself from a seed, so that everything can be tried without a download. Speakers
differ in pitch, vocal tract, tempo and loudness; emotions in how they move these, with much
overlap. Words lean to emotions, faces move with them, ratings follow them. It shows that the
machinery works and says nothing about people: results on it are marked as synthetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from serlab.bench.contracts import Audio, Corpus, Scalar, Utterance, Word
from serlab.bench.corpora.base import CORPORA
from serlab.bench.errors import BadValue
from serlab.bench.seeds import generator
from serlab.bench.synthesis import (
    FORMANTS_HZ,
    RATE_HZ,
    TRACE_HZ,
    VIDEO_HZ,
    Manner,
    Sound,
    Voice,
    face,
    ratings,
    speak,
)

VERSION = "1"
DIMENSIONS = ("arousal", "valence", "liking")

MANNERS = {
    "anger": Manner(
        pitch_semitones=3.0, range_semitones=5.0, energy_db=5.0, tempo=1.12, tilt=-0.22, jitter=0.03
    ),
    "happiness": Manner(
        pitch_semitones=4.0, range_semitones=6.0, energy_db=3.0, tempo=1.08, tilt=-0.1, jitter=0.015
    ),
    "neutral": Manner(),
    "sadness": Manner(
        pitch_semitones=-1.5, range_semitones=1.2, energy_db=-4.0, tempo=0.85, tilt=0.12,
        jitter=0.02,
    ),
}  # fmt: skip
FELT = {
    "anger": (0.7, -0.6, -0.4),
    "happiness": (0.5, 0.7, 0.6),
    "neutral": (0.0, 0.0, 0.1),
    "sadness": (-0.5, -0.5, -0.1),
}
"""Arousal, valence and liking that each emotion is rated with, on the whole."""
BROWS = {"anger": 0.9, "happiness": -0.4, "neutral": 0.0, "sadness": 0.3}
WORDS = {
    "anger": ("stop", "never", "unfair", "enough", "fault", "furious"),
    "happiness": ("great", "lovely", "party", "sunny", "welcome", "laugh"),
    "neutral": ("report", "table", "monday", "number", "street", "paper"),
    "sadness": ("alone", "lost", "gone", "sorry", "empty", "goodbye"),
}
COMMON = ("the", "we", "today", "it", "was", "again", "there", "about", "then", "very")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides one utterance; its sources make audio, frames and ratings of it."""

    id: str
    seed: int
    speaker: str
    emotion: str
    words: tuple[Word, ...]
    duration_s: float
    strength: float
    delay_s: float

    def rng(self, word: str) -> np.random.Generator:
        """A generator for one of its sides; no other utterance has a part in it."""
        return generator(self.seed, "synth", self.id, word)

    def manner(self) -> Manner:
        """The emotion's manner at this utterance's strength, with its own deviations."""
        rng, full = self.rng("manner"), MANNERS[self.emotion]
        return Manner(
            pitch_semitones=self.strength * full.pitch_semitones + rng.normal(0, 1.5),
            range_semitones=max(0.3, 2 + self.strength * (full.range_semitones - 2)
                                + rng.normal(0, 1.2)),
            energy_db=self.strength * full.energy_db + rng.normal(0, 2.5),
            tempo=1 + self.strength * (full.tempo - 1),
            tilt=self.strength * full.tilt + rng.normal(0, 0.08),
            jitter=float(np.clip(full.jitter * rng.lognormal(0, 0.4), 0.003, 0.08)),
        )  # fmt: skip


@dataclass(frozen=True)
class SynthAudio:
    """Audio of a recipe, synthesised when it is read."""

    recipe: Recipe

    def read(self) -> Audio:
        """The samples, at 16 kHz."""
        recipe = self.recipe
        samples = speak(
            _sounds(recipe.words),
            recipe.duration_s,
            voice_of(recipe.seed, recipe.speaker),
            recipe.manner(),
            recipe.rng("audio"),
        )
        return Audio(samples=samples, rate_hz=RATE_HZ)

    def name(self) -> str:
        """What a message calls it."""
        return f"synthetic utterance {self.recipe.id}"

    def identity(self) -> object:
        """What decides the samples, for the corpus's hash."""
        return ("audio", VERSION, self.recipe)


@dataclass(frozen=True)
class SynthVideo:
    """Frames of a recipe's face, (frame, height, width), uint8."""

    recipe: Recipe
    rate_hz: float = VIDEO_HZ

    def read(self) -> npt.NDArray[np.uint8]:
        """The frames: the mouth opens with the sound, brows and corners go with the emotion."""
        recipe, rng = self.recipe, self.recipe.rng("video")
        sound = np.abs(SynthAudio(recipe).read().samples)
        n = max(1, round(recipe.duration_s * self.rate_hz))
        loud = np.array([chunk.mean() for chunk in np.array_split(sound, n)])
        opening = np.clip(loud / (loud.max() + 1e-9) + rng.normal(0, 0.1, n), 0, 1)
        smile = recipe.strength * FELT[recipe.emotion][1] + rng.normal(0, 0.3)
        brow = recipe.strength * BROWS[recipe.emotion] + rng.normal(0, 0.3)
        shade = generator(recipe.seed, "synth", recipe.speaker, "skin").uniform(0, 1)
        return face(opening, float(smile), float(brow), float(shade))

    def identity(self) -> object:
        """What decides the frames."""
        return ("video", VERSION, self.recipe)


@dataclass(frozen=True)
class SynthTraces:
    """Continuous ratings of a recipe, (frame, dimension), in the order of `DIMENSIONS`."""

    recipe: Recipe
    rate_hz: float = TRACE_HZ

    def read(self) -> npt.NDArray[np.float32]:
        """The ratings, late by the rater's delay."""
        recipe, rng = self.recipe, self.recipe.rng("traces")
        felt = recipe.strength * np.array(FELT[recipe.emotion]) + rng.normal(0, 0.1, 3)
        return ratings(felt, recipe.duration_s, recipe.delay_s, rng)

    def identity(self) -> object:
        """What decides the ratings."""
        return ("traces", VERSION, self.recipe)


@CORPORA.register(
    "synth",
    title="Synthetic speech, made by serlab",
    language="none",
    licence="Apache-2.0",
    source="serlab's own synthesiser",
    needs_root=False,
    synthetic=True,
    options={
        "utterances": 270,
        "speakers": 9,
        "confound": 0.0,
        "words_lean": 0.5,
        "rater_delay_s": 0.3,
        "seed": 0,
    },
)
def synth(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Speech by made-up speakers in four emotions, with text, faces and ratings.

    Options: how many utterances and speakers; ``confound`` from 0 (emotions are spread evenly
    over speakers) to 1 (each speaker has one emotion only); ``words_lean``, the share of words
    that lean to the emotion; the raters' delay in seconds; the seed of it all.
    """
    n, n_speakers, seed = (int(options[key]) for key in ("utterances", "speakers", "seed"))
    for key in ("confound", "words_lean"):
        if not 0 <= float(options[key]) <= 1:
            raise BadValue(f"synth.{key}", options[key], "a number from 0 to 1")
    if n_speakers < 1 or n < n_speakers:
        wanted = "at least one speaker, and an utterance for each"
        raise BadValue("synth.utterances", n, f"{wanted} (speakers = {n_speakers})")
    if float(options["rater_delay_s"]) < 0:
        raise BadValue("synth.rater_delay_s", options["rater_delay_s"], "a number from 0")
    utterances = []
    for s in range(n_speakers):
        count = n // n_speakers + (s < n % n_speakers)
        emotions = _emotions(seed, s, count, float(options["confound"]))
        utterances += [_utterance(seed, s, k, e, options) for k, e in enumerate(emotions)]
    return Corpus(
        name="synth",
        utterances=tuple(utterances),
        labels=tuple(MANNERS),
        licence="Apache-2.0 (made by serlab)",
        source="serlab's own synthesiser; no person speaks",
        version=VERSION,
        synthetic=True,
        dimensions=DIMENSIONS,
    )


def _emotions(seed: int, speaker: int, count: int, confound: float) -> list[str]:
    """The emotions of a speaker's utterances in order: even, but for the confound; in runs."""
    rng = generator(seed, "synth", f"s{speaker:02d}", "emotions")
    names = list(MANNERS)
    own = names[speaker % len(names)]
    even = [names[(k + speaker) % len(names)] for k in range(count)]
    chosen = [own if rng.uniform() < confound else emotion for emotion in even]
    pairs = [chosen[k : k + 2] for k in range(0, count, 2)]
    pairs = [sorted(pair) for pair in pairs]
    rng.shuffle(pairs)
    return [emotion for pair in pairs for emotion in pair]


def _utterance(seed: int, s: int, k: int, emotion: str, options: Mapping[str, Scalar]) -> Utterance:
    """One utterance: the k-th of speaker s, in a dialogue with the other of their session."""
    speaker, name = f"s{s:02d}", f"s{s:02d}-{k:03d}"
    rng = generator(seed, "synth", name, "recipe")
    strength = float(np.clip(rng.normal(0.9, 0.3), 0.2, 1.6))
    words, duration_s = _words(emotion, strength, voice_of(seed, speaker).tempo,
                               float(options["words_lean"]), rng)  # fmt: skip
    recipe = Recipe(
        id=name,
        seed=seed,
        speaker=speaker,
        emotion=emotion,
        words=words,
        duration_s=duration_s,
        strength=strength,
        delay_s=float(options["rater_delay_s"]),
    )
    dialogue, place = divmod(k, 8)
    return Utterance(
        id=name,
        speaker=speaker,
        audio=SynthAudio(recipe),
        emotion=emotion,
        session=f"session{s // 2 + 1}",
        dialogue=f"session{s // 2 + 1}-{dialogue:02d}",
        turn=2 * place + s % 2,
        text=" ".join(word.text for word in words),
        words=words,
        traces=SynthTraces(recipe),
        video=SynthVideo(recipe),
        facts={"sex": "female" if s % 2 else "male"},
    )


@lru_cache(maxsize=256)
def voice_of(seed: int, speaker: str) -> Voice:
    """The voice of a speaker; odd numbers are women."""
    rng = generator(seed, "synth", speaker, "voice")
    woman = int(speaker[1:]) % 2 == 1
    return Voice(
        pitch_hz=rng.normal(205, 18) if woman else rng.normal(120, 14),
        tract=rng.normal(1.15, 0.04) if woman else rng.normal(1.0, 0.04),
        tempo=rng.normal(1.0, 0.08),
        level_db=rng.normal(0, 2.0),
        tilt=rng.normal(0, 0.06),
    )


def _words(
    emotion: str, strength: float, tempo: float, lean: float, rng: np.random.Generator
) -> tuple[tuple[Word, ...], float]:
    """Four to six words with their times, and the utterance's length in seconds."""
    rate = tempo * (1 + strength * (MANNERS[emotion].tempo - 1)) * rng.normal(1, 0.07)
    now, words = 0.08, []
    for _ in range(int(rng.integers(4, 7))):
        other = list(WORDS)[int(rng.integers(len(WORDS)))]
        if rng.uniform() < 0.4:
            text = COMMON[int(rng.integers(len(COMMON)))]
        else:
            chosen = WORDS[emotion if rng.uniform() < lean else other]
            text = chosen[int(rng.integers(len(chosen)))]
        end = now + sum(_length_s(letter) for letter in text) / max(rate, 0.5)
        words.append(Word(text=text, start_s=round(now, 4), end_s=round(end, 4)))
        now = end + 0.03 / rate
    return tuple(words), round(now + 0.1, 4)


def _length_s(letter: str) -> float:
    return 0.13 if letter in FORMANTS_HZ or letter == "y" else 0.05


def _sounds(words: tuple[Word, ...]) -> list[Sound]:
    """The letters of the words, each with its share of the time."""
    found = []
    for word in words:
        total = sum(_length_s(letter) for letter in word.text)
        now = word.start_s
        for letter in word.text:
            length = _length_s(letter) / total * (word.end_s - word.start_s)
            found.append(
                Sound(letter="i" if letter == "y" else letter, start_s=now, end_s=now + length)
            )
            now += length
    return [replace(sound, end_s=sound.end_s + 0.01) for sound in found]
