"""The scale on which effects are shown, which one vague interval shall not spoil."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Protocol


class Ranged(Protocol):
    """A mean and its interval, such as an Estimate."""

    @property
    def mean(self) -> float:
        """Its middle."""

    @property
    def low(self) -> float:
        """Its lower end."""

    @property
    def high(self) -> float:
        """Its upper end."""

    @property
    def estimable(self) -> bool:
        """Whether it has ends."""


def reach(estimates: Sequence[Ranged], margin: float) -> float:
    """Half-width of a scale around zero that holds all means, the margin and most intervals.

    An interval from few degrees of freedom can be ten times as wide as the others; it is cut at
    the scale's ends (and shown to be cut) rather than let it press the others into a dot.
    """
    ends = [
        max(abs(e.low), abs(e.high)) if e.estimable else abs(e.mean)
        for e in estimates
        if math.isfinite(e.mean)
    ]
    means = [abs(e.mean) for e in estimates if math.isfinite(e.mean)]
    least = max([1.15 * m for m in means] + [1.5 * margin, 0.01])
    if not ends:
        return least
    return max(least, min(max(ends), 2.5 * median(ends))) * 1.05
