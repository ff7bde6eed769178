"""Augmentation: what is done to training items and to nothing else."""

from __future__ import annotations

from serlab.bench.contracts import Augmentation
from serlab.models.variant import OPTIONS


@OPTIONS.register("augmentation.none", source="Li et al., Interspeech 2018", tag="I")
def none() -> Augmentation:
    """Nothing."""
    return Augmentation()


@OPTIONS.register("augmentation.spec_augment", source="Park et al., Interspeech 2019", tag="A")
def spec_augment() -> Augmentation:
    """One time mask of up to 0.25 s and one frequency mask of up to an eighth of the bins."""
    return Augmentation(
        time_masks=1, time_mask_s=0.25, frequency_masks=1, frequency_mask_share=0.125
    )


@OPTIONS.register("augmentation.mixup", source="Zhang et al., ICLR 2018", tag="A")
def mixup() -> Augmentation:
    """Each item is mixed with another, weights from Beta(0.2, 0.2)."""
    return Augmentation(mixup=0.2)


@OPTIONS.register("augmentation.noise", source="ours", tag="I")
def noise() -> Augmentation:
    """Gaussian noise of a fifth of each feature's deviation."""
    return Augmentation(noise=0.2)
