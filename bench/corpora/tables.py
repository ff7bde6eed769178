"""Tables that come with corpora: text decoded, rows as dictionaries, every fault with its line."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from serlab.bench.errors import BadFile

Rows = Iterator[tuple[int, dict[str, str]]]
"""The number of each row's last line, and its cells by column."""


def text_of(path: Path, encodings: Sequence[str] = ("utf-8-sig",)) -> str:
    """A file's text, in the first of the encodings that fits.

    Raises:
        BadFile: the file is missing or unreadable, or no encoding fits; names the line.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise BadFile(path, "there is no such file") from None
    except OSError as error:
        raise BadFile(path, f"cannot be read: {error.strerror}") from None
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError as error:
            where, byte = error.start, data[error.start]
    line = data.count(b"\n", 0, where) + 1
    raise BadFile(f"{path}:{line}", f"is not UTF-8 text (byte 0x{byte:02x}); save it as UTF-8")


_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
"""A line with its end. (io.StringIO would keep the text a second time, four bytes a character.)"""


def csv_rows(
    path: Path, *, delimiter: str = "", required: Sequence[str] = (), quoted: bool = True
) -> Rows:
    """The rows of a CSV file with a header; empty ones are left out.

    Args:
        path: the file, UTF-8.
        delimiter: by default the header's commonest of comma, semicolon and tab.
        required: columns that must be there.
        quoted: whether quotation marks surround cells; else they are like other characters.

    Raises:
        BadFile: the file cannot be read, a column stands twice or is missing, or a row has
            another number of cells.
    """
    text = text_of(path)
    if not delimiter:
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)
    reader = csv.reader(
        (line[0] for line in _LINE.finditer(text)),
        delimiter=delimiter,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    try:
        columns = [name.strip() for name in next(reader, [])]
        _check_header(path, columns, required)
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(columns):
                what = f"has {len(row)} cells, and the header names {len(columns)} columns"
                raise BadFile(f"{path}:{reader.line_num}", what)
            yield reader.line_num, dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise BadFile(f"{path}:{reader.line_num}", f"is no CSV: {error}") from None


def _check_header(path: Path, columns: Sequence[str], required: Sequence[str]) -> None:
    if len(set(columns)) < len(columns):
        raise BadFile(f"{path}:1", f"a column stands twice: {', '.join(columns)}")
    for name in required:
        if name not in columns:
            raise BadFile(path, f'has no column "{name}"; it has {", ".join(columns) or "none"}')


def json_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file of JSON lines, each with the number of its line. Raises BadFile."""
    for line, written in enumerate(text_of(path).split("\n"), 1):
        if not written.strip():
            continue
        try:
            cells = json.loads(written)
        except (ValueError, RecursionError) as error:
            raise BadFile(f"{path}:{line}", f"is no JSON: {error}") from None
        if not isinstance(cells, dict):
            raise BadFile(f"{path}:{line}", 'expected an object such as {"path": "a.wav", ...}')
        yield line, cells


def json_rows(path: Path) -> Rows:
    """The rows of a file of JSON lines whose values are texts or numbers. Raises BadFile."""
    for line, cells in json_objects(path):
        for column, value in cells.items():
            if isinstance(value, bool) or not isinstance(value, str | int | float | None):
                kind = type(value).__name__
                raise BadFile(f"{path}:{line}", f'column "{column}" is a {kind}, not a text')
        yield line, {k: "" if v is None else str(v) for k, v in cells.items()}


def tally(words: Iterable[str]) -> str:
    """How often each word stands, the commonest first, such as "anger 2, neutral 1"."""
    counted = sorted(Counter(words).items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{word} {n}" for word, n in counted)
