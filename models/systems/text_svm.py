"""Words and a linear support vector machine: what the transcript alone tells.

Where speakers say what they feel, a network that hears them should do better than their words;
where all read the same sentences, this system can know nothing, and one that beats chance with
it tells of a leak.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.checkpoint import State, check_shapes
from serlab.bench.contracts import FeatureSpec, FloatArray, Sizes, setting
from serlab.models.components.margins import softened
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Hyperparameters; fixed beforehand, searched by nothing."""

    c: float = setting(1.0, "inverse strength of the L2 penalty", tag="R", low=1e-9)
    balanced: bool = setting(True, "weigh classes inversely to their counts", tag="R")
    buckets: int = setting(4096, "buckets that words are hashed into", low=2)
    ngrams: int = setting(1, "units of the longest run that is counted", low=1, high=6)
    unit: str = setting("words", "what a run is made of", choices=("words", "characters"))


@SYSTEMS.register(
    "text_svm",
    title="Bag of words + linear SVM",
    source="Joachims, ECML 1998; scikit-learn TfidfTransformer and LinearSVC",
    inputs=("text",),
    slots={"weighting": "tfidf"},
    default_preset="default",
    presets={"default": {}},
)
class TextSVM(BaseSystem[Settings]):
    """Weighted counts of an utterance's words and a linear SVM."""

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """The counts of an utterance."""
        chosen = {name: getattr(self.settings, name) for name in ("ngrams", "unit")}
        settings = {"size": self.settings.buckets, **chosen}
        return {"text": FeatureSpec(name="bag_of_words", settings=settings)}

    def build(self, sizes: Sizes) -> WeightedSVM:
        """The weights and the machine, not yet fitted."""
        return WeightedSVM(self.option("weighting")(), self.settings, sizes.n_classes)


class WeightedSVM:
    """Weights of words and linear SVMs, one against the rest, learnt from one training part.

    Scores are a softmax of the margins, as those of `functionals_svm`, and no probabilities.
    """

    def __init__(  # scikit-learn has no types
        self, weighting: Any, settings: Settings, n_classes: int
    ) -> None:
        self.weighting, self.settings, self.n_classes = weighting, settings, n_classes
        self.machine: Any = None

    def fit(
        self, inputs: Mapping[str, FloatArray], truth: npt.NDArray[np.int64], seed: int
    ) -> None:
        """Fits to (utterance, bucket) counts: first the weights, then the machine."""
        from scipy.sparse import csr_matrix

        weighted = self.weighting.fit_transform(csr_matrix(inputs["text"]))
        self.machine = self._machine(seed).fit(weighted, truth)

    def _machine(self, seed: int) -> Any:
        from sklearn.svm import LinearSVC

        return LinearSVC(
            C=self.settings.c,
            class_weight="balanced" if self.settings.balanced else None,
            random_state=seed,
            max_iter=10_000,
        )

    def predict(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Softmax of the margins, (utterance, class)."""
        from scipy.sparse import csr_matrix

        weighted = self.weighting.transform(csr_matrix(inputs["text"]))
        return softened(self.machine.decision_function(weighted))

    def n_parameters(self) -> int:
        """Weights and intercepts of the machine, and the weights of the words."""
        n_idf = self.weighting.idf_.size if self.weighting.use_idf else 0
        return int(self.machine.coef_.size + self.machine.intercept_.size + n_idf)

    def state(self) -> State:
        """The machine's weights and intercepts, and those of the words where there are any."""
        idf = {"idf": self.weighting.idf_} if self.weighting.use_idf else {}
        return {"weights": self.machine.coef_, "intercepts": self.machine.intercept_, **idf}

    def restore(self, state: State) -> None:
        """A machine with these weights, which is never fitted."""
        n_rows = self.n_classes if self.n_classes > 2 else 1  # two classes share one margin
        idf = {"idf": (self.settings.buckets,)} if self.weighting.use_idf else {}
        shapes = {"weights": (n_rows, self.settings.buckets), "intercepts": (n_rows,), **idf}
        check_shapes(state, shapes)
        self.machine = self._machine(0)
        self.machine.classes_ = np.arange(self.n_classes)
        self.machine.coef_, self.machine.intercept_ = state["weights"], state["intercepts"]
        self.weighting.n_features_in_ = self.settings.buckets
        if idf:
            self.weighting.idf_ = state["idf"]
