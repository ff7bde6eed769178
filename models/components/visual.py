"""Visual: the faces that a shared encoder also learns from; never needed to recognise.

Every option takes ``(n_in, n_values, settings)``: the values of a row of the input, those of the
encoder's vectors, and the hyperparameters. It gives a module ``(encoder, rows (item, row, n_in))
-> (item, row, n_values)``, and has the feature as ``feature(settings)``, None without faces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from torch import Tensor, nn

from serlab.bench.contracts import FeatureSpec
from serlab.models.variant import OPTIONS


class VisualSettings(Protocol):
    """The hyperparameters that are read here."""

    n_maps: int
    map_frames: int
    n_bands: int
    visual_width: int


@OPTIONS.register("visual.none", source="ours: the branch on speech alone", tag="I")
class NoFaces(nn.Module):
    """No faces: the encoder is trained on speech alone."""

    @staticmethod
    def feature(settings: VisualSettings) -> FeatureSpec | None:
        """No feature."""
        return None


@OPTIONS.register("visual.frames", source="AV4SER", tag="C")
class Frames(nn.Module):
    """Grey frames of the face, shaped like the filterbank's maps, through the encoder itself.

    Faces are normalised by their own mini-batch and leave the running statistics of batch
    normalisation to speech [I]: only speech is ever predicted.
    """

    def __init__(self, n_in: int, n_values: int, settings: VisualSettings) -> None:
        super().__init__()
        self.shape = (settings.map_frames, settings.n_bands)

    @staticmethod
    def feature(settings: VisualSettings) -> FeatureSpec | None:
        """As many frames an utterance as speech has maps."""
        sizes = {"rows": settings.map_frames, "columns": settings.n_bands}
        return FeatureSpec(name="face_frames", settings={"n_frames": settings.n_maps, **sizes})

    def forward(self, encoder: nn.Module, rows: Tensor) -> Tensor:
        """A vector a frame."""
        maps = rows.reshape(-1, *self.shape)
        with running_statistics_kept(encoder):
            vectors: Tensor = encoder(maps)
        return vectors.reshape(*rows.shape[:2], -1)


@OPTIONS.register("visual.vector", source="ours", tag="I")
class Vector(nn.Module):
    """One vector of face features an utterance, by two linear maps into the encoder's space.

    A vector has no place in a two-dimensional encoder, so what speech and faces share is the
    emotion head and the modality adversary, both of which act on that space.
    """

    def __init__(self, n_in: int, n_values: int, settings: VisualSettings) -> None:
        super().__init__()
        width = settings.visual_width
        self.layers = nn.Sequential(
            nn.Linear(n_in, width), nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, n_values)
        )

    @staticmethod
    def feature(settings: VisualSettings) -> FeatureSpec | None:
        """What the corpus supplies under the name "face"."""
        return FeatureSpec(name="supplied", settings={"name": "face"})

    def forward(self, encoder: nn.Module, rows: Tensor) -> Tensor:
        """A vector a row."""
        vectors: Tensor = self.layers(rows)
        return vectors


Visual = Callable[[nn.Module, Tensor], Tensor]


@contextmanager
def running_statistics_kept(network: nn.Module) -> Iterator[None]:
    """Within it, batch normalisation uses a mini-batch's statistics and remembers none."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
