"""CCC, PCC and RMSE without each speaker, from the moments of each speaker alone.

A speaker's count, means, centred sums of squares and products, and summed squared errors are
enough for the value of any set of speakers (Chan, Golub and LeVeque, American Statistician 37,
1983), so that to leave out each of them in turn costs one pass over the samples and not one for
each speaker. Only terms of one sign are added, so nothing cancels that the plain computation
over the samples would keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from serlab.bench.metrics.base import checked_values
from serlab.bench.statistics.records import ArmPredictions, Floats, Integers


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Of truths y and predictions x in sets of samples; arrays are (set, dimension)."""

    n: Floats
    """Samples, (set, 1)."""
    y: Floats
    """Mean; so is x."""
    x: Floats
    yy: Floats
    """Sum of squares about the mean; so are xx and the products yx."""
    xx: Floats
    yx: Floats
    errors: Floats
    """Sum of squares of y - x."""
    y_range: tuple[Floats, Floats]
    """Least and largest; so is x_range."""
    x_range: tuple[Floats, Floats]

    def joined(self, held: Floats) -> Moments:
        """The moments of unions; ``held`` (union, set) is 1 where a set belongs to one, else 0."""
        n = held @ self.n
        y, x = held @ (self.n * self.y) / n, held @ (self.n * self.x) / n
        off_y, off_x = self.y - y[:, None], self.x - x[:, None]  # (union, set, dimension)
        weights = (held * self.n.T)[:, :, None]
        return Moments(
            n=n,
            y=y,
            x=x,
            yy=held @ self.yy + (weights * off_y**2).sum(axis=1),
            xx=held @ self.xx + (weights * off_x**2).sum(axis=1),
            yx=held @ self.yx + (weights * off_y * off_x).sum(axis=1),
            errors=held @ self.errors,
            y_range=_joined_range(self.y_range, held),
            x_range=_joined_range(self.x_range, held),
        )


def _joined_range(held: tuple[Floats, Floats], sets: Floats) -> tuple[Floats, Floats]:
    inside = sets[:, :, None] > 0
    low, high = np.where(inside, held[0], np.inf), np.where(inside, held[1], -np.inf)
    return low.min(axis=1), high.max(axis=1)


def moments(truth: Floats, predicted: Floats, starts: Integers) -> Moments:
    """The moments of stretches of samples (sample, dimension), each from one start to the next."""
    n = np.diff(np.append(starts, len(truth))).astype(np.float64)[:, None]
    owner = np.repeat(np.arange(len(starts)), n[:, 0].astype(np.int64))
    y, x = (np.add.reduceat(one, starts, axis=0) / n for one in (truth, predicted))
    off_y, off_x = truth - y[owner], predicted - x[owner]
    return Moments(
        n=n,
        y=y,
        x=x,
        yy=np.add.reduceat(off_y**2, starts, axis=0),
        xx=np.add.reduceat(off_x**2, starts, axis=0),
        yx=np.add.reduceat(off_y * off_x, starts, axis=0),
        errors=np.add.reduceat((truth - predicted) ** 2, starts, axis=0),
        y_range=_range(truth, starts),
        x_range=_range(predicted, starts),
    )


def _range(values: Floats, starts: Integers) -> tuple[Floats, Floats]:
    return np.minimum.reduceat(values, starts, axis=0), np.maximum.reduceat(values, starts, axis=0)


def without_each(arm: ArmPredictions, index: Integers, name: str) -> tuple[Floats, Floats]:
    """A metric of `BY_MOMENTS` by dimension: of all speakers, and without each of them.

    Args:
        arm: predictions of continuous labels.
        index: the speaker of each row, (row,), counted from 0.
        name: the metric.

    Returns:
        The values (seed, dimension) and those without each speaker (speaker, seed, dimension),
        empty where there is one speaker; nan where the metric is undefined.

    Raises:
        BadValue: the arrays do not fit the metric.
    """
    order = np.argsort(index, kind="stable")
    starts = np.flatnonzero(np.diff(index[order], prepend=-1))
    n_speakers = len(starts)
    rest = 1.0 - np.eye(n_speakers) if n_speakers > 1 else np.zeros((0, 1))
    sets = np.concatenate([np.ones((1, n_speakers)), rest])
    found = []
    for scores in arm.scores:
        truth, predicted = checked_values(arm.truth, scores)
        by_speaker = moments(truth[order], predicted[order], starts)
        found.append(BY_MOMENTS[name](by_speaker.joined(sets)))
    table = np.stack(found, axis=1)
    return table[0], table[1:]


def _ccc(held: Moments) -> Floats:
    below = held.yy + held.xx + held.n * (held.y - held.x) ** 2
    low = np.minimum(held.y_range[0], held.x_range[0])
    high = np.maximum(held.y_range[1], held.x_range[1])
    return _ratio(2 * held.yx, np.where(low == high, 0.0, below))


def _pcc(held: Moments) -> Floats:
    fixed = (held.y_range[0] == held.y_range[1]) | (held.x_range[0] == held.x_range[1])
    return _ratio(held.yx, np.where(fixed, 0.0, np.sqrt(held.yy) * np.sqrt(held.xx)))


def _rmse(held: Moments) -> Floats:
    found: Floats = np.sqrt(held.errors / held.n)
    return found


def _ratio(above: Floats, below: Floats) -> Floats:
    ratios = np.full(above.shape, np.nan)
    np.divide(above, below, out=ratios, where=below > 0)
    found: Floats = np.clip(ratios, -1.0, 1.0)
    return found


BY_MOMENTS: Mapping[str, Callable[[Moments], Floats]] = {"ccc": _ccc, "pcc": _pcc, "rmse": _rmse}
"""The metrics that moments are enough for; see their own definitions in `metrics.continuous`."""
