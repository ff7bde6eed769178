"""Gao, Liu, Wang, Dang: Domain-Adversarial Autoencoder with Attention Based Feature Level Fusion
for Speech Emotion Recognition, ICASSP 2021.

An utterance is cut into segments of 265 ms. An autoencoder, pre-trained on outside corpora with
emotion, speaker and corpus heads on its latent (the latter two behind a gradient reversal),
gives one vector a segment, a convolutional network another; both are fused over the segments and
a bidirectional LSTM tells the emotion. Sizes and epochs are ours where the sources leave them
open [I].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from serlab.bench.contracts import FeatureSpec, Scalar, Sizes, Stage, Stream, setting
from serlab.bench.data import Batch
from serlab.bench.network import Output
from serlab.models.components.adversary import AdversarialSettings, domain_head
from serlab.models.components.autoencoder import Autoencoder
from serlab.models.components.deep_branch import DeepBranch
from serlab.models.components.losses import emotion_loss
from serlab.models.components.masks import masked_mean, whole_blocks
from serlab.models.components.pretraining import Pretraining
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS

RATE_HZ = 16000
RECONSTRUCTING = ("pretrain", "tune")
"""Stages that train the autoencoder by its reconstruction."""


@dataclass(frozen=True, kw_only=True)
class Settings(AdversarialSettings):
    """Hyperparameters beside those of training and of the domain heads."""

    alpha: float = setting(1.0, "weight of all heads on the latent beside reconstruction", low=0)
    beta: float = setting(0.5, "share of the speakers in the domain loss", low=0, high=1)
    corpora: str = setting(
        "", "outside corpora that are pre-trained on, commas between them; empty is all", tag="N"
    )
    pretrain_epochs: int = setting(50, "passes over the outside corpora", low=1)
    tune_epochs: int = setting(10, "passes of the latent's tuning over the training part", low=1)
    channels: int = setting(16, "first channels of the autoencoder: 16, 32, 64", low=1)
    latent_width: int = setting(128, "values of the latent", low=1)
    deep_channels: int = setting(16, "first channels of the deep branch: 16, 32, 64", low=1)
    deep_width: int = setting(128, "values of the deep branch's vector", low=1)
    fused_width: int = setting(128, "values of a fused segment", low=1)
    heads: int = setting(4, "attention heads of the fusion", low=1)
    recurrent_width: int = setting(128, "units of the LSTM in each direction", low=1)
    readout: str = setting(
        "mean", "what the classes are told from: the LSTM's mean over the segments or its ends",
        choices=("mean", "last"),
    )  # fmt: skip
    dropout: float = setting(0.0, "share of the vectors' values dropped", low=0, high=0.95)
    segment_frames: int = setting(32, "frames of a segment: 264 ms", tag="N", low=8)
    n_bins: int = setting(129, "values of a frame, 0 to 8 kHz", tag="N", low=8, high=1024)
    window_s: float = setting(0.016, "length of a frame: 256 samples", tag="X", low=0.002, high=0.2)
    hop_s: float = setting(0.008, "from frame to frame: 128 samples", tag="X", low=0.001, high=0.1)
    range_db: float = setting(80.0, "range of the logarithm below full scale", low=1, high=200)


@SYSTEMS.register(
    "gao2021",
    title="Domain-adversarial autoencoder fused with a deep CNN",
    source="Gao et al., ICASSP 2021",
    inputs=("image",),
    targets=("emotion",),
    slots={
        "pretraining": "daae",
        "adversary": "speaker_and_corpus",
        "reversal_schedule": "constant",
        "latent_tuning": "train_part",
        "latent": "frozen",
        "fusion": "multi_head",
        "augmentation": "none",
        "perturbation": "none",
    },
    default_preset="small",
    presets={
        "paper": {
            "optimiser": "adadelta",
            "learning_rate": 1.0,
            "weight_decay": 0.0,
            "schedule": "constant",
            "epochs": 50,
            "batch_size": 128,
            "gradient_clip": 0.0,
        },
        "small": {
            "augmentation": "spec_augment",
            "channels": 8,
            "latent_width": 64,
            "deep_channels": 8,
            "deep_width": 64,
            "fused_width": 64,
            "recurrent_width": 64,
            "dropout": 0.2,
            "segment_frames": 16,
            "n_bins": 64,
            "window_s": 0.032,
            "hop_s": 0.016,
            "pretrain_epochs": 5,
            "tune_epochs": 3,
            "optimiser": "adamw",
            "learning_rate": 2e-3,
            "weight_decay": 1e-2,
            "schedule": "one-cycle",
            "epochs": 20,
            "batch_size": 16,
        },
    },
)
class Gao2021(BaseSystem[Settings]):
    """Adversarially pre-trained autoencoder and CNN, fused over 265 ms segments, then an LSTM.

    Where the fusion has no use for the latent there is no autoencoder, and pretraining, adversary,
    reversal_schedule, latent_tuning and latent have no part. The adversary and its schedule have
    one only in the pre-training "daae".
    """

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """One log-magnitude spectrogram, its level kept.

        The transform has twice as many points as there are bins, or a multiple of that where the
        window is longer; its neighbouring bins are then averaged. 129 bins of 62 Hz come from 258
        points, since the bin at 8 kHz, the 129th of 256 points, is not one of the feature's [I].
        """
        settings = self.settings
        samples = round(settings.window_s * RATE_HZ)
        pool_bins = -(-samples // (2 * settings.n_bins))
        chosen: dict[str, Scalar] = {
            "window_s": settings.window_s,
            "hop_s": settings.hop_s,
            "n_fft": 2 * settings.n_bins * pool_bins,
            "top_hz": RATE_HZ / 2,
            "pool_bins": pool_bins,
            "scaling": "fixed",
            "span": "signed",
            "compression": "log",
            "range_db": settings.range_db,
        }
        return {"image": FeatureSpec(name="spectrogram", settings=chosen)}

    def streams(self) -> Mapping[str, Stream]:
        """The outside corpora, where the autoencoder is pre-trained."""
        if not self.pretraining().autoencoder:
            return {}
        named = tuple(name.strip() for name in self.settings.corpora.split(",") if name.strip())
        return {"outside": Stream(source="outside", inputs=self.inputs(), corpora=named)}

    def uses(self) -> tuple[bool, bool]:
        """Whether the fusion uses the deep branch, and the latent."""
        used = self.option("fusion").uses
        return 0 in used, 1 in used

    def pretraining(self) -> Pretraining:
        """What is trained on the outside corpora: nothing where the latent is not used."""
        chosen: Pretraining = self.option("pretraining")()
        return chosen if self.uses()[1] else Pretraining()

    def tunes(self) -> bool:
        """Whether the autoencoder is tuned on the training part."""
        return self.uses()[1] and bool(self.option("latent_tuning")())

    def learns_latent(self) -> bool:
        """Whether the encoder learns with the classifier, as an untrained one always does."""
        trained = self.pretraining().autoencoder or self.tunes()
        return self.uses()[1] and (not trained or bool(self.option("latent")()))

    def stages(self) -> tuple[Stage, ...]:
        """Pre-training, tuning, and the emotions."""
        stages = []
        if self.pretraining().autoencoder:
            stages.append(self._pretrain())
        if self.tunes():
            stages.append(
                Stage(
                    name="tune",
                    training=replace(self.training(), epochs=self.settings.tune_epochs),
                    trains=("autoencoder.",),
                    losses={"reconstruction": 1.0},
                    selects=False,
                )
            )
        encoder = ("autoencoder.encoder.",) if self.learns_latent() else ()
        last = Stage(name="emotion", training=self.training(), trains=("recogniser.", *encoder))
        return (*stages, last)

    def _pretrain(self) -> Stage:
        """L_AE + alpha (L_e + beta L_s + (1 - beta) L_c); the reversal has the minus sign."""
        losses, trains = {"reconstruction": 1.0}, ["autoencoder."]
        if self.pretraining().heads:
            shares = {"speaker": self.settings.beta, "corpus": 1 - self.settings.beta}
            domain = self.settings.alpha * self.settings.domain_weight
            losses["emotion_latent"] = self.settings.alpha
            losses |= {t: domain * shares.get(t, 1.0) for t in self.option("adversary").terms}
            trains.append("heads.")
        return Stage(
            name="pretrain",
            training=replace(self.training(), epochs=self.settings.pretrain_epochs),
            trains=tuple(trains),
            streams=("outside",),
            losses=losses,
            selects=False,
        )

    def build(self, sizes: Sizes) -> nn.Module:
        """The untrained network."""
        return Network(self, sizes)


class LatentHeads(nn.Module):
    """Emotion head and adversary on the latents of segments: the DANN of the autoencoder."""

    def __init__(self, system: Gao2021, sizes: Sizes) -> None:
        super().__init__()
        settings = system.settings
        self.emotion = domain_head(settings.latent_width, settings.domain_width, sizes.n_classes)
        self.adversary = system.adversary(settings.latent_width, sizes)

    def losses(self, latent: Tensor, mask: Tensor, batch: Batch) -> dict[str, Tensor]:
        """The terms; each segment has its utterance's emotion, speaker and corpus."""
        item = mask.nonzero()[:, 0]
        segments = replace(
            batch,
            targets=batch.targets[item],
            speakers=batch.speakers[item],
            corpora=batch.corpora[item],
        )
        real = latent[mask]
        emotion = emotion_loss(self.emotion(real), segments)
        return {"emotion_latent": emotion, **self.adversary(real, segments)}


class Recogniser(nn.Module):
    """Deep branch, fusion over the segments, bidirectional LSTM, and a linear map to classes."""

    def __init__(self, system: Gao2021, sizes: Sizes) -> None:
        super().__init__()
        settings = system.settings
        self.deep = None
        if system.uses()[0]:
            self.deep = DeepBranch(
                settings.segment_frames,
                sizes.n_features["image"],
                channels=settings.deep_channels,
                width=settings.deep_width,
                dropout=settings.dropout,
            )
        self.fusion = system.option("fusion")(
            (settings.deep_width, settings.latent_width),
            settings.fused_width,
            heads=settings.heads,
            dropout=settings.dropout,
        )
        width = settings.recurrent_width
        self.recurrent = nn.LSTM(settings.fused_width, width, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(settings.dropout)
        self.classes = nn.Linear(2 * width, sizes.n_classes)
        self.mean = settings.readout == "mean"

    def forward(self, deep: Tensor, latent: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, embedding and the fusion's weights, from vectors (item, segment, value)."""
        fused, weights = self.fusion((deep, latent), mask)
        packed = pack_padded_sequence(
            fused, mask.sum(dim=1).cpu(), batch_first=True, enforce_sorted=False
        )
        states, (ends, _) = self.recurrent(packed)
        if self.mean:
            padded, _ = pad_packed_sequence(states, batch_first=True, total_length=mask.shape[1])
            embedding = masked_mean(padded, mask)
        else:
            embedding = torch.cat((ends[0], ends[1]), dim=1)
        return self.classes(self.dropout(embedding)), embedding, weights


class Network(nn.Module):
    """The autoencoder with its heads, and the recogniser that uses its latent."""

    def __init__(self, system: Gao2021, sizes: Sizes) -> None:
        super().__init__()
        settings = self.settings = system.settings
        pretraining = system.pretraining()
        self.autoencoder = None
        if system.uses()[1]:
            self.autoencoder = Autoencoder(
                settings.segment_frames,
                sizes.n_features["image"],
                channels=settings.channels,
                width=settings.latent_width,
                decodes=pretraining.autoencoder or system.tunes(),
            )
        self.heads = LatentHeads(system, sizes) if pretraining.heads else None
        self.recogniser = Recogniser(system, sizes)
        self.n_classes = sizes.n_classes

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch of images (item, frame, bin); in a reconstructing stage, images.

        The convolutions see real segments only, so that no batch's padding has a part in their
        normalisation; an utterance's last segment is filled with zeros.
        """
        size = self.settings.segment_frames
        blocks, mask = whole_blocks(batch.inputs["image"], batch.masks["image"], size)
        segments = blocks[mask]
        latent = self._latent(segments, mask)
        if batch.stage in RECONSTRUCTING:
            return self._reconstructed(latent, mask)
        deep = segments.new_zeros(*mask.shape, self.settings.deep_width)
        if self.recogniser.deep is not None:
            deep = _spread(self.recogniser.deep(segments), mask)
        scores, embedding, weights = self.recogniser(deep, latent, mask)
        extras = {"latent": latent, "segments": mask, "fusion": weights}
        opposed = None if self.autoencoder is None else masked_mean(latent, mask)
        return Output(scores=scores, embedding=embedding, opposed=opposed, extras=extras)

    def _latent(self, segments: Tensor, mask: Tensor) -> Tensor:
        """(item, segment, value), zero where no segment is and where there is no autoencoder."""
        if self.autoencoder is None:
            return segments.new_zeros(*mask.shape, self.settings.latent_width)
        return _spread(self.autoencoder.encoder(segments), mask)

    def _reconstructed(self, latent: Tensor, mask: Tensor) -> Output:
        """Reconstructed segments; the scores are the emotion head's, or zeros without one."""
        assert self.autoencoder is not None
        embedding = masked_mean(latent, mask)
        scores = embedding.new_zeros(len(mask), self.n_classes)
        if self.heads is not None:
            scores = masked_mean(self.heads.emotion(latent), mask)
        images = self.autoencoder.reconstruct(latent[mask])
        extras = {"latent": latent, "segments": mask, "reconstruction": images}
        return Output(scores=scores, embedding=embedding, extras=extras)

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """The terms of the batch's stage; outside of reconstruction, cross-entropy."""
        if batch.stage not in RECONSTRUCTING:
            return {"emotion": emotion_loss(output.scores, batch)}
        terms = {"reconstruction": reconstruction_loss(output.extras["reconstruction"], batch)}
        if batch.stage == "pretrain" and self.heads is not None:
            latent, mask = output.extras["latent"], output.extras["segments"]
            terms |= self.heads.losses(latent, mask, batch)
        return terms


def reconstruction_loss(reconstructed: Tensor, batch: Batch) -> Tensor:
    """Mean squared error of segments (segment, frame, bin) over the frames that are real."""
    size = reconstructed.shape[1]
    blocks, mask = whole_blocks(batch.inputs["image"], batch.masks["image"], size)
    real, _ = whole_blocks(batch.masks["image"].unsqueeze(-1), batch.masks["image"], size)
    frames = real[mask][..., 0]
    return F.mse_loss(reconstructed[frames], blocks[mask][frames])


def _spread(vectors: Tensor, mask: Tensor) -> Tensor:
    """Vectors of the real segments (segment, value) at their places (item, segment, value)."""
    places = vectors.new_zeros(*mask.shape, vectors.shape[1])
    places[mask] = vectors
    return places
