"""What a file holds, as a hash that is worked out once and remembered.

The memory is a file of lines in the cache's folder (`cache.default_root`),
keyed by path, size and time of change, so that a changed file is hashed anew. A cache folder that
cannot be written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.cache import default_root
from serlab.bench.errors import BadFile, BadValue

MEMORY = "file-hashes.txt"


def file_hashes(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of the bytes of every file.

    Raises:
        BadFile: a file is missing or unreadable.
    """
    known, found, new = _recall(), {}, []
    for path in paths:
        key = _key(path)
        if key not in known:
            known[key] = _hash(path)
            new.append(f"{known[key]} {key}\n")
        found[path] = known[key]
    _remember(new)
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of one file's bytes. Raises BadFile."""
    return file_hashes([path])[path]


def vector_hash(values: Iterable[float]) -> str:
    """SHA-256 of numbers, as 64-bit floats."""
    return hashlib.sha256(np.array(values, "<f8").tobytes()).hexdigest()


def source_files(source: Any) -> list[Path]:  # an audio or array source
    """The files that a source reads: each of its fields that is a path, or several."""
    values = [getattr(source, f.name) for f in fields(source)] if is_dataclass(source) else []
    several = [v for value in values if isinstance(value, tuple) for v in value]
    return [v for v in (*values, *several) if isinstance(v, Path)]


def source_identity(source: Any, hashes: Mapping[Path, str]) -> object:  # as above
    """What a source reads, wherever its files lie: all of its fields, files by their hash.

    Args:
        source: a record with files, or one with an ``identity()``.
        hashes: SHA-256 of its files; see `file_hashes`.
    """
    if not source_files(source):
        if hasattr(source, "identity"):
            return source.identity()
        raise BadValue("source", type(source).__name__, "a source with a path or an identity()")
    return {f.name: _without_paths(getattr(source, f.name), hashes) for f in fields(source)}


def _without_paths(value: Any, hashes: Mapping[Path, str]) -> object:  # a field of any type
    if isinstance(value, tuple):
        return [_without_paths(v, hashes) for v in value]
    return hashes[value] if isinstance(value, Path) else value


def _key(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError as error:
        raise BadFile(path, f"cannot be read: {error.strerror}") from None
    return f"{facts.st_size} {facts.st_mtime_ns} {path.resolve()}".encode("unicode_escape").decode()


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadFile(path, f"cannot be read: {error.strerror}") from None


def _recall() -> dict[str, str]:
    try:
        text = (default_root() / MEMORY).read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    pairs = (line[:-1].split(" ", 1) for line in text.splitlines(True) if line.endswith("\n"))
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and len(pair[0]) == 64}


def _remember(lines: list[str]) -> None:
    if not lines:
        return
    with contextlib.suppress(OSError):  # the memory saves time; nothing depends on it
        default_root().mkdir(parents=True, exist_ok=True)
        with (default_root() / MEMORY).open("a", encoding="ascii") as file:
            file.write("".join(lines))
