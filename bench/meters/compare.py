"""Two calls timed in turns in one process, beside a twin of the first that tells the noise.

`interleave` takes any callables without arguments, so a model of serlab can be held against
somebody else's module. A fair comparison then needs what `studies.comparison` sees to: inputs
made beforehand, no gradients kept where a prediction is timed, one number of threads, and a
twin that is built anew. One process is not enough for a verdict: see `statistics.ratios`.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace

from serlab.bench.contracts import System
from serlab.bench.errors import BadValue, SerlabError
from serlab.bench.meters.cell import ESTIMATOR, Subject, prepare, refusal
from serlab.bench.meters.inputs import check_inputs, make_inputs
from serlab.bench.meters.latency import WARM_UP_SHARE, Call, quiet, time_once
from serlab.bench.meters.records import LEAST_ROUNDS, Cell, What

ORDERS = ("abt", "bta", "atb", "tab", "bat", "tba")
"""Of A, B and the twin in the first half of a round; its second half is the mirror image.

So a steady drift cancels within a round. Over six rounds all follow each other equally often,
and each follows itself as often as any other does: a call is quicker right after itself, where
it finds its own data in the cache.
"""
WARM_UP = 10
"""Most rounds before those that are kept."""


# --- in turns ------------------------------------------------------------------------------------


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
    if rounds < LEAST_ROUNDS:
        raise BadValue("rounds", rounds, f"an integer of at least {LEAST_ROUNDS}")
    calls = {"a": a, "b": b, "t": again}
    with quiet():
        warm_up = len(_rounds(calls, device, limit_s * WARM_UP_SHARE, 1, WARM_UP))
        found = _rounds(calls, device, limit_s, LEAST_ROUNDS, rounds)
    times = {name: tuple(one[name] for one in found) for name in calls}
    return Turns(a=times["a"], b=times["b"], again=times["t"], warm_up=warm_up)


def _rounds(
    calls: dict[str, Call], device: str, limit_s: float, least: int, most: int
) -> list[dict[str, tuple[int, int]]]:
    found: list[dict[str, tuple[int, int]]] = []
    end = time.perf_counter() + limit_s
    while len(found) < least or (len(found) < most and time.perf_counter() < end):
        half = ORDERS[len(found) % len(ORDERS)]
        order = half + half[::-1]
        spent = time_once([calls[name] for name in order], device)
        places = {name: (order.index(name), order.rindex(name)) for name in half}
        found.append({name: (spent[i], spent[j]) for name, (i, j) in places.items()})
    return found


# --- a system's call -----------------------------------------------------------------------------


def check_subject(system: System, cell: Cell, what: What) -> None:
    """Refuses what cannot be timed, before anything is built.

    Raises:
        SerlabError: the system has no such call under the cell's conditions; says why.
    """
    check_inputs(system, cell)
    reason = _refusal(system, cell, what)
    if reason:
        raise SerlabError(f"{cell.variant.system} cannot be compared: {reason}")


def _refusal(system: System, cell: Cell, what: What) -> str:
    if what == "call":
        return refusal(system, cell)
    if cell.compiled:
        return f"--compile is for calls, not for --what {what}"
    if what == "features":
        plain = cell.device == "cpu" and cell.dtype == "fp32"
        return "" if plain else "features are computed on the CPU, in their own precision"
    if not system.stages():
        return ESTIMATOR
    return "training knows fp32 and bf16 only" if cell.dtype == "fp16" else ""


def call_of(system: System, cell: Cell, what: What) -> Call:
    """What is timed, built anew: a prediction, a training step, or the features of a batch.

    "train" is a step of every stage of the training, one after the other.
    """
    if what == "features":
        return make_inputs(system, cell).compute
    subject = prepare(system, cell)
    return subject.call if what == "call" else _training(subject)


def _training(subject: Subject) -> Call:
    """Each stage has a network of its own, as it says what is trained and in which mode."""
    stages = subject.system.stages()
    subjects = [replace(subject, built=copy.deepcopy(subject.built)) for _ in stages]
    steps = [one.step(stage) for one, stage in zip(subjects, stages, strict=True)]

    def call() -> None:
        for step in steps:
            step()

    return call
