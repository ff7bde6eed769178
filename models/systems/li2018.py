"""Li, Song, McLoughlin, Guo, Dai: An Attention Pooling based Representation Learning Method for
Speech Emotion Recognition, Interspeech 2018.

A convolutional network over spectrograms whose first layer has time-shaped beside
frequency-shaped filters, and whose last map is pooled by bottom-up times top-down attention.
What the paper leaves open is an option here, with its support tag; see the slots.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serlab.bench.contracts import (
    FeatureSpec,
    Sizes,
    setting,
)
from serlab.bench.data import Batch
from serlab.bench.network import Attention, Output
from serlab.models.components.adversary import AdversarialSettings
from serlab.models.components.losses import emotion_loss
from serlab.models.components.masks import whole_pools
from serlab.models.components.pooling import Look
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS

WIDTHS = (16, 32, 48, 64, 80)
"""Channels of the five layers; three public re-implementations agree on them [R]."""


@dataclass(frozen=True, kw_only=True)
class Settings(AdversarialSettings):
    """Hyperparameters beside those of training."""

    width: float = setting(1.0, "multiplies the channels 16, 32, 48, 64, 80", tag="R", low=0.05)
    frequency_bins: int = setting(10, "height of the frequency-shaped filters", tag="N", low=1)
    frequency_frames: int = setting(2, "width of the frequency-shaped filters", tag="N", low=1)
    time_bins: int = setting(2, "height of the time-shaped filters", tag="N", low=1)
    time_frames: int = setting(8, "width of the time-shaped filters", tag="N", low=1)
    dropout: float = setting(0.0, "share of the last map's channels", tag="I", low=0, high=0.95)
    pool_first: bool = setting(False, "max pooling before normalisation: cheaper", tag="I")
    segment_s: float = setting(2.0, "length of a segment in seconds", tag="N", low=0.1)
    hop_s: float = setting(0.010, "from frame to frame", tag="N", low=0.001, high=0.1)
    window_s: float = setting(0.040, "length of a frame", tag="N", low=0.002, high=0.2)
    n_bands: int = setting(400, "frequency bands of the image", tag="N", low=8, high=1024)
    top_hz: float = setting(4000.0, "highest frequency of the image", tag="N", low=500)


@SYSTEMS.register(
    "li2018",
    title="Attention pooling CNN",
    source="Li et al., Interspeech 2018",
    inputs=("image",),
    slots={
        "front_end": "spectrogram",
        "compression": "mu_law",
        "filters": "both",
        "pool_placement": "after_2_3",
        "pooling": "attention",
        "segmentation": "overlapping",
        "augmentation": "none",
        "perturbation": "none",
        "adversary": "none",
        "reversal_schedule": "logistic",
    },
    default_preset="small",
    presets={
        "paper": {
            "optimiser": "sgd",
            "learning_rate": 0.05,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "schedule": "step",
            "step_share": 0.4,
            "epochs": 50,
            "batch_size": 64,
            "gradient_clip": 0.0,
        },
        "small": {
            "front_end": "log_mel",
            "n_bands": 64,
            "hop_s": 0.016,
            "window_s": 0.032,
            "top_hz": 8000.0,
            "pool_placement": "early",
            "pool_first": True,
            "pooling": "attention_sum",
            "segmentation": "drawn",
            "segment_s": 3.0,
            "augmentation": "spec_augment",
            "optimiser": "adamw",
            "learning_rate": 3e-3,
            "weight_decay": 1e-2,
            "schedule": "one-cycle",
            "label_smoothing": 0.1,
            "epochs": 30,
            "batch_size": 16,
            "gradient_clip": 0.0,
            "precision": "bf16",
        },
    },
)
class Li2018(BaseSystem[Settings]):
    """Attention pooling on a CNN with time- and frequency-shaped filters, over spectrograms."""

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """One image, as the front end makes it."""
        compression = self.option("compression")()
        return {"image": self.option("front_end")(self.settings, compression)}

    def build(self, sizes: Sizes) -> nn.Module:
        """The untrained network, its weights laid out for the fast convolutions."""
        network = Network(self, sizes)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


class Network(nn.Module):
    """Five convolutions, each with batch normalisation and ReLU, and a pooling."""

    def __init__(self, system: Li2018, sizes: Sizes) -> None:
        super().__init__()
        settings = system.settings
        widths = [max(2, round(w * settings.width)) for w in WIDTHS]
        frequency = (settings.frequency_bins, settings.frequency_frames)
        time = (settings.time_bins, settings.time_frames)
        self.first = system.option("filters")(1, widths[0], frequency, time)
        others = (nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.others = nn.ModuleList(others)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) for width in widths])
        self.kernels: tuple[tuple[int, int], ...] = system.option("pool_placement")()
        self.pooled_bins = math.prod(kernel[0] for kernel in self.kernels)
        self.pooled_frames = math.prod(kernel[1] for kernel in self.kernels)
        self.pool_first = settings.pool_first
        self.dropout = nn.Dropout2d(settings.dropout)
        self.pooling = system.option("pooling")(widths[-1], sizes.n_classes)
        self.adversary = system.adversary(self.pooling.n_embedding, sizes)
        self.padded = system.segments().length_s == 0

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch of images (item, frame, band)."""
        image, mask = batch.inputs["image"], batch.masks["image"]
        if self.padded:
            # one spare frame, which the first layer's even kernels lose again
            image, mask = whole_pools(image, mask, self.pooled_frames, spare=1)
        else:  # a padded segment counts whole, as in the paper
            mask = torch.ones_like(mask)
        x = image.transpose(1, 2).unsqueeze(1).contiguous(memory_format=torch.channels_last)
        maps = [one[..., : mask.shape[1]] for one in self.first(x)]
        for layer, (norm, kernel) in enumerate(zip(self.norms, self.kernels, strict=True)):
            maps = maps if layer == 0 else [self.others[layer - 1](x)]
            if self.pool_first:
                x = norm(_join([_pool(one, kernel) for one in maps]))
            else:
                x = _pool(norm(_join(maps)), kernel)
            x = x.relu_()  # after the pooling, where there is less of it: maxima keep their order
            mask = _shorter(mask, kernel[1], x.shape[3])
            if self.padded:
                x = x * mask[:, None, None, :]
        scores, embedding, look = self.pooling(self.dropout(x), mask)
        return Output(scores=scores, embedding=embedding, attention=self._attention(look))

    def _attention(self, look: Look) -> Mapping[str, Attention]:
        """The pooling's attention, time before frequency."""
        if look is None:
            return {}
        shown = Attention(
            weights=lambda: look().transpose(-1, -2),
            frames=self.pooled_frames,
            bins=self.pooled_bins,
        )
        return {"image": shown}

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropy of the emotions, and the adversary's terms."""
        adversary: Mapping[str, Tensor] = self.adversary(output.embedding, batch)
        return {"emotion": emotion_loss(output.scores, batch), **adversary}


def _join(maps: list[Tensor]) -> Tensor:
    return maps[0] if len(maps) == 1 else torch.cat(maps, dim=1)


def _pool(x: Tensor, kernel: tuple[int, int]) -> Tensor:
    return x if kernel == (1, 1) else F.max_pool2d(x, kernel)


def _shorter(mask: Tensor, kernel: int, length: int) -> Tensor:
    """The mask after a pooling: a pooled frame is real if its first frame was."""
    return mask[:, ::kernel][:, :length]
