"""What a system reads, and sizes of data in that form: to build one without a corpus."""

from __future__ import annotations

from serlab.bench.contracts import FeatureSpec, Sizes, System, Target
from serlab.bench.features.base import feature

STAND_IN = 32
"""Values of an input whose number of values only a corpus knows."""


def every_input(system: System) -> dict[str, FeatureSpec]:
    """The inputs that a system is tested on and those of its further streams."""
    found = dict(system.inputs())
    for stream in system.streams().values():
        found.update(stream.inputs)
    return found


def example_sizes(
    system: System, n_classes: int, *, n_corpora: int = 1, target: Target = "emotion"
) -> Sizes:
    """Sizes of data in the form that a system reads, with eight speakers, to build it alone.

    An input whose number of values only a corpus knows has `STAND_IN` values.
    """
    made = {name: feature(spec) for name, spec in every_input(system).items()}
    return Sizes(
        n_classes=n_classes,
        n_speakers=8,
        n_features={name: one.n_values or STAND_IN for name, one in made.items()},
        rate_hz={name: one.rate_hz for name, one in made.items()},
        n_corpora=n_corpora,
        target=target,
    )
