"""Audio files, resampling and hashes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from serlab.bench import identity
from serlab.bench.audio import AudioFile, audio_facts, content_hash, resample
from serlab.bench.contracts import Audio
from serlab.bench.errors import BadFile, BadValue
from serlab.bench.identity import file_hash, file_hashes
from serlab.bench.memo import default_root


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path / "cache"))


def tone(rate: int = 16000, seconds: float = 0.5, hertz: float = 440.0) -> np.ndarray:
    """A sine of amplitude 0.5."""
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


def written(path: Path, samples: np.ndarray, rate: int = 16000, subtype: str = "PCM_16") -> Path:
    """The path, with the samples in it."""
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("a.wav", "PCM_16", 1e-4),
        ("a.wav", "PCM_U8", 1e-2),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "FLOAT", 1e-7),
        ("a.wav", "DOUBLE", 1e-7),
        ("a.flac", "PCM_16", 1e-4),
        ("a.flac", "PCM_24", 1e-6),
        ("a.ogg", "VORBIS", 5e-2),
    ],
)
@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_every_encoding_is_read(
    tmp_path: Path, name: str, subtype: str, error: float, rate: int
) -> None:
    """Samples come as mono float32 at the file's own rate, within the encoding's precision."""
    wave = tone(rate)
    audio = AudioFile(path=written(tmp_path / name, wave, rate, subtype)).read()
    assert audio.rate_hz == rate
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == wave.shape
    assert np.abs(audio.samples - wave).max() < error


def test_mp3_is_read(tmp_path: Path) -> None:
    """MP3 comes back with its rate, length (within a frame) and level."""
    path = written(tmp_path / "a.mp3", tone(), subtype="MPEG_LAYER_III")
    audio = AudioFile(path=path).read()
    assert audio.rate_hz == 16000
    assert audio.duration_s == pytest.approx(0.5, abs=0.08)
    assert np.abs(audio.samples).max() == pytest.approx(0.5, abs=0.05)


def test_channels_are_averaged(tmp_path: Path) -> None:
    """Stereo becomes the mean of its channels, and the head tells of two."""
    left, right = tone(hertz=300), tone(hertz=500)
    path = written(tmp_path / "s.wav", np.stack([left, right], axis=1), subtype="FLOAT")
    assert np.abs(AudioFile(path=path).read().samples - (left + right) / 2).max() < 1e-6
    facts = audio_facts(path)
    assert (facts.rate_hz, facts.n_channels, facts.encoding) == (16000, 2, "FLOAT")


def test_part_of_a_file(tmp_path: Path) -> None:
    """A part is the samples between its bounds; an end a rounding beyond the file is its end."""
    path = written(tmp_path / "a.flac", tone())
    whole = AudioFile(path=path).read().samples
    part = AudioFile(path=path, start_s=0.1, end_s=0.3)
    assert np.array_equal(part.read().samples, whole[1600:4800])
    assert part.name() == f"{path} [0.1 s to 0.3 s]"
    rest = AudioFile(path=path, start_s=0.4)
    assert np.array_equal(rest.read().samples, whole[6400:])
    assert rest.name().endswith("[0.4 s to end]")
    assert len(AudioFile(path=path, end_s=0.505).read().samples) == 8000


@pytest.mark.parametrize(("start", "end"), [(0.5, None), (0.2, 0.9), (3.0, 4.0)])
def test_part_beyond_the_file(tmp_path: Path, start: float, end: float | None) -> None:
    """A part that the file does not have is refused with the file's length."""
    path = written(tmp_path / "a.wav", tone())
    with pytest.raises(BadFile, match=r"reaches beyond the file, which has 0\.5 s"):
        AudioFile(path=path, start_s=start, end_s=end).read()


@pytest.mark.parametrize(("start", "end"), [(-1.0, None), (float("nan"), None), (0.2, 0.2)])
def test_part_without_length(start: float, end: float | None) -> None:
    """Bounds that make no part are refused where they are given."""
    with pytest.raises(BadValue, match=r"a\.wav: (start|end) = "):
        AudioFile(path=Path("a.wav"), start_s=start, end_s=end)


def _text(path: Path) -> Path:
    path.write_text("this is no audio at all, but it is long enough to be a head\n")
    return path


def _cut(path: Path, share: float, subtype: str = "PCM_16") -> Path:
    written(path, np.random.default_rng(0).normal(0, 0.1, 16000), subtype=subtype)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _spoilt(path: Path, value: float) -> Path:
    wave = tone()
    wave[800] = value
    return written(path, wave, subtype="FLOAT")


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda t: t / "gone.wav", "there is no such file"),
        (lambda t: _folder(t / "folder.wav"), "is a folder"),
        (lambda t: _empty(t / "a.wav"), r"is empty \(0 bytes\)"),
        (lambda t: _text(t / "text.wav"), "is no audio that can be read"),
        (lambda t: _text(t / "text.flac"), "is no audio that can be read"),
        (lambda t: _cut(t / "a.wav", 0.5), r"is truncated: \d+ of 32000 bytes"),
        (lambda t: _cut(t / "a.wav", 0.0005), "is truncated: it ends before its samples"),
        (lambda t: _cut(t / "a.flac", 0.5), "truncated"),
        (lambda t: _cut(t / "a.ogg", 0.5, "VORBIS"), "truncated|no samples"),
        (lambda t: written(t / "none.wav", np.zeros(0)), "holds no samples"),
        (lambda t: _spoilt(t / "nan.wav", np.nan), r"1 samples are NaN .* first at 0\.050 s"),
        (lambda t: _spoilt(t / "inf.wav", np.inf), "1 samples are NaN or infinite"),
    ],
)
def test_bad_files(tmp_path: Path, make: object, words: str) -> None:
    """Each kind of broken file gets a line with its path and what is wrong."""
    path = make(tmp_path)  # type: ignore[operator]
    with pytest.raises(BadFile, match=words) as caught:
        AudioFile(path=path).read()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _linked(path: Path) -> Path:
    path.symlink_to(path.name)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda t: _linked(t / "self.wav"), "Too many levels of symbolic links"),
        (lambda t: _pipe(t / "pipe.wav"), "is no regular file"),
        (lambda t: t / ("x" * 300 + ".wav"), "File name too long"),
        (lambda t: t / "a\0b.wav", "there is no such file"),
        (lambda t: t / "file" / "below.wav", "there is no such file"),
        (lambda t: _text(t / "new\nline.wav"), r"new\\nline\.wav: is no audio"),
        (lambda t: _text(t / "spaces and ünï\u202ecødé.wav"), "is no audio"),
    ],
)
def test_strange_paths(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    """Loops of links, names too long, with NUL, line ends or marks of direction: one line each."""
    (tmp_path / "file").touch()
    path = make(tmp_path)
    for read in (AudioFile(path=path).read, lambda: audio_facts(path)):
        with pytest.raises(BadFile, match=words) as caught:
            read()
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["a b.wav", "ünï cødé 音.wav", "new\nline.wav", "-.wav", "%s.wav"])
def test_strange_names_are_read(tmp_path: Path, name: str) -> None:
    """What the system takes as a name serlab takes too."""
    path = written(tmp_path / "other.wav", tone()).rename(tmp_path / name)
    assert len(AudioFile(path=path).read().samples) == 8000
    assert file_hashes([path])[path] == hashlib.sha256(path.read_bytes()).hexdigest()


KINDS = (("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "FLOAT"), ("a.flac", "PCM_16"),
         ("a.ogg", "VORBIS"), ("a.mp3", "MPEG_LAYER_III"))  # fmt: skip


@settings(max_examples=150, deadline=None, database=None)
@given(
    kind=st.sampled_from(KINDS),
    at=st.one_of(st.integers(0, 60), st.integers(0, 10_000)),
    removed=st.integers(0, 50),
    inserted=st.binary(max_size=40),
)
def test_damaged_audio(
    tmp_path_factory: pytest.TempPathFactory,
    kind: tuple[str, str],
    at: int,
    removed: int,
    inserted: bytes,
) -> None:
    """Bytes changed anywhere give usable samples or one clear line, never a crash."""
    path = tmp_path_factory.mktemp("damaged") / kind[0]
    data = written(path, tone(seconds=0.2), subtype=kind[1]).read_bytes()
    place = at % len(data)
    path.write_bytes(data[:place] + inserted + data[place + removed :])
    try:
        audio = AudioFile(path=path).read()
    except BadFile as error:
        told = str(error)
    else:
        assert audio.rate_hz > 0
        assert len(audio.samples)
        assert np.isfinite(audio.samples).all()
        told = audio_facts(path).encoding
    assert told


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that the system will not open is a clear error."""
    path = written(tmp_path / "a.wav", tone())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(BadFile, match=r"a\.wav: cannot be read: Permission denied"):
        AudioFile(path=path).read()
    with pytest.raises(BadFile, match=r"a\.wav: cannot be read: Permission denied"):
        file_hash(path)


def test_wav_with_a_streamed_length_is_read(tmp_path: Path) -> None:
    """A head written before the length was known (as pipes do) is no truncation."""
    path = written(tmp_path / "a.wav", tone())
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(data))
    assert len(AudioFile(path=path).read().samples) == 8000


def test_wav_with_other_chunks_is_read(tmp_path: Path) -> None:
    """Chunks before the samples, even of odd length, are passed over."""
    path = written(tmp_path / "a.wav", tone())
    data = path.read_bytes()
    path.write_bytes(data[:12] + b"note\x03\x00\x00\x00abc\x00" + data[12:])
    assert len(AudioFile(path=path).read().samples) == 8000


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_resampling_keeps_a_tone(rate: int) -> None:
    """A tone below half of both rates comes out as itself, away from the ends."""
    audio = Audio(samples=tone(16000).astype(np.float32), rate_hz=16000)
    there = resample(audio, rate)
    assert there.rate_hz == rate
    assert there.samples.dtype == np.float32
    assert len(there.samples) == pytest.approx(rate * 0.5, abs=1)
    middle = slice(rate // 10, rate * 4 // 10)
    assert np.abs(there.samples[middle] - tone(rate)[middle]).max() < 1e-3


def test_resampling_to_its_own_rate_changes_nothing() -> None:
    """The very same record comes back."""
    audio = Audio(samples=tone().astype(np.float32), rate_hz=16000)
    assert resample(audio, 16000) is audio


def test_content_hash_is_of_the_sound(tmp_path: Path) -> None:
    """The same sound in wav and flac has one hash; another sample or rate has another."""
    pcm = np.rint(tone() * 32767).astype(np.int16)
    one = AudioFile(path=written(tmp_path / "a.wav", pcm)).read()
    two = AudioFile(path=written(tmp_path / "b.flac", pcm)).read()
    assert content_hash(one) == content_hash(two)
    other = one.samples.copy()
    other[100] += 1 / 16384
    assert content_hash(Audio(samples=other, rate_hz=16000)) != content_hash(one)
    assert content_hash(Audio(samples=one.samples, rate_hz=8000)) != content_hash(one)


@given(st.lists(st.integers(-32768, 32767), min_size=1, max_size=50))
def test_content_hash_is_exact_for_16_bits(pcm: list[int]) -> None:
    """Sixteen-bit samples survive float32 and back, so equal files have equal hashes."""
    samples = (np.array(pcm, np.float64) / 32768).astype(np.float32)
    shifted = samples + np.float32(2**-20)
    hashes = {content_hash(Audio(samples=s, rate_hz=16000)) for s in (samples, shifted)}
    assert len(hashes) == 1


def test_file_hash_is_remembered_until_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second asking reads the memory; a changed file is hashed anew."""
    path = tmp_path / "ä b.wav"
    path.write_bytes(b"one")
    os.utime(path, (1, 1))  # not so young that it may change under one time stamp
    first = file_hash(path)
    assert first == hashlib.sha256(b"one").hexdigest()
    read: list[Path] = []
    monkeypatch.setattr(identity, "_hash", lambda path: read.append(path) or "0" * 64)
    assert file_hash(path) == first
    assert not read
    path.write_bytes(b"two")
    assert file_hash(path) == "0" * 64
    assert read == [path]


def test_young_files_are_told_apart(tmp_path: Path) -> None:
    """Files too young to be remembered have hashes of their own all the same."""
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_text(path.name)
    hashes = file_hashes([*paths, paths[0]])
    assert list(hashes) == paths
    assert hashes[paths[0]] == hashlib.sha256(b"a").hexdigest()
    assert hashes[paths[1]] == hashlib.sha256(b"b").hexdigest()


def test_hashes_without_a_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be remembered, hashes are worked out all the same."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"x")
    monkeypatch.setenv("SERLAB_CACHE", str(blocked / "below"))
    assert file_hashes([blocked]) == {blocked: file_hash(blocked)}
    assert not (blocked / "below").exists()


def test_hash_of_a_missing_file(tmp_path: Path) -> None:
    """It is named."""
    with pytest.raises(BadFile, match=r"gone\.wav: cannot be read: No such file"):
        file_hash(tmp_path / "gone.wav")


def test_cache_folder_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without SERLAB_CACHE it is in the home folder."""
    monkeypatch.delenv("SERLAB_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_root() == tmp_path / ".cache" / "serlab"
