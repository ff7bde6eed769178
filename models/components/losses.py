"""Loss terms that several systems share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from serlab.bench.data import Batch


def emotion_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy of (item, class) scores to the batch's targets, by class weights.

    Items without a label have no part in it; 0 where no item has one.
    """
    terms = -(batch.targets * F.log_softmax(scores.float(), dim=1)) * batch.class_weights
    return terms.sum() / (batch.targets * batch.class_weights).sum().clamp(min=1e-12)


def ccc_loss(predicted: Tensor, batch: Batch, weights: Sequence[float]) -> Tensor:
    """Sum over dimensions of weight x (1 - CCC), each over all rated frames of the batch.

    Args:
        predicted: (item, frame, dimension), as ``batch.traces``.
        batch: with traces and their mask.
        weights: one a dimension.
    """
    y, x = batch.traces[batch.trace_mask], predicted.float()[batch.trace_mask]
    apart = (y - y.mean(dim=0)), (x - x.mean(dim=0))
    below = (apart[0] ** 2).mean(dim=0) + (apart[1] ** 2).mean(dim=0)
    below = below + (y.mean(dim=0) - x.mean(dim=0)) ** 2
    ccc = 2 * (apart[0] * apart[1]).mean(dim=0) / below.clamp(min=1e-8)
    return (torch.tensor(weights, device=ccc.device, dtype=ccc.dtype) * (1 - ccc)).sum()
