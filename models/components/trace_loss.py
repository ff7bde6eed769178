"""Trace loss: what a network of continuous labels is trained to make small.

Every option is called with predictions (item, frame, dimension), the batch with its traces and
their mask, and a weight for each dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from serlab.bench.data import Batch
from serlab.models.components.losses import ccc_loss
from serlab.models.variant import OPTIONS


@OPTIONS.register("trace_loss.ccc", source="Tzirakis et al., ICASSP 2021", tag="N")
def ccc(predicted: Tensor, batch: Batch, weights: Sequence[float]) -> Tensor:
    """1 - CCC over all rated frames of a mini-batch: the metric itself."""
    return ccc_loss(predicted, batch, weights)


@OPTIONS.register("trace_loss.mse", source="what CCC losses are compared with", tag="I")
def mse(predicted: Tensor, batch: Batch, weights: Sequence[float]) -> Tensor:
    """The mean squared error over all rated frames of a mini-batch."""
    errors = (batch.traces - predicted.float())[batch.trace_mask] ** 2
    return (errors.mean(dim=0) * errors.new_tensor(weights)).sum()
