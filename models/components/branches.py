"""Branches: which of a system's networks there are. Every option gives their names."""

from __future__ import annotations

from serlab.models.variant import OPTIONS


@OPTIONS.register("branches.both", source="AV4SER, README", tag="C")
def both() -> tuple[str, ...]:
    """MDSCM and AVDAL, fused late."""
    return ("mdscm", "avdal")


@OPTIONS.register("branches.mdscm", source="AV4SER, README", tag="C")
def mdscm() -> tuple[str, ...]:
    """The separable convolutions with attention, on speech."""
    return ("mdscm",)


@OPTIONS.register("branches.avdal", source="AV4SER, README", tag="C")
def avdal() -> tuple[str, ...]:
    """The shared encoder, on speech and, in training, on faces."""
    return ("avdal",)
