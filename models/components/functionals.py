"""Functionals: the vector that stands for a whole utterance.

Every option takes the settings and gives the spec of a feature (1, value).
"""

from __future__ import annotations

from dataclasses import dataclass

from serlab.bench.contracts import FeatureSpec, setting
from serlab.models.variant import OPTIONS


@dataclass(frozen=True, kw_only=True)
class VectorSettings:
    """Hyperparameters of the options that need some."""

    encoder: str = setting("", "for functionals=encoder: a folder, or a name on the hub")
    encoder_revision: str = setting("", "of a name on the hub; empty is its main branch")
    encoder_layer: int = setting(-1, "0 is what the first layer is given, -1 the last layer")
    encoder_pooling: str = setting(
        "mean", "over the encoder's frames", choices=("mean", "mean_std")
    )
    supplied: str = setting("features", "for functionals=supplied: the vector's name in the corpus")


@OPTIONS.register("functionals.core", source="ours", tag="I")
def core(settings: VectorSettings) -> FeatureSpec:
    """Moments and percentiles of log-mel, MFCC, pitch and energy and of their changes."""
    return FeatureSpec(name="functionals")


@OPTIONS.register("functionals.egemaps", source="Eyben et al., IEEE TAC 2016", tag="A")
def egemaps(settings: VectorSettings) -> FeatureSpec:
    """eGeMAPSv02, 88 values, by openSMILE (optional, research-only licence)."""
    return FeatureSpec(name="egemaps")


@OPTIONS.register("functionals.compare2016", source="Schuller et al., Interspeech 2016", tag="A")
def compare2016(settings: VectorSettings) -> FeatureSpec:
    """ComParE 2016, 6,373 values, by openSMILE (optional, research-only licence)."""
    return FeatureSpec(name="compare2016")


@OPTIONS.register("functionals.encoder", source="Yang et al., Interspeech 2021 (SUPERB)", tag="I")
def encoder(settings: VectorSettings) -> FeatureSpec:
    """States of a frozen pretrained speech encoder, pooled (optional: transformers)."""
    return FeatureSpec(
        name="speech_encoder",
        settings={
            "model": settings.encoder,
            "revision": settings.encoder_revision,
            "layer": settings.encoder_layer,
            "pooling": settings.encoder_pooling,
        },
    )


@OPTIONS.register("functionals.supplied", source="the corpus's own table", tag="I")
def supplied(settings: VectorSettings) -> FeatureSpec:
    """A vector that the corpus itself supplies, such as features of a table."""
    return FeatureSpec(name="supplied", settings={"name": settings.supplied, "size": 0})
