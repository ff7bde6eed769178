"""Frozen pretrained encoders of speech and of text, through transformers (optional).

A model is a folder, as `save_pretrained` writes it, or a name on the Hugging Face hub. Widths and
rates come from its configuration: nothing loads weights before values are asked for. One utterance
is computed at a time, so that no other's padding has a part in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from serlab.bench.contracts import FloatArray, Utterance, digest, setting
from serlab.bench.errors import BadFile, BadValue
from serlab.bench.features.base import FEATURES, Extractor, Reader
from serlab.bench.features.text import text_of
from serlab.bench.pretrained import (
    config_of,
    exact,
    files_of,
    folder_of,
    hashes_of,
    listener_of,
    model_of,
    tokeniser_of,
)

if TYPE_CHECKING:
    from torch import Tensor

WAVES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio")
"""Model types that read samples through strided convolutions."""
SPEECH = (*WAVES, "whisper")
LONGEST_S = 300.0
"""Audio that a model of `WAVES` takes: the memory of its attention grows with the square."""


@FEATURES.register(
    "speech_encoder",
    title="states of a pretrained speech encoder",
    source="wav2vec 2.0: Baevski et al., NeurIPS 2020; HuBERT: Hsu et al., TASLP 2021; WavLM: Chen "
    "et al., JSTSP 2022; data2vec: Baevski et al., ICML 2022; Whisper: Radford et al., ICML 2023",
    dimension="(frame, value), or (1, value) pooled",
)
@dataclass(frozen=True, kw_only=True)
class SpeechEncoder(Extractor):
    """Hidden states of an encoder whose weights stay as they are.

    wav2vec 2.0, HuBERT, WavLM and data2vec (the form of emotion2vec) hear an utterance whole, 50
    frames a second and 300 s at most; shorter audio than the first frame's is completed with
    zeros. Whisper's encoder hears windows of 30 s, the last one completed with silence, whose
    frames are left out. Samples are normalised as the model's preprocessor_config.json says.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch", "soxr", "transformers")
    in_this_process: ClassVar[bool] = True

    model: str = setting("", "a folder, or a name on the Hugging Face hub")
    revision: str = setting("", "branch, tag or commit on the hub; empty is its main branch")
    layer: int = setting(-1, "0 is what the first layer is given, 1 the first layer, -1 the last")
    all_layers: bool = setting(False, "the mean of all layers and of their input, for one layer")
    pooling: str = setting(
        "none", "over the frames: none, their mean, or it and their standard deviation",
        choices=("none", "mean", "mean_std"),
    )  # fmt: skip

    def __post_init__(self) -> None:
        """Finds the model and checks that it hears at this rate and has the layer."""
        kind = self._config.model_type
        if kind not in SPEECH:
            raise BadFile(self._folder, f"is a {kind}, and no speech encoder: {', '.join(SPEECH)}")
        given = "input_features" if kind == "whisper" else "input_values"
        if given not in self._listener.model_input_names:
            raise BadFile(self._folder, f"its preprocessor_config.json is not one of a {kind}")
        rate = self._listener.sampling_rate
        if self.rate_hz != rate:
            raise BadValue("rate_hz", self.rate_hz, f"{rate}, which the model {self.model} hears")
        n_layers = self._config.num_hidden_layers
        if not -n_layers - 1 <= self.layer <= n_layers:
            raise BadValue("layer", self.layer, f"an integer from {-n_layers - 1} to {n_layers}")
        if self.all_layers and self.layer != -1:
            raise BadValue("layer", self.layer, "-1, its default, since all layers are asked for")

    @property
    def frame_rate_hz(self) -> float:
        """As the model's strides say; 0 pooled."""
        return self.rate_hz / self._stride if self.pooling == "none" else 0.0

    @property
    def n_values(self) -> int:
        """The model's width; twice that with standard deviations."""
        width: int = self._config.hidden_size
        return width * (2 if self.pooling == "mean_std" else 1)

    def files(self) -> tuple[str, ...]:
        """The model's weights and configuration."""
        return files_of(self._folder)

    def values(self, samples: FloatArray) -> FloatArray:
        """The states (frame, value), or pooled (1, value).

        Raises:
            BadFile: the weights cannot be loaded.
            BadValue: the audio is longer than the model can hear.
        """
        import torch

        with exact():
            whisper = self._config.model_type == "whisper"
            pieces = self._windows(samples) if whisper else [self._whole(samples)]
            frames = torch.cat([self._states(piece) for piece in pieces])
            if whisper:
                frames = frames[: max(1, len(samples) // self._stride)]
            found: FloatArray = self._pooled(frames).cpu().numpy()
        return found

    def _whole(self, samples: FloatArray) -> Tensor:
        """The input (1, sample) of a model that hears samples."""
        from torch.nn import functional as F

        if len(samples) > LONGEST_S * self.rate_hz:
            seconds = f"{len(samples) / self.rate_hz:.0f} s"
            raise BadValue("audio", seconds, f"{LONGEST_S:.0f} s at most: cut it into utterances")
        heard: Tensor = self._listen(samples)["input_values"]
        return F.pad(heard, (0, max(0, self._field - heard.shape[1])))

    def _windows(self, samples: FloatArray) -> list[Tensor]:
        """The inputs (1, band, frame) of Whisper: windows without overlap."""
        frames = self._config.max_source_positions
        n_windows = max(1, math.ceil((len(samples) // self._stride) / frames))
        size = frames * self._stride
        pieces = [samples[k * size : (k + 1) * size] for k in range(n_windows)]
        heard: list[Tensor] = [self._listen(piece)["input_features"] for piece in pieces]
        if (found := heard[0].shape[2]) != 2 * frames:
            problem = f"its windows have {found} frames, and the model wants {2 * frames}"
            raise BadFile(self._folder, problem)
        return heard

    def _listen(self, samples: FloatArray) -> Any:  # tensors by name
        return self._listener(samples, sampling_rate=self.rate_hz, return_tensors="pt")

    def _states(self, heard: Tensor) -> Tensor:
        """The layer asked for, or the mean of all: (frame, value)."""
        import torch

        model = model_of(self._folder, self._hashes)
        encoder = model.get_encoder() if self._config.model_type == "whisper" else model
        states = encoder(heard.to(model.device), output_hidden_states=True).hidden_states
        if self.all_layers:
            return torch.stack(states).mean(dim=0)[0]
        chosen: Tensor = states[self.layer][0]
        return chosen

    def _pooled(self, frames: Tensor) -> Tensor:
        import torch

        if self.pooling == "none":
            return frames
        mean = frames.mean(dim=0, keepdim=True)
        if self.pooling == "mean":
            return mean
        return torch.cat((mean, frames.std(dim=0, keepdim=True, correction=0)), dim=1)

    @cached_property
    def _folder(self) -> Path:
        return folder_of("speech_encoder", self.model, self.revision)

    @cached_property
    def _hashes(self) -> tuple[str, ...]:
        return hashes_of(self._folder)

    @cached_property
    def _config(self) -> Any:
        return config_of(self._folder, self._hashes)

    @cached_property
    def _listener(self) -> Any:
        return listener_of(self._folder, self._hashes)

    @property
    def _stride(self) -> int:
        """Samples from frame to frame."""
        if self._config.model_type == "whisper":
            return 2 * int(self._listener.hop_length)  # its second convolution has a stride of 2
        return math.prod(self._config.conv_stride)

    @property
    def _field(self) -> int:
        """Samples that the first frame is made of."""
        field, step = 1, 1
        shape = zip(self._config.conv_kernel, self._config.conv_stride, strict=True)
        for kernel, stride in shape:
            field, step = field + (kernel - 1) * step, step * stride
        return field


@FEATURES.register(
    "text_encoder",
    title="sentence embedding by a pretrained text encoder",
    source="mean over the tokens: Reimers and Gurevych, EMNLP 2019",
    dimension="(1, value)",
)
@dataclass(frozen=True, kw_only=True)
class TextEncoder(Reader):
    """The mean of an encoder's last states over the tokens of the text, marks at its ends included.

    A text longer than the model reads is cut at its end. Folders of sentence-transformers serve as
    the plain models in them: their further layers (normalisation, projections) have no part.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "torch", "transformers", "tokenizers")
    may_be_missing: ClassVar[bool] = True
    in_this_process: ClassVar[bool] = True

    model: str = setting("", "a folder, or a name on the Hugging Face hub")
    revision: str = setting("", "branch, tag or commit on the hub; empty is its main branch")

    def __post_init__(self) -> None:
        """Finds the model and checks that it is an encoder of text, with a vocabulary."""
        config = self._config
        if config.model_type in SPEECH or config.is_encoder_decoder:
            raise BadFile(self._folder, f"is a {config.model_type}, and no encoder of text")
        tokeniser_of(self._folder, self._hashes)

    @property
    def n_values(self) -> int:
        """The model's width."""
        width: int = self._config.hidden_size
        return width

    def files(self) -> tuple[str, ...]:
        """The model's weights, configuration and vocabulary."""
        return files_of(self._folder)

    def lacks(self, utterance: Utterance) -> str:
        """A text that is not empty."""
        return "" if (text_of(utterance) or "").strip() else "words or a text"

    def identity(self, utterance: Utterance) -> str:
        """Hash of the text."""
        return digest({"text": text_of(utterance)})

    def read(self, utterance: Utterance) -> FloatArray:
        """The embedding, shape (1, value). Raises BadFile where the model cannot be loaded."""
        model = model_of(self._folder, self._hashes)
        tokeniser = tokeniser_of(self._folder, self._hashes)
        # RoBERTa counts positions from 2; tokenisers that know no limit say 10**30.
        places = getattr(self._config, "max_position_embeddings", tokeniser.model_max_length)
        limit = min(tokeniser.model_max_length, places - 2)
        tokens = tokeniser(
            [text_of(utterance)], truncation=True, max_length=limit, return_tensors="pt"
        )
        with exact():
            states = model(**tokens.to(model.device)).last_hidden_state
            mask = tokens["attention_mask"].unsqueeze(-1)
            embedding = (states * mask).sum(dim=1) / mask.sum(dim=1)
        return np.asarray(embedding.cpu().numpy(), np.float32)

    @cached_property
    def _folder(self) -> Path:
        return folder_of("text_encoder", self.model, self.revision)

    @cached_property
    def _hashes(self) -> tuple[str, ...]:
        return hashes_of(self._folder)

    @cached_property
    def _config(self) -> Any:
        return config_of(self._folder, self._hashes)
