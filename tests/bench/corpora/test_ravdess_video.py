"""RAVDESS with its video files."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("av")  # the extra "video"

from trees.ravdess import build, build_video

from serlab.bench.contracts import Corpus
from serlab.bench.corpora.base import load_corpus
from serlab.bench.errors import BadFile, UnknownName
from serlab.bench.media import VideoFile


def load(root: Path, **options: str) -> Corpus:
    return load_corpus("ravdess", roots={"ravdess": root}, options=options)


def test_clips_get_their_pictures(tmp_path: Path) -> None:
    """On request; the files without sound are taken first, then those with it."""
    build(tmp_path)
    build_video(tmp_path)
    assert all(u.video is None for u in load(tmp_path).utterances)
    held = load(tmp_path, video="face")
    assert len(held.utterances) == 64
    for u in held.utterances:
        assert isinstance(u.video, VideoFile)
        assert u.video.path.name == f"02{u.id[2:]}.mp4"
        assert u.video.crop == "face"
    first = held.utterances[0].video
    assert isinstance(first, VideoFile)
    first.path.unlink()
    second = load(tmp_path, video="whole").utterances[0].video
    assert isinstance(second, VideoFile)
    assert second.path.name.startswith("01-01")
    assert second.sample(3).shape == (3, 48, 64)
    second.path.unlink()
    with pytest.raises(BadFile, match="holds no video 02-01"):
        load(tmp_path, video="face")
    with pytest.raises(UnknownName):
        load(tmp_path, video="colour")
