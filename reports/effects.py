"""Intervals of each arm, and what its comparison with the base shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from serlab.bench.metrics.base import metric
from serlab.bench.statistics.cells import Undefined
from serlab.bench.statistics.corpora import Summary
from serlab.bench.statistics.differences import (
    difference,
    dimension_estimates,
    holm_known,
    level_estimate,
)
from serlab.bench.statistics.margins import equivalence
from serlab.bench.statistics.power import needed_seeds, needed_speakers
from serlab.bench.statistics.records import ArmPredictions, Estimate
from serlab.reports.records import (
    Arm,
    Block,
    Effect,
    OverFolds,
    Pooled,
    Score,
    Verdict,
    groups,
)


def scores_of(
    pooled: Pooled, metrics: Sequence[str], level: float
) -> tuple[dict[str, Score], dict[str, str]]:
    """Each metric of an arm, pooled with its interval and over folds; and why one has no value."""
    held = predictions(pooled, pooled.seeds)
    scores, undefined = {}, {}
    for name in metrics:
        try:
            found = _within(level_estimate(held, metric=name, level=level), name)
        except Undefined as error:
            undefined[name] = str(error)
        else:
            scores[name] = Score(metric=name, pooled=found, folds=over_folds(pooled, name))
    return scores, undefined


def by_dimension(
    pooled: Pooled, labels: Sequence[str], name: str, level: float
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """A metric of each dimension of the traces, and why one has no value."""
    found = dimension_estimates(predictions(pooled, pooled.seeds), metric=name, level=level)
    pairs = list(zip(labels, found, strict=True))
    return (
        {label: _within(one, name) for label, one in pairs if isinstance(one, Estimate)},
        {f"{name} {label}": str(one) for label, one in pairs if isinstance(one, Undefined)},
    )


def _within(estimate: Estimate, name: str) -> Estimate:
    """The estimate with its interval cut at the metric's range."""
    found = metric(name)
    low, high = np.clip([estimate.low, estimate.high], found.low, found.high)
    return replace(estimate, low=float(low), high=float(high))


def predictions(pooled: Pooled, seeds: Sequence[int]) -> ArmPredictions:
    """The predictions of some seeds, as the statistics take them."""
    whole = tuple(seeds) == pooled.seeds
    rows = [pooled.seeds.index(seed) for seed in seeds]
    return ArmPredictions(
        seeds=tuple(seeds),
        ids=pooled.ids,
        frames=pooled.frames,
        speakers=pooled.speakers,
        truth=pooled.truth,
        scores=pooled.scores if whole else pooled.scores[rows],
    )


def over_folds(pooled: Pooled, name: str) -> OverFolds:
    """A metric's mean and standard deviation (n - 1) over folds, each the mean of its seeds.

    A class that a fold lacks is dropped there, and traces are concatenated within a fold, so a
    fold mean is not the pooled figure; nan where the metric is undefined in a fold.
    """
    values = list(_by_name(pooled, pooled.folds, name).values())
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return OverFolds(mean=float(np.mean(values)), sd=sd, n_folds=len(values))


def with_effects(block: Block) -> Block:
    """The block with every arm's comparison to the base, or the reason why there is none."""
    base = block.base
    reasons = {arm.name: _why_not(base, arm, block.study.metric) for arm in block.others}
    compared = [arm for arm in block.others if not reasons[arm.name]]
    effects = _effects(base, compared, block) if base else {}
    arms = tuple(
        replace(arm, effect=effects.get(arm.name), no_effect=reasons.get(arm.name, ""))
        for arm in block.arms
    )
    return replace(block, arms=arms)


def by_speaker(held: Pooled, metric: str) -> dict[str, float]:
    """The metric within each speaker's rows, mean over seeds; nan where it has no value."""
    return _by_name(held, held.speakers, metric)


def _by_name(held: Pooled, names: Sequence[str], metric_name: str) -> dict[str, float]:
    """A metric within the rows of each name, mean over seeds."""
    found, values = metric(metric_name), {}
    for name, rows in groups(names).items():
        truth, seeds = held.truth[rows], np.take(held.scores, rows, axis=1)
        values[name] = float(np.mean([found(truth, scores) for scores in seeds]))
    return values


def foremost(arms: Sequence[Arm], most: int) -> list[Arm]:
    """The base first, then in the order of the table the arms with the largest effects."""
    ordered = sorted(arms, key=lambda a: not a.is_base)
    if len(ordered) <= most:
        return ordered
    sizes = [abs(a.effect.estimate.mean) if a.effect else 0.0 for a in ordered]
    rank = sorted(range(len(ordered)), key=lambda i: (not ordered[i].is_base, -sizes[i]))
    return [ordered[i] for i in sorted(rank[:most])]


def _effects(base: Arm, compared: Sequence[Arm], block: Block) -> dict[str, Effect]:
    """The comparisons of one block, whose p values are adjusted together."""
    margin = block.study.margin
    estimates = [_estimate(base, arm, block) for arm in compared]
    p_holm = holm_known([estimate.p for estimate in estimates])
    p_equivalent = [equivalence(estimate, margin).p for estimate in estimates]
    effects = {}
    for arm, estimate, p, p_same, p_same_holm in zip(
        compared, estimates, p_holm, p_equivalent, holm_known(p_equivalent), strict=True
    ):
        said = verdict(estimate, p, p_same_holm, block)
        unclear = said is Verdict.UNCLEAR
        effects[arm.name] = Effect(
            estimate=estimate,
            p_holm=p,
            verdict=said,
            seeds=_common(base, arm),
            n_comparisons=sum(p is not None for p in p_holm),
            p_equivalent=p_same,
            p_equivalent_holm=p_same_holm,
            more_seeds=needed_seeds(estimate, margin) if unclear else None,
            more_speakers=needed_speakers(estimate, margin) if unclear else None,
        )
    return effects


def verdict(
    estimate: Estimate | Summary, p_holm: float | None, p_equivalent: float | None, block: Block
) -> Verdict:
    """Better or worse where the adjusted p allows it; else whether the margin is ruled out.

    It is where the interval lies inside the margin and the adjusted p of the equivalence is
    below 1 - level too: the interval alone is not adjusted for the number of comparisons.
    """
    study = block.study
    alpha = 1 - study.level
    if p_holm is not None and p_holm < alpha and estimate.low * estimate.high > 0:
        up = (estimate.mean > 0) == metric(study.metric).higher_is_better
        return Verdict.BETTER if up else Verdict.WORSE
    inside = -study.margin < estimate.low and estimate.high < study.margin
    same = inside and p_equivalent is not None and p_equivalent < alpha
    return Verdict.SAME if same else Verdict.UNCLEAR


def _estimate(base: Arm, arm: Arm, block: Block) -> Estimate:
    seeds = _common(base, arm)
    assert base.pooled is not None
    assert arm.pooled is not None
    return difference(
        predictions(base.pooled, seeds),
        predictions(arm.pooled, seeds),
        metric=block.study.metric,
        level=block.study.level,
    )


def _common(base: Arm | None, arm: Arm) -> tuple[int, ...]:
    if base is None or base.pooled is None or arm.pooled is None:
        return ()
    return tuple(s for s in base.pooled.seeds if s in arm.pooled.seeds)


def _why_not(base: Arm | None, arm: Arm, name: str) -> str:
    """Why an arm is not compared; empty where it is.

    Seeds that have not run yet are left out on both sides. An arm that lost a training to a
    failure or a divergence is not compared: what is left of it is no fair sample of it.
    """
    if base is None:
        return "the study has no base on this corpus"
    for one in (base, arm):
        who = "the base" if one.is_base else "the arm"
        if one.counts.spoiled:
            lost = one.counts.spoiled
            return f"{lost} of {one.counts.planned} trainings of {who} ended without a result"
        if one.pooled is None:
            return f"{who} has no seed whose folds all completed"
    if not _common(base, arm):
        return "the arm shares no completed seed with the base"
    for one in (base, arm):
        if name not in one.scores:
            who = "the base" if one.is_base else "the arm"
            return f"{metric(name).title} is undefined for {who}"
    return ""
