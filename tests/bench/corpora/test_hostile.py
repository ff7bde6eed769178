"""Every reader meets damaged files: it gives a corpus or one clear line, and nothing else."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serlab.bench.audio import SUFFIXES
from serlab.bench.contracts import Corpus
from serlab.bench.corpora.base import CORPORA, load_corpus
from serlab.bench.errors import SerlabError

TREES = sorted(
    path.stem
    for path in (Path(__file__).resolve().parents[2] / "trees").glob("*.py")
    if path.stem in CORPORA.entries()
)
BINARY = (*SUFFIXES, ".avi", ".mp4", ".flv", ".mkv", ".arrow", ".pkl")
EXAMPLES = 80
LARGEST = 100_000
"""A file of more bytes is no table that one byte would upset."""

SPLICES = (
    b"", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe4", b"\r\n", b"\n", b"\r", b",", b";", b"\t",
    b'"', b"\\", b"../", b"/", b"C:\\", b"nan", b"inf", b"-1", b"1e999", b"9" * 400, b"[", b"{",
    b"}", b"]", b": ", b"- ", b"&a *a", b"\xed\xa0\x80", "٣".encode(), "Ω".encode(), b" " * 300,
)  # fmt: skip
"""What turns up in tables that were edited, converted, cut or made to harm."""


def tables(root: Path) -> list[Path]:
    """The files that a reader may read as text."""
    found = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    small = [path for path in found if path.stat().st_size <= LARGEST]
    return sorted(path for path in small if path.suffix.lower() not in BINARY)


def clear(name: str, root: Path) -> Corpus | None:
    """The corpus, or nothing after one clear line; any other error is the test's."""
    try:
        corpus = load_corpus(name, roots={name: root})
    except SerlabError as error:
        told = str(error)
    else:
        for utterance in corpus.utterances:
            path = getattr(utterance.audio, "path", root)
            assert Path(os.path.normpath(path)).is_relative_to(root), path
        return corpus
    assert told
    assert told.isprintable(), told
    assert len(told) < 2000
    return None


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", TREES)
def test_damaged_table(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes replaced, put in and taken out anywhere in one label table or transcript."""
    root = tmp_path_factory.mktemp(name)
    importlib.import_module(f"trees.{name}").build(root)
    assert clear(name, root) is not None
    paths = tables(root)
    if not paths:
        pytest.skip("the corpus is told by names alone")
    whole = {path: path.read_bytes() for path in paths}

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(
        place=st.integers(0, 10**6),
        share=st.floats(0, 1),
        removed=st.integers(0, 60),
        inserted=st.one_of(st.sampled_from(SPLICES), st.binary(max_size=40)),
    )
    def damage(place: int, share: float, removed: int, inserted: bytes) -> None:
        path = paths[place % len(paths)]
        data = whole[path]
        at = int(share * len(data))
        path.write_bytes(data[:at] + inserted + data[at + removed :])
        try:
            clear(name, root)
        finally:
            path.write_bytes(data)

    damage()


@pytest.mark.parametrize("name", TREES)
def test_table_of_another_kind(name: str, tmp_path: Path) -> None:
    """Each kind of table empty, of noise, of one long line, in UTF-16, a folder, or missing."""
    importlib.import_module(f"trees.{name}").build(tmp_path)
    paths = tables(tmp_path)
    if not paths:
        pytest.skip("the corpus is told by names alone")
    for path in list({path.suffix: path for path in paths}.values()):
        data = path.read_bytes()
        noise = bytes(range(256)) * 40
        for other in (b"", noise, b"x" * 50_000, data.decode("latin-1").encode("utf-16")):
            path.write_bytes(other)
            clear(name, tmp_path)
        path.unlink()
        clear(name, tmp_path)
        path.mkdir()
        clear(name, tmp_path)
        path.rmdir()
        path.write_bytes(data)
    assert clear(name, tmp_path) is not None


@pytest.mark.parametrize("name", TREES)
def test_strange_company(name: str, tmp_path: Path) -> None:
    """Folders named as files, loops of links, dangling links and names of all kinds beside them."""
    importlib.import_module(f"trees.{name}").build(tmp_path)
    (tmp_path / "folder.wav").mkdir()
    os.symlink(tmp_path, tmp_path / "loop", target_is_directory=True)
    os.symlink(tmp_path / "nowhere.wav", tmp_path / "dangling.wav")
    os.symlink("self.wav", tmp_path / "self.wav")
    (tmp_path / "a name with spaces").mkdir()
    for strange in (
        "new\nline.wav",
        "ünï cødé.wav",
        "e\u0301.wav",
        "x" * 240 + ".wav",
        "-.wav",
        ".wav",
    ):
        (tmp_path / "a name with spaces" / strange).write_bytes(b"RIFF")
    os.mkfifo(tmp_path / "pipe.txt")
    clear(name, tmp_path)
    raw = os.fsencode(tmp_path) + b"/not-utf8-\xff.wav"
    with open(raw, "wb"):
        clear(name, tmp_path)
    shutil.rmtree(tmp_path / "folder.wav")
