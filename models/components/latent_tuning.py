"""Latent tuning: whether the autoencoder goes on to the tested corpus, by reconstruction alone.

Each option tells whether there is such a stage. It sees the training part only: with all of the
tested corpus, as the paper may have it, the test's recordings would be trained on [I].
"""

from __future__ import annotations

from serlab.models.variant import OPTIONS


@OPTIONS.register("latent_tuning.none", source="ours: the stage left out", tag="I")
def none() -> bool:
    """The latent stays as the outside corpora made it."""
    return False


@OPTIONS.register("latent_tuning.train_part", source="Gao et al., ICASSP 2021", tag="N")
def train_part() -> bool:
    """Encoder and decoder learn to reconstruct the training part; the heads are frozen."""
    return True
