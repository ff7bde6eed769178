"""Latency: one call between two clock reads, in a process that does nothing else.

Never inside a Ray trial; see ``studies.meter``, which gives each variant a fresh process.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from serlab.bench.contracts import Measurement

Call = Callable[[], object]

ENOUGH = {"p50": 1, "p90": 64, "p95": 130, "p99": 662}
"""Calls from which a percentile is printed."""
LEAST = 5
"""Calls that are timed whatever they take."""
WARM_UP_SHARE = 0.1
"""Of the time limit, after which the warm-up ends."""
EVENTS = 256
"""Calls on CUDA between two waits for the device."""


# --- timing ----------------------------------------------------------------------------------


def time_calls(
    call: Call, n: int, *, warm_up: int = 10, device: str = "cpu", limit_s: float = math.inf
) -> list[int]:
    """Nanoseconds of ``n`` calls after a warm-up, with the garbage collector off.

    On CUDA each call is timed by a pair of events, and the device is waited for after up to
    `EVENTS` of them; what the host does beside it is not part of that time.

    Args:
        call: what is timed.
        n: timed calls; fewer, but at least `LEAST`, where they take longer than the limit.
        warm_up: calls before them; fewer where these take longer than a tenth of the limit.
        device: where the call runs.
        limit_s: seconds after which no call is begun.
    """
    with quiet():
        _repeat(call, warm_up, device, limit_s * WARM_UP_SHARE, least=1)
        return _repeat(call, n, device, limit_s, least=LEAST)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the garbage collector from running in the middle of a call."""
    was_on = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()


def _repeat(call: Call, n: int, device: str, limit_s: float, *, least: int) -> list[int]:
    spent: list[int] = []
    begin = time.perf_counter()
    while len(spent) < n:
        used = time.perf_counter() - begin
        if len(spent) >= least and used >= limit_s:
            break
        size = 1
        if device.startswith("cuda"):  # as many as the time that is left allows
            fitting = (limit_s - used) / used * len(spent) if spent else least
            size = int(min(n - len(spent), EVENTS, max(1.0, fitting)))
        spent += time_once([call] * size, device)
    return spent


def time_once(calls: Sequence[Call], device: str = "cpu") -> list[int]:
    """Nanoseconds of each of some calls, one after the other; CUDA is waited for at the end."""
    if device.startswith("cuda"):
        return _cuda(calls, device)
    spent = [0] * len(calls)
    for i, call in enumerate(calls):
        start = time.perf_counter_ns()
        call()
        spent[i] = time.perf_counter_ns() - start
    return spent


def _cuda(calls: Sequence[Call], device: str) -> list[int]:
    import torch

    def event() -> torch.cuda.Event:
        return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    with torch.cuda.device(device):
        events = [(event(), event()) for _ in calls]
        torch.cuda.synchronize()
        for call, (start, end) in zip(calls, events, strict=True):
            start.record()
            call()
            end.record()
        torch.cuda.synchronize()
    return [round(start.elapsed_time(end) * 1e6) for start, end in events]


# --- what the times come to ------------------------------------------------------------------


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


def throughput(samples_ns: Sequence[int], n_utterances: int) -> Measurement:
    """Utterances a second, of calls with so many utterances each, over all of their time.

    Example:
        >>> throughput([1_000_000, 3_000_000], 8).value
        4000.0
    """
    if not samples_ns:
        return Measurement(value=None, unit="1/s", reason="there is no call")
    value = n_utterances * len(samples_ns) / (sum(samples_ns) / 1e9)
    return Measurement(value=value, unit="1/s")


def real_time_factor(audio_s: float, *samples_ns: Sequence[int]) -> Measurement:
    """Seconds of computing a second of audio, by the median call; the steps' medians add up.

    Args:
        audio_s: seconds of audio in a call, those of all utterances of a batch together.
        samples_ns: the calls of each step, such as features and network.

    Example:
        >>> real_time_factor(4.0, [750_000_000], [250_000_000, 250_000_000]).value
        0.25
    """
    if not samples_ns or not all(samples_ns):
        return Measurement(value=None, unit="s/s", reason="a step has no call")
    spent_s = sum(float(np.median(step)) for step in samples_ns) / 1e9
    return Measurement(value=spent_s / audio_s, unit="s/s")
