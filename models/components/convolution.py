"""Convolution: the 3x3 layers of a trunk.

Every option takes ``(n_in, n_out)`` and gives a module from maps (map, n_in, time, frequency) to
maps of n_out channels and the same size, without a bias.
"""

from __future__ import annotations

from torch import nn

from serlab.models.variant import OPTIONS


@OPTIONS.register("convolution.separable", source="AV4SER; Chollet, CVPR 2017", tag="C")
class Separable(nn.Sequential):
    """A 3x3 filter on each channel by itself, then a 1x1 mixture of channels."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_in, 3, padding=1, groups=n_in, bias=False),
            nn.Conv2d(n_in, n_out, 1, bias=False),
        )


@OPTIONS.register("convolution.full", source="ours: what separable replaces", tag="I")
class Full(nn.Conv2d):
    """An ordinary 3x3 convolution: about nine times the weights."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(n_in, n_out, 3, padding=1, bias=False)
