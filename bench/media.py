"""Sound and pictures from video files (mp4, avi, mkv, flv ...), by PyAV; the extra "video".

Times count from a stream's own first frame. Faces are found by scikit-image's cascade of local
binary patterns, whose trained weights are part of its package.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from serlab.bench.audio import AudioFile, FilePart, refuse_absent, usable
from serlab.bench.contracts import Audio, FloatArray
from serlab.bench.errors import BadFile, MissingExtra

Pixels = npt.NDArray[np.uint8]
Box = tuple[int, int, int]
"""First row, first column and side of a square."""

SUFFIXES = (".mp4", ".avi", ".mkv", ".flv", ".mov", ".m4v", ".webm")
"""Video files are known by these."""

FACE_PIXELS = 224
"""Side of a cropped face."""

_DETECTED_PIXELS = 240
"""Faces are looked for in a picture whose shorter side is no longer; smaller than a tenth of it
none is found."""
_SEEK_S = 2.0
"""A picture further ahead is sought; one nearer is reached by decoding."""
_SLACK_S = 0.5
"""So much earlier than promised may a stream end: streams of one file are rarely of one length."""
_EPS_S = 1e-6


@dataclass(frozen=True, kw_only=True)
class AudioTrack(FilePart):
    """The sound in a video file, or a part of it; its first audio stream."""

    decoder: ClassVar[str] = "av"
    """The distribution that reads it; the cache tells its versions apart."""

    def read(self) -> Audio:
        """The mean of the channels, shape (sample,), float32, at the stream's own rate.

        Raises:
            BadFile: the file is missing, no video, truncated, has no sound, or has NaN or
                infinite samples; or the part reaches beyond it.
            MissingExtra: PyAV is not installed.
        """
        with _opened(self.path, "sound from video") as file:
            rate = int(_first(file.streams.audio, self.path, "sound").rate)
            first = round((self.start_s or 0.0) * rate)
            last = None if self.end_s is None else round(self.end_s * rate)
            parts, n_heard = [], 0
            for block in _sound(file, self.path):
                wanted = slice(max(first - n_heard, 0), None if last is None else last - n_heard)
                parts.append(block[wanted])
                n_heard += len(block)
                if last is not None and n_heard >= last:
                    break
        if n_heard and (first >= n_heard or (last or 0) > n_heard + rate // 100):
            raise BadFile(self.name(), f"reaches beyond the sound, which has {n_heard / rate:g} s")
        samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        return usable(samples, rate, self.name())


@dataclass(frozen=True, kw_only=True)
class VideoFile(FilePart):
    """The pictures of a video file, grey, or of a part of it; its first video stream.

    ``side`` takes the left or right half of each picture, where two people share it. ``crop``
    "face" takes the square of the largest face, resized to 224 x 224; in a picture without one
    it takes the square of the picture before, and where none came before the largest square in
    the middle.
    """

    side: Literal["", "left", "right"] = ""
    crop: Literal["none", "face"] = "none"

    @property
    def rate_hz(self) -> float:
        """Pictures per second. Raises BadFile."""
        with _opened(self.path, "pictures from video") as file:
            return _rate_hz(_first(file.streams.video, self.path, "pictures"))

    def read(self) -> Pixels:
        """All pictures, shape (frame, row, column); long videos take much memory.

        Raises:
            BadFile: the file is missing, no video, truncated or has no pictures; or the part
                reaches beyond it.
            MissingExtra: PyAV, or for faces scikit-image, is not installed.
        """
        with _opened(self.path, "pictures from video") as file:
            film = _first(file.streams.video, self.path, "pictures")
            start_s, end_s = self._span(film)
            _seek(film, start_s)
            shown = [
                self._grey(frame)
                for time_s, frame in _until(film, end_s)
                if time_s >= start_s - _EPS_S
            ]
        if not shown:
            raise BadFile(self.name(), "holds no picture")
        return self._cropped(shown)[0]

    def sample(self, n: int) -> Pixels:
        """The middle pictures of ``n`` equal stretches, shape (n, row, column).

        What lies between is skipped, so memory does not grow with the length. Raises as `read`.
        """
        return self.sample_faces(n)[0]

    def sample_faces(self, n: int) -> tuple[Pixels, int]:
        """The same, and in how many of them a face was found. Raises as `read`."""
        with _opened(self.path, "pictures from video") as file:
            film = _first(file.streams.video, self.path, "pictures")
            start_s, end_s = self._span(film)
            times = [start_s + (i + 0.5) * (end_s - start_s) / n for i in range(n)]
            shown = [self._grey(frame) for frame in _frames_at(film, times, self.path)]
        return self._cropped(shown)

    def _span(self, film: Any) -> tuple[float, float]:  # PyAV is imported late, here and below
        length_s = _length_s(film, self.path)
        start_s, end_s = self.start_s or 0.0, length_s if self.end_s is None else self.end_s
        if start_s >= length_s or end_s > length_s + _SLACK_S:
            raise BadFile(self.name(), f"reaches beyond the video, which has {length_s:g} s")
        return start_s, min(end_s, length_s)

    def _grey(self, frame: Any) -> Pixels:
        grey: Pixels = frame.to_ndarray(format="gray")
        half = grey.shape[1] // 2
        sides = {"": grey, "left": grey[:, :half], "right": grey[:, half:]}
        return np.ascontiguousarray(sides[self.side])

    def _cropped(self, shown: list[Pixels]) -> tuple[Pixels, int]:
        if self.crop == "none":
            return np.stack(shown), 0
        faces, n_found = [], 0
        box = _middle(shown[0])
        for grey in shown:
            found = face_box(grey)
            n_found += found is not None
            box = found or box
            faces.append(_square(grey, box))
        return np.stack(faces), n_found


def sound_of(path: Path) -> AudioFile | AudioTrack:
    """The sound of a file, whether of sound alone or of video."""
    kind = AudioTrack if path.suffix.lower() in SUFFIXES else AudioFile
    return kind(path=path)


# --- files ----------------------------------------------------------------------------------


@contextmanager
def _opened(path: Path, what: str) -> Iterator[Any]:
    """The file, for as long as it is read; PyAV's errors become BadFile."""
    try:
        import av
    except ImportError:
        raise MissingExtra(what, "av", "video") from None
    refuse_absent(path)
    _refuse_truncated_avi(path)
    try:
        with av.open(str(path), metadata_errors="ignore") as file:
            yield file
    except av.FFmpegError as error:
        what = f"is no video that can be read, or is truncated: {error.strerror}"
        raise BadFile(path, what) from None


def _first(streams: Sequence[Any], path: Path, what: str) -> Any:
    if not streams:
        raise BadFile(path, f"has no {what}")
    if streams[0].codec_context is None:
        raise BadFile(path, f"its {what} are of a kind that the installed FFmpeg cannot decode")
    return streams[0]


def _refuse_truncated_avi(path: Path) -> None:
    """FFmpeg takes what is left of a truncated AVI file for the whole of it; this does not."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[:4] == b"RIFF" and head[8:] == b"AVI ":
        promised, size = struct.unpack("<I", head[4:8])[0] + 8, path.stat().st_size
        if promised > size and promised - 8 != 0xFFFFFFFF:  # streamed
            raise BadFile(path, f"is truncated: {size} of {promised} bytes are there")


def _refuse_truncated(file: Any, end_s: float, path: Path) -> None:
    """Compares where the last packet of all streams ends with what the file's head promises."""
    if file.duration is not None and end_s < file.duration / 1e6 - _SLACK_S:
        what = f"{end_s:.2f} of {file.duration / 1e6:.2f} s are there"
        raise BadFile(path, f"is truncated: {what}")


def _end_s(packet: Any) -> float:
    at = packet.pts if packet.pts is not None else packet.dts
    return 0.0 if at is None else float((at + (packet.duration or 0)) * packet.time_base)


def _sound(file: Any, path: Path) -> Iterator[FloatArray]:
    """The sound block by block, mean of the channels, to the end."""
    import av

    stream = file.streams.audio[0]
    planar = av.AudioResampler(format="fltp", rate=stream.rate)
    end_s = 0.0
    for packet in file.demux():
        end_s = max(end_s, _end_s(packet))
        if packet.stream is stream:
            for frame in chain.from_iterable(map(planar.resample, packet.decode())):
                yield frame.to_ndarray().mean(axis=0, dtype=np.float32)
    _refuse_truncated(file, end_s, path)


# --- pictures -------------------------------------------------------------------------------


def _rate_hz(film: Any) -> float:
    return float(film.average_rate or film.guessed_rate or 25)


def _start_s(film: Any) -> float:
    return float((film.start_time or 0) * film.time_base)


def _length_s(film: Any, path: Path) -> float:
    """What the head says of the stream, else where the last packet ends."""
    if film.duration:
        return float(film.duration * film.time_base)
    file, end_s, all_end_s = film.container, 0.0, 0.0
    if file.duration is not None:
        _seek(film, file.duration / 1e6 - _SEEK_S)
    for packet in file.demux():
        all_end_s = max(all_end_s, _end_s(packet))
        if packet.stream is film:
            end_s = max(end_s, _end_s(packet))
    _refuse_truncated(file, all_end_s, path)
    _seek(film, 0.0)
    return end_s - _start_s(film)


def _seek(film: Any, time_s: float) -> None:
    """To the last key picture that is not after a time."""
    at = int((max(time_s, 0.0) + _start_s(film)) / film.time_base)
    film.container.seek(at, stream=film, backward=True)


def _pictures(film: Any) -> Iterator[tuple[float, Any]]:
    """The pictures from here on, each with its time."""
    first_s = _start_s(film)
    for frame in film.container.decode(film):
        if frame.time is not None:
            yield frame.time - first_s, frame


def _until(film: Any, end_s: float) -> Iterator[tuple[float, Any]]:
    for time_s, frame in _pictures(film):
        if time_s >= end_s - _EPS_S:
            return
        yield time_s, frame


def _frames_at(film: Any, times: Iterable[float], path: Path) -> Iterator[Any]:
    """The picture that is shown at each of some rising times."""
    coming = _pictures(film)
    held, ahead = None, next(coming, None)
    for wanted_s in times:
        if ahead is not None and wanted_s > ahead[0] + _SEEK_S:
            _seek(film, wanted_s)
            coming = _pictures(film)
            held, ahead = None, next(coming, None)
            if ahead is None or ahead[0] > wanted_s:  # an index that is wrong or missing
                _seek(film, 0.0)
                coming = _pictures(film)
                held, ahead = None, next(coming, None)
        while ahead is not None and ahead[0] <= wanted_s + _EPS_S:
            held, ahead = ahead, next(coming, None)
        held = held or ahead
        if held is None:
            raise BadFile(path, "holds no picture")
        if ahead is None and wanted_s > held[0] + _SLACK_S + 1 / _rate_hz(film):
            raise BadFile(path, f"is truncated: its last picture is at {held[0]:.2f} s")
        yield held[1]


# --- faces ----------------------------------------------------------------------------------


@cache
def _detector() -> Any:
    try:
        import skimage.data
        import skimage.feature
    except ImportError:
        raise MissingExtra("cropping faces", "scikit-image", "video") from None
    library: Any = skimage  # it is annotated in part
    return library.feature.Cascade(library.data.lbp_frontal_face_cascade_filename())


def face_box(grey: Pixels) -> Box | None:
    """The largest face of a picture (row, column), if one is found.

    Method: local binary patterns in a cascade (Liao et al., ICB 2007), frontal faces.
    """
    scale = max(min(grey.shape) / _DETECTED_PIXELS, 1.0)
    small = _resized(grey, round(grey.shape[0] / scale), round(grey.shape[1] / scale))
    side = min(small.shape)
    found = _detector().detect_multi_scale(
        img=small, scale_factor=1.1, step_ratio=1, min_size=(24, 24), max_size=(side, side)
    )
    if not found:
        return None
    best = max(found, key=lambda face: (face["width"], -face["r"], -face["c"]))
    size = min(round(best["width"] * scale), *grey.shape)
    row = min(round(best["r"] * scale), grey.shape[0] - size)
    return row, min(round(best["c"] * scale), grey.shape[1] - size), size


def _middle(grey: Pixels) -> Box:
    size = min(grey.shape)
    return (grey.shape[0] - size) // 2, (grey.shape[1] - size) // 2, size


def _square(grey: Pixels, box: Box) -> Pixels:
    row, column, size = box
    return _resized(grey[row : row + size, column : column + size], FACE_PIXELS, FACE_PIXELS)


def _resized(grey: Pixels, rows: int, columns: int) -> Pixels:
    import av

    if grey.shape == (rows, columns):
        return grey
    frame: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(grey), format="gray")
    resized: Pixels = frame.reformat(columns, rows, interpolation="AREA").to_ndarray()
    return resized
