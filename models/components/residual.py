"""Residual: what is added to the output of a block that halves a map.

Every option takes ``(n_in, n_out)`` and gives a module ``(x, rectified) -> shortcut``, where ``x``
is what enters the block (map, n_in, time, frequency) and ``rectified`` is it after the block's
opening ReLU. The shortcut is (map, n_out, time / 2, frequency / 2), or 0.
"""

from __future__ import annotations

from torch import Tensor, nn

from serlab.models.variant import OPTIONS


@OPTIONS.register("residual.none", source="ours", tag="I")
class NoShortcut(nn.Module):
    """Nothing is added."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()

    def forward(self, x: Tensor, rectified: Tensor) -> Tensor:
        """Zero."""
        return x.new_zeros(())


@OPTIONS.register("residual.normal", source="Chollet, CVPR 2017; ours", tag="I")
class Shortcut(nn.Module):
    """Every second place of what enters, by a 1x1 convolution and batch normalisation."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(n_in, n_out, 1, stride=2)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor, rectified: Tensor) -> Tensor:
        """The shortcut of what enters the block."""
        return self.shortcut(x)

    def shortcut(self, x: Tensor) -> Tensor:
        """Half as many places, n_out channels."""
        short: Tensor = self.norm(self.convolution(x))
        return short


@OPTIONS.register("residual.native", source="AV4SER", tag="X")
class RectifiedShortcut(Shortcut):
    """As `Shortcut`, of the rectified map: the authors' opening ReLU overwrites its input."""

    def forward(self, x: Tensor, rectified: Tensor) -> Tensor:
        """The shortcut of what the block's opening ReLU leaves."""
        return self.shortcut(rectified)
