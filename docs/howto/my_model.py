"""A system of one's own and an option for a slot that serlab has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from serlab.bench.contracts import FeatureSpec, Sizes, TrainingSettings, setting
from serlab.bench.data import Batch
from serlab.bench.network import Attention, Output
from serlab.models.components.losses import emotion_loss
from serlab.models.system import BaseSystem
from serlab.models.variant import OPTIONS, SYSTEMS


@OPTIONS.register("frame_pooling.last", source="ours", tag="I")
class Last(nn.Module):
    """The last real frame."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.n_out = n_in

    def forward(self, frames: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """The vector (item, value), and the weights (item, frame) that made it."""
        place = mask.long().cumsum(dim=1).argmax(dim=1)
        weights = nn.functional.one_hot(place, mask.shape[1]).to(frames.dtype)
        return torch.einsum("bt,btv->bv", weights, frames), weights


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    """Hyperparameters beside those of training."""

    width: int = setting(32, "hidden units of a frame", low=1)


@SYSTEMS.register(
    "my_net",
    title="My net",
    source="ours",
    inputs=("image",),
    slots={"frame_pooling": "mean", "augmentation": "none"},
    default_preset="small",
    presets={"small": {"epochs": 10, "batch_size": 16}},
)
class MyNet(BaseSystem[Settings]):
    """A hidden layer on every frame, and a pooling over frames."""

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """A log-mel image."""
        return {"image": FeatureSpec(name="log_mel", settings={"n_mels": 40})}

    def build(self, sizes: Sizes) -> nn.Module:
        """The untrained network."""
        return Network(self, sizes)


class Network(nn.Module):
    """Frame by frame, then the pooling that the slot names."""

    def __init__(self, system: MyNet, sizes: Sizes) -> None:
        super().__init__()
        self.frame = nn.Linear(sizes.n_features["image"], system.settings.width)
        self.pooling = system.option("frame_pooling")(system.settings.width)
        self.classes = nn.Linear(self.pooling.n_out, sizes.n_classes)

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch of images (item, frame, band)."""
        frames = self.frame(batch.inputs["image"]).relu()
        embedding, weights = self.pooling(frames, batch.masks["image"])
        looks = {} if weights is None else {"image": Attention(weights=lambda: weights)}
        return Output(scores=self.classes(embedding), embedding=embedding, attention=looks)

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropy of the emotions."""
        return {"emotion": emotion_loss(output.scores, batch)}
