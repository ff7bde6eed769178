"""Temporal attention: what the time steps within one map tell each other.

Every option takes ``(n_values, settings)`` and gives a module from (map, step, value) to the same
shape. A map has no padded steps, so there is no mask.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from serlab.bench.errors import BadValue
from serlab.models.variant import OPTIONS


class TransformerSettings(Protocol):
    """The hyperparameters that are read here."""

    heads: int
    feedforward: int
    layers: int
    attention_dropout: float


@OPTIONS.register("temporal_attention.none", source="ours", tag="I")
class NoTemporalAttention(nn.Identity):
    """The steps as they are."""

    def __init__(self, n_values: int, settings: TransformerSettings) -> None:
        super().__init__()


@OPTIONS.register("temporal_attention.transformer", source="AV4SER", tag="C")
class Transformer(nn.Module):
    """A post-norm transformer encoder without positions: it sees the steps as a set."""

    def __init__(self, n_values: int, settings: TransformerSettings) -> None:
        super().__init__()
        if n_values % settings.heads:
            raise BadValue("heads", settings.heads, f"a divisor of the {n_values} values of a step")
        layer = nn.TransformerEncoderLayer(
            n_values,
            settings.heads,
            settings.feedforward,
            settings.attention_dropout,
            batch_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        """The steps, each after a look at the others."""
        seen: Tensor = self.encoder(x)
        return seen

    def looks(self, x: Tensor) -> Tensor:
        """How much the mean of what comes out looks at each step, (map, step); rows sum to 1.

        Attention rollout (Abnar and Zuidema, ACL 2020): a layer's weights are the mean over its
        heads, half of what it gives comes past it by the shortcut, and layers are multiplied.
        """
        rows = torch.full((len(x), 1, x.shape[1]), 1 / x.shape[1], device=x.device)
        found = []
        for layer in self.encoder.layers:
            attention = layer.self_attn
            found.append(attention(x, x, x, need_weights=True)[1])
            x = layer(x)
        for weights in reversed(found):
            rows = (rows + rows @ weights) / 2
        return rows.squeeze(1)
