"""Features of what is said and by whom: word vectors frame by frame, their mean, and turns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from serlab.bench.contracts import AudioSource, FloatArray, Utterance, Word, digest
from serlab.bench.features.base import FEATURES, Reader
from serlab.bench.features.word_vectors import Vectors, said, words_of

FRAMES_HZ = 10.0
"""Frames of 0.1 s, as the labels of AVEC 2017 have."""


def timed_words(utterance: Utterance) -> tuple[Word, ...]:
    """The words with times: the corpus's own, else spread over the audio by their letters."""
    if utterance.words or not utterance.text:
        return utterance.words
    spoken = words_of(utterance.text)
    ends = np.cumsum([len(word) + 1 for word in spoken], dtype=np.float64)
    ends *= _duration_s(utterance.heard()) / ends[-1] if len(ends) else 1.0
    starts = [0.0, *ends[:-1]]
    return tuple(
        Word(text=word, start_s=float(a), end_s=float(b))
        for word, a, b in zip(spoken, starts, ends, strict=True)
    )


@FEATURES.register(
    "words",
    title="word vectors frame by frame",
    source="Tzirakis et al., ICASSP 2021: a vector every 0.1 s, zeros where no word is [C]",
    dimension="(frame, value)",
)
@dataclass(frozen=True, kw_only=True)
class Words(Vectors):
    """Ten frames a second, each with the vector of the word that is said in its middle.

    Where nobody speaks a frame is 0, and for a word that the space does not know it is what
    ``unknown`` says. Where a corpus gives a text without times, the words fill the audio in
    proportion to their letters [I].
    """

    @property
    def frame_rate_hz(self) -> float:
        """Ten."""
        return FRAMES_HZ

    def identity(self, utterance: Utterance) -> str:
        """Hash of the words, their times and the length."""
        return digest({"words": timed_words(utterance), "frames": _n_frames(utterance)})

    def read(self, utterance: Utterance) -> FloatArray:
        """The frames, shape (frame, value), as many as the audio has tenths of a second."""
        values = np.zeros((_n_frames(utterance), self.n_values), np.float32)
        middles = (np.arange(len(values)) + 0.5) / FRAMES_HZ
        for word in timed_words(utterance):
            during = (middles >= word.start_s) & (middles < word.end_s)
            for one in words_of(word.text):
                vector = self.vector(one)
                if vector is not None:
                    values[during] = vector
        return values


def _n_frames(utterance: Utterance) -> int:
    return max(1, int(np.ceil(round(_duration_s(utterance.heard()) * FRAMES_HZ, 6))))


@lru_cache(maxsize=100_000)
def _duration_s(source: AudioSource) -> float:
    """Length of the audio, decoded once a process."""
    return source.read().duration_s


@FEATURES.register(
    "text",
    title="mean word vector of an utterance",
    source="ours, for the utterance vectors of Lian et al. 2019, whose text features are open [I]",
    dimension="(1, value)",
)
@dataclass(frozen=True, kw_only=True)
class Text(Vectors):
    """The mean of the vectors of an utterance's words; missing where it has none that is known.

    An unknown word has no part in the mean, unless ``unknown`` gives it a vector.
    """

    def identity(self, utterance: Utterance) -> str:
        """Hash of the words."""
        return digest({"text": said(utterance)})

    def read(self, utterance: Utterance) -> FloatArray:
        """The mean, shape (1, value), or (0, value) without a known word."""
        vectors = [v for v in map(self.vector, said(utterance)) if v is not None]
        if not vectors:
            return np.zeros((0, self.n_values), np.float32)
        mean: FloatArray = np.mean(vectors, axis=0)[None].astype(np.float32)
        return mean


@FEATURES.register(
    "turns",
    title="when the partner speaks",
    source="Tzirakis et al., ICASSP 2021: the turn file of AVEC 2017 [C]",
    dimension="(frame, 1)",
)
@dataclass(frozen=True, kw_only=True)
class Turns(Reader):
    """Ten frames a second: 1 where somebody else speaks in the frame's middle, else 0.

    A corpus that tells of no partner has zeros: the audio is the speaker's own throughout.
    """

    @property
    def frame_rate_hz(self) -> float:
        """Ten."""
        return FRAMES_HZ

    @property
    def n_values(self) -> int:
        """One."""
        return 1

    def lacks(self, utterance: Utterance) -> str:
        """Nothing."""
        return ""

    def identity(self, utterance: Utterance) -> str:
        """Hash of the partner's turns and the length."""
        return digest({"turns": utterance.partner, "frames": _n_frames(utterance)})

    def read(self, utterance: Utterance) -> FloatArray:
        """The frames, shape (frame, 1)."""
        values = np.zeros((_n_frames(utterance), 1), np.float32)
        middles = (np.arange(len(values)) + 0.5) / FRAMES_HZ
        for start, end in utterance.partner:
            values[(middles >= start) & (middles < end)] = 1
        return values
