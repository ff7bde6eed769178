"""Margins of support vector machines as scores."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray


def softened(margins: npt.ArrayLike) -> FloatArray:
    """Softmax of margins (item, class), or of (item,), the second of two classes'.

    It keeps the ranking of the classes, which UA and WA read; it is no calibrated probability,
    and the calibration error of such scores says nothing.
    """
    held = np.asarray(margins, np.float64)
    if held.ndim == 1:  # two classes have one margin
        held = np.stack([-held, held], axis=1)
    powers = np.exp(held - held.max(axis=1, keepdims=True))
    scores: FloatArray = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
    return scores
