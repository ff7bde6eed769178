"""Where features of words take the words' vectors from.

A file may hold a million words: it is read in passes that keep the corpus's own, once for all the
utterances that `Vectors.expect` is told of, and whole for the control "shuffled" alone.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from serlab.bench.cache import Cache
from serlab.bench.contracts import FloatArray, Utterance, digest, setting
from serlab.bench.errors import BadValue
from serlab.bench.features.base import Reader
from serlab.bench.features.text import text_of
from serlab.bench.identity import file_hash
from serlab.bench.vector_files import read_vectors, width_of
from serlab.bench.vectors import (
    AlignSettings,
    Space,
    align,
    hashed_vector,
    random_space,
    shuffled,
    synth_spaces,
)

BUILT_IN = ("hashed", "synth-text", "synth-speech")
SEED = 0
ALIGNMENT_VERSION = 1
FREQUENT = 10_000
"""First words of a space from which the vector of an unknown word is made."""


def words_of(text: str) -> list[str]:
    """The words of a text, in lower case without punctuation."""
    return re.findall(r"\w+(?:['’]\w+)*", text.lower())


def said(utterance: Utterance) -> list[str]:
    """The words of an utterance's text."""
    return words_of(text_of(utterance) or "")


def _spoken(utterances: Sequence[Utterance]) -> set[str]:
    """All words of the utterances' texts and of their timed words, which may be spelt otherwise."""
    timed = (words_of(word.text) for u in utterances for word in u.words)
    return {word for words in (*(said(u) for u in utterances), *timed) for word in words}


@dataclass(frozen=True, kw_only=True)
class Vectors(Reader):
    """Where word vectors come from, and what is done to them.

    A word that the space does not know is nothing ("zero": a frame of zeros, no part in a mean),
    or the mean of the space's 10,000 most frequent words ("mean"), or random values fixed by the
    word's text, with the standard deviation of these ("hashed"). Under each, an utterance without
    any known word is missing.
    """

    may_be_missing: ClassVar[bool] = True
    in_this_process: ClassVar[bool] = True

    vectors: str = setting(
        "hashed", "the space: hashed, synth-text, synth-speech or a file of word vectors"
    )
    kind: str = setting(
        "plain",
        "plain; aligned onto the target space; or a control that knows nothing",
        tag="N",
        choices=("plain", "aligned", "random", "shuffled"),
    )
    target: str = setting("", "the space onto which `aligned` maps: as `vectors`")
    size: int = setting(100, "values of a hashed vector", tag="R", low=1)
    unknown: str = setting(
        "zero", "what stands for a word that the space does not know",
        choices=("zero", "mean", "hashed"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Checks that the spaces are there, before anything is computed."""
        spaces = ("vectors", "target") if self.kind == "aligned" else ("vectors",)
        for key in spaces:
            name = getattr(self, key)
            if name not in BUILT_IN and not Path(name).is_file():
                expected = f"{', '.join(BUILT_IN)} or the path of a file of word vectors"
                raise BadValue(key, name, expected)
            if name == "hashed" and self.kind in ("aligned", "shuffled"):
                expected = f"a space with words of its own: {self.kind} does nothing to hashed ones"
                raise BadValue(key, name, expected)
        if self.unknown != "zero" and (self.vectors == "hashed" or self.kind == "random"):
            expected = "zero: hashed vectors know every word, and random ones have no space's mean"
            raise BadValue("unknown", self.unknown, expected)

    @property
    def n_values(self) -> int:
        """Values of a word's vector."""
        if self.vectors == "hashed":
            return self.size
        return _width(*_named(self.target if self.kind == "aligned" else self.vectors))

    def files(self) -> tuple[str, ...]:
        """The vector files that are read."""
        named = (self.vectors, self.target) if self.kind == "aligned" else (self.vectors,)
        return tuple(name for name in named if name not in BUILT_IN)

    def expect(self, utterances: Sequence[Utterance]) -> None:
        """Looks up all words of the utterances in one pass."""
        if self.vectors != "hashed":
            self._space.look_up(_spoken(utterances))

    def remark(self, utterances: Sequence[Utterance]) -> str:
        """Which share of the words that are said the space does not know."""
        if self.vectors == "hashed":
            return ""
        self.expect(utterances)
        spoken = [word for u in utterances for word in said(u)]
        n_unknown = sum(word not in self._space.found for word in spoken)
        if not n_unknown:
            return ""
        share = f"{n_unknown} of {len(spoken)} words ({n_unknown / len(spoken):.1%})"
        return f"the space {self.vectors} does not know {share}; in their place: {self.unknown}"

    def lacks(self, utterance: Utterance) -> str:
        """Words: with times, or as a text; and one of them at least that the space knows."""
        if not utterance.words and not utterance.text:
            return "words or a text"
        if self.vectors == "hashed":
            return ""
        spoken = _spoken([utterance])
        self._space.look_up(spoken)
        if not self._space.found.keys().isdisjoint(spoken):
            return ""
        return f"a word that the space {self.vectors} knows"

    def vector(self, word: str) -> FloatArray | None:
        """A word's vector (value,); none for an unknown word that nothing stands for."""
        if self.vectors == "hashed":
            return hashed_vector(word, self.size)
        self._space.look_up([word])
        if word not in self._space.found:
            return self._stand_in(word)
        if self.kind == "shuffled":
            return _shuffled(*_named(self.vectors))[word]
        if self.kind == "random":
            own: FloatArray = random_space([word], self._space.width, SEED).vectors[0]
            return own
        return self._laid(self._space.found[word])

    def _laid(self, vector: FloatArray) -> FloatArray:
        """A vector of the space, mapped onto the target's where that is asked for."""
        if self.kind != "aligned":
            return vector
        found: FloatArray = _alignment(*_named(self.vectors), *_named(self.target)) @ vector
        return found

    def _stand_in(self, word: str) -> FloatArray | None:
        if self.unknown == "zero":
            return None
        mean, deviation = _centre(*_named(self.vectors))
        drawn = deviation * hashed_vector(word, len(mean))
        return self._laid(mean if self.unknown == "mean" else drawn)

    @cached_property
    def _space(self) -> _Looked:
        return _looked(*_named(self.vectors))


# --- spaces, by name and state of their file, once a process -----------------------------------

Stamp = tuple[int, int]


class _Looked:
    """The words that were looked for in a space so far, and those of them that it knows."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.width = _width(*_named(name))
        self.asked: set[str] = set()
        self.found: dict[str, FloatArray] = {}

    def look_up(self, words: Collection[str]) -> None:
        """Adds what the space knows of the words, in one pass if some of them are new."""
        new = set(words) - self.asked
        if not new:
            return
        space = _read(self.name, only=new)
        self.found.update(zip(space.words, space.vectors, strict=True))
        self.asked |= new


def _named(name: str) -> tuple[str, Stamp]:
    """A space's name and its file's size and time of change."""
    if name in BUILT_IN:
        return name, (0, 0)
    facts = Path(name).stat()
    return name, (facts.st_size, facts.st_mtime_ns)


@cache
def _looked(name: str, stamp: Stamp) -> _Looked:
    return _Looked(name)


def _read(name: str, only: Collection[str] | None = None, first: int = 0) -> Space:
    """What is asked for of a space, which may be nothing."""
    if name not in BUILT_IN:
        return read_vectors(Path(name), only, first)
    whole = synth_spaces()[BUILT_IN.index(name) - 1]
    kept = [i for i, word in enumerate(whole.words) if only is None or word in only]
    kept = kept[: first or None]
    return Space(words=tuple(whole.words[i] for i in kept), vectors=whole.vectors[kept])


@cache
def _width(name: str, stamp: Stamp) -> int:
    return synth_spaces()[0].size if name in BUILT_IN else width_of(Path(name))


@cache
def _centre(name: str, stamp: Stamp) -> tuple[FloatArray, float]:
    """Mean (value,) of the most frequent words, and the standard deviation of all their values."""
    held = _read(name, first=FREQUENT).vectors
    return held.mean(axis=0), float(held.std())


@cache
def _shuffled(name: str, stamp: Stamp) -> dict[str, FloatArray]:
    space = shuffled(_read(name), SEED)
    return dict(zip(space.words, space.vectors, strict=True))


@cache
def _alignment(source: str, of_source: Stamp, target: str, of_target: Stamp) -> FloatArray:
    """The mapping (value, value), worked out once and kept in the cache."""
    names, settings = (source, target), AlignSettings()
    hashes = [name if name in BUILT_IN else file_hash(Path(name)) for name in names]
    key = digest({"alignment": ALIGNMENT_VERSION, "spaces": hashes, "settings": settings})
    kept = Cache()
    found = kept.get(key)
    if found is None:
        spaces = (_read(name, first=settings.frequent) for name in names)
        found = kept.put(key, align(*spaces, seed=SEED, settings=settings))
    return np.asarray(found)
