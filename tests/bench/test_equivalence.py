"""Two one-sided tests: the reference tool, the interval that says the same, edge cases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from serlab.bench.errors import BadValue
from serlab.bench.statistics.corpora import across_corpora
from serlab.bench.statistics.crossed import crossed_interval, variance_of_mean
from serlab.bench.statistics.margins import equivalence

MARGIN = 0.02


@pytest.mark.parametrize("shift", [0.0, 0.008, -0.012, 0.03])
def test_p_is_that_of_statsmodels(shift: float) -> None:
    """With one seed it is the paired test of two samples of speakers."""
    rng = np.random.default_rng(3)
    base = rng.normal(0.6, 0.1, 9)
    arm = base + rng.normal(shift, 0.02, 9)
    found = equivalence(crossed_interval((arm - base)[:, None]), MARGIN)
    p, *_ = ttost_paired(arm, base, -MARGIN, MARGIN)
    assert found.p == pytest.approx(p)
    assert found.equivalent == (p < 0.05)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
def test_it_is_equivalent_just_where_the_interval_lies_inside(alpha: float) -> None:
    """The interval at 1 - 2 alpha and the p say the same, and scipy's t has it."""
    said = set()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        values = rng.normal(rng.normal(0, 0.01), 0.02, (6, 3))
        estimate = crossed_interval(values, level=1 - 2 * alpha)
        found = equivalence(estimate, MARGIN, alpha=alpha)
        assert (found.low, found.high) == pytest.approx((estimate.low, estimate.high))
        assert found.equivalent == (found.low > -MARGIN and found.high < MARGIN)
        said.add(found.equivalent)
    assert said == {True, False}


def test_arms_that_never_differ_are_equivalent() -> None:
    """No error leaves no doubt."""
    found = equivalence(crossed_interval(np.zeros((4, 3))), MARGIN)
    assert (found.equivalent, found.p, found.low, found.high) == (True, 0.0, 0.0, 0.0)
    assert found.note == "the two never differ"


def test_without_an_error_nothing_is_equivalent() -> None:
    """One speaker has no interval; the note says so."""
    found = equivalence(crossed_interval(np.full((1, 3), 0.001)), MARGIN)
    assert not found.equivalent
    assert math.isnan(found.p)
    assert "one speaker" in found.note


def test_a_summary_over_corpora_is_held_against_the_margin_too() -> None:
    """Its own error and degrees of freedom count."""
    rng = np.random.default_rng(0)
    summary = across_corpora([crossed_interval(rng.normal(0, 0.02, (8, 3))) for _ in range(4)])
    found = equivalence(summary, 0.05)
    assert found.p == pytest.approx(stats.t.sf((0.05 - abs(summary.mean)) / summary.se, 3))


@pytest.mark.parametrize(
    ("margin", "alpha", "key"), [(0.0, 0.05, "margin"), (math.nan, 0.05, "margin"), (1, 0.5, "alp")]
)
def test_a_margin_or_size_that_is_none_is_refused(margin: float, alpha: float, key: str) -> None:
    """The message names it."""
    with pytest.raises(BadValue, match=key):
        equivalence(crossed_interval(np.zeros((4, 3))), margin, alpha=alpha)


@pytest.mark.slow
def test_a_difference_of_the_margin_is_seldom_called_equivalent() -> None:
    """Simulated at the margin itself, where it should happen in 5 %."""
    rng = np.random.default_rng(11)
    shape = (4000, 10, 5)
    values = 0.04 + rng.normal(0, 0.03, (4000, 10, 1)) + rng.normal(0, 0.015, (4000, 1, 5))
    values += rng.normal(0, 0.02, shape)
    variance, df = variance_of_mean(values)
    like = crossed_interval(values[0])
    held = 0
    for mean, se, own in zip(values.mean(axis=(1, 2)), np.sqrt(variance), df, strict=True):
        one = replace(like, mean=float(mean), se=float(se), df=float(own))
        held += equivalence(one, 0.04).equivalent
    assert 0.035 <= held / 4000 <= 0.065
