"""The scale of effects."""

from __future__ import annotations

import numpy as np

from serlab.bench.statistics.crossed import crossed_interval
from serlab.reports.scale import reach

NARROW = [crossed_interval(np.array([[m - 0.01, m], [m, m + 0.01]])) for m in (0.01, 0.02, -0.03)]
VAGUE = crossed_interval(np.array([[-0.2, 0.2], [-0.19, 0.21]]))


def test_one_vague_interval_does_not_set_the_scale() -> None:
    """It is cut, while all means and the other intervals stay inside."""
    half = reach([*NARROW, VAGUE], 0.02)
    assert half < VAGUE.high / 2
    assert half > max(e.high for e in NARROW)


def test_scale_holds_means_and_margin() -> None:
    """Without any interval the margin and the means set it."""
    lone = crossed_interval(np.array([[0.3, 0.4]]))
    assert reach([lone], 0.02) > 0.35
    assert reach([], 0.02) == 0.03
