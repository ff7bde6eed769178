"""Features of what is said and by whom: word vectors frame by frame, their mean, and turns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from serlab.bench.cache import Cache
from serlab.bench.contracts import AudioSource, FloatArray, Utterance, Word, digest, setting
from serlab.bench.errors import BadFile, BadValue
from serlab.bench.features.base import FEATURES, Reader
from serlab.bench.identity import file_hash
from serlab.bench.vectors import (
    AlignSettings,
    Space,
    align,
    hashed_vector,
    mapped,
    random_space,
    read_vectors,
    shuffled,
    synth_spaces,
)

FRAMES_HZ = 10.0
"""Frames of 0.1 s, as the labels of AVEC 2017 have."""
BUILT_IN = ("hashed", "synth-text", "synth-speech")
SEED = 0
ALIGNMENT_VERSION = 1


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case without punctuation."""
    return re.findall(r"\w+(?:['’]\w+)*", text.lower())


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


@dataclass(frozen=True, kw_only=True)
class _Vectors(Reader):
    """Where word vectors come from, and what is done to them."""

    may_be_missing: ClassVar[bool] = True

    vectors: str = setting("hashed", "the space: hashed, synth-text, synth-speech or a .vec file")
    kind: str = setting(
        "plain",
        "plain; aligned onto the target space; or a control that knows nothing",
        tag="N",
        choices=("plain", "aligned", "random", "shuffled"),
    )
    target: str = setting("", "the space onto which `aligned` maps: as `vectors`")
    size: int = setting(100, "values of a hashed vector", tag="R", low=1)

    def __post_init__(self) -> None:
        """Checks that the spaces are there, before anything is computed."""
        spaces = ("vectors", "target") if self.kind == "aligned" else ("vectors",)
        for key in spaces:
            name = getattr(self, key)
            if name not in BUILT_IN and not Path(name).is_file():
                expected = f"{', '.join(BUILT_IN)} or the path of a .vec file"
                raise BadValue(key, name, expected)
            if name == "hashed" and self.kind in ("aligned", "shuffled"):
                expected = f"a space with words of its own: {self.kind} does nothing to hashed ones"
                raise BadValue(key, name, expected)

    @property
    def n_values(self) -> int:
        """Values of a word's vector."""
        if self.vectors == "hashed":
            return self.size
        if self.kind == "aligned":
            return _width(self.target)
        return _width(self.vectors)

    def files(self) -> tuple[str, ...]:
        """The vector files that are read."""
        named = (self.vectors, self.target) if self.kind == "aligned" else (self.vectors,)
        return tuple(name for name in named if name not in BUILT_IN)

    def lacks(self, utterance: Utterance) -> str:
        """Words: with times, or as a text; and one of them at least that the space knows."""
        if not utterance.words and not utterance.text:
            return "words or a text"
        if self.vectors == "hashed" or _words_known(self.vectors).intersection(_said(utterance)):
            return ""
        return f"a word that the space {self.vectors} knows"

    def vector(self, word: str) -> FloatArray | None:
        """A word's vector (value,); none for a word that the space does not know."""
        if self.vectors == "hashed":
            return hashed_vector(word, self.size)
        found: FloatArray | None = _space(self.vectors, self.kind, self.target).get(word)
        return found


@cache
def _space(vectors: str, kind: str, target: str) -> dict[str, FloatArray]:
    """The vectors by word, once a process."""
    space = _read(vectors)
    if kind == "aligned":
        space = mapped(space, _alignment(space, _read(target), (vectors, target)))
    elif kind == "random":
        space = random_space(space.words, space.size, SEED)
    elif kind == "shuffled":
        space = shuffled(space, SEED)
    return dict(zip(space.words, space.vectors, strict=True))


@cache
def _read(name: str) -> Space:
    if name in BUILT_IN:
        return synth_spaces()[BUILT_IN.index(name) - 1]
    return read_vectors(Path(name))


@cache
def _words_known(name: str) -> frozenset[str]:
    return frozenset(_read(name).words)


@cache
def _width(name: str) -> int:
    """Values of a vector, from the first lines of its file."""
    if name in BUILT_IN:
        return _read(name).size
    try:
        with Path(name).open(encoding="utf-8") as file:
            first = file.readline().split()
            second = file.readline().split()
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(name, f"cannot be read as UTF-8 text: {error}") from None
    fields = second if len(first) == 2 and all(f.isdecimal() for f in first) else first
    if len(fields) < 2:
        raise BadFile(name, "is no file of word vectors: a word and its values on each line")
    return len(fields) - 1


def _alignment(source: Space, target: Space, names: tuple[str, str]) -> FloatArray:
    """The mapping (value, value), worked out once and kept in the cache."""
    hashes = [name if name in BUILT_IN else file_hash(Path(name)) for name in names]
    settings = AlignSettings()
    key = digest({"alignment": ALIGNMENT_VERSION, "spaces": hashes, "settings": settings})
    cache_ = Cache()
    found = cache_.get(key)
    return (
        cache_.put(key, align(source, target, seed=SEED, settings=settings))
        if found is None
        else found
    )


@FEATURES.register(
    "words",
    title="word vectors frame by frame",
    source="Tzirakis et al., ICASSP 2021: a vector every 0.1 s, zeros where no word is [C]",
    dimension="(frame, value)",
)
@dataclass(frozen=True, kw_only=True)
class Words(_Vectors):
    """Ten frames a second, each with the vector of the word that is said in its middle.

    Where nobody speaks, and for a word that the space does not know, a frame is 0. Where a corpus
    gives a text without times, the words fill the audio in proportion to their letters [I].
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
            said = (middles >= word.start_s) & (middles < word.end_s)
            for one in words_of(word.text):
                vector = self.vector(one)
                if vector is not None:
                    values[said] = vector
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
class Text(_Vectors):
    """The mean of the vectors of an utterance's words; missing where it has none that is known."""

    def identity(self, utterance: Utterance) -> str:
        """Hash of the words."""
        return digest({"text": _said(utterance)})

    def read(self, utterance: Utterance) -> FloatArray:
        """The mean, shape (1, value), or (0, value) without a known word."""
        vectors = [v for v in map(self.vector, _said(utterance)) if v is not None]
        if not vectors:
            return np.zeros((0, self.n_values), np.float32)
        mean: FloatArray = np.mean(vectors, axis=0)[None].astype(np.float32)
        return mean


def _said(utterance: Utterance) -> list[str]:
    text = utterance.text or " ".join(word.text for word in utterance.words)
    return words_of(text)


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
