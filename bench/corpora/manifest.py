"""A corpus that a table describes: CSV or JSON lines, one utterance a row.

====================  =====================================================================
column                meaning
====================  =====================================================================
path, speaker         the audio file, relative to the manifest, and who speaks (required)
emotion               the class; empty where it is not known
id                    the utterance's name; by default the path without its suffix
session, dialogue     groups of utterances
turn                  place in the dialogue, an integer
text, sentence        what is said, and which prompt it is
start, end            the part of the file, in seconds
split                 train, validation (dev, devel, valid, val) or test
traces                CSV of continuous labels: a column of time, then one for each dimension
====================  =====================================================================

Other columns are kept as facts of the utterance. A path that leads out of the manifest's folder
(``..``, an absolute one, one with a drive) is refused, since tables come from others; a link inside
the folder is followed wherever it leads, since it was made on this machine.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, FloatArray, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA
from serlab.bench.corpora.tables import csv_rows, json_rows
from serlab.bench.errors import BadFile, BadValue, UnknownName

COLUMNS = (
    "path", "speaker", "emotion", "id", "session", "dialogue", "turn", "text", "sentence",
    "start", "end", "split", "traces",
)  # fmt: skip
REQUIRED = ("path", "speaker")
PARTS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "devel": "validation",
    "test": "test",
}
_NEAR = 0.8
"""From this likeness on, an unknown column is taken for a misspelt known one."""


_Facts = dict[tuple[tuple[str, str], ...], dict[str, str]]
"""Facts that several utterances have alike are kept once: tables may have a million rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    """The cells of one line that are not empty."""

    manifest: Path
    folder: str
    line: int
    cells: Mapping[str, str]

    def bad(self, column: str, problem: str) -> BadFile:
        """The error for one cell."""
        return BadFile(f"{self.manifest}:{self.line}", f'column "{column}" {problem}')

    def number(self, column: str) -> float | None:
        """A cell as a finite number of at least 0."""
        if column not in self.cells:
            return None
        try:
            value = float(self.cells[column])
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0):
            raise self.bad(column, f"is {self.cells[column]!r}: expected seconds, 0 or more")
        return value

    def written(self, column: str) -> str:
        """A cell as the path of a file below the manifest's folder, relative to that."""
        path = os.path.normpath(self.cells[column].replace("\\", "/"))
        drive = len(path) > 1 and path[1] == ":"
        if drive or os.path.isabs(path) or path.split(os.sep, 1)[0] == "..":
            raise self.bad(
                column, f"is {self.cells[column]!r}: expected a path inside the manifest's folder"
            )
        return path

    def file(self, column: str) -> Path:
        """The same as a path that can be opened."""
        return Path(self.folder, self.written(column))


@CORPORA.register(
    "manifest",
    title="A corpus described by a table (CSV or JSON lines)",
    language="as the table's audio",
    licence="as the table's owner says",
    source="a manifest file",
    needs_root=True,
    root_may_be_file=True,
    counts={},
    options={
        "file": "manifest.csv",
        "name": "manifest",
        "labels": "",
        "rename": "",
        "trace_rate_hz": 10.0,
    },
)
def manifest(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Any corpus, by a table with the columns path, speaker, emotion and some more.

    Options: ``file`` is the table's name in the folder (``.csv``, ``.tsv`` or ``.jsonl``);
    ``name`` names the corpus; ``labels`` are the classes with commas between them (by default
    those that occur); ``rename`` maps other column names, such as ``"file=path label=emotion"``;
    ``trace_rate_hz`` is the rate of the continuous labels.

    Raises:
        BadFile: the table cannot be read, or a cell is wrong; names line and column.
        BadValue: an option is malformed.
    """
    assert root is not None
    table = root if root.is_file() else root / str(options["file"])
    if not table.is_file():
        raise BadFile(table, 'there is no such manifest (the option "file" names it)')
    rate = float(options["trace_rate_hz"])
    if not 0 < rate < 1e5:
        raise BadValue("manifest.trace_rate_hz", rate, "frames per second, more than 0")
    rows = _rows(table, _renaming(str(options["rename"])))
    dimensions: tuple[str, ...] = ()
    utterances, lines, known = [], dict[str, int](), _Facts()
    for row in rows:
        if "traces" in row.cells and not dimensions:
            dimensions = _dimensions(row.file("traces"))
        utterance = _utterance(row, dimensions, rate, known)
        if utterance.id in lines:
            raise row.bad("id", f"is {utterance.id!r}, as on line {lines[utterance.id]} already")
        lines[utterance.id] = row.line
        utterances.append(utterance)
    return Corpus(
        name=str(options["name"]),
        utterances=tuple(utterances),
        labels=_labels(str(options["labels"]), utterances),
        licence="as the manifest's owner says",
        source=table.name,
        dimensions=dimensions,
    )


def _labels(asked: str, utterances: list[Utterance]) -> tuple[str, ...]:
    given = tuple(label.strip() for label in asked.split(",") if label.strip())
    return given or tuple(sorted({u.emotion for u in utterances if u.emotion is not None}))


def _utterance(row: _Row, dimensions: tuple[str, ...], rate_hz: float, known: _Facts) -> Utterance:
    cells, start, end = row.cells, row.number("start"), row.number("end")
    part = start is not None or end is not None
    if end is not None and end <= (start or 0):
        raise row.bad("end", f"is {end:g}: expected more than the start, {start or 0:g}")
    stem = os.path.splitext(row.written("path"))[0].replace(os.sep, "/")
    span = f":{start or 0:g}-{'end' if end is None else format(end, 'g')}" if part else ""
    others = tuple((key, value) for key, value in cells.items() if key not in COLUMNS)
    traces = None
    if "traces" in cells:
        traces = TraceFile(path=row.file("traces"), dimensions=dimensions, rate_hz=rate_hz)
    return Utterance(
        id=cells.get("id", stem + span),
        speaker=cells["speaker"],
        audio=AudioFile(path=row.file("path"), start_s=start, end_s=end),
        emotion=cells.get("emotion"),
        session=cells.get("session"),
        dialogue=cells.get("dialogue"),
        turn=_turn(row),
        text=cells.get("text"),
        sentence=cells.get("sentence"),
        partition=_partition(row),
        source=stem if part else None,
        traces=traces,
        facts=known.setdefault(others, dict(others)),
    )


def _turn(row: _Row) -> int | None:
    text = row.cells.get("turn")
    if text is None:
        return None
    try:
        return int(text)
    except ValueError:
        raise row.bad("turn", f"is {text!r}: expected an integer") from None


def _partition(row: _Row) -> str | None:
    text = row.cells.get("split")
    if text is None:
        return None
    if text.lower() not in PARTS:
        where = f'{row.manifest}:{row.line}: column "split"'
        raise UnknownName("part", text, PARTS, where=where)
    return PARTS[text.lower()]


# --- the table ------------------------------------------------------------------------------


def _renaming(text: str) -> dict[str, str]:
    pairs = [pair.split("=") for pair in text.split()]
    for pair in pairs:
        if len(pair) != 2 or not all(pair):
            raise BadValue("manifest.rename", text, 'pairs such as "file=path label=emotion"')
        if pair[1] not in COLUMNS:
            raise UnknownName("column", pair[1], COLUMNS, where="manifest.rename")
    return {pair[0]: pair[1] for pair in pairs}


def _rows(table: Path, renaming: Mapping[str, str]) -> Iterator[_Row]:
    read = json_rows if table.suffix.lower() in (".jsonl", ".ndjson", ".json") else csv_rows
    known: tuple[str, ...] = ()
    folder, shared = str(table.parent), dict[str, str]()
    for line, cells in read(table):
        if renaming:
            renamed = {renaming.get(key, key): value for key, value in cells.items()}
            if len(renamed) < len(cells):
                raise BadFile(f"{table}:{line}", "the option rename gives two columns one name")
            cells = renamed
        if tuple(cells) != known:
            known = tuple(cells)
            _check_columns(table, known)
        filled = _filled(table, line, cells, shared)
        row = _Row(manifest=table, folder=folder, line=line, cells=filled)
        for column in REQUIRED:
            if column not in row.cells:
                raise row.bad(column, "is empty")
        yield row


def _check_columns(table: Path, columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in COLUMNS:
            near = difflib.get_close_matches(column.lower().strip(), COLUMNS, n=1, cutoff=_NEAR)
            if near and near[0] not in columns:
                raise BadFile(table, f'column "{column}": did you mean "{near[0]}"?')
    for column in REQUIRED:
        if column not in columns:
            known = ", ".join(columns)
            raise BadFile(
                table,
                f'has no column "{column}"; it has {known} (the option rename="other={column}" '
                "takes a column of another name)",
            )


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_OWN = ("path", "id", "text")
"""Columns whose cells differ from row to row; others' are kept once, however often they stand."""


def _filled(
    table: Path, line: int, cells: Mapping[str, str], shared: dict[str, str]
) -> dict[str, str]:
    found = {}
    for column, cell in cells.items():
        value = cell.strip()
        if not value:
            continue
        if _CONTROL.search(value):
            raise BadFile(f"{table}:{line}", f'column "{column}" has control characters')
        found[column] = value if column in _OWN else shared.setdefault(value, value)
    return found


# --- continuous labels ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TraceFile:
    """Continuous labels from a CSV file whose first column is the time in seconds."""

    path: Path
    dimensions: tuple[str, ...]
    rate_hz: float

    def read(self) -> FloatArray:
        """The values, shape (frame, dimension).

        Raises:
            BadFile: no numbers, other dimensions, or times that do not go on at ``rate_hz``.
        """
        if _dimensions(self.path) != self.dimensions:
            names = ", ".join(self.dimensions)
            raise BadFile(self.path, f"expected the dimensions {names} after the time")
        rows = csv_rows(self.path)
        try:
            values = np.array([[float(c) for c in cells.values()] for _, cells in rows])
        except ValueError as error:
            raise BadFile(self.path, f"is no table of numbers: {error}") from None
        if not np.isfinite(values).all():
            raise BadFile(self.path, "has values that are NaN or infinite")
        steps = np.diff(values[:, 0])
        if len(steps) and np.abs(steps * self.rate_hz - 1).max() > 0.05:
            what = f"its times do not go on in steps of {1 / self.rate_hz:g} s"
            raise BadFile(self.path, f"{what} (the option trace_rate_hz sets the rate)")
        return values[:, 1:].astype(np.float32)


def _dimensions(path: Path) -> tuple[str, ...]:
    for _, cells in csv_rows(path):
        columns = list(cells)
        break
    else:
        raise BadFile(path, "has no rows")
    if len(columns) < 2:
        raise BadFile(path, "expected a column of time and one for each dimension")
    return tuple(columns[1:])
