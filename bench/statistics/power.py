"""What a comparison could have found, and how many seeds or speakers it lacks."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
from scipy import optimize, stats

from serlab.bench.errors import BadValue
from serlab.bench.statistics.records import Estimate, Need

POWER = 0.8
MOST = 1000
"""Units beyond which a need is not worth a number."""

Sides = Literal[1, 2]


def detectable(
    se: float, df: float, *, alpha: float, power: float = POWER, sides: Sides = 2
) -> float:
    """The difference that a t test finds with the given power.

    The noncentrality at which the test of size ``alpha`` has that power, times the standard
    error (Cohen, Statistical Power Analysis, 1988).

    Args:
        se: standard error of the difference.
        df: its degrees of freedom.
        alpha: size of the test.
        power: probability of finding the difference.
        sides: 2 for a difference either way, 1 for one direction, as in a gate.

    Returns:
        The difference, in the unit of ``se``; nan where ``se`` is nan or 0.

    Example:
        >>> round(detectable(0.01, 9.0, alpha=0.05), 4)
        0.0315
    """
    if not se > 0 or not df > 0:
        return float("nan")
    critical = float(stats.t.isf(alpha / sides, df))

    def lack(noncentrality: float) -> float:
        return float(stats.nct.sf(critical, df, noncentrality)) - power

    first = critical + float(stats.t.isf(1 - power, df))
    return se * float(optimize.brentq(lack, 0.0, 4 * first + 4, xtol=1e-6))


def needed_seeds(
    estimate: Estimate, margin: float, *, power: float = POWER, sides: Sides = 2
) -> Need:
    """How many seeds more would find a difference of ``margin``, with the same speakers.

    The variances of speakers, seeds and interaction are taken from the estimate's mean squares,
    so with few speakers and seeds this is a rough figure: were they known, the number would have
    that power; from 3 to 5 seeds it is more often too low, with 63 to 71 % on average where 80 %
    were asked for (``tests/bench/calibration_gate.py seeds``).

    Args:
        estimate: a comparison over two speakers and two seeds or more.
        margin: the difference to be found, above 0.
        power: probability of finding it.
        sides: of the test, whose size is 1 - the estimate's level.

    Raises:
        BadValue: the margin is not above 0.
    """
    _check(margin)
    if not estimate.squares.estimable:
        return Need(more=None, total=None, note=_unknown(estimate))
    held, speakers = estimate.n_seeds, estimate.n_speakers

    def finds(n: int) -> bool:
        return _planned(estimate, speakers, n, power, sides) <= margin

    total = _least(finds, held)
    note = "" if total else "not by seeds alone: differences between speakers are too large"
    return Need(more=total - held if total else None, total=total, note=note)


def needed_speakers(
    estimate: Estimate, margin: float, *, power: float = POWER, sides: Sides = 2
) -> Need:
    """How many speakers more would find a difference of ``margin``, with the same seeds.

    Arguments and errors as for ``needed_seeds``.
    """
    _check(margin)
    if not estimate.squares.estimable:
        return Need(more=None, total=None, note=_unknown(estimate))
    held, seeds = estimate.n_speakers, estimate.n_seeds

    def finds(n: int) -> bool:
        return _planned(estimate, n, seeds, power, sides) <= margin

    total = _least(finds, held)
    note = "" if total else "not by speakers alone: differences between seeds are too large"
    return Need(more=total - held if total else None, total=total, note=note)


def _planned(
    estimate: Estimate, n_speakers: int, n_seeds: int, power: float, sides: Sides
) -> float:
    """What a table of that size would detect, by the variances found in this one."""
    squares = estimate.squares
    rest = squares.interaction
    of_speakers = max(0.0, squares.speaker - rest) / estimate.n_seeds
    of_seeds = max(0.0, squares.seed - rest) / estimate.n_speakers
    a, b = n_seeds * of_speakers + rest, n_speakers * of_seeds + rest
    total, f_a, f_b = a + b - rest, n_speakers - 1, n_seeds - 1
    if not total:
        return 0.0
    se = math.sqrt(total / (n_speakers * n_seeds))
    df = total**2 / (a**2 / f_a + b**2 / f_b + rest**2 / (f_a * f_b))
    df = float(np.clip(df, min(f_a, f_b), n_speakers * n_seeds - 1))
    return detectable(se, df, alpha=1 - estimate.level, power=power, sides=sides)


def _least(finds: Callable[[int], bool], held: int) -> int | None:
    """The least number from ``held`` to ``MOST`` that finds it, by halving."""
    if finds(held):
        return held
    if not finds(MOST):
        return None
    low, high = held, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if finds(middle) else (middle, high)
    return high


def _check(margin: float) -> None:
    if not margin > 0:
        raise BadValue("margin", margin, "a difference above 0")


def _unknown(estimate: Estimate) -> str:
    what = "one speaker" if estimate.n_speakers == 1 else "one seed"
    return f"not known from {what}: its variance cannot be estimated"
