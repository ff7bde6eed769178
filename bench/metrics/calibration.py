"""Whether a classifier's confidence is the share of the times that it is right."""

from __future__ import annotations

import numpy as np

from serlab.bench.errors import BadValue
from serlab.bench.metrics.base import METRICS, Array, checked_classes, predicted_classes

N_BINS = 15
"""Equal-width bins of confidence, as in Guo et al., 2017."""

SUM_TOLERANCE = 0.01
"""How far from 1 the sum of an utterance's probabilities may be; half precision needs some."""


@METRICS.register(
    "ece",
    title="ECE",
    long="expected calibration error, 15 bins of equal width",
    higher_is_better=False,
    low=0.0,
    high=1.0,
    task="categorical",
    source="Naeini et al., AAAI 2015; Guo et al., ICML 2017",
)
def ece(truth: Array, scores: Array) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over 15 bins.

    ECE = sum over bins b of |b|/n |accuracy(b) - confidence(b)|, where an utterance's
    confidence is its highest probability and bin k of 15 holds the confidences in
    (k/15, (k+1)/15]. In [0, 1], lower is better; biased upwards where bins hold few
    utterances. Sources: Naeini, Cooper and Hauskrecht, AAAI 2015; 15 bins as in Guo et al.,
    "On calibration of modern neural networks", ICML 2017.

    Args:
        truth: indices of classes, (utterance,).
        scores: probabilities, (utterance, class).

    Raises:
        BadValue: the arrays do not fit together, or a row is no distribution.

    Example:
        >>> round(ece(np.array([0, 1]), np.array([[0.9, 0.1], [0.7, 0.3]])), 6)
        0.4
    """
    truth, scores = checked_classes(truth, scores)
    columns = np.ascontiguousarray(scores.T)  # numpy is slow along a last axis of a few classes
    wrong = (np.abs(columns.sum(axis=0) - 1) > SUM_TOLERANCE) | (columns.min(axis=0) < 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise BadValue(f"scores[{row}]", scores[row].tolist(), "probabilities that sum to 1")
    confidence = columns.max(axis=0)
    right = predicted_classes(scores) == truth
    bins = np.clip(np.ceil(confidence * N_BINS).astype(np.int64) - 1, 0, N_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=N_BINS)
    return float(np.abs(gaps).sum() / len(truth))
