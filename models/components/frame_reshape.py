"""Frame reshape: how a convolutional network over samples gives one vector for each frame.

Every option is made as ``option(n_samples, settings)``, ``n_samples`` those of a frame, has
``n_values``, and maps frames (item, frame, sample) and their mask (item, frame) to (item, frame,
n_values). Convolutions keep the length, poolings leave out a last window that is not whole.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serlab.bench.errors import BadValue
from serlab.models.variant import OPTIONS

WIDTHS = (50, 125, 250)
"""Channels of the three layers [C]."""


class RawSettings(Protocol):
    """The hyperparameters that are read here."""

    width: float
    first_kernel: int
    kernel: int
    first_pool: int
    pool: int
    batch_norm: bool
    dropout: float


class Layer(nn.Module):
    """Convolution, batch normalisation if asked for, ReLU, max pooling, dropout."""

    def __init__(
        self, n_in: int, n_out: int, kernel: int, pool: int, settings: RawSettings
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(n_in, n_out, kernel, bias=not settings.batch_norm)
        self.margins = ((kernel - 1) // 2, kernel // 2)
        self.norm = nn.BatchNorm1d(n_out) if settings.batch_norm else nn.Identity()
        self.pool = pool
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(item, channel, step) to fewer steps; the order of ReLU and pooling does not matter."""
        pooled = F.max_pool1d(self.norm(self.conv(F.pad(x, self.margins))), self.pool).relu()
        dropped: Tensor = self.dropout(pooled)
        return dropped


class Convolutions(nn.Module):
    """The three layers that the options share.

    Raises:
        BadValue: the poolings leave nothing of a frame.
    """

    n_values: int

    def __init__(self, n_samples: int, settings: RawSettings) -> None:
        super().__init__()
        widths = [1, *(max(2, round(w * settings.width)) for w in WIDTHS)]
        kernels = (settings.first_kernel, settings.kernel, settings.kernel)
        pools = (settings.first_pool, settings.pool, settings.pool)
        self.n_samples, self.n_channels, self.pooled = n_samples, widths[-1], math.prod(pools)
        if self.pooled > n_samples:
            raise BadValue("pool", settings.pool, f"poolings of at most {n_samples} samples in all")
        layers = zip(pairwise(widths), kernels, pools, strict=True)
        self.layers = nn.ModuleList([Layer(a, b, k, p, settings) for (a, b), k, p in layers])


@OPTIONS.register("frame_reshape.aligned", source="ours, where the code cuts elsewhere", tag="I")
class Aligned(Convolutions):
    """Each frame is convolved on its own; its steps and channels are its vector."""

    def __init__(self, n_samples: int, settings: RawSettings) -> None:
        super().__init__(n_samples, settings)
        steps = n_samples
        for layer in self.layers:
            steps //= int(layer.pool)  # type: ignore[arg-type]  # attributes have no type
        self.n_values = steps * self.n_channels

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """As above; only real frames are looked at."""
        x = frames[mask].unsqueeze(1)
        for layer in self.layers:
            x = layer(x)
        values = x.new_zeros(*mask.shape, self.n_values)
        values[mask] = x.flatten(1)
        return values


@OPTIONS.register("frame_reshape.native", source="Tzirakis et al., ICASSP 2021, code", tag="C")
class Native(Convolutions):
    """The whole sequence is convolved at once, and all its values are cut into frames.

    The values lie channel by channel within step by step. Where a frame's samples are no multiple
    of the poolings' product (4,410 and 250 give 17.64 steps), a frame's values begin within a
    step, at another channel in each frame. Where not even the values come out whole, frames
    begin at the next lower one.
    """

    def __init__(self, n_samples: int, settings: RawSettings) -> None:
        super().__init__(n_samples, settings)
        self.n_values = -(-n_samples * self.n_channels // self.pooled)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """As above; steps that are not wholly within an item's real frames are 0."""
        x = (frames * mask.unsqueeze(-1)).flatten(1).unsqueeze(1)
        n_real = mask.sum(dim=1, keepdim=True) * self.n_samples
        pooled = 1
        for layer in self.layers:
            x = layer(x)
            pooled *= int(layer.pool)  # type: ignore[arg-type]  # as above
            ends = (torch.arange(x.shape[2], device=x.device) + 1) * pooled
            x = x * (ends <= n_real).unsqueeze(1)
        flat = x.transpose(1, 2).flatten(1)
        step, n_frames = self.n_samples * self.n_channels, mask.shape[1]
        end = (n_frames - 1) * step // self.pooled + self.n_values
        flat = F.pad(flat, (0, max(0, end - flat.shape[1])))
        starts = torch.arange(n_frames, device=flat.device) * step // self.pooled
        places = starts[:, None] + torch.arange(self.n_values, device=flat.device)
        return flat[:, places] * mask.unsqueeze(-1)
