"""Effects of a full factorial: weights by hand, sums that are exact, simulated errors."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from serlab.bench.errors import BadValue, NotComparable
from serlab.bench.statistics.crossed import crossed_interval, variance_of_mean
from serlab.bench.statistics.differences import difference, level_estimate
from serlab.bench.statistics.factorial import (
    Changes,
    Factorial,
    contrast,
    factorial,
    interactions,
    ladder,
    main_effects,
    product_weights,
    shapley_values,
    shapley_weights,
    total,
)
from serlab.bench.statistics.records import ArmPredictions

ABC = ("a", "b", "c")


def sets(names: tuple[str, ...]) -> list[Changes]:
    return [Changes(one) for n in range(len(names) + 1) for one in combinations(names, n)]


def arm(skill: float, seed: int, *, seeds: tuple[int, ...] = (0, 1, 2)) -> ArmPredictions:
    """Random scores of five speakers with eight utterances of each of three classes."""
    rng = np.random.default_rng(seed)
    truth = np.tile(np.repeat(np.arange(3), 8), 5)
    scores = rng.standard_normal((len(seeds), len(truth), 3)) + skill * np.eye(3)[truth]
    return ArmPredictions(
        seeds=seeds,
        ids=tuple(f"u{i}" for i in range(len(truth))),
        speakers=tuple(f"s{i // 24}" for i in range(len(truth))),
        truth=truth,
        scores=scores,
    )


def arms_of(names: tuple[str, ...]) -> dict[Changes, ArmPredictions]:
    return {one: arm(1.0 + 0.4 * len(one), i) for i, one in enumerate(sets(names))}


def made(
    value: Callable[[Changes], float], *, names: tuple[str, ...] = ABC, noise: float = 0.0
) -> Factorial:
    """Tables with known means."""
    rng = np.random.default_rng(0)
    tables = {one: value(one) + noise * rng.standard_normal((4, 3)) for one in sets(names)}
    return Factorial(changes=names, tables=tables)


# --- contrasts -----------------------------------------------------------------------------


def test_a_contrast_of_two_arms_is_their_difference() -> None:
    """Weights -1 and 1, the same interval."""
    first, second = arm(1.0, 0), arm(2.0, 1)
    found = contrast([first, second], [-1, 1], metric="ua")
    assert found == difference(first, second, metric="ua")


def test_a_contrast_is_the_weighted_sum_of_the_metrics() -> None:
    """Of any weights, and whatever the order of an arm's rows."""
    held = [arm(1.0, 0), arm(2.0, 1), arm(0.5, 2)]
    found = contrast(held, [0.5, 0.25, -1], metric="ua", level=0.9)
    values = [level_estimate(one, metric="ua").mean for one in held]
    assert found.mean == pytest.approx(0.5 * values[0] + 0.25 * values[1] - values[2])
    assert found.level == 0.9


def test_seeds_that_some_arms_lack_are_left_out_and_named() -> None:
    """The sum is over what all have."""
    held = [arm(1.0, 0), arm(2.0, 1), arm(0.5, 2, seeds=(1, 2, 5))]
    found = contrast(held, [1, 1, -2], metric="ua")
    assert found.n_seeds == 2
    assert "seeds 0, 5 that some arms lack, left out" in found.note


def test_what_does_not_fit_is_refused() -> None:
    """Weights that are none, arms of other seeds."""
    with pytest.raises(BadValue, match="weights"):
        contrast([arm(1.0, 0), arm(1.0, 1)], [1.0], metric="ua")
    with pytest.raises(BadValue, match="weights"):
        contrast([arm(1.0, 0), arm(1.0, 1)], [1.0, float("nan")], metric="ua")
    with pytest.raises(NotComparable, match="no common seed"):
        contrast([arm(1.0, 0), arm(1.0, 1, seeds=(7, 8))], [1, -1], metric="ua")


# --- effects -------------------------------------------------------------------------------


def test_main_effects_and_interactions_are_those_of_the_truth() -> None:
    """By hand: a is worth 2, b 3, both together 5 more, c nothing."""
    held = made(lambda one: 2.0 * ("a" in one) + 3 * ("b" in one) + 5 * ({"a", "b"} <= one))
    mains = {one.changes: one.estimate.mean for one in main_effects(held)}
    assert mains == pytest.approx({("a",): 4.5, ("b",): 5.5, ("c",): 0.0})
    pairs = {one.changes: one.estimate.mean for one in interactions(held)}
    assert pairs == pytest.approx({("a", "b"): 5.0, ("a", "c"): 0.0, ("b", "c"): 0.0})
    values = {one.changes[0]: one.estimate.mean for one in shapley_values(held)}
    assert values == pytest.approx({"a": 4.5, "b": 5.5, "c": 0.0})


def test_shapley_weights_are_the_mean_over_orders() -> None:
    """The definition itself: what a change adds, over all orders of the four."""
    names = ("a", "b", "c", "d")
    worth = dict(zip(sets(names), np.random.default_rng(1).standard_normal(16), strict=True))
    for name in names:
        added = []
        for order in permutations(names):
            before = Changes(order[: order.index(name)])
            added.append(worth[before | {name}] - worth[before])
        found = sum(w * worth[one] for one, w in shapley_weights(names, name).items())
        assert found == pytest.approx(np.mean(added))


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 4), seed=st.integers(0, 99))
def test_shapley_values_add_up_to_the_total(n: int, seed: int) -> None:
    """Exactly, in every cell of the table; the weights of each sum to nothing."""
    names = tuple("abcde"[:n])
    rng = np.random.default_rng(seed)
    held = Factorial(
        changes=names, tables={one: rng.standard_normal((4, 3)) for one in sets(names)}
    )
    values = shapley_values(held)
    assert sum(one.estimate.mean for one in values) == pytest.approx(total(held).mean, abs=1e-12)
    assert all(one.p_holm is not None and one.p_holm >= one.estimate.p for one in values)
    for name in names:
        assert sum(shapley_weights(names, name).values()) == pytest.approx(0, abs=1e-12)
        assert sum(product_weights(names, name).values()) == pytest.approx(0, abs=1e-12)


def test_intervals_are_those_of_the_weighted_table() -> None:
    """Of predictions: the contrast of all eight arms with the same weights."""
    arms = arms_of(ABC)
    held = factorial(arms, ABC, metric="ua")
    for name, found in zip(ABC, shapley_values(held), strict=True):
        weights = shapley_weights(ABC, name)
        same = contrast(
            [arms[one] for one in sets(ABC)], [weights[one] for one in sets(ABC)], metric="ua"
        )
        assert (found.estimate.low, found.estimate.high) == pytest.approx((same.low, same.high))
    direct = difference(arms[Changes()], arms[Changes(ABC)], metric="ua")
    assert total(held).mean == pytest.approx(direct.mean)
    assert (total(held).low, total(held).high) == pytest.approx((direct.low, direct.high))


def test_an_effect_that_is_nowhere_has_no_p_to_adjust() -> None:
    """Equal cells have no error; the others are adjusted among themselves."""
    held = made(lambda one: 0.1 * ("a" in one))
    a, b, _ = main_effects(held)
    assert a.p_holm is None
    assert "all cells are equal" in a.estimate.note
    assert (b.estimate.mean, b.p_holm) == (0.0, 1.0)


def test_a_factorial_needs_all_its_arms() -> None:
    """The missing one is named, and one change alone is none."""
    arms = arms_of(("a", "b"))
    del arms[Changes("b")]
    with pytest.raises(BadValue, match=r"arms = \['b'\]"):
        factorial(arms, ("a", "b"), metric="ua")
    for changes in (("a",), ("a", "a")):
        with pytest.raises(BadValue, match="changes"):
            factorial(arms, changes, metric="ua")


# --- the ladder ----------------------------------------------------------------------------


def test_the_ladder_takes_the_largest_gain_on_validation_first() -> None:
    """And goes on to the last change, though it costs something; the test says what it says."""
    worth = {"a": 0.01, "b": 0.05, "c": -0.02}
    validation = {one: 0.5 + sum(worth[name] for name in one) for one in sets(ABC)}
    held = made(lambda one: -0.1 * len(one), noise=0.01)
    rungs = ladder(held, validation)
    assert [rung.change for rung in rungs] == ["b", "a", "c"]
    assert [rung.gain for rung in rungs] == pytest.approx([0.05, 0.01, -0.02])
    assert rungs[-1].validation == validation[Changes(ABC)]
    steps = [held.tables[Changes("b")] - held.tables[Changes()]]
    steps.append(held.tables[Changes("ab")] - held.tables[Changes("b")])
    for step, rung in zip(steps, rungs[:2], strict=True):
        assert rung.test.estimate == crossed_interval(step)
    assert sum(rung.test.estimate.mean for rung in rungs) == pytest.approx(total(held).mean)
    down = ladder(held, validation, higher_is_better=False)
    assert [rung.change for rung in down] == ["c", "a", "b"]


def test_the_ladder_sees_what_changes_are_worth_together() -> None:
    """Alone the best is a; upon it c is worth more than b."""
    scores = {"": 0, "a": 3, "b": 2, "c": 1, "ab": 3, "ac": 5, "bc": 4, "abc": 6}
    rungs = ladder(made(lambda _: 0.0), {Changes(k): float(v) for k, v in scores.items()})
    assert [rung.change for rung in rungs] == ["a", "c", "b"]


def test_a_ladder_needs_every_score() -> None:
    """A missing score is no reason to leave a rung out quietly."""
    scores = dict.fromkeys(sets(ABC), 0.5)
    del scores[Changes("ab")]
    with pytest.raises(BadValue, match=r"validation\[\['a', 'b'\]\]"):
        ladder(made(lambda _: 0.0), scores)


# --- how often it errs ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["interaction", "shapley"])
def test_of_no_effect_one_in_twenty_is_called_significant(kind: str) -> None:
    """Simulated with an additive truth whose c is nothing, and speakers, seeds and noise."""
    rng = np.random.default_rng(5)
    weights = product_weights(ABC, "ab") if kind == "interaction" else shapley_weights(ABC, "c")
    n, speakers, seeds = 4000, 10, 5
    shifts = {
        one: rng.normal(0, 0.03, (n, speakers, 1)) + rng.normal(0, 0.03, (n, 1, seeds))
        for one in sets(ABC)
    }
    values = np.zeros((n, speakers, seeds))
    for one, weight in weights.items():
        held = 0.1 * ("a" in one) + 0.05 * ("b" in one) + rng.normal(0, 0.03, values.shape)
        values += weight * (held + sum(shift for made, shift in shifts.items() if made <= one))
    variance, df = variance_of_mean(values)
    p = 2 * stats.t.sf(np.abs(values.mean(axis=(1, 2))) / np.sqrt(variance), df)
    assert 0.035 <= (p < 0.05).mean() <= 0.065
    first = crossed_interval(values[0])
    assert first.p == pytest.approx(p[0])
