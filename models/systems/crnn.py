"""Plain CNN and CNN-BLSTM with attention: the networks that a reader expects beside any other.

Three convolutions over a log-mel image, perhaps a bidirectional LSTM, and a pooling over frames.
Mirsamadi et al. (ICASSP 2017) put attention on recurrent frames, Chen et al. (IEEE SPL 2018)
convolutions before them; sizes are ours [I]. ``recurrence="none", frame_pooling="mean"`` is a
plain CNN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serlab.bench.contracts import FeatureSpec, Sizes, setting
from serlab.bench.data import Batch
from serlab.bench.network import Attention, Output
from serlab.models.components.adversary import AdversarialSettings
from serlab.models.components.losses import emotion_loss
from serlab.models.components.masks import whole_pools
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS

KERNELS = ((2, 4), (2, 2), (2, 1))
"""Max pooling after each convolution, frames x bands."""
POOLED_FRAMES, POOLED_BANDS = 8, 8


@dataclass(frozen=True, kw_only=True)
class Settings(AdversarialSettings):
    """Hyperparameters beside those of training."""

    channels: int = setting(16, "channels of the first convolution; doubled by each other", low=1)
    units: int = setting(48, "of the LSTM, in each direction", low=1)
    dropout: float = setting(0.2, "of the pooled vector", low=0, high=0.95)
    segment_s: float = setting(3.0, "length of a segment in seconds", low=0.1)
    hop_s: float = setting(0.016, "from frame to frame", low=0.001, high=0.1)
    window_s: float = setting(0.032, "length of a frame", low=0.002, high=0.2)
    n_bands: int = setting(64, "mel bands of the image", low=8, high=1024)
    top_hz: float = setting(8000.0, "highest frequency of the image", low=500)


@SYSTEMS.register(
    "crnn",
    title="CNN-BLSTM with attention",
    source="Mirsamadi et al., ICASSP 2017; Chen et al., IEEE SPL 2018",
    inputs=("image",),
    slots={
        "front_end": "log_mel",
        "recurrence": "blstm",
        "frame_pooling": "attention",
        "segmentation": "drawn",
        "augmentation": "spec_augment",
        "perturbation": "none",
        "adversary": "none",
        "reversal_schedule": "logistic",
    },
    default_preset="small",
    presets={
        "small": {
            "optimiser": "adamw",
            "learning_rate": 3e-3,
            "schedule": "one-cycle",
            "label_smoothing": 0.1,
            "epochs": 30,
            "batch_size": 16,
        },
        "large": {
            "channels": 32,
            "units": 128,
            "hop_s": 0.010,
            "window_s": 0.025,
            "dropout": 0.3,
            "optimiser": "adamw",
            "learning_rate": 1e-3,
            "schedule": "one-cycle",
            "epochs": 60,
            "batch_size": 32,
        },
    },
)
class CRNN(BaseSystem[Settings]):
    """Convolutions over a log-mel image, a BLSTM and attention over frames."""

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """The log-mel image that other systems see too, or descriptors frame by frame."""
        return {"image": self.option("front_end")(self.settings, "none")}

    def build(self, sizes: Sizes) -> nn.Module:
        """The untrained network."""
        return Network(self, sizes)


class Network(nn.Module):
    """Convolutions with batch normalisation and pooling, then frames."""

    def __init__(self, system: CRNN, sizes: Sizes) -> None:
        super().__init__()
        settings = system.settings
        widths = [settings.channels * 2**k for k in range(len(KERNELS))]
        pairs = zip([1, *widths[:-1]], widths, strict=True)
        self.convolutions = nn.ModuleList([nn.Conv2d(a, b, 3, padding=1) for a, b in pairs])
        self.convolutions.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norms = nn.ModuleList([nn.BatchNorm2d(width) for width in widths])
        n_values = widths[-1] * (sizes.n_features["image"] // POOLED_BANDS)
        self.narrow = nn.Linear(n_values, 2 * settings.units)
        self.recurrence = system.option("recurrence")(2 * settings.units, settings.units)
        self.pooling = system.option("frame_pooling")(self.recurrence.n_out)
        self.dropout = nn.Dropout(settings.dropout)
        self.classes = nn.Linear(self.pooling.n_out, sizes.n_classes)
        self.adversary = system.adversary(self.pooling.n_out, sizes)

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch of images (item, frame, band)."""
        image, mask = whole_pools(batch.inputs["image"], batch.masks["image"], POOLED_FRAMES)
        x = image.unsqueeze(1)
        for convolution, norm, kernel in zip(self.convolutions, self.norms, KERNELS, strict=True):
            x = F.max_pool2d(norm(convolution(x)), kernel).relu()
            mask = mask[:, :: kernel[0]]
            x = x * mask[:, None, :, None]
        frames = F.relu(self.narrow(x.transpose(1, 2).flatten(2)))
        embedding, weights = self.pooling(self.recurrence(frames, mask), mask)
        scores = self.classes(self.dropout(embedding))
        looks = {"image": Attention(weights=lambda: weights, frames=POOLED_FRAMES)}
        attention = looks if weights is not None else {}
        return Output(scores=scores, embedding=embedding, attention=attention)

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropy of the emotions, and the adversary's terms."""
        adversary: Mapping[str, Tensor] = self.adversary(output.embedding, batch)
        return {"emotion": emotion_loss(output.scores, batch), **adversary}
