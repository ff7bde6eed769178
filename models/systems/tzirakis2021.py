"""Tzirakis, Nguyen, Zafeiriou, Schuller: Speech Emotion Recognition using Semantic Information,
ICASSP 2021. Sizes from the authors' code, glam-imperial [C], training from the notes [N].

Frames of 0.1 s: raw samples through a convolutional network, beside the vector of the word that
is said; fused by attention, parted into three streams, fused again, and read by an LSTM, for
continuous labels of every frame. Where classes are asked for, the LSTM's mean over frames is
classified instead, which is ours [I].

The code's LSTM has peepholes and clips its cells at 100; torch's has neither. The code lets
zero-padded frames into the loss; here, as everywhere, they are masked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from serlab.bench.contracts import FeatureSpec, Segments, Sizes, Variant, setting
from serlab.bench.data import Batch
from serlab.bench.errors import BadValue
from serlab.bench.network import Output, Streams
from serlab.models.components.adversary import AdversarialSettings
from serlab.models.components.losses import emotion_loss
from serlab.models.components.masks import fit_frames, masked_mean, whole_blocks
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS

FRAMES_HZ = 10
"""Of the words, of the turns and of AVEC 2017's labels [C]."""
STREAMS = ("semantic", "paralinguistic")


@dataclass(frozen=True, kw_only=True)
class Settings(AdversarialSettings):
    """Hyperparameters beside those of training."""

    rate_hz: int = setting(22050, "samples per second, a multiple of 10", tag="C", low=1000)
    text_vectors: str = setting("synth-text", "the text space: synth-text or a .vec file")
    speech_vectors: str = setting("synth-speech", "the speech space: synth-speech or a .vec file")
    vector_size: int = setting(100, "values of a hashed word vector", tag="C", low=1)
    width: float = setting(1.0, "multiplies the channels 50, 125, 250", tag="C", low=0.02)
    first_kernel: int = setting(8, "samples under the first layer's filters", tag="C", low=1)
    kernel: int = setting(6, "steps under the other layers' filters", tag="C", low=1)
    first_pool: int = setting(10, "samples that the first pooling joins", tag="C", low=1)
    pool: int = setting(5, "steps that each other pooling joins", tag="C", low=1)
    batch_norm: bool = setting(False, "batch normalisation of the three layers", tag="I")
    dropout: float = setting(0.5, "after each of the three layers", tag="C", low=0, high=0.95)
    fusion_width: int = setting(1024, "values of the fused vector", tag="C", low=1)
    fusion_dropout: float = setting(0.0, "of the vectors that are fused", low=0, high=0.95)
    heads: int = setting(4, "attention heads of the fusion multi_head", tag="I", low=1)
    stream_width: int = setting(512, "values of a stream", tag="C", low=1)
    lstm_width: int = setting(256, "units of the LSTM", tag="C", low=1)
    segment_s: float = setting(0.0, "length of a sequence in seconds; 0 is all of it", low=0.0)


@SYSTEMS.register(
    "tzirakis2021",
    title="Semantic and paralinguistic fusion",
    source="Tzirakis et al., ICASSP 2021",
    inputs=("words", "waveform"),
    targets=("emotion", "traces"),
    slots={
        "semantic": "hashed",
        "frame_reshape": "aligned",
        "interlocutor": "none",
        "fusion": "score_attention",
        "depth": "two_level",
        "trace_loss": "ccc",
        "ccc_weights": "equal",
        "perturbation": "none",
        "adversary": "none",
        "reversal_schedule": "constant",
    },
    default_preset="small",
    presets={
        "paper": {
            "frame_reshape": "native",
            "interlocutor": "half_frame",
            "segment_s": 30.0,
            "optimiser": "adam",
            "learning_rate": 1e-4,
            "weight_decay": 0.0,
            "schedule": "constant",
            "epochs": 100,
            "batch_size": 25,
            "gradient_clip": 5.0,
        },
        "small": {
            "rate_hz": 8000,
            "vector_size": 32,
            "width": 0.3,
            "first_kernel": 64,
            "batch_norm": True,
            "dropout": 0.1,
            "fusion_width": 64,
            "fusion_dropout": 0.3,
            "stream_width": 64,
            "lstm_width": 64,
            "optimiser": "adamw",
            "learning_rate": 2e-3,
            "weight_decay": 1e-2,
            "schedule": "one-cycle",
            "label_smoothing": 0.1,
            "epochs": 18,
            "batch_size": 8,
        },
    },
)
class Tzirakis2021(BaseSystem[Settings]):
    """What is said beside how it is said, frame by frame, fused on two levels.

    The fusions "first_only" and "second_only" are the semantic and the paralinguistic branch
    alone; the other's slots have no part then. Vectors of the slot semantic but "hashed" come
    from the spaces ``text_vectors`` and ``speech_vectors``; the default ones hold the synthetic
    corpus's words only.

    Raises:
        BadValue: the sampling rate gives no whole frames of 0.1 s.
    """

    Settings = Settings

    def __init__(self, variant: Variant) -> None:
        super().__init__(variant)
        if self.settings.rate_hz % FRAMES_HZ:
            raise BadValue("rate_hz", self.settings.rate_hz, f"a multiple of {FRAMES_HZ}")
        self.uses: tuple[int, ...] = self.option("fusion").uses

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """What the fusion uses of word vectors and samples, and when the partner speaks."""
        found: dict[str, FeatureSpec] = {}
        if 0 in self.uses:
            found["words"] = self.option("semantic")(self.settings)
        if 1 in self.uses:
            rate = {"rate_hz": self.settings.rate_hz}
            found["waveform"] = FeatureSpec(name="waveform", settings=rate)
            found |= self.option("interlocutor").inputs
        return found

    def segments(self) -> Segments:
        """Whole utterances, or sequences that follow each other."""
        length = self.settings.segment_s
        if not length:
            return Segments()
        return Segments(length_s=length, train_hop_s=length, test_hop_s=length)

    def build(self, sizes: Sizes) -> nn.Module:
        """The untrained network."""
        return Network(self, sizes)


class Paralinguistic(nn.Module):
    """Samples to one vector for each frame of 0.1 s."""

    def __init__(self, system: Tzirakis2021) -> None:
        super().__init__()
        settings = system.settings
        self.n_samples = settings.rate_hz // FRAMES_HZ
        self.interlocutor = system.option("interlocutor")()
        n_samples = self.n_samples * self.interlocutor.factor
        self.convolutions = system.option("frame_reshape")(n_samples, settings)
        self.n_values: int = self.convolutions.n_values

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Vectors (item, frame, value) and the frames' mask (item, frame)."""
        samples, real = batch.inputs["waveform"], batch.masks["waveform"]
        blocks, mask = whole_blocks(samples, real, self.n_samples)
        frames = self.interlocutor(blocks.squeeze(3), batch.inputs)
        return self.convolutions(frames, mask), mask


class Network(nn.Module):
    """Two branches, two levels of fusion, an LSTM, and a linear map."""

    def __init__(self, system: Tzirakis2021, sizes: Sizes) -> None:
        super().__init__()
        settings, option = system.settings, system.option
        widths = []
        if 0 in system.uses:
            widths.append(sizes.n_features["words"])
        self.paralinguistic = Paralinguistic(system) if 1 in system.uses else None
        if self.paralinguistic is not None:
            widths.append(self.paralinguistic.n_values)
        self.reads_words = 0 in system.uses
        self.fusion = option("fusion")(
            widths, settings.fusion_width, heads=settings.heads, dropout=settings.fusion_dropout
        )
        self.depth = option("depth")(settings.fusion_width, settings.stream_width)
        self.lstm = nn.LSTM(settings.stream_width, settings.lstm_width, batch_first=True)
        self.head = nn.Linear(settings.lstm_width, sizes.n_classes)
        self.traced = sizes.target == "traces"
        self.trace_loss = option("trace_loss")
        self.trace_weights: tuple[float, ...] = option("ccc_weights")(sizes.n_classes)
        self.adversary = system.adversary(settings.lstm_width, sizes)

    def forward(self, batch: Batch) -> Output:
        """Scores of classes, or values in (-1, 1) of every rated frame."""
        vectors, mask, present = self._vectors(batch)
        fused, weights = self.fusion(vectors, mask, present)
        states, _ = self.lstm(self.depth(fused))
        embedding = masked_mean(states, mask)
        if self.traced:
            values = self.head(states).tanh() * mask.unsqueeze(-1)
            scores = fit_frames(values, batch.trace_mask.shape[1])
        else:
            scores = self.head(embedding)
        streams = Streams(names=STREAMS, weights=weights, rate_hz=FRAMES_HZ)
        weighed = streams if self.fusion.weighs else None
        return Output(scores=scores, embedding=embedding, streams=weighed)

    def _vectors(self, batch: Batch) -> tuple[list[Tensor], Tensor, list[Tensor]]:
        """The branches' vectors, the mask of the frames, and where each branch is there.

        The samples' frames count; the words may have one more or less.
        """
        if self.paralinguistic is None:
            mask = batch.masks["words"]
            return [batch.inputs["words"]], mask, [mask]
        heard, mask = self.paralinguistic(batch)
        if not self.reads_words:
            return [heard], mask, [mask]
        n_frames = mask.shape[1]
        words = fit_frames(batch.inputs["words"], n_frames)
        said = fit_frames(batch.masks["words"], n_frames)
        return [words, heard], mask, [said & mask, mask]

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """The term "emotion", the loss of what is recognised: 1 - CCC or cross-entropy."""
        if self.traced:
            loss = self.trace_loss(output.scores, batch, self.trace_weights)
        else:
            loss = emotion_loss(output.scores, batch)
        terms: Mapping[str, Tensor] = self.adversary(output.embedding, batch)
        return {"emotion": loss, **terms}
