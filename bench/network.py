"""What a network takes and gives: the contract between the systems and the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from serlab.bench.data import Batch


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Where a network looks in one of its inputs, on a grid as fine as the input's or coarser."""

    weights: Callable[[], Tensor]
    """Gives numbers from 0, whose scale does not matter: (item, step), (item, step, band), or
    (item, class, step, band) where each class is looked for in places of its own. It is called
    where a map is to be kept and nowhere else, so that it costs a training nothing."""
    frames: int = 1
    """Frames of the input in a step; the first step begins with the first frame."""
    bins: int = 1
    """Values of a frame in a band. A step without bands looks at all values alike."""


@dataclass(frozen=True, kw_only=True)
class Streams:
    """How much each of several streams counts, frame by frame."""

    names: tuple[str, ...]
    weights: Tensor
    """(item, frame, stream); rows sum to 1, or to 0 where no frame is."""
    rate_hz: float
    """Frames per second."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a network gives for a batch."""

    scores: Tensor
    """(item, class), before the softmax; (item, frame, dimension) where traces are asked."""
    embedding: Tensor
    """(item, dimension): what the scores are made from."""
    opposed: Tensor | None = None
    """(item, dimension): what an adversary acts on, or would, where it is not the embedding."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """Whatever else the losses or a reader may ask for."""
    attention: Mapping[str, Attention] = field(default_factory=dict)
    """By input: where the network looks in it."""
    streams: Streams | None = None
    """How much each stream counts, where several are fused by weights."""

    def float(self) -> Output:
        """The same in single precision, as losses want it."""
        extras = {n: x.float() if x.is_floating_point() else x for n, x in self.extras.items()}
        return replace(
            self,
            scores=self.scores.float(),
            embedding=self.embedding.float(),
            opposed=None if self.opposed is None else self.opposed.float(),
            extras=extras,
        )


class Network(Protocol):
    """What the loop asks of an ``nn.Module``."""

    def __call__(self, batch: Batch) -> Output:
        """Scores and embedding of a batch."""
        ...

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """The named loss terms of a batch, each a mean over its items.

        A term may be missing where a stream's batch cannot have it.
        """
        ...
