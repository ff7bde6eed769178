"""Channel attention: how much each channel of a map counts.

Every option takes ``(n_channels, reduction)`` and gives a module from maps
(map, channel, time, frequency) to maps of the same shape.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from serlab.models.variant import OPTIONS


@OPTIONS.register("channel_attention.none", source="ours", tag="I")
class NoChannelAttention(nn.Identity):
    """The map as it is."""

    def __init__(self, n_channels: int, reduction: int) -> None:
        super().__init__()


@OPTIONS.register("channel_attention.mdscm", source="AV4SER; Woo et al., ECCV 2018", tag="C")
class ChannelAttention(nn.Module):
    """A gate a channel, from its mean and its maximum through one shared bottleneck."""

    def __init__(self, n_channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, n_channels // reduction)
        self.bottleneck = nn.Sequential(
            nn.Linear(n_channels, hidden), nn.ReLU(), nn.Linear(hidden, n_channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """The map, each channel times a number in (0, 1)."""
        seen = self.bottleneck(x.mean(dim=(2, 3))) + self.bottleneck(x.amax(dim=(2, 3)))
        return x * torch.sigmoid(seen)[:, :, None, None]
