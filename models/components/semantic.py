"""Semantic: which word vectors the semantic branch reads, and the controls that tell its worth.

That vectors learnt from speech may owe more to their vocabulary than to what was heard (Chen,
"Homophone reveals the truth", arXiv 2209.10791) is why the controls are here. Every option takes
the settings and gives the spec of a feature (frame, value).
"""

from __future__ import annotations

from typing import Protocol

from serlab.bench.contracts import FeatureSpec
from serlab.models.variant import OPTIONS


class SemanticSettings(Protocol):
    """The hyperparameters that are read here."""

    text_vectors: str
    speech_vectors: str
    vector_size: int


def _words(**settings: str | int) -> FeatureSpec:
    return FeatureSpec(name="words", settings=settings)


@OPTIONS.register("semantic.aligned", source="Tzirakis et al., ICASSP 2021", tag="N")
def aligned(settings: SemanticSettings) -> FeatureSpec:
    """Speech vectors mapped onto the text space: adversarial training, then Procrustes."""
    return _words(vectors=settings.speech_vectors, target=settings.text_vectors, kind="aligned")


@OPTIONS.register("semantic.text_space", source="Tzirakis et al., ICASSP 2021", tag="N")
def text_space(settings: SemanticSettings) -> FeatureSpec:
    """The text space (Word2Vec) as it is."""
    return _words(vectors=settings.text_vectors)


@OPTIONS.register("semantic.speech_space", source="Tzirakis et al., ICASSP 2021", tag="N")
def speech_space(settings: SemanticSettings) -> FeatureSpec:
    """The speech space (Speech2Vec) as it is."""
    return _words(vectors=settings.speech_vectors)


@OPTIONS.register("semantic.random", source="ours: a control", tag="I")
def random(settings: SemanticSettings) -> FeatureSpec:
    """Random vectors for the words of the text space: the branch knows words, no likeness."""
    return _words(vectors=settings.text_vectors, kind="random")


@OPTIONS.register("semantic.shuffled", source="ours: a control", tag="I")
def shuffled(settings: SemanticSettings) -> FeatureSpec:
    """The text space's vectors given to its words at random: right values, wrong likeness."""
    return _words(vectors=settings.text_vectors, kind="shuffled")


@OPTIONS.register("semantic.hashed", source="ours, where there are no vectors", tag="I")
def hashed(settings: SemanticSettings) -> FeatureSpec:
    """A fixed random vector for any word whatever, so that no word is unknown."""
    return _words(vectors="hashed", size=settings.vector_size)
