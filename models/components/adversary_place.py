"""Adversary place: which vector of an utterance a domain head is given.

Each option takes what the fusion, the recurrent part of the context and its attention give, and
gives one of them; or the same of their widths. Where a context lacks a part, its place is the one
before.
"""

from __future__ import annotations

from typing import TypeVar

from serlab.models.variant import OPTIONS

T = TypeVar("T")


@OPTIONS.register("adversary_place.after_fusion", source="open in Lian et al. 2019", tag="I")
def after_fusion(fused: T, recurrent: T, attended: T) -> T:
    """The fused modalities, before any context: the context is left to itself."""
    return fused


@OPTIONS.register("adversary_place.after_context", source="open in Lian et al. 2019", tag="I")
def after_context(fused: T, recurrent: T, attended: T) -> T:
    """What the GRU over the dialogue gives."""
    return recurrent


@OPTIONS.register("adversary_place.after_attention", source="open in Lian et al. 2019", tag="I")
def after_attention(fused: T, recurrent: T, attended: T) -> T:
    """What the self-attention gives: the vector that the emotion head reads."""
    return attended
