"""The cache of arrays: what is put in comes out whole, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serlab.bench import cache as cache_module
from serlab.bench.audio import AudioFile
from serlab.bench.cache import Cache, FileMemo, samples_hash
from serlab.bench.contracts import Audio, FloatArray
from serlab.bench.errors import BadValue
from serlab.bench.memo import CacheError, Memo, default_root, memo_at

KEY = "ab" * 32
LARGE = (300, 100)
"""Large enough to be mapped from disk."""


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def numbers(shape: tuple[int, ...], seed: int = 0) -> FloatArray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def key(number: int) -> str:
    return f"{number:064x}"


# --- arrays ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 88), LARGE, (0, 4), (5,), (3, 4, 5)])
def test_round_trip(cache: Cache, shape: tuple[int, ...]) -> None:
    """An array of any shape comes out as it was put in, also in another Cache object."""
    array = numbers(shape)
    put = cache.put(KEY, array)
    got = Cache(cache.root).get(KEY)
    assert got is not None
    assert got.dtype == np.float32
    np.testing.assert_array_equal(put, array)
    np.testing.assert_array_equal(got, array)


def test_missing(cache: Cache) -> None:
    """A key that was never put is nothing, and looking makes no folder."""
    assert cache.get(KEY) is None
    assert not cache.root.exists()


@pytest.mark.parametrize("shape", [(1, 88), LARGE])
def test_read_only(cache: Cache, shape: tuple[int, ...]) -> None:
    """What comes from the cache cannot be changed by accident."""
    held = cache.put(KEY, numbers(shape))
    with pytest.raises(ValueError, match="read-only"):
        held[0] = 1


def test_strided_and_double(cache: Cache) -> None:
    """A view in another order and type is stored by its values."""
    array = numbers((40, 30)).astype(np.float64)[::2].T
    np.testing.assert_array_equal(cache.put(KEY, array), array.astype(np.float32))


@pytest.mark.parametrize("shape", [(1, 88), LARGE])
@pytest.mark.parametrize("damage", ["cut", "grown", "head", "empty", "pickle", "double"])
def test_damaged_counts_as_missing(cache: Cache, shape: tuple[int, ...], damage: str) -> None:
    """A file that is not exactly what was written is not read, and is replaced when put again."""
    array = numbers(shape)
    cache.put(KEY, array)
    path = cache.path(KEY)
    whole = path.read_bytes()
    if damage == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    elif damage == "double":
        np.save(path, array.astype(np.float64))
    else:
        changed = {
            "cut": whole[:-4],
            "grown": whole + b"\0",
            "head": b"\x93NUMPX" + whole[6:],
            "empty": b"",
        }
        path.write_bytes(changed[damage])
    assert cache.get(KEY) is None
    cache.put(KEY, array)
    assert path.read_bytes() == whole


def test_mapped_array_outlives_its_file(cache: Cache) -> None:
    """An array in use keeps its values when its file is replaced or pruned."""
    array = numbers(LARGE)
    held = cache.put(KEY, array)
    cache.put(KEY, numbers(LARGE, seed=1))
    cache.prune(0)
    np.testing.assert_array_equal(held, array)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_keeps_no_descriptor(cache: Cache) -> None:
    """Thousands of mapped arrays fit a process that may open few files."""
    for number in range(40):
        cache.put(key(number), numbers(LARGE, number))
    before = len(os.listdir("/proc/self/fd"))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, limits[1]))
    try:
        held = [cache.get(key(number)) for number in range(40)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert all(array is not None for array in held)


def test_maps_no_more_than_the_system_lets(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond a number of mapped arrays others are read; a dropped mapping counts no more."""
    arrays = [numbers(LARGE, number) for number in range(5)]
    for number, array in enumerate(arrays):
        cache.put(key(number), array)
    before = cache_module._n_mapped
    monkeypatch.setattr(cache_module, "_most_mapped", lambda: before + 3)
    held = [cache.get(key(number)) for number in range(5)]
    assert cache_module._n_mapped == before + 3
    for array, found in zip(arrays, held, strict=True):
        np.testing.assert_array_equal(found, array)
    part = held[0][:2]
    held.clear()
    del found
    assert cache_module._n_mapped == before + 1  # a slice keeps its mapping
    np.testing.assert_array_equal(part, arrays[0][:2])
    assert cache.get(key(4)) is not None


@pytest.mark.parametrize("bad", ["", "../../etc/passwd", "AB" * 32, "abc"])
def test_key_is_a_hash(cache: Cache, bad: str) -> None:
    """A key that is no hash is refused: it would name a file elsewhere."""
    with pytest.raises(BadValue, match="hexadecimal"):
        cache.path(bad)


# --- several processes, kills ------------------------------------------------------------------


WRITER = """
import sys
import numpy as np
from serlab.bench.cache import Cache
root, seed, n_rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in range(n_rounds):
    for number in range(4):
        Cache(root).put(f"{number:064x}", np.full((300, 100), seed, np.float32))
"""


def writer(root: Path, seed: int, n_rounds: int) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-c", WRITER, str(root), str(seed), str(n_rounds)]
    return subprocess.Popen(arguments)


def test_two_writers_and_a_reader(tmp_path: Path) -> None:
    """While two processes overwrite the same keys, every read gives one writer's whole array."""
    writers = [writer(tmp_path, seed, 15) for seed in (1, 2)]
    cache, seen = Cache(tmp_path), set()
    while any(process.poll() is None for process in writers):
        for number in range(4):
            held = cache.get(key(number))
            if held is not None:
                assert held.min() == held.max()
                seen.add(float(held[0, 0]))
    assert [process.returncode for process in writers] == [0, 0]
    assert seen
    assert seen <= {1.0, 2.0}
    assert cache.info().n_temporary == 0


def test_killed_writer_leaves_nothing_torn(tmp_path: Path) -> None:
    """After kill -9 in mid-write, every key is whole or missing and can be put again."""
    cache, process = Cache(tmp_path), writer(tmp_path, 3, 1_000_000)
    while cache.get(key(3)) is None:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    for number in range(4):
        held = cache.get(key(number))
        assert held is not None
        assert (held == 3).all()
        assert (cache.put(key(number), np.full(LARGE, 4, np.float32)) == 4).all()


# --- keeping house -------------------------------------------------------------------------------


def test_info(cache: Cache, tmp_path: Path) -> None:
    """Info counts arrays, memos, temporary files, and their bytes."""
    assert cache.info().n_bytes == 0
    cache.put(key(1), numbers(LARGE))
    cache.put(key(2), numbers((1, 3)))
    cache.memo.put(settled(tmp_path), "0" * 64)
    cache.memo.flush()
    (cache.path(key(1)).parent / ".x.tmp").write_bytes(b"12345")
    info = cache.info()
    assert (info.n_arrays, info.n_hashes, info.n_temporary) == (2, 1, 1)
    assert info.n_bytes == sum(p.stat().st_size for p in cache.root.rglob("*") if p.is_file())
    assert info.path == str(cache.root)


def test_prune_keeps_what_was_used_last(cache: Cache) -> None:
    """The arrays unused for longest go first, until the rest fits."""
    for number in range(4):
        cache.put(key(number), numbers(LARGE))
        old = time.time() - 10 * 86400 + number
        os.utime(cache.path(key(number)), (old, old))
    cache.get(key(0))  # used now
    size = cache.path(key(0)).stat().st_size
    pruned = cache.prune(2 * size)
    assert (pruned.n_removed, pruned.bytes_removed, pruned.bytes_left) == (2, 2 * size, 2 * size)
    assert [cache.path(key(n)).exists() for n in range(4)] == [True, False, False, True]


def test_prune_removes_abandoned_files_alone(cache: Cache) -> None:
    """A temporary file goes when it is old, and stays while its writer may be at work."""
    cache.put(KEY, numbers((2, 2)))
    folder = cache.path(KEY).parent
    old, young = folder / ".old.tmp", folder / ".young.tmp"
    for path in (old, young):
        path.write_bytes(b"1")
    os.utime(old, (1, 1))
    cache.prune(10**9)
    assert not old.exists()
    assert young.exists()
    assert cache.get(KEY) is not None
    assert cache.prune(0).bytes_left == 1
    assert young.exists()


def test_prune_refuses_a_negative_size(cache: Cache) -> None:
    """A size below zero is a mistake."""
    with pytest.raises(BadValue, match="max_bytes = -1"):
        cache.prune(-1)


def test_unwritable_folder(tmp_path: Path) -> None:
    """A root that cannot be made is one line that names the variable to set."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match=r"cannot be written: .*SERLAB_CACHE"):
        Cache(tmp_path / "file" / "cache").put(KEY, numbers((1, 1)))


def test_default_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SERLAB_CACHE goes first, then the XDG folder if absolute, then ~/.cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SERLAB_CACHE", "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert Cache().root == tmp_path / "mine"
    monkeypatch.delenv("SERLAB_CACHE")
    assert default_root() == tmp_path / "xdg" / "serlab"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_root() == tmp_path / ".cache" / "serlab"


# --- the hash of samples and the memo of files --------------------------------------------------


@given(st.integers(0, 99), st.floats(2.0**-100, 1.0, width=32), st.booleans())
def test_hash_changes_with_any_sample(index: int, change: float, negative: bool) -> None:
    """The smallest change of any one sample is another content."""
    samples = np.zeros(100, np.float32)
    changed = samples.copy()
    changed[index] = -change if negative else change
    one, other = (samples_hash(Audio(samples=s, rate_hz=16000)) for s in (samples, changed))
    assert one != other


def test_hash_has_the_rate() -> None:
    """The same samples at another rate are another content."""
    samples = numbers((100,))
    assert samples_hash(Audio(samples=samples, rate_hz=8000)) != samples_hash(
        Audio(samples=samples, rate_hz=16000)
    )


def settled(folder: Path, name: str = "a.wav", age_s: float = 60.0) -> AudioFile:
    path = folder / name
    path.write_bytes(b"RIFF of a kind")
    then = time.time() - age_s
    os.utime(path, (then, then))
    return AudioFile(path=path)


def test_memo_recalls(tmp_path: Path) -> None:
    """A hash put for a file is known at once here, and elsewhere after it was written."""
    source, memo = settled(tmp_path), FileMemo(tmp_path / "c")
    memo.put(source, "f" * 64)
    assert FileMemo(tmp_path / "c").get(source) == "f" * 64
    assert not (tmp_path / "c").exists()
    memo.flush()
    memo_at.cache_clear()  # what another process begins with
    assert FileMemo(tmp_path / "c").get(source) == "f" * 64


def test_memo_parts_of_a_file_differ(tmp_path: Path) -> None:
    """Two segments of one file are two contents."""
    whole, memo = settled(tmp_path), FileMemo(tmp_path / "c")
    memo.put(whole, "f" * 64)
    assert memo.get(AudioFile(path=whole.path, start_s=0.5, end_s=1.0)) is None


@pytest.mark.parametrize("change", ["size", "time", "gone"])
def test_memo_forgets_a_changed_file(tmp_path: Path, change: str) -> None:
    """A file of another size or time of change, or none, has to be read again."""
    source, memo = settled(tmp_path), FileMemo(tmp_path / "c")
    memo.put(source, "f" * 64)
    stat = source.path.stat()
    if change == "gone":
        source.path.unlink()
    elif change == "time":
        os.utime(source.path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    else:
        source.path.write_bytes(b"longer than it was before")
        os.utime(source.path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert memo.get(source) is None


def test_memo_waits_for_a_young_file(tmp_path: Path) -> None:
    """A file just written may change again within its time stamp, so it is not remembered."""
    source, memo = settled(tmp_path, age_s=0.0), FileMemo(tmp_path / "c")
    memo.put(source, "f" * 64)
    assert not (tmp_path / "c").exists()


def test_memo_needs_a_file(tmp_path: Path) -> None:
    """A source that makes its audio is not remembered."""

    @dataclass(frozen=True, kw_only=True)
    class Made:
        seed: int

        def name(self) -> str:
            return "made"

        def read(self) -> Audio:
            return Audio(samples=np.zeros(1, np.float32), rate_hz=16000)

    memo = FileMemo(tmp_path)
    memo.put(Made(seed=1), "f" * 64)
    assert memo.get(Made(seed=1)) is None


# --- hashes in batches ---------------------------------------------------------------------------


def content(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def test_batches_are_read_as_they_come(tmp_path: Path) -> None:
    """What one memory writes, another that is open already finds."""
    one, other = Memo(tmp_path), Memo(tmp_path)
    assert other.recall(content(0)) is None
    for first in (0, 100):
        for number in range(first, first + 100):
            one.remember(content(number), content(-number))
        one.flush()
        for number in range(first, first + 100):
            assert other.recall(content(number)) == content(-number)
    assert other.recall(content(200)) is None


@pytest.mark.parametrize("damage", ["cut", "empty", "changed", "pickle", "gone"])
def test_damaged_batch_is_not_believed(tmp_path: Path, damage: str) -> None:
    """Every bit counts: a wrong hash would give an utterance another one's features."""
    memo = Memo(tmp_path)
    memo.remember(content(1), content(2))
    memo.flush()
    (path,) = (tmp_path / "hashes").iterdir()
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[:-5])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "changed":
        data[-1] ^= 1
        path.write_bytes(data)
    elif damage == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        path.unlink()
    assert Memo(tmp_path).recall(content(1)) is None
    again = Memo(tmp_path)
    again.remember(content(1), content(2))
    again.flush()
    assert Memo(tmp_path).recall(content(1)) == content(2)


def test_many_batches_become_one(tmp_path: Path) -> None:
    """The folder stays small, and nothing is forgotten."""
    memo = Memo(tmp_path)
    for number in range(80):
        memo.remember(content(number), content(-number))
        memo.flush()
    assert len(list((tmp_path / "hashes").iterdir())) <= 33
    other = Memo(tmp_path)
    assert [other.recall(content(n)) for n in range(80)] == [content(-n) for n in range(80)]


def test_many_entries_are_written_unasked(tmp_path: Path) -> None:
    """A process that is killed forgets a few thousand at most."""
    memo = Memo(tmp_path)
    for number in range(5000):
        memo.remember(content(number), content(number))
    assert Memo(tmp_path).recall(content(0)) == content(0)
    assert Memo(tmp_path).recall(content(4999)) is None


REMEMBERER = """
import hashlib, sys
from pathlib import Path
from serlab.bench.memo import Memo
def content(number): return hashlib.sha256(str(number).encode()).hexdigest()
memo, first = Memo(Path(sys.argv[1])), int(sys.argv[2])
for number in range(first, first + 60):
    memo.remember(content(number), content(-number))
    memo.flush()
"""


def test_two_processes_remember(tmp_path: Path) -> None:
    """Both write and merge at once; a batch that one of them merged away costs no crash."""
    command = [sys.executable, "-c", REMEMBERER, str(tmp_path)]
    both = [subprocess.Popen([*command, first]) for first in ("0", "1000")]
    assert [process.wait() for process in both] == [0, 0]
    memo = Memo(tmp_path)
    for first in (0, 1000):
        for number in range(first, first + 60):
            assert memo.recall(content(number)) == content(-number)
    assert not [p for p in (tmp_path / "hashes").iterdir() if p.suffix == ".tmp"]
