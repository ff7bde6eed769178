"""Which of several arms rank apart over blocks, such as corpora.

Arms are ranked within each block and compared by their mean ranks (Demsar, "Statistical
comparisons of classifiers over multiple data sets", JMLR 7, 2006). The pairs are judged by
Nemenyi's test: with five blocks no Wilcoxon signed-rank test can come below p = 0.0625, so
Wilcoxon with Holm could find nothing there, and Nemenyi's is the one whose critical difference
holds for all pairs alike. It is careful, the more so with ties, and its verdict on two arms
depends on which others are ranked beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serlab.bench.errors import BadValue
from serlab.bench.statistics.crossed import ROUNDING
from serlab.bench.statistics.records import Floats

LEAST_BLOCKS, LEAST_ARMS = 5, 3


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """Arms by their mean rank over blocks, 1 being the best."""

    arms: tuple[str, ...]
    """The best first."""
    mean_ranks: Floats
    """(arm,)."""
    n_blocks: int
    statistic: float
    """Friedman's, corrected for ties."""
    p_friedman: float
    """From its chi-squared distribution."""
    p: float
    """From the F distribution of Iman and Davenport, which is less careful with few blocks."""
    p_pairs: Floats
    """Nemenyi's, adjusted for all pairs, (arm, arm)."""
    critical_difference: float
    """Mean ranks as far apart as this are separable."""
    alpha: float
    groups: tuple[tuple[str, ...], ...]
    """Arms that are not separable from one another, the largest such groups; the best first.
    An arm in no group is separable from all others."""


def ranking(
    values: Mapping[str, Sequence[float]], *, higher_is_better: bool = True, alpha: float = 0.05
) -> Ranking:
    """Ranks arms over blocks.

    Equal values share the mean of their ranks. Friedman (JASA 32, 1937); Iman and Davenport
    (Communications in Statistics A 9, 1980); Nemenyi (Distribution-free Multiple Comparisons,
    1963). scipy has the first, scikit-posthocs the pairs.

    Args:
        values: each arm's metric on every block, in one order of blocks.
        higher_is_better: of the metric.
        alpha: of the critical difference.

    Raises:
        BadValue: fewer than five blocks or three arms, arms of unlike numbers of blocks, values
            that are not finite, or an alpha outside (0, 1).
    """
    from scikit_posthocs import posthoc_nemenyi_friedman  # both cost seconds
    from scipy import stats

    table = _table(values, alpha)
    n, k = table.shape
    ranks = stats.rankdata(-table if higher_is_better else table, axis=1)
    means = ranks.mean(axis=0)
    order = np.argsort(means, kind="stable")
    statistic, p_friedman = 0.0, 1.0
    if np.ptp(ranks):
        found = stats.friedmanchisquare(*ranks.T)
        statistic, p_friedman = float(found.statistic), float(found.pvalue)
    rest = n * (k - 1) - statistic
    ratio = (n - 1) * statistic / rest if rest > ROUNDING else math.inf
    apart = stats.studentized_range.isf(alpha, k, math.inf) * math.sqrt(k * (k + 1) / (12 * n))
    pairs = posthoc_nemenyi_friedman(ranks).to_numpy()[np.ix_(order, order)]
    arms = tuple(list(values)[i] for i in order)
    return Ranking(
        arms=arms,
        mean_ranks=means[order],
        n_blocks=n,
        statistic=statistic,
        p_friedman=p_friedman,
        p=float(stats.f.sf(ratio, k - 1, (k - 1) * (n - 1))),
        p_pairs=pairs,
        critical_difference=float(apart),
        alpha=alpha,
        groups=_groups(arms, means[order], float(apart)),
    )


def _table(values: Mapping[str, Sequence[float]], alpha: float) -> Floats:
    """The values (block, arm), those that only rounding tells apart made equal."""
    lengths = {len(held) for held in values.values()}
    if len(values) < LEAST_ARMS:
        raise BadValue("arms", list(values), f"{LEAST_ARMS} or more to rank")
    if len(lengths) > 1 or min(lengths) < LEAST_BLOCKS:
        raise BadValue("blocks", sorted(lengths), f"{LEAST_BLOCKS} or more, as many for every arm")
    if not 0 < alpha < 1:
        raise BadValue("alpha", alpha, "a share between 0 and 1")
    for arm, held in values.items():
        if not np.isfinite(held).all():
            raise BadValue(f"values of {arm}", list(held), "a number on every block")
    table: Floats = np.round(np.array(list(values.values()), np.float64).T / ROUNDING) * ROUNDING
    return table


def _groups(arms: tuple[str, ...], means: Floats, apart: float) -> tuple[tuple[str, ...], ...]:
    """The longest runs of arms whose ends are less than ``apart`` from each other."""
    found, reached = [], 0
    for first in range(len(arms)):
        last = int(np.searchsorted(means, means[first] + apart - ROUNDING))
        if last > reached and last - first > 1:
            found.append(arms[first:last])
        reached = max(reached, last)
    return tuple(found)
