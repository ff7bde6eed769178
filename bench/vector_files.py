"""Files of word vectors: word2vec, GloVe and fastText, as text or in word2vec's binary format.

A text file has a line a word, the word and its values with a space between; word2vec and fastText
write a first line with the number of words and of values, GloVe writes none. A binary file has
that first line and after it, word by word, the word, a space, and its values as little-endian
float32. Both may be packed with gzip. Words stand in order of their frequency.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from serlab.bench.contracts import FloatArray
from serlab.bench.errors import BadFile
from serlab.bench.vectors import Space

_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_FASTTEXT_MODEL = (793_712_314).to_bytes(4, "little")
_LOOKED_AT = 4096
"""Bytes from which the format is told."""
_CHUNK = 1 << 20
_LONGEST_WORD = 4096
"""Bytes without a space from which a binary file is taken for damaged."""


def read_vectors(path: Path, only: Collection[str] | None = None, first: int = 0) -> Space:
    """The space in a file, in one pass that keeps no more than what is asked for.

    Where words are asked for and the file has none of them, the space is empty. Of a word that
    stands there twice, the first place counts. A word of a text file may hold spaces, as some of
    GloVe's do, as long as no part of it but the first is a number.

    Args:
        path: the file.
        only: the words that are kept; all by default. Other words' values are not looked at.
        first: so many words are read and no more; 0 reads all.

    Raises:
        BadFile: the file cannot be read or is of another format, has a word that is no UTF-8, a
            line of another width or a value that is no finite number, ends too early, or has no
            word at all; with the line, or the byte of a binary file.
    """
    wanted = None if only is None else {word.encode("utf-8", "surrogatepass") for word in only}
    rows: dict[bytes, FloatArray] = {}
    with _opened(path) as file:
        layout = _layout(path, file)
        entries = (_binary if layout.binary else _lines)(path, file, layout)
        for entry in islice(entries, first or None):
            if (wanted is None or entry.word in wanted) and entry.word not in rows:
                rows[entry.word] = _values(path, entry, layout)
    if not rows and only is None:
        raise BadFile(path, "has no word")
    vectors = np.array(list(rows.values()), np.float32).reshape(-1, layout.width)
    return Space(words=tuple(word.decode() for word in rows), vectors=vectors)


def width_of(path: Path) -> int:
    """Values of a vector, from the beginning of the file. Raises BadFile."""
    with _opened(path) as file:
        return _layout(path, file).width


# --- the formats -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Layout:
    width: int
    header: bool
    binary: bool
    n_words: int
    """As the header says; binary files have no other end."""

    @property
    def unit(self) -> str:
        """What places in the file are counted in."""
        return "byte" if self.binary else "line"


class _Entry(NamedTuple):
    """A word, where it stands, and its values as the file has them."""

    word: bytes
    place: int
    raw: bytes


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of the file, unpacked; whatever goes wrong with them is a BadFile."""
    try:
        with path.open("rb") as packed:
            start = packed.read(4)
            packed.seek(0)
            if start == _ZIP:
                raise BadFile(path, "is a zip archive: unpack it and name the file in it")
            if start[:2] == _GZIP:
                with gzip.open(packed, "rb") as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield packed
    except (OSError, EOFError, zlib.error) as error:
        raise BadFile(path, f"cannot be read: {error}") from error


def _layout(path: Path, file: BinaryIO) -> _Layout:
    """What the beginning tells; the file is at its beginning before and after."""
    first, rest = file.readline(_CHUNK).removeprefix(codecs.BOM_UTF8), file.read(_LOOKED_AT)
    file.seek(0)
    if first[:4] == _FASTTEXT_MODEL:
        raise BadFile(
            path,
            "is a model of fastText itself: take the .vec file that training writes beside it, or "
            "export the words of the corpus as text: fasttext print-word-vectors MODEL < WORDS",
        )
    fields = first.split()
    header = len(fields) == 2 and all(field.isdigit() for field in fields)
    named = ".bin" in path.suffixes[-2:]
    if named and not header:
        raise BadFile(path, "has no first line with the numbers of words and values, as a .bin has")
    n_words, width = map(int, fields) if header else (0, first.rstrip(b"\r\n ").count(b" "))
    if width < 1:
        raise BadFile(path, "is no file of word vectors: a word and its values on each line")
    binary = header and (named or _has_control(rest))
    return _Layout(width=width, header=header, binary=binary, n_words=n_words)


def _has_control(start: bytes) -> bool:
    """Whether bytes stand there that no text has, but nearly every binary file's values."""
    return any(byte < 32 and byte not in b"\t\r\n" for byte in start)


def _lines(path: Path, file: BinaryIO, layout: _Layout) -> Iterator[_Entry]:
    """The words of a text file."""
    for number, line in enumerate(file, start=1):
        if number == 1:
            if layout.header:
                continue
            line = line.removeprefix(codecs.BOM_UTF8)
        line = line.rstrip(b"\r\n ")
        word, _, raw = line.partition(b" ")
        n_values = line.count(b" ")
        if n_values > layout.width:
            word, raw, n_values = _with_spaces(line, layout.width) or (word, raw, n_values)
        if not word or n_values != layout.width:
            problem = f"a word and {layout.width} values expected, {n_values} values found"
            raise BadFile(path, f"line {number}: {problem}")
        yield _Entry(word, number, raw)


def _with_spaces(line: bytes, width: int) -> tuple[bytes, bytes, int] | None:
    """A word that holds spaces, its values and their number; none where it holds numbers."""
    fields = line.split(b" ")
    if any(map(_is_number, fields[1:-width])):
        return None
    return b" ".join(fields[:-width]), b" ".join(fields[-width:]), width


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _binary(path: Path, file: BinaryIO, layout: _Layout) -> Iterator[_Entry]:
    """The words of a binary file, read in pieces."""
    size = 4 * layout.width
    passed, held, at = len(file.readline()), b"", 0
    for number in range(1, layout.n_words + 1):
        space = held.find(b" ", at)
        while space < 0 or len(held) < space + 1 + size:
            more = b"" if space < 0 and len(held) - at > _LONGEST_WORD else file.read(_CHUNK)
            if not more:
                problem = f"word {number} of {layout.n_words} is cut short or damaged"
                raise BadFile(path, f"byte {passed + at}: {problem}")
            passed, held, at = passed + at, held[at:] + more, 0
            space = held.find(b" ")
        end = space + 1 + size
        yield _Entry(held[at:space].lstrip(b"\n"), passed + at, held[space + 1 : end])
        at = end


def _values(path: Path, entry: _Entry, layout: _Layout) -> FloatArray:
    """The values (value,) of a word that is text. Raises BadFile."""
    place = f"{layout.unit} {entry.place}"
    try:
        entry.word.decode()
        if layout.binary:
            found = np.frombuffer(entry.raw, "<f4").astype(np.float32)
        else:
            found = np.array(entry.raw.decode("ascii", "replace").split(" "), np.float32)
    except UnicodeDecodeError:
        raise BadFile(path, f"{place}: a word that cannot be read as UTF-8") from None
    except ValueError as error:
        raise BadFile(path, f"{place}: {error}") from error
    if not np.isfinite(found).all():
        raise BadFile(path, f"{place}: a value is NaN or infinite")
    return found
