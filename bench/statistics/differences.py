"""One arm, two arms beside each other, and several such comparisons together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from serlab.bench.errors import BadValue, NotComparable
from serlab.bench.statistics.cells import Undefined, cells
from serlab.bench.statistics.crossed import ROUNDING, crossed_interval
from serlab.bench.statistics.records import (
    ArmPredictions,
    Estimate,
    Floats,
    Integers,
    Interval,
    Spread,
    coded,
)


def level_estimate(arm: ArmPredictions, *, metric: str, level: float = 0.95) -> Estimate:
    """A metric's value for one arm, the mean over its seeds, with its interval.

    Raises:
        UnknownName: no metric has this name.
        BadValue: the predictions are none that the metric can take.
        Undefined: it has no value for them.
    """
    table = cells(arm, metric)
    return noted(crossed_interval(table.values, level=level), table.note)


def dimension_estimates(
    arm: ArmPredictions, *, metric: str, level: float = 0.95
) -> tuple[Estimate | Undefined, ...]:
    """A continuous metric's value for each dimension alone, or why it has none there.

    Raises:
        UnknownName: no metric has this name.
        BadValue: the predictions are none that the metric can take.
    """
    found: list[Estimate | Undefined] = []
    for place in range(arm.truth.shape[1]):
        try:
            found.append(level_estimate(arm.dimension(place), metric=metric, level=level))
        except Undefined as error:
            found.append(error)
    return tuple(found)


def difference(
    base: ArmPredictions, arm: ArmPredictions, *, metric: str, level: float = 0.95
) -> Estimate:
    """What the arm's metric is above the base's, paired over speakers and seeds.

    The sign is arm - base, whichever way the metric is better. Seeds that only one of them has
    are left out, and ``note`` names them.

    Raises:
        NotComparable: they differ in utterances, speakers, truths, classes or folds, or share
            no seed.
        UnknownName: no metric has this name.
        BadValue: the predictions are none that the metric can take.
    """
    values, notes = paired_tables((base, arm), metric)
    found = crossed_interval(values[1] - values[0], level=level)
    never = "the two never differ" if found.se == 0 else ""
    return noted(found, never, *notes)


def paired_tables(arms: Sequence[ArmPredictions], metric: str) -> tuple[Floats, tuple[str, ...]]:
    """The tables of arms that tested the same, over the seeds that all of them have.

    Returns:
        The values (arm, speaker, seed), and what is to be said of them.

    Raises:
        NotComparable, UnknownName, BadValue: as for `difference`.
    """
    first, *others = arms
    seeds = tuple(seed for seed in first.seeds if all(seed in arm.seeds for arm in others))
    if not seeds:
        told = " and ".join(_few(held) for held in dict.fromkeys(arm.seeds for arm in arms))
        raise NotComparable(f"no common seed: {told}")
    same = (first, *(_in_order_of(first, arm) for arm in others))
    found = [cells(_with_seeds(arm, seeds), metric) for arm in same]
    return np.stack([one.values for one in found]), (found[-1].note, _left_out(arms, seeds))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P values adjusted for their number, in the same order (Holm, Scand. J. Stat. 6, 1979).

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]

    Raises:
        BadValue: a value is none between 0 and 1.
    """
    for place, p in enumerate(p_values):
        if not 0 <= p <= 1:
            raise BadValue(f"p_values[{place}]", p, "a number from 0 to 1")
    order = np.argsort(p_values)  # not by statsmodels, which collects all garbage at each call
    raised = np.maximum.accumulate(np.sort(p_values) * np.arange(len(order), 0, -1))
    found = np.empty(len(order))
    found[order] = np.minimum(raised, 1.0)
    return tuple(found.tolist())


def holm_known(p_values: Sequence[float]) -> tuple[float | None, ...]:
    """Adjusted p values of those that are numbers, and None in the place of the others.

    Example:
        >>> holm_known([0.01, float("nan"), 0.04])
        (0.02, None, 0.04)
    """
    known = iter(holm([p for p in p_values if math.isfinite(p)]))
    return tuple(next(known) if math.isfinite(p) else None for p in p_values)


def bootstrap_t(
    values: Floats, rng: np.random.Generator, *, level: float = 0.95, n_resamples: int = 4999
) -> Interval:
    """A studentised bootstrap interval over speakers, the cross-check of the crossed one.

    Speakers are drawn with replacement; each draw's t over its own standard error gives the
    quantiles (Efron and Tibshirani, 1993, chapter 12). Seeds are averaged first, so their
    variance is not included. Draws of one speaker alone have no t and are drawn again.

    Args:
        values: (speaker, seed), with two speakers or more that differ.
        rng: the source of the draws.
        level: of the interval, in (0, 1).
        n_resamples: number of draws.

    Raises:
        BadValue: fewer than two speakers, or speakers that do not differ.
    """
    means = values.mean(axis=1)
    n = len(means)
    if n < 2 or np.ptp(means) <= ROUNDING:
        raise BadValue("values", f"means {means.tolist()}", "two speakers or more that differ")
    draws = means[rng.integers(n, size=(n_resamples, n))]
    while (flat := np.ptp(draws, axis=1) <= ROUNDING).any():
        draws[flat] = means[rng.integers(n, size=(int(flat.sum()), n))]
    t = (draws.mean(axis=1) - means.mean()) / (draws.std(axis=1, ddof=1) / np.sqrt(n))
    below, above = np.quantile(t, [(1 - level) / 2, (1 + level) / 2])
    se = means.std(ddof=1) / np.sqrt(n)
    return Interval(
        low=float(means.mean() - above * se),
        high=float(means.mean() - below * se),
        level=level,
        n_resamples=n_resamples,
        note="variance between training seeds is not included" if values.shape[1] > 1 else "",
    )


def fold_spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of a metric over folds; no basis for an interval.

    Folds share training data and are no independent replicates.

    Example:
        >>> fold_spread([0.6, 0.8]).mean
        0.7

    Raises:
        BadValue: there is no fold, or a value is no number.
    """
    if not len(values) or not np.isfinite(values).all():
        raise BadValue("values", list(values), "one number or more")
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return Spread(mean=float(np.mean(values)), sd=sd, n=len(values))


def _in_order_of(base: ArmPredictions, arm: ArmPredictions) -> ArmPredictions:
    """The arm with its rows in the base's order, found to be the same ones."""
    _check_same(base, arm)
    if base.ids != arm.ids or not np.array_equal(base.frames, arm.frames):
        arm = _reordered(base, arm)
    for key in ("speakers", "truth"):
        pair = (np.asarray(getattr(one, key)) for one in (base, arm))
        unlike = np.not_equal(*pair)
        if unlike.any():
            name = base.ids[int(np.argwhere(unlike)[0][0])]
            raise NotComparable(f'utterance "{name}" has another {key.removesuffix("s")} in each')
    return arm


def _reordered(base: ArmPredictions, arm: ArmPredictions) -> ArmPredictions:
    theirs, mine = _order(base), _order(arm)
    if base.frames.size and not np.array_equal(base.frames[theirs], arm.frames[mine]):
        raise NotComparable("an utterance has other frames in each")
    order = np.empty_like(mine)
    order[theirs] = mine
    return replace(
        arm,
        ids=base.ids,
        speakers=tuple(arm.speakers[i] for i in order),
        truth=arm.truth[order],
        scores=arm.scores[:, order],
        frames=base.frames,
    )


def _order(arm: ArmPredictions) -> Integers:
    """The places of the rows, sorted by id and frame."""
    places = coded(arm.ids)[1]
    return np.lexsort((arm.frames, places) if arm.frames.size else (places,))


def _check_same(base: ArmPredictions, arm: ArmPredictions) -> None:
    if base.split and arm.split and base.split != arm.split:
        raise NotComparable(f"unlike folds: split {base.split} and {arm.split}")
    if base.labels and arm.labels and base.labels != arm.labels:
        raise NotComparable(f"unlike classes: {_few(base.labels)} and {_few(arm.labels)}")
    if base.scores.shape[2:] != arm.scores.shape[2:] or base.truth.ndim != arm.truth.ndim:
        shapes = f"{base.scores.shape[2:]} and {arm.scores.shape[2:]}"
        what = "classes" if base.truth.ndim == arm.truth.ndim == 1 else "dimensions"
        raise NotComparable(f"unlike numbers of {what}: {shapes}")
    unlike = set(base.ids) ^ set(arm.ids)
    if unlike:
        held = f"{len(unlike)} of {len(set(base.ids) | set(arm.ids))} utterances"
        raise NotComparable(f"{held} are in one only, such as {_few(sorted(unlike))}")
    if len(base.ids) != len(arm.ids) or base.frames.size != arm.frames.size:
        raise NotComparable(f"unlike numbers of frames: {len(base.ids)} and {len(arm.ids)}")


def _with_seeds(arm: ArmPredictions, seeds: tuple[int, ...]) -> ArmPredictions:
    return arm if seeds == arm.seeds else replace(arm, seeds=seeds, scores=arm.rows(seeds))


def _left_out(arms: Sequence[ArmPredictions], kept: tuple[int, ...]) -> str:
    lone = sorted({seed for arm in arms for seed in arm.seeds} - set(kept))
    what = "seed" if len(lone) == 1 else "seeds"
    owners = "of one of the two only" if len(arms) == 2 else "that some arms lack"
    return f"{what} {_few(lone)} {owners}, left out" if lone else ""


def noted(estimate: Estimate, *notes: str) -> Estimate:
    """The estimate with further notes; empty ones are left out."""
    return replace(estimate, note="; ".join(note for note in (estimate.note, *notes) if note))


def _few(names: Sequence[object]) -> str:
    return ", ".join(str(name) for name in names[:5]) + (", ..." if len(names) > 5 else "")
