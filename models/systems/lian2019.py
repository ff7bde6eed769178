"""Lian, Tao, Liu, Huang: Domain adversarial learning for emotion recognition, 2019
(arXiv 1910.13807; reviewed as Lian et al., Interspeech 2020, doi 10.21437/Interspeech.2020-1705).

Audio and text of an utterance are fused, its dialogue gives context, and a speaker head behind a
gradient reversal makes the encoder unlearn who speaks, on unlabelled utterances too. Only the
abstracts could be read: the architecture is that of the public re-implementation of the 2020
paper [R], which has no adversary, and everything else is a choice [I], an option or a setting.

Its acoustic and text vectors are unknown. The defaults are the functionals that need no further
library and the mean of word vectors; the slots offer others, pretrained encoders among them. The
small preset reverses by 0.1, as the closest public code does (SIDANN, ICMI 2020 [R]): at 1.0, on
the synthetic corpus, the speaker head does worse than guessing and a probe tells the speakers
better than without an adversary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from serlab.bench.contracts import FeatureSpec, Segments, Sizes, Unlabelled, setting
from serlab.bench.data import Batch
from serlab.bench.network import Output
from serlab.models.components.adversary import AdversarialSettings
from serlab.models.components.context import Turns
from serlab.models.components.functionals import VectorSettings
from serlab.models.components.losses import emotion_loss
from serlab.models.components.text import TextSettings
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS

MODALITIES = ("audio", "text")


@dataclass(frozen=True, kw_only=True)
class Settings(AdversarialSettings, VectorSettings, TextSettings):
    """Hyperparameters beside those of training, of the speaker head and of the inputs."""

    fused_width: int = setting(
        100, "values of each projected and of the fused vector", tag="R", low=1
    )
    context_units: int = setting(50, "units of the GRU in each direction", tag="R", low=1)
    heads: int = setting(
        1, "heads of the self-attention and of a multi-head fusion", tag="R", low=1
    )
    residual: bool = setting(True, "adds to the attention's output what it is given", tag="I")
    head_width: int = setting(100, "hidden units of the emotion head", tag="R", low=1)
    fusion_dropout: float = setting(0.0, "share of the projected vectors", low=0, high=0.95)
    dropout: float = setting(
        0.2, "in the self-attention and the emotion head", tag="R", low=0, high=0.95
    )


@SYSTEMS.register(
    "lian2019",
    title="Speaker-adversarial multimodal network",
    source="Lian et al., arXiv 1910.13807; Lian et al., Interspeech 2020",
    inputs=("audio", "text"),
    targets=("emotion",),
    slots={
        "functionals": "core",
        "text": "word_vectors",
        "fusion": "attention",
        "context": "gru_attention",
        "head": "tanh",
        "adversary": "speaker",
        "adversary_place": "after_context",
        "reversal_schedule": "logistic",
        "unlabelled": "none",
        "perturbation": "none",
    },
    default_preset="small",
    presets={
        "paper": {
            "optimiser": "adam",
            "learning_rate": 1e-3,
            "weight_decay": 1e-5,
            "schedule": "constant",
            "epochs": 150,
            "batch_size": 20,
            "gradient_clip": 0.0,
            "domain_width": 100,
        },
        "small": {
            "fused_width": 64,
            "context_units": 32,
            "head_width": 64,
            "fusion_dropout": 0.5,
            "dropout": 0.5,
            "reversal": 0.1,
            "optimiser": "adamw",
            "learning_rate": 3e-3,
            "weight_decay": 1e-2,
            "schedule": "one-cycle",
            "label_smoothing": 0.1,
            "epochs": 30,
            "batch_size": 4,
        },
    },
)
class Lian2019(BaseSystem[Settings]):
    """Audio and text in the context of a dialogue, without what tells the speaker."""

    Settings = Settings

    def modalities(self) -> tuple[str, ...]:
        """The names of the inputs that the fusion reads, in its order."""
        return tuple(MODALITIES[i] for i in self.option("fusion").uses)

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """One vector an utterance for each modality that the fusion reads."""
        slots = {"audio": "functionals", "text": "text"}
        return {name: self.option(slots[name])(self.settings) for name in self.modalities()}

    def unlabelled(self) -> tuple[Unlabelled, ...]:
        """As the unlabelled slot says."""
        chosen: tuple[Unlabelled, ...] = self.option("unlabelled")()
        return chosen

    def segments(self) -> Segments:
        """Whole utterances in whole dialogues."""
        return Segments(dialogues=True)

    def build(self, sizes: Sizes) -> nn.Module:
        """The untrained network."""
        return Network(self, sizes)


class Network(nn.Module):
    """Fusion, context, an emotion head, and a domain head on one of the vectors between."""

    def __init__(self, system: Lian2019, sizes: Sizes) -> None:
        super().__init__()
        settings = system.settings
        self.modalities = system.modalities()
        self.fusion = system.option("fusion")(
            [sizes.n_features[name] for name in self.modalities],
            settings.fused_width,
            heads=settings.heads,
            dropout=settings.fusion_dropout,
        )
        self.context = system.option("context")(
            settings.fused_width,
            settings.context_units,
            heads=settings.heads,
            residual=settings.residual,
            dropout=settings.dropout,
        )
        self.head = system.option("head")(
            self.context.width, sizes.n_classes, width=settings.head_width, dropout=settings.dropout
        )
        self.place = system.option("adversary_place")
        width = self.place(settings.fused_width, self.context.width, self.context.width)
        self.adversary = system.adversary(width, sizes)

    def forward(self, batch: Batch) -> Output:
        """Scores of a batch of whole dialogues, whose inputs have one frame an item."""
        turns = Turns.of(batch)
        vectors = [turns.grid(batch.inputs[name][:, 0]) for name in self.modalities]
        present = [turns.grid(batch.masks[name][:, 0]) for name in self.modalities]
        fused, weights = self.fusion(vectors, turns.mask, present)
        recurrent, attended = self.context(fused, turns.mask)
        placed = self.place(fused, recurrent, attended)
        embedding = turns.items(attended)
        return Output(
            scores=self.head(embedding),
            embedding=embedding,
            opposed=turns.items(placed),
            extras={"modality_weights": turns.items(weights)},
        )

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropy of the emotions, and the domain head's terms."""
        domains = self.adversary(output.opposed, batch)
        return {"emotion": emotion_loss(output.scores, batch), **domains}
