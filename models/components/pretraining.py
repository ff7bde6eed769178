"""Pre-training: what an encoder learns from outside corpora before the tested one.

Each option is a `Pretraining`, which says what there is to train.
"""

from __future__ import annotations

from dataclasses import dataclass

from serlab.models.variant import OPTIONS


@dataclass(frozen=True, kw_only=True)
class Pretraining:
    """What is trained on the outside corpora."""

    autoencoder: bool = False
    heads: bool = False
    """Emotion and domain heads on the latent, trained beside the reconstruction."""


@OPTIONS.register("pretraining.none", source="ours: what the outside corpora are worth", tag="I")
def none() -> Pretraining:
    """No outside corpora."""
    return Pretraining()


@OPTIONS.register("pretraining.autoencoder", source="Gao et al., ICASSP 2021", tag="N")
def autoencoder() -> Pretraining:
    """Reconstruction alone; labels, speakers and corpora have no part, nor has the adversary."""
    return Pretraining(autoencoder=True)


@OPTIONS.register("pretraining.daae", source="Gao et al., ICASSP 2021", tag="A")
def daae() -> Pretraining:
    """Reconstruction, and on the latent an emotion head and the domain heads of the adversary."""
    return Pretraining(autoencoder=True, heads=True)
