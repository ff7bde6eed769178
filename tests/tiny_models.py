"""Tiny models of transformers with random weights, saved as folders."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

WIDTH, LAYERS = 16, 2

_SMALL: Mapping[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
_WAVES: Mapping[str, Any] = {
    **_SMALL,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "yes", "no", "lost", "again", "water")


def speech(folder: Path, kind: str = "wav2vec2", *, seed: int = 0, normalised: bool = True) -> Path:
    """A speech encoder of a type that `speech_encoder` reads."""
    import transformers as t

    torch.manual_seed(seed)
    if kind == "whisper":
        config = t.WhisperConfig(
            d_model=WIDTH, encoder_layers=LAYERS, decoder_layers=1, encoder_attention_heads=2,
            decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24, vocab_size=20,
            num_mel_bins=8, max_source_positions=100, max_target_positions=8, pad_token_id=0,
            bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
        )  # fmt: skip
        t.WhisperModel(config).save_pretrained(folder)
        t.WhisperFeatureExtractor(feature_size=8, chunk_length=2).save_pretrained(folder)
        return folder
    made = {
        "wav2vec2": lambda: t.Wav2Vec2Model(t.Wav2Vec2Config(**_WAVES)),
        "hubert": lambda: t.HubertModel(t.HubertConfig(**_WAVES)),
        "wavlm": lambda: t.WavLMModel(t.WavLMConfig(**_WAVES)),
        "data2vec-audio": lambda: t.Data2VecAudioModel(
            t.Data2VecAudioConfig(**{**_WAVES, "conv_pos_kernel_size": 5})
        ),
    }
    made[kind]().save_pretrained(folder)
    t.Wav2Vec2FeatureExtractor(do_normalize=normalised).save_pretrained(folder)
    return folder


def text(folder: Path, *, seed: int = 0) -> Path:
    """A text encoder with ten words, twenty places and a tokeniser."""
    import transformers as t

    torch.manual_seed(seed)
    config = t.BertConfig(**_SMALL, vocab_size=len(VOCABULARY), max_position_embeddings=20)
    t.BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    t.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@cache
def shared(kind: str) -> str:
    """The folder of a model that many tests read; "text" or a speech encoder's type."""
    folder = Path(tempfile.mkdtemp(prefix="serlab-model-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(text(folder) if kind == "text" else speech(folder, kind))
