"""What stands between features in memory and a network: the normaliser and mini-batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from serlab.bench.contracts import Audio, Segments, Utterance
from serlab.bench.data import Arrays, Items, Normaliser
from serlab.bench.seeds import generator

Benchmark = Any  # pytest-benchmark is untyped
Size = Callable[[int, int], int]

LABELS = ("anger", "happiness", "neutral", "sadness")
SPEAKERS = tuple(f"s{s:02d}" for s in range(24))
RATE_HZ, N_BANDS = 62.5, 64


class NoAudio:
    """Stands where nothing is read."""

    def read(self) -> Audio:
        """Is never called."""
        raise AssertionError("no benchmark of this corpus reads audio")

    def name(self) -> str:
        """For messages."""
        return "nothing"


@pytest.fixture(scope="module")
def utterances(size: Size) -> list[Utterance]:
    """Of 24 speakers in dialogues of ten."""
    return [
        Utterance(id=f"u{k:05d}", speaker=SPEAKERS[k // 10 % 24], emotion=LABELS[k % 4],
                  audio=NoAudio(), dialogue=f"d{k // 10}", turn=k % 10)
        for k in range(size(1000, 60))
    ]  # fmt: skip


@pytest.fixture(scope="module")
def arrays(utterances: list[Utterance]) -> Arrays:
    """Log-mel-like images of 1 to 6 s."""
    rng = generator(0, "benchmark", "images")
    lengths = rng.integers(62, 375, len(utterances))
    images = (rng.standard_normal((n, N_BANDS), dtype=np.float32) for n in lengths)
    return {"image": {u.id: image for u, image in zip(utterances, images, strict=True)}}


def items_of(utterances: list[Utterance], arrays: Arrays, segments: Segments) -> Items:
    """All of them, normalised by speaker."""
    return Items(
        utterances=utterances,
        arrays=arrays,
        rates={"image": RATE_HZ},
        normaliser=Normaliser.fit("speaker", arrays, utterances, utterances),
        segments=segments,
        labels=LABELS,
        speakers=SPEAKERS,
        class_weights=torch.ones(len(LABELS)),
    )


CUTS = {
    "whole": Segments(),
    "drawn": Segments(length_s=3.0, random_start=True),
    "overlapping": Segments(length_s=2.0, train_hop_s=1.0),
    "dialogues": Segments(dialogues=True),
}


@pytest.mark.benchmark(group="data")
@pytest.mark.parametrize("mode", ["train", "speaker"])
def test_normaliser(
    benchmark: Benchmark, utterances: list[Utterance], arrays: Arrays, mode: str
) -> None:
    """Mean and deviation over a thousand images."""
    found = benchmark(Normaliser.fit, mode, arrays, utterances, utterances)
    groups = {u.speaker for u in utterances} if mode == "speaker" else {""}
    assert {group for _, group in found.statistics} == groups


@pytest.mark.benchmark(group="data")
@pytest.mark.parametrize("cut", CUTS)
def test_batch(benchmark: Benchmark, utterances: list[Utterance], arrays: Arrays, cut: str) -> None:
    """Thirty-two segments: cut, normalised, padded."""
    items = items_of(utterances, arrays, CUTS[cut])
    chosen = items.starts(1.0)[:32]
    batch = benchmark(items.batch, chosen)
    assert batch.inputs["image"].shape[::2] == (32, N_BANDS)


@pytest.mark.benchmark(group="data")
@pytest.mark.parametrize("cut", CUTS)
def test_epoch(benchmark: Benchmark, utterances: list[Utterance], arrays: Arrays, cut: str) -> None:
    """All mini-batches of an epoch over a thousand utterances, shuffled."""
    items = items_of(utterances, arrays, CUTS[cut])

    def epoch() -> set[int]:
        seen: set[int] = set()
        _, batches = items.training_batches(4 if cut == "dialogues" else 32, generator(0, "epoch"))
        for chosen in batches:
            seen |= set(items.batch(chosen).items.tolist())
        return seen

    assert len(benchmark.pedantic(epoch, rounds=5, warmup_rounds=1)) == len(utterances)
