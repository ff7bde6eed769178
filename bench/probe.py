"""The speaker probe: how much of the speakers a network's embeddings still hold.

A linear discriminant analysis (shrunken covariance) learns to name the speaker of a training
utterance from its embedding, and is judged by balanced accuracy on utterances of the same
speakers that it has not seen, in three stratified parts. It reads no test speaker and decides
nothing.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from serlab.bench.contracts import FloatArray, Measurement

PARTS = 3


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
    score = _balanced_accuracy(embeddings[kept].astype(np.float64), truth)
    return {
        "speaker_probe": Measurement(value=score, unit="share"),
        "speaker_probe_chance": Measurement(value=1 / len(names), unit="share"),
    }


def _balanced_accuracy(x: FloatArray, truth: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    x = x[:, x.std(axis=0) > 1e-9]
    if not x.shape[1]:  # nothing varies, so nothing can be told
        return 1 / (int(truth.max()) + 1)
    probe = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")
    parts = StratifiedKFold(PARTS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # speakers with unlike counts
        found = cross_val_predict(probe, x / x.std(axis=0), truth, cv=parts)
    recalls = [float((found[truth == k] == k).mean()) for k in np.unique(truth)]
    return float(np.mean(recalls))
