"""Deep branch: a convolutional network that gives one vector for a short segment of an image.

After Satt, Rozenberg and Hoory (Interspeech 2017), as Gao et al. (ICASSP 2021) do; the sizes are
ours [I]. A system without this branch is one whose fusion takes its second vector alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

N_LAYERS = 3
SHORTEST = 2**N_LAYERS
"""Least frames and bins: each layer halves both."""


class DeepBranch(nn.Module):
    """Three 3x3 convolutions with batch normalisation, ReLU and 2x2 max pooling, then linear.

    Args:
        n_frames: frames of a segment, at least `SHORTEST`.
        n_bins: values of a frame, at least `SHORTEST`.
        channels: of the first layer; each further one has twice as many.
        width: values of the vector.
        dropout: share of the vector's values.
    """

    def __init__(
        self, n_frames: int, n_bins: int, *, channels: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        before = 1
        for layer in range(N_LAYERS):
            after = channels * 2**layer
            self.layers.append(nn.Conv2d(before, after, 3, padding=1, bias=False))
            self.layers.append(nn.BatchNorm2d(after))
            self.layers.append(nn.MaxPool2d(2))
            self.layers.append(nn.ReLU())  # after the pooling it gives the same for a quarter
            before = after
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        places = (n_frames // SHORTEST) * (n_bins // SHORTEST)
        self.vector = nn.Sequential(
            nn.Linear(before * places, width), nn.ReLU(), nn.Dropout(dropout)
        )

    def forward(self, segments: Tensor) -> Tensor:
        """(segment, frame, bin) to (segment, width)."""
        vectors: Tensor = self.vector(self.layers(segments.unsqueeze(1)).flatten(1))
        return vectors
