"""Ranks of arms over blocks: reference values, ties, direction, groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from serlab.bench.errors import BadValue
from serlab.bench.statistics.ranks import ranking

DEMSAR = {
    "C4.5": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.000, 0.940, 0.619,
             0.972, 0.957],
    "C4.5+m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.000, 0.962, 0.666,
               0.981, 0.978],
    "C4.5+cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.000, 0.965, 0.614,
                0.9751, 0.946],
    "C4.5+m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.000, 0.962,
                  0.669, 0.975, 0.970],
}  # fmt: skip
"""AUC of four learners on 14 data sets: Table 6 of Demsar (JMLR 7, 2006).

Where it prints 0.975 twice it ranks one before the other; a fourth digit does so here."""


def test_the_worked_example_of_the_source() -> None:
    """Mean ranks, Friedman's statistic and the critical difference as printed there."""
    found = ranking(DEMSAR)
    ranks = dict(zip(found.arms, found.mean_ranks, strict=True))
    expected = {"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964}
    assert ranks == pytest.approx(expected, abs=6e-4)
    assert found.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert found.statistic > 9.28  # the source does not correct it for ties
    assert 0.01 < found.p < stats.f.sf(3.69, 3, 39) < 0.02
    assert ranking(DEMSAR, alpha=0.1).critical_difference == pytest.approx(1.12, abs=6e-3)


def test_friedman_is_that_of_scipy() -> None:
    """Ties corrected for."""
    found = ranking(DEMSAR)
    reference = stats.friedmanchisquare(*DEMSAR.values())
    assert found.statistic == pytest.approx(reference.statistic)
    assert found.p_friedman == pytest.approx(reference.pvalue)


def test_pairs_are_separable_just_beyond_the_critical_difference() -> None:
    """Nemenyi's p and the critical difference say the same, and so do the groups."""
    rng = np.random.default_rng(2)
    values = {f"arm{i}": list(rng.normal(0.06 * i, 0.05, 8)) for i in range(6)}
    found = ranking(values)
    assert found.arms[0] == "arm5"
    assert list(found.mean_ranks) == sorted(found.mean_ranks)
    apart = np.abs(np.subtract.outer(found.mean_ranks, found.mean_ranks))
    np.testing.assert_array_equal(found.p_pairs < 0.05, apart > found.critical_difference)
    together = {
        (one, other)
        for i, one in enumerate(found.arms)
        for j, other in enumerate(found.arms)
        if found.p_pairs[i, j] >= 0.05
    }
    assert 0 < len(together) < 36
    grouped = {(one, other) for group in found.groups for one in group for other in group}
    assert grouped | {(one, one) for one in found.arms} == together


def test_lower_is_better_turns_the_ranks_round() -> None:
    """An error's smallest value is the best."""
    values = {"a": [0.3] * 5, "b": [0.2] * 5, "c": [0.1] * 5}
    assert ranking(values).arms == ("a", "b", "c")
    found = ranking(values, higher_is_better=False)
    assert found.arms == ("c", "b", "a")
    assert list(found.mean_ranks) == [1, 2, 3]
    assert found.groups == (("c", "b"), ("b", "a"))
    assert found.p == 0  # all blocks agree


def test_ties_share_their_ranks() -> None:
    """By hand; what only rounding tells apart is a tie."""
    values = {"a": [0.1 + 0.2] * 5, "b": [0.3] * 5, "c": [0.1] * 5}
    found = ranking(values)
    assert list(found.mean_ranks) == [1.5, 1.5, 3.0]


def test_arms_that_are_all_alike_are_one_group() -> None:
    """Friedman's statistic has no value there; nothing is separable."""
    found = ranking(dict.fromkeys("abc", [0.5] * 6))
    assert (found.statistic, found.p_friedman, found.p) == (0.0, 1.0, 1.0)
    assert found.groups == (("a", "b", "c"),)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), k=st.integers(3, 6), n=st.integers(5, 9))
def test_mean_ranks_add_up(seed: int, k: int, n: int) -> None:
    """To k (k + 1) / 2, however many ties; every block weighs the same."""
    rng = np.random.default_rng(seed)
    values = {f"a{i}": list(rng.integers(0, 3, n) / 2) for i in range(k)}
    found = ranking(values)
    assert found.mean_ranks.sum() == pytest.approx(k * (k + 1) / 2)
    assert 0 <= found.p <= 1
    scaled = ranking({arm: [x * 3 - 1 for x in held] for arm, held in values.items()})
    np.testing.assert_allclose(scaled.mean_ranks, found.mean_ranks)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        (dict.fromkeys("abc", [0.1] * 4), "blocks"),
        ({"a": [0.1] * 5, "b": [0.1] * 5, "c": [0.1] * 6}, "blocks"),
        (dict.fromkeys("ab", [0.1] * 6), "arms"),
        ({"a": [0.1] * 5, "b": [0.1] * 5, "c": [0.1] * 4 + [float("nan")]}, "values of c"),
    ],
)
def test_what_cannot_be_ranked_is_said(values: dict[str, list[float]], key: str) -> None:
    """Too few blocks or arms, unlike numbers of blocks, a missing value."""
    with pytest.raises(BadValue, match=key):
        ranking(values)
    with pytest.raises(BadValue, match="alpha"):
        ranking(dict.fromkeys("abc", [0.1] * 5), alpha=1.0)
