"""Wei, Hu, Yang, Luu, Dong: Audio-Visual Domain Adaptation Feature Fusion for Speech Emotion
Recognition, Interspeech 2022. Models and settings from the authors' code, AV4SER [C]; it has no
training, so what is trained on what is our choice [I].

MDSCM: separable convolutions with channel, spatial and temporal attention over filterbank maps.
AVDAL: an encoder that learns from speech and, unpaired, from faces, with a reversed modality head
between. Late fusion reads the maps of both. Speech alone is recognised.

Beside the authors' filterbank (python_speech_features.logfbank) ours has no pre-emphasis, decibels
for natural logarithms, filter edges that are not rounded to bins, no last frame filled with zeros,
and a floor at the noise of 16-bit rounding: over 20 EmoDB utterances the two correlate by 0.94 on
average over the bands, 0.75 in the worst. The authors do not normalise; under the protocol's
normalisation a zero frame is an average one instead of a quiet one.

The code also has scripts that augment waveforms by VTLP (factors 0.8 to 1.2, seven copies) and by
white noise 15 to 30 dB below the speech [C]; whether the published result uses them is open. The
slot perturbation has both in other ranges, and no preset uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from serlab.bench.contracts import (
    FeatureSpec,
    Scalar,
    Sizes,
    Stage,
    Stream,
    TrainingSettings,
    Variant,
    setting,
)
from serlab.bench.data import Batch
from serlab.bench.errors import BadValue
from serlab.bench.features.spectra import WINDOWS
from serlab.bench.network import Attention, Output
from serlab.models.components.adversary import AdversarialSettings
from serlab.models.components.losses import emotion_loss
from serlab.models.components.masks import masked_mean
from serlab.models.components.shared_encoder import Trunk
from serlab.models.components.visual import Visual
from serlab.models.components.zero_maps import cut_maps, lay_maps, share_empty
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS, load_option

FACES = "faces"
"""The stream of faces."""


@dataclass(frozen=True, kw_only=True)
class Settings(AdversarialSettings):
    """Hyperparameters beside those of training, which are MDSCM's (and joint training's)."""

    n_bands: int = setting(40, "mel bands of a frame", tag="C", low=16, high=128)
    hop_s: float = setting(0.010, "from frame to frame", tag="C", low=0.001, high=0.1)
    window_s: float = setting(0.025, "length of a frame", tag="C", low=0.002, high=0.1)
    window: str = setting("rectangular", "window function", tag="C", choices=WINDOWS)
    floor: float = setting(1e-7, "least energy of a band, 0 dB being full", low=1e-30)
    n_maps: int = setting(5, "maps of an utterance", tag="C", low=1, high=50)
    map_frames: int = setting(224, "frames of a map, an even number", tag="C", low=16)
    width: float = setting(1.0, "multiplies MDSCM's 32, 64, 128, 256 channels", tag="C", low=0.05)
    encoder_width: float = setting(
        1.0, "multiplies ResNet-18's 64, 128, 256, 512 channels", tag="C", low=0.03
    )
    dropout: float = setting(0.5, "after either block of MDSCM", tag="C", low=0, high=0.95)
    reduction: int = setting(16, "narrows the channel attention's bottleneck", tag="C", low=1)
    heads: int = setting(4, "attention heads over a map's steps", tag="C", low=1)
    layers: int = setting(2, "transformer layers", tag="C", low=1)
    feedforward: int = setting(512, "hidden units of a transformer layer", tag="C", low=1)
    attention_dropout: float = setting(0.4, "in a transformer layer", tag="C", low=0, high=0.95)
    visual_width: int = setting(64, "hidden units of a face vector's way in", tag="I", low=1)
    fusion_width: int = setting(128, "units of a fusion LSTM", tag="C", low=1)
    score_share: float = setting(0.3, "weight of the score LSTM in the sum", tag="C", low=0, high=1)
    branch_weight: float = setting(1.0, "of each branch's own loss in joint training", low=0)
    avdal_epochs: int = setting(200, "passes of AVDAL's stage", tag="C", low=1)
    avdal_learning_rate: float = setting(0.005, "largest one of AVDAL's stage", tag="C", low=0.0)
    avdal_step_share: float = setting(
        0.4, "step_share and step_gap of AVDAL's stage", tag="C", low=0
    )
    fusion_epochs: int = setting(500, "passes of the fusion's stage", tag="C", low=1)
    fusion_batch_size: int = setting(16, "mini-batch of the fusion's stage", tag="C", low=1)
    fusion_learning_rate: float = setting(1e-4, "largest one of the fusion's", tag="C", low=0.0)
    fusion_step_share: float = setting(
        0.02, "step_share and step_gap of the fusion's stage", tag="C", low=0
    )


@SYSTEMS.register(
    "wei2022",
    title="MDSCM and AVDAL",
    source="Wei et al., Interspeech 2022",
    inputs=("audio",),
    targets=("emotion",),
    slots={
        "branches": "both",
        "convolution": "separable",
        "residual": "native",
        "channel_attention": "mdscm",
        "spatial_attention": "mdscm",
        "attention_order": "spatial_first",
        "temporal_attention": "transformer",
        "zero_maps": "native",
        "shared_encoder": "resnet18",
        "visual": "none",
        "adversary": "none",
        "reversal_schedule": "constant",
        "late_fusion": "feature_lstm",
        "branch_training": "frozen",
        "augmentation": "none",
        "perturbation": "none",
    },
    default_preset="small",
    presets={
        "paper": {
            "visual": "frames",
            "adversary": "modality",
            "domain_width": 50,
            "optimiser": "sgd",
            "learning_rate": 0.08,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "schedule": "step",
            "step_share": 0.16,
            "step_gap": 0.16,
            "step_factor": 0.5,
            "epochs": 500,
            "batch_size": 32,
            "gradient_clip": 0.0,
        },
        "small": {
            "zero_maps": "masked",
            "augmentation": "spec_augment",
            "hop_s": 0.016,
            "window_s": 0.032,
            "window": "hann",
            "floor": 1e-5,
            "map_frames": 64,
            "width": 0.25,
            "reduction": 4,
            "encoder_width": 0.125,
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "layers": 1,
            "feedforward": 128,
            "fusion_width": 64,
            "domain_width": 32,
            "optimiser": "adamw",
            "learning_rate": 5e-3,
            "weight_decay": 1e-2,
            "schedule": "one-cycle",
            "label_smoothing": 0.1,
            "epochs": 25,
            "batch_size": 16,
            "avdal_epochs": 25,
            "avdal_learning_rate": 3e-3,
            "fusion_epochs": 8,
            "fusion_learning_rate": 2e-3,
        },
    },
)
class Wei2022(BaseSystem[Settings]):
    """Separable convolutions with three attentions, beside an encoder that has also seen faces.

    With the branch "mdscm" alone the slots shared_encoder, visual, late_fusion and
    branch_training have no part, and an adversary acts on MDSCM; otherwise it acts on AVDAL.
    """

    Settings = Settings

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        frames, n_maps = self.settings.map_frames, self.settings.n_maps
        if frames % 2 or frames < n_maps:
            raise BadValue("map_frames", frames, f"an even number of at least {n_maps}, n_maps")
        self.branches: tuple[str, ...] = self.option("branches")()
        self.opposed = "avdal" if "avdal" in self.branches else "mdscm"
        """The branch that the adversary acts on."""

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """The logarithm of mel bands from 0 to 8 kHz."""
        s = self.settings
        chosen: dict[str, Scalar] = {
            "n_mels": s.n_bands,
            "low_hz": 0.0,
            "high_hz": 8000.0,
            "scale": "htk",
            "norm": "none",
            "floor": s.floor,
            "window": s.window,
            "window_s": s.window_s,
            "hop_s": s.hop_s,
        }
        return {"audio": FeatureSpec(name="log_mel", settings=chosen)}

    def streams(self) -> Mapping[str, Stream]:
        """Faces of the training part, where a branch learns from them."""
        feature = self.option("visual").feature(self.settings)
        if feature is None or "avdal" not in self.branches:
            return {}
        return {FACES: Stream(source="training", inputs={"face": feature})}

    def stages(self) -> tuple[Stage, ...]:
        """As the branch_training slot says; each stage's epoch is chosen by what it trains."""
        names = self.option("branch_training")(self.branches)
        return tuple(self._stage(name) for name in names)

    def _stage(self, name: str) -> Stage:
        losses = {"emotion": 1.0}
        if name == "joint":
            losses["branches"] = self.settings.branch_weight
        if name in (self.opposed, "joint"):
            terms = self.option("adversary").terms
            losses |= dict.fromkeys(terms, self.settings.domain_weight)
        watching = name in ("avdal", "joint")
        return Stage(
            name=name,
            training=self._training(name),
            trains=("",) if name == "joint" else (f"{name}.",),
            streams=("train", *(self.streams() if watching else ())),
            losses=losses,
        )

    def _training(self, name: str) -> TrainingSettings:
        """MDSCM's settings, with what differs in the other stages."""
        s, base = self.settings, self.training()
        if name == "avdal":
            return replace(
                base,
                epochs=s.avdal_epochs,
                learning_rate=s.avdal_learning_rate,
                step_share=s.avdal_step_share,
                step_gap=s.avdal_step_share,
            )
        if name == "fusion":
            return replace(
                base,
                epochs=s.fusion_epochs,
                batch_size=s.fusion_batch_size,
                learning_rate=s.fusion_learning_rate,
                step_share=s.fusion_step_share,
                step_gap=s.fusion_step_share,
            )
        return base

    def build(self, sizes: Sizes) -> nn.Module:
        """The untrained network."""
        return Network(self, sizes)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What a branch makes of the maps of a batch."""

    features: Tensor
    """(item, map, value)"""
    scores: Tensor
    """(item, map, class)"""
    counted: Tensor
    """(item, map), true where a map counts."""

    @property
    def embedding(self) -> Tensor:
        """(item, value), the mean over the maps that count."""
        return masked_mean(self.features, self.counted)

    @property
    def mean_scores(self) -> Tensor:
        """(item, class), the mean logits of the maps that count."""
        return masked_mean(self.scores, self.counted)


class Branch(nn.Module):
    """An encoder of maps and a linear map to the classes; perhaps an adversary, and faces."""

    def __init__(self, system: Wei2022, name: str, sizes: Sizes) -> None:
        super().__init__()
        settings, option = system.settings, system.option
        trunk = load_option("shared_encoder", "mdscm")
        self.encoder = (trunk if name == "mdscm" else option("shared_encoder"))(option, settings)
        self.n_values: int = self.encoder.n_values
        self.head = nn.Linear(self.n_values, sizes.n_classes)
        self.adversary: nn.Module | None = None
        if name == system.opposed:
            self.adversary = system.adversary(self.n_values, sizes)
        self.visual: Visual | None = None
        if name == "avdal" and system.streams():
            visual = option("visual")
            self.visual = visual(sizes.n_features["face"], self.n_values, settings)

    def hear(self, maps: Tensor, filled: Tensor, counted: Tensor) -> Heard:
        """Maps (item, map, time, frequency); those that do not count are left out.

        In training each empty map counts by itself, in the statistics and in the dropout.
        """
        unlike = counted if self.encoder.training else filled
        computed, row = share_empty(unlike, counted)
        vectors = self.encoder(maps[computed])[row]
        return self._judged(vectors * counted.unsqueeze(2), counted)

    def see(self, rows: Tensor, mask: Tensor) -> Heard:
        """Faces (item, row, value) and which rows there are."""
        assert self.visual is not None
        return self._judged(self.visual(self.encoder, rows), mask)

    def _judged(self, features: Tensor, counted: Tensor) -> Heard:
        return Heard(features=features, scores=self.head(features), counted=counted)


class Network(nn.Module):
    """The branches and their late fusion.

    In a branch's own stage the scores are that branch's, otherwise those of the whole.
    """

    def __init__(self, system: Wei2022, sizes: Sizes) -> None:
        super().__init__()
        settings = system.settings
        self.n_maps, self.map_frames = settings.n_maps, settings.map_frames
        self.counts: Callable[[Tensor], Tensor] = system.option("zero_maps")
        self.opposed = system.opposed
        for name in system.branches:
            setattr(self, name, Branch(system, name, sizes))
        self.branches = system.branches
        if len(self.branches) > 1:
            n_features = sum(self.branch(name).n_values for name in self.branches)
            self.fusion = system.option("late_fusion")(n_features, sizes.n_classes, settings)

    def branch(self, name: str) -> Branch:
        """A branch by name."""
        branch = getattr(self, name)
        assert isinstance(branch, Branch)
        return branch

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch of speech, or of faces in the stream of faces."""
        if batch.stream == FACES:
            seen = self.branch("avdal").see(batch.inputs["face"], batch.masks["face"])
            return self._output(seen, {"avdal": seen})
        audio, mask = batch.inputs["audio"], batch.masks["audio"]
        maps, filled = cut_maps(audio, mask, self.n_maps, self.map_frames)
        counted = self.counts(filled)
        names = (batch.stage,) if batch.stage in self.branches else self.branches
        heard = {name: self.branch(name).hear(maps, filled, counted) for name in names}
        alone = len(heard) == 1
        output = self._output(heard[names[0]], heard) if alone else self._fused(heard, counted)
        return replace(output, attention=self._attention(maps, mask, counted))

    def _attention(self, maps: Tensor, mask: Tensor, counted: Tensor) -> Mapping[str, Attention]:
        """That of the first branch whose encoder attends to places or steps."""
        encoders = (self.branch(name).encoder for name in self.branches)
        trunk = next((e for e in encoders if isinstance(e, Trunk) and e.attends), None)
        if trunk is None:
            return {}

        def weights() -> Tensor:
            found = torch.zeros_like(maps)
            found[counted] = trunk.looks(maps[counted]).float()
            return lay_maps(found, mask, counted)

        return {"audio": Attention(weights=weights)}

    def _output(self, one: Heard, heard: Mapping[str, Heard]) -> Output:
        opposed = heard[self.opposed].embedding if self.opposed in heard else None
        return Output(scores=one.mean_scores, embedding=one.embedding, opposed=opposed)

    def _fused(self, heard: Mapping[str, Heard], counted: Tensor) -> Output:
        features = torch.cat([h.features for h in heard.values()], dim=2)
        larger = torch.stack([h.scores for h in heard.values()]).amax(dim=0)
        scores, embedding = self.fusion(features, larger, counted)
        extras = {f"{name}_scores": h.mean_scores for name, h in heard.items()}
        opposed = heard[self.opposed].embedding
        return Output(scores=scores, embedding=embedding, opposed=opposed, extras=extras)

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropy of the scores and of the branches' own, and the adversary's terms."""
        terms = {"emotion": emotion_loss(output.scores, batch)}
        own = [output.extras[k] for k in map("{}_scores".format, self.branches)
               if k in output.extras]  # fmt: skip
        if own:
            terms["branches"] = torch.stack([emotion_loss(scores, batch) for scores in own]).sum()
        adversary = self.branch(self.opposed).adversary
        if output.opposed is not None and adversary is not None:
            terms |= adversary(output.opposed, batch)
        return terms
