"""SEWA in the forms of the challenges: traces, turns, transcripts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from trees.sewa import N_FRAMES, build, build_2019, label_rows, write

from serlab.bench.contracts import Corpus, ProtocolSpec
from serlab.bench.corpora.base import load_corpus
from serlab.bench.errors import SerlabError
from serlab.bench.protocols import make_split


def load(root: Path, **options: float | str) -> Corpus:
    return load_corpus("sewa", roots={"sewa": root}, options=options)


def written(name: str) -> np.ndarray:
    return np.array([[float(c) for c in row.split(";")[2:]] for row in label_rows(name)])


def test_a_recording_is_whole(tmp_path: Path) -> None:
    """Part, traces, the partner's time and the words with their times."""
    build(tmp_path)
    corpus = load(tmp_path)
    assert corpus.dimensions == ("arousal", "valence", "liking")
    assert Counter(u.partition for u in corpus.utterances) == {
        "train": 4,
        "validation": 2,
        "test": 2,
    }
    u = corpus.by_id()["Train_01"]
    assert u.partner == ((0.0, 0.5), (1.2, 2.0), (2.6, 3.0))
    assert [w.text for w in u.words] == ["Ja,", "schön;", "genau"]
    assert (u.words[0].start_s, u.words[-1].end_s) == (0.5, pytest.approx(1.2))
    assert u.text == "Ja, schön; genau"
    assert u.traces is not None
    assert u.traces.rate_hz == 10
    np.testing.assert_allclose(u.traces.read(), written("Train_01"), atol=1e-6)


def test_raters_delay_shifts_traces_earlier(tmp_path: Path) -> None:
    """What was rated 0.5 s late stands where it belongs; the last value fills the end."""
    build(tmp_path)
    u = load(tmp_path, delay_s=0.5).by_id()["Devel_01"]
    assert u.traces is not None
    plain, shifted = written("Devel_01"), u.traces.read()
    assert len(shifted) == N_FRAMES
    np.testing.assert_allclose(shifted[:-5], plain[5:], atol=1e-6)
    np.testing.assert_allclose(shifted[-5:], np.repeat(plain[-1:], 5, axis=0), atol=1e-6)


def test_avec_2019(tmp_path: Path) -> None:
    """Cultures are told, a header is read, and test recordings without labels are not scored."""
    build_2019(tmp_path)
    corpus = load(tmp_path).by_id()
    assert corpus["Train_HU_01"].facts["culture"] == "HU"
    traces = corpus["Train_HU_01"].traces
    assert traces is not None
    np.testing.assert_allclose(traces.read(), written("Train_HU_01"), atol=1e-6)
    assert corpus["Test_CN_01"].traces is None
    assert (corpus["Test_CN_01"].partner, corpus["Test_CN_01"].words) == ((), ())


def test_columns_follow_the_header(tmp_path: Path) -> None:
    """Where a header names the dimensions in another order, the names count."""
    build_2019(tmp_path)
    rows = ["name;timestamp;liking;valence;arousal", "x;0.0;3;2;1", "x;0.1;6;5;4"]
    write(tmp_path / "labels/Train_DE_01.csv", rows)
    traces = load(tmp_path).by_id()["Train_DE_01"].traces
    assert traces is not None
    np.testing.assert_array_equal(traces.read(), [[1, 2, 3], [4, 5, 6]])


def test_fixed_protocol(tmp_path: Path) -> None:
    """The three parts are the corpus's own and share no speaker."""
    build(tmp_path)
    split = make_split(load(tmp_path), ProtocolSpec(target="traces", split="fixed"))
    (fold,) = split.folds
    assert [len(part) for part in (fold.train, fold.validation, fold.test)] == [4, 2, 2]
    assert not split.leaks


@pytest.mark.parametrize(
    ("file", "lines", "match"),
    [
        ("labels/Train_01.csv", None, "Train_01.csv: there is no such file"),
        ("turns/Train_01.csv", None, "Train_01.csv: there is no such file"),
        ("labels/Train_09.csv", ["x;0;0;0;0"], "has no audio"),
        ("turns/Train_01.csv", ["0.5;abc"], r"Train_01.csv:1: cell 2 is 'abc'"),
        ("turns/Train_01.csv", ["0.5;0.2"], "from 0.5 s to 0.2 s"),
        ("transcriptions/Train_02.csv", ["", "1;nan;ja"], r"Train_02.csv:2: cell 2 is 'nan'"),
        ("audio/Train_DE_01.wav", [""], "mixes"),
        ("audio/notes.wav", [""], "is not named as sewa"),
    ],
)
def test_bad_files(tmp_path: Path, file: str, lines: list[str] | None, match: str) -> None:
    """Each is one line with the file, and the line where it has one."""
    build(tmp_path)
    if lines is None:
        (tmp_path / file).unlink()
    else:
        write(tmp_path / file, lines)
    with pytest.raises(SerlabError, match=match):
        load(tmp_path)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        (["x;0;1;2"], "cell 5 is ''"),
        (["x;0;1;2;inf"], "cell 5 is 'inf'"),
        (["x;0;1;2;3", "x;0.2;1;2;3"], r":2: its times do not go on"),
        (["name;time;arousal;valence", "x;0;1;2"], 'no column "liking"'),
        ([], "has 0 rows"),
    ],
)
def test_bad_labels(tmp_path: Path, rows: list[str], match: str) -> None:
    """Traces are read late, and then every fault of theirs has its line."""
    build(tmp_path)
    write(tmp_path / "labels/Train_01.csv", rows)
    traces = load(tmp_path).by_id()["Train_01"].traces
    assert traces is not None
    with pytest.raises(SerlabError, match=match):
        traces.read()


@pytest.mark.parametrize("delay_s", [-1.0, float("inf"), float("nan")])
def test_bad_delay(tmp_path: Path, delay_s: float) -> None:
    """A delay is a finite number of seconds, 0 or more."""
    build(tmp_path)
    with pytest.raises(SerlabError, match="delay_s"):
        load(tmp_path, delay_s=delay_s)
