"""Spatial attention: how much each place of a map counts.

Every option takes ``()`` and gives a module from maps (map, channel, time, frequency) to maps of
the same shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from serlab.models.variant import OPTIONS


@OPTIONS.register("spatial_attention.none", source="ours", tag="I")
class NoSpatialAttention(nn.Identity):
    """The map as it is."""


@OPTIONS.register("spatial_attention.mdscm", source="AV4SER; Woo et al., ECCV 2018", tag="C")
class SpatialAttention(nn.Module):
    """A gate a place, by a 3x3 convolution of the channels' maximum and mean there."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """The map, each place times a number in (0, 1)."""
        return x * self.gates(x)

    def gates(self, x: Tensor) -> Tensor:
        """The numbers, (map, 1, time, frequency)."""
        seen = torch.stack([x.amax(dim=1), x.mean(dim=1)], dim=1)
        return torch.sigmoid(self.convolution(seen))
