"""Attention order: which of channel and spatial attention comes first.

Every option takes ``(channel, spatial)``, two modules from maps to maps, and gives one.
"""

from __future__ import annotations

from torch import nn

from serlab.models.variant import OPTIONS


@OPTIONS.register("attention_order.spatial_first", source="AV4SER, forward()", tag="C")
def spatial_first(channel: nn.Module, spatial: nn.Module) -> nn.Module:
    """Places, then channels: what the authors' code does."""
    return nn.Sequential(spatial, channel)


@OPTIONS.register("attention_order.channel_first", source="AV4SER, Figure 1", tag="C")
def channel_first(channel: nn.Module, spatial: nn.Module) -> nn.Module:
    """Channels, then places: what the authors' figure shows."""
    return nn.Sequential(channel, spatial)
