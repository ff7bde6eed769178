"""How calls are timed, and what their times come to."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
from contextlib import nullcontext

import pytest
import torch

from serlab.bench.meters import latency
from serlab.bench.meters.latency import (
    EVENTS,
    quiet,
    real_time_factor,
    throughput,
    time_calls,
)


class Clock:
    """A clock that only moves when it is told to; stands for the time module."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def perf_counter_ns(self) -> int:
        return round(self.now * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the latency module."""
    found = Clock()
    monkeypatch.setattr(latency, "time", found)
    return found


class FakeCuda:
    """CUDA's events by the fake clock; counts the waits, and the events between them."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.waits, self.events, self.most = clock, 0, 0, 0

    def event(self, *, enable_timing: bool) -> FakeEvent:
        assert enable_timing
        return FakeEvent(self)

    def wait(self) -> None:
        self.most, self.events = max(self.most, self.events), 0
        self.waits += 1


class FakeEvent:
    """The time of the clock when it is recorded; known once the device was waited for."""

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda

    def record(self) -> None:
        self.at, self.after = self.cuda.clock.now, self.cuda.waits
        self.cuda.events += 1

    def elapsed_time(self, end: FakeEvent) -> float:
        assert self.cuda.waits > end.after, "asked before the device was waited for"
        return (end.at - self.at) * 1e3


@pytest.fixture
def cuda(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """In the place of torch's."""
    found = FakeCuda(clock)
    monkeypatch.setattr(torch.cuda, "Event", found.event)
    monkeypatch.setattr(torch.cuda, "synchronize", found.wait)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    return found


class Work:
    """A call that takes some seconds of the clock."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds, self.n = clock, seconds, 0

    def __call__(self) -> None:
        self.n += 1
        self.clock.now += self.seconds


def test_times_are_those_of_the_calls(clock: Clock) -> None:
    """In whole nanoseconds, the warm-up apart."""
    work = Work(clock, 0.25)
    assert time_calls(work, 7, warm_up=3) == [250_000_000] * 7
    assert work.n == 10


@pytest.mark.parametrize(("limit_s", "timed"), [(10.0, 10), (1.0, 5), (1e9, 20)])
def test_a_limit_ends_calls_and_warm_up(clock: Clock, limit_s: float, timed: int) -> None:
    """No call begins after it, but five are always timed; the warm-up has a tenth."""
    work = Work(clock, 1.0)
    assert len(time_calls(work, 20, limit_s=limit_s)) == timed
    assert work.n - timed == (10 if limit_s > 100 else 1)


def test_fewer_calls_than_the_least_may_be_asked_for(clock: Clock) -> None:
    """The number of calls is never exceeded."""
    assert len(time_calls(Work(clock, 1.0), 2, limit_s=0.5)) == 2


def test_cuda_is_timed_by_events(cuda: FakeCuda, clock: Clock) -> None:
    """Times are known after one wait, and no more than so many events are out at a time."""
    work = Work(clock, 0.001)
    assert time_calls(work, 1000, warm_up=0, device="cuda") == [1_000_000] * 1000
    assert cuda.most == 2 * EVENTS
    assert cuda.waits == 2 * math.ceil(1 + (1000 - 5) / EVENTS)


def test_cuda_keeps_to_the_limit(cuda: FakeCuda, clock: Clock) -> None:
    """Not so many calls are sent ahead that they would take longer."""
    work = Work(clock, 1.0)
    assert len(time_calls(work, 1000, device="cuda:1", limit_s=10.0)) == 10
    assert work.n == 11
    assert cuda.waits == 2 * 3


def test_garbage_collector_is_as_it_was() -> None:
    """Off and frozen inside; on again, or still off, afterwards, whatever happened."""
    with quiet():
        assert not gc.isenabled()
        assert gc.get_freeze_count() > 0
    with pytest.raises(ValueError), quiet():
        raise ValueError
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.disable()
    try:
        with quiet():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_throughput_is_over_all_of_the_time() -> None:
    """Slow calls count with the time that they take."""
    found = throughput([10**9, 3 * 10**9], 8)
    assert (found.value, found.unit) == (4.0, "1/s")
    assert throughput([], 8).value is None


def test_real_time_factor_adds_the_medians() -> None:
    """Features and network of a batch, beside the audio of all its utterances."""
    features, network = [10**9, 10**9, 10**12], [2 * 10**9]
    assert real_time_factor(12.0, network).value == pytest.approx(2 / 12)
    assert real_time_factor(12.0, network, features).value == pytest.approx(3 / 12)
    assert real_time_factor(12.0, network, []).value is None
    assert real_time_factor(12.0).reason == "a step has no call"


def test_it_loads_without_torch() -> None:
    """Reports and the command line read it."""
    code = "import sys, serlab.bench.meters.latency; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
