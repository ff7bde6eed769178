"""Compression: what is done to spectral magnitudes before anything is learnt.

Each option gives the name that the spectrogram feature knows it by.
"""

from __future__ import annotations

from serlab.models.variant import OPTIONS


@OPTIONS.register("compression.mu_law", source="Li et al., Interspeech 2018", tag="N")
def mu_law() -> str:
    """Mu-law companding, mu = 255, of values scaled to [-1, 1]."""
    return "mu_law"


@OPTIONS.register("compression.log", source="GLAM's own training script", tag="R")
def log() -> str:
    """The logarithm of the magnitude."""
    return "log"


@OPTIONS.register("compression.none", source="ours", tag="I")
def none() -> str:
    """Magnitudes scaled and otherwise as they are."""
    return "none"
