"""The run folder: records and predictions, written as they come, read by reports.

::

    RUN/
      resolved.json                 everything the study came to, defaults included
      records/<host>-<pid>-<n>.jsonl  one line a fold; a file has one writer
      predictions/<cell>.parquet    written whole before its record is
      models/<cell>.safetensors     trained models, where the study keeps them
      insight/<cell>.safetensors    a look inside one training of an arm, where it asks for that
      groups/<n>.parquet            the groups of each utterance that corpus n tests
      environments/<hash>.json      where the trainings ran
      meters/<cell>-<process>.json  speed, memory and size of each variant
      optuna.db                     the search's own storage

A record counts only when its line is whole, and its predictions are there before it: a kill at
any moment loses the training under way and nothing else.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from serlab.bench.contracts import (
    FoldResult,
    Groups,
    Measurement,
    Predictions,
    Status,
    digest,
    plain,
)
from serlab.bench.errors import BadFile, BadValue
from serlab.bench.insight import Insight, read_insight

RECORD_SCHEMA = 1

_MOST_COLUMNS = 500
"""That are kept to be shared: of predictions ids, speakers, parts and frames of each fold."""


class Store:
    """One run's folder.

    Args:
        path: the folder; made by `create`, expected to be there otherwise.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._line_file: Path | None = None
        self._columns: dict[tuple[object, ...], tuple[Any, ...]] = {}

    @classmethod
    def create(cls, path: str | Path) -> Store:
        """Opens a run folder, making it where it is missing.

        Raises:
            BadFile: the folder cannot be made or written to.
        """
        store = cls(path)
        try:
            for name in ("records", "predictions", "groups", "environments", "meters"):
                (store.path / name).mkdir(parents=True, exist_ok=True)
            probe = store.path / f".probe-{uuid.uuid4().hex}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise BadFile(path, f"cannot write the run here: {error.strerror}") from None
        return store

    @classmethod
    def open(cls, path: str | Path) -> Store:
        """Opens a run folder that is there.

        Raises:
            BadFile: there is no run in the folder.
        """
        if not (Path(path) / "resolved.json").is_file():
            raise BadFile(path, "holds no run (resolved.json is missing)")
        return cls(path)

    # --- writing ---

    def append(self, result: FoldResult) -> None:
        """Adds a training's record, after its predictions."""
        record = plain({**_shallow(result), "schema": RECORD_SCHEMA})
        del record["predictions"]
        if result.predictions is not None:
            self._write_predictions(result)
        if self._line_file is None:
            name = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}.jsonl"
            self._line_file = self.path / "records" / name
        with self._line_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _write_predictions(self, result: FoldResult) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        held = result.predictions
        assert held is not None
        columns: dict[str, Any] = {  # arrow takes arrays and lists alike
            "id": held.ids,
            "speaker": held.speakers,
            "part": held.parts,
        }
        if held.frames:
            columns["frame"] = np.array(held.frames, np.int32)
            for index in range(held.truth.shape[1]):
                columns[f"truth_{index}"] = held.truth[:, index].astype(np.float32)
        else:
            columns["truth"] = held.truth.astype(np.int16)
        for index in range(held.scores.shape[1]):
            columns[f"score_{index}"] = held.scores[:, index].astype(np.float32)
        path = self._predictions_path(result.cell)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        few = ["id", "speaker", "part", "frame", "truth"]  # values; scores are all different
        pq.write_table(pa.table(columns), temporary, compression="zstd", use_dictionary=few)
        temporary.replace(path)

    def write_groups(self, number: int, groups: Groups) -> None:
        """Writes the groups of the tested utterances of a corpus, by its place in the study."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = {"id": groups.ids, "speaker": groups.speakers, **groups.values}
        texts = {name: pa.array(column, pa.string()) for name, column in columns.items()}
        path = self._groups_path(number)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        pq.write_table(pa.table(texts), temporary, compression="zstd")
        temporary.replace(path)

    def _groups_path(self, number: int) -> Path:
        return self.path / "groups" / f"{number}.parquet"

    def checkpoint_path(self, cell: str) -> Path:
        """Where the trained model of a cell is kept, if the study keeps its models."""
        return self.path / "models" / f"{quote(cell, safe='')}.safetensors"

    def insight_path(self, cell: str) -> Path:
        """Where a look inside the training of a cell is kept, if the study asks for one."""
        return self.path / "insight" / f"{quote(cell, safe='')}.safetensors"

    def _predictions_path(self, cell: str) -> Path:
        """A fold may be named after a speaker, and a speaker may be called anything."""
        return self.path / "predictions" / f"{quote(cell, safe='')}.parquet"

    def write_json(self, name: str, value: object) -> Path:
        """Writes a file of the run in one step; ``name`` is relative to the folder."""
        path = self.path / name
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(json.dumps(plain(value), indent=1) + "\n", encoding="utf-8")
        temporary.replace(path)
        return path

    def keep_environment(self, facts: Mapping[str, object]) -> str:
        """Stores an environment fingerprint once and returns its hash."""
        name = digest(facts)[:16]
        if not (self.path / "environments" / f"{name}.json").exists():
            self.write_json(f"environments/{name}.json", facts)
        return name

    # --- reading ---

    def read_json(self, name: str) -> Any:  # JSON values of any shape
        """A JSON file of the run."""
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BadFile(path, f"is not readable as JSON: {error}") from None

    def resolved(self) -> Any:  # JSON values of any shape
        """Everything that the study came to."""
        return self.read_json("resolved.json")

    def records(self) -> Iterator[FoldResult]:
        """The records without their predictions.

        Of a cell written twice the first counts, but a failure counts only where nothing else
        is: a later run has tried again.
        """
        failed: dict[str, FoldResult] = {}
        seen: set[str] = set()
        for result in self._lines():
            if result.status is Status.FAILED:
                failed.setdefault(result.cell, result)
            elif result.cell not in seen:
                seen.add(result.cell)
                yield result
        yield from (result for cell, result in failed.items() if cell not in seen)

    def _lines(self) -> Iterator[FoldResult]:
        for path in sorted((self.path / "records").glob("*.jsonl")):
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, 1):
                    if line.endswith("\n"):  # without its end it is of a writer that was killed
                        yield _result(line, f"{path}:{number}")

    def done(self) -> set[str]:
        """Cells that need no training any more."""
        return {r.cell for r in self.records() if r.status is not Status.FAILED}

    def groups(self, number: int) -> Groups:
        """The groups of the tested utterances of a corpus, by its place in ``resolved.json``.

        There are none, nor utterances, where the run was told of no group of that corpus.

        Raises:
            BadFile: they are damaged.
        """
        path = self._groups_path(number)
        if not path.exists():
            return Groups(ids=(), speakers=(), values={})
        table = _table(path)
        columns = {name: tuple(table[name].to_pylist()) for name in table.column_names}
        if not {"id", "speaker"} <= set(columns):
            raise BadFile(path, "holds no groups: the columns id and speaker are not both there")
        return Groups(ids=columns.pop("id"), speakers=columns.pop("speaker"), values=columns)

    def predictions(self, cell: str) -> Predictions:
        """The predictions of one cell.

        Raises:
            BadFile: they are missing or damaged.
        """
        table = _table(self._predictions_path(cell))

        def columns(prefix: str) -> Any:  # an array (row, column)
            names = [n for n in table.column_names if n.startswith(prefix)]
            return np.stack([table[n].to_numpy() for n in names], axis=1)

        rated = "frame" in table.column_names
        return Predictions(
            ids=self._shared(table["id"]),
            speakers=self._shared(table["speaker"]),
            parts=self._shared(table["part"]),
            truth=columns("truth_") if rated else table["truth"].to_numpy().astype(np.int64),
            scores=columns("score_"),
            frames=self._shared(table["frame"]) if rated else (),
        )

    def _shared(self, column: Any) -> tuple[Any, ...]:  # an arrow column; pyarrow has no types
        """The column's values; equal columns are held once, as every trial of a fold has them."""
        array = column.combine_chunks()
        held = (bytes(buffer) if buffer else b"" for buffer in array.buffers())
        key = (array.type, len(array), array.offset, *held)
        known = self._columns.get(key)
        if known is not None:
            return known
        if len(self._columns) >= _MOST_COLUMNS:
            self._columns.clear()
        self._columns[key] = tuple(array.to_pylist())
        return self._columns[key]

    def insight(self, cell: str) -> Insight | None:
        """The look inside the training of a cell; None where none is kept.

        Raises:
            BadFile: it is damaged.
        """
        path = self.insight_path(cell)
        return read_insight(path) if path.exists() else None

    def meters(self) -> dict[str, dict[str, Any]]:  # JSON values
        """What the pass after the trials wrote, by the names of the files without the ending.

        Raises:
            BadFile: a file is damaged.
        """
        found = {}
        for path in sorted((self.path / "meters").glob("*.json")):
            found[path.stem] = self.read_json(f"meters/{path.name}")
            if not isinstance(found[path.stem], dict):
                raise BadFile(path, "is no record of the meters")
        return found


def _table(path: Path) -> Any:  # an arrow table; pyarrow has no types
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # for small files: read_table takes thrice as long to open one
        with pq.ParquetFile(path, pre_buffer=False) as file:
            return file.read(use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise BadFile(path, f"is not readable as Parquet: {error}") from None


def _shallow(result: FoldResult) -> dict[str, object]:
    return {**vars(result), "predictions": None}


def _result(line: str, where: str) -> FoldResult:
    try:
        record = json.loads(line)
        if record.pop("schema") != RECORD_SCHEMA:
            raise BadValue(f"{where}: schema", line[:40], f"{RECORD_SCHEMA}, as this serlab writes")
        record["status"] = Status(record["status"])
        record["curves"] = {k: tuple(v) for k, v in record["curves"].items()}
        record["measurements"] = {k: Measurement(**v) for k, v in record["measurements"].items()}
        return FoldResult(**record)
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(where, f"is no record of a training: {error}") from None
