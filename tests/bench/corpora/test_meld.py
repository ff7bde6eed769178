"""MELD: tables, clips, dialogues, and the speakers that its parts share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest.importorskip("av")  # the extra "video"

from trees.clips import clip
from trees.meld import FOLDERS, build
from trees.sounds import sound

from serlab.bench.audio import AudioFile
from serlab.bench.audit import audit_split
from serlab.bench.contracts import Corpus, ProtocolSpec
from serlab.bench.corpora.base import load_corpus
from serlab.bench.errors import SerlabError, UnknownName
from serlab.bench.media import AudioTrack, VideoFile
from serlab.bench.protocols import make_split


def load(root: Path, **options: str) -> Corpus:
    return load_corpus("meld", roots={"meld": root}, options=options)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("meld")
    build(root)
    return root


@pytest.fixture
def tree(built: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(built, tmp_path / "MELD.Raw"))


def test_an_utterance_is_whole(built: Path) -> None:
    """Dialogue, turn, character, text with its apostrophe, times, sound and pictures."""
    corpus = load(built)
    assert len(corpus.utterances) == 3 * 14 + 2
    u = corpus.by_id()["dev_dia1_utt1"]
    assert (u.dialogue, u.turn, u.partition) == ("dev_dia1", 1, "validation")
    assert (u.speaker, u.emotion, u.session) == ("Monica", "happiness", "s4e7")
    assert u.text == 'Why do all you’re "coffee mugs", have numbers?'
    assert u.facts["start"] == "00:20:57,256"
    assert isinstance(u.audio, AudioTrack)
    assert u.audio.read().duration_s == pytest.approx(0.4, abs=0.1)
    assert isinstance(u.video, VideoFile)
    assert u.video.crop == "face"


def test_broken_clips_are_turns_without_class(tree: Path) -> None:
    """What the release lacks stays in its dialogue, and comes back with a working file."""
    corpus = load(tree).by_id()
    for name in ("train_dia125_utt3", "dev_dia110_utt7"):
        u = corpus[name]
        assert (u.audio, u.video, u.emotion, u.facts["label"]) == (None, None, None, "neutral")
    clip(tree / FOLDERS["train"] / "dia125_utt3.mp4", audio="aac")
    mended = load(tree).by_id()["train_dia125_utt3"]
    assert mended.emotion == "neutral"
    assert mended.audio is not None


def test_parts_share_speakers_and_it_is_said(built: Path) -> None:
    """The official partition is no speaker-independent one: the split and the audit say so."""
    corpus = load(built)
    split = make_split(corpus, ProtocolSpec(split="fixed"))
    (fold,) = split.folds
    assert [len(part) for part in (fold.train, fold.validation, fold.test)] == [14, 14, 14]
    assert any("speaker" in leak for leak in split.leaks)
    findings = audit_split(corpus, split)
    assert any(f.severity == "leak" and f.kind == "speaker" for f in findings)


def test_twins_of_test_clips(tree: Path) -> None:
    """A plain name stands before ``final_videos_test``, which fills in where it is missing."""
    test = tree / FOLDERS["test"]
    first = load(tree).by_id()["test_dia0_utt0"].audio
    assert isinstance(first, AudioTrack)
    assert first.path.name == "dia0_utt0.mp4"
    (test / "dia0_utt0.mp4").unlink()
    second = load(tree).by_id()["test_dia0_utt0"].audio
    assert isinstance(second, AudioTrack)
    assert second.path.name == "final_videos_testdia0_utt0.mp4"


def test_sound_files(tmp_path: Path) -> None:
    """A tree of wav files is read, without pictures."""
    build(tmp_path, ".wav")
    corpus = load(tmp_path)
    assert len(corpus.utterances) == 44
    u = corpus.by_id()["test_dia0_utt0"]
    assert isinstance(u.audio, AudioFile)
    assert u.video is None


def test_sound_beside_video(tree: Path) -> None:
    """Where both are there, the sound file is heard and the video is seen."""
    sound(tree / "audio" / "dev_splits_wav" / "dia0_utt0.wav")
    u = load(tree).by_id()["dev_dia0_utt0"]
    assert isinstance(u.audio, AudioFile)
    assert isinstance(u.video, VideoFile)
    assert u.video.path.suffix == ".mp4"


def test_missing_and_double_clips(tree: Path) -> None:
    """Each is one line that names what is wrong."""
    sound(tree / "dev" / "dia0_utt0.wav")
    sound(tree / "dev_wav" / "dia0_utt0.wav")
    with pytest.raises(SerlabError, match="is the same utterance as"):
        load(tree)
    shutil.rmtree(tree / "dev_wav")
    (tree / FOLDERS["train"] / "dia1_utt2.mp4").unlink()
    with pytest.raises(SerlabError, match=r"train_sent_emo.csv:\d+: there is no clip dia1_utt2"):
        load(tree)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("surprise", "suprise", 'did you mean "surprise"'),
        ("Dialogue_ID", "Dialog", 'no column "Dialogue_ID"'),
        (",0,1,4,7", ",zero,1,4,7", "'zero': expected a whole number"),
        (",0,1,4,7", ",0,0,4,7", "stands on line 2 already"),
    ],
)
def test_bad_tables(tree: Path, old: str, new: str, match: str) -> None:
    """The line is named, where there is one."""
    table = tree / "dev_sent_emo.csv"
    text = table.read_text(encoding="utf-8")
    assert old in text
    table.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SerlabError, match=match):
        load(tree)


def test_tables_are_needed_and_options_checked(tree: Path) -> None:
    """Without one table the corpus is not whole."""
    with pytest.raises(UnknownName):
        load(tree, crop="nose")
    (tree / "test_sent_emo.csv").unlink()
    with pytest.raises(SerlabError, match=r"holds no table test_sent_emo\.csv"):
        load(tree)
