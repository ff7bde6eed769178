"""Spaces of word vectors: drawn, mixed up, and one laid onto another.

`serlab.bench.vector_files` reads them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serlab.bench.alignment import AlignSettings, nearest, procrustes, rotation
from serlab.bench.contracts import FloatArray
from serlab.bench.corpora.synth_voice import EMOTIONS, Take, score_of
from serlab.bench.corpora.synth_words import COMMON, LEANING, PHONES
from serlab.bench.errors import BadValue
from serlab.bench.seeds import generator

__all__ = [
    "AlignSettings", "Space", "align", "hashed_vector", "mapped", "nearest", "procrustes",
    "random_space", "shuffled", "synth_spaces",
]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Space:
    """Words, the most frequent first, and their vectors (word, value)."""

    words: tuple[str, ...]
    vectors: FloatArray

    def __post_init__(self) -> None:
        """Checks that there is one vector a word."""
        if self.vectors.ndim != 2 or len(self.words) != len(self.vectors):
            expected = f"(word, value) for {len(self.words)} words"
            raise BadValue("vectors", self.vectors.shape, expected)

    @property
    def size(self) -> int:
        """Values of a vector."""
        return int(self.vectors.shape[1])


# --- drawn, mixed up -------------------------------------------------------------------------


def hashed_vector(word: str, size: int) -> FloatArray:
    """A fixed random vector (value,) of standard normal values, from the word's text alone."""
    return generator(0, "word vector", word).standard_normal(size).astype(np.float32)


def random_space(words: Sequence[str], size: int, seed: int) -> Space:
    """A space that knows nothing: each word's vector is standard normal, by word and seed."""
    rows = [generator(seed, "random vector", w).standard_normal(size) for w in words]
    return Space(words=tuple(words), vectors=np.array(rows, np.float32).reshape(-1, size))


def shuffled(space: Space, seed: int) -> Space:
    """The same words and the same vectors, given to each other at random."""
    order = generator(seed, "shuffled vectors").permutation(len(space.words))
    return Space(words=space.words, vectors=space.vectors[order])


def mapped(space: Space, matrix: FloatArray) -> Space:
    """The space under a matrix (value, value): each vector x becomes ``matrix @ x``."""
    return Space(words=space.words, vectors=(space.vectors @ matrix.T).astype(np.float32))


def align(
    source: Space, target: Space, *, seed: int, settings: AlignSettings | None = None
) -> FloatArray:
    """The rotation W (value, value) that lays the source onto the target: ``W @ s`` is like ``t``.

    Words are not compared, so the two may be in unlike languages, or of unlike number. The same
    seed gives the same matrix. See `serlab.bench.alignment` for the method.

    Raises:
        BadValue: the spaces differ in width, or have too few words.
    """
    settings = settings or AlignSettings()
    if source.size != target.size:
        raise BadValue("source", source.size, f"vectors of {target.size} values, as the target's")
    n_words = min(len(source.words), len(target.words))
    if n_words <= settings.neighbours:
        raise BadValue("words", n_words, f"more than {settings.neighbours} in both spaces")
    points = (space.vectors[: settings.frequent] for space in (source, target))
    return rotation(*points, seed=seed, settings=settings)


# --- the synthetic corpus's own spaces -------------------------------------------------------

N_SENTENCES = 4000
SYNTH_SIZE = 8
"""Values of the vectors of `synth_spaces`."""
_SEED = 20_210
"""Of the sentences that the spaces are made from; no corpus has it by default."""
_TOPICS = (0.34, 0.26, 0.18, 0.13, 0.09)
"""Shares of the emotions in those sentences: unlike, so that no two clusters are alike."""
_CONTEXT_NOISE, _SOUND_SHARE = 0.05, 0.1
"""In the speech space, relative to the spread of the text space's vectors."""


@functools.cache
def synth_spaces() -> tuple[Space, Space]:
    """A text space and a speech space of the synthetic corpus's words.

    The text space holds words by the company they keep in sentences of the same grammar: positive
    pointwise mutual information, singular value decomposition. The speech space, a stand-in for
    Speech2Vec, holds the same with noise and with a part from the sound of the word, under a
    rotation that nobody is told. Both are the same in every process. With 47 words, a third of
    them all but alike in the company they keep, `align` finds the topics and most of the words.
    """
    words = (*COMMON, *(w for group in LEANING.values() for w in group))
    counts = _together(words)
    order = np.argsort(-counts.diagonal(), kind="stable")
    words, counts = tuple(words[i] for i in order), counts[np.ix_(order, order)]
    text = _decomposed(_information(counts - np.diag(counts.diagonal())), SYNTH_SIZE)
    text /= text.std()
    draw = generator(_SEED, "speech space")
    sound = _standard(_phone_counts(words) @ draw.standard_normal((len(PHONES), SYNTH_SIZE)))
    noise = draw.standard_normal(text.shape)
    heard = text + _CONTEXT_NOISE * noise + _SOUND_SHARE * sound
    turned = heard @ np.linalg.qr(draw.standard_normal((SYNTH_SIZE, SYNTH_SIZE)))[0]
    spaces = (Space(words=words, vectors=x.astype(np.float32)) for x in (text, turned))
    first, second = spaces
    return first, second


def _together(words: Sequence[str]) -> npt.NDArray[np.float64]:
    """(word, word): in how many sentences the two are; each word's own on the diagonal."""
    index = {word: at for at, word in enumerate(words)}
    draw = generator(_SEED, "sentences")
    held = np.zeros((N_SENTENCES, len(words)))
    for row, emotion in enumerate(draw.choice(EMOTIONS, N_SENTENCES, p=_TOPICS)):
        take = Take(id=f"text-{row}", speaker=row % 50, emotion=str(emotion), seed=_SEED,
                    rate_hz=16000, shortest_s=4.0, longest_s=8.0)  # fmt: skip
        held[row, [index[word.text] for word in score_of(take).words]] = 1
    return held.T @ held


def _information(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Positive pointwise mutual information (Church and Hanks, 1990)."""
    share = counts / counts.sum()
    alone = share.sum(axis=1)
    ratio = share / np.outer(alone, alone)
    positive: npt.NDArray[np.float64] = np.log(np.maximum(ratio, 1.0))
    return positive


def _decomposed(matrix: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """(word, size): left singular vectors times roots of singular values, signs settled."""
    u, values, _ = np.linalg.svd(matrix)
    kept: npt.NDArray[np.float64] = u[:, :size] * np.sqrt(values[:size])
    largest = np.abs(kept).argmax(axis=0)
    kept *= np.sign(kept[largest, np.arange(size)])
    return kept


def _phone_counts(words: Sequence[str]) -> npt.NDArray[np.float64]:
    spoken = {**COMMON, **{w: s for group in LEANING.values() for w, s in group.items()}}
    rows = [[spoken[word].split().count(phone) for phone in PHONES] for word in words]
    return np.array(rows, np.float64)


def _standard(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    normal: npt.NDArray[np.float64] = (x - x.mean(axis=0)) / x.std()
    return normal
