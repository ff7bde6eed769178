"""What the statistics of a large study cost: 10 seeds, 24 speakers, 5,000 utterances."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from serlab.bench.seeds import generator
from serlab.bench.statistics.cells import recall_cells
from serlab.bench.statistics.corpora import across_corpora
from serlab.bench.statistics.crossed import crossed_interval, variance_of_mean
from serlab.bench.statistics.differences import bootstrap_t, difference, holm, level_estimate
from serlab.bench.statistics.factorial import Changes, factorial, shapley_values
from serlab.bench.statistics.margins import equivalence, noninferior
from serlab.bench.statistics.power import needed_seeds
from serlab.bench.statistics.ranks import ranking
from serlab.bench.statistics.records import ArmPredictions, Estimate, Floats

Benchmark = Any  # pytest-benchmark is untyped
Size = Callable[[int, int], int]

N_SEEDS, N_SPEAKERS, N_CLASSES, N_FRAMES = 10, 24, 4, 20

pytestmark = pytest.mark.benchmark(group="statistics")


def classes(n: int, name: str) -> ArmPredictions:
    """An arm that is right four times in five."""
    rng = generator(0, "benchmark", name)
    truth = np.arange(n) // N_SPEAKERS % N_CLASSES
    wrong = rng.random((N_SEEDS, n)) < 0.2
    said = np.where(wrong, (truth + rng.integers(1, N_CLASSES, wrong.shape)) % N_CLASSES, truth)
    return ArmPredictions(
        seeds=tuple(range(N_SEEDS)),
        ids=tuple(f"u{k:05d}" for k in range(n)),
        speakers=tuple(f"s{k % N_SPEAKERS:02d}" for k in range(n)),
        truth=truth,
        scores=np.eye(N_CLASSES, dtype=np.float32)[said],
    )


def traces(n: int, name: str) -> ArmPredictions:
    """An arm that follows two traces of 20 frames an utterance, with errors."""
    drawn, held = generator(0, "benchmark", "truth"), generator(0, "benchmark", name)
    rows = n * N_FRAMES
    truth = drawn.standard_normal((rows, 2)).astype(np.float32)
    errors = held.standard_normal((N_SEEDS, rows, 2), dtype=np.float32)
    return ArmPredictions(
        seeds=tuple(range(N_SEEDS)),
        ids=tuple(f"u{k // N_FRAMES:05d}" for k in range(rows)),
        speakers=tuple(f"s{k // N_FRAMES % N_SPEAKERS:02d}" for k in range(rows)),
        truth=truth,
        scores=0.6 * truth + 0.3 * errors,
        frames=np.arange(rows) % N_FRAMES,
    )


def table(name: str) -> Floats:
    """Differences of two arms, (speaker, seed)."""
    return generator(0, "benchmark", name).normal(0.01, 0.02, (N_SPEAKERS, N_SEEDS))


@pytest.fixture
def estimate() -> Estimate:
    """A difference with its interval."""
    return crossed_interval(table("estimate"))


# --- from predictions ---------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["ua", "wa", "macro_f1", "ece"])
def test_difference(benchmark: Benchmark, size: Size, metric: str) -> None:
    """Two arms, paired over speakers and seeds."""
    base, arm = (classes(size(5000, 480), name) for name in ("base", "arm"))
    found = benchmark.pedantic(
        difference, (base, arm), {"metric": metric}, rounds=5, warmup_rounds=1
    )
    assert found.estimable
    assert abs(found.mean) < 0.1


@pytest.mark.parametrize("metric", ["ccc", "pcc", "rmse"])
def test_difference_of_traces(benchmark: Benchmark, size: Size, metric: str) -> None:
    """Two arms of 100,000 frames."""
    base, arm = (traces(size(5000, 240), name) for name in ("base", "arm"))
    found = benchmark.pedantic(
        difference, (base, arm), {"metric": metric}, rounds=3, warmup_rounds=1
    )
    assert found.estimable
    assert abs(found.mean) < 0.1


def test_level(benchmark: Benchmark, size: Size) -> None:
    """One arm alone."""
    arm = classes(size(5000, 480), "arm")
    found = benchmark.pedantic(level_estimate, (arm,), {"metric": "ua"}, rounds=5, warmup_rounds=1)
    assert found.mean == pytest.approx(0.8, abs=0.03)


def test_shapley(benchmark: Benchmark, size: Size) -> None:
    """A full factorial of four changes: 16 arms."""
    sets = [Changes(some) for k in range(5) for some in combinations("abcd", k)]
    arms = {one: classes(size(5000, 480), "".join(sorted(one))) for one in sets}

    def values() -> int:
        return len(shapley_values(factorial(arms, "abcd", metric="ua")))

    assert benchmark.pedantic(values, rounds=3, warmup_rounds=1) == 4


# --- from tables and estimates ------------------------------------------------------------------


def test_crossed_interval(benchmark: Benchmark) -> None:
    """A table of 24 speakers and 10 seeds."""
    assert benchmark(crossed_interval, table("crossed")).estimable


def test_bootstrap(benchmark: Benchmark) -> None:
    """4,999 draws of 24 speakers."""
    values = table("bootstrap")
    found = benchmark(lambda: bootstrap_t(values, generator(0, "benchmark", "draws")))
    assert found.low < found.high


def test_noninferiority(benchmark: Benchmark, estimate: Estimate) -> None:
    """Verdict, power and smallest margin."""
    assert benchmark(noninferior, estimate, 0.03).verdict == "pass"


def test_equivalence(benchmark: Benchmark, estimate: Estimate) -> None:
    """Two one-sided tests."""
    assert benchmark(equivalence, estimate, 0.05).equivalent


def test_needed_seeds(benchmark: Benchmark, estimate: Estimate) -> None:
    """Found by halving."""
    assert benchmark(needed_seeds, estimate, 0.02).total


def test_holm(benchmark: Benchmark) -> None:
    """Two hundred comparisons."""
    p = generator(0, "benchmark", "p").random(200)
    adjusted = benchmark(holm, p)
    assert len(adjusted) == 200
    assert min(adjusted) >= min(p)


def test_across_corpora(benchmark: Benchmark) -> None:
    """One effect on eight corpora."""
    estimates = [crossed_interval(table(f"corpus {k}")) for k in range(8)]
    assert benchmark(across_corpora, estimates).mean == pytest.approx(0.01, abs=0.02)


def test_ranking(benchmark: Benchmark) -> None:
    """Twelve arms over eight corpora."""
    rng = generator(0, "benchmark", "ranks")
    values = {f"arm {k}": (rng.random(8) + k / 10).tolist() for k in range(12)}
    assert len(benchmark(ranking, values).mean_ranks) == 12


def test_calibration(benchmark: Benchmark) -> None:
    """The core of the simulations: tables of 100 draws of recalls, and their variances."""
    rng = generator(0, "benchmark", "calibration")
    numbers = rng.integers(10, 60, (N_SPEAKERS, N_CLASSES))
    hits = rng.binomial(numbers[:, None], 0.7, (100, N_SPEAKERS, N_SEEDS, N_CLASSES))
    variance, df = benchmark(lambda: variance_of_mean(recall_cells(hits, numbers)))
    assert variance.shape == df.shape == (100,)
    assert (variance > 0).all()
