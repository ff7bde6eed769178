"""What a report of many trials reads and holds; nothing here is timed."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from serlab.bench.contracts import Predictions
from serlab.bench.store import Store
from serlab.reports.figure import FIGURES
from serlab.reports.frame import load_frame
from serlab.reports.report import Way, write_report

PER_CELL = 25
"""With 4 classes and 2 speakers 200 test utterances a trial."""


def written(fake: ModuleType, folder: Path, n_seeds: int) -> Path:
    """An ablation of two arms."""
    study = fake.FakeStudy(
        skill={"base": 0.8, "pooling=max": 0.6},
        speakers=("s1", "s2"),
        seeds=tuple(range(n_seeds)),
        per_cell=PER_CELL,
        meters=False,
        epochs=2,
    )
    path: Path = fake.write_fake_run(folder, study)
    return path


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the predictions of each cell are read."""
    times: Counter[str] = Counter()
    whole = Store.predictions

    def counted(store: Store, cell: str) -> Predictions:
        times[cell] += 1
        return whole(store, cell)

    monkeypatch.setattr(Store, "predictions", counted)
    return times


def test_each_file_is_read_once(fake: ModuleType, tmp_path: Path, read: Counter[str]) -> None:
    """A training's predictions are not read again for the page."""
    run = written(fake, tmp_path / "run", n_seeds=3)
    frame = load_frame(run)
    assert set(read.values()) == {1}
    assert len(read) == frame.counts.completed == 12


def test_of_a_search_only_what_is_shown_is_read(
    fake: ModuleType, tmp_path: Path, read: Counter[str]
) -> None:
    """The base and the winner: two arms of 40, two folds each."""
    arms = [f"pooling=p{k}" for k in range(39)]
    study = fake.FakeStudy(
        design="search",
        skill={"base": 0.8, **dict.fromkeys(arms, 0.7)},
        speakers=("s1", "s2"),
        seeds=(0,),
        per_cell=2,
        meters=False,
        history=tuple((arm, 0.7, "complete") for arm in arms),
    )
    frame = load_frame(fake.write_fake_run(tmp_path / "run", study))
    assert len(read) == 4
    assert len(frame.blocks[0].search) == 39
    assert frame.counts.completed == 80


def peak_of(run: Path) -> int:
    """The most bytes that Python and numpy held while a run was read."""
    tracemalloc.start()
    try:
        load_frame(run)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_a_trial_is_that_of_its_scores(fake: ModuleType, tmp_path: Path) -> None:
    """Ids, speakers and truths are held once for all trials, not once for each.

    A trial has 200 x 4 scores in single precision, 3.2 kB, and its records. With all that is
    read of it kept, it would be 100 kB.
    """
    few, many = (written(fake, tmp_path / str(n), n_seeds=n) for n in (10, 40))
    load_frame(few)  # imports are no memory of a trial
    grown = (peak_of(many) - peak_of(few)) / (2 * 30)
    assert 200 * 4 * 4 < grown < 22_000


def test_equal_columns_are_one(fake: ModuleType, tmp_path: Path) -> None:
    """Of all trials of a fold; those of another fold are others."""
    run = written(fake, tmp_path / "run", n_seeds=2)
    store = Store.open(run)
    held = {record.cell: store.predictions(record.cell) for record in store.records()}
    one, other = (
        [p for cell, p in held.items() if cell.endswith(fold)] for fold in ("fold0", "fold1")
    )
    assert len(one) == len(other) == 4
    for name in ("ids", "speakers", "parts"):
        assert len({id(getattr(p, name)) for p in one}) == 1
        assert len({id(getattr(p, name)) for p in other}) == 1
    assert one[0].ids != other[0].ids


def test_shared_columns_are_bounded(
    fake: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where every file has columns of its own, the predictions are the same."""
    run = written(fake, tmp_path / "run", n_seeds=2)
    whole = load_frame(run)
    monkeypatch.setattr("serlab.bench.store._MOST_COLUMNS", 1)
    again = load_frame(run)
    for one, other in zip(whole.blocks[0].arms, again.blocks[0].arms, strict=True):
        assert one.pooled is not None
        assert other.pooled is not None
        assert one.pooled.ids == other.pooled.ids
        assert np.array_equal(one.pooled.scores, other.pooled.scores)
        assert one.scores == other.scores


def test_it_tells_how_far_it_is(
    fake: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arms that are read, then figures, over all corpora together."""
    study = fake.FakeStudy(
        skill={"base": 0.8, "pooling=max": 0.6}, seeds=(0,), meters=False, corpora=("a", "b")
    )
    run = fake.write_fake_run(tmp_path / "run", study)
    one = {"traces": FIGURES.entry("traces")}
    monkeypatch.setattr(FIGURES, "entries", lambda: one)
    told: list[tuple[str, str, int, int]] = []

    def telling(what: str, unit: str) -> Callable[[int, int], None]:
        return lambda done, total: told.append((what, unit, done, total))

    write_report(run, way=Way(telling=telling))
    reading = [("reading the run", "arms", done, 4) for done in range(4)]
    assert told == [*reading, *(("drawing", "figures", done, 2) for done in range(2))]
