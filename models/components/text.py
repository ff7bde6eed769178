"""Text: the vector that stands for the words of an utterance.

Every option takes the settings and gives the spec of a feature (1, value).
"""

from __future__ import annotations

from dataclasses import dataclass

from serlab.bench.contracts import FeatureSpec, setting
from serlab.models.variant import OPTIONS


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """Hyperparameters of the options."""

    vectors: str = setting("hashed", "word vectors: hashed, synth-text, synth-speech or a file")
    vector_size: int = setting(100, "values of a hashed word vector", tag="R", low=1)
    unknown_words: str = setting(
        "zero", "what stands for a word without a vector", choices=("zero", "mean", "hashed")
    )
    text_encoder: str = setting("", "for text=sentence_encoder: a folder, or a name on the hub")
    text_encoder_revision: str = setting("", "of a name on the hub; empty is its main branch")
    buckets: int = setting(1024, "for text=bag_of_words: buckets that words are hashed into", low=2)


@OPTIONS.register("text.word_vectors", source="ours, where the paper leaves it open", tag="I")
def word_vectors(settings: TextSettings) -> FeatureSpec:
    """The mean of the vectors of the words."""
    return FeatureSpec(
        name="text",
        settings={
            "vectors": settings.vectors,
            "size": settings.vector_size,
            "unknown": settings.unknown_words,
        },
    )


@OPTIONS.register("text.sentence_encoder", source="Reimers and Gurevych, EMNLP 2019", tag="I")
def sentence_encoder(settings: TextSettings) -> FeatureSpec:
    """A frozen pretrained encoder's mean over the tokens (optional: transformers)."""
    chosen = {"model": settings.text_encoder, "revision": settings.text_encoder_revision}
    return FeatureSpec(name="text_encoder", settings=chosen)


@OPTIONS.register("text.bag_of_words", source="Weinberger et al., ICML 2009", tag="I")
def bag_of_words(settings: TextSettings) -> FeatureSpec:
    """Hashed counts of the words, as they are."""
    return FeatureSpec(name="bag_of_words", settings={"size": settings.buckets})
