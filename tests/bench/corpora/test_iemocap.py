"""IEMOCAP: layout, subsets, dialogues."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trees.iemocap import IMPROVISED, PER_SPEAKER, build, build_all_labels

from serlab.bench.audio import AudioFile
from serlab.bench.check import check_corpus
from serlab.bench.contracts import Corpus, ProtocolSpec, Word
from serlab.bench.corpora.base import CORPORA, load_corpus
from serlab.bench.errors import BadFile, SerlabError, UnknownName
from serlab.bench.media import VideoFile
from serlab.bench.protocols import make_split


def load(root: Path, **options: str | bool) -> Corpus:
    """The corpus in a folder."""
    return load_corpus("iemocap", roots={"iemocap": root}, options=options)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A release that a test may break."""
    build(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def all_labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As many turns of each label, style and speaker as the release has."""
    root: Path = tmp_path_factory.mktemp("labels")
    build_all_labels(root)
    return root


ANG, NEU, SAD = "anger", "neutral", "sadness"


@pytest.mark.parametrize(
    ("total", "options", "counts"),
    [
        (5531, {}, {ANG: 1103, "happiness": 1636, NEU: 1708, SAD: 1084}),
        (4490, {"happy": "happiness"}, {ANG: 1103, "happiness": 595, NEU: 1708, SAD: 1084}),
        (2943, {"style": "improvised"}, {ANG: 289, "happiness": 947, NEU: 1099, SAD: 608}),
        (
            2280,
            {"style": "improvised", "happy": "happiness"},
            {ANG: 289, "happiness": 284, NEU: 1099, SAD: 608},
        ),
        (
            2659,
            {"style": "improvised", "happy": "excitement"},
            {ANG: 289, "excitement": 663, NEU: 1099, SAD: 608},
        ),
        (2588, {"style": "scripted"}, {ANG: 814, "happiness": 689, NEU: 609, SAD: 476}),
        (
            7532,
            {"classes": "all", "happy": "both"},
            {ANG: 1103, "happiness": 595, "excitement": 1041, NEU: 1708, SAD: 1084}
            | {"frustration": 1849, "surprise": 107, "fear": 40, "other": 3, "disgust": 2},
        ),
    ],
)
def test_subsets_of_the_literature(
    all_labels: Path, total: int, options: dict[str, str], counts: dict[str, int]
) -> None:
    """Each comes to its published count in every class; all other turns stay as context."""
    corpus = load(all_labels, **options)
    labelled = Counter(u.emotion for u in corpus.utterances if u.emotion)
    assert labelled == counts
    assert labelled.total() == total
    assert corpus.labels == tuple(sorted(counts))
    if "style" not in options:
        assert len(corpus.utterances) == 10_039
    if not options:
        assert counts == CORPORA.entry("iemocap").facts["counts"]


def test_counts_of_sessions_and_speakers(all_labels: Path) -> None:
    """The speaker is the last token's letter, not the one of the markers."""
    used = [u for u in load(all_labels).utterances if u.emotion]
    assert Counter(u.speaker for u in used) == PER_SPEAKER
    sessions = Counter(u.session for u in used)
    assert [sessions[f"Ses0{n}"] for n in range(1, 6)] == [1085, 1023, 1151, 1031, 1241]
    improvised = load(all_labels, style="improvised", happy="happiness").utterances
    assert Counter(u.speaker for u in improvised if u.emotion) == IMPROVISED


def test_folds_of_the_literature(all_labels: Path) -> None:
    """Five sessions, ten speakers, and the random fifth that leaks."""
    corpus = load(all_labels)
    known = corpus.by_id()
    for split, n_folds in (("leave-one-session-out", 5), ("leave-one-speaker-out", 10)):
        made = make_split(corpus, ProtocolSpec(split=split, validation=1))
        assert len(made.folds) == n_folds
        assert made.leaks == ()
        for fold in made.folds:
            tested = {known[i].speaker for i in fold.test}
            assert len(tested) == 10 // n_folds
            assert not tested & {known[i].speaker for i in (*fold.train, *fold.validation)}
    made = make_split(corpus, ProtocolSpec(split="random-utterances", groups=5))
    assert [len(fold.test) for fold in made.folds] == [1107, 1106, 1106, 1106, 1106]
    assert any(leak.startswith("leaking") for leak in made.leaks)


def test_a_turn_is_whole(root: Path) -> None:
    """Times, text, words, votes and ratings of one turn come from their five files."""
    turn = load(root).by_id()["Ses01F_impro01_M001"]
    assert (turn.speaker, turn.session, turn.emotion) == ("Ses01M", "Ses01", "neutral")
    assert (turn.dialogue, turn.turn, turn.source) == ("Ses01F_impro01", 3, None)
    assert turn.text == "Excuse me, M001."
    assert turn.words == (
        Word(text="excuse", start_s=0.03, end_s=0.13),
        Word(text="me", start_s=0.15, end_s=0.2),
    )
    assert turn.facts == {
        "sex": "male",
        "style": "improvised",
        "label": "neu",
        "valence": "2.5000",
        "arousal": "3.0000",
        "dominance": "3.5000",
        "votes": "neutral 2, excitement 1, frustration 1",
    }
    assert turn.partner == ((0.0, 0.25), (2.0, 2.25))
    assert turn.audio == AudioFile(
        path=root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M001.wav"
    )


def test_turns_are_in_order_over_both_speakers(root: Path) -> None:
    """Though the label file lists them otherwise."""
    turns = [u for u in load(root).utterances if u.dialogue == "Ses02M_script01_1"]
    assert [u.turn for u in turns] == list(range(10))
    assert [u.id[-4:] for u in turns[:4]] == ["F000", "M000", "F001", "M001"]


def test_unchosen_labels_are_kept_and_named(root: Path) -> None:
    """No agreement, frustration and the like are context without a class."""
    corpus = load(root, happy="happiness")
    assert len(corpus.utterances) == 100
    unlabelled = {u.facts["label"] for u in corpus.utterances if u.emotion is None}
    assert unlabelled >= {"xxx", "fru", "exc", "sur"}
    assert {u.facts["style"] for u in load(root, style="scripted").utterances} == {"scripted"}


def test_folder_above_the_release(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Is as good as the release itself."""
    above = tmp_path_factory.mktemp("above")
    shutil.copytree(root, above / "IEMOCAP_full_release")
    assert [u.id for u in load(above).utterances] == [u.id for u in load(root).utterances]


def test_a_release_of_sound_and_labels_alone(root: Path) -> None:
    """Has no text and no words."""
    for number in range(1, 6):
        shutil.rmtree(root / f"Session{number}/dialog/transcriptions")
        shutil.rmtree(root / f"Session{number}/sentences/ForcedAlignment")
    assert {(u.text, u.words) for u in load(root).utterances} == {(None, ())}


def test_pictures_of_the_speaker(root: Path) -> None:
    """The one with markers is on the left; the part is the turn's."""
    by_id = load(root, video="whole").by_id()
    path = root / "Session1/dialog/avi/DivX/Ses01F_impro01.avi"
    for name, side in (("Ses01F_impro01_F000", "left"), ("Ses01F_impro01_M000", "right")):
        video = by_id[name].video
        assert isinstance(video, VideoFile)
        assert (video.path, video.side) == (path, side)
    assert (video.start_s, video.end_s) == (8.25, 10.5)
    sides = {u.speaker[5]: getattr(u.video, "side", None) for u in by_id.values() if "M_" in u.id}
    assert sides == {"F": "right", "M": "left"}
    path.unlink()
    with pytest.raises(BadFile, match=r"Ses01F_impro01\.avi: there is no such file, and the opt"):
        load(root, video="whole")


def test_the_data_check_finds_nothing(root: Path) -> None:
    """But that the counts are a miniature's."""
    report = check_corpus(load(root), shortest_s=0.01)
    assert [f.severity for f in report.findings if f.severity != "note"] == []


TABLE = "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
FIRST = "[6.2500 - 8.5000]\tSes01F_impro01_F000\tang\t[2.5000, 3.0000, 3.5000]"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "[6.2500 - 8.5000]\tSes01F_impro01_F000\tang",
            r"txt:3: is no turn: expected \[start - en",
        ),
        (FIRST.replace("8.5000", "8.5.0"), "txt:3: is no turn: could not convert"),
        (FIRST.replace("8.5000", "6.2500"), "txt:3: Ses01F_impro01_F000 ends at 6.25 s and starts"),
        (FIRST.replace("ang", "cal"), 'txt:3: the label "cal" is none of ang, dis, exc'),
        (FIRST.replace("_F000", "_G000"), "txt:3: Ses01F_impro01_G000 is no turn's name, such as"),
        (FIRST.replace("_F000", "_F001"), "Ses01F_impro01_F001 stands here a second time"),
        (FIRST.replace("_F000", "_F777"), r"F777\.wav: there is no such file; .*txt:3 names it"),
    ],
)
def test_bad_label_lines(root: Path, line: str, words: str) -> None:
    """Each is told with its file and line."""
    table = root / TABLE
    table.write_text(table.read_text(encoding="utf-8").replace(FIRST, line), encoding="utf-8")
    with pytest.raises(BadFile, match=words):
        load(root)


def test_missing_files(root: Path) -> None:
    """Labels, transcription and sound are missed by name."""
    (root / "Session2/dialog/transcriptions/Ses02F_impro01.txt").unlink()
    with pytest.raises(BadFile, match=r"transcriptions/Ses02F_impro01\.txt: there is no such file"):
        load(root)
    (root / TABLE).write_text("% nothing\n", encoding="utf-8")
    with pytest.raises(BadFile, match=r"Ses01F_impro01\.txt: holds no turn"):
        load(root)
    shutil.rmtree(root / "Session1/dialog/EmoEvaluation")
    with pytest.raises(BadFile, match="EmoEvaluation: holds no label file"):
        load(root)
    with pytest.raises(BadFile, match="holds no folder Session1 to Session5"):
        load(root / "Session1")


@pytest.mark.parametrize("option", ["classes", "happy", "style"])
def test_bad_options(root: Path, option: str) -> None:
    """A value that an option cannot take is told with those that it can."""
    with pytest.raises(UnknownName, match=f'"most" is no value of the option {option}'):
        load(root, **{option: "most"})


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(junk=st.binary(min_size=1, max_size=60), at=st.floats(0, 1))
def test_any_bytes_in_the_labels(root: Path, junk: bytes, at: float) -> None:
    """Are read or told in one clear error."""
    table = root / TABLE
    whole = table.read_bytes()
    place = round(at * len(whole))
    table.write_bytes(whole[:place] + junk + whole[place + len(junk) :])
    with suppress(SerlabError):
        load(root)
    table.write_bytes(whole)
