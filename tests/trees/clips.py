"""Short video files for the miniature trees of corpora; needs the extra "video"."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE_HZ = 16000
FPS = 25


def clip(
    path: Path,
    seconds: float = 0.4,
    *,
    video: str = "mpeg4",
    audio: str = "",
    pictures: npt.NDArray[np.uint8] | None = None,
    seed: str = "",
) -> Path:
    """Writes a video with noise as its sound, making the folders above it.

    Args:
        path: its suffix tells the container.
        seconds: its length.
        video: codec of the pictures; empty for none.
        audio: codec of the sound, by default the container's usual one; "none" for none.
        pictures: shown (frame, row, column), 25 a second; by default grey, ever lighter.
        seed: tells its noise from that of a file of the same name in a folder of the same name.
    """
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(list(f"{path.parent.name}/{path.name}{seed}".encode()))
    sound = noise.integers(-4000, 4000, round(seconds * RATE_HZ), dtype=np.int16)
    if pictures is None:
        pictures = grey(round(seconds * FPS))
    codec = audio or {".avi": "pcm_s16le"}.get(path.suffix.lower(), "aac")
    with av.open(str(path), "w") as file:
        shown = file.add_stream(video, rate=FPS) if video else None
        if shown is not None:
            shown.height, shown.width = pictures.shape[1:]
            shown.pix_fmt = "yuv420p"
        heard = None if codec == "none" else file.add_stream(codec, rate=RATE_HZ, layout="mono")
        for picture in pictures if shown is not None else ():
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
            file.mux(shown.encode(frame))
        if shown is not None:
            file.mux(shown.encode())
        if heard is not None:
            block = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
            block.sample_rate, block.pts, block.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
            file.mux(heard.encode(block))
            file.mux(heard.encode())
    return path


def grey(n_frames: int, rows: int = 48, columns: int = 64) -> npt.NDArray[np.uint8]:
    """Frame k is 20 + 4 k, up to 250, and its right half 4 darker."""
    level = np.minimum(20 + 4 * np.arange(n_frames), 250).astype(np.uint8)
    frames = np.repeat(level, rows * columns).reshape(n_frames, rows, columns)
    frames[:, :, columns // 2 :] -= 4
    return frames
