"""One-sided non-inferiority: verdicts, bounds and power against scipy and against simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from serlab.bench.errors import BadValue
from serlab.bench.statistics.corpora import mean_over
from serlab.bench.statistics.crossed import crossed_interval
from serlab.bench.statistics.margins import noninferior
from serlab.bench.statistics.records import Estimate, MeanSquares

NAN = float("nan")


def estimate(mean: float, se: float, df: float = 9.0, **other: object) -> Estimate:
    """A difference with this error."""
    facts = {
        "mean": mean, "low": mean - se, "high": mean + se, "level": 0.95, "se": se, "df": df,
        "p": 0.5, "n_speakers": 10, "n_seeds": 5, "smallest_detectable": NAN,
        "squares": MeanSquares(speaker=NAN, seed=NAN, interaction=NAN),
    }  # fmt: skip
    return Estimate(**(facts | other))


@pytest.mark.parametrize(
    ("mean", "se", "verdict"),
    [
        (0.0, 0.005, "pass"),
        (0.03, 0.02, "pass"),
        (-0.005, 0.005, "pass"),
        (0.0, 0.02, "inconclusive"),
        (-0.02, 0.001, "inconclusive"),
        (-0.03, 0.02, "inconclusive"),
        (-0.03, 0.004, "fail"),
        (-0.5, 0.1, "fail"),
    ],
)
def test_verdicts(mean: float, se: float, verdict: str) -> None:
    """At a margin of 2 points."""
    assert noninferior(estimate(mean, se), 0.02).verdict == verdict


@pytest.mark.parametrize("shift", [0.0, 0.01, -0.02, -0.05])
@pytest.mark.parametrize("alpha", [0.05, 0.025])
def test_bounds_and_p_are_those_of_scipy(shift: float, alpha: float) -> None:
    """With one seed it is the one-sided paired test of two samples of speakers."""
    rng = np.random.default_rng(3)
    base = rng.normal(0.6, 0.1, 9)
    arm = base + rng.normal(shift, 0.02, 9)
    found = noninferior(crossed_interval((arm - base)[:, None]), 0.02, alpha=alpha)
    above = stats.ttest_rel(arm + 0.02, base, alternative="greater")
    below = stats.ttest_rel(arm, base, alternative="less")
    assert found.p == pytest.approx(above.pvalue)
    assert found.low == pytest.approx(above.confidence_interval(1 - alpha).low - 0.02)
    assert found.high == pytest.approx(below.confidence_interval(1 - alpha).high)
    assert (found.verdict == "pass") == (found.p < alpha)
    assert (found.margin, found.alpha) == (0.02, alpha)


@given(
    mean=st.floats(-0.2, 0.2),
    se=st.floats(1e-6, 0.2),
    df=st.floats(1, 200),
    margin=st.floats(1e-3, 0.5),
    alpha=st.floats(0.001, 0.4),
)
def test_a_pass_and_a_fail_are_what_the_bounds_say(
    mean: float, se: float, df: float, margin: float, alpha: float
) -> None:
    """And p says the same; every number is one."""
    found = noninferior(estimate(mean, se, df), margin, alpha=alpha)
    assert (found.verdict == "pass") == (found.low > -margin)
    assert (found.verdict == "fail") == (found.high < -margin)
    assert found.low <= found.mean <= found.high
    if abs(found.p - alpha) > 1e-6:
        assert (found.p < alpha) == (found.verdict == "pass")
    assert 0 <= found.p <= 1
    assert 0 <= found.power <= 1


def test_less_may_be_better() -> None:
    """The difference is turned, so that a loss is below 0 whichever way the metric is better."""
    up, down = (
        noninferior(estimate(sign * 0.04, 0.005), 0.02, higher_is_better=sign < 0)
        for sign in (-1, 1)
    )
    assert up == down
    assert up.verdict == "fail"
    assert up.mean == -0.04
    assert noninferior(estimate(-0.04, 0.005), 0.02, higher_is_better=False).verdict == "pass"


def test_arms_that_never_differ() -> None:
    """No error leaves no doubt: they pass at any margin, with a power of 1."""
    found = noninferior(crossed_interval(np.zeros((4, 3))), 1e-9)
    assert (found.verdict, found.low, found.high, found.p, found.power) == ("pass", 0, 0, 0, 1)
    assert math.isnan(found.smallest_margin)


@pytest.mark.parametrize("se", [1e-4, 1e-9, 1e-15])
def test_a_tiny_error_has_a_power_of_1(se: float) -> None:
    """Where scipy itself has no value any more."""
    assert noninferior(estimate(0.0, se, 3.0), 0.5).power == pytest.approx(1.0)


@pytest.mark.parametrize(("se", "df"), [(0.01, 9.0), (0.008, 3.2), (0.02, 30.0)])
@pytest.mark.parametrize("alpha", [0.05, 0.025])
def test_power_is_how_often_an_equal_candidate_passes(se: float, df: float, alpha: float) -> None:
    """Simulated: t statistics of a difference of 0, with errors that are estimated too."""
    rng = np.random.default_rng(5)
    n = 200_000
    errors = se * np.sqrt(rng.chisquare(df, n) / df)
    low = rng.normal(0, se, n) - errors * stats.t.isf(alpha, df)
    found = noninferior(estimate(0.0, se, df), 0.03, alpha=alpha)
    assert found.power == pytest.approx(np.mean(low > -0.03), abs=0.005)


def test_the_smallest_margin_has_a_power_of_80_percent() -> None:
    """Of the same comparison, were that its margin."""
    found = noninferior(estimate(0.0, 0.01), 0.02)
    again = noninferior(estimate(0.0, 0.01), found.smallest_margin)
    assert again.power == pytest.approx(0.8, abs=1e-4)


def test_power_does_not_hang_on_the_difference() -> None:
    """It says what an equal candidate would meet."""
    powers = {noninferior(estimate(mean, 0.01), 0.02).power for mean in (-0.5, 0.0, 0.1)}
    assert len(powers) == 1


@pytest.mark.parametrize(
    ("margin", "alpha", "words"),
    [
        (0.0, 0.05, "margin = 0.0: expected"),
        (-0.02, 0.05, "margin = -0.02: expected"),
        (NAN, 0.05, "margin = nan: expected"),
        (0.02, 0.0, "alpha = 0.0: expected"),
        (0.02, 0.5, "alpha = 0.5: expected"),
        (0.02, NAN, "alpha = nan: expected"),
    ],
)
def test_what_is_no_margin_or_size(margin: float, alpha: float, words: str) -> None:
    """The message names it."""
    with pytest.raises(BadValue) as error:
        noninferior(estimate(0.0, 0.01), margin, alpha=alpha)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("table", "words"), [(np.full((1, 3), 0.1), "one speaker"), (np.full((3, 3), 0.1), "all cells")]
)
def test_a_difference_without_an_interval(table: np.ndarray, words: str) -> None:
    """It is judged neither way."""
    with pytest.raises(BadValue, match=words):
        noninferior(crossed_interval(table), 0.02)


@pytest.mark.slow
@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_a_loss_of_the_margin_is_rarely_judged_either_way(verdict: str) -> None:
    """Simulated at the margin itself, with speakers, seeds and noise: 5 % at most, about."""
    rng = np.random.default_rng(7)
    times = 0
    for _ in range(2000):
        values = -0.04 + rng.normal(0, 0.03, (10, 1)) + rng.normal(0, 0.015, (1, 5))
        values = values + rng.normal(0, 0.02, (10, 5))
        times += noninferior(crossed_interval(values), 0.04).verdict == verdict
    assert 0.03 <= times / 2000 <= 0.065


# --- the mean over corpora -----------------------------------------------------------------


def test_one_corpus_is_its_own_mean() -> None:
    """Given back as it is."""
    one = estimate(0.1, 0.01)
    assert mean_over([one]) is one


def test_errors_of_corpora_add_up_in_squares() -> None:
    """Two equal corpora: the error falls by the root of 2, degrees of freedom double."""
    found = mean_over([estimate(0.02, 0.01), estimate(0.04, 0.01)])
    assert found.mean == pytest.approx(0.03)
    assert found.se == pytest.approx(0.01 / 2**0.5)
    assert found.df == pytest.approx(18)
    half = found.se * stats.t.ppf(0.975, 18)
    assert (found.low, found.high) == pytest.approx((0.03 - half, 0.03 + half))
    assert found.p == pytest.approx(2 * stats.t.sf(0.03 / found.se, 18))
    assert (found.n_speakers, found.n_seeds) == (20, 5)


def test_a_corpus_without_an_error_counts_in_the_mean() -> None:
    """Its arms never differ; the other's degrees of freedom are kept."""
    never = crossed_interval(np.zeros((4, 3)))
    found = mean_over([estimate(0.02, 0.01), never])
    assert (found.mean, found.se) == (pytest.approx(0.01), pytest.approx(0.005))
    assert found.df == pytest.approx(9)
    assert mean_over([never, never]).low == 0
    assert noninferior(mean_over([never, never]), 0.02).verdict == "pass"


def test_a_corpus_without_an_interval_is_refused() -> None:
    """As is nothing at all."""
    for some in ([], [estimate(0.1, 0.1), crossed_interval(np.full((1, 3), 0.1))]):
        with pytest.raises(BadValue, match="one or more, with intervals"):
            mean_over(some)


def test_notes_are_told_once() -> None:
    """Those of each corpus."""
    held = [replace(estimate(0.1, 0.1), note=note) for note in ("a", "b", "a", "")]
    assert mean_over(held).note == "a; b"
