"""Audio from files: any rate, channel count and bit depth in, mono float32 out.

Reading is by soundfile (libsndfile), resampling by soxr; nothing is resampled unasked.
"""

from __future__ import annotations

import hashlib
import io
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile

from serlab.bench.contracts import Audio, FloatArray
from serlab.bench.errors import BadFile, BadValue

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
"""Audio files are known by these."""

_BLOCK = 1 << 24


@dataclass(frozen=True, kw_only=True, slots=True)
class FilePart:
    """A file, or the part of it from ``start_s`` to ``end_s``."""

    path: Path
    start_s: float | None = None
    end_s: float | None = None

    def __post_init__(self) -> None:
        """Checks that the part, if one is asked for, has a length."""
        start, end = self.start_s or 0.0, self.end_s
        if not start >= 0:
            raise BadValue(f"{self.path}: start", self.start_s, "seconds, 0 or more")
        if end is not None and not end > start:
            raise BadValue(f"{self.path}: end", end, f"seconds, more than the start {start:g}")

    def name(self) -> str:
        """The path, and the part if it is one."""
        if self.start_s is None and self.end_s is None:
            return str(self.path)
        end = "end" if self.end_s is None else f"{self.end_s:g} s"
        return f"{self.path} [{self.start_s or 0:g} s to {end}]"


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioFile(FilePart):
    """The audio of a sound file, or of a part of it."""

    def read(self) -> Audio:
        """The mean of the channels, shape (sample,), at the file's own rate.

        Raises:
            BadFile: the file is missing, no audio, truncated, empty, or has NaN or infinite
                samples; or the part reaches beyond it.
        """
        with _open(self.path) as file:
            first, count = self._span(file.frames, file.samplerate)
            samples, rate = _samples(file, first, count, self.path), int(file.samplerate)
        return usable(samples, rate, self.name())

    def _span(self, n_frames: int, rate: int) -> tuple[int, int]:
        first = round((self.start_s or 0.0) * rate)
        last = n_frames if self.end_s is None else round(self.end_s * rate)
        if first >= max(n_frames, 1) or last > n_frames + rate // 100:
            raise BadFile(self.name(), f"reaches beyond the file, which has {n_frames / rate:g} s")
        return first, min(last, n_frames) - first


def usable(samples: FloatArray, rate_hz: int, name: str) -> Audio:
    """The samples as audio. Raises BadFile where there are none, or some are not finite."""
    if not len(samples):
        raise BadFile(name, "holds no samples")
    bad = np.flatnonzero(~np.isfinite(samples))
    if len(bad):
        what = f"{len(bad)} samples are NaN or infinite, the first at {bad[0] / rate_hz:.3f} s"
        raise BadFile(name, what)
    return Audio(samples=samples, rate_hz=rate_hz)


@dataclass(frozen=True, kw_only=True)
class AudioFacts:
    """What a file's head says."""

    rate_hz: int
    n_channels: int
    encoding: str
    duration_s: float


def audio_facts(path: Path) -> AudioFacts:
    """Rate, channels, encoding and length of a file. Raises BadFile."""
    with _open(path) as file:
        return AudioFacts(
            rate_hz=int(file.samplerate),
            n_channels=int(file.channels),
            encoding=str(file.subtype),
            duration_s=file.frames / file.samplerate,
        )


def refuse_absent(path: Path) -> None:
    """Raises BadFile where there is no file, or nothing in it."""
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name with NUL
        raise BadFile(path, "there is no such file") from None
    except OSError as error:
        raise BadFile(path, f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(facts.st_mode):
        raise BadFile(path, "is a folder" if stat.S_ISDIR(facts.st_mode) else "is no regular file")
    if facts.st_size == 0:
        raise BadFile(path, "is empty (0 bytes)")


def audio_of_bytes(data: bytes, name: str) -> Audio:
    """The audio of a sound file's bytes, as `AudioFile.read` gives it. Raises BadFile."""
    if not data:
        raise BadFile(name, "is empty (0 bytes)")
    stream = io.BytesIO(data)
    _refuse_truncated_wav(stream, len(data), name)
    with _sound_file(stream, name) as file:
        samples, rate = _samples(file, 0, file.frames, name), int(file.samplerate)
    return usable(samples, rate, name)


def _open(path: Path) -> Any:  # soundfile is untyped
    refuse_absent(path)
    try:
        with path.open("rb") as stream:
            _refuse_truncated_wav(stream, path.stat().st_size, path)
        return _sound_file(path, path)
    except OSError as error:
        raise BadFile(path, f"cannot be read: {error.strerror}") from None


def _sound_file(file: Path | BinaryIO, name: str | Path) -> Any:  # soundfile is untyped
    if not isinstance(file, Path):
        file.seek(0)
    try:
        return soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        raise BadFile(name, f"is no audio that can be read: {error.error_string}") from None


def _samples(file: Any, first: int, count: int, path: str | Path) -> FloatArray:  # see _sound_file
    parts, left = [], count
    try:
        file.seek(first)
        while left > 0:
            block = file.read(min(left, _BLOCK), dtype="float32", always_2d=True)
            if not len(block):
                break
            parts.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))
            left -= len(block)
    except soundfile.LibsndfileError as error:
        raise BadFile(path, f"is damaged or truncated: {error.error_string}") from None
    if left > 0:
        raise BadFile(path, f"is truncated: {count - left} of {count} samples are there")
    return np.ascontiguousarray(np.concatenate(parts)) if parts else np.zeros(0, np.float32)


def _refuse_truncated_wav(file: BinaryIO, size: int, path: str | Path) -> None:
    """Libsndfile reads what is left of a truncated RIFF file without a word; this does not."""
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return
    while len(chunk := file.read(8)) == 8:
        name, length = struct.unpack("<4sI", chunk)
        here = file.tell()
        if name == b"data":
            if length not in (0, 0xFFFFFFFF) and here + length > size:  # 0, -1: streamed
                what = f"{size - here} of {length} bytes of samples are there"
                raise BadFile(path, f"is truncated: {what}")
            return
        file.seek(here + length + length % 2)
    raise BadFile(path, "is truncated: it ends before its samples begin")


def resample(audio: Audio, rate_hz: int) -> Audio:
    """The audio at another rate, by soxr's high-quality resampler; as it is at its own rate."""
    if audio.rate_hz == rate_hz:
        return audio
    import soxr

    samples = soxr.resample(audio.samples, audio.rate_hz, rate_hz, quality="HQ")
    return Audio(samples=samples.astype(np.float32, copy=False), rate_hz=rate_hz)


def content_hash(audio: Audio) -> str:
    """SHA-256 of the rate and of the samples rounded to 16 bits.

    So the same recording has one hash as wav and as flac, under any name.
    """
    pcm = np.clip(np.rint(audio.samples * np.float32(32768)), -32768, 32767).astype("<i2")
    return hashlib.sha256(f"{audio.rate_hz}:".encode() + pcm.tobytes()).hexdigest()
