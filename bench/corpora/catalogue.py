"""Databases in audformat: a folder with ``db.yaml`` and tables, or one by name through audb.

audformat (audeering.github.io/audformat) keeps labels in tables ``db.<table>.csv`` or ``.parquet``
whose rows are files, or stretches of them from start to end; ``db.yaml`` tells every table's
columns and the schemes of their labels. audb (audeering.github.io/audb) loads such databases by
name from the repositories of its own settings into its own cache.

Columns are found by their names or by those of their schemes. Where a label stands in tables of
parts, such as ``emotion.categories.train.gold_standard``, these are the corpus's partitions.
Pickled copies of tables (``db.<table>.pkl``) are never opened in a folder.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA
from serlab.bench.corpora.columns import KNOWN, class_of, renaming
from serlab.bench.corpora.manifest import PARTS
from serlab.bench.errors import BadFile, BadValue, MissingExtra, SerlabError, UnknownName
from serlab.bench.media import sound_of

Place = tuple[str, float, float | None]
"""A file and where a stretch of it starts and ends, in seconds; None is the file's end."""
TEXTS = ("text", "sentence", "session", "dialogue", "turn")
SEX = {"gender": "sex"}


@CORPORA.register(
    "audformat",
    title="A database in audformat",
    language="as the database says",
    licence="as the database says",
    source="a database in audformat",
    needs_root=True,
    counts={},
    options={"emotion": "", "speaker": "", "text": "", "sentence": "", "session": "", "rename": ""},
)
def audformat(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Labels, speakers and what else a database tells of its files.

    Options: ``emotion``, ``speaker``, ``text``, ``sentence`` and ``session`` are columns as
    ``"table.column"``, in which ``*`` stands for anything (by default columns or schemes of that
    name); ``rename`` says what labels become, such as ``"lively=happiness"``. ``speaker = "none"``
    takes all utterances for one speaker's: every split then leaks.

    Raises:
        MissingExtra: audformat is not installed.
        BadFile: there is no such database, audformat cannot read it, or a file is missing.
        SerlabError: a column is not found, or several could be meant.
    """
    library = _library("audformat")
    assert root is not None
    if not (root / "db.yaml").is_file():
        raise BadFile(root, "holds no database in audformat: it has no db.yaml")
    with TemporaryDirectory() as folder, _told(root / "db.yaml"):
        for path in root.glob("db.*"):
            if path.suffix in (".yaml", ".csv", ".parquet"):
                shutil.copyfile(path, Path(folder) / path.name)
        return _corpus(library.Database.load(folder), root, options)


@CORPORA.register(
    "audb",
    title="A database of the audb catalogue, by name",
    language="as the database says",
    licence="as the database says",
    source="a database loaded by audb",
    needs_root=False,
    counts={},
    options={
        "name": "",
        "version": "",
        "emotion": "",
        "speaker": "",
        "text": "",
        "sentence": "",
        "session": "",
        "rename": "",
    },
)
def audb(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """A database by ``name`` (and ``version``, by default the latest), in audb's own cache.

    All other options are those of the corpus audformat.

    Raises:
        MissingExtra: audb is not installed.
        SerlabError: audb cannot load it; and as for audformat.
    """
    library, name = _library("audb"), str(options["name"])
    if not name:
        raise BadValue("audb.name", name, 'the name of a database, such as "emodb"')
    version = str(options["version"]) or None
    with _told(name):
        loaded = library.load(
            name, version=version, full_path=False, pickle_tables=False, verbose=False
        )
        return _corpus(loaded, Path(loaded.meta["audb"]["root"]), options)


def _library(name: str) -> Any:  # an untyped library
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        raise MissingExtra(f"the corpus {name}", name) from None


@contextmanager
def _told(where: object) -> Iterator[None]:
    """Whatever a library raises on a broken database, in one line."""
    try:
        yield
    except SerlabError:
        raise
    except Exception as error:  # the libraries raise of every kind
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise BadFile(str(where), f"cannot be read: {lines[0]}") from None


# --- columns --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Column:
    """A column of a table, and the part of the corpus that the table is, if it is one."""

    table: str
    name: str
    column: Any  # audformat is untyped
    part: str | None

    @property
    def full(self) -> str:
        """As an option names it."""
        return f"{self.table}.{self.name}"

    def cells(self) -> Iterator[tuple[Place, Any]]:  # cells of any type
        """Every row that is not empty, with where it is."""
        values = self.column.get()
        values = values[values.notna()]
        for key, value in zip(values.index, values.tolist(), strict=True):
            file, start, end = key if isinstance(key, tuple) else (key, None, None)
            yield (str(file), _seconds(start) or 0.0, _seconds(end)), value


def _seconds(time: Any) -> float | None:  # a Timedelta, NaT or None
    return None if time is None or time != time else round(float(time.total_seconds()), 6)


def _columns(db: Any) -> list[_Column]:  # an untyped database
    return [
        _Column(table=t, name=c, column=table.columns[c], part=_part(db, t, table))
        for t, table in db.tables.items()
        for c in table.columns
    ]


def _part(db: Any, name: str, table: Any) -> str | None:  # as above
    """The partition that a table is: by its split, else by a word of its name."""
    split = db.splits[table.split_id].type if table.split_id else None
    return next((PARTS[w] for w in (str(split), *name.split(".")) if w in PARTS), None)


def _chosen(columns: list[_Column], what: str, asked: str) -> list[_Column]:
    """The columns of that kind: those asked for, else those of that name or scheme.

    Of several, those of tables that are parts give way to those of tables that are none.
    """
    if asked:
        found = [c for c in columns if fnmatch.fnmatchcase(c.full, asked)]
        if not found:
            raise UnknownName("column", asked, (c.full for c in columns), where=what)
        return found
    found = [c for c in columns if {c.name, c.column.scheme_id} & set(KNOWN[what])]
    exact = [c for c in found if c.name in KNOWN[what]]
    found = exact or found
    return [c for c in found if c.part is None] or found


def _emotions(columns: list[_Column], asked: str, where: object) -> dict[Place, str]:
    """The label of every row of the column, or of a column in the table of each part."""
    found = _chosen(columns, "emotion", asked)
    listed = ", ".join(c.full for c in columns) or "none"
    if not found:
        raise BadFile(str(where), f'no column is called emotion; say emotion="table.column" '
                      f"with one of {listed}")  # fmt: skip
    parts = [c.part for c in found]
    if not asked and len(found) > 1 and (None in parts or len(set(parts)) < len(parts)):
        several = ", ".join(c.full for c in found)
        what = f'which are the emotions, {several}? Say emotion="table.column" (* is anything)'
        raise BadFile(str(where), what)
    return _merged(found, str)


def _merged(columns: Iterable[_Column], of: Callable[[Any], str]) -> dict[Place, str]:
    """What the columns say of each place; raises BadFile where two say different things."""
    said: dict[Place, str] = {}
    for column in columns:
        for place, value in column.cells():
            if said.setdefault(place, of(value)) != of(value):
                what = f"{said[place]} and, in {column.full}, {of(value)}"
                raise BadFile(place[0], f"is said to be two things: {what}")
    return said


# --- utterances -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Facts:
    """What columns of one kind say of places, or of whole files."""

    said: Mapping[Place, str] = field(default_factory=dict)

    def of(self, place: Place) -> str | None:
        """Of the stretch, else of its file."""
        return self.said.get(place) or self.said.get((place[0], 0.0, None))


def _corpus(db: Any, root: Path, options: Mapping[str, Scalar]) -> Corpus:  # an untyped database
    columns = _columns(db)
    labels = _emotions(columns, str(options["emotion"]), db.name)
    parts = _Facts(said=_parts(columns, _chosen(columns, "emotion", str(options["emotion"]))))
    renamed = renaming(str(options["rename"]), key="rename")
    speakers, told = _speakers(columns, str(options["speaker"]), db)
    texts = {w: _texts(columns, w, str(options.get(w, "")), db) for w in TEXTS}
    utterances = []
    for place, label in labels.items():
        speaker = speakers.of(place) if speakers else "unknown"
        if not speaker:
            raise BadFile(root / place[0], "no table tells who speaks")
        said = {w: facts.of(place) for w, facts in texts.items()}
        found = _utterance(root, place, speaker, said)
        emotion, facts = class_of(label, renamed) or None, dict(told.get(speaker, {}))
        facts |= {} if emotion else {"label": label or "none"}
        utterances.append(
            Utterance(**found, emotion=emotion, partition=parts.of(place), facts=facts)
        )
    return Corpus(
        name=str(db.name),
        utterances=tuple(utterances),
        labels=tuple(sorted({u.emotion for u in utterances if u.emotion is not None})),
        licence=str(db.license or db.usage),
        source=str(db.source),
    )


def _utterance(
    root: Path, place: Place, speaker: str, said: Mapping[str, str | None]
) -> dict[str, Any]:  # fields of an utterance
    file, start, end = place
    path = os.path.normpath(file)
    if os.path.isabs(path) or path.split(os.sep)[0] == "..":
        raise BadFile(root / "db.yaml", f"names {file}: expected a path inside the folder")
    if not (root / path).is_file():
        raise BadFile(root / path, "there is no such file, and the database has labels of it")
    stem = Path(path).with_suffix("").as_posix()
    part = start > 0 or end is not None
    turn = said["turn"] or ""
    return {
        "id": f"{stem}:{start:g}-{'end' if end is None else format(end, 'g')}" if part else stem,
        "speaker": speaker,
        "audio": replace(sound_of(root / path), start_s=start if part else None, end_s=end),
        "source": stem if part else None,
        "text": said["text"],
        "sentence": said["sentence"],
        "session": said["session"],
        "dialogue": said["dialogue"],
        "turn": int(turn) if turn.isdigit() else None,
    }


def _parts(columns: list[_Column], chosen: list[_Column]) -> dict[Place, str]:
    """The partition of each place: tables of parts hold a column of the chosen ones' names."""
    names, said = {c.name for c in chosen}, dict[Place, str]()
    for column in columns:
        if column.name in names and column.part:
            for place, _ in column.cells():
                if said.setdefault(place, column.part) != column.part:
                    raise BadFile(place[0], f"is in two parts, {said[place]} and {column.part}")
    return said


def _speakers(
    columns: list[_Column], asked: str, db: Any
) -> tuple[_Facts | None, dict[str, dict[str, str]]]:  # an untyped database
    """Who speaks where, and what the database tells of each of them."""
    if asked == "none":
        return None, {}
    chosen = _chosen(columns, "speaker", asked)
    if not chosen:
        raise BadFile(
            str(db.name),
            "no column is called speaker, without which no fold can be told to be "
            'speaker-independent; say speaker="table.column" with one of '
            f'{", ".join(c.full for c in columns)}; or speaker="none", which takes all '
            "utterances for one speaker's, so that every split is marked as leaking",
        )
    told = {
        str(key): {SEX.get(str(k), str(k)): str(v) for k, v in about.items() if not pd.isna(v)}
        for column in chosen
        for key, about in _labels(db, column).items()
        if isinstance(about, Mapping)
    }
    return _Facts(said=_merged(chosen, str)), told


def _texts(columns: list[_Column], what: str, asked: str, db: Any) -> _Facts:  # as above
    """A column of words; a text whose scheme spells its labels out is spelt out.

    Where no column tells which sentence is read, such labels do.
    """
    said: dict[Place, str] = {}
    chosen = _chosen(columns, what, asked)
    if what == "sentence" and not chosen:
        chosen = [c for c in _chosen(columns, "text", "") if _labels(db, c)]
    for column in chosen:
        spelt = {str(k): v for k, v in _labels(db, column).items() if what == "text"}
        for place, value in column.cells():
            about = spelt.get(str(value), value)
            first = next(iter(about.values()), value) if isinstance(about, Mapping) else about
            said.setdefault(place, str(first))
    return _Facts(said=said)


def _labels(db: Any, column: _Column) -> Mapping[Any, Any]:  # as above
    """What a column's scheme tells of each label: a dictionary, or a table of the database."""
    labels = db.schemes[column.column.scheme_id].labels if column.column.scheme_id else None
    if isinstance(labels, str):
        table: Mapping[Any, Any] = db.misc_tables[labels].get().astype(object).to_dict("index")
        return table
    return labels if isinstance(labels, Mapping) else {}
