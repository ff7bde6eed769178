"""What was found out about files, as hashes by key, so that a file is read once and not again.

::

    ROOT/hashes/<64 hex>.npy    a batch of entries, named by the hash of its bytes

A batch is an array (entry, 6) of unsigned 64-bit integers, 48 bytes an entry: two of the key,
four of the hash. Batches are written whole under a temporary name, renamed, and never changed;
many small ones are written anew as one. A batch whose bytes are not those that its name tells is
not believed. There is no lock: what two processes find out at once is kept twice.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from serlab.bench.errors import SerlabError

Entries = npt.NDArray[np.uint64]

FOLDER = "hashes"

_SETTLED_NS = 2_000_000_000
"""A file changed less than this ago may change again under the same time stamp."""
_PENDING = 4096
"""Entries that are kept in memory before they are written without being asked."""
_MOST_BATCHES = 32


class CacheError(SerlabError):
    """The cache folder cannot be used."""


def default_root() -> Path:
    """``SERLAB_CACHE``, or ``serlab`` in the user's cache folder (XDG base directory)."""
    if given := os.environ.get("SERLAB_CACHE"):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "serlab"


def write_whole(path: Path, fill: Callable[[BinaryIO], Any]) -> None:
    """Writes a file under a temporary name and renames it: it is there whole, or not at all.

    Args:
        path: the file; folders above it are made.
        fill: writes what it is to hold.

    Raises:
        CacheError: the folder cannot be written to.
    """
    temporary = path.parent / f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"
    try:
        try:
            file = temporary.open("xb")
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = temporary.open("xb")
        try:
            with file:
                fill(file)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        problem = error.strerror or str(error)
        raise CacheError(
            f"{path.parent}: the cache cannot be written: {problem}; "
            "set SERLAB_CACHE to a folder that can"
        ) from None


def file_facts(path: Path) -> dict[str, object] | None:
    """What tells that a file is unchanged; nothing where it is absent or was changed just now."""
    try:
        stat = os.stat(path)
    except (OSError, ValueError):  # a name with a NUL
        return None
    if time.time_ns() - stat.st_mtime_ns < _SETTLED_NS:
        return None
    return {"path": os.path.abspath(path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def n_entries(n_bytes: int) -> int:
    """Entries of a batch whose file has so many bytes."""
    return max(0, n_bytes - 128) // 48


@lru_cache(maxsize=8)
def memo_at(root: Path) -> Memo:
    """The memory of a cache folder, one for all that this process does."""
    return Memo(root)


class Memo:
    """Hashes by key; several threads may use it.

    Args:
        root: the cache's folder, made when it is first written to.
    """

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER
        self._lock = threading.Lock()
        self._new: dict[str, str] = {}
        self._table: Entries = np.zeros((0, 6), np.uint64)
        self._batches: frozenset[str] = frozenset()
        self._seen_ns = 0

    def recall(self, key: str) -> str | None:
        """The hash that was remembered under a key (both in hexadecimal, 64 digits)."""
        with self._lock:
            if key in self._new:
                return self._new[key]
            found = self._find(key)
            return self._find(key) if found is None and self._refreshed() else found

    def remember(self, key: str, value: str) -> None:
        """Keeps a hash under a key; it is on disk after `flush`. May raise as that does."""
        with self._lock:
            self._new[key] = value
            full = len(self._new) >= _PENDING
        if full:
            self.flush()

    def flush(self) -> None:
        """Writes what is new.

        Raises:
            CacheError: the folder cannot be written to.
        """
        with self._lock:
            if self._new:
                rows = [_row(key, value) for key, value in self._new.items()]
                self._write(np.array(rows, np.uint64))
                self._new = {}
                self._refreshed()
                if len(self._batches) > _MOST_BATCHES:
                    self._merge()

    def _find(self, key: str) -> str | None:
        first, second = int(key[:16], 16), int(key[16:32], 16)
        place = int(np.searchsorted(self._table[:, 0], np.uint64(first)))
        if place == len(self._table) or tuple(self._table[place, :2].tolist()) != (first, second):
            return None
        return "".join(f"{part:016x}" for part in self._table[place, 2:].tolist())

    def _refreshed(self) -> bool:
        """Reads the batches that have come since; whether there are any."""
        try:
            changed_ns = os.stat(self.folder).st_mtime_ns
            names = frozenset(os.listdir(self.folder)) if changed_ns != self._seen_ns else None
        except OSError:
            return False
        if names is None:
            return False
        new = [_read(self.folder / n) for n in names - self._batches if n.endswith(".npy")]
        joined = np.concatenate([self._table, *new])
        _, firsts = np.unique(joined[:, 0], return_index=True)
        self._table, self._batches = joined[firsts], frozenset(n for n in names if n[0] != ".")
        # A folder that changed just now may change again under the same time stamp.
        settled = time.time_ns() - changed_ns >= _SETTLED_NS
        self._seen_ns = changed_ns if settled else 0
        return bool(new)

    def _write(self, entries: Entries) -> str:
        file = io.BytesIO()
        np.save(file, entries, allow_pickle=False)
        data = file.getvalue()
        name = f"{hashlib.sha256(data).hexdigest()}.npy"
        write_whole(self.folder / name, lambda held: held.write(data))
        return name

    def _merge(self) -> None:
        merged = self._write(self._table)
        for name in self._batches - {merged}:
            with suppress(OSError):  # another process merges as well
                (self.folder / name).unlink()
        self._batches = frozenset({merged})


def _row(key: str, value: str) -> tuple[int, ...]:
    digits = key[:32] + value
    return tuple(int(digits[i : i + 16], 16) for i in range(0, 96, 16))


def _read(path: Path) -> Entries:
    """The entries of a batch; none where it is damaged or has gone."""
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == path.stem:
            held: Entries = np.load(io.BytesIO(data), allow_pickle=False)
            return held
    except (OSError, ValueError):
        pass
    return np.zeros((0, 6), np.uint64)
