"""MSP-IMPROV: layout, names, labels."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees.msp_improv import build

from serlab.bench.contracts import Corpus, ProtocolSpec
from serlab.bench.corpora.base import CORPORA, load_corpus
from serlab.bench.errors import BadFile, SerlabError
from serlab.bench.protocols import make_split


def load(root: Path, **options: str) -> Corpus:
    """The corpus in a folder."""
    return load_corpus("msp_improv", roots={"msp_improv": root}, options=options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A release that a test may break."""
    build(tmp_path)
    return tmp_path


def test_a_name_and_its_label_say_everything(root: Path) -> None:
    """Speaker, session, kind, recording, ratings, votes and text."""
    turn = load(root).by_id()["MSP-IMPROV-S01A-F02-S-MF02"]
    assert (turn.speaker, turn.session, turn.source) == ("F02", "session2", None)
    assert (turn.sentence, turn.dialogue, turn.turn) == (None, None, None)
    assert turn.text == "I don\x92t know, MSP-IMPROV-S01A-F02-S-MF02"
    facts = dict(turn.facts)
    assert {key: facts.pop(key) for key in ("label", "votes")}["votes"] == (
        "anger 1, neutral 1, other 1"
    )
    assert facts == {
        "sex": "female",
        "scenario": "other improvised",
        "intended": "anger",
        "target_sex": "male",
        "number": "02",
        "recording": "session2-S01A-M",
        "arousal": "1.5",
        "valence": "3",
        "naturalness": "4",
    }


def test_labels_and_what_has_none(root: Path) -> None:
    """Four classes; other and no agreement stay without emotion and say so."""
    corpus = load(root)
    emotions = {u.facts["label"]: u.emotion for u in corpus.utterances}
    assert emotions == {
        "A": "anger",
        "H": "happiness",
        "N": "neutral",
        "S": "sadness",
        "O": None,
        "X": None,
    }
    assert corpus.labels == tuple(sorted(CORPORA.entry("msp_improv").facts["counts"]))
    assert len(corpus.utterances) == 96


def test_arousal_rises_with_activity(root: Path) -> None:
    """The file's figures fall with it."""
    arousal = {u.facts["label"]: u.facts["arousal"] for u in load(root).utterances}
    assert (arousal["A"], arousal["N"]) == ("4.5", "1.5")


def test_prompts_and_recordings(root: Path) -> None:
    """The target sentence is one prompt, said or read; a recording holds both actors' turns."""
    corpus = load(root)
    for u in corpus.utterances:
        assert (u.sentence is not None) == (u.id[20] in "RT")
        assert ("recording" not in u.facts) == (u.id[20] == "R")
    assert {u.sentence for u in corpus.utterances} == {"S01", "S07", None}
    speakers = {
        u.speaker for u in corpus.utterances if u.facts.get("recording") == "session1-S07H-F"
    }
    assert speakers == {"F01", "M01"}


def test_folds(root: Path) -> None:
    """A fold a speaker, a fold a session."""
    for split, n_folds in (("leave-one-session-out", 3), ("leave-one-speaker-out", 6)):
        protocol = ProtocolSpec(split=split, validation=0, selection="last-epoch")
        made = make_split(load(root), protocol)
        assert len(made.folds) == n_folds
        assert made.leaks == ()


def test_other_layouts(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Sessions in the root itself, pictures beside the sound, the other spelling, no text."""
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(root / "Audio", other, dirs_exist_ok=True)
    (other / "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.avi").write_bytes(b"")
    (other / "Evaluation.txt").write_bytes((root / "Evalution.txt").read_bytes())
    one, two = load(root).utterances, load(other).utterances
    assert [(u.id, u.emotion, u.facts) for u in one] == [(u.id, u.emotion, u.facts) for u in two]
    assert {u.text for u in two} == {None}


NAME = "UTD-IMPROV-S01A-F01-R-FF01.avi"
LINE = f"{NAME}; A; A:1.500000; V:2.000000; D:4.250000 ; N:NaN;"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (LINE.replace("A:1.5", "V:1.5"), r"txt:1: is no label: expected UTD-IMPROV-\.\.\.avi"),
        (LINE.replace("1.500000", "1.5.0"), "txt:1: is no label: could not convert"),
        (LINE.replace("; A;", "; Q;"), 'txt:1: the label "Q" is none of A, H, N, S, O, X'),
        (LINE.replace("R-FF01", "T-FM01"), r"txt:7: MSP-IMPROV-S01A-F01-T-FM01 stands here a s"),
        (LINE.replace("R-FF01", "R-FF09"), r"R-FF01\.wav: has no label in .*Evalution\.txt"),
        (
            f"{LINE}\n\n{LINE.replace('R-FF01', 'R-FF09')}",
            "txt:3: names MSP-IMPROV-S01A-F01-R-FF09, and there is no such sound file",
        ),
    ],
)
def test_bad_label_lines(root: Path, line: str, words: str) -> None:
    """Each is told with its file and line."""
    table = root / "Evalution.txt"
    text = table.read_bytes().decode("latin-1")
    assert text.startswith(LINE)
    table.write_bytes(text.replace(LINE, line).encode("latin-1"))
    with pytest.raises(BadFile, match=words):
        load(root)


def test_missing_and_strange_files(root: Path) -> None:
    """A sound of another name, and a folder without labels."""
    shutil.copy(next(root.rglob("*.wav")), root / "Audio" / "noise.wav")
    with pytest.raises(BadFile, match=r"noise\.wav: is not named as msp_improv names its files"):
        load(root)
    assert len(load(root, unknown="skip").utterances) == 96
    (root / "Evalution.txt").write_text("\n", encoding="utf-8")
    with pytest.raises(BadFile, match=r"Evalution\.txt: holds no label"):
        load(root, unknown="skip")
    (root / "Evalution.txt").unlink()
    with pytest.raises(BadFile, match=r"holds no label file Evalution\.txt"):
        load(root, unknown="skip")


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.binary(min_size=1, max_size=60), at=st.floats(0, 1))
def test_any_bytes_in_the_labels(root: Path, junk: bytes, at: float) -> None:
    """Are read or told in one clear error."""
    table = root / "Evalution.txt"
    whole = table.read_bytes()
    place = round(at * len(whole))
    table.write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    with suppress(SerlabError):
        load(root)
    table.write_bytes(whole)
