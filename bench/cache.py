"""A content-addressed cache of arrays on disk, safe with several processes and after a kill.

::

    ROOT/
      arrays/<2 hex>/<64 hex>.npy   one array under the hash of all that it depends on
      hashes/<64 hex>.npy           hashes of what files hold; see `serlab.bench.memo`

A file is written under a temporary name in its own folder and then renamed: readers see it whole
or not at all. An array whose file is damaged counts as missing and is computed anew.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import time
import weakref
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import Audio, AudioSource, FloatArray, digest, plain
from serlab.bench.errors import BadValue
from serlab.bench.memo import FOLDER, default_root, file_facts, memo_at, n_entries, write_whole

MEMO_VERSION = 2
"""Raised when the hash of samples is computed in another way."""

_MAPPED_BYTES = 16 * 1024
"""Smaller arrays are read: a mapping costs more than it saves."""
_STALE_S = 3600.0
"""Age from which a temporary file is one that its writer will not finish."""
_USED_S = 86400.0
"""How old a time of last use may grow before it is renewed."""


@dataclass(frozen=True, kw_only=True)
class CacheInfo:
    """What a cache holds."""

    path: str
    n_arrays: int
    n_hashes: int
    """Hashes of what files hold; see `serlab.bench.memo`."""
    n_bytes: int
    """Of all files together."""
    n_temporary: int
    """Files being written now, or left by a writer that was killed."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What a pruning removed and left."""

    n_removed: int
    bytes_removed: int
    bytes_left: int


class Cache:
    """Arrays by key, in a folder.

    Args:
        root: the folder, made when it is first written to; `default_root` unless given.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(root) if root is not None else default_root()
        self.memo = FileMemo(self.root)

    def path(self, key: str) -> Path:
        """Where the array of a key lies, or would."""
        return _place(self.root / "arrays", key).with_suffix(".npy")

    def get(self, key: str) -> FloatArray | None:
        """The array of a key, read-only, or nothing where it is missing or damaged.

        A large array is mapped from disk: it costs memory as it is read, shared by all
        processes. It stays valid when its file is pruned. Beyond two thirds of Linux's
        ``vm.max_map_count`` (by default 43,690 arrays at once) arrays are read instead.
        """
        path = self.path(key)
        try:
            with path.open("rb") as file:
                shape, offset, changed_s = _header(file)
                mapped = _maps(shape)
                array = _map(path, shape, offset) if mapped else _read(file, shape, offset)
        except (OSError, ValueError):
            return None
        _mark_used(path, changed_s)
        return array

    def holds(self, key: str) -> bool:
        """Whether `get` would give an array; it is not read."""
        try:
            with self.path(key).open("rb") as file:
                _, _, changed_s = _header(file)
        except (OSError, ValueError):
            return False
        _mark_used(self.path(key), changed_s)
        return True

    def put(self, key: str, array: FloatArray) -> FloatArray:
        """Stores an array (any shape, float32) under a key and returns it as `get` would.

        Raises:
            CacheError: the folder cannot be written to.
        """
        stored = np.array(array, dtype="<f4", order="C")
        head = _head(stored.shape)

        def fill(file: BinaryIO) -> None:
            file.write(head)
            file.write(stored.data)

        path = self.path(key)
        write_whole(path, fill)
        if _maps(stored.shape):
            with suppress(OSError):  # removed by another process meanwhile
                return _map(path, stored.shape, len(head))
        stored.flags.writeable = False
        return stored

    def info(self) -> CacheInfo:
        """Counts and bytes of what the cache holds."""
        files = list(_files(self.root))
        whole = [(path, stat.st_size) for path, stat in files if not _temporary(path)]
        batches = [size for path, size in whole if path.parent.name == FOLDER]
        return CacheInfo(
            path=str(self.root),
            n_arrays=len(whole) - len(batches),
            n_hashes=sum(map(n_entries, batches)),
            n_bytes=sum(stat.st_size for _, stat in files),
            n_temporary=len(files) - len(whole),
        )

    def prune(self, max_bytes: int) -> Pruned:
        """Removes abandoned temporary files, then what was used longest ago, down to a size.

        Args:
            max_bytes: what may stay; 0 empties the cache.
        """
        if max_bytes < 0:
            raise BadValue("max_bytes", max_bytes, "an integer of at least 0")
        files = sorted(_files(self.root), key=lambda item: item[1].st_mtime_ns)
        left = before = sum(stat.st_size for _, stat in files)
        removed = 0
        # A temporary file that is young has a writer, who would miss it.
        for path, stat in sorted(files, key=lambda item: not _temporary(item[0])):
            young = time.time() - stat.st_mtime < _STALE_S
            if young if _temporary(path) else left <= max_bytes:
                continue
            with suppress(OSError):  # another process removed it, or (on Windows) reads it
                path.unlink()
                removed, left = removed + 1, left - stat.st_size
        return Pruned(n_removed=removed, bytes_removed=before - left, bytes_left=left)


def samples_hash(audio: Audio) -> str:
    """SHA-256 of the rate and of every bit of the samples.

    (`audio.content_hash` rounds to 16 bits, which finds a recording under other encodings, but
    would give two recordings of very low level one set of features.)
    """
    samples = np.ascontiguousarray(audio.samples, dtype="<f4")
    return hashlib.sha256(f"{audio.rate_hz}:".encode() + samples.tobytes()).hexdigest()


class FileMemo:
    """Hashes of the samples of audio files, so that a second run need not decode them.

    A hash is remembered under the source (its class and fields: path, channel, start, ...), the
    file's size and time of change in nanoseconds, and the decoder's version. A source that is
    calculated from another one tells so by ``made()``: that source, and all else that the samples
    depend on; it is remembered under both.

    Args:
        root: the cache's folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def get(self, source: AudioSource) -> str | None:
        """The `samples_hash` of a source, if it is a file that is unchanged since `put`."""
        key = self._key(source)
        return memo_at(self.root).recall(key) if key else None

    def put(self, source: AudioSource, content: str) -> None:
        """Remembers a `samples_hash`; does nothing for a source that is no settled file.

        Raises:
            CacheError: the folder cannot be written to.
        """
        if key := self._key(source):
            memo_at(self.root).remember(key, content)

    def flush(self) -> None:
        """Writes what was put; until then this process alone remembers it. Raises CacheError."""
        memo_at(self.root).flush()

    def _key(self, source: AudioSource) -> str | None:
        made = getattr(source, "made", None)
        if made is not None:
            origin, how = made()
            key = self._key(origin)
            return digest({"memo": MEMO_VERSION, "of": key, "made": how}) if key else None
        path = getattr(source, "path", None)
        if not isinstance(path, str | Path) or not is_dataclass(source):
            return None
        file, decoder = file_facts(Path(path)), _version(getattr(source, "decoder", "soundfile"))
        if not file or not decoder:
            return None
        facts = {
            "memo": MEMO_VERSION,
            "source": f"{type(source).__module__}.{type(source).__qualname__}",
            "fields": {**plain(source), "path": ""},
            "file": file,
            "decoder": decoder,
        }
        return digest(facts)


@lru_cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


# --- files -----------------------------------------------------------------------------------


def _place(folder: Path, key: str) -> Path:
    if len(key) < 8 or not all(c in "0123456789abcdef" for c in key):
        raise BadValue("key", key, "a hash in lower-case hexadecimal")
    return folder / key[:2] / key


_MAGIC = b"\x93NUMPY\x01\x00"
_HEAD = re.compile(rb"\{'descr': '<f4', 'fortran_order': False, 'shape': \(([\d, ]*)\), \} *\n")


def _head(shape: tuple[int, ...]) -> bytes:
    """The head of an npy file of format 1.0, whose data then lie at a multiple of 64 bytes."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(_MAGIC) + 2 + len(text) + 1) % 64) + b"\n"
    return _MAGIC + len(text).to_bytes(2, "little") + text


def _header(file: BinaryIO) -> tuple[tuple[int, ...], int, float]:
    """Shape, offset of the data, time of change; raises ValueError unless the file is whole.

    (numpy's own reader of heads takes most of the time of reading a small array.)
    """
    start = file.read(len(_MAGIC) + 2)
    text = file.read(int.from_bytes(start[-2:], "little"))
    match = _HEAD.fullmatch(text)
    if start[:-2] != _MAGIC or not match:
        raise ValueError("another layout")
    shape = tuple(int(size) for size in re.findall(rb"\d+", match[1]))
    stat, offset = os.fstat(file.fileno()), len(start) + len(text)
    if stat.st_size != offset + _bytes(shape):
        raise ValueError("cut short or grown")
    return shape, offset, stat.st_mtime


def _bytes(shape: tuple[int, ...]) -> int:
    return 4 * math.prod(shape)


def _read(file: BinaryIO, shape: tuple[int, ...], offset: int) -> FloatArray:
    file.seek(offset)
    array: FloatArray = np.frombuffer(file.read(), "<f4").reshape(shape)  # read-only, as bytes are
    return array


def _map(path: Path, shape: tuple[int, ...], offset: int) -> FloatArray:
    # numpy's own mapping keeps one file descriptor for each array, of which a process has often
    # no more than 1024; torch's keeps none.
    import torch

    global _n_mapped
    size = offset + _bytes(shape)
    held = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()
    _n_mapped += 1
    weakref.finalize(held, _unmapped).atexit = False
    array: npt.NDArray[np.float32] = held[offset:].view(np.float32).reshape(shape)
    array.flags.writeable = False
    return array


_n_mapped = 0


def _unmapped() -> None:
    global _n_mapped
    _n_mapped -= 1


@lru_cache
def _most_mapped() -> int:
    """Arrays that this process maps at once: two thirds of what Linux lets a process map."""
    try:
        return 2 * int(Path("/proc/sys/vm/max_map_count").read_text()) // 3
    except (OSError, ValueError):  # another system
        return 40_000


def _maps(shape: tuple[int, ...]) -> bool:
    return _bytes(shape) >= _MAPPED_BYTES and _n_mapped < _most_mapped()


def _mark_used(path: Path, changed_s: float) -> None:
    if time.time() - changed_s > _USED_S:
        with suppress(OSError):  # a cache that others own can still be read
            os.utime(path)


def _temporary(path: Path) -> bool:
    return path.suffix == ".tmp"


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for pattern in ("arrays/??/*", f"{FOLDER}/*"):
        for path in sorted(root.glob(pattern)):
            with suppress(OSError):  # removed by another process meanwhile
                yield path, path.stat()
