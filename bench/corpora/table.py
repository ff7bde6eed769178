"""A corpus that is a table of features: CSV, TSV or Parquet, one utterance a row, no audio.

Columns are found by their usual names, whatever their case: ``speaker`` (or speaker_id, spk, actor
...) and ``emotion`` (or label, class ...) are needed; id, session, dialogue, turn, text, sentence
and split (train, validation, dev or test) are taken where they are. All other columns of numbers
are features, but for an index that pandas wrote; all other columns of words are facts. The option
``functionals = "supplied"`` of a system reads the features.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA
from serlab.bench.corpora.columns import (
    KNOWN,
    class_of,
    find_column,
    matching,
    need_column,
    renaming,
)
from serlab.bench.corpora.manifest import PARTS
from serlab.bench.corpora.tables import csv_rows
from serlab.bench.errors import BadFile, UnknownName

INDEX = re.compile(r"|index|level_\d+|Unnamed: \d+|__index_level_\d+__")
"""Columns that number the rows: where the rows are sorted by class, they would tell it."""
COLUMNS = tuple(what for what in KNOWN if what != "audio")


@CORPORA.register(
    "table",
    title="A table of features (CSV, TSV or Parquet), without audio",
    language="as the table's utterances",
    licence="as the table's owner says",
    source="a table of features",
    needs_root=True,
    root_may_be_file=True,
    counts={},
    options={
        "file": "features.csv",
        "name": "table",
        "features": "",
        "rename": "",
        "id": "",
        "emotion": "",
        "speaker": "",
        "session": "",
        "dialogue": "",
        "turn": "",
        "text": "",
        "sentence": "",
        "split": "",
    },
)
def table(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Precomputed features as the corpus's vectors "features".

    Options: ``file`` is the table's name in the folder; ``name`` names the corpus; ``features``
    chooses columns by patterns with commas between them, such as ``"F0*, loudness*"``; ``rename``
    says what labels become, such as ``"lively=happiness"``; every other option names a column.
    ``speaker = "none"`` takes all utterances for one speaker's: every split then leaks.

    Raises:
        BadFile: the table cannot be read, or a cell is wrong or missing; names row and column.
        SerlabError: a column is not found, or an option is malformed.
    """
    assert root is not None
    path = root if root.is_file() else root / str(options["file"])
    if not path.is_file():
        raise BadFile(path, 'there is no such table (the option "file" names it)')
    source = _Parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _Csv(path)
    columns = source.columns()
    found = _found(columns, options, str(path))
    patterns = str(options["features"])
    chosen = matching(columns, patterns, key="table.features") if patterns else None
    renamed = renaming(str(options["rename"]), key="table.rename")
    utterances, places = [], dict[str, str]()
    for number, row in enumerate(source.rows(set(found.values()), chosen), 1):
        utterance = _utterance(row, number, found, renamed)
        if utterance.id in places:
            raise BadFile(row.where, f"its id is {utterance.id!r}, as in {places[utterance.id]}")
        places[utterance.id] = row.where
        utterances.append(utterance)
    return Corpus(
        name=str(options["name"]),
        utterances=tuple(utterances),
        labels=tuple(sorted({u.emotion for u in utterances if u.emotion is not None})),
        licence="as the table's owner says",
        source=path.name,
    )


def _found(columns: Sequence[str], options: Mapping[str, Scalar], path: str) -> dict[str, str]:
    """The table's column of each kind that it has."""
    found = {}
    for what in COLUMNS:
        asked = str(options[what])
        if what == "speaker" and asked == "none":
            continue
        look = need_column if what in ("speaker", "emotion") else find_column
        if column := look(columns, what, asked, table=path):
            found[what] = column
    return found


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A row of the table."""

    where: str
    cells: Mapping[str, str]
    features: tuple[float, ...]


def _utterance(
    row: _Row, number: int, found: Mapping[str, str], renamed: Mapping[str, str]
) -> Utterance:
    def cell(what: str) -> str | None:
        return row.cells[found[what]].strip() or None if what in found else None

    speaker, label, turn = cell("speaker"), cell("emotion") or "", cell("turn")
    if speaker is None and "speaker" in found:
        raise BadFile(row.where, f'column "{found["speaker"]}" is empty: every row needs a speaker')
    if turn is not None and not re.fullmatch(r"-?\d+", turn):
        raise BadFile(row.where, f'column "{found["turn"]}" is {turn!r}: expected an integer')
    split = cell("split")
    if split is not None and split.lower() not in PARTS:
        raise UnknownName("part", split, PARTS, where=f'{row.where}: column "{found["split"]}"')
    emotion = class_of(label, renamed) or None
    facts = {k: v for k, v in row.cells.items() if k not in found.values() and v.strip()}
    return Utterance(
        id=cell("id") or f"row{number}",
        speaker=speaker or "unknown",
        emotion=emotion,
        session=cell("session"),
        dialogue=cell("dialogue"),
        turn=None if turn is None else int(turn),
        text=cell("text"),
        sentence=cell("sentence"),
        partition=PARTS[split.lower()] if split else None,
        supplied={"features": row.features},
        facts=facts if emotion else {"label": label or "none", **facts},
    )


def _bad_cell(where: str, column: str, written: object) -> BadFile:
    shown = "is empty" if written in ("", None) else f"is {written!r}"
    return BadFile(where, f'column "{column}" {shown}: a feature must be a finite number')


def _refuse_no_features(path: Path, features: Collection[str]) -> None:
    if not features:
        raise BadFile(path, "has no column of numbers beside those that say who speaks and what")


class _Csv:
    """A text table, of commas, semicolons or tabs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def columns(self) -> list[str]:
        """Their names. Raises BadFile where there is no row."""
        return list(self._first())

    def _first(self) -> Mapping[str, str]:
        for _, cells in csv_rows(self.path):
            return cells
        raise BadFile(self.path, "has no rows")

    def rows(self, used: Collection[str], chosen: Sequence[str] | None) -> Iterator[_Row]:
        """Every row; features are the chosen columns, else those of numbers."""
        if chosen is not None:
            yield from self._rows(chosen)
            return
        first = self._first()
        features = [
            column
            for column, text in first.items()
            if column not in used and not INDEX.fullmatch(column) and _may_be_number(text)
        ]
        words = self._words(features)
        yield from self._rows([column for column in features if column not in words])

    def _words(self, features: Sequence[str]) -> set[str]:
        """Columns that began like numbers, or empty, and hold words, or nothing at all."""
        words, empty = set(), set(features)
        for _, cells in csv_rows(self.path):
            if not empty and _numbers(cells[column] for column in features):
                continue
            for column in features:
                text = cells[column]
                if not _may_be_number(text):
                    words.add(column)
                if text.strip():
                    empty.discard(column)
            features = [column for column in features if column not in words]
        return words | empty

    def _rows(self, features: Sequence[str]) -> Iterator[_Row]:
        _refuse_no_features(self.path, features)
        kept = set(features)
        for line, cells in csv_rows(self.path):
            where = f"{self.path}:{line}"
            values = _numbers(cells[column] for column in features)
            if values is None or not all(map(math.isfinite, values)):
                values = tuple(_number(where, column, cells[column]) for column in features)
            words = {k: v for k, v in cells.items() if k not in kept and not INDEX.fullmatch(k)}
            yield _Row(where=where, cells=words, features=values)


def _numbers(texts: Iterable[str]) -> tuple[float, ...] | None:
    """The texts as numbers; None where one is none."""
    try:
        return tuple(map(float, texts))
    except ValueError:
        return None


def _may_be_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return not text.strip()
    return True


def _number(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise _bad_cell(where, column, text.strip())
    return value


class _Parquet:
    """A Parquet table, whose columns have types."""

    def __init__(self, path: Path) -> None:
        import pyarrow.parquet

        self.path = path
        try:
            self.table: Any = pyarrow.parquet.read_table(path)  # pyarrow is untyped
        except (OSError, pyarrow.ArrowException) as error:
            problem = str(error).split("\n")[0]
            raise BadFile(path, f"cannot be read as Parquet: {problem}") from None

    def columns(self) -> list[str]:
        """Their names."""
        names: list[str] = self.table.column_names
        return names

    def rows(self, used: Collection[str], chosen: Sequence[str] | None) -> Iterator[_Row]:
        """Every row; features are the chosen columns, else those of numbers."""
        from pyarrow import types

        numbers = [
            f.name
            for f in self.table.schema
            if types.is_integer(f.type) or types.is_floating(f.type) or types.is_decimal(f.type)
        ]
        free = [c for c in numbers if c not in used and not INDEX.fullmatch(c)]
        features = free if chosen is None else chosen
        for column in features:
            if column not in numbers:
                raise BadFile(self.path, f'column "{column}" is {self._type(column)}, no numbers')
        _refuse_no_features(self.path, features)
        others = [c for c in self.columns() if c not in features and not INDEX.fullmatch(c)]
        n = self.table.num_rows
        words = self.table.select(others).to_pylist() if others else [{}] * n
        values = zip(*(self.table[column].to_pylist() for column in features), strict=True)
        for number, (cells, vector) in enumerate(zip(words, values, strict=True), 1):
            where = f"{self.path}, row {number}"
            for column, value in zip(features, vector, strict=True):
                if value is None or not math.isfinite(value):
                    raise _bad_cell(where, column, value)
            texts = {k: "" if v is None else str(v) for k, v in cells.items()}
            yield _Row(where=where, cells=texts, features=tuple(float(v) for v in vector))

    def _type(self, column: str) -> str:
        return str(self.table.schema.field(column).type)
