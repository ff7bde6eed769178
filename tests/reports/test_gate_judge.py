"""What the gate says of candidates whose difference is known, and its exit codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import gated
import numpy as np
import pytest
from scipy import stats

from serlab.bench.errors import NotComparable
from serlab.bench.metrics.base import evaluate
from serlab.bench.statistics.crossed import crossed_interval
from serlab.reports.gate.baseline import values_of
from serlab.reports.gate.judge import judge, not_comparable
from serlab.reports.gate.records import Check, Outcome, Result
from serlab.reports.gate.tested import Candidate
from serlab.reports.gate.tested import Tested as Answers


def judged(base: Path, *held: Answers, name: str = "ua", margin: float = 0.05) -> Check:
    """The accuracy check of the second half of these against a baseline of the first."""
    half = len(held) // 2
    recorded = gated.baseline(base, *held[:half], name=name, margin=margin)
    return judge(recorded, gated.candidate(*held[half:]))[0]


# --- one corpus ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("least", "outcome", "words"),
    [
        (2, Outcome.PASS, "; a loss of 5 points is ruled out"),
        (3, Outcome.PASS, "; a loss of 5 points is ruled out"),
        (4, Outcome.INCONCLUSIVE, "; a loss of 5 points is neither ruled out nor shown (power "),
        (5, Outcome.INCONCLUSIVE, "; a loss of 5 points is neither ruled out nor shown (power "),
        (6, Outcome.FAIL, "; it has lost more than the margin of 5 points"),
        (9, Outcome.FAIL, "; it has lost more than the margin of 5 points"),
    ],
)
def test_known_differences(tmp_path: Path, least: int, outcome: Outcome, words: str) -> None:
    """The cells are known, and so are the difference, its bounds and the words."""
    wrong = gated.uneven(least)
    check = judged(tmp_path, gated.answers(4), gated.answers(wrong))
    table = (4 - wrong[..., 0]) / gated.PER_CELL
    estimate = crossed_interval(table)
    half = estimate.se * stats.t.isf(0.05, estimate.df)
    numbers = check.numbers
    assert check.outcome is outcome
    assert numbers["difference"] == pytest.approx(table.mean())
    assert numbers["low"] == pytest.approx(table.mean() - half)
    assert numbers["high"] == pytest.approx(table.mean() + half)
    assert (numbers["margin"], numbers["level"], numbers["look"]) == (0.05, 0.95, 1)
    assert (numbers["n_speakers"], numbers["n_seeds"]) == (6, 3)
    assert words in check.sentence
    points = f"{100 * table.mean():+.1f} points".replace("-", "\N{MINUS SIGN}")
    assert check.sentence.startswith(f"UA {points} [")


def test_the_sentence_as_a_whole(tmp_path: Path) -> None:
    """Difference, bounds and margin in points, as a person reads them."""
    check = judged(tmp_path, gated.answers(4), gated.answers(gated.uneven(9)), margin=0.1)
    low, high = (f"−{-100 * check.numbers[key]:.1f}" for key in ("low", "high"))
    assert check.sentence == (
        f"UA −29.2 points [{low}, {high}] against the baseline; "
        "it has lost more than the margin of 10 points"
    )


def test_the_same_predictions_pass_at_any_margin(tmp_path: Path) -> None:
    """They never differ: the bounds are 0, and the power is 1."""
    check = judged(tmp_path, gated.answers(4), gated.answers(4), margin=1e-6)
    assert check.outcome is Outcome.PASS
    numbers = check.numbers
    assert (numbers["low"], numbers["high"], numbers["power"], numbers["df"]) == (0, 0, 1, None)


def test_rows_in_another_order_say_the_same(tmp_path: Path) -> None:
    """Utterances are matched by name, groups and conditions with them."""
    groups = {"sex": ["f", "m"] * 3}
    base, other = (gated.answers(w, groups=groups) for w in (4, gated.uneven(5)))
    recorded = gated.baseline(tmp_path, base, margin=0.05)
    found = [judge(recorded, gated.candidate(one)) for one in (other, gated.shuffled(other))]
    assert len(found[0]) == 8
    for one, moved in zip(*found, strict=True):
        assert (one.name, one.outcome, one.sentence) == (moved.name, moved.outcome, moved.sentence)


def test_a_difference_equal_everywhere_has_no_interval(tmp_path: Path) -> None:
    """It is not comparable, and says why; it is no pass."""
    check = judged(tmp_path, gated.answers(4), gated.answers(5))
    assert check.outcome is Outcome.NOT_COMPARABLE
    assert "no interval: all cells are equal" in check.sentence


# --- other metrics -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "noise", "outcome"),
    [
        ("rmse", 0.3, Outcome.FAIL),
        ("rmse", 0.1, Outcome.PASS),
        ("rmse", 0.2, Outcome.PASS),
        ("ccc", 0.35, Outcome.FAIL),
        ("ccc", 0.1, Outcome.PASS),
        ("ccc", 0.2, Outcome.PASS),
    ],
)
def test_traces_whichever_way_is_better(
    tmp_path: Path, name: str, noise: float, outcome: Outcome
) -> None:
    """More noise is worse, though the RMSE rises and the CCC falls; a loss is below 0."""
    base, other = gated.traces(0.2), gated.traces(noise, start=1)
    check = judged(tmp_path, base, other, name=name)
    gain = np.mean(values_of(other, name)) - np.mean(values_of(base, name))
    assert check.outcome is outcome
    sign = -1 if name == "rmse" else 1
    assert check.numbers["difference"] == pytest.approx(sign * gain, abs=1e-6)
    assert (check.numbers["difference"] < -0.05) == (outcome is Outcome.FAIL)
    assert "points" not in check.sentence


def test_calibration_that_has_got_worse_fails(tmp_path: Path) -> None:
    """ECE: the same answers, said with a certainty that they do not deserve."""
    base = gated.answers((4 + np.arange(6) % 2)[:, None, None])
    mild = replace(base.predictions, scores=0.7 * base.predictions.scores + np.float32(0.075))
    modest = replace(base, predictions=mild)
    assert judged(tmp_path / "worse", modest, base, name="ece").outcome is Outcome.FAIL
    better = judged(tmp_path / "better", base, modest, name="ece")
    assert better.outcome is Outcome.PASS
    truth = base.predictions.truth
    means = [
        np.mean([evaluate("ece", truth, scores) for scores in one.predictions.scores])
        for one in (base, modest)
    ]
    assert better.numbers["difference"] == pytest.approx(means[0] - means[1])


# --- several corpora -----------------------------------------------------------------------


def test_two_corpora_are_averaged(tmp_path: Path) -> None:
    """Errors of independent corpora add up in squares; degrees of freedom are Satterthwaite's."""
    wrong = gated.uneven(4), gated.uneven(6, 8)
    base = gated.answers(4), gated.answers(4, n_speakers=8, corpus="other")
    other = gated.answers(wrong[0]), gated.answers(wrong[1], n_speakers=8, corpus="other")
    check = judged(tmp_path, *base, *other)
    parts = [crossed_interval((4 - w[..., 0]) / gated.PER_CELL) for w in wrong]
    se = np.hypot(parts[0].se, parts[1].se) / 2
    df = se**4 / sum((p.se / 2) ** 4 / p.df for p in parts)
    mean = (parts[0].mean + parts[1].mean) / 2
    numbers = check.numbers
    assert numbers["difference"] == pytest.approx(mean)
    assert numbers["low"] == pytest.approx(mean - se * stats.t.isf(0.05, df))
    assert (numbers["n_speakers"], numbers["n_seeds"]) == (14, 3)


def test_a_corpus_in_one_of_the_two_only(tmp_path: Path) -> None:
    """It is named, and nothing is judged."""
    recorded = gated.baseline(tmp_path, gated.answers(4), gated.answers(4, corpus="other"))
    checks = judge(recorded, gated.candidate(gated.answers(4)))
    assert [c.outcome for c in checks] == [Outcome.NOT_COMPARABLE]
    assert "the corpora differ: other in one of the two only" in checks[0].sentence


# --- the extension -------------------------------------------------------------------------

SIX = (0, 1, 2, 3, 4, 5)


def extended(path: Path, first: int, later: int) -> tuple[Sequence[Check], list[Sequence[int]]]:
    """A candidate whose later seeds are otherwise; and what seeds were asked for."""
    table = np.concatenate([gated.uneven(first), gated.uneven(later)], axis=1)
    recorded = gated.baseline(path, gated.answers(4, seeds=SIX), extension=(3, 4, 5))
    whole = gated.answers(table, seeds=SIX)
    half = replace(
        whole,
        predictions=replace(whole.predictions, seeds=SIX[:3], scores=whole.predictions.scores[:3]),
    )
    asked: list[Sequence[int]] = []

    def extend(seeds: Sequence[int]) -> Candidate:
        asked.append(seeds)
        return gated.candidate(whole)

    return judge(recorded, gated.candidate(half), extend), asked


@pytest.mark.parametrize(
    ("first", "later", "outcome"),
    [(3, 3, Outcome.PASS), (5, 6, Outcome.FAIL), (3, 6, Outcome.INCONCLUSIVE)],
)
def test_an_inconclusive_look_is_followed_by_another(
    tmp_path: Path, first: int, later: int, outcome: Outcome
) -> None:
    """Once, with all seeds, and half of the error at each look."""
    checks, asked = extended(tmp_path, first, later)
    assert asked == [(3, 4, 5)]
    assert checks[0].outcome is outcome
    assert checks[0].numbers["look"] == 2
    assert checks[0].numbers["n_seeds"] == 6
    assert checks[0].numbers["level"] == 0.975
    table = 4 - np.concatenate([gated.uneven(first), gated.uneven(later)], axis=1)[..., 0]
    estimate = crossed_interval(table / gated.PER_CELL)
    low = estimate.mean - estimate.se * stats.t.isf(0.025, estimate.df)
    assert checks[0].numbers["low"] == pytest.approx(low)


@pytest.mark.parametrize(("first", "outcome"), [(1, Outcome.PASS), (9, Outcome.FAIL)])
def test_a_look_that_is_conclusive_is_the_only_one(
    tmp_path: Path, first: int, outcome: Outcome
) -> None:
    """At half of the error all the same: the second look was planned for."""
    checks, asked = extended(tmp_path, first, 9)
    assert not asked
    assert (checks[0].outcome, checks[0].numbers["look"]) == (outcome, 1)
    assert checks[0].numbers["level"] == 0.975


def test_a_run_without_the_extension_stays_inconclusive(tmp_path: Path) -> None:
    """Nothing can be trained for it; with the seeds at hand, they are looked at."""
    recorded = gated.baseline(tmp_path, gated.answers(4, seeds=SIX), extension=(3, 4, 5))
    (check, *_) = judge(recorded, gated.candidate(gated.answers(gated.uneven(3))))
    assert (check.outcome, check.numbers["look"]) == (Outcome.INCONCLUSIVE, 1)
    both = np.concatenate([gated.uneven(3), gated.uneven(3)], axis=1)
    (check, *_) = judge(recorded, gated.candidate(gated.answers(both, seeds=SIX)))
    assert (check.outcome, check.numbers["look"]) == (Outcome.PASS, 2)


@pytest.mark.parametrize(
    ("lost", "outcome"),
    [({"diverged": 1}, Outcome.FAIL), ({"failed": 2}, Outcome.NOT_COMPARABLE)],
)
def test_an_extension_that_loses_trainings(
    tmp_path: Path, lost: dict[str, int], outcome: Outcome
) -> None:
    """It counts as at the first look."""
    recorded = gated.baseline(tmp_path, gated.answers(4, seeds=SIX), extension=(3, 4, 5))
    held = gated.candidate(gated.answers(gated.uneven(4)))
    (check,) = judge(recorded, held, lambda seeds: Candidate(name="mine", tested={}, lost=lost))
    assert check.outcome is outcome
    assert "trainings of the candidate without a result" in check.sentence


def test_seeds_that_the_baseline_lacks_are_ignored(tmp_path: Path) -> None:
    """Whatever they would say, under audio conditions too."""
    base = gated.answers(4)
    bright = replace(base, conditions={"noise": base.predictions.scores})
    recorded = gated.baseline(tmp_path, bright)
    whole = gated.answers(np.concatenate([gated.uneven(2), gated.uneven(18)], axis=1), seeds=SIX)
    spoilt = whole.predictions.scores.copy()
    spoilt[3:] = np.roll(spoilt[3:], 1, axis=-1)
    checks = judge(recorded, gated.candidate(replace(whole, conditions={"noise": spoilt})))
    assert [c.outcome for c in checks] == [Outcome.PASS] * 6
    assert checks[1].numbers["unchanged"] == 1.0


# --- what cannot be compared ---------------------------------------------------------------


def other(base: Answers, **changes: object) -> Answers:
    """A candidate whose predictions have other facts."""
    return replace(base, predictions=replace(base.predictions, **changes))


def renamed(base: Answers) -> Answers:
    """One utterance is called otherwise."""
    return other(base, ids=("stranger", *base.predictions.ids[1:]))


def relabelled(base: Answers) -> Answers:
    """One utterance has another truth."""
    return other(base, truth=np.concatenate([[3], base.predictions.truth[1:]]))


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (other(gated.answers(4), split="another"), "its split: another; the baseline's: 5p117"),
        (replace(gated.answers(4), data="new"), "its hash of utterances and labels: new"),
        (
            other(gated.answers(4), labels=("anger", "fear", "neutral", "sadness")),
            "its classes: anger, fear, neutral, sadness; the baseline's: anger, joy",
        ),
        (gated.answers(4, seeds=(0, 1, 3)), "it lacks the seeds 2 of the baseline"),
        (gated.answers(4, n_speakers=5), "80 of 480 utterances are in one only, such as s5-"),
        (renamed(gated.answers(4)), "2 of 481 utterances are in one only, such as s0-anger-00"),
        (relabelled(gated.answers(4)), 'utterance "s0-anger-00" has another truth in each'),
        (
            other(gated.answers(4), speakers=("s1", *gated.answers(4).predictions.speakers[1:])),
            'utterance "s0-anger-00" has another speaker in each',
        ),
    ],
)
def test_what_was_measured_otherwise(tmp_path: Path, held: Answers, words: str) -> None:
    """Each is told in one sentence, and nothing else is judged."""
    (check,) = judge(gated.baseline(tmp_path, gated.answers(4)), gated.candidate(held))
    assert check.outcome is Outcome.NOT_COMPARABLE
    assert check.sentence.startswith("mine: ")
    assert words in check.sentence


def test_another_metric(tmp_path: Path) -> None:
    """A run under another metric is not the same study."""
    recorded = gated.baseline(tmp_path, gated.answers(4))
    (check,) = judge(recorded, gated.candidate(gated.answers(4), metric="wa"))
    assert check.sentence == "mine: its metric is wa, and the baseline's is ua"


def test_an_undefined_metric_is_not_comparable(tmp_path: Path) -> None:
    """Constant predictions have no PCC."""
    flat = gated.traces(0.2)
    flat = other(flat, scores=np.zeros_like(flat.predictions.scores))
    check = judged(tmp_path, gated.traces(0.2), flat, name="pcc")
    assert check.outcome is Outcome.NOT_COMPARABLE
    assert "pcc = nan" in check.sentence


@pytest.mark.parametrize(
    ("lost", "outcome"),
    [
        ({"failed": 1}, Outcome.NOT_COMPARABLE),
        ({"pruned": 3}, Outcome.NOT_COMPARABLE),
        ({"diverged": 1}, Outcome.FAIL),
        ({"failed": 4, "diverged": 1}, Outcome.FAIL),
    ],
)
def test_trainings_without_a_result(tmp_path: Path, lost: dict[str, int], outcome: Outcome) -> None:
    """A divergence is a regression; what failed tells nothing."""
    recorded = gated.baseline(tmp_path, gated.answers(4))
    (check,) = judge(recorded, Candidate(name="mine", tested={}, lost=lost))
    assert check.outcome is outcome
    assert all(f"{n} {status}" in check.sentence for status, n in lost.items())


# --- exit codes ----------------------------------------------------------------------------


def result(*outcomes: Outcome, policy: str = "fail") -> Result:
    """A result whose checks ended so."""
    checks = (Check(name="x", kind="accuracy", outcome=o, sentence=o.value) for o in outcomes)
    return Result(
        command="check", baseline="b", candidate="c", study="s", arm="base", metric="ua",
        margin=0.02, checks=tuple(checks), inconclusive=policy,
    )  # fmt: skip


def test_the_worst_outcome_is_the_exit_code() -> None:
    """A regression, then what cannot be compared, then what is inconclusive; slices never."""
    fail, unlike, unclear = Outcome.FAIL, Outcome.NOT_COMPARABLE, Outcome.INCONCLUSIVE
    assert result(Outcome.PASS, unclear, unlike, fail).exit_code == 1
    assert result(unclear, unlike).exit_code == 4
    assert result(Outcome.PASS, unclear).exit_code == 3
    assert result(Outcome.PASS, Outcome.WARN, Outcome.NOT_JUDGED).exit_code == 0
    assert result(Outcome.WARN).sentence == "WARN: x: warn"


def test_a_policy_lets_only_the_inconclusive_through() -> None:
    """Anything worse keeps its code."""
    assert result(Outcome.INCONCLUSIVE, policy="warn").exit_code == 0
    assert result(Outcome.INCONCLUSIVE, Outcome.NOT_COMPARABLE, policy="warn").exit_code == 4
    assert result(Outcome.INCONCLUSIVE, Outcome.FAIL, policy="warn").exit_code == 1


def test_errors_of_an_extension_are_not_swallowed(tmp_path: Path) -> None:
    """They reach the caller, who tells them."""
    recorded = gated.baseline(tmp_path, gated.answers(4, seeds=SIX), extension=(3, 4, 5))

    def extend(seeds: Sequence[int]) -> Candidate:
        raise NotComparable("no seed has all its folds completed")

    with pytest.raises(NotComparable, match="no seed"):
        judge(recorded, gated.candidate(gated.answers(gated.uneven(4))), extend)
    assert not_comparable("x").outcome is Outcome.NOT_COMPARABLE
