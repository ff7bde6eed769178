"""What a trained network says of some utterances: scores, traces and embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from serlab.bench.contracts import FloatArray
from serlab.bench.data import Batch, Items, Place
from serlab.bench.network import Output


def predict(
    network: nn.Module,
    items: Items,
    device: torch.device,
    *,
    stage: str = "",
    batch_size: int = 64,
    bf16: bool = False,
) -> FloatArray:
    """What the network says of the scored utterances, in their order.

    Probabilities (utterance, class), means over segments; or values (row, dimension) of the
    frames of one utterance after another, means over segments that overlap.

    Args:
        network: in whatever mode; left in that of a prediction.
        items: what is predicted.
        device: where the network is.
        stage: the stage that is being trained; empty asks for what the whole network says.
        batch_size: segments at a time; dialogues are not cut.
        bf16: computes in bfloat16.
    """
    found = outputs(network, items, device, stage=stage, batch_size=batch_size, bf16=bf16)
    if items.rated:
        return _values(items, found)
    total = np.zeros((len(items.utterances), len(items.labels)))
    count = np.zeros((len(items.utterances), 1))
    for chosen, output, _ in found:
        where = [index for index, _ in chosen]
        np.add.at(total, where, output.scores.float().softmax(dim=1).cpu().numpy())
        np.add.at(count, where, 1)
    means: FloatArray = (total / count)[: len(items.scored)].astype(np.float32)
    return means


def embed(network: nn.Module, items: Items, device: torch.device) -> FloatArray:
    """The vectors that an adversary acts on, or would: (utterance, value), means over segments."""
    total: dict[int, FloatArray] = {}
    count: dict[int, int] = {}
    for chosen, output, _ in outputs(network, items, device):
        vectors = output.embedding if output.opposed is None else output.opposed
        held = vectors.float().cpu().numpy()
        for (index, _), values in zip(chosen, held, strict=True):
            total[index] = total[index] + values if index in total else values
            count[index] = count.get(index, 0) + 1
    return np.stack([total[i] / count[i] for i in range(len(items.scored))])


def _values(items: Items, found: Iterator[tuple[Sequence[Place], Output, Batch]]) -> FloatArray:
    """(row, dimension): the frames of the scored utterances."""
    assert items.rated is not None
    lengths = [len(items.rated.traces.get(u.id, ())) for u in items.utterances]
    ends = np.cumsum(lengths)
    total = np.zeros((int(ends[-1]), len(items.labels)))
    count = np.zeros((len(total), 1))
    for chosen, output, batch in found:
        for row, (index, start) in enumerate(chosen):
            real = int(batch.trace_mask[row].sum())
            first = int(ends[index]) - lengths[index] + round(start * items.rated.rate_hz)
            total[first : first + real] += output.scores[row, :real].float().cpu().numpy()
            count[first : first + real] += 1
    n_rows = sum(lengths[: len(items.scored)])
    means: FloatArray = (total[:n_rows] / count[:n_rows]).astype(np.float32)
    return means


def outputs(
    network: nn.Module,
    items: Items,
    device: torch.device,
    *,
    stage: str = "",
    batch_size: int = 64,
    bf16: bool = False,
) -> Iterator[tuple[Sequence[Place], Output, Batch]]:
    """What the network gives for all segments, batch by batch; arguments as of `predict`."""
    network.eval()
    for chosen in _in_order(items, batch_size):
        batch = items.batch(chosen, stage=stage).to(device)
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output = network(batch)
        yield chosen, output, batch


def _in_order(items: Items, size: int) -> Iterator[list[Place]]:
    """All segments in batches: those of a dialogue, or of like length, stand together."""
    chosen = items.starts(items.segments.test_hop_s)
    if items.segments.dialogues:
        held: list[Place] = []
        for dialogue in items.dialogues(chosen):
            held += dialogue
            if len(held) >= size:
                yield held
                held = []
        if held:
            yield held
        return
    if not items.segments.length_s:
        chosen.sort(key=lambda pair: items.duration_s(items.utterances[pair[0]]))
    for start in range(0, len(chosen), size):
        yield chosen[start : start + size]
