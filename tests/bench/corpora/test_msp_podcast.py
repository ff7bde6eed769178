"""MSP-Podcast: layout, official partition, unknown speakers."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees.msp_podcast import build

from serlab.bench.contracts import Corpus, ProtocolSpec, Word
from serlab.bench.corpora.base import load_corpus
from serlab.bench.errors import BadFile, SerlabError, UnknownName
from serlab.bench.protocols import make_split


def load(root: Path, **options: str | bool) -> Corpus:
    """The corpus in a folder."""
    return load_corpus("msp_podcast", roots={"msp_podcast": root}, options=options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A release that a test may break."""
    build(tmp_path)
    return tmp_path


def test_a_row_says_everything(root: Path) -> None:
    """Class, ratings, speaker and part; the text lies beside."""
    turn = load(root).by_id()["MSP-PODCAST_0001_0102"]
    assert (turn.speaker, turn.emotion, turn.partition) == ("Speaker 13", "happiness", "train")
    assert (turn.text, turn.words, turn.source) == ("Oh, say no?", (), None)
    assert turn.facts == {
        "arousal": "4.6",
        "valence": "3.25",
        "dominance": "5.0",
        "label": "H",
        "sex": "female",
        "recording": "MSP-PODCAST_0001",
    }


def test_labels(root: Path) -> None:
    """Eight classes; other and no agreement stay without emotion and say so."""
    corpus = load(root)
    assert len(corpus.labels) == 8
    assert Counter(u.emotion for u in corpus.utterances) == {None: 10} | dict.fromkeys(
        corpus.labels, 5
    )
    assert {u.facts["label"] for u in corpus.utterances if u.emotion is None} == {"O", "X"}


def test_the_unknown_are_not_one_speaker(root: Path) -> None:
    """They are kept apart by podcast, and their sex is not made up."""
    by_podcast = {
        u.facts["recording"]: u for u in load(root, test="Test2").utterances if "un" in u.speaker
    }
    assert {source: u.speaker for source, u in by_podcast.items()} == {
        "MSP-PODCAST_0002": "unknown-MSP-PODCAST_0002",
        "MSP-PODCAST_0004": "unknown-MSP-PODCAST_0004",
    }
    assert "sex" not in by_podcast["MSP-PODCAST_0002"].facts


def test_official_partition(root: Path) -> None:
    """One fold without a leak; the option chooses the test set, the others are left out."""
    for test, podcast in (("Test1", "0003"), ("Test2", "0004")):
        corpus = load(root, test=test)
        made = make_split(corpus, ProtocolSpec(split="fixed"))
        (fold,) = made.folds
        assert made.leaks == ()
        assert {i.split("_")[1] for i in fold.test} == {podcast}
        assert [len(p) for p in (fold.train, fold.validation, fold.test)] == [24, 8, 8]
        assert len(corpus.utterances) == 50
    assert {u.partition for u in load(root, test="Test3").utterances} == {"train", "validation"}
    with pytest.raises(UnknownName, match='"Test4" is no value of the option test'):
        load(root, test="Test4")


def test_words(root: Path) -> None:
    """The tier of words is read where it is asked for."""
    turn = load(root, words=True).utterances[0]
    assert turn.words == (
        Word(text="oh", start_s=0.05, end_s=0.2),
        Word(text='say "no" now', start_s=0.2, end_s=0.3),
    )
    grid = root / "ForceAligned" / "MSP-PODCAST_0001_0000.TextGrid"
    grid.write_text("tiers? none", encoding="utf-8")
    with pytest.raises(BadFile, match="TextGrid: is no TextGrid with named tiers"):
        load(root, words=True)
    grid.unlink()
    assert load(root, words=True).utterances[0].words == ()
    shutil.rmtree(root / "ForceAligned")
    with pytest.raises(BadFile, match='has no folder ForceAligned, and the option "words"'):
        load(root, words=True)


def test_old_releases(root: Path) -> None:
    """Their misspelt table, their name of a part, folders in folders, no text."""
    new = load(root)
    table = root / "Labels" / "labels_consensus.csv"
    text = table.read_text(encoding="utf-8").replace("Development", "Validation")
    table.unlink()
    (root / "Labels" / "labels_concensus.csv").write_text(text, encoding="utf-8-sig")
    (root / "Audios").rename(root / "all")
    (root / "Audio").mkdir()
    (root / "all").rename(root / "Audio" / "Audio")
    shutil.rmtree(root / "Transcripts")
    old = load(root)
    assert [(u.id, u.partition) for u in old.utterances] == [
        (u.id, u.partition) for u in new.utterances
    ]
    assert {u.text for u in old.utterances} == {None}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "_0000.wav",
            "_9999.wav",
            r"0001_9999\.wav: there is no such file; .*csv:2 names it",
        ),
        ("_0001.wav", "_0000.wav", "csv:3: MSP-PODCAST_0001_0000 stands here a second time"),
        ("wav,A,", "wav,Q,", 'csv:2: EmoClass is "Q": expected one of A, C, D'),
        ("Train", "Trial", 'csv:2: Split_Set is "Trial": expected Train, Development'),
        ("SpkrID", "Speaker", 'has no column "SpkrID"'),
    ],
)
def test_bad_tables(root: Path, old: str, new: str, words: str) -> None:
    """Each mistake is told with file and line."""
    table = root / "Labels" / "labels_consensus.csv"
    text = table.read_text(encoding="utf-8")
    table.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(BadFile, match=words):
        load(root)


def test_missing_folders(root: Path) -> None:
    """Sound and labels are missed by name."""
    shutil.rmtree(root / "Audios")
    with pytest.raises(BadFile, match="has no folder Audios"):
        load(root)
    shutil.rmtree(root / "Labels")
    with pytest.raises(BadFile, match=r"holds no table of labels, Labels/labels_consensus\.csv"):
        load(root)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.binary(min_size=1, max_size=60), at=st.floats(0, 1))
def test_any_bytes_in_the_labels(root: Path, junk: bytes, at: float) -> None:
    """Are read or told in one clear error."""
    table = root / "Labels" / "labels_consensus.csv"
    whole = table.read_bytes()
    place = round(at * len(whole))
    table.write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    with suppress(SerlabError):
        load(root)
    table.write_bytes(whole)
