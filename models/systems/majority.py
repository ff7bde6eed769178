"""The majority class: what is right without listening at all.

Its UA is 1 over the number of classes, its WA the share of the largest class. A system that does
not beat it has learnt nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from serlab.bench.checkpoint import State, check_shapes
from serlab.bench.contracts import FeatureSpec, FloatArray, Sizes
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """No hyperparameters."""


@SYSTEMS.register(
    "majority",
    title="Majority class",
    source="the training part's class shares",
    inputs=(),
    slots={},
    default_preset="default",
    presets={"default": {}},
)
class Majority(BaseSystem[Settings]):
    """The shares of the classes in the training part, whatever is said."""

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """A zero, since something must say how many utterances there are."""
        return {"nothing": FeatureSpec(name="nothing")}

    def build(self, sizes: Sizes) -> Shares:
        """The shares, not yet counted."""
        return Shares(sizes.n_classes)


class Shares:
    """Gives every utterance the shares of the classes."""

    def __init__(self, n_classes: int) -> None:
        self.shares = np.full(n_classes, 1 / n_classes, np.float32)

    def fit(
        self, inputs: Mapping[str, FloatArray], truth: npt.NDArray[np.int64], seed: int
    ) -> None:
        """Counts the classes of the training part."""
        counts = np.bincount(truth, minlength=len(self.shares))
        self.shares = (counts / counts.sum()).astype(np.float32)

    def predict(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Probabilities (utterance, class), all rows alike."""
        return np.tile(self.shares, (len(inputs["nothing"]), 1))

    def n_parameters(self) -> int:
        """One share a class."""
        return len(self.shares)

    def state(self) -> State:
        """The shares."""
        return {"shares": self.shares}

    def restore(self, state: State) -> None:
        """Takes the shares of another."""
        check_shapes(state, {"shares": self.shares.shape})
        self.shares = state["shares"].astype(np.float32)
