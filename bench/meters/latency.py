"""Latency: one call between two clock reads, in a process that does nothing else.

Never inside a Ray trial; see ``studies.meter``, which gives each variant a fresh process.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence

import numpy as np

from serlab.bench.contracts import Measurement

ENOUGH = {"p50": 1, "p90": 64, "p95": 130, "p99": 662}
"""Calls from which a percentile is printed."""


def time_calls(
    call: Callable[[], object], n: int, *, warm_up: int = 10, device: str = "cpu"
) -> list[int]:
    """Nanoseconds of ``n`` calls after a warm-up, with the garbage collector off.

    On CUDA each call is timed by a pair of events, and the device is waited for once, at the
    end; what the host does beside it is not part of that time.
    """
    for _ in range(warm_up):
        call()
    gc.collect()
    gc.disable()
    try:
        return _cuda(call, n) if device.startswith("cuda") else _host(call, n)
    finally:
        gc.enable()


def _host(call: Callable[[], object], n: int) -> list[int]:
    spent = [0] * n
    for i in range(n):
        start = time.perf_counter_ns()
        call()
        spent[i] = time.perf_counter_ns() - start
    return spent


def _cuda(call: Callable[[], object], n: int) -> list[int]:
    import torch

    def event() -> torch.cuda.Event:
        return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    events = [(event(), event()) for _ in range(n)]
    torch.cuda.synchronize()
    for start, end in events:
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return [round(start.elapsed_time(end) * 1e6) for start, end in events]


def percentiles(samples_ns: Sequence[int]) -> dict[str, Measurement]:
    """p50 to p99 in milliseconds; null with the reason where the calls are too few.

    Example:
        >>> percentiles([1_000_000] * 100)["p90"].value
        1.0
        >>> percentiles([1_000_000] * 100)["p99"].reason
        'needs 662 calls, there are 100'
    """
    found = {}
    for name, enough in ENOUGH.items():
        if len(samples_ns) < enough:
            reason = f"needs {enough} calls, there are {len(samples_ns)}"
            found[name] = Measurement(value=None, unit="ms", reason=reason)
        else:
            value = float(np.percentile(samples_ns, float(name[1:]))) / 1e6
            found[name] = Measurement(value=value, unit="ms")
    return found
