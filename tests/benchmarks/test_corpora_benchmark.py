"""What a long manifest costs: time and memory to read it, to cut it into folds and to audit these.

Run with::

    pytest tests/benchmarks/test_corpora_benchmark.py --benchmark-enable -s

Costs grow with the number of rows, so a million is twenty times what is printed.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serlab.bench.audit import audit_split
from serlab.bench.contracts import Corpus, ProtocolSpec
from serlab.bench.corpora.base import load_corpus
from serlab.bench.protocols import make_split

PROTOCOL = ProtocolSpec(split="speaker-groups", groups=5, validation=20)

Benchmark = Any  # pytest-benchmark is untyped
Size = Callable[[int, int], int]

pytestmark = pytest.mark.benchmark(group="corpora")


@pytest.fixture(scope="module")
def n_rows(size: Size) -> int:
    """Rows of the manifest."""
    return size(50_000, 5_000)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, n_rows: int) -> Path:
    """A folder with a manifest of parts of files by a thousand speakers; no audio."""
    folder = tmp_path_factory.mktemp("long")
    classes = ("anger", "happiness", "neutral", "sadness")
    with (folder / "manifest.csv").open("w", encoding="utf-8") as file:
        file.write("path,speaker,emotion,session,text,start,end,split,age\n")
        for i in range(n_rows):
            s, emotion = i % 1000, classes[(7 * i + i // 1000) % 4]
            text = f'"well, this is sentence {i % 4999}"'
            name = f"audio/spk{s:04d}/rec{i:07d}.wav"
            file.write(
                f"{name},spk{s:04d},{emotion},{s // 10},{text},0.5,2.75,train,{20 + s % 50}\n"
            )
    return folder


def read(root: Path) -> Corpus:
    return load_corpus("manifest", roots={"manifest": root})


def test_reading(benchmark: Benchmark, root: Path, n_rows: int) -> None:
    """Microseconds and bytes a row."""
    corpus = benchmark.pedantic(read, (root,), rounds=3, warmup_rounds=1)
    assert len(corpus.utterances) == n_rows
    tracemalloc.start()
    held = read(root)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held == corpus
    benchmark.extra_info.update(bytes_per_row=kept / n_rows, peak_bytes_per_row=peak / n_rows)
    print(f"\n{kept / n_rows:.0f} bytes a row, {peak / n_rows:.0f} at the peak")


def test_cutting_and_auditing(benchmark: Benchmark, root: Path) -> None:
    """Five folds by speaker, their hash, and what their parts share."""
    corpus = read(root)

    def cut() -> int:
        split = make_split(corpus, PROTOCOL)
        assert split.hash
        return len(audit_split(corpus, split))

    assert benchmark.pedantic(cut, rounds=3, warmup_rounds=1) == 1  # sentences are shared
