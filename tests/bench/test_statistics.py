"""What speakers add to a metric, differences of two arms, and several comparisons together."""

from __future__ import annotations

import doctest
import importlib
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serlab.bench.errors import BadValue, NotComparable, UnknownName
from serlab.bench.metrics.base import METRICS, evaluate, metric
from serlab.bench.statistics.cells import Undefined, cells, recall_cells
from serlab.bench.statistics.crossed import crossed_interval, variance_of_mean
from serlab.bench.statistics.differences import (
    bootstrap_t,
    difference,
    dimension_estimates,
    fold_spread,
    holm,
    level_estimate,
)
from serlab.bench.statistics.records import ArmPredictions, Estimate


def predictions(
    seed: int = 0,
    *,
    skill: float = 1.0,
    numbers: tuple[tuple[int, ...], ...] = ((6, 4, 2), (5, 3, 1), (8, 2, 4), (3, 3, 3)),
    n_seeds: int = 3,
) -> ArmPredictions:
    """Random scores of speakers with so many utterances (speaker, class)."""
    rng = np.random.default_rng(seed)
    speakers, truth = [], []
    for s, counts in enumerate(numbers):
        for c, n in enumerate(counts):
            speakers += [f"s{s}"] * n
            truth += [c] * n
    n_classes = len(numbers[0])
    logits = (
        rng.standard_normal((n_seeds, len(truth), n_classes)) + skill * np.eye(n_classes)[truth]
    )
    scores = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    return ArmPredictions(
        seeds=tuple(range(n_seeds)),
        ids=tuple(f"u{i}" for i in range(len(truth))),
        speakers=tuple(speakers),
        truth=np.array(truth),
        scores=scores,
    )


def traces(seed: int = 0) -> ArmPredictions:
    """A continuous truth and two seeds' noisy predictions of it, of three speakers."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(60)
    return ArmPredictions(
        seeds=(0, 1),
        ids=tuple(map(str, range(60))),
        speakers=tuple(f"s{i % 3}" for i in range(60)),
        truth=truth,
        scores=truth + rng.standard_normal((2, 60)),
    )


def frames(seed: int = 0, *, n_speakers: int = 5, n_seeds: int = 2) -> ArmPredictions:
    """Frames of three dimensions, speakers of unequal length and level, in mixed order."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(3, 20, size=2 * n_speakers)
    owner = np.repeat(np.arange(2 * n_speakers), lengths)
    count = np.concatenate([np.arange(n) for n in lengths])
    truth = rng.standard_normal((len(owner), 3)) + rng.standard_normal((2 * n_speakers, 3))[owner]
    noise = rng.standard_normal((n_seeds, *truth.shape))
    order = rng.permutation(len(owner))
    return ArmPredictions(
        seeds=tuple(range(n_seeds)),
        ids=tuple(f"u{i}" for i in owner[order]),
        frames=count[order],
        speakers=tuple(f"s{i // 2}" for i in owner[order]),
        truth=truth[order].astype(np.float32),
        scores=(0.6 * truth + 5.0 + noise)[:, order].astype(np.float32),
        labels=("arousal", "valence", "liking"),
    )


# --- cells ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ua", "wa", "macro_f1", "ece"])
def test_the_mean_of_a_seeds_cells_is_the_metric(name: str) -> None:
    """Averaged over speakers the table gives each seed's value exactly."""
    arm = predictions()
    expected = [evaluate(name, arm.truth, scores) for scores in arm.scores]
    np.testing.assert_allclose(cells(arm, name).values.mean(axis=0), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["ccc", "pcc", "rmse"])
def test_continuous_cells_have_the_metric_as_their_mean(name: str) -> None:
    """The same holds of continuous labels."""
    arm = traces()
    expected = [evaluate(name, arm.truth, scores) for scores in arm.scores]
    np.testing.assert_allclose(cells(arm, name).values.mean(axis=0), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["ccc", "pcc", "rmse"])
def test_cells_by_moments_are_the_plain_jackknife(name: str) -> None:
    """To leave a speaker out of the moments is to leave its samples out of the metric."""
    arm = frames()
    held, n = np.array(arm.speakers), len(set(arm.speakers))
    expected = np.zeros((n, len(arm.seeds)))
    for r, scores in enumerate(arm.scores):
        rest = [held != f"s{s}" for s in range(n)]
        without = np.array([evaluate(name, arm.truth[k], scores[k]) for k in rest])
        expected[:, r] = evaluate(name, arm.truth, scores) + (n - 1) * (without.mean() - without)
    np.testing.assert_allclose(cells(arm, name).values, expected, atol=1e-9)


@pytest.mark.parametrize("name", ["ccc", "pcc", "rmse"])
def test_cells_of_several_dimensions_are_the_mean_of_theirs(name: str) -> None:
    """Each dimension has a table of its own, and the arm's is their mean."""
    arm = frames()
    alone = [cells(arm.dimension(d), name).values for d in range(3)]
    np.testing.assert_allclose(cells(arm, name).values, np.mean(alone, axis=0), atol=1e-12)
    means = [e.mean for e in dimension_estimates(arm, metric=name) if isinstance(e, Estimate)]
    assert np.mean(means) == pytest.approx(level_estimate(arm, metric=name).mean)


@pytest.mark.parametrize("level", [1e4, 1e-4])
def test_moments_keep_what_a_large_level_would_drown(level: float) -> None:
    """Small movements about a large mean, and large ones about a small mean, are the same."""
    arm = frames()
    one = replace(arm, truth=arm.truth.astype(float), scores=arm.scores.astype(float))
    moved = replace(one, truth=one.truth + level, scores=one.scores + level)
    np.testing.assert_allclose(cells(moved, "ccc").values, cells(one, "ccc").values, atol=1e-9)


def test_an_undefined_dimension_is_told_and_the_others_stand() -> None:
    """A constant prediction of one dimension has no PCC there, and so none in the mean."""
    arm = frames()
    scores = arm.scores.copy()
    scores[:, :, 1] = 0.1
    found = dimension_estimates(replace(arm, scores=scores), metric="pcc")
    assert [type(one) for one in found] == [Estimate, Undefined, Estimate]
    with pytest.raises(Undefined, match="pcc = nan: expected predictions for which"):
        cells(replace(arm, scores=scores), "pcc")


def test_cells_of_many_frames_have_the_metric_as_their_mean() -> None:
    """Many frames of many speakers have the metric as their mean, whatever their order."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((200_000, 3)).cumsum(axis=0).astype(np.float32)
    scores = truth[None] + rng.standard_normal((1, *truth.shape)).astype(np.float32)
    owner = rng.integers(64, size=len(truth))
    arm = ArmPredictions(
        seeds=(0,),
        ids=tuple(f"r{i}" for i in owner),
        frames=np.arange(len(truth)),
        speakers=tuple(f"r{i}" for i in owner),
        truth=truth,
        scores=scores,
    )
    expected = evaluate("ccc", truth, scores[0])
    assert cells(arm, "ccc").values.mean() == pytest.approx(expected, abs=1e-12)


def test_influence_is_the_jackknife_where_speakers_are_alike() -> None:
    """With the same numbers of utterances both ways to the cells of UA agree."""
    arm = predictions(numbers=((4, 2, 3),) * 5)
    theta = [evaluate("ua", arm.truth, scores) for scores in arm.scores]
    held = np.array(arm.speakers)
    values = np.zeros((5, 3))
    for s in range(5):
        for r, scores in enumerate(arm.scores):
            rest = held != f"s{s}"
            without = evaluate("ua", arm.truth[rest], scores[rest])
            values[s, r] = 5 * theta[r] - 4 * without
    np.testing.assert_allclose(cells(arm, "ua").values, values, atol=1e-12)


def test_wa_of_equally_long_speakers_is_each_speakers_accuracy() -> None:
    """Then nothing has to be corrected, and a cell is what its speaker reaches."""
    arm = predictions(numbers=((5, 3), (2, 6), (4, 4)))
    right = arm.scores.argmax(axis=2) == arm.truth
    held = np.array(arm.speakers)
    expected = [[right[r][held == s].mean() for r in range(3)] for s in ("s0", "s1", "s2")]
    np.testing.assert_allclose(cells(arm, "wa").values, expected, atol=1e-12)


def test_cells_of_unequal_speakers_have_the_variance_cr2_gives() -> None:
    """V_speaker is the sum of corrected squared terms, centred, by hand for one class."""
    hits, numbers = np.array([[[3]], [[1]], [[2]]]), np.array([[4], [5], [3]])
    recall, share = 6 / 12, numbers[:, 0] / 12
    left = 1 - 2 * share + (share**2).sum()
    terms = (hits[:, 0, 0] - recall * numbers[:, 0]) / 12 / np.sqrt(left)
    expected = ((terms - terms.mean()) ** 2).sum()
    variance, df = variance_of_mean(recall_cells(hits, numbers))
    assert variance == pytest.approx(expected)
    assert df == 2


def test_a_class_of_one_speaker_is_noted() -> None:
    """Its spread over speakers is unknown; the estimate says so and is finite."""
    found = level_estimate(predictions(numbers=((4, 2), (4, 0), (4, 0))), metric="ua")
    assert "class 1 of one speaker only" in found.note
    assert found.estimable
    named = replace(predictions(numbers=((4, 2), (4, 0), (4, 0))), labels=("calm", "fear"))
    assert '"fear"' in cells(named, "ua").note


def test_a_class_that_nobody_says_is_dropped() -> None:
    """UA's cells are over the classes that occur."""
    arm = predictions(numbers=((4, 0, 2), (4, 0, 3)))
    expected = [evaluate("ua", arm.truth, scores) for scores in arm.scores]
    np.testing.assert_allclose(cells(arm, "ua").values.mean(axis=0), expected, atol=1e-12)


@pytest.mark.parametrize("name", ["ua", "wa", "macro_f1"])
def test_one_speaker_has_a_value_and_no_interval(name: str) -> None:
    """A corpus of one speaker is measured, and nothing is claimed of others."""
    arm = predictions(numbers=((6, 4, 2),))
    found = level_estimate(arm, metric=name)
    expected = np.mean([evaluate(name, arm.truth, scores) for scores in arm.scores])
    assert found.mean == pytest.approx(expected)
    assert not found.estimable
    assert "one speaker" in found.note


def test_a_metric_undefined_without_a_speaker_is_refused() -> None:
    """PCC of what is constant but for one speaker names that speaker."""
    arm = traces()
    truth = np.where(np.array(arm.speakers) == "s1", arm.truth, 0.0)
    with pytest.raises(BadValue, match='without speaker "s1"'):
        cells(replace(arm, truth=truth), "pcc")
    with pytest.raises(BadValue, match="constant"):
        cells(replace(arm, truth=np.zeros(60)), "pcc")


# --- differences ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ua", "wa", "macro_f1", "ece"])
def test_a_difference_is_the_arms_value_above_the_bases(name: str) -> None:
    """Its mean is the difference of the two means over seeds, and it turns with the sides."""
    base, arm = predictions(0), predictions(1, skill=2.0)
    there, back = difference(base, arm, metric=name), difference(arm, base, metric=name)
    levels = [level_estimate(one, metric=name).mean for one in (base, arm)]
    assert there.mean == pytest.approx(levels[1] - levels[0])
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert (there.n_speakers, there.n_seeds) == (4, 3)


def test_a_difference_of_traces() -> None:
    """Continuous labels pair in the same way."""
    base = traces()
    found = difference(base, replace(base, scores=0.5 * (base.scores + base.truth)), metric="rmse")
    assert found.mean < 0
    assert found.estimable


def test_frames_pair_whatever_their_order() -> None:
    """An arm whose frames come in another order does not differ from itself."""
    base = frames()
    order = np.random.default_rng(1).permutation(len(base.ids))
    arm = replace(
        base,
        ids=tuple(base.ids[i] for i in order),
        frames=base.frames[order],
        speakers=tuple(base.speakers[i] for i in order),
        truth=base.truth[order],
        scores=base.scores[:, order],
    )
    found = difference(base, arm, metric="ccc")
    assert (found.mean, found.p) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"frames": a.frames + 1}, "an utterance has other frames in each"),
        (lambda a: {"truth": a.truth + (a.frames == 2)[:, None]}, "has another truth"),
        (lambda a: {"labels": ("valence", "arousal", "liking")}, "unlike classes"),
    ],
)
def test_unlike_frames_are_not_compared(
    change: Callable[[ArmPredictions], dict], words: str
) -> None:
    """The error says what differs."""
    base = frames()
    with pytest.raises(NotComparable, match=words):
        difference(base, replace(base, **change(base)), metric="ccc")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: {"frames": a.frames * 0}, r"predictions.ids = 'u\d@0': .* frame .* once"),
        (lambda a: {"frames": a.frames[:3]}, "predictions.frames"),
        (lambda a: {"truth": a.truth[:, :2]}, "predictions.scores"),
        (lambda a: {"truth": a.truth[:, :, None]}, "predictions.truth"),
        (lambda a: {"labels": ("arousal",)}, "1 dimensions, as there are labels"),
    ],
)
def test_frames_that_do_not_fit_are_refused(
    change: Callable[[ArmPredictions], dict], words: str
) -> None:
    """Frames told twice and unlike shapes are found where the record is made."""
    arm = frames()
    with pytest.raises(BadValue, match=words):
        replace(arm, **change(arm))


def test_pairing_narrows_the_interval() -> None:
    """Arms that err on the same utterances are told apart better than their levels."""
    rng = np.random.default_rng(0)
    numbers = tuple((int(n), 10) for n in rng.integers(5, 20, size=8))
    base = predictions(0, numbers=numbers)
    arm = replace(base, scores=base.scores + 0.02 * rng.standard_normal(base.scores.shape))
    assert difference(base, arm, metric="ua").se < level_estimate(base, metric="ua").se


def test_an_arm_does_not_differ_from_itself() -> None:
    """Utterances in another order are the same utterances."""
    base = predictions()
    order = np.random.default_rng(0).permutation(len(base.ids))
    arm = ArmPredictions(
        seeds=base.seeds,
        ids=tuple(base.ids[i] for i in order),
        speakers=tuple(base.speakers[i] for i in order),
        truth=base.truth[order],
        scores=base.scores[:, order],
    )
    found = difference(base, arm, metric="ua")
    assert (found.mean, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)
    assert "the two never differ" in found.note


def test_seeds_of_one_side_are_left_out_and_named() -> None:
    """Only common seeds pair, whatever their order."""
    base = predictions()
    arm = replace(predictions(1), seeds=(2, 7, 1))
    found = difference(base, arm, metric="ua")
    assert found.n_seeds == 2
    assert "seeds 0, 7 of one of the two only" in found.note
    same = replace(arm, seeds=(1, 2), scores=arm.scores[[2, 0]])
    rows = replace(base, seeds=(1, 2), scores=base.scores[1:])
    assert difference(rows, same, metric="ua").low == pytest.approx(found.low)


def with_other(key: str) -> ArmPredictions:
    base = predictions()
    changes: dict[str, dict] = {
        "split": {"split": "b"},
        "labels": {"labels": ("anger", "joy", "calm")},
        "classes": {"scores": base.scores[:, :, [0, 1, 2, 2]]},
        "ids": {"ids": ("x", *base.ids[1:])},
        "seeds": {"seeds": (7, 8, 9)},
        "truth": {"truth": np.append(base.truth[:-1], 0)},
        "speakers": {"speakers": ("s3", *base.speakers[1:])},
    }
    return replace(base, **changes[key])


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("split", "unlike folds: split a and b"),
        ("labels", "unlike classes"),
        ("classes", "unlike numbers of classes"),
        ("ids", "2 of 45 utterances are in one only, such as u0, x"),
        ("seeds", "no common seed"),
        ("truth", 'utterance "u43" has another truth'),
        ("speakers", 'utterance "u0" has another speaker'),
    ],
)
def test_unlike_arms_are_not_compared(key: str, words: str) -> None:
    """The error says what differs."""
    base = predictions()
    if key != "classes":
        base = replace(base, split="a", labels=("joy", "anger", "calm"))
    with pytest.raises(NotComparable, match=words):
        difference(base, with_other(key), metric="ua")


def test_an_unknown_metric_is_an_error() -> None:
    """Before anything is counted."""
    with pytest.raises(UnknownName, match='did you mean "ua"'):
        level_estimate(predictions(), metric="uar")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ids": ("u1", *(f"u{i}" for i in range(1, 44)))}, "'u1': expected it once"),
        ({"seeds": (0, 0, 1)}, "predictions.seeds = 0"),
        ({"seeds": ()}, "some of each"),
        ({"seeds": (0, 1)}, "predictions.scores"),
        ({"speakers": ("s0",)}, "predictions.speakers"),
        ({"truth": np.zeros(3, int)}, "predictions.truth"),
        ({"scores": np.zeros((3, 44, 3, 1))}, "predictions.scores"),
        ({"labels": ("a", "b")}, "2 classes"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(change: dict, words: str) -> None:
    """Duplicates and unlike lengths are found where the record is made."""
    with pytest.raises(BadValue, match=words):
        replace(predictions(), **change)


def test_nan_scores_are_refused() -> None:
    """No seed's NaN reads as a prediction."""
    arm = predictions()
    scores = arm.scores.copy()
    scores[1, 2, 0] = np.nan
    with pytest.raises(BadValue, match="scores"):
        level_estimate(replace(arm, scores=scores), metric="ua")


# --- several comparisons, cross-checks -----------------------------------------------------


def test_holm_by_hand() -> None:
    """The smallest p times their number, the next times one less, never falling."""
    assert holm([0.04, 0.01, 0.02, 0.9]) == pytest.approx([0.08, 0.04, 0.06, 0.9])
    assert holm([]) == ()


def test_holm_beside_statsmodels() -> None:
    """The same bits, equal values and values that reach 1 among them."""
    from statsmodels.stats.multitest import multipletests

    for decimals in (1, 8):
        p_values = np.random.default_rng(0).random(60).round(decimals).tolist()
        assert holm(p_values) == tuple(multipletests(p_values, method="holm")[1].tolist())


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p(p_values: list[float]) -> None:
    """Each is at least itself and at most 1; the smallest has its Bonferroni value."""
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p - 1e-12 <= adjusted <= 1.0
    least = int(np.argmin(p_values))
    assert holm(p_values)[least] == pytest.approx(min(1.0, p_values[least] * len(p_values)))


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_holm_refuses_what_is_no_p(p: float) -> None:
    """A p that could not be had is not adjusted."""
    with pytest.raises(BadValue, match=r"p_values\[1\]"):
        holm([0.5, p])


def test_bootstrap_t_agrees_with_the_t_interval() -> None:
    """Over many speakers and one seed the two are close; the draws repeat with the generator."""
    values = np.random.default_rng(3).standard_normal((60, 1)) + 0.3
    found = bootstrap_t(values, np.random.default_rng(0))
    crossed = crossed_interval(values)
    width = crossed.high - crossed.low
    assert abs(found.low - crossed.low) < 0.15 * width
    assert abs(found.high - crossed.high) < 0.15 * width
    assert bootstrap_t(values, np.random.default_rng(0)) == found


def test_bootstrap_t_of_few_speakers_has_no_flat_draw() -> None:
    """With two speakers half of the draws are of one alone; all bounds stay finite."""
    found = bootstrap_t(np.array([[0.1, 0.2], [0.3, 0.5]]), np.random.default_rng(0))
    assert np.isfinite([found.low, found.high]).all()
    assert "seeds" in found.note


@pytest.mark.parametrize("values", [np.ones((1, 3)), np.ones((4, 3))])
def test_bootstrap_t_needs_speakers_that_differ(values: np.ndarray) -> None:
    """One speaker, or speakers all alike, have no t."""
    with pytest.raises(BadValue, match="two speakers or more"):
        bootstrap_t(values, np.random.default_rng(0))


def test_the_spread_over_folds() -> None:
    """Mean and n - 1 deviation; one fold has none."""
    found = fold_spread([0.5, 0.7, 0.9])
    assert (found.mean, found.sd, found.n) == (pytest.approx(0.7), pytest.approx(0.2), 3)
    assert math.isnan(fold_spread([0.5]).sd)
    for wrong in ([], [0.5, math.nan]):
        with pytest.raises(BadValue, match="values"):
            fold_spread(wrong)


@pytest.mark.parametrize("name", ["cells", "crossed", "differences", "power", "records"])
def test_the_examples_of_the_docstrings_hold(name: str) -> None:
    """Doctests run and pass."""
    result = doctest.testmod(importlib.import_module(f"serlab.bench.statistics.{name}"))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_metric_has_cells() -> None:
    """A metric that is registered can be compared."""
    for name in METRICS.entries():
        arm = predictions() if metric(name).task == "categorical" else traces()
        assert np.isfinite(cells(arm, name).values).all()
