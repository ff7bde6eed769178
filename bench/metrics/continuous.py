"""Metrics of continuous labels, over the concatenation of a partition as AVEC takes them.

Values are (sample,), or (sample, dimension) for labels of several dimensions. Of several
dimensions a metric is the mean of the dimensions' own values, and nan where it is undefined for
one of them.
"""

from __future__ import annotations

from typing import cast

import numpy as np

from serlab.bench.metrics.base import METRICS, Array, Floats, checked_values


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
        truth: values, (sample,) or (sample, dimension); of several dimensions, their mean.
        predicted: values, as truth.

    Raises:
        BadValue: the arrays do not fit together or are not finite.

    Example:
        >>> round(ccc(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])), 6)
        0.666667
    """
    truth, predicted = checked_values(truth, predicted)
    y, x = _centred(truth), _centred(predicted)
    shift = truth.mean(axis=0) - predicted.mean(axis=0)
    below = (y * y).sum(axis=0) + (x * x).sum(axis=0) + len(y) * shift**2
    same = constant(truth) & constant(predicted) & (truth[0] == predicted[0])
    return _mean_ratio(2 * (y * x).sum(axis=0), np.where(same, 0.0, below))


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
        truth: values, (sample,) or (sample, dimension); of several dimensions, their mean.
        predicted: values, as truth.

    Raises:
        BadValue: the arrays do not fit together or are not finite.

    Example:
        >>> round(pcc(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0])), 6)
        0.866025
    """
    truth, predicted = checked_values(truth, predicted)
    y, x = _scaled(_centred(truth)), _scaled(_centred(predicted))
    below = np.sqrt((y * y).sum(axis=0) * (x * x).sum(axis=0))
    defined = ~constant(truth) & ~constant(predicted)
    return _mean_ratio((y * x).sum(axis=0), np.where(defined, below, 0.0))


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
        truth: values, (sample,) or (sample, dimension); of several dimensions, their mean.
        predicted: values, as truth.

    Raises:
        BadValue: the arrays do not fit together or are not finite.

    Example:
        >>> rmse(np.array([0.0, 0.0]), np.array([3.0, 4.0]))
        3.5355339059327378
    """
    truth, predicted = checked_values(truth, predicted)
    return float(np.sqrt(np.mean((truth - predicted) ** 2, axis=0)).mean())


def constant(values: Array) -> Array:
    """Which dimensions of (sample, dimension) have one value throughout."""
    return cast(Array, np.ptp(_by_dimension(values), axis=1) == 0)


def _centred(values: Floats) -> Floats:
    return cast(Floats, values - values.mean(axis=0))


def _scaled(values: Floats) -> Floats:
    """Values with a largest size of 1, so that no product can underflow; zeros stay."""
    largest = np.abs(_by_dimension(values)).max(axis=1)
    return values / np.where(largest > 0, largest, 1.0)


def _by_dimension(values: Array) -> Array:
    """(dimension, sample), where numpy finds extremes a hundred times faster than over rows."""
    return np.ascontiguousarray(values.T)


def _mean_ratio(above: Floats, below: Floats) -> float:
    """Mean over dimensions of ratios in [-1, 1]; nan where one of them has nothing below."""
    ratios = np.full(above.shape, np.nan)
    np.divide(above, below, out=ratios, where=below > 0)
    return float(np.clip(ratios, -1.0, 1.0).mean())
