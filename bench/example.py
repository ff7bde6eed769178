"""Noise in the form that a network is given: for sizes, meters and tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from serlab.bench.contracts import Sizes
from serlab.bench.data import Batch
from serlab.bench.seeds import generator


def example_batch(
    sizes: Sizes,
    seconds: Sequence[float],
    *,
    inputs: Sequence[str] = (),
    padded_s: float = 0.0,
    stream: str = "train",
    trace_rate_hz: float = 10.0,
) -> Batch:
    """Noise of given lengths, as a batch.

    Item k is the same whatever the others are and however far it is padded; two items follow
    each other in a dialogue.

    Args:
        sizes: widths and rates of the inputs.
        seconds: length of each item.
        inputs: names of the inputs that it has; all by default.
        padded_s: length that all are padded to; the longest by default.
        stream: what the batch says that it is from.
        trace_rate_hz: frames of the continuous labels per second, where they are asked.
    """
    longest = max(padded_s, *seconds)
    names = inputs or tuple(sizes.n_features)
    held = {n: _noise(sizes.n_features[n], sizes.rate_hz[n], seconds, longest) for n in names}
    rated = sizes.target == "traces"
    traces, trace_mask = _noise(sizes.n_classes, trace_rate_hz, seconds, longest)
    index = torch.arange(len(seconds))
    n = 0 if rated else sizes.n_classes
    return Batch(
        inputs={name: x for name, (x, _) in held.items()},
        masks={name: mask for name, (_, mask) in held.items()},
        targets=torch.eye(n)[index % n] if n else torch.zeros(len(index), 0),
        traces=traces.tanh() if rated else traces[:, :0],
        trace_mask=trace_mask if rated else trace_mask[:, :0],
        speakers=index % sizes.n_speakers,
        corpora=index % sizes.n_corpora,
        dialogues=index // 2,
        turns=index % 2,
        items=index,
        class_weights=torch.ones(n),
        stream=stream,
    )


def _noise(
    width: int, rate: float, seconds: Sequence[float], longest: float
) -> tuple[Tensor, Tensor]:
    """(item, frame, value) and (item, frame); one frame where the rate is 0."""
    lengths = [max(1, round(s * rate)) if rate else 1 for s in seconds]
    n_frames = max(1, round(longest * rate)) if rate else 1
    values, mask = torch.zeros(len(seconds), n_frames, width), torch.zeros(len(seconds), n_frames)
    for row, length in enumerate(lengths):
        drawn = generator(row, "example", str(width)).standard_normal((length, width))
        values[row, :length] = torch.from_numpy(drawn.astype(np.float32))
        mask[row, :length] = 1
    return values, mask > 0
