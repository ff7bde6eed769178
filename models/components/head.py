"""Head: how an utterance's vector becomes class scores.

Every option is made as ``option(n_in, n_classes, width=, dropout=)`` and takes (item, value) to
(item, class).
"""

from __future__ import annotations

from torch import nn

from serlab.models.variant import OPTIONS


@OPTIONS.register("head.tanh", source="re-implementation of Lian et al. 2020", tag="R")
def tanh(n_in: int, n_classes: int, *, width: int = 100, dropout: float = 0.0) -> nn.Module:
    """A hidden layer with tanh and dropout."""
    return nn.Sequential(
        nn.Linear(n_in, width), nn.Tanh(), nn.Dropout(dropout), nn.Linear(width, n_classes)
    )


@OPTIONS.register("head.linear", source="ours", tag="I")
def linear(n_in: int, n_classes: int, *, width: int = 100, dropout: float = 0.0) -> nn.Module:
    """One linear map after dropout."""
    return nn.Sequential(nn.Dropout(dropout), nn.Linear(n_in, n_classes))
