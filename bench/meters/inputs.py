"""What a cell is measured on: utterances of noise, their features, and mini-batches of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from serlab.bench.contracts import Audio, FloatArray, Sizes, Stage, System, Utterance
from serlab.bench.data import Batch, Items, Normaliser, Place, Rated
from serlab.bench.errors import SerlabError
from serlab.bench.example import example_batch
from serlab.bench.features.base import Feature, feature
from serlab.bench.meters.records import Cell
from serlab.bench.seeds import generator
from serlab.bench.shapes import example_sizes

RATE_HZ = 16_000
TRACE_RATE_HZ = 10.0
TEXT = "the words of an utterance that nobody said"


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Noise of a given length as an utterance's audio, or as its continuous labels."""

    seconds: float
    index: int = 0
    """Which of several that differ."""
    n_dimensions: int = 0
    rate_hz: float = TRACE_RATE_HZ

    def name(self) -> str:
        """For messages."""
        return "noise"

    def read(self) -> Any:  # audio, or an array (frame, dimension)
        """The noise."""
        rng = generator(self.index, "meter")
        if self.n_dimensions:
            shape = (max(1, round(self.seconds * self.rate_hz)), self.n_dimensions)
            return rng.standard_normal(shape).astype(np.float32)
        n = max(1, round(self.seconds * RATE_HZ))
        return Audio(samples=rng.standard_normal(n).astype(np.float32) * 0.1, rate_hz=RATE_HZ)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """A cell's utterances, what computes their features, and these features."""

    utterances: tuple[Utterance, ...]
    features: Mapping[str, Feature]
    items: Items
    sizes: Sizes

    def compute(self) -> dict[str, dict[str, FloatArray]]:
        """The features of the whole batch, by input, by utterance."""
        return compute(self.features, self.utterances)

    def called(self) -> Batch:
        """All segments of all utterances, as a prediction has them."""
        return self.items.batch(self.items.starts(self.items.segments.test_hop_s))

    def trained(self, system: System, stage: Stage) -> list[Batch]:
        """A mini-batch of each of a stage's streams."""
        return [self._trained(system, stage, name) for name in stage.streams]

    def _trained(self, system: System, stage: Stage, name: str) -> Batch:
        places = self._drawn()
        if name == "train":
            return replace(self.items.batch(places, stage=stage.name), progress=0.5)
        stream, segments = system.streams()[name], self.items.segments
        length = segments.length_s or self.items.duration_s(self.utterances[0])
        made = example_batch(
            self.sizes, [length or 1.0] * len(places), inputs=tuple(stream.inputs), stream=name
        )
        return replace(made, stage=stage.name, progress=0.5)

    def _drawn(self) -> list[Place]:
        """The segments that an epoch would take from these utterances."""
        segments = self.items.segments
        if segments.random_start:
            return self.items.drawn(generator(0, "meter", "places"))
        return self.items.starts(segments.train_hop_s)


def compute(
    features: Mapping[str, Feature], utterances: Sequence[Utterance]
) -> dict[str, dict[str, FloatArray]]:
    """Features by input, by utterance id."""
    return {name: {u.id: made.of(u) for u in utterances} for name, made in features.items()}


def check_inputs(system: System, cell: Cell) -> None:
    """Refuses a system that reads what noise cannot give.

    Raises:
        SerlabError: it needs video, say, or a supplied vector whose size the cell does not tell.
    """
    utterances = _utterances(system, cell)
    for name, spec in system.inputs().items():
        lacking = feature(spec).lacking(utterances)
        if lacking:
            raise SerlabError(f"{cell.variant.system} cannot be measured on noise: {lacking}"
                              f" (its input {name})")  # fmt: skip


def make_inputs(system: System, cell: Cell) -> Inputs:
    """A cell's batch of utterances, each another noise, with their features computed.

    Where a system sees dialogues, the whole batch is one.

    Raises:
        SerlabError: as `check_inputs`.
    """
    check_inputs(system, cell)
    utterances = _utterances(system, cell)
    features = {name: feature(spec) for name, spec in system.inputs().items()}
    arrays = compute(features, utterances)
    rated = cell.target == "traces"
    labels = tuple(f"class {k}" for k in range(cell.n_classes))
    sizes = _sizes(system, cell, arrays)
    items = Items(
        utterances=utterances,
        arrays=arrays,
        rates={name: made.rate_hz for name, made in features.items()},
        normaliser=Normaliser(mode="none"),
        segments=system.segments(),
        labels=labels,
        speakers=tuple(f"speaker {k}" for k in range(sizes.n_speakers)),
        class_weights=torch.ones(0 if rated else len(labels)),
        rated=_rated(utterances) if rated else None,
    )
    return Inputs(utterances=utterances, features=features, items=items, sizes=sizes)


def _utterances(system: System, cell: Cell) -> tuple[Utterance, ...]:
    rated, dialogues = cell.target == "traces", system.segments().dialogues
    supplied = {name: (0.5,) * size for name, size in cell.supplied.items()}
    return tuple(
        Utterance(
            id=f"noise {k}",
            speaker=f"speaker {k % 8}",
            audio=Noise(seconds=cell.seconds, index=k),
            text=TEXT,
            supplied=supplied,
            dialogue="noise" if dialogues else None,
            turn=k,
            emotion=None if rated else f"class {k % cell.n_classes}",
            traces=Noise(seconds=cell.seconds, index=k, n_dimensions=cell.n_classes)
            if rated
            else None,
        )
        for k in range(cell.batch)
    )


def _rated(utterances: Sequence[Utterance]) -> Rated:
    traces = {u.id: u.traces.read() for u in utterances if u.traces is not None}
    return Rated(traces=traces, rate_hz=TRACE_RATE_HZ)


def _sizes(system: System, cell: Cell, arrays: Mapping[str, Mapping[str, FloatArray]]) -> Sizes:
    outside = any(stream.source == "outside" for stream in system.streams().values())
    sizes = example_sizes(system, cell.n_classes, n_corpora=2 if outside else 1, target=cell.target)
    widths = {name: next(iter(found.values())).shape[1] for name, found in arrays.items()}
    return replace(sizes, n_features={**sizes.n_features, **widths})
