"""Spaces of word vectors: read, drawn, and one laid onto another without a dictionary.

The alignment is that of Conneau et al. (ICLR 2018, "Word translation without parallel data";
code: MUSE): a mapping W and a discriminator are trained against each other until the mapped
source cannot be told from the target; then orthogonal Procrustes on the words that are each
other's nearest neighbours, several times. Nearness is CSLS, cosine less the mean cosine to the
nearest neighbours of either side.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray
from serlab.bench.corpora.synth_voice import EMOTIONS, Take, score_of
from serlab.bench.corpora.synth_words import COMMON, LEANING, PHONES
from serlab.bench.errors import BadFile, BadValue
from serlab.bench.seeds import generator, torch_seeded

if TYPE_CHECKING:
    from torch import Tensor

Indices = npt.NDArray[np.intp]


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
        return self.vectors.shape[1]


# --- read, drawn, mixed up -------------------------------------------------------------------


def read_vectors(path: Path, only: Collection[str] | None = None) -> Space:
    """The space in a text file of word2vec or fastText: a line a word, its values after it.

    A first line of two integers is taken for the header. Of a word that stands there twice, the
    first line counts.

    Args:
        path: the file, UTF-8.
        only: the words that are kept; all by default. Other lines' values are not looked at.

    Raises:
        BadFile: the file cannot be read, is no UTF-8, has a line of another width or with a value
            that is no finite number, or has none of the words.
    """
    rows: dict[str, FloatArray] = {}
    width = 0
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            for number, line in enumerate(file, start=1):
                fields = line.rstrip("\r\n ").split(" ")
                if number == 1 and len(fields) == 2 and all(f.isdecimal() for f in fields):
                    width = int(fields[1])
                    continue
                word, n_values = fields[0], len(fields) - 1
                width = width or n_values
                if not word or not n_values or n_values != width:
                    problem = (
                        f"a word and {width or 'its'} values expected, {n_values} values found"
                    )
                    raise BadFile(path, f"line {number}: {problem}")
                if word not in rows and (only is None or word in only):
                    rows[word] = _numbers(path, number, fields[1:])
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path, f"cannot be read as UTF-8 text: {error}") from error
    if not rows:
        raise BadFile(path, "has no word" if only is None else "has none of the words asked for")
    return Space(words=tuple(rows), vectors=np.stack(list(rows.values())))


def _numbers(path: Path, number: int, fields: Sequence[str]) -> FloatArray:
    try:
        values = np.array(fields, np.float32)
    except ValueError as error:
        raise BadFile(path, f"line {number}: {error}") from error
    if not np.isfinite(values).all():
        raise BadFile(path, f"line {number}: a value is NaN or infinite")
    return values


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


# --- alignment -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AlignSettings:
    """Hyperparameters of `align`.

    MUSE's own are for 200,000 words and hours on a GPU; where they differ it says so. For few
    words in seconds, many short runs with larger steps find the rotation, where one long run
    with MUSE's rate often finds none.
    """

    frequent: int = 5000
    """So many first words of each space take part; MUSE has 75,000, and 15,000 to refine."""
    hidden: int = 32
    """Units of each of the discriminator's two hidden layers; MUSE has 2,048."""
    dropout: float = 0.1
    """Share of the discriminator's inputs."""
    smoothing: float = 0.1
    """Of the discriminator's two labels."""
    discriminator_steps: int = 5
    """For each step of the mapping."""
    rate: float = 0.5
    """Learning rate of plain SGD; MUSE has 0.1."""
    decay: float = 0.98
    """Factor on the rate after each epoch."""
    epochs: int = 10
    """MUSE has 5."""
    steps: int = 50
    """Steps of the mapping in an epoch; MUSE has 31,250."""
    batch: int = 32
    """Words of each space in a step."""
    beta: float = 0.03
    """Strength of the pull towards an orthogonal mapping; MUSE has 0.001, for smaller steps."""
    rounds: int = 10
    """Times that the mapping is refined; MUSE has 5."""
    neighbours: int = 10
    """Of CSLS."""
    restarts: int = 32
    """Mappings that start from random rotations; MUSE has one, from the identity."""


def align(
    source: Space, target: Space, *, seed: int, settings: AlignSettings | None = None
) -> FloatArray:
    """The rotation W (value, value) that lays the source onto the target: ``W @ s`` is like ``t``.

    Words are not compared: the two may be in unlike languages. Of all restarts the one is kept
    with the highest mean CSLS of mutual nearest neighbours (0 for words that have none), which
    needs no dictionary either.
    Vectors are compared by their direction. The same seed gives the same matrix.

    Raises:
        BadValue: the spaces differ in width, or have too few words.
    """
    import torch

    settings = settings or AlignSettings()
    if source.size != target.size:
        raise BadValue("source", source.size, f"vectors of {target.size} values, as the target's")
    n_words = min(len(source.words), len(target.words))
    if n_words <= settings.neighbours:
        raise BadValue("words", n_words, f"more than {settings.neighbours} in both spaces")
    s, t = (_directions(x.vectors[: settings.frequent]) for x in (source, target))
    with _one_thread(), torch_seeded(seed, "alignment"):
        rough = _adversarial(torch.from_numpy(s), torch.from_numpy(t), settings)
    refined = [_refined(matrix, s, t, settings) for matrix in rough]
    best: FloatArray = max(refined, key=lambda pair: pair[0])[1]
    return best


def procrustes(source: FloatArray, target: FloatArray) -> FloatArray:
    """The rotation W (value, value) with the least ``|W @ s - t|`` over pairs of rows.

    Args:
        source: (pair, value).
        target: (pair, value).
    """
    u, _, v = np.linalg.svd(target.T.astype(np.float64) @ source.astype(np.float64))
    rotation: FloatArray = (u @ v).astype(np.float32)
    return rotation


def nearest(source: FloatArray, target: FloatArray, neighbours: int = 10) -> Indices:
    """(source word,): the target word that is nearest by CSLS to each row of the source."""
    s, t = _directions(source), _directions(target)
    return _nearest(s, t, _crowd(s, t, neighbours), _crowd(t, s, neighbours))[0]


@contextmanager
def _one_thread() -> Iterator[None]:
    """The last bits of a product depend on the number of threads, and training enlarges them."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _directions(vectors: FloatArray) -> FloatArray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-8)).astype(np.float32)


def _adversarial(source: Tensor, target: Tensor, settings: AlignSettings) -> list[FloatArray]:
    """One trained mapping for each restart; all are trained side by side."""
    import torch

    n, d = settings.restarts, source.shape[1]
    scale = d**0.5  # unit variance of each value, whatever the width
    mapping = torch.linalg.qr(torch.randn(n, d, d))[0].requires_grad_()
    sizes = ((d, settings.hidden), (settings.hidden, settings.hidden), (settings.hidden, 1))
    layers = [_layer(n, *size) for size in sizes]
    rate = settings.rate
    for _ in range(settings.epochs):
        for _ in range(settings.steps):
            for step in range(settings.discriminator_steps + 1):
                fools = step == settings.discriminator_steps
                trained = [mapping] if fools else [p for layer in layers for p in layer]
                loss = _loss(layers, mapping, source * scale, target * scale, settings, fools)
                gradients = torch.autograd.grad(loss, trained)
                with torch.no_grad():
                    for parameter, gradient in zip(trained, gradients, strict=True):
                        parameter -= rate * gradient
            with torch.no_grad():
                gram = mapping @ mapping.transpose(1, 2) @ mapping
                mapping.copy_((1 + settings.beta) * mapping - settings.beta * gram)
        rate *= settings.decay
    found: list[FloatArray] = list(mapping.detach().numpy())
    return found


def _layer(n: int, n_in: int, n_out: int) -> tuple[Tensor, Tensor]:
    """Weights (restart, in, out) and biases (restart, 1, out), drawn as torch's own are."""
    import torch

    bound = n_in**-0.5
    draw = [torch.empty(n, rows, n_out).uniform_(-bound, bound) for rows in (n_in, 1)]
    return draw[0].requires_grad_(), draw[1].requires_grad_()


def _loss(
    layers: Sequence[tuple[Tensor, Tensor]],
    mapping: Tensor,
    source: Tensor,
    target: Tensor,
    settings: AlignSettings,
    fools: bool,
) -> Tensor:
    """Cross-entropy of mapped source (label 1) and target (0), the other way to fool, summed."""
    import torch
    from torch.nn import functional as F

    n, b = len(mapping), settings.batch
    s = source[torch.randint(len(source), (n, b))] @ mapping.transpose(1, 2)
    t = target[torch.randint(len(target), (n, b))]
    x = F.dropout(torch.cat([s, t], dim=1), settings.dropout)
    for index, (weight, bias) in enumerate(layers):
        x = torch.baddbmm(bias, x, weight)
        x = F.leaky_relu(x, 0.2) if index < len(layers) - 1 else x
    labels = torch.full((n, 2 * b), settings.smoothing)
    labels[:, :b] = 1 - settings.smoothing
    labels = 1 - labels if fools else labels
    loss = F.binary_cross_entropy_with_logits(x.squeeze(2), labels, reduction="none")
    return loss.mean(dim=1).sum()


def _refined(
    matrix: FloatArray, source: FloatArray, target: FloatArray, settings: AlignSettings
) -> tuple[float, FloatArray]:
    """The criterion and the mapping after Procrustes on mutual neighbours, several times."""
    matrix = procrustes(np.eye(len(matrix), dtype=np.float32), matrix.T)  # the nearest rotation
    for _ in range(settings.rounds):
        _, ours, theirs = _mutual(source @ matrix.T, target, settings.neighbours)
        if not len(ours):
            break
        matrix = procrustes(source[ours], target[theirs])
    return _mutual(source @ matrix.T, target, settings.neighbours)[0], matrix


def _mutual(s: FloatArray, t: FloatArray, neighbours: int) -> tuple[float, Indices, Indices]:
    """Mean CSLS of the source's words, 0 without a mutual neighbour, and the mutual pairs."""
    crowd_s, crowd_t = _crowd(s, t, neighbours), _crowd(t, s, neighbours)
    forth, near = _nearest(s, t, crowd_s, crowd_t)
    back, _ = _nearest(t, s, crowd_t, crowd_s)
    ours: Indices = np.flatnonzero(back[forth] == np.arange(len(s)))
    return float(near[ours].sum()) / len(s), ours, forth[ours]


_ROWS = 1024
"""Words that are compared with all others at a time."""


def _crowd(s: FloatArray, t: FloatArray, neighbours: int) -> FloatArray:
    """(source word,): mean cosine to the nearest words of the other side."""
    parts = []
    for first in range(0, len(s), _ROWS):
        cosines = s[first : first + _ROWS] @ t.T
        cosines.partition(len(t) - neighbours, axis=1)
        parts.append(cosines[:, -neighbours:].mean(axis=1))
    crowd: FloatArray = np.concatenate(parts)
    return crowd


def _nearest(
    s: FloatArray, t: FloatArray, crowd_s: FloatArray, crowd_t: FloatArray
) -> tuple[Indices, FloatArray]:
    """The nearest of the other side for each word, and its CSLS."""
    places, values = [], []
    for first in range(0, len(s), _ROWS):
        csls = 2 * s[first : first + _ROWS] @ t.T - crowd_t
        place = csls.argmax(axis=1)
        places.append(place)
        values.append(csls[np.arange(len(csls)), place] - crowd_s[first : first + _ROWS])
    return np.concatenate(places), np.concatenate(values)


# --- the synthetic corpus's own spaces -------------------------------------------------------

N_SENTENCES = 4000
SYNTH_SIZE = 16
"""Values of the vectors of `synth_spaces`."""
_SEED = 20_210
"""Of the sentences that the spaces are made from; no corpus has it by default."""
_TOPICS = (0.34, 0.26, 0.18, 0.13, 0.09)
"""Shares of the emotions in those sentences: unlike, so that no two clusters are alike."""
_CONTEXT_NOISE, _SOUND_SHARE = 0.1, 0.2
"""In the speech space, relative to the spread of the text space's vectors."""


@functools.cache
def synth_spaces() -> tuple[Space, Space]:
    """A text space and a speech space of the synthetic corpus's words.

    The text space holds words by the company they keep in sentences of the same grammar: positive
    pointwise mutual information, singular value decomposition. The speech space, a stand-in for
    Speech2Vec, holds the same with noise and with a part from the sound of the word, under a
    rotation that nobody is told. Both are the same in every process.
    """
    words = tuple([*COMMON, *(w for group in LEANING.values() for w in group)])
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
