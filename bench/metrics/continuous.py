"""Metrics of continuous labels, over the concatenation of a partition as AVEC takes them."""

from __future__ import annotations

import numpy as np

from serlab.bench.metrics.base import METRICS, Array, checked_values


@METRICS.register(
    "ccc",
    title="CCC",
    long="concordance correlation coefficient",
    higher_is_better=True,
    low=-1.0,
    high=1.0,
    task="continuous",
    source="Lin, Biometrics 45, 1989",
)
def ccc(truth: Array, predicted: Array) -> float:
    """Concordance correlation: agreement in shape, level and scale.

    CCC = 2 cov(y, x) / (var(y) + var(x) + (mean(y) - mean(x))^2), moments over n, not n - 1.
    In [-1, 1]; a constant prediction of a moving truth has 0; nan where both are constant and
    equal. Source: Lin, "A concordance correlation coefficient to evaluate reproducibility",
    1989; over the concatenation of a partition as in Ringeval et al., AVEC 2017.

    Args:
        truth: values, (sample,).
        predicted: values, (sample,).

    Raises:
        BadValue: the arrays do not fit together or are not finite.

    Example:
        >>> round(ccc(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])), 6)
        0.666667
    """
    truth, predicted = checked_values(truth, predicted)
    y, x = truth - truth.mean(), predicted - predicted.mean()
    shift = truth.mean() - predicted.mean()
    below = y @ y + x @ x + len(y) * shift**2
    return float(np.clip(2 * (y @ x) / below, -1.0, 1.0)) if below > 0 else float("nan")


@METRICS.register(
    "pcc",
    title="PCC",
    long="Pearson correlation coefficient",
    higher_is_better=True,
    low=-1.0,
    high=1.0,
    task="continuous",
    source="Pearson, Phil. Trans. R. Soc. A 187, 1896",
)
def pcc(truth: Array, predicted: Array) -> float:
    """Pearson correlation: agreement in shape alone.

    PCC = cov(y, x) / (sd(y) sd(x)). In [-1, 1]; nan where either is constant. Source: Pearson,
    "Regression, heredity and panmixia", 1896.

    Args:
        truth: values, (sample,).
        predicted: values, (sample,).

    Raises:
        BadValue: the arrays do not fit together or are not finite.

    Example:
        >>> round(pcc(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])), 6)
        0.866025
    """
    truth, predicted = checked_values(truth, predicted)
    if np.ptp(truth) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    y, x = truth - truth.mean(), predicted - predicted.mean()
    y, x = y / np.abs(y).max(), x / np.abs(x).max()  # no product can underflow
    return float(np.clip(y @ x / np.sqrt((y @ y) * (x @ x)), -1.0, 1.0))


@METRICS.register(
    "rmse",
    title="RMSE",
    long="root mean squared error",
    higher_is_better=False,
    low=0.0,
    task="continuous",
    source="Ringeval et al., AVEC 2017",
)
def rmse(truth: Array, predicted: Array) -> float:
    """Root mean squared error: the typical size of the error, in the labels' unit.

    RMSE = sqrt(mean((y - x)^2)). In [0, inf), lower is better. Source: as used by Ringeval et
    al., "AVEC 2017: Real-life depression, and affect recognition workshop and challenge".

    Args:
        truth: values, (sample,).
        predicted: values, (sample,).

    Raises:
        BadValue: the arrays do not fit together or are not finite.

    Example:
        >>> rmse(np.array([0.0, 0.0]), np.array([3.0, 4.0]))
        3.5355339059327378
    """
    truth, predicted = checked_values(truth, predicted)
    return float(np.sqrt(np.mean((truth - predicted) ** 2)))
