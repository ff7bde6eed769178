"""What a file holds, as a hash that is worked out once and remembered.

The memory is that of the cache (`serlab.bench.memo`), by path, size and time of change, so that a
changed file is hashed anew. A cache folder that cannot be written costs time and nothing else.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.contracts import digest
from serlab.bench.errors import BadFile, BadValue
from serlab.bench.memo import CacheError, default_root, file_facts, memo_at
from serlab.bench.parallel import in_threads

_VERSION = 1
"""Raised when the hash of a file is worked out in another way."""


def file_hashes(paths: Iterable[Path]) -> dict[Path, str]:
    """SHA-256 of the bytes of every file; those that are not remembered are read on all cores.

    Raises:
        BadFile: a file is missing or unreadable.
    """
    asked, memo = list(dict.fromkeys(paths)), memo_at(default_root())
    facts = {path: file_facts(path) for path in asked}
    keys = {path: digest({"bytes": _VERSION, "file": fact}) for path, fact in facts.items() if fact}
    known = {path: found for path, key in keys.items() if (found := memo.recall(key))}
    unknown = [path for path in asked if path not in known]
    new = dict(zip(unknown, in_threads(_hash, unknown), strict=True))
    with contextlib.suppress(CacheError):  # the memory saves time; nothing depends on it
        for path in new.keys() & keys.keys():
            memo.remember(keys[path], new[path])
        memo.flush()
    return {path: known.get(path) or new[path] for path in asked}


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


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadFile(path, f"cannot be read: {error.strerror}") from None
