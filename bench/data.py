"""From features to mini-batches: normalisation, segments, dialogues, padding and masks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from serlab.bench.contracts import FloatArray, Segments, Utterance
from serlab.bench.errors import BadValue

Arrays = Mapping[str, Mapping[str, FloatArray]]
"""By input, by utterance id: (frame, value)."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a network is given at once.

    Padded frames are zero and masked out; an utterance may stand in a batch several times, once
    for each of its segments.
    """

    inputs: Mapping[str, Tensor]
    """By input: (item, frame, value), float32."""
    masks: Mapping[str, Tensor]
    """By input: (item, frame), true where a frame is real."""
    targets: Tensor
    """(item, class), rows sum to 1 (one-hot unless smoothed or mixed), or to 0: no label."""
    traces: Tensor
    """(item, frame, dimension), the continuous labels; no frames where classes are asked."""
    trace_mask: Tensor
    """(item, frame), true where a frame is rated."""
    speakers: Tensor
    """(item,) index of the training speaker, -1 for others."""
    corpora: Tensor
    """(item,) index of the corpus, 0 for the tested one."""
    dialogues: Tensor
    """(item,) index of the dialogue within the batch; one of its own where there is none."""
    turns: Tensor
    """(item,) order within the dialogue."""
    items: Tensor
    """(item,) index of the utterance among those that were asked for."""
    class_weights: Tensor
    """(class,) weights of the classes in the loss."""
    stage: str = ""
    """The stage that is trained; empty in a prediction."""
    stream: str = "train"
    """Where the items come from; a prediction's are like those of "train"."""
    progress: float = 1.0
    """Share of the stage that is done, for schedules such as that of gradient reversal."""

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""

        def move(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {k: t.to(device, non_blocking=True) for k, t in tensors.items()}

        moved: dict[str, Any] = {  # tensors
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("targets", "traces", "trace_mask", "speakers", "corpora", "dialogues",
                         "turns", "class_weights")
        }  # fmt: skip
        return replace(self, inputs=move(self.inputs), masks=move(self.masks), **moved)


@dataclass(frozen=True, kw_only=True)
class Normaliser:
    """Mean and standard deviation of each value of each input, by group of utterances.

    Under "train" the statistics are those of the training utterances, whoever speaks, and an
    outside corpus has its own. Transductive are "speaker", where each speaker's own utterances
    give theirs, and "corpus", where each corpus's do.
    """

    mode: str
    statistics: Mapping[tuple[str, str], tuple[FloatArray, FloatArray]] = field(
        default_factory=dict
    )

    @classmethod
    def fit(
        cls,
        mode: str,
        arrays: Arrays,
        train: Sequence[Utterance],
        everyone: Sequence[Utterance],
        outside: Sequence[Utterance] = (),
    ) -> Normaliser:
        """Statistics from the training utterances, or from each speaker's or corpus's own.

        Utterances without an input have no part in that input's statistics.
        """
        groups: dict[str, list[str]] = {}
        for u in () if mode == "none" else (*(train if mode == "train" else everyone), *outside):
            groups.setdefault(_group(mode, u), []).append(u.id)
        statistics = {}
        for name, found in arrays.items():
            for group, ids in groups.items():
                held = [found[i] for i in ids if i in found and len(found[i])]
                if held:
                    statistics[name, group] = _moments(held)
        return cls(mode=mode, statistics=statistics)

    def __call__(self, name: str, utterance: Utterance, values: FloatArray) -> FloatArray:
        """Normalised values of an utterance, shape (frame, value).

        What no utterance of its group has is left as it is: nothing was learnt from it either.
        """
        group = name, _group(self.mode, utterance)
        if group not in self.statistics:
            return values
        mean, deviation = self.statistics[group]
        normal: FloatArray = (values - mean) / deviation
        return normal


def _group(mode: str, utterance: Utterance) -> str:
    if mode == "speaker":
        return utterance.speaker
    return utterance.corpus or (utterance.origin if mode == "corpus" else "")


def _moments(arrays: Sequence[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation (never 0) over the frames of all arrays, in one pass each."""
    count = sum(len(a) for a in arrays)
    mean = np.sum([a.sum(axis=0, dtype=np.float64) for a in arrays], axis=0) / count
    square = np.sum([((a - mean) ** 2).sum(axis=0) for a in arrays], axis=0) / count
    deviation = np.sqrt(square)
    deviation[deviation < 1e-8] = 1.0
    return mean.astype(np.float32), deviation.astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Rated:
    """Continuous labels: by utterance id (frame, dimension), all at one rate."""

    traces: Mapping[str, FloatArray]
    rate_hz: float


Place = tuple[int, float]
"""Index of an utterance, and where a segment of it starts, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Items:
    """The segments of some utterances, cut and batched on demand.

    Args:
        utterances: whose items these are; `Batch.items` counts in this order.
        arrays: features of every input.
        rates: frames per second of every input; 0 for what is never cut.
        labels: the classes in order, or the dimensions of the traces.
        speakers: the speakers that are trained on, in order.
        corpora: the tested corpus, "", and the outside ones, in order.
        rated: the continuous labels, where these are asked for.
        n_context: how many of the last utterances stand in dialogues and are not scored.
        name: the stream's name.
        copies: by id, the ids under which the arrays have perturbed copies of an utterance.
    """

    utterances: Sequence[Utterance]
    arrays: Arrays
    rates: Mapping[str, float]
    normaliser: Normaliser
    segments: Segments
    labels: Sequence[str]
    speakers: Sequence[str]
    class_weights: Tensor
    corpora: Sequence[str] = ("",)
    rated: Rated | None = None
    n_context: int = 0
    name: str = "train"
    copies: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def with_copies(self, rng: np.random.Generator) -> Items:
        """The same items, each utterance as itself or as one of its copies, drawn anew.

        All inputs that have copies show the same one; the others stay as they are, and so do the
        statistics of the normaliser. Without copies nothing is drawn.
        """
        if not self.copies:
            return self
        drawn = {}
        for u in self.utterances:
            if u.id in self.copies:
                choices = (u.id, *self.copies[u.id])
                drawn[u.id] = choices[int(rng.integers(len(choices)))]
        arrays = {}
        for name in self.rates:
            found = self.arrays[name]
            copied = any(i in found for ids in self.copies.values() for i in ids[:1])
            shown = drawn if copied else {}
            arrays[name] = {u.id: found[shown.get(u.id, u.id)] for u in self.utterances}
        return replace(self, arrays=arrays)

    @property
    def scored(self) -> Sequence[Utterance]:
        """The utterances without those that are context only."""
        return self.utterances[: len(self.utterances) - self.n_context]

    def starts(self, hop_s: float) -> list[Place]:
        """Every segment, at least one an utterance.

        A last stretch shorter than a segment is left out, but where frames are recognised: all
        of them are asked for.
        """
        length = self.segments.length_s
        found = []
        for index, u in enumerate(self.utterances):
            spare = self.duration_s(u) - length if length else 0.0
            steps = spare / hop_s
            n = 1 + max(0, int(np.ceil(steps - 1e-6) if self.rated else np.floor(steps + 1e-6)))
            found += [(index, k * hop_s) for k in range(n)]
        return found

    def drawn(self, rng: np.random.Generator) -> list[Place]:
        """One segment of each utterance, at a place drawn anew.

        An utterance that is shorter and repeated may start anywhere in itself.
        """
        found = []
        for index, u in enumerate(self.utterances):
            duration = self.duration_s(u)
            spare = duration - self.segments.length_s
            if spare < 0 and self.segments.short == "tile":
                spare = duration
            found.append((index, float(rng.uniform(0, spare)) if spare > 0 else 0.0))
        return found

    def duration_s(self, utterance: Utterance) -> float:
        """Length of the longest cut input in seconds; 0 where all are single vectors."""
        lengths = [
            len(self.arrays[name][utterance.id]) / rate for name, rate in self.rates.items() if rate
        ]
        return max(lengths, default=0.0)

    def batch(self, chosen: Sequence[Place], progress: float = 1.0, stage: str = "") -> Batch:
        """The chosen segments, normalised, padded to the longest of them, and masked."""
        inputs, masks = {}, {}
        for name, rate in self.rates.items():
            inputs[name], masks[name] = self._padded(name, rate, chosen)
        utterances = [self.utterances[i] for i, _ in chosen]
        traces, trace_mask = self._traces(chosen)
        dialogues: dict[str, int] = {}
        for u in utterances:
            dialogues.setdefault(u.dialogue or u.id, len(dialogues))
        return Batch(
            inputs=inputs,
            masks=masks,
            targets=self._targets(utterances),
            traces=traces,
            trace_mask=trace_mask,
            speakers=torch.tensor([_index(self.speakers, u.speaker) for u in utterances]),
            corpora=torch.tensor([_index(self.corpora, u.corpus) for u in utterances]),
            dialogues=torch.tensor([dialogues[u.dialogue or u.id] for u in utterances]),
            turns=torch.tensor([u.turn or 0 for u in utterances]),
            items=torch.tensor([i for i, _ in chosen]),
            class_weights=self.class_weights,
            stage=stage,
            stream=self.name,
            progress=progress,
        )

    def truth(self) -> npt.NDArray[Any]:
        """What is right for the scored utterances: class indices, or the traces in one array."""
        if self.rated:
            return np.concatenate([self.rated.traces[u.id] for u in self.scored])
        return np.array([self.labels.index(u.emotion or "") for u in self.scored])

    def _targets(self, utterances: Sequence[Utterance]) -> Tensor:
        if self.rated:
            return torch.zeros(len(utterances), 0)
        targets = torch.zeros(len(utterances), len(self.labels))
        for row, u in enumerate(utterances):
            if u.emotion in self.labels:
                targets[row, self.labels.index(u.emotion)] = 1.0
        return targets

    def _traces(self, chosen: Sequence[Place]) -> tuple[Tensor, Tensor]:
        if not self.rated:
            return torch.zeros(len(chosen), 0, 0), torch.zeros(len(chosen), 0, dtype=torch.bool)
        empty = np.zeros((0, len(self.labels)), np.float32)
        rate, found = self.rated.rate_hz, []
        length = round(self.segments.length_s * rate)
        for index, start in chosen:
            u = self.utterances[index]
            values = self.rated.traces.get(u.id, empty) if u.traces is not None else empty
            first = round(start * rate)
            found.append(values[first : first + length] if length else values)
        return _pad(found, length)

    def _padded(self, name: str, rate: float, chosen: Sequence[Place]) -> tuple[Tensor, Tensor]:
        pieces = [self._piece(name, rate, index, start) for index, start in chosen]
        return _pad(pieces, round(self.segments.length_s * rate))

    def _piece(self, name: str, rate: float, index: int, start: float) -> FloatArray:
        utterance = self.utterances[index]
        values = self.arrays[name][utterance.id]
        length = round(self.segments.length_s * rate)
        if length:
            first = round(start * rate)
            if self.segments.short == "tile" and len(values) < length:
                values = values[np.arange(first, first + length) % len(values)]
            else:
                values = values[first : first + length]
        return self.normaliser(name, utterance, values) if len(values) else values

    def training_batches(
        self, size: int, rng: np.random.Generator
    ) -> tuple[int, Iterator[Sequence[Place]]]:
        """How many mini-batches an epoch has, and their segments, shuffled.

        A last batch of one item joins the one before, since batch normalisation needs two.
        """
        groups = self._groups(rng)
        order = rng.permutation(len(groups))
        bounds = list(range(0, len(groups), size))
        if len(bounds) > 1 and len(groups) - bounds[-1] == 1:
            bounds.pop()
        ends = [*bounds[1:], len(groups)]
        batches = (
            [place for i in order[a:b] for place in groups[i]]
            for a, b in zip(bounds, ends, strict=True)
        )
        return len(bounds), batches

    def _groups(self, rng: np.random.Generator) -> list[list[Place]]:
        """What stays together in a mini-batch: single segments, or whole dialogues."""
        train_hop = self.segments.train_hop_s
        chosen = self.drawn(rng) if self.segments.random_start else self.starts(train_hop)
        return self.dialogues(chosen) if self.segments.dialogues else [[place] for place in chosen]

    def dialogues(self, chosen: Sequence[Place]) -> list[list[Place]]:
        """The segments by dialogue, in order of first appearance."""
        held: dict[str, list[Place]] = {}
        for place in chosen:
            u = self.utterances[place[0]]
            held.setdefault(u.dialogue or u.id, []).append(place)
        return list(held.values())


def _pad(pieces: Sequence[FloatArray], fixed: int) -> tuple[Tensor, Tensor]:
    """(item, frame, value) and the mask (item, frame), padded with zeros to the longest."""
    longest = fixed or max(1, *(len(p) for p in pieces))
    values = np.zeros((len(pieces), longest, pieces[0].shape[1]), np.float32)
    mask = np.zeros((len(pieces), longest), np.bool_)
    for row, piece in enumerate(pieces):
        values[row, : len(piece)] = piece
        mask[row, : len(piece)] = True
    return torch.from_numpy(values), torch.from_numpy(mask)


def _index(names: Sequence[str], name: str) -> int:
    return names.index(name) if name in names else -1


def class_weights(kind: str, utterances: Sequence[Utterance], labels: Sequence[str]) -> Tensor:
    """Weights of the classes: ones, or inversely proportional to their training counts.

    They are ones too where nothing is trained on, as where a kept model only predicts.
    """
    counts = np.array([sum(u.emotion == label for u in utterances) for label in labels])
    if kind == "none" or not utterances:
        return torch.ones(len(labels))
    if (counts == 0).any():
        raise BadValue("class_weights", kind, "every class in the training part")
    return torch.tensor(counts.sum() / (len(labels) * counts), dtype=torch.float32)
