"""Reversal schedule: how strongly a domain head's gradient is reversed as training goes on.

Each option takes the share of the stage that is done, in [0, 1], and the largest strength, and
gives the strength lambda >= 0.
"""

from __future__ import annotations

import math

from serlab.models.variant import OPTIONS

WARM_UP = 0.3
"""Share of the stage over which the linear warm-up rises."""


@OPTIONS.register("reversal_schedule.constant", source="SIDANN; AV4SER", tag="R")
def constant(progress: float, largest: float) -> float:
    """The largest strength from the first step on."""
    return largest


@OPTIONS.register("reversal_schedule.logistic", source="Ganin et al., JMLR 2016", tag="I")
def logistic(progress: float, largest: float) -> float:
    """Rises from 0 as 2 / (1 + exp(-10 p)) - 1 with the progress p."""
    return largest * (2 / (1 + math.exp(-10 * progress)) - 1)


@OPTIONS.register("reversal_schedule.warm_up", source="ours", tag="I")
def warm_up(progress: float, largest: float) -> float:
    """Rises linearly over the first 30 % of the stage, then stays."""
    return largest * min(1.0, progress / WARM_UP)
