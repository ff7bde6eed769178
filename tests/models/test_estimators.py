"""The systems that learn without gradients."""

from __future__ import annotations

import numpy as np

from serlab.bench.contracts import Sizes
from serlab.models.variant import make, resolve


def test_svm_agrees_with_scikit_learn() -> None:
    """The estimator is a linear SVC on the vectors as they are, and ranks classes as it does."""
    from sklearn.svm import SVC

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 10)).astype("f4"), np.arange(60) % 3
    made = make(resolve("functionals_svm"))
    ours = made.build(Sizes(n_classes=3, n_speakers=2, n_features={"vector": 10}, rate_hz={}))
    ours.fit({"vector": x}, y, 0)
    theirs = SVC(C=1e-3, kernel="linear", class_weight="balanced", break_ties=True).fit(x, y)
    scores = ours.predict({"vector": x})
    np.testing.assert_array_equal(scores.argmax(axis=1), theirs.predict(x))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert ours.n_parameters() == 33
    ours.fit({"vector": x}, y % 2, 0)
    assert ours.predict({"vector": x}).shape == (60, 2)


def test_majority_gives_the_shares_of_the_training_part() -> None:
    """Whatever is asked, the largest class of the training part wins."""
    made = make(resolve("majority"))
    shares = made.build(Sizes(n_classes=3, n_speakers=2, n_features={"nothing": 1}, rate_hz={}))
    shares.fit({"nothing": np.zeros((5, 1), "f4")}, np.array([2, 1, 2, 2, 1]), 0)
    scores = shares.predict({"nothing": np.zeros((4, 1), "f4")})
    np.testing.assert_allclose(scores, np.tile([0.0, 0.4, 0.6], (4, 1)), rtol=1e-6)
    assert shares.n_parameters() == 3
