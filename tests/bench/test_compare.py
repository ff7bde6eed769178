"""Two calls in turns, and what their ratio shows: order, drift, floor and verdict."""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from serlab.bench.errors import BadValue
from serlab.bench.meters import compare, latency
from serlab.bench.meters.compare import ORDERS, Turns, interleave
from serlab.bench.statistics.ratios import Ratio, judge, log_ratios, over_processes, ratio_of


class Clock:
    """A clock that calls move on; each takes ``drift`` more than the one before it."""

    def __init__(self, drift: int = 0) -> None:
        self.now, self.drift, self.n = 0, drift, 0

    def call(self, takes: int) -> Callable[[], None]:
        def run() -> None:
            self.now += takes + self.drift * self.n
            self.n += 1

        return run

    def perf_counter_ns(self) -> int:
        return self.now

    def perf_counter(self) -> float:
        return self.now / 1e9


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(compare, "time", made)
    monkeypatch.setattr(latency, "time", made)
    return made


def named(order: list[str], name: str) -> Callable[[], None]:
    return lambda: order.append(name)


def test_rounds_mirror_themselves_and_are_balanced() -> None:
    """Every round reads the same backwards; nobody follows anybody more often than the rest."""
    order: list[str] = []
    found = interleave(
        named(order, "a"), named(order, "b"), named(order, "t"), rounds=6, limit_s=100
    )
    kept = order[6 * found.warm_up :]
    rounds = ["".join(kept[i : i + 6]) for i in range(0, 36, 6)]
    assert [one[:3] for one in rounds] == list(ORDERS)
    assert all(one == one[::-1] for one in rounds)
    follows = Counter(zip(kept, [*kept[1:], kept[0]], strict=True))
    assert {n for (x, y), n in follows.items() if x == y} == {2}
    assert {n for (x, y), n in follows.items() if x != y} == {5}


def test_every_time_goes_to_its_own_call(clock: Clock) -> None:
    """Two times a round for each of the three, of that call alone."""
    found = interleave(clock.call(100), clock.call(300), clock.call(200), rounds=7)
    assert found == Turns(
        a=((100, 100),) * 7, b=((300, 300),) * 7, again=((200, 200),) * 7, warm_up=10
    )


def test_steady_drift_cancels_within_a_round(clock: Clock) -> None:
    """Each call's two places in a round have the same mean, whatever the slope."""
    clock.drift = 50
    found = interleave(clock.call(1000), clock.call(1000), clock.call(1000), rounds=6)
    sums = [np.sum(times, axis=1) for times in (found.a, found.b, found.again)]
    assert (sums[0] == sums[1]).all()
    assert (sums[0] == sums[2]).all()
    assert sums[0][0] < sums[0][-1]


def test_limit_ends_the_rounds_but_never_before_three(clock: Clock) -> None:
    """A round of 6 s under a limit of 20 s ends in the fourth; one of 60 s is made thrice."""
    second = 1_000_000_000
    calls = [clock.call(second) for _ in range(3)]
    assert len(interleave(*calls, limit_s=20).a) == 4
    slow = interleave(*[clock.call(10 * second) for _ in range(3)], limit_s=20)
    assert (len(slow.a), slow.warm_up) == (3, 1)


def test_garbage_collector_is_off_only_within() -> None:
    """It does not run in the middle of a call, and is back afterwards, also after an error."""
    seen: list[bool] = []
    interleave(lambda: seen.append(gc.isenabled()), int, int, rounds=3)
    assert seen
    assert not any(seen)
    with pytest.raises(ZeroDivisionError):
        interleave(lambda: 1 // 0, int, int)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("key", "value"), [("limit_s", 0.0), ("limit_s", -1.0), ("limit_s", math.inf), ("rounds", 2)]
)
def test_limits_that_measure_nothing_are_refused(key: str, value: float) -> None:
    """No time, endless time, or too few rounds."""
    with pytest.raises(BadValue):
        interleave(int, int, int, **{key: value})  # type: ignore[arg-type]


class Event:
    """Stands in for a CUDA event: it notes the clock's time when it is recorded."""

    clock: Clock
    waits: list[int]

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.at = -1

    def record(self) -> None:
        self.at = self.clock.now

    def elapsed_time(self, end: Event) -> float:
        assert self.waits[-1] >= end.at, "read before the device was waited for"
        return (end.at - self.at) / 1e6


def test_cuda_events_time_each_call(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a device of paper: events around every call, read after one wait a round."""
    Event.clock, Event.waits = clock, []
    devices: list[str] = []

    class On:
        def __init__(self, device: str) -> None:
            devices.append(device)

        def __enter__(self) -> None: ...

        def __exit__(self, *error: object) -> None: ...

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "device", On)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: Event.waits.append(clock.now))
    found = interleave(
        clock.call(1000), clock.call(3000), clock.call(1000), rounds=3, device="cuda:1"
    )
    assert found.a == found.again == ((1000, 1000),) * 3
    assert found.b == ((3000, 3000),) * 3
    assert set(devices) == {"cuda:1"}
    assert len(Event.waits) == 2 * (found.warm_up + 3)


def spread(mean: float, sd: float, n: int = 5) -> Ratio:
    """A ratio whose processes have exactly this mean and spread of their logarithms."""
    logs = np.linspace(-1, 1, n)
    logs = mean + sd * logs / logs.std(ddof=1)
    return ratio_of([np.full((10, 2), log) for log in logs])


def test_pairs_keep_what_is_disturbed_to_themselves() -> None:
    """The first calls of a round make one pair, the second ones another."""
    found = log_ratios([[200, 900], [200, 200]], [[100, 100], [100, 100]])
    assert np.exp(found).round(6).tolist() == [[2, 9], [2, 2]]


def test_drift_cancels_in_the_median(clock: Clock) -> None:
    """What a slope adds to one pair of a round it takes from the other."""
    clock.drift = 20
    turns = interleave(clock.call(100_000), clock.call(100_000), clock.call(100_000), rounds=6)
    for other in (turns.b, turns.again):
        logs = log_ratios(other, turns.a)
        assert abs(logs).max() > 1e-4
        assert abs(np.median(logs)) < 1e-6


def test_ratio_is_the_mean_of_the_processes_medians() -> None:
    """A disturbed pair moves nothing; bounds are Student's on the logarithms."""
    held = ([[0.1, 0.1], [0.1, 9.0]], [[0.2, 0.2], [0.2, 0.2]], [[0.3, -9.0], [0.3, 0.3]])
    logs = [np.array(process) for process in held]
    found = ratio_of(logs)
    assert found.ratio == pytest.approx(math.exp(0.2))
    assert found.between == pytest.approx(0.1)
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert found.interval is not None
    assert np.log(found.interval) == pytest.approx((0.2 - half, 0.2 + half))
    assert (found.n_processes, found.n_rounds) == (3, 6)


def test_spread_within_is_that_of_the_pairs() -> None:
    """Root mean square of the processes' own standard deviations."""
    found = ratio_of([np.array([[0.0, 0.2], [0.2, 0.0]]), np.zeros((2, 2))])
    assert found.within == pytest.approx(math.sqrt(0.04 / 3 / 2))


def test_two_processes_give_no_verdict() -> None:
    """There is a ratio, no interval, and the reason."""
    pair = ratio_of([np.zeros(5), np.ones(5)])
    assert (pair.interval, pair.between) == (None, None)
    judged = judge(pair, pair)
    assert judged.verdict == "no verdict"
    assert judged.note == "an interval needs 3 processes, there are 2"
    assert (judged.floor, judged.smallest) == (None, None)


def test_verdict_needs_the_interval_and_the_floor() -> None:
    """Faster or slower only beyond both; the note tells what held it back."""
    quiet, loud = spread(0.0, 0.002), spread(0.03, 0.02)
    assert judge(spread(-0.05, 0.004), quiet).verdict == "faster"
    assert judge(spread(0.05, 0.004), quiet).verdict == "slower"
    unsure = judge(spread(0.05, 0.06), quiet)
    assert (unsure.verdict, unsure.note) == ("no difference shown", "the interval holds 1")
    within = judge(spread(0.05, 0.004), loud)
    assert within.verdict == "no difference shown"
    assert "two copies of A" in within.note


def test_floor_is_the_far_bound_of_the_twins_interval() -> None:
    """A floor below 1 counts as far as one above it."""
    floor = judge(spread(0.0, 0.001), spread(-0.03, 0.01)).floor
    half = 2.776445 * 0.01 / math.sqrt(5)
    assert floor == pytest.approx(math.expm1(0.03 + half), rel=1e-6)


def test_smallest_difference_is_beyond_interval_and_floor() -> None:
    """Whichever of the two is the wider, and with something added for the probability."""
    for ratio, again in ((spread(0, 0.02), spread(0, 0.001)), (spread(0, 0.001), spread(0, 0.02))):
        judged = judge(ratio, again)
        assert ratio.interval is not None
        assert judged.floor is not None
        assert judged.smallest is not None
        assert judged.smallest > ratio.interval[1] - 1
        assert judged.smallest > judged.floor


@pytest.mark.parametrize(
    ("above", "below"),
    [([[1, 0]], [[1, 1]]), ([[1, 1]], [[-1, 1]]), ([[1, 1]], [[1]]), ([1, 1], [1, 1]), ([], [])],
)
def test_times_that_have_no_logarithm_are_refused(above: object, below: object) -> None:
    """A call quicker than the clock, unlike shapes, or none at all."""
    with pytest.raises(BadValue):
        log_ratios(above, below)  # type: ignore[arg-type]


@pytest.mark.parametrize("processes", [[], [[0.1]]])
def test_too_little_has_no_ratio(processes: list[list[float]]) -> None:
    """No process, or one round, which has no spread."""
    with pytest.raises(BadValue):
        ratio_of([np.array(logs) for logs in processes])


# --- over processes --------------------------------------------------------------------------


def test_interval_over_processes_is_students_on_logarithms() -> None:
    """As scipy gives it for the mean of the logarithms."""
    medians = [1.2, 1.5, 1.1, 1.4]
    found = over_processes(medians, level=0.9)
    logs = np.log(medians)
    low, high = stats.t.interval(0.9, 3, loc=logs.mean(), scale=stats.sem(logs))
    assert found.mean == pytest.approx(stats.gmean(medians))
    assert (found.low, found.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert (found.n_processes, found.reason) == (4, "")


@pytest.mark.parametrize("n", [1, 2])
def test_too_few_processes_have_no_interval(n: int) -> None:
    """Their number stands, with the reason: an interval of two spans orders of magnitude."""
    found = over_processes([1.5] * n)
    assert (found.mean, found.low, found.high) == (pytest.approx(1.5), None, None)
    assert found.reason == f"an interval needs 3 processes, there are {n}"


@pytest.mark.parametrize("medians", [[], [1.0, 0.0], [-1.0], [math.inf, 1.0], [math.nan]])
def test_only_positive_numbers_have_a_geometric_mean(medians: list[float]) -> None:
    """Anything else is refused with what was given."""
    with pytest.raises(BadValue, match="medians = "):
        over_processes(medians)
