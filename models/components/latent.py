"""Latent: whether the encoder of the latent learns with the classifier.

Each option tells whether it does.
"""

from __future__ import annotations

from serlab.models.variant import OPTIONS


@OPTIONS.register("latent.frozen", source="Gao et al., ICASSP 2021: used as a feature", tag="N")
def frozen() -> bool:
    """The encoder stays as it is; one that nothing has trained learns all the same."""
    return False


@OPTIONS.register("latent.joint", source="ours", tag="I")
def joint() -> bool:
    """The encoder learns from the emotion loss with all the rest."""
    return True
