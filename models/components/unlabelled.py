"""Unlabelled: which utterances without an emotion join the training part.

They have a part in a domain head's loss alone, and in the context of their dialogues.
"""

from __future__ import annotations

from serlab.bench.contracts import Unlabelled
from serlab.models.variant import OPTIONS


@OPTIONS.register("unlabelled.none", source="every system on labelled speech alone", tag="I")
def none() -> tuple[Unlabelled, ...]:
    """No others."""
    return ()


@OPTIONS.register("unlabelled.out_of_class", source="one reading of Lian et al. 2020", tag="I")
def out_of_class() -> tuple[Unlabelled, ...]:
    """The training speakers' utterances of emotions that are not asked for."""
    return ("out-of-class",)


@OPTIONS.register("unlabelled.test_speakers", source="one reading of Lian et al. 2020", tag="I")
def test_speakers() -> tuple[Unlabelled, ...]:
    """Those of the test speakers, without their emotions: transductive, as classic DANN is."""
    return ("test-speakers",)
