"""Augmentation of training batches: masks, noise and mixing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from serlab.bench.contracts import Augmentation
from serlab.bench.data import Batch


def augment(
    batch: Batch, how: Augmentation, rates: Mapping[str, float], rng: np.random.Generator
) -> Batch:
    """The batch with training-time masks, noise and mixing; what is zero is left out."""
    inputs = dict(batch.inputs)
    targets = batch.targets
    for name, x in batch.inputs.items():
        rate = rates[name]
        if how.noise:
            noise = rng.standard_normal(x.shape, dtype=np.float32) * np.float32(how.noise)
            x = (x + torch.from_numpy(noise)) * batch.masks[name].unsqueeze(-1)
        if rate:
            x = x * _kept(x, how, rate, rng)
        inputs[name] = x
    if how.mixup:
        weight = float(rng.beta(how.mixup, how.mixup))
        weight = max(weight, 1 - weight)
        other = torch.from_numpy(rng.permutation(len(targets)))
        inputs = {k: weight * x + (1 - weight) * x[other] for k, x in inputs.items()}
        masks = {k: m | m[other] for k, m in batch.masks.items()}
        targets = weight * targets + (1 - weight) * targets[other]
        return replace(batch, inputs=inputs, masks=masks, targets=targets)
    return replace(batch, inputs=inputs)


def _kept(x: Tensor, how: Augmentation, rate: float, rng: np.random.Generator) -> Tensor:
    """(item, frame, value): 0 under a mask (the mean of normalised features), 1 elsewhere."""
    b, t, v = x.shape
    kept = np.ones((b, t, v), np.float32)
    for row in range(b):
        for _ in range(how.time_masks):
            width = int(rng.integers(0, round(how.time_mask_s * rate) + 1))
            start = int(rng.integers(0, max(1, t - width + 1)))
            kept[row, start : start + width] = 0
        for _ in range(how.frequency_masks):
            width = int(rng.integers(0, round(how.frequency_mask_share * v) + 1))
            start = int(rng.integers(0, max(1, v - width + 1)))
            kept[row, :, start : start + width] = 0
    return torch.from_numpy(kept)
