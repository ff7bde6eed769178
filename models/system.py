"""What every system shares: its options loaded, its hyperparameters checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Generic, TypeVar

from serlab.bench.contracts import (
    Augmentation,
    FeatureSpec,
    Perturbation,
    Segments,
    Sizes,
    Stage,
    Stream,
    TrainingSettings,
    Unlabelled,
    Variant,
)
from serlab.bench.errors import BadValue
from serlab.bench.features.base import feature
from serlab.bench.perturb import is_of_audio
from serlab.bench.shapes import every_input
from serlab.models.variant import load_option

S = TypeVar("S")


class BaseSystem(Generic[S]):
    """A system made from a resolved variant.

    Subclasses name their dataclass of hyperparameters as ``Settings`` and override what differs
    from a plain system, which trains everything in one stage.
    """

    Settings: ClassVar[type[Any]]  # each system has a dataclass of its own

    def __init__(self, variant: Variant) -> None:
        self.variant = variant
        self.settings: S = self.Settings(**variant.settings)

    def check(self) -> None:
        """Refuses what the variant's parts cannot do together.

        Raises:
            BadValue: the adversary tells domains of which the system sees only one, or the
                perturbation does not go with the inputs.
        """
        self._check_perturbation()
        sources = {stream.source for stream in self.streams().values()}
        terms = {term for stage in self.stages() for term in stage.losses}
        chosen = self.variant.options.get("adversary", "")
        if "corpus" in terms and "outside" not in sources:
            raise BadValue("adversary", chosen, "one without corpora: it trains on one corpus only")
        if "modality" in terms and "training" not in sources:
            raise BadValue("adversary", chosen, "one without modalities: it trains on speech only")

    def _check_perturbation(self) -> None:
        how, chosen = self.perturbation(), self.variant.options.get("perturbation", "")
        if not how.copies:
            return
        if not any(is_of_audio(spec) for spec in self.inputs().values()):
            raise BadValue("perturbation", chosen, "none: no input is made from the waveform")
        if not self.stages():
            raise BadValue("perturbation", chosen, "none: nothing is trained epoch by epoch")
        for name, spec in every_input(self).items():
            if how.speed and not is_of_audio(spec) and feature(spec).rate_hz:
                expected = f"one that keeps the speed: the frames of {name} follow the recording's"
                raise BadValue("perturbation", chosen, expected)

    def option(self, slot: str) -> Any:  # a class or function, as its slot says
        """What implements the variant's option of a slot."""
        return load_option(slot, self.variant.options[slot])

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """The features that the network reads, by name."""
        raise NotImplementedError

    def streams(self) -> Mapping[str, Stream]:
        """Further training items, by name."""
        return {}

    def unlabelled(self) -> tuple[Unlabelled, ...]:
        """Utterances without a label that join the training part's."""
        return ()

    def segments(self) -> Segments:
        """How utterances are cut: as the segmentation slot says, or not at all."""
        if "segmentation" not in self.variant.options:
            return Segments()
        segments: Segments = self.option("segmentation")(self.settings.segment_s)  # type: ignore[attr-defined]
        return segments

    def augmentation(self) -> Augmentation:
        """What is done to training items: as the augmentation slot says, or nothing."""
        if "augmentation" not in self.variant.options:
            return Augmentation()
        augmentation: Augmentation = self.option("augmentation")()
        return augmentation

    def perturbation(self) -> Perturbation:
        """What is done to waveforms in training: as the perturbation slot says, or nothing."""
        if "perturbation" not in self.variant.options:
            return Perturbation()
        perturbation: Perturbation = self.option("perturbation")()
        return perturbation

    def build(self, sizes: Sizes) -> Any:  # nn.Module or estimator
        """The untrained network or estimator."""
        raise NotImplementedError

    def stages(self) -> tuple[Stage, ...]:
        """One stage over all parameters; none where nothing is trained by gradients."""
        if not isinstance(self.settings, TrainingSettings):
            return ()
        return (Stage(name="emotion", training=self.training(), losses=self.losses()),)

    def adversary(self, n_in: int, sizes: Sizes) -> Any:  # nn.Module; this module knows no torch
        """The adversary of the slot of that name, for an embedding of so many values."""
        option, schedule = self.option("adversary"), self.option("reversal_schedule")
        return option(n_in, sizes, self.settings, schedule)

    def losses(self) -> dict[str, float]:
        """Weights of the emotion's loss and of the adversary's terms."""
        weight = getattr(self.settings, "domain_weight", 0.0)
        terms = self.option("adversary").terms if "adversary" in self.variant.options else ()
        return {"emotion": 1.0, **dict.fromkeys(terms, weight)}

    def training(self) -> TrainingSettings:
        """The hyperparameters of training, out of the system's own."""
        names = [f.name for f in fields(TrainingSettings)]
        return TrainingSettings(**{name: getattr(self.settings, name) for name in names})
