"""Frame pooling: how the frames of a segment become one vector.

Every option takes ``n_in`` and gives a module ``(frames (item, frame, value), mask (item, frame))
-> (vector (item, n_out), weights (item, frame))`` with ``n_out`` as attribute. The weights are
None where all frames count alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from serlab.models.components.masks import masked_mean, masked_softmax
from serlab.models.variant import OPTIONS

Pooled = tuple[Tensor, Tensor | None]


@OPTIONS.register("frame_pooling.mean", source="a plain CNN", tag="I")
class Mean(nn.Module):
    """The mean of the real frames."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.n_out = n_in

    def forward(self, frames: Tensor, mask: Tensor) -> Pooled:
        """The mean."""
        return masked_mean(frames, mask), None


@OPTIONS.register("frame_pooling.max", source="a plain CNN", tag="I")
class Max(nn.Module):
    """The largest value of each channel over the real frames; the weights count where it is."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.n_out = n_in

    def forward(self, frames: Tensor, mask: Tensor) -> Pooled:
        """The maxima and the share of the channels that has its maximum in each frame."""
        held = frames.masked_fill(~mask.unsqueeze(-1), -torch.inf)
        vector, where = held.max(dim=1)
        hits = torch.zeros_like(frames[..., 0])
        hits = hits.scatter_add(1, where, torch.ones_like(vector))
        return vector, hits / frames.shape[2]


@OPTIONS.register("frame_pooling.attention", source="Mirsamadi et al., ICASSP 2017", tag="A")
class Attention(nn.Module):
    """A mean weighted by a softmax over the real frames of one linear score."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.n_out = n_in
        self.score = nn.Linear(n_in, 1, bias=False)

    def forward(self, frames: Tensor, mask: Tensor) -> Pooled:
        """The weighted mean and its weights."""
        weights = masked_softmax(self.score(frames).squeeze(-1), mask)
        return torch.einsum("bt,btv->bv", weights, frames), weights
