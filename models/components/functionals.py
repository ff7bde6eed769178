"""Functionals: the vector that stands for a whole utterance."""

from __future__ import annotations

from serlab.bench.contracts import FeatureSpec
from serlab.models.variant import OPTIONS


@OPTIONS.register("functionals.core", source="ours", tag="I")
def core() -> FeatureSpec:
    """Moments and percentiles of log-mel, MFCC, pitch and energy and of their changes."""
    return FeatureSpec(name="functionals")


@OPTIONS.register("functionals.egemaps", source="Eyben et al., IEEE TAC 2016", tag="A")
def egemaps() -> FeatureSpec:
    """eGeMAPSv02, 88 values, by openSMILE (optional, research-only licence)."""
    return FeatureSpec(name="egemaps")


@OPTIONS.register("functionals.compare2016", source="Schuller et al., Interspeech 2016", tag="A")
def compare2016() -> FeatureSpec:
    """ComParE 2016, 6,373 values, by openSMILE (optional, research-only licence)."""
    return FeatureSpec(name="compare2016")
