"""Metrics of classes: unweighted and weighted accuracy, F1, recalls and the confusion.

The classes are declared by the width of the scores and never inferred from the truths, so a
class that no prediction or no truth has keeps its place in the counts.
"""

from __future__ import annotations

import numpy as np

from serlab.bench.metrics.base import (
    METRICS,
    Array,
    Counts,
    Floats,
    checked_classes,
    predicted_classes,
)


@METRICS.register(
    "ua",
    title="UA",
    long="unweighted accuracy (unweighted average recall)",
    higher_is_better=True,
    low=0.0,
    high=1.0,
    task="categorical",
    source="Schuller, Steidl and Batliner, Interspeech 2009",
)
def ua(truth: Array, scores: Array) -> float:
    """Unweighted accuracy: the mean recall of the classes that occur in the truth.

    UA = 1/|P| sum over c in P of n_cc / n_c, with P the declared classes that have an
    utterance, n_c their number and n_cc how many of them are recognised. An absent class is
    dropped from the mean, never counted 0. In [0, 1]; chance is 1 over the number of classes.
    Source: Schuller, Steidl and Batliner, "The INTERSPEECH 2009 Emotion Challenge".

    Args:
        truth: indices of classes, (utterance,).
        scores: (utterance, class); the highest is the prediction.

    Raises:
        BadValue: the arrays do not fit together.

    Example:
        >>> ua(np.array([0, 0, 0, 1]), np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
        0.8333333333333333
    """
    return float(np.nanmean(per_class_recall(truth, scores)))


@METRICS.register(
    "wa",
    title="WA",
    long="weighted accuracy (share of utterances recognised)",
    higher_is_better=True,
    low=0.0,
    high=1.0,
    task="categorical",
    source="Schuller, Steidl and Batliner, Interspeech 2009",
)
def wa(truth: Array, scores: Array) -> float:
    """Weighted accuracy: the share of the utterances that are recognised.

    WA = sum over c of n_cc / n, the mean of the recalls weighted by the classes' numbers, that
    is plain accuracy. In [0, 1]. Source: Schuller, Steidl and Batliner, Interspeech 2009.

    Args:
        truth: indices of classes, (utterance,).
        scores: (utterance, class); the highest is the prediction.

    Raises:
        BadValue: the arrays do not fit together.

    Example:
        >>> wa(np.array([0, 0, 0, 1]), np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
        0.75
    """
    truth, scores = checked_classes(truth, scores)
    return float(np.mean(predicted_classes(scores) == truth))


@METRICS.register(
    "macro_f1",
    title="macro-F1",
    long="mean F1 of the classes",
    higher_is_better=True,
    low=0.0,
    high=1.0,
    task="categorical",
    source="Opitz and Burst, arXiv:1911.03347, 2019 (the averaged F1 of its two)",
)
def macro_f1(truth: Array, scores: Array) -> float:
    """Macro-F1: the mean, over the classes that occur in the truth, of their F1.

    F1_c = 2 n_cc / (n_c + m_c), with n_c utterances of class c and m_c predictions of it. A
    class that the truth lacks is dropped from the mean, as for UA; to predict it costs the
    recall of the others. In [0, 1]. Source: the mean of F1s, not the F1 of the means, in Opitz
    and Burst, "Macro F1 and Macro F1", 2019.

    Args:
        truth: indices of classes, (utterance,).
        scores: (utterance, class); the highest is the prediction.

    Raises:
        BadValue: the arrays do not fit together.

    Example:
        >>> macro_f1(np.array([0, 0, 0, 1]), np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
        0.7333333333333334
    """
    counts = confusion(truth, scores)
    present = counts.sum(axis=1) > 0
    both = counts.sum(axis=1) + counts.sum(axis=0)
    return float(np.mean(2 * counts.diagonal()[present] / both[present]))


def per_class_recall(truth: Array, scores: Array) -> Floats:
    """The recall of each class, (class,), in [0, 1]; nan where the truth lacks the class.

    Recall_c = n_cc / n_c.

    Args:
        truth: indices of classes, (utterance,).
        scores: (utterance, class); the highest is the prediction.

    Raises:
        BadValue: the arrays do not fit together.

    Example:
        >>> per_class_recall(np.array([0, 0, 1]), np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]]))
        array([0.5, 1. , nan])
    """
    counts = confusion(truth, scores)
    numbers = counts.sum(axis=1)
    recalls = np.full(len(counts), np.nan)
    np.divide(counts.diagonal(), numbers, out=recalls, where=numbers > 0)
    return recalls


def confusion(truth: Array, scores: Array) -> Counts:
    """Numbers of utterances by true class (rows) and predicted class (columns), (class, class).

    Args:
        truth: indices of classes, (utterance,).
        scores: (utterance, class); the highest is the prediction.

    Raises:
        BadValue: the arrays do not fit together.

    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([[1, 0], [0, 1], [0, 1]]))
        array([[1, 1],
               [0, 1]])
    """
    truth, scores = checked_classes(truth, scores)
    n_classes = scores.shape[1]
    cells = truth * n_classes + predicted_classes(scores)
    counts = np.bincount(cells, minlength=n_classes**2)
    return counts.reshape(n_classes, n_classes).astype(np.int64)
