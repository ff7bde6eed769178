"""eNTERFACE'05: folders, slips of names, sound and pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")  # the extra "video"

from trees.clips import clip
from trees.enterface import EMOTIONS, build
from trees.sounds import sound

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus
from serlab.bench.corpora.base import load_corpus
from serlab.bench.errors import BadFile, UnknownName
from serlab.bench.media import AudioTrack, VideoFile


def load(root: Path, **options: str) -> Corpus:
    return load_corpus("enterface", roots={"enterface": root}, options=options)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("enterface")
    build(root)
    return root


def test_folders_tell_everything(tree: Path) -> None:
    """Speaker, emotion and sentence come from the folders, whatever a file is called."""
    corpus = load(tree).by_id()
    assert len(corpus) == 5 * 12 + 6
    for slip, speaker, emotion in (
        ("s16_surprise_1", "s16", "surprise"),
        ("s3_happiness_1", "s3", "happiness"),
        ("s11_anger_2", "s11", "anger"),
    ):
        u = corpus[slip]
        assert (u.speaker, u.emotion) == (speaker, emotion)
        assert u.sentence == f"{emotion}-{slip[-1]}"
    assert corpus["s11_anger_2"].facts["file"] == "s12_an_2"
    assert {u.speaker for u in corpus.values()} == {"s1", "s3", "s6", "s11", "s12", "s16"}


def test_uncut_recordings_have_no_class(tree: Path) -> None:
    """Subject 6 says five sentences in a row; that is kept and not scored."""
    whole = [u for u in load(tree).utterances if u.speaker == "s6"]
    assert [u.id for u in whole] == [f"s6_{emotion}" for emotion in EMOTIONS]
    assert all(u.emotion is None and u.facts["label"].startswith(u.id[3:]) for u in whole)


def test_sound_and_pictures_are_of_the_clip(tree: Path) -> None:
    """Both are read from the same file; ``crop`` chooses what is seen."""
    u = load(tree).by_id()["s1_fear_1"]
    assert isinstance(u.audio, AudioTrack)
    assert isinstance(u.video, VideoFile)
    assert u.audio.read().duration_s == pytest.approx(0.4)
    assert u.video.sample(5).shape == (5, 224, 224)
    plain = load(tree, crop="none").by_id()["s1_fear_1"].video
    assert isinstance(plain, VideoFile)
    assert plain.sample(2).shape == (2, 48, 64)
    with pytest.raises(UnknownName):
        load(tree, crop="nose")


def test_sound_files_in_the_same_folders(tmp_path: Path) -> None:
    """A tree whose sound was taken out before is read too, without pictures."""
    for subject in (1, 2):
        for emotion in ("anger", "fear"):
            sound(tmp_path / f"subject-{subject}/{emotion}/sentence-1/s{subject}_1.wav")
    corpus = load(tmp_path)
    assert [u.id for u in corpus.utterances][:2] == ["s1_anger_1", "s1_fear_1"]
    assert all(isinstance(u.audio, AudioFile) and u.video is None for u in corpus.utterances)
    assert np.isfinite(corpus.utterances[0].heard().read().samples).all()


def test_strange_files(tree: Path, tmp_path: Path) -> None:
    """A second clip for a sentence is an error; so is one elsewhere, unless told to skip it."""
    root = tmp_path / "tree"
    shutil.copytree(tree, root)
    clip(root / "subject 1" / "making of.avi")
    with pytest.raises(BadFile, match="lies in no folder of eNTERFACE'05"):
        load(root)
    assert len(load(root, unknown="skip").utterances) == 66
    clip(root / "subject 1" / "anger" / "sentence 1" / "copy of s1_an_1.avi")
    with pytest.raises(BadFile, match="is a second clip"):
        load(root, unknown="skip")
