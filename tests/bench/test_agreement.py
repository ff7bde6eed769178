"""Two sets of answers of one model, utterance by utterance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serlab.bench.contracts import Predictions
from serlab.bench.errors import BadValue, NotComparable
from serlab.bench.statistics.agreement import Answers, agreement

LABELS = ("anger", "neutral", "sadness")
VARIANT = {
    "system": "crnn",
    "preset": "small",
    "options": {"pooling": "max"},
    "settings": {"epochs": 3},
}
SCORES = np.array([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.3, 0.3, 0.4], [0.5, 0.4, 0.1]], np.float32)


def answers(
    scores: npt.NDArray[Any] = SCORES,
    ids: tuple[str, ...] = ("a", "b", "c", "d"),
    truth: tuple[int, ...] = (0, 1, 2, 0),
    **changes: Any,
) -> Answers:
    """Four utterances of two speakers, or so many as there are ids."""
    held = Predictions(
        ids=ids,
        speakers=tuple("xxyy"[i % 4] for i in range(len(ids))),
        parts=("test",) * len(ids),
        truth=np.array(truth),
        scores=scores,
    )
    known = {
        "trial": "k", "arm": "base", "variant": VARIANT, "corpus": "tiny",
        "split": "s", "fold": "x", "seed": 0, "labels": LABELS, "predictions": held,
    }  # fmt: skip
    return Answers(**{**known, **changes})


def traces(values: npt.NDArray[Any], truth: npt.NDArray[Any] | None = None) -> Answers:
    """Two utterances, of two frames and of one."""
    held = Predictions(
        ids=("a", "a", "b"),
        speakers=("x", "x", "y"),
        parts=("test",) * 3,
        truth=np.zeros((3, 2)) if truth is None else truth,
        scores=values,
        frames=(0, 1, 0),
    )
    return answers(labels=("arousal", "valence"), predictions=held)


def test_the_same_answers_agree() -> None:
    """Nothing differs, and nothing is said to."""
    found = agreement(answers(), answers(SCORES.copy()))
    assert found.holds
    assert (found.n_utterances, found.largest, found.at, found.label) == (4, 0.0, "", "")
    assert found.beyond == found.changed == ()


def test_one_bit_is_a_difference() -> None:
    """By default scores are the same in every bit."""
    scores = SCORES.copy()
    scores[2, 1] = np.nextafter(scores[2, 1], np.float32(1))
    found = agreement(answers(), answers(scores))
    assert not found.holds
    assert 0 < found.largest < 1e-7
    assert (found.at, found.label, found.beyond, found.changed) == ("c", "neutral", ("c",), ())


def test_classes_that_change_are_named() -> None:
    """The largest difference and the utterances with another class are told apart."""
    scores = SCORES.copy()
    scores[0] = [0.7, 0.2, 0.1]
    scores[3] = [0.44, 0.46, 0.1]
    found = agreement(answers(), answers(scores))
    assert found.changed == ("d",)
    assert found.beyond == ("a", "d")
    assert (found.at, found.largest) == ("a", pytest.approx(0.1))


def test_a_tolerance_is_held() -> None:
    """A difference of the tolerance passes, and one above it does not."""
    scores = SCORES.copy()
    scores[3] = [0.44, 0.46, 0.1]
    found = agreement(answers(), answers(scores), tolerance=0.07)
    assert found.holds
    assert found.changed == ("d",), "a near tie is told although it is tolerated"
    least = float(np.abs(SCORES.astype(float) - scores.astype(float)).max())
    assert agreement(answers(), answers(scores), tolerance=least).holds
    assert not agreement(answers(), answers(scores), tolerance=least * 0.999).holds


def test_order_does_not_matter() -> None:
    """Utterances are found by their names."""
    turned = answers(SCORES[::-1], ids=("d", "c", "b", "a"), truth=(0, 2, 1, 0))
    assert agreement(answers(), turned).holds


def test_traces_are_compared_by_frame() -> None:
    """The frame and the dimension of the largest difference are told; there are no classes."""
    values = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], np.float32)
    other = values.copy()
    other[1, 1] -= 0.3
    found = agreement(traces(values), traces(other))
    assert (found.at, found.frame, found.label) == ("a", 1, "valence")
    assert found.largest == pytest.approx(0.3)
    assert (found.n_utterances, found.beyond, found.changed) == (2, ("a",), ())
    assert agreement(traces(values), traces(values)).frame is None
    with pytest.raises(NotComparable, match=r"truths differ \(2\): a"):
        agreement(traces(values), traces(values, np.ones((3, 2))))


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (answers(labels=LABELS[::-1]), "the labels of one"),
        (answers(fold="y"), "the fold of one is x, and of the other y"),
        (answers(seed=1), "the seed of one is 0, and of the other 1"),
        (answers(split="t"), "the split"),
        (answers(corpus="other"), "the corpus"),
        (answers(variant={**VARIANT, "system": "li2018"}), "no one model: system="),
        (answers(variant={**VARIANT, "options": {"pooling": "mean"}}), "no one model: pooling="),
        (answers(variant={**VARIANT, "settings": {"epochs": 3, "c": 1}}), "no one model: c="),
        (answers(SCORES[:3], ("a", "b", "c"), (0, 1, 2)), r"of the first alone \(1\): d"),
        (answers(ids=("a", "b", "c", "e")), r"of the first alone \(1\): d"),
        (answers(truth=(0, 1, 2, 1)), r"truths differ \(1\): d"),
        (answers(np.zeros((0, 3)), (), ()), "no utterance"),
    ],
)
def test_other_questions_are_not_compared(other: Answers, told: str) -> None:
    """Answers to anything else are no answers, whichever side they stand on."""
    with pytest.raises(NotComparable, match=told):
        agreement(answers(), other)
    with pytest.raises(NotComparable):
        agreement(other, answers())


def test_classes_are_no_traces() -> None:
    """Values of frames are not held against probabilities."""
    rated = replace(traces(np.zeros((3, 2))), labels=LABELS)
    with pytest.raises(NotComparable, match="rates frames"):
        agreement(answers(), rated)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_must_be_numbers(value: float) -> None:
    """A NaN is an error and never agrees, even with itself."""
    scores = SCORES.copy()
    scores[1, 0] = value
    for pair in ((answers(), answers(scores)), (answers(scores), answers(scores))):
        with pytest.raises(BadValue, match="score of b"):
            agreement(*pair, tolerance=1.0)


def test_no_utterance_stands_there_twice() -> None:
    """Of two rows under one name it is not known which is meant."""
    twice = answers(ids=("a", "b", "c", "c"))
    with pytest.raises(BadValue, match="every utterance once"):
        agreement(twice, twice)


def test_scores_have_a_column_a_label() -> None:
    """A column too few or too many is an error."""
    with pytest.raises(BadValue, match="shape"):
        agreement(answers(), answers(SCORES[:, :2]))


@pytest.mark.parametrize("tolerance", [-1e-9, np.nan, np.inf])
def test_tolerances_are_numbers(tolerance: float) -> None:
    """A tolerance that everything passes, or nothing, is a mistake."""
    with pytest.raises(BadValue, match="tolerance"):
        agreement(answers(), answers(), tolerance=tolerance)


@given(st.integers(0, 2**32 - 1), st.floats(0, 0.2), st.floats(0, 0.2))
def test_what_holds_follows_from_the_largest(seed: int, size: float, tolerance: float) -> None:
    """It is symmetric, and holds just where the largest difference is within the tolerance."""
    rng = np.random.default_rng(seed)
    moved = SCORES + rng.uniform(-size, size, SCORES.shape)
    found = agreement(answers(), answers(moved), tolerance=tolerance)
    back = agreement(answers(moved), answers(), tolerance=tolerance)
    assert (found.largest, found.beyond, found.changed) == (
        back.largest, back.beyond, back.changed,
    )  # fmt: skip
    assert found.holds == (found.largest <= tolerance) == (not found.beyond)
    best = np.sort(SCORES, axis=1)
    ties = {i for i, gap in zip("abcd", best[:, 2] - best[:, 1], strict=True)
            if gap <= 2 * found.largest + 1e-6}  # fmt: skip
    assert set(found.changed) <= ties
