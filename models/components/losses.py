"""Loss terms that several systems share."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from serlab.bench.data import Batch


def emotion_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy of (item, class) scores to the batch's targets, by class weights."""
    terms = -(batch.targets * F.log_softmax(scores.float(), dim=1)) * batch.class_weights
    return terms.sum() / (batch.targets * batch.class_weights).sum()
