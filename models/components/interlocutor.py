"""Interlocutor: how a frame of samples tells who is heard.

Every option is a class whose ``inputs`` are further features that it reads and whose ``factor``
multiplies a frame's length; it is called with frames (item, frame, sample) and their inputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from serlab.bench.contracts import FeatureSpec
from serlab.models.components.masks import fit_frames
from serlab.models.variant import OPTIONS


@OPTIONS.register("interlocutor.none", source="ours: frames of samples as they are", tag="I")
class Unmarked:
    """All speech is taken for the speaker's own."""

    inputs: Mapping[str, FeatureSpec] = {}
    factor = 1

    def __call__(self, frames: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """The frames themselves."""
        return frames


@OPTIONS.register("interlocutor.half_frame", source="Tzirakis et al., ICASSP 2021, code", tag="C")
class HalfFrame:
    """Frames twice as long: own speech in the first half or the partner's in the second.

    The other half is 0. Whoever is heard in the middle of a frame has all of it.
    """

    inputs: Mapping[str, FeatureSpec] = {"turns": FeatureSpec(name="turns")}
    factor = 2

    def __call__(self, frames: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        """Frames (item, frame, 2 x sample); normalised turns are above 0 where 1 was."""
        partner = fit_frames(inputs["turns"], frames.shape[1]) > 0
        return torch.cat([frames.masked_fill(partner, 0.0), frames * partner], dim=2)
