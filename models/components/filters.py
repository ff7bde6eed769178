"""Filters: the shapes of the first layer's kernels, frequency x time.

Each option takes the numbers of input and output channels and two shapes, that of the
frequency-shaped and that of the time-shaped kernels, and gives a layer whose output is a list of
maps, one for each group of channels. Padding is half the kernel, rounded down on both sides, so
that even extents lose one row or column; where two groups differ by one, the longer is cut.
"""

from __future__ import annotations

from torch import Tensor, nn

from serlab.models.variant import OPTIONS

Shape = tuple[int, int]


def _convolution(n_in: int, n_out: int, shape: Shape) -> nn.Conv2d:
    padding = ((shape[0] - 1) // 2, (shape[1] - 1) // 2)
    return nn.Conv2d(n_in, n_out, shape, padding=padding)


@OPTIONS.register("filters.both", source="Li et al., Interspeech 2018", tag="N")
class Both(nn.Module):
    """Half of the channels from frequency-shaped, half from time-shaped kernels."""

    def __init__(self, n_in: int, n_out: int, frequency: Shape, time: Shape) -> None:
        super().__init__()
        self.frequency = _convolution(n_in, n_out // 2, frequency)
        self.time = _convolution(n_in, n_out - n_out // 2, time)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Both groups' maps, of one size."""
        a, b = self.frequency(x), self.time(x)
        f, t = min(a.shape[2], b.shape[2]), min(a.shape[3], b.shape[3])
        return [a[:, :, :f, :t], b[:, :, :f, :t]]


class One(nn.Module):
    """All channels from kernels of one shape."""

    def __init__(self, n_in: int, n_out: int, shape: Shape) -> None:
        super().__init__()
        self.only = _convolution(n_in, n_out, shape)

    def forward(self, x: Tensor) -> list[Tensor]:
        """The one group's maps."""
        return [self.only(x)]


@OPTIONS.register("filters.frequency", source="Li et al., Interspeech 2018", tag="N")
def frequency(n_in: int, n_out: int, frequency: Shape, time: Shape) -> nn.Module:
    """All channels from frequency-shaped kernels."""
    return One(n_in, n_out, frequency)


@OPTIONS.register("filters.time", source="Li et al., Interspeech 2018", tag="N")
def time(n_in: int, n_out: int, frequency: Shape, time: Shape) -> nn.Module:
    """All channels from time-shaped kernels."""
    return One(n_in, n_out, time)


@OPTIONS.register("filters.square", source="ours", tag="I")
def square(n_in: int, n_out: int, frequency: Shape, time: Shape) -> nn.Module:
    """All channels from square kernels whose area is nearest the mean of the two shapes'."""
    area = (frequency[0] * frequency[1] + time[0] * time[1]) / 2
    side = max(1, round(area**0.5))
    return One(n_in, n_out, (side, side))
