"""The store keeps what it was given, whatever happens to the writer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serlab.bench.contracts import FoldResult, Measurement, Predictions, Status
from serlab.bench.errors import BadFile
from serlab.bench.store import Store


def result(fold: str = "a", status: Status = Status.COMPLETED, seed: int = 1) -> FoldResult:
    """A result with everything filled in."""
    predictions = Predictions(
        ids=("u1", "u2"),
        speakers=("s1", "s2"),
        parts=("test", "validation"),
        truth=np.array([0, 1]),
        scores=np.array([[0.9, 0.1], [0.2, 0.8]], np.float32),
    )
    return FoldResult(
        trial="t",
        arm="base",
        corpus="tiny",
        split="x",
        fold=fold,
        seed=seed,
        status=status,
        curves={"train_loss": (1.0, 0.5)},
        measurements={"cuda_allocated": Measurement(value=None, unit="bytes", reason="no GPU")},
        predictions=predictions if status is Status.COMPLETED else None,
    )


def test_records_and_predictions_come_back_as_they_went(tmp_path: Path) -> None:
    """Everything is read back equal."""
    store = Store.create(tmp_path)
    store.append(result())
    (read,) = Store(tmp_path).records()
    held = store.predictions(read.cell)
    assert read.measurements == result().measurements
    assert read.curves == result().curves
    assert held.ids == ("u1", "u2")
    assert held.parts == ("test", "validation")
    np.testing.assert_array_equal(held.scores, result().predictions.scores)  # type: ignore[union-attr]


def test_predictions_of_traces_come_back_as_they_went(tmp_path: Path) -> None:
    """A row a frame, truth and scores by dimension."""
    held = Predictions(
        ids=("u1", "u1", "u2"),
        speakers=("s1", "s1", "s2"),
        parts=("test", "test", "validation"),
        truth=np.array([[0.1, -0.5], [0.2, 0.5], [0.0, 1.0]], np.float32),
        scores=np.array([[0.3, -0.4], [0.1, 0.1], [0.2, 0.9]], np.float32),
        frames=(0, 1, 0),
    )
    store = Store.create(tmp_path)
    store.append(replace(result(), predictions=held))
    read = store.predictions(result().cell)
    assert (read.ids, read.frames) == (held.ids, held.frames)
    np.testing.assert_array_equal(read.truth, held.truth)
    np.testing.assert_array_equal(read.scores, held.scores)


def test_torn_line_of_a_killed_writer_is_left_out(tmp_path: Path) -> None:
    """A record whose end is missing counts as not written; those before it stay."""
    store = Store.create(tmp_path)
    store.append(result("a"))
    store.append(result("b"))
    (path,) = (tmp_path / "records").glob("*.jsonl")
    path.write_text(path.read_text()[:-20])
    assert [r.fold for r in store.records()] == ["a"]


def test_cell_written_twice_counts_once(tmp_path: Path) -> None:
    """Two workers that finish the same fold leave one result."""
    first, second = Store.create(tmp_path), Store.create(tmp_path)
    first.append(result())
    second.append(result())
    assert len(list(first.records())) == 1


def test_failed_fold_is_not_done(tmp_path: Path) -> None:
    """What failed is tried again by the next run; what diverged is not."""
    store = Store.create(tmp_path)
    store.append(result("a", Status.FAILED))
    store.append(result("b", Status.DIVERGED))
    assert store.done() == {"t-b"}


def test_later_success_replaces_a_failure(tmp_path: Path) -> None:
    """A fold that failed and then completed is completed."""
    store = Store.create(tmp_path)
    store.append(result("a", Status.FAILED))
    Store.create(tmp_path).append(result("a"))
    assert [r.status for r in store.records()] == [Status.COMPLETED]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    """A broken record, Parquet file or JSON file is an error that names it."""
    store = Store.create(tmp_path)
    store.append(result())
    (tmp_path / "predictions" / "t-a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BadFile, match=r"t-a\.parquet: is not readable as Parquet"):
        store.predictions("t-a")
    (tmp_path / "records" / "x.jsonl").write_text('{"schema": 1}\n')
    with pytest.raises(BadFile, match=r"x\.jsonl:1: is no record"):
        list(store.records())
    (tmp_path / "resolved.json").write_text("{")
    with pytest.raises(BadFile, match="not readable as JSON"):
        store.resolved()


def test_records_of_another_schema_are_refused(tmp_path: Path) -> None:
    """A later serlab's records are not misread."""
    store = Store.create(tmp_path)
    store.append(result())
    (path,) = (tmp_path / "records").glob("*.jsonl")
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(Exception, match="schema"):
        list(store.records())


def test_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is a clear error."""
    (tmp_path / "run").write_text("")
    with pytest.raises(BadFile, match="cannot write the run here"):
        Store.create(tmp_path / "run")
    with pytest.raises(BadFile, match="holds no run"):
        Store.open(tmp_path)


def test_environment_is_stored_once(tmp_path: Path) -> None:
    """Equal fingerprints are one file."""
    store = Store.create(tmp_path)
    assert store.keep_environment({"a": 1}) == store.keep_environment({"a": 1})
    assert len(list((tmp_path / "environments").iterdir())) == 1


def test_meters_are_read_by_file(tmp_path: Path) -> None:
    """The meter pass's files are found by the arm they name."""
    store = Store.create(tmp_path)
    store.write_json("meters/a.json", {"arm": "base", "parameters": 3})
    assert store.meters() == {"a": {"arm": "base", "parameters": 3}}
    for broken in ('{"arm": "ba', "[]"):
        (tmp_path / "meters" / "b.json").write_text(broken)
        with pytest.raises(BadFile, match=r"b\.json"):
            store.meters()
