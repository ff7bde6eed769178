"""Depth: what becomes of the fused vectors before they are read in time.

Every option is made as ``option(n_in, width)`` and maps (item, frame, n_in) to (item, frame,
width).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from serlab.models.variant import OPTIONS

N_STREAMS = 3
"""For arousal, valence and liking; nothing but their number tells the streams apart [C]."""


@OPTIONS.register("depth.one_level", source="ours: the fusion is the only one", tag="I")
class OneLevel(nn.Module):
    """One rectified linear map of the fused vector."""

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.stream = nn.Linear(n_in, width)

    def forward(self, x: Tensor) -> Tensor:
        """As above."""
        rectified: Tensor = self.stream(x).relu()
        return rectified


@OPTIONS.register("depth.two_level", source="Tzirakis et al., ICASSP 2021", tag="N")
class TwoLevel(nn.Module):
    """Three streams of the fused vector, fused again: Attention(Attention(a, l), v).

    Each attention weighs its two vectors by a shared linear score over sqrt(width), softmaxed.
    """

    def __init__(self, n_in: int, width: int) -> None:
        super().__init__()
        self.streams = nn.ModuleList([nn.Linear(n_in, width) for _ in range(N_STREAMS)])
        scores = (nn.Linear(width, 1, bias=False) for _ in range(N_STREAMS - 1))
        self.scores = nn.ModuleList(scores)  # no bias: the softmax would cancel it
        self.scale = 1 / math.sqrt(width)

    def forward(self, x: Tensor) -> Tensor:
        """As above."""
        fused: Tensor
        fused, *others = (stream(x).relu() for stream in self.streams)
        for score, other in zip(self.scores, others, strict=True):
            pair = torch.stack([fused, other], dim=2)
            weights = (score(pair) * self.scale).softmax(dim=2)
            fused = (pair * weights).sum(dim=2)
        return fused
