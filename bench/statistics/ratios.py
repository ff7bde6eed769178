"""Times over processes, and the ratio of two calls' times beside that of a call and its twin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from serlab.bench.errors import BadValue
from serlab.bench.statistics.records import Floats

LEVEL = 0.95
FEWEST = 3
"""Processes from which there is an interval."""

Verdict = Literal["faster", "slower", "no difference shown", "no verdict"]


@dataclass(frozen=True, kw_only=True)
class OverProcesses:
    """A time's geometric mean over processes; the bounds are None where ``reason`` tells why."""

    mean: float
    low: float | None
    high: float | None
    level: float
    n_processes: int
    reason: str = ""


def over_processes(medians: Sequence[float], *, level: float = LEVEL) -> OverProcesses:
    """The geometric mean of one number of each process, such as its median time.

    The interval is Student's on the logarithms, over processes: what the calls of one process
    share, such as its layout in memory, differs from process to process.

    Raises:
        BadValue: there is no process, or a number is not above 0.

    Example:
        >>> found = over_processes([1.0, 1.1, 1.21])
        >>> f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]"
        '1.10 [0.87, 1.39]'
    """
    if not len(medians) or not all(0 < m < math.inf for m in medians):
        raise BadValue("medians", list(medians), "a number above 0 for each process")
    logs = np.log(np.asarray(medians, np.float64))
    low, high = _interval(logs, level) or (None, None)
    return OverProcesses(
        mean=math.exp(float(logs.mean())),
        low=low,
        high=high,
        level=level,
        n_processes=len(logs),
        reason=_too_few(len(logs)),
    )


def _interval(logs: Floats, level: float) -> tuple[float, float] | None:
    """Student's interval of the geometric mean; that of two processes spans orders of magnitude."""
    if len(logs) < FEWEST:
        return None
    from scipy.stats import t  # it costs a second

    mean, n = float(logs.mean()), len(logs)
    half = float(logs.std(ddof=1)) / math.sqrt(n) * float(t.isf((1 - level) / 2, n - 1))
    return math.exp(mean - half), math.exp(mean + half)


def _too_few(n: int) -> str:
    return "" if n >= FEWEST else f"an interval needs {FEWEST} processes, there are {n}"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """The time of one call over another's, from several processes.

    ``interval`` and ``between`` are None where the processes are too few, and ``note`` says so.
    """

    ratio: float
    """Geometric mean over the processes."""
    interval: tuple[float, float] | None
    level: float
    within: float
    """Standard deviation of the log ratio from pair to pair of a process (root mean square)."""
    between: float | None
    """Standard deviation of the processes' log ratios."""
    n_processes: int
    n_rounds: int
    """Of all processes together."""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What B's time over A's shows, beside that of A's twin over A's."""

    verdict: Verdict
    """What B is beside A."""
    floor: float | None
    """The difference that two copies of A may show, as a share: a half for 1.5."""
    smallest: float | None
    """The difference that such a run shows with a probability of 80 %, as a share."""
    note: str = ""
    """Why there is no verdict, or no difference shown."""


def log_ratios(above: npt.ArrayLike, below: npt.ArrayLike) -> Floats:
    """The logarithms of the ratios of two calls' times, pair by pair, in one process.

    The first call of one in a round is held against the first of the other, which is about as
    far from it in time, before or after, as in the second pair. A pair that another process has
    disturbed spoils itself alone, and their median stands as long as most are not.

    Args:
        above: nanoseconds (round, repeat).
        below: those of the other call, in the same rounds.

    Returns:
        The differences of the logarithms, (round, repeat).

    Raises:
        BadValue: shapes are unlike, there is no round, or a time is not above 0.

    Example:
        >>> log_ratios([[200, 800]], [[100, 400]]).round(3)
        array([[0.693, 0.693]])
    """
    one, other = np.asarray(above, np.float64), np.asarray(below, np.float64)
    if one.shape != other.shape or one.ndim != 2 or not one.size:
        raise BadValue("times", (one.shape, other.shape), "two arrays (round, repeat) of one shape")
    if not (one > 0).all() or not (other > 0).all():
        least = min(one.min(), other.min())
        raise BadValue("time of a call", f"{least:g} ns", "more than the clock's step")
    found: Floats = np.log(one) - np.log(other)
    return found


def ratio_of(processes: Sequence[Floats], *, level: float = LEVEL) -> Ratio:
    """The ratio over processes, each of which counts once, by the median of its pairs.

    The interval is Student's on the logarithms: rounds of one process share its memory layout
    and its neighbours, so the process is the unit (Kalibera and Jones, "Rigorous benchmarking
    in reasonable time", ISMM 2013).

    Args:
        processes: the log ratios (round, repeat) of each, as `log_ratios` gives them.
        level: of the interval.

    Raises:
        BadValue: there is no process, or one of them has a single round.

    Example:
        >>> import numpy as np
        >>> times = ([[2.0, 2.2]] * 3, [[2.1, 2.1]] * 3, [[2.0, 2.0]] * 3)
        >>> found = ratio_of([np.log(process) for process in times])
        >>> round(found.ratio, 2), tuple(round(bound, 2) for bound in found.interval)
        (2.07, (1.93, 2.21))
    """
    if not processes or min(map(len, processes)) < 2:
        n_rounds = [len(rounds) for rounds in processes]
        raise BadValue("rounds by process", n_rounds, "at least one process, with two rounds each")
    logs = np.array([np.median(rounds) for rounds in processes])
    n = len(logs)
    return Ratio(
        ratio=math.exp(float(logs.mean())),
        interval=_interval(logs, level),
        level=level,
        within=float(np.sqrt(np.mean([np.var(rounds, ddof=1) for rounds in processes]))),
        between=float(logs.std(ddof=1)) if n >= FEWEST else None,
        n_processes=n,
        n_rounds=sum(map(len, processes)),
        note=_too_few(n),
    )


def judge(ratio: Ratio, again: Ratio) -> Judged:
    """Whether B is faster or slower than A.

    It is where the interval of the ratio excludes 1 and the ratio itself lies beyond the floor:
    the bound of the A/A interval that is furthest from 1, turned either way.

    Args:
        ratio: B's time over A's.
        again: the time of A's twin over A's, from the same rounds.

    Example:
        >>> import numpy as np
        >>> same = ratio_of([np.full((9, 2), x) for x in (-0.002, 0.001, 0.002)])
        >>> more = ratio_of([np.full((9, 2), x) for x in (0.09, 0.10, 0.11)])
        >>> judge(more, same).verdict, judge(same, same).verdict
        ('slower', 'no difference shown')
    """
    if ratio.interval is None or again.interval is None:
        note = ratio.note or again.note
        return Judged(verdict="no verdict", floor=None, smallest=None, note=note)
    effect, note = math.log(ratio.ratio), ""
    floor = max(abs(math.log(bound)) for bound in again.interval)
    verdict: Verdict = "no difference shown"
    if ratio.interval[0] <= 1 <= ratio.interval[1]:
        note = "the interval holds 1"
    elif abs(effect) <= floor:
        note = "the difference is within what two copies of A show"
    else:
        verdict = "faster" if effect < 0 else "slower"
    smallest = math.expm1(_smallest(ratio, floor))
    return Judged(verdict=verdict, floor=math.expm1(floor), smallest=smallest, note=note)


def _smallest(ratio: Ratio, floor: float) -> float:
    """The log ratio that both conditions let through in 80 % of such runs."""
    from scipy.stats import t

    from serlab.bench.statistics.power import POWER, detectable  # scipy costs a second

    if not ratio.between:
        return floor
    df, se = ratio.n_processes - 1, ratio.between / math.sqrt(ratio.n_processes)
    beyond = floor + se * float(t.isf(1 - POWER, df))
    return max(beyond, detectable(se, df, alpha=1 - ratio.level))
