"""Two variants compared by pairs: several fresh processes, each of which times both in turns.

`compare_variants` starts ``python -m serlab.studies.comparison ASKED RESULT`` as often as asked,
one process at a time; each builds A, B and a twin of A, and times them by `meters.compare`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from serlab.bench.contracts import plain
from serlab.bench.errors import BadValue
from serlab.bench.meters.environment import fingerprint, load
from serlab.bench.meters.records import LEAST_ROUNDS, Cell, What
from serlab.bench.statistics.ratios import Judged, Ratio, judge, log_ratios, ratio_of
from serlab.bench.typed import build
from serlab.studies.meter import PATIENCE_S, Say, load_plugins, run_apart
from serlab.studies.progress import clock

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is compared, how, and for how long."""

    a: Cell
    b: Cell
    """Under the same conditions as ``a``."""
    what: What = "call"
    rounds: int = 300
    """Most rounds of a process, each with two calls of A, B and A's twin."""
    limit_s: float = 10.0
    """Seconds after which a process begins no round."""

    def __post_init__(self) -> None:
        """Checks the numbers."""
        if self.rounds < LEAST_ROUNDS:
            raise BadValue("rounds", self.rounds, f"an integer of at least {LEAST_ROUNDS}")
        if not 0 < self.limit_s < float("inf"):
            raise BadValue("limit", self.limit_s, "a number of seconds above 0")

    @property
    def same(self) -> bool:
        """Whether A and B are the same variant: what is found is noise."""
        return self.a == self.b


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a process is to do."""

    pair: Pair
    process: int = 0
    plugins: tuple[str, ...] = ()
    """Modules that it imports first."""
    paths: tuple[str, ...] = ()
    """Folders that these may lie in."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """What a process found; times are nanoseconds, (round, 2)."""

    process: int
    reason: str = ""
    """Why there are no times."""
    a: tuple[tuple[int, ...], ...] = ()
    b: tuple[tuple[int, ...], ...] = ()
    again: tuple[tuple[int, ...], ...] = ()
    """Of A's twin."""
    warm_up: int = 0
    """Rounds before these."""
    environment: dict[str, Any] = field(default_factory=dict)  # JSON values
    load_before: dict[str, float | None] = field(default_factory=dict)
    load_after: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All processes, and what they come to; without any that was measured there is no ratio."""

    labels: tuple[str, str]
    pair: Pair
    processes: tuple[Timed, ...]
    ratio: Ratio | None
    """B's time over A's."""
    again: Ratio | None
    """The time of A's twin over A's: the noise of this very run."""
    judged: Judged | None
    a_ms: float | None
    """Median call of A over all processes, in milliseconds."""
    b_ms: float | None
    schema: int = SCHEMA

    @property
    def failures(self) -> tuple[Timed, ...]:
        """The processes that found nothing."""
        return tuple(one for one in self.processes if one.reason)


def check_pair(pair: Pair) -> None:
    """Refuses what cannot be timed, before any process is started.

    Raises:
        SerlabError: a variant has no such call under these conditions; says why.
    """
    from serlab.bench.meters.compare import check_subject  # torch costs seconds
    from serlab.models.variant import make

    for cell in (pair.a, pair.b):
        check_subject(make(cell.variant), cell, pair.what)


def compare_variants(
    pair: Pair,
    labels: tuple[str, str],
    *,
    processes: int = 5,
    plugins: Sequence[str] = (),
    say: Say = lambda text: None,
    patience_s: float = PATIENCE_S,
) -> Comparison:
    """Compares two variants in so many fresh processes, one at a time.

    Where the first fails the others are not started: they would do the same.

    Args:
        pair: what is compared.
        labels: what people call A and B.
        processes: how many; from three on there is a verdict.
        plugins: modules that register more systems.
        say: takes lines for people.
        patience_s: seconds that a process may take beside ten times the limit.

    Raises:
        SerlabError: as `check_pair`.
    """
    if processes < 1:
        raise BadValue("processes", processes, "an integer of at least 1")
    check_pair(pair)
    found: list[Timed] = []
    start = time.monotonic()
    for k in range(processes):
        left = (time.monotonic() - start) / k * (processes - k) if k else 0.0
        say(f"process {k + 1}/{processes}" + (f", about {clock(left)} left" if k else ""))
        asked = Asked(pair=pair, process=k, plugins=tuple(plugins), paths=tuple(sys.path))
        found.append(_apart(asked, patience_s))
        if found[-1].reason:
            say(f"process {k + 1}/{processes} failed: {found[-1].reason}")
            if not k:
                break
    return summed_up(pair, labels, found)


def summed_up(pair: Pair, labels: tuple[str, str], processes: Sequence[Timed]) -> Comparison:
    """What processes come to; those that failed are left out of all numbers."""
    good = [one for one in processes if not one.reason]
    ratio = ratio_of([log_ratios(one.b, one.a) for one in good]) if good else None
    again = ratio_of([log_ratios(one.again, one.a) for one in good]) if good else None
    return Comparison(
        labels=labels,
        pair=pair,
        processes=tuple(processes),
        ratio=ratio,
        again=again,
        judged=judge(ratio, again) if ratio and again else None,
        a_ms=_median_ms([one.a for one in good]),
        b_ms=_median_ms([one.b for one in good]),
    )


def _median_ms(processes: Sequence[Sequence[Sequence[int]]]) -> float | None:
    times = [ns for rounds in processes for pair in rounds for ns in pair]
    return median(times) / 1e6 if times else None


def _apart(asked: Asked, patience_s: float) -> Timed:
    found = run_apart(
        "serlab.studies.comparison",
        asked,
        threads=asked.pair.a.threads,
        limit_s=patience_s + 10 * asked.pair.limit_s,
    )
    if isinstance(found, str):
        return Timed(process=asked.process, reason=found)
    return Timed(**found)


# --- the process ---------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Times what a file asks for and writes what it found to another."""
    request, result = map(Path, arguments)
    asked: Asked = build(Asked, json.loads(request.read_text(encoding="utf-8")), "asked")
    result.write_text(json.dumps(plain(time_here(asked))), encoding="utf-8")
    return 0


def time_here(asked: Asked) -> Timed:
    """What this process finds; a failure with its reason where something raises.

    A, B and the twin are built in another order in every process, as the first finds memory
    that is less in pieces.
    """
    load_plugins(asked.plugins, asked.paths)
    import torch

    from serlab.bench.meters.cell import reason_of
    from serlab.bench.meters.compare import ORDERS, call_of, interleave
    from serlab.models.variant import make

    pair = asked.pair
    torch.set_num_threads(pair.a.threads)
    cells = {"a": pair.a, "b": pair.b, "t": pair.a}
    before = load()
    try:
        calls = {
            name: call_of(make(cells[name].variant), cells[name], pair.what)
            for name in ORDERS[asked.process % len(ORDERS)]
        }
        turns = interleave(
            calls["a"], calls["b"], calls["t"],
            limit_s=pair.limit_s, rounds=pair.rounds, device=pair.a.device,
        )  # fmt: skip
    except Exception as error:
        return Timed(process=asked.process, reason=reason_of(error))
    return Timed(
        process=asked.process,
        a=turns.a,
        b=turns.b,
        again=turns.again,
        warm_up=turns.warm_up,
        environment=fingerprint(pair.a.device),
        load_before=before,
        load_after=load(),
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
