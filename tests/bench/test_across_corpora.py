"""The random-effects summary over corpora keeps what it promises."""

from __future__ import annotations

import numpy as np
import pytest

from serlab.bench.errors import BadValue
from serlab.bench.statistics.cells import Undefined
from serlab.bench.statistics.corpora import across_corpora
from serlab.bench.statistics.records import Estimate, MeanSquares


def estimate(mean: float, se: float) -> Estimate:
    nan = float("nan")
    return Estimate(
        mean=mean, low=nan, high=nan, level=0.95, se=se, df=9.0, p=nan, n_speakers=10, n_seeds=3,
        smallest_detectable=nan, squares=MeanSquares(speaker=nan, seed=nan, interaction=nan),
    )  # fmt: skip


def test_equal_corpora_are_averaged() -> None:
    """Derived by hand: no spread, weights 1 : 1, error 0.02 / sqrt 2, t of 1 degree of freedom."""
    found = across_corpora([estimate(0.04, 0.02), estimate(0.05, 0.02)])
    assert found.mean == pytest.approx(0.045)
    assert found.spread == 0
    assert found.heterogeneity == 0
    assert found.se == pytest.approx(0.02 / 2**0.5)
    assert found.high - found.mean == pytest.approx(12.7062047 * found.se)


def test_unlike_corpora_have_a_spread() -> None:
    """Paule and Mandel by hand: with errors of 0, nearly, the spread is the observed one."""
    found = across_corpora([estimate(m, 1e-4) for m in (0.0, 0.1, 0.2)])
    assert found.spread == pytest.approx(0.1, rel=1e-4)
    assert found.heterogeneity > 0.999
    assert found.p_heterogeneity < 1e-6
    assert found.se == pytest.approx(0.1 / 3**0.5, rel=1e-4)


@pytest.mark.parametrize(("k", "spread"), [(3, 0.0), (3, 0.05), (6, 0.05)])
def test_intervals_cover_as_often_as_they_say(k: int, spread: float) -> None:
    """Simulated: at least 93 % of the 95 % intervals hold the true mean."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(600):
        errors = rng.uniform(0.01, 0.03, k)
        means = rng.normal(0.02, spread, k) + rng.normal(0, errors)
        found = across_corpora([estimate(m, e) for m, e in zip(means, errors, strict=True)])
        held += found.low <= 0.02 <= found.high
    assert held / 600 >= 0.93


def test_what_cannot_be_summed_up_is_said() -> None:
    """One corpus; a difference without an error; a level that is none."""
    with pytest.raises(BadValue, match="1 corpora"):
        across_corpora([estimate(0.1, 0.1)])
    for se in (0.0, float("nan")):
        with pytest.raises(Undefined, match="for its weight"):
            across_corpora([estimate(0.1, 0.1), estimate(0.1, se)])
    with pytest.raises(BadValue, match="level"):
        across_corpora([estimate(0.1, 0.1), estimate(0.2, 0.1)], level=1.0)
