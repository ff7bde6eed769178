"""The mean of a (speaker, seed) table and its interval, both factors random.

The cells are x_sr = mean + speaker_s + seed_r + rest_sr. With A, B and E the mean squares of
speakers, seeds and their interaction, S speakers and R seeds,

    variance of the mean = (A + B - E) / (S R) = V_speaker + V_seed - V_interaction,

never below the larger of V_speaker = A / (S R) and V_seed = B / (S R). Where neither A nor B
exceeds E, all three estimate one variance and are pooled (and never below the larger).

Its degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946), (A + B - E)^2 /
(A^2/(S-1) + B^2/(R-1) + E^2/((S-1)(R-1))), never below the fewer of S - 1 and R - 1. In them
each mean square counts (1 + 2/f)-fold, f its degrees of freedom and 2/f its relative variance: a
factor of few levels often looks small by chance. Where only one factor's mean square exceeds E
they are that factor's own. To S R - 1, which pooling has, they pass without a leap: 1/df is a
mean of both, with the weight (E / max(A, B))^6 for noise.

``tests/bench/calibration.py`` simulates how often it errs. Of differences that are none, with 4
to 24 speakers, 3 to 10 seeds and unbalanced classes, it calls 4.0 to 6.5 % significant at 5 %,
and the 90 % interval covers 88.2 to 92.3 %. Of the CCC of traces, with 3 and 5 seeds, it calls
2.6 to 4.9 % significant and covers 89.6 to 94.0 % (PCC and RMSE: 2.0 to 5.1 %, and 87.2 to
95.8 %). It is too careful where nothing but noise tells the arms apart, and not careful enough
where a few speakers say most; docs/STATISTICS.md has the tables.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from serlab.bench.errors import BadValue
from serlab.bench.statistics.power import detectable
from serlab.bench.statistics.records import Estimate, Floats, MeanSquares

ROUNDING = 1e-12
"""Deviations below this come of floating point, not of speakers or seeds."""

TIES = 1 + 1e-9
"""Counts make equal mean squares; rounding must not tell them apart."""

NOISE_POWER = 6
"""Of the interaction's share of the larger mean square, in the degrees of freedom."""

NAN = float("nan")


def crossed_interval(values: Floats, *, level: float = 0.95) -> Estimate:
    """The mean of a (speaker, seed) table, its interval, and the p of a mean of 0.

    With one seed the interval covers speakers alone, and ``note`` says so; with one speaker,
    or cells that are all equal, there is none (equal cells of 0 apart: two arms that never
    differ, or a constant prediction's CCC, have the interval [0, 0] and p = 1).

    Args:
        values: one arm's values, or the differences of two, (speaker, seed).
        level: of the interval, in (0, 1).

    Raises:
        BadValue: the table is empty or not finite, or the level is none.

    Example:
        >>> found = crossed_interval(np.array([[0.02, 0.04], [0.03, 0.05], [0.01, 0.06]]))
        >>> round(found.mean, 3), round(found.se, 3), found.n_speakers, found.n_seeds
        (0.035, 0.015, 3, 2)
    """
    _check(values, level)
    mean = float(values.mean())
    if np.abs(values).max() <= ROUNDING:
        note = "every cell is 0"
        return _estimate(values, level, mean=0.0, se=0.0, df=NAN, note=note)
    if len(values) == 1:
        note = "one speaker: what differs between speakers cannot be estimated"
        return _estimate(values, level, mean=mean, se=NAN, df=NAN, note=note)
    if np.ptp(values) <= ROUNDING:
        note = "all cells are equal: their variance cannot be estimated"
        return _estimate(values, level, mean=mean, se=NAN, df=NAN, note=note)
    variance, df = variance_of_mean(values)
    one = "one seed: variance between training seeds is not included"
    note = one if values.shape[1] == 1 else ""
    return _estimate(values, level, mean=mean, se=float(np.sqrt(variance)), df=float(df), note=note)


def variance_of_mean(values: Floats) -> tuple[Floats, Floats]:
    """Variance of the mean of each (speaker, seed) table and its degrees of freedom.

    Args:
        values: (..., speaker, seed), with two speakers or more; one seed leaves the variance of
            speakers alone.

    Returns:
        Two arrays (...).
    """
    n_speakers, n_seeds = values.shape[-2:]
    speaker, seed, rest = mean_squares(values)
    n, f_speaker, f_seed = n_speakers * n_seeds, n_speakers - 1, n_seeds - 1
    if n_seeds == 1:
        return speaker / n, np.full_like(speaker, f_speaker)
    larger = np.maximum(speaker, seed)
    pooled = (f_speaker * speaker + f_seed * seed + f_speaker * f_seed * rest) / (n - 1)
    least = np.where(larger <= rest * TIES, pooled, speaker + seed - rest)
    variance = np.maximum(least, larger) / n
    return variance, _degrees_of_freedom(speaker, seed, rest, n_speakers, n_seeds)


def _degrees_of_freedom(
    speaker: Floats, seed: Floats, rest: Floats, n_speakers: int, n_seeds: int
) -> Floats:
    n, f_speaker, f_seed = n_speakers * n_seeds, n_speakers - 1, n_seeds - 1
    raised = [
        square * (1 + 2 / f)
        for square, f in ((speaker, f_speaker), (seed, f_seed), (rest, f_speaker * f_seed))
    ]
    df = satterthwaite(raised[0], raised[1], raised[2], n_speakers, n_seeds)
    df = np.maximum(df, min(f_speaker, f_seed))
    single = np.minimum(speaker, seed) <= rest * TIES
    df = np.where(single, np.where(speaker >= seed, f_speaker, f_seed), df)
    larger = np.maximum(speaker, seed)
    share = np.divide(rest, larger, out=np.ones_like(rest), where=larger > rest * TIES)
    found: Floats = 1 / ((1 - share**NOISE_POWER) / df + share**NOISE_POWER / (n - 1))
    return found


def mean_squares(values: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean squares of speakers, seeds and interaction of tables (..., speaker, seed).

    Returns:
        Three arrays (...); nan where a factor has one level.

    Example:
        >>> mean_squares(np.array([[1.0, 2.0], [3.0, 4.0]]))
        (np.float64(4.0), np.float64(1.0), np.float64(0.0))
    """
    n_speakers, n_seeds = values.shape[-2:]
    mean = values.mean(axis=(-2, -1), keepdims=True)
    rows = values.mean(axis=-1, keepdims=True)
    columns = values.mean(axis=-2, keepdims=True)
    rest = values - rows - columns + mean
    return (
        _over(n_seeds * ((rows - mean) ** 2).sum(axis=(-2, -1)), n_speakers - 1),
        _over(n_speakers * ((columns - mean) ** 2).sum(axis=(-2, -1)), n_seeds - 1),
        _over((rest**2).sum(axis=(-2, -1)), (n_speakers - 1) * (n_seeds - 1)),
    )


def satterthwaite(
    speaker: Floats, seed: Floats, rest: Floats, n_speakers: int, n_seeds: int
) -> Floats:
    """Satterthwaite's degrees of freedom of ``speaker + seed - rest``, three mean squares."""
    f_speaker, f_seed = n_speakers - 1, n_seeds - 1
    below = speaker**2 / f_speaker + seed**2 / f_seed + rest**2 / (f_speaker * f_seed)
    return np.divide((speaker + seed - rest) ** 2, below, out=np.zeros_like(below), where=below > 0)


def _over(sums: Floats, df: int) -> Floats:
    return sums / df if df else np.full_like(sums, NAN)


def _check(values: Floats, level: float) -> None:
    if values.ndim != 2 or not values.size:
        raise BadValue("values", f"array of shape {values.shape}", "a table (speaker, seed)")
    if not np.isfinite(values).all():
        speaker, seed = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise BadValue(f"values[{speaker}, {seed}]", float(values[speaker, seed]), "a number")
    if not 0 < level < 1:
        raise BadValue("level", level, "a share between 0 and 1")


def _estimate(
    values: Floats, level: float, *, mean: float, se: float, df: float, note: str
) -> Estimate:
    speaker, seed, rest = (float(square) for square in mean_squares(values))
    half = se * float(stats.t.isf((1 - level) / 2, df)) if se else 0.0
    p = float(2 * stats.t.sf(abs(mean) / se, df)) if se else 1.0
    return Estimate(
        mean=mean,
        low=mean - half,
        high=mean + half,
        level=level,
        se=se,
        df=df,
        p=p,
        n_speakers=values.shape[0],
        n_seeds=values.shape[1],
        smallest_detectable=detectable(se, df, alpha=1 - level),
        squares=MeanSquares(speaker=speaker, seed=seed, interaction=rest),
        note=note,
    )
