"""Energy of a call, by a counter of the hardware: of a whole GPU, or of the processor packages.

The counter tells what everything on that hardware took, so nothing else may run beside. What a
call took holds the idle power too, which is given on its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from serlab.bench.contracts import Measurement
from serlab.bench.meters.gpu import Unreadable, open_gpu

WINDOW_S = 2.0
"""Seconds that idle power and calls are each watched for, at least."""
PERIODS = 10
"""New values of the counter that each is watched for, at least."""
CHUNK_S = 0.02
"""Seconds of calls between two looks at the counter."""
STILL_S = 2.0
"""Seconds after which a counter without a new value counts as broken."""

POWERCAP = Path("/sys/class/powercap")


class Counter(Protocol):
    """Energy since some moment, in joules."""

    def joules(self) -> float:
        """The counter now. Raises Unreadable."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Reading:
    at_s: float
    joules: float


def energy(call: Callable[[], object], device: str = "cpu") -> dict[str, Measurement]:
    """Gives "energy" in J a call and "idle_power" in W just before; null with the reason.

    On CUDA it is that of the board, by NVML; on the CPU that of the packages, by RAPL on Linux.
    The window of the calls is at least `WINDOW_S` and `PERIODS` of the counter. It begins and ends
    with a new value, so that the counter's period adds no more than one chunk of calls to it.
    """
    units = {"energy": "J", "idle_power": "W"}
    try:
        with _counter(device) as counter:
            idle_w, period_s = _idle(counter)
            found = {"energy": _busy(call, counter, period_s, device), "idle_power": idle_w}
    except Unreadable as error:
        reason = str(error)
        return {n: Measurement(value=None, unit=unit, reason=reason) for n, unit in units.items()}
    return {name: Measurement(value=found[name], unit=unit) for name, unit in units.items()}


def _idle(counter: Counter) -> tuple[float, float]:
    """Watts while this process waits, and the seconds between two values of the counter."""
    last = first = _change(counter, counter.joules())
    changes = 0
    while changes < PERIODS or last.at_s - first.at_s < WINDOW_S:
        last = _change(counter, last.joules)
        changes += 1
    spent_s = last.at_s - first.at_s
    return (last.joules - first.joules) / spent_s, spent_s / changes


def _busy(call: Callable[[], object], counter: Counter, period_s: float, device: str) -> float:
    """Joules a call, over a window of calls one after the other."""
    start = time.perf_counter()
    _run(call, 1, device)
    chunk = max(1, int(CHUNK_S / max(time.perf_counter() - start, 1e-9)))
    window_s = max(WINDOW_S, PERIODS * period_s)
    first = _change(counter, counter.joules())
    last, n_calls = first.joules, 0
    while True:
        _run(call, chunk, device)
        n_calls += chunk
        joules, spent_s = counter.joules(), time.perf_counter() - first.at_s
        if spent_s >= window_s and joules != last:
            return (joules - first.joules) / n_calls
        if joules == first.joules and spent_s >= window_s + STILL_S:
            raise Unreadable("the energy counter has stopped")
        last = joules


def _run(call: Callable[[], object], n: int, device: str) -> None:
    for _ in range(n):
        call()
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)


def _change(counter: Counter, last: float) -> _Reading:
    """The counter's next new value."""
    end = time.perf_counter() + STILL_S
    while (now := time.perf_counter()) < end:
        joules = counter.joules()
        if joules != last:
            return _Reading(at_s=now, joules=joules)
        time.sleep(0.001)
    raise Unreadable("the energy counter has stopped")


@contextmanager
def _counter(device: str) -> Iterator[Counter]:
    if not device.startswith("cuda"):
        yield _Packages()
        return
    with open_gpu(device) as gpu:
        yield gpu


class _Packages:
    """The processor packages' RAPL counters together, as Linux shows them."""

    def __init__(self) -> None:
        zones = sorted(POWERCAP.glob("intel-rapl:*"))  # AMD's packages have this name too
        self._zones = [z for z in zones if self._read(z / "name").startswith("package")]
        if not self._zones:
            raise Unreadable(f"this system shows no energy counter of its processor ({POWERCAP})")
        self._ranges = [int(self._read(z / "max_energy_range_uj")) + 1 for z in self._zones]
        self._last = self._values()
        self._total = 0

    def joules(self) -> float:
        """Energy since it was made; a counter that has begun again is seen once it is asked."""
        now = self._values()
        for value, last, span in zip(now, self._last, self._ranges, strict=True):
            self._total += (value - last) % span
        self._last = now
        return self._total / 1e6

    def _values(self) -> list[int]:
        return [int(self._read(zone / "energy_uj")) for zone in self._zones]

    @staticmethod
    def _read(path: Path) -> str:
        try:
            return path.read_text().strip()
        except PermissionError:
            raise Unreadable(f"{path} may be read by the administrator only") from None
        except OSError as error:
            raise Unreadable(f"{path}: {error.strerror}") from None
