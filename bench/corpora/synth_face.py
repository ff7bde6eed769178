"""What is seen and rated in the synthetic corpus: frames of a face, and continuous traces.

The mouth opens with the voice, brows and mouth corners go with the emotion, more or less. The
traces are where a rater sees the speaker, some time after it happens, as in the AVEC challenges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray, digest
from serlab.bench.corpora.synth_voice import VERSION, Take, score_of, style_of
from serlab.bench.seeds import generator

DIMENSIONS = ("arousal", "valence", "liking")
SIDE = 32
"""Height and width of a frame."""

_MOODS = {
    "anger": (0.7, -0.6, -0.3),
    "happiness": (0.6, 0.7, 0.6),
    "neutral": (0.0, 0.0, 0.1),
    "sadness": (-0.5, -0.6, -0.1),
    "fear": (0.6, -0.5, -0.4),
}
_EXPRESSIONS = {  # height of the brows, slope of the brows (inner end up), corners of the mouth
    "anger": (-0.8, -0.9, -0.5),
    "happiness": (0.4, 0.0, 1.0),
    "neutral": (0.0, 0.0, 0.0),
    "sadness": (0.0, 0.9, -0.8),
    "fear": (1.0, 0.6, -0.3),
}


@dataclass(frozen=True, kw_only=True)
class SynthFace:
    """Frames of the face that says a take: (frame, 32, 32), uint8."""

    take: Take
    rate_hz: float = 5.0

    def identity(self) -> str:
        """Hash of all that the frames depend on."""
        return digest({"face": VERSION, "source": self})

    def read(self) -> npt.NDArray[np.uint8]:
        """The frames, at least one."""
        score, style, take = score_of(self.take), style_of(self.take), self.take
        draw = generator(take.seed, take.id, "face")
        times = np.arange(_n_frames(score.duration_s * self.rate_hz)) / self.rate_hz
        voice = np.array([p.voice for p in score.phones])[score.at(times)]
        louder = 10 ** (float(np.clip(style.level_db, -10, 10)) / 40)
        openness = np.clip(voice * louder + draw.normal(0, 0.05, len(times)), 0.05, 2.0)
        targets = np.array(_EXPRESSIONS[take.emotion]) * style.intensity
        moods = targets + draw.normal(0, 0.45, 3) + draw.normal(0, 0.15, (len(times), 3))
        frames = _draw(_head(take), moods, openness, draw)
        return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def _n_frames(exact: float) -> int:
    """Frames that cover so many; at least one, and none for a rounding error."""
    return max(1, math.ceil(round(exact, 6)))


def _head(take: Take) -> npt.NDArray[np.float64]:
    """A speaker's looks: skin, background, width and height of the face."""
    draw = generator(take.seed, "face", str(take.speaker))
    return draw.normal((170.0, 60.0, 11.0, 14.0), (15.0, 15.0, 0.7, 0.7))


def _draw(
    head: npt.NDArray[np.float64],
    moods: npt.NDArray[np.float64],
    openness: npt.NDArray[np.float64],
    draw: np.random.Generator,
) -> npt.NDArray[np.float64]:
    """Grey values (frame, row, column) of faces that move a little."""
    skin, back, wide, tall = head
    n = len(openness)
    shift = np.cumsum(draw.normal(0, 0.3, (n, 2)), axis=0)
    row, column = np.mgrid[0:SIDE, 0:SIDE].astype(np.float64)
    y = row - 16.0 - shift[:, 0, None, None]
    x = column - 15.5 - shift[:, 1, None, None]
    brow, slope, corner = (m[:, None, None] for m in moods.T)
    side = np.abs(x)
    face = _soft(1 - (x / wide) ** 2 - (y / tall) ** 2, 6.0)
    eye = np.exp(-(((side - 4.5) / 1.5) ** 2) - ((y + 4.0) / 1.0) ** 2)
    line = -7.5 - 1.3 * brow + 0.35 * slope * (side - 4.5)
    brows = np.exp(-(((side - 4.5) / 2.6) ** 4) - ((y - line) / 0.8) ** 2)
    curve = 7.0 - 1.2 * corner * ((x / 4.0) ** 2 - 0.5)
    height = 0.7 + 1.8 * openness[:, None, None]
    mouth = np.exp(-((x / 4.5) ** 4) - ((y - curve) / height) ** 2)
    grey = back + (skin - back) * face - face * (110 * eye + 90 * brows + 110 * mouth)
    noisy: npt.NDArray[np.float64] = grey + draw.normal(0, 4.0, (n, SIDE, SIDE))
    return noisy


def _soft(value: npt.NDArray[np.float64], slope: float) -> npt.NDArray[np.float64]:
    soft: npt.NDArray[np.float64] = 0.5 * (1 + np.tanh(slope * value))
    return soft


@dataclass(frozen=True, kw_only=True)
class SynthRating:
    """Arousal, valence and liking in [-1, 1] over time: (frame, 3), float32.

    ``before`` is the emotion of the speaker's turn before this one in the dialogue: until the
    rater has caught up, after ``delay_s``, the trace still tells of that.
    """

    take: Take
    before: str | None
    delay_s: float
    rate_hz: float = 10.0

    def identity(self) -> str:
        """Hash of all that the traces depend on."""
        return digest({"rating": VERSION, "source": self})

    def read(self) -> FloatArray:
        """The traces, at least one frame."""
        take, style = self.take, style_of(self.take)
        draw = generator(take.seed, take.id, "rating")
        n = _n_frames(score_of(take).duration_s * self.rate_hz)
        mood = np.array(_MOODS[take.emotion]) * style.intensity
        past = np.array(_MOODS[self.before]) if self.before else np.zeros(3)
        late = (np.arange(n) / self.rate_hz >= self.delay_s)[:, None]
        drift = np.cumsum(draw.normal(0, 0.02, (n, 3)), axis=0) + draw.normal(0, 0.08, 3)
        return np.clip(np.where(late, mood, past) + drift, -1, 1).astype(np.float32)
