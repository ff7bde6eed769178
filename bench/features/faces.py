"""Features of what is seen: frames of a face, and vectors that a corpus itself supplies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray, Utterance, digest, setting
from serlab.bench.errors import BadValue
from serlab.bench.features.base import FEATURES, Reader
from serlab.bench.identity import file_hashes, source_files, source_identity, vector_hash


@FEATURES.register(
    "face_frames",
    title="grey frames of a face",
    source="Wei et al., Interspeech 2022: five frames, resized to the filterbank map's size [C]",
    dimension="(frame, row x column)",
)
@dataclass(frozen=True, kw_only=True)
class FaceFrames(Reader):
    """Frames drawn evenly from the video, resized (bilinear) and scaled to [-1, 1].

    The middle of each of ``n_frames`` equal stretches is taken; a short video repeats frames.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch", "av", "scikit-image")

    n_frames: int = setting(5, "frames of an utterance", tag="C", low=1)
    rows: int = setting(224, "height: the frames of a filterbank map", tag="C", low=4)
    columns: int = setting(40, "width: the bands of a filterbank map", tag="C", low=4)

    @property
    def n_values(self) -> int:
        """Pixels of a frame."""
        return self.rows * self.columns

    def lacks(self, utterance: Utterance) -> str:
        """Video."""
        return "" if utterance.video is not None else "video"

    def identity(self, utterance: Utterance) -> str:
        """Hash of the video and of which part of it is seen."""
        video = utterance.video
        return digest({"video": source_identity(video, file_hashes(source_files(video)))})

    def read(self, utterance: Utterance) -> FloatArray:
        """The frames, shape (frame, row x column)."""
        import torch
        from torch.nn import functional as F

        chosen = torch.from_numpy(self._frames(utterance).astype(np.float32))
        resized = F.interpolate(
            chosen[:, None] / 255, (self.rows, self.columns), mode="bilinear", antialias=True
        )
        found: FloatArray = ((resized.flatten(1) - 0.5) / 0.5).numpy()
        return found

    def _frames(self, utterance: Utterance) -> npt.NDArray[np.uint8]:
        video: Any = utterance.video  # it may tell which frames it is asked for
        if hasattr(video, "sample"):
            found: npt.NDArray[np.uint8] = video.sample(self.n_frames)
            return found
        frames: npt.NDArray[np.uint8] = video.read()
        if frames.ndim != 3 or not len(frames):
            expected = "grey frames (frame, row, column), at least one"
            raise BadValue(f"{utterance.id}: video", f"shape {frames.shape}", expected)
        middles = (np.arange(self.n_frames) + 0.5) * len(frames) / self.n_frames
        return np.take(frames, middles.astype(int), axis=0)


@FEATURES.register(
    "supplied",
    title="a vector that the corpus supplies",
    source="the corpus's own table",
    dimension="(1, value)",
)
@dataclass(frozen=True, kw_only=True)
class Supplied(Reader):
    """One vector an utterance, such as face features, under the name that the corpus gives it."""

    name: str = setting("face", "the vector's name in the corpus")
    size: int = setting(56, "its values; 0: as many as the corpus has", low=0)

    @property
    def n_values(self) -> int:
        """As the settings say; 0 where only the corpus knows."""
        return self.size

    def expect(self, utterances: Sequence[Utterance]) -> None:
        """Raises BadValue unless the vectors that are there have one length."""
        first: Utterance | None = None
        for u in utterances:
            if self.name not in u.supplied:
                continue
            first = first or u
            n, wanted = len(u.supplied[self.name]), len(first.supplied[self.name])
            if n != wanted:
                what = f"{wanted} values, as {first.id} has"
                raise BadValue(f'{u.id}: supplied vector "{self.name}"', f"{n} values", what)

    def lacks(self, utterance: Utterance) -> str:
        """The vector."""
        return "" if self.name in utterance.supplied else f'a supplied vector "{self.name}"'

    def identity(self, utterance: Utterance) -> str:
        """Hash of the vector."""
        return vector_hash(utterance.supplied.get(self.name, ()))

    def read(self, utterance: Utterance) -> FloatArray:
        """The vector, shape (1, value)."""
        return np.array([utterance.supplied[self.name]], np.float32)
