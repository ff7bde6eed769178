"""What a run's folder costs: a record appended, and 100,000 of them read again."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serlab.bench.contracts import FoldResult, Measurement, Predictions, Status
from serlab.bench.seeds import generator
from serlab.bench.store import Store

Benchmark = Any  # pytest-benchmark is untyped
Size = Callable[[int, int], int]

N_FOLDS, N_EPOCHS, N_ROWS = 10, 40, 50

pytestmark = pytest.mark.benchmark(group="store")


def record(k: int, predictions: Predictions | None = None) -> FoldResult:
    """A training with curves of 40 epochs."""
    values = generator(k % 7, "benchmark", "curves").random(N_EPOCHS)
    curve = tuple(values.tolist())
    return FoldResult(
        trial=f"{k // N_FOLDS:016x}",
        arm="base",
        corpus="synth",
        split="0123456789abcdef",
        fold=f"fold{k % N_FOLDS}",
        seed=k // N_FOLDS % 10,
        status=Status.COMPLETED,
        chosen_epoch=30,
        curves={"train_loss": curve, "validation_loss": curve, "validation_ua": curve},
        measurements={
            name: Measurement(value=float(values[0]), unit="s")
            for name in ("train_wall", "train_cpu", "predict_wall")
        },
        predictions=predictions,
        environment="0123456789abcdef",
    )


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    """Fifty utterances in four classes."""
    rng = generator(0, "benchmark", "predictions")
    return Predictions(
        ids=tuple(f"u{k:04d}" for k in range(N_ROWS)),
        speakers=tuple(f"s{k % 5}" for k in range(N_ROWS)),
        parts=("test",) * N_ROWS,
        truth=rng.integers(0, 4, N_ROWS),
        scores=rng.dirichlet(np.ones(4), N_ROWS).astype(np.float32),
    )


@pytest.fixture(scope="module")
def n_records(size: Size) -> int:
    """Records of the long run."""
    return size(100_000, 2_000)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, n_records: int) -> Store:
    """A run of many records."""
    return written(tmp_path_factory.mktemp("long") / "run", n_records)


def written(folder: Path, n: int) -> Store:
    """A run's records as two writers left them: copies of one that was appended."""
    store = Store.create(folder)
    store.append(record(0))
    (first,) = (folder / "records").glob("*.jsonl")
    plain = json.loads(first.read_text(encoding="utf-8"))
    first.unlink()
    for writer in range(2):
        path = folder / "records" / f"writer{writer}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for k in range(writer, n, 2):
                names = {"trial": f"{k // N_FOLDS:016x}", "fold": f"fold{k % N_FOLDS}"}
                file.write(json.dumps(plain | names) + "\n")
    return store


def test_append(benchmark: Benchmark, size: Size, tmp_path: Path, predictions: Predictions) -> None:
    """Two thousand records with their predictions, each on the disk before the next."""
    n = size(2_000, 20)
    results = [record(k, predictions) for k in range(n)]

    def fresh() -> tuple[tuple[Store], dict[str, Any]]:
        fresh.n += 1  # type: ignore[attr-defined]
        return (Store.create(tmp_path / str(fresh.n)),), {}  # type: ignore[attr-defined]

    fresh.n = 0  # type: ignore[attr-defined]

    def append(store: Store) -> None:
        for result in results:
            store.append(result)

    benchmark.pedantic(append, setup=fresh, rounds=3)
    held = Store(tmp_path / "1")
    assert len(held.done()) == n
    assert held.predictions(results[-1].cell).ids == predictions.ids
    if benchmark.enabled:
        benchmark.extra_info["records_per_s"] = n / benchmark.stats.stats.median


def test_records(
    benchmark: Benchmark, size: Size, long: Store, n_records: int, tmp_path: Path
) -> None:
    """All records read, none kept; and the memory of reading and of keeping them."""

    def count() -> int:
        return sum(1 for _ in long.records())

    assert benchmark.pedantic(count, rounds=3, warmup_rounds=1) == n_records
    few = size(5_000, 200)
    benchmark.extra_info.update(peaks(written(tmp_path / "few", few), few))


def test_done(benchmark: Benchmark, long: Store, n_records: int) -> None:
    """The cells that need no training any more, as a run asks when it goes on."""
    assert len(benchmark.pedantic(long.done, rounds=3, warmup_rounds=1)) == n_records


def test_predictions(
    benchmark: Benchmark, tmp_path: Path, size: Size, predictions: Predictions
) -> None:
    """The predictions of two hundred trainings read."""
    store = Store.create(tmp_path)
    held = [record(k, predictions) for k in range(size(200, 10))]
    for result in held:
        store.append(result)
    found = benchmark(lambda: [store.predictions(result.cell) for result in held])
    assert all(one.ids == predictions.ids for one in found)


def peaks(store: Store, n: int) -> dict[str, float]:
    """Bytes a record, by Python's own account: at the peak of reading them, and of all kept."""
    tracemalloc.start()
    assert sum(1 for _ in store.records()) == n
    _, reading = tracemalloc.get_traced_memory()
    held = list(store.records())
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    found = {"bytes_reading": reading / n, "bytes_kept": kept / len(held)}
    print(f"\nbytes a record: {found['bytes_reading']:.0f} reading, {found['bytes_kept']:.0f} kept")
    return found
