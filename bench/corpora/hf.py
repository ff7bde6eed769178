"""A dataset of the Hugging Face library, on disk: saved by ``save_to_disk``, or Parquet shards.

``Dataset.save_to_disk`` writes ``state.json``, which names Arrow files, beside these;
``DatasetDict.save_to_disk`` writes ``dataset_dict.json`` and a folder for each split. Shards of
Parquet are called such as ``data/train-00000-of-00002.parquet``, or lie in a folder for each split.
Both kinds of file keep the features' types (class names, audio) in their schema, so nothing but
pyarrow reads them here, and audio is decoded by soundfile alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from serlab.bench.audio import AudioFile, audio_of_bytes
from serlab.bench.contracts import Audio, AudioSource, Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA
from serlab.bench.corpora.columns import class_of, find_column, need_column, renaming
from serlab.bench.corpora.manifest import PARTS
from serlab.bench.corpora.tables import text_of
from serlab.bench.errors import BadFile

SHARD = re.compile(r"(?P<split>.*?)-\d+-of-\d+(-[0-9a-f]+)?")
OPTIONAL = ("session", "dialogue", "turn", "text", "sentence")


@CORPORA.register(
    "hf",
    title="A dataset saved by Hugging Face datasets, or its Parquet shards",
    language="as the dataset's audio",
    licence="as the dataset's owner says",
    source="a dataset on disk",
    needs_root=True,
    root_may_be_file=True,
    counts={},
    options={"name": "hf", "audio": "", "emotion": "", "speaker": "", "rename": ""},
)
def hf(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Audio, emotion and speaker columns of a dataset; its splits are the partitions.

    Options: ``name`` names the corpus; ``audio``, ``emotion`` and ``speaker`` name columns (by
    default found by their usual names); ``rename`` says what labels become, such as
    ``"lively=happiness"``. ``speaker = "none"`` takes all utterances for one speaker's: every
    split then leaks.

    Raises:
        BadFile: no dataset is there, a file cannot be read, or a row lacks speaker or audio.
        SerlabError: a column is not found, or an option is malformed.
    """
    assert root is not None
    renamed = renaming(str(options["rename"]), key="hf.rename")
    utterances: list[Utterance] = []
    for shard in _shards(root):
        utterances += _read(shard, options, renamed)
    return Corpus(
        name=str(options["name"]),
        utterances=_named(utterances),
        labels=tuple(sorted({u.emotion for u in utterances if u.emotion is not None})),
        licence="as the dataset's owner says",
        source=root.name,
    )


def _named(utterances: Sequence[Utterance]) -> tuple[Utterance, ...]:
    """With the ids of a column of ids, where it tells all utterances of all splits apart."""
    column = find_column(utterances[0].facts if utterances else (), "id", "", table="")
    ids = [u.facts.get(column or "") for u in utterances]
    if None in ids or len(set(ids)) < len(ids):
        return tuple(utterances)
    return tuple(replace(u, id=str(i)) for u, i in zip(utterances, ids, strict=True))


# --- files ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """A file of a split, and the number of rows of the split before its own."""

    root: Path
    path: Path
    split: str
    before: int


def _shards(root: Path) -> Iterator[_Shard]:
    """The dataset's files, split by split."""
    n_rows: dict[str, int] = {}
    for split, path in _files(root):
        before = n_rows.get(split, 0)
        yield _Shard(root=root if root.is_dir() else root.parent, path=path, split=split,
                     before=before)  # fmt: skip
        n_rows[split] = before + _opened(path).n_rows


def _files(root: Path) -> list[tuple[str, Path]]:
    if root.is_file():
        return [(_split_of(root), root)]
    if (root / "dataset_dict.json").is_file():
        table = root / "dataset_dict.json"
        splits = [_name(table, split) for split in _list(table, "splits")]
        return [(split, path) for split in splits for path in _saved(root / split)]
    if (root / "state.json").is_file():
        return [(str(_json(root / "state.json").get("_split") or ""), p) for p in _saved(root)]
    found = [(_split_of(path), path) for path in sorted(root.rglob("*.parquet"))]
    if not found:
        wanted = "dataset_dict.json, state.json or *.parquet"
        raise BadFile(root, f"holds no dataset that was saved to disk: expected {wanted}")
    return found


def _saved(folder: Path) -> list[Path]:
    """The Arrow files of one saved split."""
    state = _json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise BadFile(folder, "was saved with a table of indices: save it anew with datasets 2")
    table = folder / "state.json"
    files = _list(table, "_data_files")
    return [folder / _name(table, f.get("filename") if isinstance(f, dict) else f) for f in files]


def _list(path: Path, key: str) -> list[Any]:  # as above
    found = _json(path).get(key, [])
    if not isinstance(found, list):
        raise BadFile(path, f'"{key}" is {found!r}: expected a list')
    return found


def _name(path: Path, value: object) -> str:
    """The name of a file or folder beside a JSON file, and nowhere else."""
    if not isinstance(value, str) or not value or Path(value).name != value or "\0" in value:
        raise BadFile(path, f"names {value!r}: expected the name of a file or folder beside it")
    return value


def _json(path: Path) -> Mapping[str, Any]:  # JSON values
    try:
        found = json.loads(text_of(path))
    except (ValueError, RecursionError) as error:
        raise BadFile(path, f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadFile(path, "expected an object, as datasets writes it")
    return found


def _split_of(path: Path) -> str:
    """``train`` of ``train-00000-of-00002.parquet``, ``train.parquet``, ``train/0000.parquet``."""
    if match := SHARD.fullmatch(path.stem):
        return match["split"]
    return path.parent.name if path.stem.isdigit() else path.stem


class _Opened:
    """A file of rows, of which columns are read on demand."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.path = path
        try:
            if path.suffix == ".parquet":
                self.file: Any = pq.ParquetFile(path)  # pyarrow is untyped
                self.schema: Any = self.file.schema_arrow
                self.n_rows = int(self.file.metadata.num_rows)
            else:
                self.file = pa.ipc.open_stream(pa.memory_map(str(path))).read_all()
                self.schema = self.file.schema
                self.n_rows = int(self.file.num_rows)
        except (OSError, pa.ArrowException) as error:
            problem = str(error).split("\n")[0]
            raise BadFile(path, f"cannot be read as a table: {problem}") from None

        self.lock = Lock()
        self.last: tuple[int, str, Any] | None = None

    def columns(self, names: Sequence[str]) -> Any:  # an untyped table
        """Some columns of all rows; in Arrow files nothing is read before it is looked at."""
        if self.path.suffix == ".parquet":
            return self.file.read(columns=list(names))
        return self.file.select(list(names))

    def groups(self, column: str) -> Iterator[Any]:  # untyped columns
        """A column piece by piece, so that never all of its audio is in memory."""
        if self.path.suffix != ".parquet":
            yield self.file[column]
            return
        for group in range(self.file.num_row_groups):
            yield self.file.read_row_group(group, columns=[column])[column]

    def value(self, column: str, row: int) -> Any:  # a cell of any type
        """One cell."""
        if self.path.suffix != ".parquet":
            return self.file[column][row].as_py()
        for group in range(self.file.num_row_groups):
            n = self.file.metadata.row_group(group).num_rows
            if row < n:
                return self._group(group, column)[row].as_py()
            row -= n
        raise IndexError(row)

    def _group(self, group: int, column: str) -> Any:  # an untyped column
        """Part of a Parquet file; the last one is kept, as rows are mostly asked for in order."""
        with self.lock:
            if self.last is None or self.last[:2] != (group, column):
                values = self.file.read_row_group(group, columns=[column])[column]
                self.last = group, column, values
            return self.last[2]


def _opened(path: Path) -> _Opened:
    """The file, opened once as long as it does not change."""
    try:
        stat = path.stat()
    except OSError as error:
        raise BadFile(path, f"cannot be read: {error.strerror}") from None
    return _open(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=16)
def _open(path: Path, mtime_ns: int, size: int) -> _Opened:
    return _Opened(path)


# --- rows -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AudioBytes:
    """Audio that lies in a table; its bytes are read when they are asked for."""

    path: Path
    """The Arrow or Parquet file."""
    column: str
    row: int

    def name(self) -> str:
        """File and row, counted from 1."""
        return f"{self.path}, row {self.row + 1}"

    def read(self) -> Audio:
        """As `AudioFile.read`. Raises BadFile."""
        cell = _opened(self.path).value(self.column, self.row)
        return audio_of_bytes(cell["bytes"] if isinstance(cell, dict) else cell, self.name())


def _read(
    shard: _Shard, options: Mapping[str, Scalar], renamed: Mapping[str, str]
) -> Iterator[Utterance]:
    opened = _opened(shard.path)
    columns, table = list(opened.schema.names), str(shard.path)
    audio = need_column(columns, "audio", str(options["audio"]), table=table)
    kind = opened.schema.field(audio).type
    if not _is_audio(kind):
        raise BadFile(shard.path, f'column "{audio}" is {kind}: expected audio, bytes or paths')
    found = {"emotion": need_column(columns, "emotion", str(options["emotion"]), table=table)}
    if options["speaker"] != "none":
        found["speaker"] = need_column(columns, "speaker", str(options["speaker"]), table=table)
    for what in OPTIONAL:
        if column := find_column(columns, what, "", table=table):
            found[what] = column
    names = _class_names(opened.schema)
    plain = [c for c in columns if c != audio and _is_plain(opened.schema.field(c).type)]
    for what, column in found.items():
        if column not in plain:
            kind = opened.schema.field(column).type
            raise BadFile(shard.path, f'column "{column}" ({what}) is {kind}, not text or numbers')
    sources = _sources(shard, opened, audio)
    for row, cells in enumerate(opened.columns(plain).to_pylist()):
        texts = {c: _text(v, names.get(c)) for c, v in cells.items()}
        yield _utterance(shard, row, texts, sources[row], found, renamed)


def _utterance(
    shard: _Shard,
    row: int,
    texts: Mapping[str, str],
    audio: AudioSource,
    found: Mapping[str, str],
    renamed: Mapping[str, str],
) -> Utterance:
    def cell(what: str) -> str | None:
        return texts[found[what]] or None if what in found else None

    speaker, label, turn = cell("speaker"), cell("emotion") or "", cell("turn") or ""
    if speaker is None and "speaker" in found:
        raise BadFile(f"{shard.path}, row {row + 1}", f'column "{found["speaker"]}" is empty')
    emotion = class_of(label, renamed) or None
    facts = {k: v for k, v in texts.items() if k not in found.values() and v}
    split = {"split": shard.split} if shard.split else {}
    return Utterance(
        id=f"{shard.split or 'row'}-{shard.before + row}",
        speaker=speaker or "unknown",
        audio=audio,
        emotion=emotion,
        session=cell("session"),
        dialogue=cell("dialogue"),
        turn=int(turn) if turn.isdigit() else None,
        text=cell("text"),
        sentence=cell("sentence"),
        partition=PARTS.get(shard.split.lower()),
        facts={**split, **facts} if emotion else {"label": label or "none", **split, **facts},
    )


def _is_plain(kind: Any) -> bool:  # an untyped type of pyarrow
    from pyarrow import types

    tests = (types.is_string, types.is_large_string, types.is_integer, types.is_floating,
             types.is_boolean)  # fmt: skip
    return any(test(kind) for test in tests)


def _class_names(schema: Any) -> dict[str, list[str]]:  # as above
    """The names of the classes of every column that has some."""
    try:
        told = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = dict(told["info"]["features"]) if told else {}
    except (ValueError, KeyError, TypeError):
        features = {}
    return {
        column: [str(name) for name in feature["names"]]
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _text(value: object, names: Sequence[str] | None) -> str:
    """A cell as text: an index of a class by its name, -1 as no class."""
    if value is None or value != value:  # NaN
        return ""
    if names is None or not isinstance(value, int):
        return str(value).strip()
    return names[value] if 0 <= value < len(names) else ""


def _sources(shard: _Shard, opened: _Opened, column: str) -> list[AudioSource]:
    """Where each row's audio is: in the table, or in a file that it names."""
    kind = opened.schema.field(column).type
    places = [place for cells in opened.groups(column) for place in _places(cells, kind)]
    found: list[AudioSource] = []
    for row, (embedded, path) in enumerate(places):
        if embedded:
            found.append(AudioBytes(path=shard.path, column=column, row=row))
        else:
            found.append(_file(shard, row, column, path))
    return found


def _places(cells: Any, kind: Any) -> Iterator[tuple[bool, str | None]]:  # untyped, of pyarrow
    """Whether each cell holds audio, and the path of the file that it names."""
    import pyarrow.compute as pc
    from pyarrow import types

    if types.is_struct(kind):
        there = pc.is_valid(pc.struct_field(cells, "bytes")).to_pylist()
        return zip(there, pc.struct_field(cells, "path").to_pylist(), strict=True)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return ((valid, None) for valid in pc.is_valid(cells).to_pylist())
    return ((False, path) for path in cells.to_pylist())


def _is_audio(kind: Any) -> bool:  # as above
    """Whether cells may hold audio, or the path of a file of it."""
    from pyarrow import types

    if types.is_struct(kind):
        return {"bytes", "path"} <= {f.name for f in kind}
    tests = (types.is_binary, types.is_large_binary, types.is_string, types.is_large_string)
    return any(test(kind) for test in tests)


def _file(shard: _Shard, row: int, column: str, written: str | None) -> AudioFile:
    """The sound file that a row names, relative to the dataset's folder unless it is absolute."""
    where = f"{shard.path}, row {row + 1}"
    if not written:
        raise BadFile(where, f'column "{column}" has neither audio nor the path of a file')
    path = shard.root / written.replace("\\", "/")
    if not path.is_file():
        raise BadFile(where, f'column "{column}": there is no file {path}')
    return AudioFile(path=path)
