"""Linear probes: how much of speakers and of emotions a network's embeddings hold.

A linear discriminant analysis (shrunken covariance) learns to name the speaker of a training
utterance from its embedding, and is judged by balanced accuracy on utterances of the same
speakers that it has not seen, in three stratified parts. It reads no test speaker. Another one
learns the emotions of the training part and is judged on the test part. Neither decides anything.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray, Measurement

if TYPE_CHECKING:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

PARTS = 3

_Indices = npt.NDArray[np.int64]


def speaker_probe(embeddings: FloatArray, speakers: Sequence[str]) -> dict[str, Measurement]:
    """Balanced accuracy of the probe, and what guessing would have.

    Args:
        embeddings: (utterance, value).
        speakers: who says each; those with fewer than three utterances are left out.

    Returns:
        "speaker_probe" and "speaker_probe_chance"; without a value, and with the reason, where
        fewer than two speakers are left.
    """
    counts = Counter(speakers)
    kept = [i for i, s in enumerate(speakers) if counts[s] >= PARTS]
    names = sorted({speakers[i] for i in kept})
    if len(names) < 2:
        missing = Measurement(value=None, unit="share", reason="fewer than two speakers to tell")
        return {"speaker_probe": missing, "speaker_probe_chance": missing}
    truth = np.array([names.index(speakers[i]) for i in kept])
    score = _balanced_accuracy(embeddings[kept], truth)
    return {
        "speaker_probe": Measurement(value=score, unit="share"),
        "speaker_probe_chance": Measurement(value=1 / len(names), unit="share"),
    }


def emotion_probe(
    learnt: FloatArray, emotions: Sequence[str], judged: FloatArray, truth: Sequence[str]
) -> dict[str, Measurement]:
    """UA of a probe that learns the emotions of one part and is judged on another.

    Args:
        learnt: (utterance, value).
        emotions: of these utterances.
        judged: (utterance, value) of other utterances.
        truth: their emotions; those that ``emotions`` has not are left out.

    Returns:
        "emotion_probe" and "emotion_probe_chance", the UA of naming each emotion equally often;
        without a value, and with the reason, where there are not two emotions to learn, or
        nothing to judge by.
    """
    names = sorted(set(emotions))
    kept = [i for i, emotion in enumerate(truth) if emotion in names]
    reason = "" if kept else "no utterance to judge by"
    if len(names) < 2:
        reason = "fewer than two emotions to tell"
    if reason:
        missing = Measurement(value=None, unit="share", reason=reason)
        return {"emotion_probe": missing, "emotion_probe_chance": missing}
    classes = np.array([names.index(emotion) for emotion in emotions])
    expected = np.array([names.index(truth[i]) for i in kept])
    score = _told_apart(learnt, classes, judged[kept], expected)
    return {
        "emotion_probe": Measurement(value=score, unit="share"),
        "emotion_probe_chance": Measurement(value=1 / len(names), unit="share"),
    }


def _told_apart(
    learnt: FloatArray, classes: _Indices, judged: FloatArray, truth: _Indices
) -> float:
    x, other = _scaled(learnt, learnt), _scaled(judged, learnt)
    if not x.shape[1]:  # nothing varies, so nothing can be told
        return 1 / (int(classes.max()) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # emotions with a single utterance
        found = _probe().fit(x, classes).predict(other)
    return _mean_recall(found, truth)


def _balanced_accuracy(x: FloatArray, truth: _Indices) -> float:
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    scaled = _scaled(x, x)
    if not scaled.shape[1]:  # nothing varies, so nothing can be told
        return 1 / (int(truth.max()) + 1)
    parts = StratifiedKFold(PARTS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # speakers with unlike counts
        found = cross_val_predict(_probe(), scaled, truth, cv=parts)
    return _mean_recall(found, truth)


def _probe() -> LinearDiscriminantAnalysis:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")


def _scaled(x: FloatArray, by: FloatArray) -> npt.NDArray[np.float64]:
    """The columns of ``x`` that vary in ``by``, over their spread there."""
    spread = np.asarray(by.astype(np.float64).std(axis=0))
    kept = spread > 1e-9
    scaled: npt.NDArray[np.float64] = x[:, kept].astype(np.float64) / spread[kept]
    return scaled


def _mean_recall(found: _Indices, truth: _Indices) -> float:
    return float(np.mean([float((found[truth == k] == k).mean()) for k in np.unique(truth)]))
