"""Metrics: values of named reference tools, bounds, order, and what they refuse."""

from __future__ import annotations

import doctest
import importlib
import math
import subprocess
import sys

import audmetric
import numpy as np
import pytest
import sklearn.metrics
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from serlab.bench.errors import BadValue, UnknownName
from serlab.bench.metrics.base import METRICS, evaluate, metric
from serlab.bench.metrics.categorical import confusion, per_class_recall

NAMES = tuple(METRICS.entries())
CATEGORICAL = tuple(n for n in NAMES if metric(n).task == "categorical")
CONTINUOUS = tuple(n for n in NAMES if metric(n).task == "continuous")
N_CLASSES = 4


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def classes() -> tuple[np.ndarray, np.ndarray]:
    """Truths of four unequal classes and scores that are right more often than not."""
    rng = np.random.default_rng(7)
    scores = softmax(2 * rng.standard_normal((200, N_CLASSES)))
    right = rng.random(200) < 0.6
    return np.where(right, scores.argmax(axis=1), rng.integers(N_CLASSES, size=200)), scores


@pytest.fixture(scope="module")
def traces() -> tuple[np.ndarray, np.ndarray]:
    """A truth and a shifted, shrunk, noisy prediction of it."""
    rng = np.random.default_rng(3)
    truth = rng.standard_normal(300)
    return truth, 0.7 * truth + 0.2 + 0.3 * rng.standard_normal(300)


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 30))
    truth = draw(arrays.arrays(np.int64, n, elements=st.integers(0, N_CLASSES - 1)))
    logits = arrays.arrays(np.float64, (n, N_CLASSES), elements=st.floats(-5, 5))
    return truth, softmax(draw(logits))


@st.composite
def untied(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """As ``labelled``, with no two equal scores in a row."""
    truth, scores = draw(labelled())
    ranks = np.array(draw(st.permutations(range(N_CLASSES))))
    return truth, softmax(np.log(scores).round(2) + ranks * 1e-4)


@st.composite
def values(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(2, 30))
    one = arrays.arrays(np.float64, n, elements=st.floats(-10, 10))
    return draw(one), draw(one)


# --- golden values -------------------------------------------------------------------------


def test_ua_is_the_macro_recall_of_scikit_learn_and_audmetric(classes: tuple) -> None:
    """UA has the value that both reference tools give."""
    truth, scores = classes
    predicted = scores.argmax(axis=1)
    sklearn_value = sklearn.metrics.recall_score(truth, predicted, average="macro")
    audmetric_value = audmetric.unweighted_average_recall(truth, predicted)
    assert evaluate("ua", truth, scores) == pytest.approx(sklearn_value, abs=1e-12)
    assert evaluate("ua", truth, scores) == pytest.approx(audmetric_value, abs=1e-12)


def test_wa_is_the_accuracy_of_scikit_learn(classes: tuple) -> None:
    """WA is plain accuracy."""
    truth, scores = classes
    reference = sklearn.metrics.accuracy_score(truth, scores.argmax(axis=1))
    assert evaluate("wa", truth, scores) == pytest.approx(reference, abs=1e-12)


def test_macro_f1_is_that_of_scikit_learn_over_the_present_classes(classes: tuple) -> None:
    """Macro-F1 agrees, with all classes and with one that the truth lacks."""
    truth, scores = classes
    for held in (np.full(len(truth), True), truth != 2):
        present, predicted = np.unique(truth[held]), scores[held].argmax(axis=1)
        reference = sklearn.metrics.f1_score(
            truth[held], predicted, average="macro", labels=present
        )
        assert evaluate("macro_f1", truth[held], scores[held]) == pytest.approx(reference)


def test_confusion_and_recalls_are_those_of_scikit_learn(classes: tuple) -> None:
    """Counts and recalls agree over the declared classes."""
    truth, scores = classes
    predicted, labels = scores.argmax(axis=1), range(N_CLASSES)
    reference = sklearn.metrics.confusion_matrix(truth, predicted, labels=labels)
    np.testing.assert_array_equal(confusion(truth, scores), reference)
    recalls = sklearn.metrics.recall_score(truth, predicted, average=None, labels=labels)
    np.testing.assert_allclose(per_class_recall(truth, scores), recalls)


def test_ece_has_the_value_of_torchmetrics(classes: tuple) -> None:
    """The golden value is torchmetrics 1.9.0's on the same arrays.

    multiclass_calibration_error(scores, truth, num_classes=4, n_bins=15, norm="l1").
    """
    assert evaluate("ece", *classes) == pytest.approx(0.170816, abs=2e-6)


def test_ece_of_one_bin_is_the_distance_of_confidence_and_accuracy() -> None:
    """Four utterances of confidence 0.7, three of them right: 0.05."""
    scores = np.tile([0.7, 0.3], (4, 1))
    assert evaluate("ece", np.array([0, 0, 0, 1]), scores) == pytest.approx(0.05)


def test_a_confidence_on_an_edge_belongs_to_the_lower_bin() -> None:
    """0.6 = 9/15 shares the bin of 0.59, so their errors cancel; 0.61 has its own."""
    truth = np.array([0, 1])
    edge = evaluate("ece", truth, np.array([[0.6, 0.4], [0.59, 0.41]]))
    apart = evaluate("ece", truth, np.array([[0.61, 0.39], [0.59, 0.41]]))
    assert edge == pytest.approx(abs(1 - 0.6 - 0.59) / 2)
    assert apart == pytest.approx((0.39 + 0.59) / 2)


def test_continuous_metrics_are_those_of_audmetric(traces: tuple) -> None:
    """CCC, PCC and RMSE agree with the reference tool."""
    assert evaluate("ccc", *traces) == pytest.approx(audmetric.concordance_cc(*traces))
    assert evaluate("pcc", *traces) == pytest.approx(audmetric.pearson_cc(*traces))
    squared = audmetric.mean_squared_error(*traces)
    assert evaluate("rmse", *traces) == pytest.approx(math.sqrt(squared))


@pytest.mark.parametrize("name", CONTINUOUS)
def test_of_several_dimensions_it_is_the_mean(name: str, traces: tuple) -> None:
    """Values (sample, dimension) have the mean of what each column has alone."""
    truth, predicted = (np.stack([one, 3 * one**2, one**3 - 5], axis=1) for one in traces)
    alone = [evaluate(name, truth[:, d], predicted[:, d]) for d in range(3)]
    assert len(set(alone)) == 3
    assert evaluate(name, truth, predicted) == pytest.approx(np.mean(alone), abs=1e-12)
    assert evaluate(name, truth[:, :1], predicted[:, :1]) == pytest.approx(alone[0], abs=1e-12)


@pytest.mark.parametrize("name", ["ccc", "pcc"])
def test_undefined_in_one_dimension_is_undefined(name: str, traces: tuple) -> None:
    """No mean of the others stands in for a dimension in which nothing moves."""
    truth, predicted = (np.stack([one, np.full(len(one), 0.1)], axis=1) for one in traces)
    assert math.isnan(evaluate(name, truth, predicted))


# --- what the definitions promise ----------------------------------------------------------


def test_an_absent_class_is_dropped_from_ua_and_not_counted_0() -> None:
    """All right without class 2 is a UA of 1."""
    scores = np.eye(3)[[0, 0, 1]]
    assert evaluate("ua", np.array([0, 0, 1]), scores) == 1.0
    recalls = per_class_recall(np.array([0, 0, 1]), scores)
    assert np.isnan(recalls[2])
    np.testing.assert_array_equal(recalls[:2], [1.0, 1.0])


def test_a_declared_class_that_nobody_says_keeps_its_row() -> None:
    """The confusion is as wide as the scores."""
    assert confusion(np.array([0]), np.eye(5)[[1]]).shape == (5, 5)


def test_the_majority_class_has_chance_ua() -> None:
    """UA of one class always said is 1 over the classes, whatever their numbers."""
    scores = np.tile([1.0, 0.0, 0.0, 0.0], (100, 1))
    truth = np.repeat([0, 1, 2, 3], [70, 20, 5, 5])
    assert evaluate("ua", truth, scores) == pytest.approx(0.25)
    assert evaluate("wa", truth, scores) == pytest.approx(0.7)


def test_a_constant_prediction_has_a_ccc_of_0_and_no_pcc() -> None:
    """CCC is defined where PCC is not."""
    truth, constant = np.array([0.0, 1.0, 2.0]), np.full(3, 0.5)
    assert evaluate("ccc", truth, constant) == 0.0
    assert math.isnan(evaluate("pcc", truth, constant))


def test_two_equal_constants_have_no_ccc() -> None:
    """Nothing varies, so there is nothing to agree on."""
    assert math.isnan(evaluate("ccc", np.ones(3), np.ones(3)))
    assert math.isnan(evaluate("ccc", np.full(10, 0.1), np.full(10, 0.1)))  # whose mean is not 0.1


@pytest.mark.parametrize("name", CATEGORICAL)
@given(data=labelled())
def test_categorical_metrics_keep_their_range(name: str, data: tuple) -> None:
    """No value lies outside the range that is registered."""
    found = metric(name)
    assert found.low - 1e-12 <= found(*data) <= found.high + 1e-12


@pytest.mark.parametrize("name", CONTINUOUS)
@given(data=values())
def test_continuous_metrics_keep_their_range(name: str, data: tuple) -> None:
    """No value lies outside the range that is registered, where it is defined."""
    found = metric(name)
    value = found(*data)
    assume(not math.isnan(value))
    assert found.low <= value <= found.high


@pytest.mark.parametrize("name", CATEGORICAL)
@given(data=labelled(), seed=st.integers(0, 1000))
def test_the_order_of_utterances_is_nothing(name: str, data: tuple, seed: int) -> None:
    """The same utterances in another order have the same value."""
    order = np.random.default_rng(seed).permutation(len(data[0]))
    again = evaluate(name, data[0][order], data[1][order])
    assert again == pytest.approx(evaluate(name, *data), abs=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
@given(data=values(), seed=st.integers(0, 1000))
def test_the_order_of_samples_is_nothing(name: str, data: tuple, seed: int) -> None:
    """The same samples in another order have the same value."""
    assume(min(np.ptp(data[0]), np.ptp(data[1])) > 1e-3)
    order = np.random.default_rng(seed).permutation(len(data[0]))
    again = evaluate(name, data[0][order], data[1][order])
    assert again == pytest.approx(evaluate(name, *data), abs=1e-9)


@pytest.mark.parametrize("name", CATEGORICAL)
@given(data=untied(), order=st.permutations(range(N_CLASSES)))
def test_the_names_of_classes_are_nothing(name: str, data: tuple, order: list[int]) -> None:
    """Classes in another order have the same value, where no two scores tie."""
    truth, scores = data
    renamed = np.argsort(order)[truth]
    assert evaluate(name, renamed, scores[:, order]) == pytest.approx(
        evaluate(name, truth, scores), abs=1e-12
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_prediction_has_the_best_value(name: str) -> None:
    """The best end of the range is where the register says that better lies."""
    found = metric(name)
    truth = np.array([0, 1, 2, 1]) if found.task == "categorical" else np.array([0.0, 1.0, 0.5])
    scores = np.eye(3)[truth] if found.task == "categorical" else truth
    best = found.high if found.higher_is_better else found.low
    assert found(truth, scores) == pytest.approx(best)


# --- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("name", CATEGORICAL)
@pytest.mark.parametrize(
    ("truth", "scores", "words"),
    [
        (np.zeros(0, int), np.zeros((0, 2)), "at least one"),
        (np.array([0, 1]), np.array([[1.0, 0.0], [np.nan, 1.0]]), r"scores\[1, 0\]"),
        (np.array([0, 1, 1]), np.eye(2), r"expected \(3, class\)"),
        (np.array([0, 1]), np.ones((2, 1)), "two classes"),
        (np.array([0, 1]), np.array([0, 1]), "two classes"),
        (np.array([0.0, 1.0]), np.eye(2), "integers"),
        (np.array([[0, 1]]), np.eye(2), "integers"),
        (np.array([0, 2]), np.eye(2), "truth = 2: expected indices of classes, 0 to 1"),
        (np.array([0, -1]), np.eye(2), "truth = -1"),
        (np.array([0, 1]), np.array([["a", "b"], ["c", "d"]]), "numbers"),
    ],
)
def test_categorical_metrics_refuse(
    name: str, truth: np.ndarray, scores: np.ndarray, words: str
) -> None:
    """Arrays that do not fit raise an error that names what is wrong."""
    with pytest.raises(BadValue, match=words):
        evaluate(name, truth, scores)


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize(
    ("truth", "predicted", "words"),
    [
        (np.zeros(0), np.zeros(0), "at least one"),
        (np.zeros(2), np.array([0.0, np.nan]), r"predicted\[1\]"),
        (np.array([np.inf, 0.0]), np.zeros(2), r"truth\[0\] = inf"),
        (np.zeros(2), np.zeros(3), "predicted"),
        (np.zeros((2, 2, 1)), np.zeros((2, 2, 1)), r"expected shape \(sample,\) or"),
        (np.zeros((2, 3)), np.zeros((2, 2)), r"predicted .* expected shape \(2, 3\)"),
        (np.zeros((2, 2)), np.array([[0.0, 0.0], [0.0, np.nan]]), r"predicted\[1, 1\]"),
        (np.array([[0.0, -np.inf]]), np.zeros((1, 2)), r"truth\[0, 1\] = -inf"),
        (np.zeros((2, 0)), np.zeros((2, 0)), "no dimension"),
        (np.array(["a"]), np.array(["b"]), "numbers"),
    ],
)
def test_continuous_metrics_refuse(
    name: str, truth: np.ndarray, predicted: np.ndarray, words: str
) -> None:
    """Arrays that do not fit raise an error that names what is wrong."""
    with pytest.raises(BadValue, match=words):
        evaluate(name, truth, predicted)


@pytest.mark.parametrize("row", [[0.7, 0.7], [1.2, -0.2]])
def test_ece_refuses_what_is_no_distribution(row: list[float]) -> None:
    """Logits have no confidence."""
    with pytest.raises(BadValue, match=r"scores\[1\].*probabilities"):
        evaluate("ece", np.array([0, 1]), np.array([[0.5, 0.5], row]))


def test_an_unknown_metric_suggests_the_nearest() -> None:
    """A misspelt name is an error that says where it stood and what was meant."""
    with pytest.raises(UnknownName, match=r'study\.metric: "macrof1".*did you mean "macro_f1"'):
        metric("macrof1", where="study.metric")


# --- the register --------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_metric_names_its_source_and_range(name: str) -> None:
    """Every metric has a citation with a year, a title, and low below high."""
    found = metric(name)
    assert any(part.strip(",.)")[:2] in ("18", "19", "20") for part in found.source.split())
    assert found.title
    assert found.long
    assert found.low < found.high


def test_the_register_loads_neither_scipy_nor_pandas() -> None:
    """Listing and calling metrics needs numpy alone."""
    code = (
        "import sys; from serlab.bench.metrics.base import METRICS, metric;"
        "[metric(n) for n in METRICS.entries()];"
        "print([m for m in ('scipy', 'pandas', 'sklearn', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["base", "calibration", "categorical", "continuous"])
def test_the_examples_of_the_docstrings_hold(module: str) -> None:
    """Doctests run and pass."""
    result = doctest.testmod(importlib.import_module(f"serlab.bench.metrics.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
