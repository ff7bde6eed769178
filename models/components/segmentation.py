"""Segmentation: the stretches of speech that a network sees at once.

Each option takes the segment length in seconds and gives how training and test are cut. The
score of an utterance is the mean of its segments' scores.
"""

from __future__ import annotations

from serlab.bench.contracts import Segments
from serlab.models.variant import OPTIONS


@OPTIONS.register("segmentation.overlapping", source="Li et al., Interspeech 2018", tag="N")
def overlapping(length_s: float) -> Segments:
    """Segments every half length in training and every fifth in test: 1 s and 0.4 s of 2 s.

    Shorter utterances are padded with zeros: the paper does not say, and leaving them out, as
    re-implementations do, would change the test set [I].
    """
    return Segments(length_s=length_s, train_hop_s=length_s / 2, test_hop_s=length_s / 5)


@OPTIONS.register("segmentation.tiled", source="GLAM's option", tag="R")
def tiled(length_s: float) -> Segments:
    """As `overlapping`, with shorter utterances repeated until they fill a segment."""
    return Segments(
        length_s=length_s, train_hop_s=length_s / 2, test_hop_s=length_s / 5, short="tile"
    )


@OPTIONS.register("segmentation.drawn", source="ours", tag="I")
def drawn(length_s: float) -> Segments:
    """One segment an utterance and epoch, at a place drawn anew; short ones are repeated."""
    return Segments(
        length_s=length_s,
        train_hop_s=length_s / 2,
        test_hop_s=length_s / 4,
        short="tile",
        random_start=True,
    )


@OPTIONS.register("segmentation.whole", source="ours", tag="I")
def whole(length_s: float) -> Segments:
    """Whole utterances, padded to the longest of the mini-batch and masked."""
    return Segments()
