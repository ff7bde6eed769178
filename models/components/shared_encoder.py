"""Shared encoder: one network for filterbank maps and for frames of a face.

Every option takes ``(option, settings)``, ``option`` giving what implements the variant's option
of a slot, and gives a module from maps (map, time, frequency) to vectors (map, value), with the
number of values as ``n_values``. A map must have ``settings.n_bands`` columns.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serlab.models.components.spatial_attention import SpatialAttention
from serlab.models.components.temporal_attention import Transformer, TransformerSettings
from serlab.models.variant import OPTIONS

Load = Callable[[str], Any]  # a class or function, as the slot says
TRUNK = (32, 64, 128, 256)
"""Channels of the four stages of MDSCM [C]."""
RESNET = (64, 128, 256, 512)
"""Channels of the four stages of ResNet-18."""
WIDE = 8
"""Layers of ResNet-18, of 12, that are faster with channels last: large maps of few channels."""
STRIDE = 16
"""Frames and bands from one place of MDSCM's last map to the next; the first is about frame 0."""


class EncoderSettings(TransformerSettings, Protocol):
    """The hyperparameters that an encoder reads."""

    width: float
    encoder_width: float
    dropout: float
    reduction: int
    n_bands: int


def _scaled(widths: tuple[int, ...], factor: float) -> list[int]:
    """Channels times a factor, in fours, so that four heads can share them."""
    return [max(4, 4 * round(w * factor / 4)) for w in widths]


@OPTIONS.register("shared_encoder.mdscm", source="AV4SER, Domain_MDSCM.pth", tag="C")
class Trunk(nn.Module):
    """MDSCM: two convolutions, two halving blocks, then spatial, channel and temporal attention.

    A map of 224 x 40 gives 14 steps of 256 x 3 values, whose mean is the vector.
    """

    def __init__(self, option: Load, settings: EncoderSettings) -> None:
        super().__init__()
        first, second, third, last = _scaled(TRUNK, settings.width)
        self.stem = nn.Sequential(
            *_stem_layer(1, first, kernel=3),
            *_stem_layer(first, second, kernel=3),
        )
        self.blocks = nn.ModuleList(
            [_Block(option, second, third, False), _Block(option, third, last, True)]
        )
        self.dropout = nn.Dropout(settings.dropout)
        channel = option("channel_attention")(last, settings.reduction)
        self.attention = option("attention_order")(channel, option("spatial_attention")())
        self.n_values = last * -(-settings.n_bands // 16)
        self.temporal = option("temporal_attention")(self.n_values, settings)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, maps: Tensor) -> Tensor:
        """A vector a map."""
        vectors: Tensor = self.temporal(_steps(self.attention(self._places(maps)))).mean(dim=1)
        return vectors

    def _places(self, maps: Tensor) -> Tensor:
        """The last map, (map, channel, time, frequency)."""
        x: Tensor = self.stem(_image(maps))
        for block in self.blocks:
            x = self.dropout(block(x))
        return x

    @property
    def attends(self) -> bool:
        """Whether places or steps are weighed."""
        return isinstance(self.temporal, Transformer) or any(
            isinstance(part, SpatialAttention) for part in self.attention
        )

    def looks(self, maps: Tensor) -> Tensor:
        """Spatial times temporal attention on the frames and bands of the maps, as far as it has
        either: (map, time, frequency).
        """
        x = self._places(maps)
        weights = torch.ones_like(x[:, 0])
        for part in self.attention:
            weights = part.gates(x)[:, 0] if isinstance(part, SpatialAttention) else weights
            x = part(x)
        if isinstance(self.temporal, Transformer):
            weights = weights * self.temporal.looks(_steps(x)).unsqueeze(2)
        for dim in (1, 2):
            about = torch.arange(maps.shape[dim], device=x.device).add(STRIDE // 2) // STRIDE
            weights = weights.index_select(dim, about.clamp(max=weights.shape[dim] - 1))
        return weights


class _Block(nn.Module):
    """Two convolutions and a max pooling, beside a shortcut; it may open with a ReLU."""

    def __init__(self, option: Load, n_in: int, n_out: int, opens: bool) -> None:
        super().__init__()
        convolution = option("convolution")
        self.opens = opens
        self.body = nn.Sequential(
            convolution(n_in, n_out),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            convolution(n_out, n_out),
            nn.BatchNorm2d(n_out),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.residual = option("residual")(n_in, n_out)

    def forward(self, x: Tensor) -> Tensor:
        rectified = F.relu(x) if self.opens else x
        joined: Tensor = self.body(rectified) + self.residual(x, rectified)
        return joined


def _steps(x: Tensor) -> Tensor:
    """(map, channel, time, frequency) as (map, step, value)."""
    return x.transpose(1, 2).flatten(2)


def _stem_layer(n_in: int, n_out: int, kernel: int) -> tuple[nn.Module, ...]:
    """A convolution that halves the map, batch normalisation and ReLU."""
    half = nn.Conv2d(n_in, n_out, kernel, stride=2, padding=kernel // 2, bias=False)
    return half, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)


def _image(maps: Tensor) -> Tensor:
    """Maps with a channel, (map, 1, time, frequency), its stride that of the layout channels last.

    A convolution chooses its layout by strides, and those of ``unsqueeze(1)`` say channels first.
    """
    return maps.unsqueeze(3).permute(0, 3, 1, 2)


@OPTIONS.register("shared_encoder.resnet18", source="AV4SER; He et al., CVPR 2016", tag="C")
class ResNet18(nn.Module):
    """ResNet-18 with a 7x7 first layer for one channel, its weights drawn after He et al. (2015).

    11.17 million parameters at the full width; what pre-training the authors' code has is
    commented out.
    """

    def __init__(self, option: Load, settings: EncoderSettings) -> None:
        super().__init__()
        widths = _scaled(RESNET, settings.encoder_width)
        stem = (*_stem_layer(1, widths[0], kernel=7), nn.MaxPool2d(3, stride=2, padding=1))
        first = (_Basic(widths[0], widths[0], 1), _Basic(widths[0], widths[0], 1))
        later = [b for n, m in pairwise(widths) for b in (_Basic(n, m, 2), _Basic(m, m, 1))]
        self.layers = nn.Sequential(*stem, *first, *later)
        self.n_values = widths[-1]
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.layers[:WIDE].to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, maps: Tensor) -> Tensor:
        """A vector a map: the mean over its places."""
        wide = self.layers[:WIDE](_image(maps))
        vectors: Tensor = self.layers[WIDE:](wide.contiguous()).mean(dim=(2, 3))
        return vectors


class _Basic(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is linear where the shape changes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride > 1:
            linear = nn.Conv2d(n_in, n_out, 1, stride=stride, bias=False)
            self.shortcut = nn.Sequential(linear, nn.BatchNorm2d(n_out))

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.body(x).add_(self.shortcut(x)).relu_()
        return joined
