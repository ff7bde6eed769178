"""Two calls timed in turns in one process, beside a twin of the first that tells the noise.

`interleave` takes any callables without arguments, so a model of serlab can be held against
somebody else's module. A fair comparison then needs what `studies.comparison` sees to: inputs
made beforehand, no gradients kept where a prediction is timed, one number of threads, and a
twin that is built anew. One process is not enough for a verdict: see `statistics.ratios`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from serlab.bench.errors import BadValue

Call = Callable[[], object]
Timer = Callable[[Sequence[Call]], list[int]]

ORDERS = ("abt", "bta", "atb", "tab", "bat", "tba")
"""Of A, B and the twin in the first half of a round; its second half is the mirror image.

So a steady drift cancels within a round. Over six rounds all follow each other equally often,
and each follows itself as often as any other does: a call is quicker right after itself, where
it finds its own data in the cache.
"""
LEAST = 3
"""Rounds that are made whatever they take; each call has then been in the middle once."""
WARM_UP = 10
"""Most rounds before those that are kept."""
WARM_UP_SHARE = 0.1
"""Of the time limit."""


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Nanoseconds of three calls in the same rounds, each (round, 2)."""

    a: tuple[tuple[int, int], ...]
    b: tuple[tuple[int, int], ...]
    again: tuple[tuple[int, int], ...]
    """Of A's twin."""
    warm_up: int
    """Rounds before these."""


def interleave(
    a: Call, b: Call, again: Call, *, limit_s: float = 10.0, rounds: int = 300, device: str = "cpu"
) -> Turns:
    """Times two calls and a twin of the first in rounds such as A B A' A' B A.

    All three are warmed up first, in the same rounds. The garbage collector is off.

    Args:
        a: what is compared with.
        b: what is compared.
        again: the same as ``a``, built anew; its ratio to ``a`` shows what noise can do.
        limit_s: seconds after which no round is begun, but for the first three.
        rounds: most rounds.
        device: "cpu", or a CUDA device, on which a call's time is that between two events
            on the current stream; the device is waited for once a round.

    Raises:
        BadValue: the limit is not above 0, or there are fewer than three rounds.
    """
    if not 0 < limit_s < float("inf"):
        raise BadValue("limit", limit_s, "a number of seconds above 0")
    if rounds < LEAST:
        raise BadValue("rounds", rounds, f"an integer of at least {LEAST}")
    calls = {"a": a, "b": b, "t": again}
    timer = _host if device == "cpu" else _cuda
    with _quiet(), _on(device):
        warm_up = len(_rounds(calls, timer, limit_s * WARM_UP_SHARE, 1, WARM_UP))
        found = _rounds(calls, timer, limit_s, LEAST, rounds)
    times = {name: tuple(one[name] for one in found) for name in calls}
    return Turns(a=times["a"], b=times["b"], again=times["t"], warm_up=warm_up)


@contextmanager
def _quiet() -> Iterator[None]:
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


def _on(device: str) -> AbstractContextManager[object]:
    if device == "cpu":
        return nullcontext()
    import torch

    return torch.cuda.device(device)


def _rounds(
    calls: dict[str, Call], timer: Timer, limit_s: float, least: int, most: int
) -> list[dict[str, tuple[int, int]]]:
    found: list[dict[str, tuple[int, int]]] = []
    end = time.perf_counter() + limit_s
    while len(found) < least or (len(found) < most and time.perf_counter() < end):
        half = ORDERS[len(found) % len(ORDERS)]
        order = half + half[::-1]
        spent = timer([calls[name] for name in order])
        places = {name: (order.index(name), order.rindex(name)) for name in half}
        found.append({name: (spent[i], spent[j]) for name, (i, j) in places.items()})
    return found


def _host(calls: Sequence[Call]) -> list[int]:
    spent = [0] * len(calls)
    for i, call in enumerate(calls):
        start = time.perf_counter_ns()
        call()
        spent[i] = time.perf_counter_ns() - start
    return spent


def _cuda(calls: Sequence[Call]) -> list[int]:
    import torch

    def event() -> torch.cuda.Event:
        return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]

    events = [(event(), event()) for _ in calls]
    torch.cuda.synchronize()
    for (start, end), call in zip(events, calls, strict=True):
        start.record()
        call()
        end.record()
    torch.cuda.synchronize()
    return [round(start.elapsed_time(end) * 1e6) for start, end in events]
