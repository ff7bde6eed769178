"""Two clouds of points laid onto each other without knowing which point is which.

The method is that of Conneau et al. (ICLR 2018, "Word translation without parallel data"; code:
MUSE): a mapping W and a discriminator are trained against each other until the mapped source
cannot be told from the target; then orthogonal Procrustes on the points that are each other's
nearest neighbours, several times. Nearness is CSLS: twice the cosine less the mean cosines of
both to their own nearest neighbours. `serlab.bench.vectors` does this to word vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray
from serlab.bench.seeds import torch_seeded

if TYPE_CHECKING:
    from torch import Tensor

Indices = npt.NDArray[np.intp]


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


def rotation(
    source: FloatArray, target: FloatArray, *, seed: int, settings: AlignSettings
) -> FloatArray:
    """The rotation W (value, value) that lays the source's points (point, value) on the target's.

    Points are compared by their direction. Of all restarts the one is kept with the highest mean
    CSLS of mutual nearest neighbours (0 for points that have none), which needs no dictionary.
    """
    import torch

    s, t = _directions(source), _directions(target)
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
    nearest_rotation: FloatArray = (u @ v).astype(np.float32)
    return nearest_rotation


def nearest(source: FloatArray, target: FloatArray, neighbours: int = 10) -> Indices:
    """(source word,): the target word that is nearest by CSLS to each row of the source."""
    s, t = _directions(source), _directions(target)
    places, _ = _nearest(s, t, _crowd(s, t, neighbours), _crowd(t, s, neighbours))
    return places


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
    unit: FloatArray = (vectors / np.maximum(lengths, 1e-8)).astype(np.float32)
    return unit


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
