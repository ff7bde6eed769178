"""The register of metrics, what is known of each, and the checks that all of them share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from serlab.bench.errors import BadValue
from serlab.bench.registry import Registry

METRICS = Registry("metric", "serlab.bench.metrics")

Task = Literal["categorical", "continuous"]
Array = npt.NDArray[Any]  # truths are integers or floats, scores floats of any width
Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric: how it is printed, which way is better, its range, and its function.

    ``task`` "categorical" takes integer truths (utterance,) and scores (utterance, class);
    "continuous" takes two arrays of values, (sample,), or (sample, dimension) whose value is the
    mean of the dimensions' own. A metric that is registered without ``high`` has no upper bound.
    """

    name: str
    title: str
    long: str
    higher_is_better: bool
    low: float
    high: float = math.inf
    task: Task
    source: str
    function: Callable[[Array, Array], float]

    def __call__(self, truth: Array, scores: Array) -> float:
        """The metric's value; nan only where its docstring says that it is undefined."""
        return float(self.function(truth, scores))


def metric(name: str, *, where: str = "") -> Metric:
    """The metric of that name, ready to be called.

    Example:
        >>> metric("ua").higher_is_better, metric("ua").low, metric("ua").high
        (True, 0.0, 1.0)

    Raises:
        UnknownName: no metric has this name.
    """
    entry = METRICS.entry(name, where=where)
    return Metric(name=name, function=entry.load(), **entry.facts)


def evaluate(name: str, truth: Array, scores: Array) -> float:
    """The value of the metric of that name.

    Example:
        >>> evaluate("wa", np.array([0, 1]), np.array([[0.9, 0.1], [0.6, 0.4]]))
        0.5

    Raises:
        UnknownName: no metric has this name.
        BadValue: the arrays are none that the metric can take.
    """
    return metric(name)(truth, scores)


def checked_classes(truth: Array, scores: Array) -> tuple[Counts, Floats]:
    """Truths (utterance,) and scores (utterance, class), found fit for a categorical metric.

    Raises:
        BadValue: empty, of unlike length, NaN among the scores, or a truth that is no index of
            a class.
    """
    truth, scores = np.asarray(truth), np.asarray(scores)
    if truth.ndim != 1 or truth.dtype.kind not in "iu":
        shown = f"{truth.dtype} array of shape {truth.shape}"
        raise BadValue("truth", shown, "integers of shape (utterance,)")
    if scores.ndim != 2 or len(scores) != len(truth) or scores.shape[1] < 2:
        expected = f"({len(truth)}, class) with two classes or more, as truth has"
        raise BadValue("scores", f"array of shape {scores.shape}", expected)
    if not len(truth):
        raise BadValue("truth", "no utterance", "at least one")
    if truth.min() < 0 or truth.max() >= scores.shape[1]:
        worst = int(truth.min() if truth.min() < 0 else truth.max())
        raise BadValue("truth", worst, f"indices of classes, 0 to {scores.shape[1] - 1}")
    return truth.astype(np.int64), _without_nan("scores", scores)


def checked_values(truth: Array, predicted: Array) -> tuple[Floats, Floats]:
    """Two arrays of values as (sample, dimension), found fit for a continuous metric.

    Args:
        truth: (sample,), which is one dimension, or (sample, dimension).
        predicted: of the same shape.

    Raises:
        BadValue: empty, of unlike shape, of another number of axes, or not finite.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.ndim not in (1, 2):
        shown = f"array of shape {truth.shape}"
        raise BadValue("truth", shown, "shape (sample,) or (sample, dimension)")
    if predicted.shape != truth.shape:
        raise BadValue("predicted", f"array of shape {predicted.shape}", f"shape {truth.shape}")
    if not truth.size:
        what = "no dimension" if len(truth) else "no sample"
        raise BadValue("truth", what, "at least one")
    wide = (len(truth), -1)
    return (
        _finite("truth", truth).reshape(wide),
        _finite("predicted", predicted).reshape(wide),
    )


def predicted_classes(scores: Array) -> Counts:
    """Index of the highest score (..., class) of each utterance; the first of equal ones."""
    return cast(Counts, np.argmax(scores, axis=-1).astype(np.int64))


def _without_nan(key: str, array: Array) -> Floats:
    if array.dtype.kind not in "fiu":
        raise BadValue(key, f"{array.dtype} array", "numbers")
    values = array.astype(np.float64)
    if np.isnan(values).any():
        raise BadValue(f"{key}[{_first(np.isnan(values))}]", float("nan"), "a number")
    return values


def _finite(key: str, array: Array) -> Floats:
    values = _without_nan(key, array)
    infinite = np.isinf(values)
    if infinite.any():
        value = float(values[infinite][0])
        raise BadValue(f"{key}[{_first(infinite)}]", value, "a finite number")
    return values


def _first(wrong: Array) -> str:
    """Where the first True stands."""
    return ", ".join(str(int(i)) for i in np.argwhere(wrong)[0])
