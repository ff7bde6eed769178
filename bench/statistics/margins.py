"""Differences held against a margin that was fixed beforehand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from serlab.bench.errors import BadValue
from serlab.bench.statistics.corpora import Summary
from serlab.bench.statistics.power import detectable
from serlab.bench.statistics.records import Estimate

Verdict = Literal["pass", "fail", "inconclusive"]


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """Whether a loss as large as the margin is ruled out, or shown.

    The difference is turned so that more is better. ``low`` and ``high`` are one-sided bounds,
    each at 1 - alpha: above -margin the lower one passes, below -margin the upper one fails.
    """

    verdict: Verdict
    mean: float
    low: float
    high: float
    margin: float
    alpha: float
    p: float
    """Of a loss of the margin or more."""
    power: float
    """Probability of a pass where there is no difference at all."""
    smallest_margin: float
    """The margin that such a comparison would hold with a power of 80 %; nan where se is 0."""


def noninferior(
    estimate: Estimate, margin: float, *, alpha: float = 0.05, higher_is_better: bool = True
) -> NonInferiority:
    """One-sided non-inferiority: H0 is a loss of the margin or more.

    Source: Piaggio et al., "Reporting of noninferiority and equivalence randomized trials",
    JAMA 308, 2012.

    Args:
        estimate: the candidate's metric minus the baseline's.
        margin: the loss that is not tolerated, above 0.
        alpha: of each of the two one-sided bounds.
        higher_is_better: whether more of the metric is better.

    Raises:
        BadValue: the margin is not above 0, alpha is none in (0, 0.5), or the estimate has no
            interval.

    Example:
        >>> import numpy as np
        >>> from serlab.bench.statistics.crossed import crossed_interval
        >>> same = crossed_interval(np.array([[0.001, -0.002], [0.0, 0.002], [-0.001, 0.001]]))
        >>> noninferior(same, 0.02).verdict
        'pass'
    """
    from scipy import stats  # it costs a second

    _check(margin, alpha)
    if not estimate.estimable:
        raise BadValue("difference", estimate.note, "one that has an interval")
    mean = estimate.mean if higher_is_better else -estimate.mean
    half, p, power = 0.0, float(mean <= -margin), 1.0
    if estimate.se > 0:
        critical = float(stats.t.isf(alpha, estimate.df))
        half = estimate.se * critical
        p = float(stats.t.sf((mean + margin) / estimate.se, estimate.df))
        ratio = min(margin / estimate.se, 1e6)  # scipy has no value far beyond, where it is 1
        power = float(stats.nct.sf(critical, estimate.df, ratio))
    low, high = mean - half, mean + half
    return NonInferiority(
        verdict="pass" if low > -margin else "fail" if high < -margin else "inconclusive",
        mean=mean,
        low=low,
        high=high,
        margin=margin,
        alpha=alpha,
        p=p,
        power=power,
        smallest_margin=detectable(estimate.se, estimate.df, alpha=alpha, sides=1),
    )


@dataclass(frozen=True, kw_only=True)
class Equivalence:
    """Whether a difference as large as the margin, either way, is ruled out.

    ``low`` and ``high`` bound the interval at 1 - 2 alpha, which lies inside the margins just
    where ``p`` is below alpha.
    """

    equivalent: bool
    p: float
    """Of a difference of the margin or more: the larger of the two one-sided ones."""
    mean: float
    low: float
    high: float
    margin: float
    alpha: float
    note: str = ""


def equivalence(estimate: Estimate | Summary, margin: float, *, alpha: float = 0.05) -> Equivalence:
    """Two one-sided tests: H0 is a difference of the margin or more, up or down.

    Source: Schuirmann, "A comparison of the two one-sided tests procedure and the power approach
    for assessing the equivalence of average bioavailability", J. Pharmacokinet. Biopharm. 15,
    1987. A standard error of 0 (arms that never differ) leaves no doubt: p is 0 or 1. Without
    a standard error p is nan, nothing is equivalent, and ``note`` says why.

    Args:
        estimate: a difference of two arms, on one corpus or over several.
        margin: the smallest difference that matters, above 0.
        alpha: of each of the two tests.

    Raises:
        BadValue: the margin is not above 0, or alpha is none in (0, 0.5).

    Example:
        >>> import numpy as np
        >>> from serlab.bench.statistics.crossed import crossed_interval
        >>> same = crossed_interval(np.array([[0.001, -0.002], [0.0, 0.002], [-0.001, 0.001]]))
        >>> equivalence(same, 0.02).equivalent
        True
    """
    from scipy import stats  # it costs a second

    _check(margin, alpha)
    mean, se = estimate.mean, estimate.se
    note = estimate.note if isinstance(estimate, Estimate) else ""
    half, p = float("nan"), float("nan")
    if se == 0:
        half, p = 0.0, float(abs(mean) >= margin)
        note = "" if mean else "the two never differ"
    elif se > 0:
        half = se * float(stats.t.isf(alpha, estimate.df))
        p = float(stats.t.sf((margin - abs(mean)) / se, estimate.df))
    return Equivalence(
        equivalent=p < alpha,
        p=p,
        mean=mean,
        low=mean - half,
        high=mean + half,
        margin=margin,
        alpha=alpha,
        note=note,
    )


def _check(margin: float, alpha: float) -> None:
    if not margin > 0:
        raise BadValue("margin", margin, "a difference above 0")
    if not 0 < alpha < 0.5:
        raise BadValue("alpha", alpha, "a share between 0 and 0.5")
