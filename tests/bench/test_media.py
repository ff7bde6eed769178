"""Sound and pictures from video files."""

from __future__ import annotations

import builtins
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")  # the extra "video"

from trees.clips import FPS, clip, grey

from serlab.bench import media
from serlab.bench.cache import Cache
from serlab.bench.contracts import Audio, Corpus, FeatureSpec, Utterance
from serlab.bench.corpora.base import corpus_digest
from serlab.bench.errors import BadFile, BadValue, MissingExtra
from serlab.bench.features.base import feature
from serlab.bench.media import AudioTrack, VideoFile, face_box

KINDS = {
    "clip.mp4": ("libx264", "aac"),
    "clip.avi": ("mpeg4", "pcm_s16le"),
    "divx.avi": ("mpeg4", "libmp3lame"),
    "clip.mkv": ("libx264", "aac"),
    "clip.flv": ("libx264", "aac"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two seconds in every kind of file."""
    root = tmp_path_factory.mktemp("clips")
    return {
        name: clip(root / name, 2.0, video=video, audio=audio)
        for name, (video, audio) in KINDS.items()
    }


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """Two pictures without a face, three with one moving right, and one without."""
    skimage_data = pytest.importorskip("skimage.data")
    photo = skimage_data.astronaut().mean(axis=2).astype(np.uint8)  # in the wheel
    rows = [np.roll(photo, shift, axis=1) for shift in (0, 20, 40)]
    blank = np.full_like(photo, 90)
    pictures = np.stack([blank, blank, *rows, blank])
    return clip(tmp_path / "face.avi", 6 / FPS, pictures=pictures)


# --- sound ---


@pytest.mark.parametrize("name", KINDS)
def test_sound_is_heard(clips: dict[str, Path], name: str) -> None:
    """At its own rate, mono, as long as it was, up to what the codec pads."""
    audio = AudioTrack(path=clips[name]).read()
    assert audio.rate_hz == 16000
    assert audio.samples.dtype == np.float32
    assert audio.duration_s == pytest.approx(2.0, abs=0.15)
    assert 0.03 < audio.samples.std() < 0.12


def test_uncompressed_sound_is_exact(clips: dict[str, Path]) -> None:
    """16-bit samples come out as they went in, divided by 32768."""
    path = clips["clip.avi"]
    noise = np.random.default_rng(list(f"{path.parent.name}/{path.name}".encode()))
    expected = noise.integers(-4000, 4000, 32000, dtype=np.int16) / 32768
    np.testing.assert_array_equal(AudioTrack(path=path).read().samples, expected.astype("f4"))


def test_channels_are_averaged(tmp_path: Path) -> None:
    """As those of a sound file are."""
    import av

    path = tmp_path / "stereo.avi"
    both = np.stack([np.full(1600, 8192), np.full(1600, -4096)]).astype(np.int16)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000, layout="stereo")
        block = av.AudioFrame.from_ndarray(both.T.reshape(1, -1), format="s16", layout="stereo")
        block.sample_rate = 8000
        file.mux(stream.encode(block))
        file.mux(stream.encode())
    audio = AudioTrack(path=path).read()
    assert audio.rate_hz == 8000
    np.testing.assert_array_equal(audio.samples, np.full(1600, 0.0625, np.float32))


def test_part_of_the_sound(clips: dict[str, Path]) -> None:
    """Samples from start to end, exactly, and nothing beyond the end."""
    whole = AudioTrack(path=clips["clip.avi"])
    samples = whole.read().samples
    part = replace(whole, start_s=0.5, end_s=1.25)
    np.testing.assert_array_equal(part.read().samples, samples[8000:20000])
    np.testing.assert_array_equal(replace(whole, start_s=1.5).read().samples, samples[24000:])
    assert part.name().endswith("[0.5 s to 1.25 s]")
    for start_s, end_s in ((2.5, None), (1.0, 3.0)):
        with pytest.raises(BadFile, match="reaches beyond"):
            replace(whole, start_s=start_s, end_s=end_s).read()
    with pytest.raises(BadValue, match="more than the start"):
        replace(whole, start_s=1.0, end_s=1.0)


# --- pictures ---


@pytest.mark.parametrize("name", KINDS)
def test_pictures_are_seen(clips: dict[str, Path], name: str) -> None:
    """Grey, in order, at their rate; a sample holds the middles of equal stretches."""
    video = VideoFile(path=clips[name])
    frames = video.read()
    assert frames.dtype == np.uint8
    assert frames.shape == (50, 48, 64)
    assert video.rate_hz == FPS
    np.testing.assert_allclose(frames[:, 0, 0], grey(50)[:, 0, 0], atol=6)
    for n in (1, 5, 7, 50):
        middles = ((np.arange(n) + 0.5) * 50 / n).astype(int)
        if name == "divx.avi":  # whose pictures begin late, for the sound's sake
            np.testing.assert_allclose(video.sample(n)[:, 0, 0], frames[middles, 0, 0], atol=10)
        else:
            np.testing.assert_array_equal(video.sample(n), frames[middles])
    assert video.sample(120).shape == (120, 48, 64)


def test_part_and_side_of_the_pictures(clips: dict[str, Path]) -> None:
    """Times count from the file's start; halves are cut down the middle."""
    whole = VideoFile(path=clips["clip.mp4"])
    frames = whole.read()
    part = replace(whole, start_s=1.0, end_s=1.4)
    np.testing.assert_array_equal(part.read(), frames[25:35])
    np.testing.assert_array_equal(part.sample(2), frames[[27, 32]])
    left, right = (replace(whole, side=side) for side in ("left", "right"))
    np.testing.assert_array_equal(left.read(), frames[:, :, :32])
    np.testing.assert_array_equal(right.sample(50), frames[:, :, 32:])
    with pytest.raises(BadFile, match="reaches beyond the video"):
        replace(whole, start_s=5.0).read()


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
def test_a_sample_of_a_long_video_is_sought(tmp_path: Path, suffix: str) -> None:
    """Far pictures are reached without holding, or returning, those between."""
    path = clip(tmp_path / f"long{suffix}", 40.0, pictures=grey(1000), audio="none")
    video = VideoFile(path=path)
    everything = video.read()
    tracemalloc.start()
    sample = video.sample(4)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    np.testing.assert_array_equal(sample, everything[[125, 375, 625, 875]])
    assert peak < everything.nbytes / 10


# --- faces ---


def test_a_face_is_found_and_followed(face: Path) -> None:
    """The crop moves with the face; without one it stays, and first it is the middle."""
    whole, cropped = VideoFile(path=face), VideoFile(path=face, crop="face")
    frames, n_found = cropped.sample_faces(6)
    assert frames.shape == (6, 224, 224)
    assert n_found == 3
    plain = whole.read()
    boxes = [face_box(picture) for picture in plain]
    assert [box is None for box in boxes] == [True, True, False, False, False, True]
    columns = [box[1] for box in boxes if box]
    assert columns[0] < columns[1] < columns[2]
    assert columns[2] - columns[0] == pytest.approx(40, abs=12)
    box = boxes[2]
    assert box is not None
    assert 150 < box[1] + box[2] / 2 < 290  # the astronaut's head is near column 225
    assert 60 < box[0] + box[2] / 2 < 180
    assert frames[0].std() < 2  # the blank picture's middle
    assert frames[5].std() < 2  # the place of the face before, blank by now
    assert frames[3].std() > 20


def test_a_picture_too_small_for_a_face() -> None:
    """Nothing is found, and nothing fails."""
    assert face_box(np.zeros((8, 8), np.uint8)) is None
    assert face_box(np.random.default_rng(0).integers(0, 255, (24, 300), dtype=np.uint8)) is None


def test_face_frames_take_a_sample(face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The feature never decodes the whole video."""
    utterance = Utterance(id="u", speaker="s", video=VideoFile(path=face, crop="face"))

    def refuse(source: VideoFile) -> None:
        raise AssertionError("all pictures were decoded")

    monkeypatch.setattr(VideoFile, "read", refuse)
    made = feature(FeatureSpec(name="face_frames", settings={"n_frames": 3}))
    values = made.of(utterance)
    assert values.shape == (3, 224 * 40)
    assert -1 <= values.min() <= values.max() <= 1


# --- what a part of a file is, as a hash ---


def test_identity_tells_parts_apart(clips: dict[str, Path], tmp_path: Path) -> None:
    """Start, end, side and crop count; where the file lies does not."""
    path = clips["clip.mp4"]
    whole = VideoFile(path=path)
    copy = tmp_path / "elsewhere.mp4"
    copy.write_bytes(path.read_bytes())
    made = feature(FeatureSpec(name="face_frames"))
    others: list[VideoFile] = [
        replace(whole, start_s=0.5),
        replace(whole, end_s=1.0),
        replace(whole, side="left"),
        replace(whole, crop="face"),
    ]

    def of(video: VideoFile) -> tuple[str, str]:
        u = Utterance(id="u", speaker="s", video=video)
        corpus = Corpus(name="x", utterances=(u,), labels=(), licence="", source="")
        return made.extractor.identity(u), corpus_digest(corpus)  # type: ignore[union-attr]

    assert of(replace(whole, path=copy)) == of(whole)
    keys, digests = zip(*(of(video) for video in [whole, *others]), strict=True)
    assert len(set(keys)) == len(set(digests)) == 5


def test_the_cache_remembers_a_track(clips: dict[str, Path], tmp_path: Path) -> None:
    """The hash of a track's samples is kept, and a part of it is another."""
    import os

    path = clips["clip.avi"]
    os.utime(path, (1e9, 1e9))
    memo = Cache(tmp_path).memo
    whole = AudioTrack(path=path)
    memo.put(whole, "a" * 64)
    assert memo.get(whole) == "a" * 64
    assert memo.get(replace(whole, start_s=0.5)) is None


# --- bad files ---


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6])
def test_truncated_files_are_refused(
    clips: dict[str, Path], name: str, share: float, tmp_path: Path
) -> None:
    """What is left of a file is not taken for the whole."""
    data = clips[name].read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    readers: tuple[Callable[[], Any], ...] = (
        AudioTrack(path=path).read,
        VideoFile(path=path).read,
        lambda: VideoFile(path=path).sample(5),
    )
    for read in readers:
        with pytest.raises(BadFile, match=r"truncated") as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda p: None, "no such file"),
        (lambda p: p.write_bytes(b""), "empty"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda p: p.write_bytes(b"no video at all, but some text" * 40), "no video that can"),
        (lambda p: p.write_bytes(bytes(range(256)) * 40), "no video that can"),
    ],
)
def test_no_video(tmp_path: Path, make: Callable[[Path], object], match: str) -> None:
    """One clear line."""
    path = tmp_path / "x.mp4"
    make(path)
    for read in (AudioTrack(path=path).read, VideoFile(path=path).read):
        with pytest.raises(BadFile, match=match):
            read()


def test_missing_streams(tmp_path: Path) -> None:
    """A silent film has no sound, and a radio play no pictures."""
    mute = clip(tmp_path / "mute.mp4", audio="none")
    with pytest.raises(BadFile, match="has no sound"):
        AudioTrack(path=mute).read()
    play = clip(tmp_path / "play.mkv", video="")
    assert isinstance(AudioTrack(path=play).read(), Audio)
    with pytest.raises(BadFile, match="has no pictures"):
        VideoFile(path=play).sample(3)


def test_missing_extras(face: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without PyAV, or for faces without scikit-image, the extra is named."""
    load = builtins.__import__

    def without(gone: str) -> Callable[..., object]:
        def refuse(name: str, *rest: Any, **more: Any) -> object:
            if name.split(".")[0] == gone:
                raise ImportError(name)
            return load(name, *rest, **more)

        return refuse

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without("av"))
        for read in (AudioTrack(path=face).read, VideoFile(path=face).read):
            with pytest.raises(MissingExtra, match=r"serlab\[video\]"):
                read()
    media._detector.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without("skimage"))
        with pytest.raises(MissingExtra, match=r"serlab\[video\]"):
            VideoFile(path=face, crop="face").sample(2)
