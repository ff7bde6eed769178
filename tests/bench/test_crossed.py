"""The interval over crossed speakers and seeds: reference tools, properties, simulated errors."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from statsmodels.stats.anova import anova_lm
from statsmodels.stats.power import TTestPower

from serlab.bench.errors import BadValue
from serlab.bench.statistics.crossed import crossed_interval, mean_squares, variance_of_mean
from serlab.bench.statistics.power import detectable, needed_seeds, needed_speakers
from serlab.bench.statistics.records import MeanSquares

tables = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 6), st.integers(2, 5)),
    elements=st.integers(-100, 100).map(lambda n: n / 100),
)


# --- the crossed interval ------------------------------------------------------------------


def test_mean_squares_are_those_of_an_analysis_of_variance() -> None:
    """Statsmodels' two-way table without replication has the same three."""
    values = np.random.default_rng(0).standard_normal((6, 4))
    rows, columns = np.indices(values.shape)
    data = pd.DataFrame({"x": values.ravel(), "s": rows.ravel(), "r": columns.ravel()})
    table = anova_lm(smf.ols("x ~ C(s) + C(r)", data).fit())
    np.testing.assert_allclose(mean_squares(values), table["mean_sq"].to_numpy())


def test_one_seed_is_a_t_test_over_speakers() -> None:
    """The interval and p are scipy's, and the note says what they leave out."""
    values = np.random.default_rng(1).standard_normal((7, 1)) + 0.5
    found = crossed_interval(values, level=0.9)
    reference = stats.ttest_1samp(values[:, 0], 0.0)
    bounds = reference.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((bounds.low, bounds.high))
    assert found.p == pytest.approx(reference.pvalue)
    assert found.df == 6
    assert "one seed" in found.note


def test_variance_and_degrees_of_freedom_are_those_of_the_formula() -> None:
    """By hand, where both factors exceed the interaction."""
    speaker, seed = np.array([0.0, 0.2, 0.5]), np.array([0.0, 0.3])
    values = speaker[:, None] + seed + np.array([[0.05, -0.05], [-0.05, 0.05], [0.0, 0.0]])
    a, b, e = mean_squares(values)
    found = crossed_interval(values)
    assert min(a, b) > e > 0
    assert found.se**2 == pytest.approx((a + b - e) / 6)
    assert found.df == pytest.approx((a + b - e) ** 2 / (a**2 / 2 + b**2 / 1 + e**2 / 2))
    assert found.squares == MeanSquares(speaker=a, seed=b, interaction=e)


def test_one_factor_alone_has_its_own_degrees_of_freedom() -> None:
    """Where seeds do not differ, the speakers' t test is what is left."""
    rng = np.random.default_rng(4)
    rest = rng.standard_normal((5, 4)) * 0.01
    rest -= rest.mean(axis=0)
    found = crossed_interval(rng.standard_normal((5, 1)) + rest)
    assert found.df == 4
    assert found.se**2 == pytest.approx(found.squares.speaker / 20)


def test_mere_noise_is_pooled() -> None:
    """Where neither factor exceeds the interaction every cell is a replicate."""
    values = np.array([[1.0, -1.0], [-1.0, 1.1]])
    found = crossed_interval(values)
    assert found.df == 3
    assert found.se**2 == pytest.approx(values.var(ddof=1) / 4)


@given(values=tables)
def test_variance_is_never_below_the_larger_of_the_two(values: np.ndarray) -> None:
    """V_speaker and V_seed both bound it from below, and the degrees of freedom are sane."""
    n_speakers, n_seeds = values.shape
    speaker, seed, _ = mean_squares(values)
    variance, df = variance_of_mean(values)
    assert variance * values.size >= max(speaker, seed) * (1 - 1e-9)
    assert min(n_speakers, n_seeds) - 1 <= df <= values.size


@given(values=tables, seed=st.integers(0, 99))
def test_the_order_of_speakers_and_seeds_is_nothing(values: np.ndarray, seed: int) -> None:
    """Any order of rows and columns has the same interval."""
    rng = np.random.default_rng(seed)
    rows, columns = (rng.permutation(n) for n in values.shape)
    first, second = crossed_interval(values), crossed_interval(values[rows][:, columns])
    assert second.mean == pytest.approx(first.mean, abs=1e-9)
    assert (second.low, second.high) == pytest.approx(
        (first.low, first.high), rel=1e-6, abs=1e-9, nan_ok=True
    )


@given(values=tables)
def test_p_is_below_alpha_just_where_the_interval_leaves_out_0(values: np.ndarray) -> None:
    """The interval and the test say the same."""
    found = crossed_interval(values, level=0.9)
    if found.estimable and abs(found.p - 0.1) > 1e-9 and found.se > 0:
        assert (found.p < 0.1) == (found.low > 0 or found.high < 0)


def test_equal_mean_squares_are_equal_in_any_order() -> None:
    """Rounding does not decide whether a factor exceeds the interaction that it equals."""
    rows = np.array([[0.0, 0.3], [0.3, 0.3]])
    for table in (rows, rows[::-1], rows.T, rows[:, ::-1]):
        assert variance_of_mean(table)[1] == table.size - 1


def test_the_batch_gives_what_single_tables_give() -> None:
    """Leading axes change nothing."""
    many = np.random.default_rng(5).standard_normal((8, 4, 3))
    together = np.array(variance_of_mean(many))
    alone = np.array([variance_of_mean(one) for one in many]).T
    np.testing.assert_allclose(together, alone)


def test_one_speaker_has_no_interval() -> None:
    """The mean stands, and the note says why it stands alone."""
    found = crossed_interval(np.array([[0.1, 0.3]]))
    assert found.mean == pytest.approx(0.2)
    assert not found.estimable
    assert math.isnan(found.p)
    assert math.isnan(found.smallest_detectable)
    assert "one speaker" in found.note


def test_equal_cells_have_no_interval() -> None:
    """A perfect score in every cell is no certainty."""
    found = crossed_interval(np.full((4, 3), 1.0))
    assert found.mean == 1.0
    assert not found.estimable
    assert "all cells are equal" in found.note


def test_arms_that_never_differ_have_p_1() -> None:
    """A difference of 0 in every cell is the interval [0, 0]."""
    found = crossed_interval(np.zeros((4, 3)))
    assert (found.low, found.high, found.p) == (0.0, 0.0, 1.0)
    assert found.note == "every cell is 0"


@pytest.mark.parametrize(
    ("values", "level", "words"),
    [
        (np.zeros((0, 2)), 0.95, "a table"),
        (np.zeros(3), 0.95, "a table"),
        (np.array([[0.0, np.nan], [0.0, 1.0]]), 0.95, r"values\[0, 1\]"),
        (np.eye(2), 1.0, "level = 1.0"),
        (np.eye(2), 95, "level = 95"),
    ],
)
def test_what_is_no_table_is_refused(values: np.ndarray, level: float, words: str) -> None:
    """Empty, not finite, or a level that is none."""
    with pytest.raises(BadValue, match=words):
        crossed_interval(values, level=level)


# --- power ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 10, 24])
def test_detectable_is_the_effect_size_of_statsmodels(n: int) -> None:
    """A t test over n speakers finds the same effect with 80 % power."""
    effect = TTestPower().solve_power(nobs=n, alpha=0.05, power=0.8)
    assert detectable(1 / math.sqrt(n), n - 1, alpha=0.05) == pytest.approx(effect, rel=1e-3)


def test_one_side_detects_less() -> None:
    """A gate's one-sided test needs a smaller difference."""
    assert detectable(0.01, 9, alpha=0.05, sides=1) < detectable(0.01, 9, alpha=0.05)


def test_seeds_that_are_lacking_are_counted() -> None:
    """Where seeds vary and speakers hardly do, seeds are what a comparison lacks."""
    rng = np.random.default_rng(0)
    values = 0.03 * rng.standard_normal(3) + 0.02 * rng.standard_normal((10, 3))
    found = crossed_interval(values)
    margin = found.smallest_detectable / 2
    need = needed_seeds(found, margin)
    assert need.total is not None
    assert need.total == 3 + need.more
    assert need.total > 3
    assert needed_seeds(found, margin / 2).total > need.total
    assert needed_seeds(found, margin, sides=1).total <= need.total


def test_a_comparison_that_suffices_lacks_none() -> None:
    """A margin above the smallest detectable difference needs nothing."""
    rng = np.random.default_rng(2)
    found = crossed_interval(rng.standard_normal((8, 1)) + 0.1 * rng.standard_normal((8, 5)))
    assert needed_seeds(found, 2 * found.smallest_detectable).more == 0
    assert needed_speakers(found, 2 * found.smallest_detectable).more == 0


def test_no_number_of_seeds_makes_up_for_speakers() -> None:
    """Where speakers differ much, the answer is more speakers."""
    rng = np.random.default_rng(1)
    found = crossed_interval(0.1 * rng.standard_normal((6, 1)) + 0.01 * rng.standard_normal((6, 3)))
    need = needed_seeds(found, 0.02)
    assert need.more is None
    assert "not by seeds alone" in need.note
    assert needed_speakers(found, 0.02).more > 0


def test_no_number_of_speakers_makes_up_for_seeds() -> None:
    """And the other way round."""
    rng = np.random.default_rng(1)
    found = crossed_interval(0.1 * rng.standard_normal(3) + 0.01 * rng.standard_normal((6, 3)))
    assert "not by speakers alone" in needed_speakers(found, 0.02).note


def test_arms_that_never_differ_lack_nothing() -> None:
    """No variance was found, so any margin would have been seen."""
    assert needed_seeds(crossed_interval(np.zeros((4, 3))), 0.01).more == 0


@pytest.mark.parametrize(("shape", "what"), [((5, 1), "one seed"), ((1, 5), "one speaker")])
def test_one_of_a_kind_tells_no_need(shape: tuple[int, int], what: str) -> None:
    """A variance that was not estimated cannot be planned with."""
    found = crossed_interval(np.random.default_rng(0).standard_normal(shape))
    for need in (needed_seeds(found, 0.1), needed_speakers(found, 0.1)):
        assert need.more is None
        assert what in need.note


def test_a_margin_of_0_is_refused() -> None:
    """Nothing finds a difference of 0."""
    found = crossed_interval(np.eye(3))
    with pytest.raises(BadValue, match="margin"):
        needed_seeds(found, 0.0)


# --- calibration ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    """The script beside this file."""
    path = Path(__file__).with_name("calibration.py")
    spec = importlib.util.spec_from_file_location("calibration_script", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("speakers", "seeds", "interaction"), [(4, 5, 0.0), (10, 3, 0.3), (10, 5, 0.0), (24, 5, 0.3)]
)
def test_the_crossed_interval_errs_as_often_as_it_says(
    calibration: ModuleType, speakers: int, seeds: int, interaction: float
) -> None:
    """False positives at 5 % within 3-7 %, coverage at 90 % within 87-94 %, 2000 draws each.

    The full table (20,000 draws) lies within 3.6-6.5 % and 88.1-92.8 %; a rate of 5 % over 2000
    draws has a standard error of 0.5 points.
    """
    for size in (0.0, 0.3):
        setting = calibration.Setting(
            speakers=speakers, seeds=seeds, interaction_sd=interaction, difference=size
        )
        rng = np.random.default_rng([11, speakers, seeds])
        values = calibration.tables(setting, rng, "ua", 2000)
        found = calibration.rates(values, calibration.truth(setting, "ua"))
        assert 0.87 <= found.covered <= 0.94
        if not size:
            assert 0.03 <= found.found <= 0.07


@pytest.mark.slow
def test_seeds_alone_would_not_hold(calibration: ModuleType) -> None:
    """The same draws show how a t test over training runs errs: it takes runs for speakers."""
    setting = calibration.Setting(speakers=10, seeds=5)
    values = calibration.tables(setting, np.random.default_rng(1), "ua", 1000)
    p_values = stats.ttest_1samp(values.mean(axis=1), 0.0, axis=1).pvalue
    assert np.mean(p_values < 0.05) > 0.15
