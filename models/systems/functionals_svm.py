"""Functionals and a linear support vector machine: the honest baseline of the field.

One vector an utterance, standardised, and a support vector machine with a linear kernel. No
network that takes minutes to train is worth reporting below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.checkpoint import State, check_shapes
from serlab.bench.contracts import FeatureSpec, FloatArray, Sizes, setting
from serlab.bench.errors import BadValue
from serlab.models.components.functionals import VectorSettings
from serlab.models.components.margins import softened
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS


@dataclass(frozen=True, kw_only=True)
class Settings(VectorSettings):
    """Hyperparameters; fixed beforehand, searched by nothing."""

    c: float = setting(1e-3, "inverse strength of the L2 penalty", tag="R", low=1e-9)
    balanced: bool = setting(True, "weigh classes inversely to their counts", tag="R")


@SYSTEMS.register(
    "functionals_svm",
    title="Functionals + linear SVM",
    source="scikit-learn SVC; Schuller et al., Interspeech 2009-2016 baselines",
    inputs=("vector",),
    slots={"functionals": "core"},
    default_preset="default",
    presets={"default": {}},
)
class FunctionalsSVM(BaseSystem[Settings]):
    """Functionals of an utterance and a linear SVM."""

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """One vector an utterance."""
        return {"vector": self.option("functionals")(self.settings)}

    def build(self, sizes: Sizes) -> LinearSVM:
        """The machine, not yet fitted."""
        return LinearSVM(self.settings, sizes)


class LinearSVM:
    """Linear SVMs, one against one, whose votes and margins go through a softmax."""

    def __init__(self, settings: Settings, sizes: Sizes) -> None:
        self.settings, self.sizes = settings, sizes
        self.machine: Any = None  # scikit-learn has no types

    def fit(
        self, inputs: Mapping[str, FloatArray], truth: npt.NDArray[np.int64], seed: int
    ) -> None:
        """Fits on (utterance, value) vectors."""
        from sklearn.svm import SVC

        self.machine = SVC(
            kernel="linear",
            C=self.settings.c,
            class_weight="balanced" if self.settings.balanced else None,
            break_ties=True,
            random_state=seed,
        )
        self.machine.fit(inputs["vector"], truth)

    def predict(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Softmax of votes and margins, (utterance, class)."""
        return softened(self.machine.decision_function(inputs["vector"]))

    def n_parameters(self) -> int:
        """Weights and intercepts of the fitted machine."""
        return int(self.machine.coef_.size + self.machine.intercept_.size)

    def state(self) -> State:
        """The support vectors with their coefficients, and the intercepts."""
        machine = self.machine
        return {
            "support": machine.support_,
            "vectors": machine.support_vectors_.astype(np.float32),  # as they were given
            "counts": machine.n_support_,
            "coefficients": machine.dual_coef_,
            "intercepts": machine.intercept_,
        }

    def restore(self, state: State) -> None:
        """A machine with these support vectors.

        It is fitted to one point a class, which gives it everything that its library's version
        wants of a fitted machine, and then holds what decides in its place.
        """
        k, d = self.sizes.n_classes, self.sizes.n_features["vector"]
        n = len(state["support"]) if "support" in state else 0
        shapes = {"support": (n,), "vectors": (n, d), "counts": (k,),
                  "coefficients": (k - 1, n), "intercepts": (k * (k - 1) // 2,)}  # fmt: skip
        check_shapes(state, shapes)
        counts = state["counts"].astype(np.int32)
        if counts.min() < 0 or counts.sum() != n:
            raise BadValue("counts", counts.tolist(), f"numbers of {n} support vectors by class")
        points = np.arange(k, dtype=np.float32)[:, None].repeat(d, axis=1)
        self.fit({"vector": points}, np.arange(k), 0)
        machine, turned = self.machine, -1 if k == 2 else 1  # two classes show theirs turned
        machine.support_, machine._n_support = state["support"].astype(np.int32), counts
        machine.support_vectors_ = state["vectors"].astype(np.float64)
        machine.dual_coef_ = state["coefficients"].astype(np.float64)
        machine.intercept_ = state["intercepts"].astype(np.float64)
        machine._dual_coef_ = turned * machine.dual_coef_
        machine._intercept_ = turned * machine.intercept_
