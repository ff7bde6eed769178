"""A kept model asked again: the same bits, a tolerance, and what it cannot be held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gated
import numpy as np
import pytest

from serlab.bench.contracts import Predictions
from serlab.bench.errors import BadValue, NotComparable
from serlab.bench.statistics.agreement import Answers
from serlab.reports.gate.baseline import Baseline
from serlab.reports.gate.checkpoint import checkpoint_check
from serlab.reports.gate.records import Outcome


@pytest.fixture
def recorded(tmp_path: Path) -> Baseline:
    """Three seeds, a fold for each of six speakers."""
    return gated.baseline(tmp_path, gated.answers(gated.uneven(3)))


def said(held: Baseline, fold: str = "fold2", seed: int = 1) -> Answers:
    """What the model of a seed and fold said when it was recorded, its rows the last one first."""
    (tested,) = held.tested.values()
    one = tested.predictions
    rows = [i for i, name in enumerate(tested.folds) if name == fold][::-1]
    return Answers(
        trial="key",
        arm="base",
        variant=held.terms.variant,
        corpus="synth",
        split=gated.SPLIT,
        fold=fold,
        seed=seed,
        labels=one.labels,
        predictions=Predictions(
            ids=tuple(one.ids[i] for i in rows),
            speakers=tuple(one.speakers[i] for i in rows),
            parts=("test",) * len(rows),
            truth=one.truth[rows],
            scores=one.scores[seed][rows],
        ),
    )


def moved(answers: Answers, by: float, row: int = 3) -> Answers:
    """With one score of one utterance moved."""
    scores = answers.predictions.scores.copy()
    scores[row, 2] += by
    return replace(answers, predictions=replace(answers.predictions, scores=scores))


def test_the_same_bits(recorded: Baseline) -> None:
    """Whatever order they come in."""
    check = checkpoint_check(recorded, said(recorded), 0.0)
    assert check.outcome is Outcome.PASS
    assert check.name == "checkpoint synth fold fold2 seed 1"
    assert check.sentence == "the model says the same of 80 utterances, bit for bit"
    assert check.numbers["largest_difference"] == 0


@pytest.mark.parametrize(
    ("tolerance", "outcome", "words"),
    [
        (0.0, Outcome.FAIL, "; 1 differ by more than 0"),
        (1e-5, Outcome.FAIL, "; 1 differ by more than 1e-05"),
        (0.01, Outcome.PASS, "; within the tolerance of 0.01"),
    ],
)
def test_a_score_that_has_moved(
    recorded: Baseline, tolerance: float, outcome: Outcome, words: str
) -> None:
    """It is named with its utterance; a tolerance is what the person allows."""
    check = checkpoint_check(recorded, moved(said(recorded), 1e-3), tolerance)
    assert check.outcome is outcome
    assert check.sentence.startswith("0 of 80 utterances are given another class; largest diff")
    assert "0.001, neutral of s2-sadness-16" in check.sentence
    assert check.sentence.endswith(words)
    assert (check.numbers["n_changed"], check.numbers["tolerance"]) == (0, tolerance)


def test_another_answer_fails_at_any_tolerance(recorded: Baseline) -> None:
    """A difference that is small enough to be allowed may still turn an answer."""
    check = checkpoint_check(recorded, moved(said(recorded), 1.5), 2.0)
    assert check.outcome is Outcome.FAIL
    assert check.sentence.startswith("1 of 80 utterances are given another class; ")
    assert (check.numbers["n_changed"], check.numbers["n_beyond"]) == (1, 0)


def test_the_prediction_of_another_seed_is_not_the_same(recorded: Baseline) -> None:
    """A model is held against its own seed."""
    swapped = replace(said(recorded, seed=0), seed=1)
    assert checkpoint_check(recorded, swapped, 0.0).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"corpus": "emodb"}, "the model is of the corpus emodb, the baseline of synth"),
        ({"seed": 7}, "the baseline has no seed 7, which the model is of"),
        ({"fold": "fold9"}, "the baseline has no fold fold9, which the model was tested on"),
        ({"split": "another"}, "split"),
        ({"labels": ("anger", "joy", "neutral", "fear")}, "labels"),
        ({"variant": {"system": "svm"}}, "system"),
    ],
)
def test_what_it_cannot_be_held_against(
    recorded: Baseline, changes: dict[str, object], words: str
) -> None:
    """Each is told."""
    with pytest.raises(NotComparable, match=words):
        checkpoint_check(recorded, replace(said(recorded), **changes), 0.0)


def test_other_utterances(recorded: Baseline) -> None:
    """One fewer than the baseline's fold."""
    held = said(recorded)
    p = held.predictions
    fewer = replace(
        held,
        predictions=Predictions(
            ids=p.ids[1:], speakers=p.speakers[1:], parts=p.parts[1:], truth=p.truth[1:],
            scores=p.scores[1:],
        ),
    )  # fmt: skip
    with pytest.raises(NotComparable, match=r"utterances of the first alone \(1\): s2-sadness-19"):
        checkpoint_check(recorded, fewer, 0.0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers(recorded: Baseline, value: float) -> None:
    """Neither passes nor is a difference."""
    with pytest.raises(BadValue, match="score of s2-sadness-16"):
        checkpoint_check(recorded, moved(said(recorded), value), 0.0)


@pytest.mark.parametrize("tolerance", [-1.0, np.nan, np.inf])
def test_a_tolerance_that_is_none(recorded: Baseline, tolerance: float) -> None:
    """The message names it."""
    with pytest.raises(BadValue, match="tolerance"):
        checkpoint_check(recorded, said(recorded), tolerance)
