"""What a registered system costs at its small preset: forward, training step, fit and predict.

Whatever is registered is measured. An item is what the system's segments are, 3 s where it takes
whole utterances, and is noise: the time of a call does not depend on what is said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from serlab.bench.contracts import FloatArray, Sizes, Stage, System
from serlab.bench.data import Batch
from serlab.bench.example import example_batch
from serlab.bench.seeds import generator, torch_seeded
from serlab.bench.shapes import example_sizes
from serlab.bench.train import make_optimiser, select_parameters, training_mode, training_step
from serlab.models.variant import SYSTEMS, make, resolve

Benchmark = Any  # pytest-benchmark is untyped
Size = Callable[[int, int], int]

N_CLASSES = 4
N_UTTERANCES = 200


@cache
def system(name: str) -> System:
    """The system at its small preset, or at its only one."""
    return make(resolve(name, "small" if "small" in SYSTEMS.entry(name).facts["presets"] else ""))


NETWORKS = [name for name in SYSTEMS.entries() if system(name).stages()]
ESTIMATORS = [name for name in SYSTEMS.entries() if not system(name).stages()]
STAGES = [(name, stage.name) for name in NETWORKS for stage in system(name).stages()]


def sizes_of(one: System) -> Sizes:
    """Four classes, and three corpora for what tells corpora apart."""
    return example_sizes(one, N_CLASSES, n_corpora=3)


def network_of(one: System) -> nn.Module:
    """The network with its first weights."""
    with torch_seeded(0, "benchmark"):
        network: nn.Module = one.build(sizes_of(one))
    return network


def batch_of(one: System, n: int, stream: str = "train", stage: str = "") -> Batch:
    """Items as the system's segments are."""
    seconds = one.segments().length_s or 3.0
    inputs = one.inputs() if stream == "train" else one.streams()[stream].inputs
    held = example_batch(sizes_of(one), [seconds] * n, inputs=tuple(inputs), stream=stream)
    return replace(held, stage=stage, progress=0.5)


@pytest.mark.benchmark(group="forward")
@pytest.mark.parametrize("n", [1, 32])
@pytest.mark.parametrize("name", NETWORKS)
def test_forward(benchmark: Benchmark, name: str, n: int) -> None:
    """Items in memory to scores."""
    one = system(name)
    network, batch = network_of(one).eval(), batch_of(one, n)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            scores: torch.Tensor = network(batch).scores
        return scores

    scores = benchmark(forward)
    assert scores.shape[0] == n
    assert torch.isfinite(scores).all()


@pytest.mark.benchmark(group="training step")
@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_training_step(benchmark: Benchmark, size: Size, name: str, stage: str) -> None:
    """A mini-batch of each of the stage's streams, at the preset's size: forward, loss, update."""
    one, network = system(name), network_of(system(name))
    settings: Stage = next(s for s in one.stages() if s.name == stage)
    trained = select_parameters(network, settings.trains)
    training_mode(network)
    optimiser = make_optimiser(trained, settings.training)
    n = size(settings.training.batch_size, 4)
    batches = [batch_of(one, n, stream, stage) for stream in settings.streams]
    before = [p.detach().clone() for p in trained]
    terms = benchmark(training_step, network, batches, settings, optimiser, trained)
    assert torch.isfinite(terms["loss"])
    assert any(not torch.equal(a, b) for a, b in zip(before, trained, strict=True))
    benchmark.extra_info["items"] = n * len(batches)


# --- estimators ---------------------------------------------------------------------------------


def vectors(one: System, truth: np.ndarray) -> dict[str, FloatArray]:
    """Counts, some of which tell the class, (utterance, value) of each input."""
    found = {}
    for name, width in sizes_of(one).n_features.items():
        values = generator(0, "benchmark", name).poisson(0.2, (len(truth), width))
        values[np.arange(len(truth)), truth % width] += 2
        found[name] = values.astype(np.float32)
    return found


@pytest.mark.benchmark(group="estimator")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_fit(benchmark: Benchmark, size: Size, name: str) -> None:
    """Two hundred utterances."""
    truth = np.arange(size(N_UTTERANCES, 40)) % N_CLASSES
    inputs, one = vectors(system(name), truth), system(name)

    def fit() -> Any:  # scikit-learn has no types
        estimator = one.build(sizes_of(one))
        estimator.fit(inputs, truth, 0)
        return estimator

    assert benchmark(fit).n_parameters() > 0


@pytest.mark.benchmark(group="estimator")
@pytest.mark.parametrize("name", ESTIMATORS)
def test_predict(benchmark: Benchmark, size: Size, name: str) -> None:
    """Two hundred utterances."""
    truth = np.arange(size(N_UTTERANCES, 40)) % N_CLASSES
    inputs, one = vectors(system(name), truth), system(name)
    estimator = one.build(sizes_of(one))
    estimator.fit(inputs, truth, 0)
    scores = benchmark(estimator.predict, inputs)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
