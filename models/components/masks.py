"""Means, softmaxes and lengths that leave masked frames out; shared by the systems."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the real frames: (item, frame, value) and (item, frame) give (item, value).

    An item without a real frame has 0.
    """
    weights = mask.to(x.dtype).unsqueeze(-1)
    total: Tensor = torch.where(mask.unsqueeze(-1), x, 0.0).sum(dim=1)
    return total / weights.sum(dim=1).clamp(min=1.0)


def masked_softmax(logits: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Softmax over the real places; 0 at the others, and everywhere where none is real."""
    held = logits.float().masked_fill(~mask, -torch.inf)
    held = held - held.amax(dim=dim, keepdim=True).clamp(min=-1e30).detach()
    weights = held.exp() * mask
    return weights / weights.sum(dim=dim, keepdim=True).clamp(min=1e-30)


def fit_frames(x: Tensor, n_frames: int) -> Tensor:
    """(item, frame, ...) cut, or padded with zeros (False), to so many frames."""
    if x.shape[1] >= n_frames:
        return x[:, :n_frames]
    return F.pad(x, (0, 0) * (x.dim() - 2) + (0, n_frames - x.shape[1]))


def whole_blocks(x: Tensor, mask: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Frames in blocks of ``size``, filled with zeros at the end of each item.

    (item, frame, value) and (item, frame) give (item, block, size, value) and (item, block): a
    block is real if its first frame is.
    """
    b, t, v = x.shape
    n_blocks = -(-t // size)
    x = F.pad(x * mask.unsqueeze(-1), (0, 0, 0, n_blocks * size - t))
    mask = F.pad(mask, (0, n_blocks * size - t))
    return x.reshape(b, n_blocks, size, v), mask[:, ::size]


def whole_pools(image: Tensor, mask: Tensor, step: int, spare: int = 0) -> tuple[Tensor, Tensor]:
    """Images (item, frame, band) and masks made longer, so that no pooling straddles an end.

    Every utterance is filled with zeros to whole poolings of ``step`` frames, in whatever
    mini-batch it is, so that its scores do not depend on the batch. The image has ``spare``
    frames more than the mask, for kernels that lose them again.
    """
    b, t, _ = image.shape
    frames = -(-t // step) * step
    image = F.pad(image * mask.unsqueeze(-1), (0, 0, 0, frames - t + spare))
    blocks = F.pad(mask, (0, frames - t)).reshape(b, -1, step).any(dim=2)
    return image, blocks.repeat_interleave(step, dim=1)
