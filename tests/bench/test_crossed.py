"""The interval over crossed speakers and seeds: reference tools, properties, simulated errors."""

from __future__ import annotations

import importlib.util
import itertools
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
from serlab.bench.statistics.crossed import (
    NOISE_POWER,
    crossed_interval,
    mean_squares,
    satterthwaite,
    variance_of_mean,
)
from serlab.bench.statistics.margins import noninferior
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
    x, y, z = a * (1 + 2 / 2), b * (1 + 2 / 1), e * (1 + 2 / 2)
    satterthwaite = (x + y - z) ** 2 / (x**2 / 2 + y**2 / 1 + z**2 / 2)
    noise = (e / max(a, b)) ** NOISE_POWER
    assert satterthwaite > 1
    assert found.df == pytest.approx(1 / ((1 - noise) / satterthwaite + noise / 5))
    assert found.squares == MeanSquares(speaker=a, seed=b, interaction=e)


def test_one_factor_alone_has_its_own_degrees_of_freedom() -> None:
    """Where seeds do not differ, the speakers' t test is what is left."""
    rng = np.random.default_rng(4)
    rest = rng.standard_normal((5, 4)) * 0.01
    rest -= rest.mean(axis=0)
    found = crossed_interval(rng.standard_normal((5, 1)) + rest)
    assert found.df == pytest.approx(4)
    assert found.se**2 == pytest.approx(found.squares.speaker / 20)


def test_degrees_of_freedom_go_over_into_those_of_noise() -> None:
    """As the larger mean square nears the interaction, they rise to all cells' without a leap."""
    rest = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    effect = np.array([1.0, 0.0, -1.0])[:, None]
    level = math.sqrt(mean_squares(rest)[2] / mean_squares(effect + 0 * rest)[0])
    sizes = level * np.array([100.0, 2.0, 1.5, 1.1, 1.01, 1.0001, 0.9999])
    df = variance_of_mean(rest + sizes[:, None, None] * effect)[1]
    assert (np.diff(df) >= 0).all()
    assert df[0] == pytest.approx(2)
    assert df[-2] == pytest.approx(df[-1], rel=1e-2)
    assert df[-1] == 8


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


DRAWS = 5000
Z = 3.5
"""Standard errors that a simulated share may lie outside its band."""

CELLS = tuple(itertools.product((0.0, 0.3), (4, 10, 24), (3, 5, 10)))
"""Sd of the interaction, speakers, seeds."""

Tables = list[tuple[tuple[float, int, int], float, np.ndarray]]


def script(name: str) -> ModuleType:
    """A script beside this file, by the name under which the other imports it."""
    if name not in sys.modules:
        path = Path(__file__).with_name(f"{name}.py")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="module")
def calibration() -> ModuleType:
    """The simulation of intervals."""
    return script("calibration")


@pytest.fixture(scope="module")
def gate(calibration: ModuleType) -> ModuleType:
    """The simulation of verdicts, which takes its tables from the other."""
    return script("calibration_gate")


@pytest.fixture(scope="module")
def simulated(calibration: ModuleType) -> Tables:
    """Of every cell, without a difference and with one: the cell, the truth, the tables."""
    found = []
    for interaction, speakers, seeds in CELLS:
        for size in (0.0, 0.3):
            setting = calibration.Setting(
                speakers=speakers, seeds=seeds, interaction_sd=interaction, difference=size
            )
            rng = np.random.default_rng([11, speakers, seeds, bool(interaction), bool(size)])
            values = calibration.tables(setting, rng, "ua", DRAWS)
            truth = calibration.truth(setting, "ua")
            found.append(((interaction, speakers, seeds), truth, values))
    return found


def outside(share: float, low: float, high: float, draws: int) -> bool:
    """Whether so many draws can hardly come from a share within the band.

    Each edge is moved out by ``Z`` binomial standard errors of a share that lies on it: of 100
    shares on the edge 0.02 are called outside.
    """
    moved = [Z * math.sqrt(edge * (1 - edge) / draws) for edge in (low, high)]
    return not low - moved[0] <= share <= high + moved[1]


def astray(calibration: ModuleType, simulated: Tables, estimator: object) -> list[str]:
    """What an estimator of the variance does wrong, in words; none for a calibrated one."""
    wrong, false = [], []
    for cell, truth, values in simulated:
        found = calibration.rates(values, truth, estimator)
        if outside(found.covered, 0.88, 0.92, DRAWS):
            wrong.append(f"{cell}: the 90 % interval covers {found.covered:.1%}")
        if truth == 0.0:
            false.append(found.found)
            if outside(found.found, 0.035, 0.065, DRAWS):
                wrong.append(f"{cell}: {found.found:.1%} false positives")
    mean = float(np.mean(false))
    if outside(mean, 0.045, 0.055, DRAWS * len(false)):
        wrong.append(f"{mean:.1%} false positives over all cells")
    return wrong


@pytest.mark.slow
def test_the_crossed_interval_errs_as_often_as_it_says(
    calibration: ModuleType, simulated: Tables
) -> None:
    """Within 3.5-6.5 % false positives and 88-92 % coverage in all 18 cells; 5 % over all."""
    assert len(simulated) == 36
    assert not astray(calibration, simulated, variance_of_mean)


@pytest.mark.slow
def test_other_estimators_go_astray(calibration: ModuleType, simulated: Tables) -> None:
    """The bands tell the estimator from ones that leave out or change a part of it."""

    def squares(values: np.ndarray) -> tuple[np.ndarray, ...]:
        return mean_squares(values)

    def of_seeds(values: np.ndarray) -> tuple[np.ndarray, float]:
        return squares(values)[1] / values[0].size, values.shape[2] - 1

    def of_speakers(values: np.ndarray) -> tuple[np.ndarray, float]:
        return squares(values)[0] / values[0].size, values.shape[1] - 1

    def not_subtracted(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a, b, _ = squares(values)
        return (a + b) / values[0].size, variance_of_mean(values)[1]

    def all_cells(values: np.ndarray) -> tuple[np.ndarray, float]:
        return variance_of_mean(values)[0], values[0].size - 1

    def plain(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n_speakers, n_seeds = values.shape[1:]
        return variance_of_mean(values)[0], np.maximum(
            satterthwaite(*mean_squares(values), n_speakers, n_seeds), 1e-3
        )

    for wrong in (of_seeds, of_speakers, not_subtracted, all_cells, plain):
        assert astray(calibration, simulated, wrong), wrong.__name__


def test_the_simulated_gate_is_the_gate(gate: ModuleType) -> None:
    """Verdicts of whole batches are those that `noninferior` gives one by one."""
    rng = np.random.default_rng(3)
    shift = np.linspace(-0.1, 0.05, 60)[:, None, None]
    values = shift + 0.02 * rng.standard_normal((60, 5, 1)) + 0.02 * rng.standard_normal((60, 5, 4))
    names = {gate.PASS: "pass", gate.FAIL: "fail", 0: "inconclusive"}
    found = [names[code] for code in gate.verdicts(values, 0.03, 0.05)]
    expected = [noninferior(crossed_interval(one), 0.03, alpha=0.05).verdict for one in values]
    assert found == expected
    assert set(found) == set(names.values())


def test_a_second_look_is_taken_where_the_first_tells_nothing(gate: ModuleType) -> None:
    """A verdict of half of the seeds stands, whatever the others say."""
    rng = np.random.default_rng(4)
    values = 0.001 * rng.standard_normal((3, 6, 4))
    values[0, :, 2:] -= 0.5
    values[1, :, :2] += 0.3 * rng.standard_normal((6, 1)) - 0.05
    values[1, :, 2:] += 0.4
    values[2] -= 0.5
    assert gate.verdicts(values[:, :, :2], 0.03, 0.025).tolist() == [gate.PASS, 0, gate.FAIL]
    second = gate.verdicts(values, 0.03, 0.025)
    assert gate.two_looks(values, 0.03).tolist() == [gate.PASS, second[1], gate.FAIL]
    assert second[0] != gate.PASS


@pytest.mark.slow
@pytest.mark.parametrize("speakers", [4, 10, 24])
def test_the_gate_passes_a_lost_margin_as_seldom_as_it_says(
    calibration: ModuleType, gate: ModuleType, speakers: int
) -> None:
    """5 % with one look, no more with two, and hardly ever an alarm where nothing was lost."""
    draws, margin = 3000, 0.02
    setting = calibration.Setting(speakers=speakers, seeds=10, interaction_sd=0.3)
    rng = np.random.default_rng([12, speakers])
    lost = calibration.tables(gate.losing(setting, "ua", margin), rng, "ua", draws)
    once = gate.shares(gate.verdicts(lost[:, :, :5], margin, 0.05)).passed
    twice = gate.shares(gate.two_looks(lost, margin)).passed
    assert not outside(once, 0.035, 0.065, draws)
    assert not outside(twice, 0.0, 0.055, draws)
    same = calibration.tables(setting, rng, "ua", draws)
    assert not outside(gate.shares(gate.two_looks(same, margin)).failed, 0.0, 0.02, draws)
    runs = lost[:, :, :5].mean(axis=1)
    bound = runs.mean(axis=1) - runs.std(axis=1, ddof=1) / 5**0.5 * stats.t.isf(0.05, 4)
    assert outside(float(np.mean(bound > -margin)), 0.035, 0.065, draws), "runs are no speakers"
