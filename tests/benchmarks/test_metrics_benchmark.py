"""Every registered metric on 100,000 rows: four classes, or two dimensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from serlab.bench.metrics.base import METRICS, metric
from serlab.bench.seeds import generator

Benchmark = Any  # pytest-benchmark is untyped
N_ROWS = 100_000


@pytest.mark.benchmark(group="metrics")
@pytest.mark.parametrize("name", METRICS.entries())
def test_metric(benchmark: Benchmark, name: str) -> None:
    """One call."""
    rng, found = generator(0, "benchmark", "metrics"), metric(name)
    if found.task == "categorical":
        truth = rng.integers(0, 4, N_ROWS)
        scores = rng.dirichlet(np.ones(4), N_ROWS).astype(np.float32)
        scores[np.arange(N_ROWS), truth] += 0.3
        scores /= scores.sum(axis=1, keepdims=True)
    else:
        truth = rng.standard_normal((N_ROWS, 2)).astype(np.float32)
        scores = truth + rng.standard_normal((N_ROWS, 2)).astype(np.float32)
    value = benchmark(found, truth, scores)
    assert math.isfinite(value)
    assert found.low <= value <= found.high
