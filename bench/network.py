"""What a network takes and gives: the contract between the systems and the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from torch import Tensor

from serlab.bench.data import Batch


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
    """Whatever else can be looked at, such as attention maps (item, frequency, time)."""

    def float(self) -> Output:
        """The same in single precision, as losses want it."""
        extras = {n: x.float() if x.is_floating_point() else x for n, x in self.extras.items()}
        return Output(
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
