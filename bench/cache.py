"""A content-addressed cache of arrays on disk, safe with several processes and after a kill.

::

    ROOT/
      arrays/<2 hex>/<64 hex>.npy   one array under the hash of all that it depends on
      memo/<2 hex>/<64 hex>         the hash of the samples of an audio file that was read before

A file is written under a temporary name in its own folder and then renamed: readers see it whole
or not at all. An array whose file is damaged counts as missing and is computed anew.
"""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import Audio, AudioSource, FloatArray, digest, plain
from serlab.bench.errors import BadValue, SerlabError

MEMO_VERSION = 1
"""Raised when the hash of samples is computed in another way."""

_MAPPED_BYTES = 64 * 1024
"""Smaller arrays are read: a mapping costs more than it saves."""
_STALE_S = 3600.0
"""Age from which a temporary file is one that its writer will not finish."""
_SETTLED_NS = 2_000_000_000
"""A file changed less than this ago may change again under the same time stamp."""
_USED_S = 86400.0
"""How old a time of last use may grow before it is renewed."""


class CacheError(SerlabError):
    """The cache folder cannot be used."""


@dataclass(frozen=True, kw_only=True)
class CacheInfo:
    """What a cache holds."""

    path: str
    n_arrays: int
    n_memos: int
    n_bytes: int
    """Of arrays, memos and temporary files together."""
    n_temporary: int
    """Files being written now, or left by a writer that was killed."""


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """What a pruning removed and left."""

    n_removed: int
    bytes_removed: int
    bytes_left: int


def default_root() -> Path:
    """``SERLAB_CACHE``, or ``serlab`` in the user's cache folder (XDG base directory)."""
    if given := os.environ.get("SERLAB_CACHE"):
        return Path(given).expanduser()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "serlab"


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
        processes. It stays valid when its file is pruned.
        """
        path = self.path(key)
        try:
            with path.open("rb") as file:
                shape, offset = _header(file)
                array = _map(path, shape, offset) if _bytes(shape) >= _MAPPED_BYTES else _read(file)
        except (OSError, ValueError):
            return None
        _mark_used(path)
        return array

    def put(self, key: str, array: FloatArray) -> FloatArray:
        """Stores an array (any shape, float32) under a key and returns it as `get` would.

        Raises:
            CacheError: the folder cannot be written to.
        """
        stored = np.ascontiguousarray(array, dtype=np.float32)
        _write(self.path(key), lambda file: np.lib.format.write_array(file, stored, (1, 0), False))
        held = self.get(key)
        return stored if held is None else held

    def info(self) -> CacheInfo:
        """Counts and bytes of what the cache holds."""
        files = list(_files(self.root))
        temporary = sum(_temporary(path) for path, _ in files)
        arrays = sum(path.suffix == ".npy" for path, _ in files)
        return CacheInfo(
            path=str(self.root),
            n_arrays=arrays,
            n_memos=len(files) - arrays - temporary,
            n_bytes=sum(stat.st_size for _, stat in files),
            n_temporary=temporary,
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
        if key is None:
            return None
        try:
            text = _place(self.root / "memo", key).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        # Sixteen hexadecimal digits at least: a line that was cut by a full disk is none.
        return text[:-1] if text.endswith("\n") and len(text) > 16 else None

    def put(self, source: AudioSource, content: str) -> None:
        """Remembers a `samples_hash`; does nothing for a source that is no settled file.

        Raises:
            CacheError: the folder cannot be written to.
        """
        key = self._key(source)
        if key is not None:
            path = _place(self.root / "memo", key)
            _write(path, lambda file: file.write(f"{content}\n".encode()))

    def _key(self, source: AudioSource) -> str | None:
        made = getattr(source, "made", None)
        if made is not None:
            origin, how = made()
            key = self._key(origin)
            return digest({"memo": MEMO_VERSION, "of": key, "made": how}) if key else None
        path = getattr(source, "path", None)
        if not isinstance(path, str | Path) or not is_dataclass(source):
            return None
        try:
            stat = os.stat(path)
            decoder = version(getattr(source, "decoder", "soundfile"))
        except (OSError, PackageNotFoundError):
            return None
        if time.time_ns() - stat.st_mtime_ns < _SETTLED_NS:
            return None
        facts = {
            "memo": MEMO_VERSION,
            "source": f"{type(source).__module__}.{type(source).__qualname__}",
            "fields": {**plain(source), "path": os.path.abspath(path)},
            "size": stat.st_size,
            "mtime_ns": stat.st_mtime_ns,
            "decoder": decoder,
        }
        return digest(facts)


# --- files -----------------------------------------------------------------------------------


def _place(folder: Path, key: str) -> Path:
    if len(key) < 8 or not all(c in "0123456789abcdef" for c in key):
        raise BadValue("key", key, "a hash in lower-case hexadecimal")
    return folder / key[:2] / key


def _write(path: Path, fill: Any) -> None:  # a function of the open binary file
    temporary = path.parent / f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                fill(file)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        problem = error.strerror or str(error)
        raise CacheError(
            f"{path.parent}: the cache cannot be written: {problem}; "
            "set SERLAB_CACHE to a folder that can"
        ) from None


def _header(file: BinaryIO) -> tuple[tuple[int, ...], int]:
    """Shape and offset of the data; raises ValueError unless the file is whole."""
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("another format version")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    offset = file.tell()
    if fortran or dtype != np.dtype("<f4"):
        raise ValueError("another layout")
    if os.fstat(file.fileno()).st_size != offset + _bytes(shape):
        raise ValueError("cut short or grown")
    return shape, offset


def _bytes(shape: tuple[int, ...]) -> int:
    return 4 * int(np.prod(shape, dtype=np.int64))


def _read(file: BinaryIO) -> FloatArray:
    file.seek(0)
    array: FloatArray = np.load(file, allow_pickle=False)
    array.flags.writeable = False
    return array


def _map(path: Path, shape: tuple[int, ...], offset: int) -> FloatArray:
    # numpy's own mapping keeps one file descriptor for each array, of which a process has often
    # no more than 1024; torch's keeps none.
    import torch

    size = offset + _bytes(shape)
    held = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()
    array: npt.NDArray[np.float32] = held[offset:].view(np.float32).reshape(shape)
    array.flags.writeable = False
    return array


def _mark_used(path: Path) -> None:
    with suppress(OSError):  # a cache that others own can still be read
        if time.time() - path.stat().st_mtime > _USED_S:
            os.utime(path)


def _temporary(path: Path) -> bool:
    return path.suffix == ".tmp"


def _files(root: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for folder in ("arrays", "memo"):
        for path in sorted((root / folder).glob("??/*")):
            with suppress(OSError):  # removed by another process meanwhile
                yield path, path.stat()
