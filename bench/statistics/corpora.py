"""One difference over several corpora: a random-effects summary and its heterogeneity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serlab.bench.errors import BadValue
from serlab.bench.statistics.cells import Undefined
from serlab.bench.statistics.power import detectable
from serlab.bench.statistics.records import Estimate, MeanSquares


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The mean of an effect over the corpora that might have been taken.

    ``p`` is two-sided, against 0; ``spread`` is the standard deviation of the true effect between
    corpora, ``heterogeneity`` the share (I squared, from 0 to 1) that it has of the variance of
    what was observed, and ``p_heterogeneity`` that of Cochran's Q against a spread of 0.
    """

    mean: float
    low: float
    high: float
    level: float
    se: float
    df: float
    p: float
    n_corpora: int
    spread: float
    heterogeneity: float
    p_heterogeneity: float


def across_corpora(estimates: Sequence[Estimate], *, level: float = 0.95) -> Summary:
    """The random-effects mean of one effect's estimates, one from each corpus.

    Variance between corpora after Paule and Mandel (J. Res. NBS 87, 1982); interval with k - 1
    degrees of freedom after Hartung and Knapp (Stat. Med. 20, 2001), never narrower than the one
    that does not scale its error (Roever, Knapp and Friede, BMC Med. Res. Methodol. 15, 2015).
    Both are those of statsmodels. Each corpus's own standard error is taken as known.

    Raises:
        BadValue: fewer than two corpora, or a level outside (0, 1).
        Undefined: an estimate has no standard error above 0, and so no weight.
    """
    from scipy.stats import t  # scipy and statsmodels cost a second
    from statsmodels.stats.meta_analysis import combine_effects

    if len(estimates) < 2:
        raise BadValue("estimates", f"{len(estimates)} corpora", "two or more")
    if not 0 < level < 1:
        raise BadValue("level", level, "a number between 0 and 1")
    if not all(math.isfinite(e.se) and e.se > 0 for e in estimates):
        errors = [e.se for e in estimates]
        raise Undefined("standard errors", errors, "one above 0 on every corpus, for its weight")
    effects = np.array([e.mean for e in estimates])
    variances = np.array([e.se for e in estimates]) ** 2
    with np.errstate(divide="ignore"):  # its own I squared, where all effects are equal
        found = combine_effects(effects, variances, method_re="iterated")
    df = len(estimates) - 1
    mean = float(found.mean_effect_re)
    se = float(found.sd_eff_w_re * math.sqrt(max(1.0, found.scale_hksj_re)))
    half = float(t.ppf((1 + level) / 2, df)) * se
    return Summary(
        mean=mean,
        low=mean - half,
        high=mean + half,
        level=level,
        se=se,
        df=float(df),
        p=float(2 * t.sf(abs(mean) / se, df)),
        n_corpora=len(estimates),
        spread=math.sqrt(max(0.0, float(found.tau2))),
        heterogeneity=max(0.0, 1 - df / found.q) if found.q > 0 else 0.0,
        p_heterogeneity=float(found.test_homogeneity().pvalue),
    )


def mean_over(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of one effect over these very corpora, which are no sample of others.

    Their errors are independent; degrees of freedom are Satterthwaite's. The counts are those of
    all speakers, and of the fewest seeds. A single estimate is given back as it is.

    Raises:
        BadValue: there is none, or one without an interval.
    """
    from scipy.stats import t

    if not estimates or not all(e.estimable for e in estimates):
        raise BadValue("estimates", f"{len(estimates)} corpora", "one or more, with intervals")
    if len(estimates) == 1:
        return estimates[0]
    level, n = estimates[0].level, len(estimates)
    mean = sum(e.mean for e in estimates) / n
    parts = [(e.se / n) ** 2 for e in estimates]
    below = sum(p**2 / e.df for p, e in zip(parts, estimates, strict=True) if p)
    df = sum(parts) ** 2 / below if below else math.nan
    se = math.sqrt(sum(parts))
    half = float(t.ppf((1 + level) / 2, df)) * se if se else 0.0
    return Estimate(
        mean=mean,
        low=mean - half,
        high=mean + half,
        level=level,
        se=se,
        df=df,
        p=float(2 * t.sf(abs(mean) / se, df)) if se else float(mean == 0),
        n_speakers=sum(e.n_speakers for e in estimates),
        n_seeds=min(e.n_seeds for e in estimates),
        smallest_detectable=detectable(se, df, alpha=1 - level),
        squares=MeanSquares(speaker=math.nan, seed=math.nan, interaction=math.nan),
        note="; ".join(dict.fromkeys(e.note for e in estimates if e.note)),
    )
