"""What a run's meters came to: every cell over its processes, joined with an arm by variant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from serlab.bench.contracts import Measurement, Target, digest
from serlab.bench.errors import BadFile, SerlabError
from serlab.bench.meters.records import SCHEMA, Cell, Measured, measured_of
from serlab.bench.statistics.ratios import over_processes
from serlab.bench.store import Store

COUNTED = ("parameters", "trainable_parameters", "checkpoint", "macs", "flops")
"""Measurements that every process finds the same."""

NOT_ASKED = "nothing was metered for it in this run"


@dataclass(frozen=True, kw_only=True)
class Value:
    """A measurement over the processes that came to it; None has its reason.

    Of memory it is the largest over processes. Counts are the same in all. All else is a
    geometric mean, with the t interval of the mean logarithm.
    """

    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    """The interval; None for memory, for counts and from too few processes."""
    smallest: float | None = None
    largest: float | None = None
    n: int = 0
    """Processes."""
    reason: str = ""
    """The most frequent one of the processes."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What a cell was measured under."""

    device: str
    dtype: str
    batch: int
    seconds: float
    threads: int
    compiled: bool


@dataclass(frozen=True, kw_only=True)
class Metered:
    """One cell: a variant under some conditions, over the processes that measured it."""

    conditions: Conditions
    n_processes: int
    """That came to numbers."""
    n_calls: tuple[int, int]
    """Fewest and most timed calls of a process."""
    values: Mapping[str, Value]
    """By the names of `bench.meters.records.Measured`."""
    phases: Mapping[str, Value]
    uncounted: tuple[str, ...]
    failures: tuple[str, ...]
    """Why a process came to no numbers, each reason once."""
    samples_ns: tuple[tuple[int, ...], ...] = ()
    """Every timed call, by process."""


@dataclass(frozen=True, kw_only=True)
class ArmMeters:
    """The cells of one arm."""

    cells: tuple[Metered, ...] = ()
    headline: Metered | None = None
    """The one that tables and figures show."""
    reason: str = NOT_ASKED
    """Why there is none."""

    def get(self, name: str) -> Value:
        """A measurement of the headline's cell; without a value where there is none."""
        if self.headline is None:
            return Value(value=None, unit="", reason=self.reason)
        absent = Value(value=None, unit="", reason="it was not measured")
        return self.headline.values.get(name, absent)


_LISTS = {
    "device": "devices",
    "dtype": "dtypes",
    "batch": "batches",
    "seconds": "seconds",
    "threads": "threads",
}
"""The study's list of each condition."""


def _place_in(asked: object, value: object) -> int:
    """Where the list has the value; an empty text in it stands for the trials' own device."""
    held = asked if isinstance(asked, list) else []
    wanted = value if value in held else ""
    return held.index(wanted) if wanted in held else len(held)


_LOADS = ("load_before", "load_after")


def _load(record: Measured, when: str) -> float | None:
    """Processes that ran or waited, on average over a minute."""
    held = record.environment.get(when)
    return held.get("load_1m") if isinstance(held, Mapping) else None


def _before(record: Measured) -> tuple[float | None, int]:
    """The load before a process, and the cores that it might use."""
    cores = record.environment.get("cores")
    return _load(record, "load_before"), cores if isinstance(cores, int) else 1


def _span(loads: Sequence[float | None]) -> str | None:
    known = [one for one in loads if one is not None]
    return f"{min(known):.2f} to {max(known):.2f}" if known else None


@dataclass(frozen=True, kw_only=True)
class MeterRun:
    """All that the meters of a run left."""

    records: tuple[Measured, ...] = ()
    asked: Mapping[str, Any] = field(default_factory=dict)  # the study's table, threads a list
    level: float = 0.95
    n_old: int = 0
    """Files of another format, which are not read."""

    @cached_property
    def first(self) -> Conditions | None:
        """The conditions that tables and figures show: the first that the study asks for."""
        held = {conditions_of(r.cell) for r in self.records}
        return min(held, key=self._place, default=None)

    def _place(self, conditions: Conditions) -> tuple[object, ...]:
        """The places of the conditions in the study's lists, then the conditions themselves."""
        held = vars(conditions)
        places = (_place_in(self.asked.get(_LISTS[name]), held[name]) for name in _LISTS)
        return (*places, *held.values())

    def of(self, variant: Mapping[str, Any], n_classes: int, target: Target) -> ArmMeters:
        """The cells of the arm that has this variant, as JSON.

        Where a variant was measured for several label sets, those of this one are taken.
        """
        mine = self._by_variant.get(digest(variant), [])
        same = [r for r in mine if (r.cell.n_classes, r.cell.target) == (n_classes, target)]
        groups: dict[str, list[Measured]] = {}
        for record in same or mine:
            groups.setdefault(record.cell.key, []).append(record)
        cells = [(g[0].cell, _metered(g, self.level)) for g in groups.values()]
        cells.sort(key=lambda c: (self._place(c[1].conditions), not self._as_asked(c[0])))
        headline = next((m for _, m in cells if m.conditions == self.first), None)
        return ArmMeters(
            cells=tuple(m for _, m in cells),
            headline=headline if headline and headline.n_processes else None,
            reason=self._why_none(headline),
        )

    @cached_property
    def _by_variant(self) -> dict[str, list[Measured]]:
        found: dict[str, list[Measured]] = {}
        for record in self.records:
            found.setdefault(digest(record.cell.variant), []).append(record)
        return found

    def _as_asked(self, cell: Cell) -> bool:
        """Whether the number of calls is the study's; an earlier form of it may differ."""
        return bool(cell.calls == self.asked.get("calls", cell.calls))

    def _why_none(self, headline: Metered | None) -> str:
        if headline is not None:
            return headline.failures[0] if headline.failures else ""
        if self.records:
            return "it was not metered under the conditions of the others"
        return self.why_nothing

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the machine and of the files."""
        done = [r for r in self.records if r.status == "measured"]
        busy = [(now, n) for now, n in map(_before, done) if now is not None and now > n]
        told = []
        if busy:
            most, n_cores = max(busy)
            told.append(
                f"The machine was loaded before {len(busy)} of {len(done)} processes of the "
                f"meters: up to {most:.1f} processes ran or waited, with {n_cores} cores allowed. "
                "Their times may be too long, and the intervals too wide."
            )
        if self.n_old:
            told.append(f"{self.n_old} files of the meters are of an older format and not read.")
        return tuple(told)

    @property
    def environments(self) -> dict[str, Mapping[str, Any]]:  # JSON values of any shape
        """Each machine and its software once, with the span of the load, by name."""
        found: dict[str, dict[str, Any]] = {}
        for record in self.records:
            facts = {k: v for k, v in record.environment.items() if k not in _LOADS}
            if facts:
                name = f"meters-{digest(facts)[:16]}"
                spans = found.setdefault(name, {**facts, **{key: [] for key in _LOADS}})
                for key in _LOADS:
                    spans[key].append(_load(record, key))
        return {
            name: {k: _span(v) if k in _LOADS else v for k, v in facts.items()}
            for name, facts in found.items()
        }

    @property
    def why_nothing(self) -> str:
        """Why the run has no meters."""
        if self.n_old:
            return "the run's meters are of an older format, which this serlab does not read"
        return NOT_ASKED


def read_meters(store: Store, resolved: Mapping[str, Any], level: float) -> MeterRun:
    """The meters of a run; files of an older format are counted and not read.

    Raises:
        BadFile: a file is damaged.
    """
    found = store.meters()
    new = {name: held for name, held in found.items() if held.get("schema") == SCHEMA}
    study = resolved.get("study") or {}
    asked = study.get("meters") or {}
    threads = asked.get("threads") or (study.get("resources") or {}).get("threads")
    return MeterRun(
        records=tuple(
            _measured(store.path / "meters" / f"{name}.json", held) for name, held in new.items()
        ),
        asked={**asked, "threads": [threads]},
        level=level,
        n_old=len(found) - len(new),
    )


def _measured(path: Path, held: Mapping[str, Any]) -> Measured:
    try:
        return measured_of(held)
    except SerlabError as error:
        raise BadFile(path, f"is no record of the meters: {error}") from None


def conditions_of(cell: Cell) -> Conditions:
    """What the cell is measured under."""
    return Conditions(
        device=cell.device,
        dtype=cell.dtype,
        batch=cell.batch,
        seconds=cell.seconds,
        threads=cell.threads,
        compiled=cell.compiled,
    )


def _metered(records: Sequence[Measured], level: float) -> Metered:
    done = [r for r in records if r.status == "measured"]
    lost = dict.fromkeys(r.reason or r.status for r in records if r.status != "measured")
    calls = [len(r.samples_ns) for r in done] or [0]
    return Metered(
        conditions=conditions_of(records[0].cell),
        n_processes=len(done),
        n_calls=(min(calls), max(calls)),
        values=_joined([r.measurements for r in done], level),
        phases=_joined([r.phases for r in done], level),
        uncounted=tuple(dict.fromkeys(name for r in done for name in r.uncounted)),
        failures=tuple(lost),
        samples_ns=tuple(r.samples_ns for r in done),
    )


def _joined(found: Sequence[Mapping[str, Measurement]], level: float) -> dict[str, Value]:
    names = dict.fromkeys(name for one in found for name in one)
    return {name: over([one[name] for one in found if name in one], name, level) for name in names}


def over(found: Sequence[Measurement], name: str, level: float) -> Value:
    """One measurement over the processes that made it."""
    values = [m.value for m in found if m.value is not None]
    unit, reasons = found[0].unit, Counter(m.reason for m in found if m.reason)
    why = reasons.most_common(1)[0][0] if reasons else ""
    if not values:
        return Value(value=None, unit=unit, reason=why or "no reason is given")
    low, high = min(values), max(values)
    if name in COUNTED and low != high:
        why = f"processes differ, from {low:g} to {high:g}"
        return Value(value=None, unit=unit, n=len(values), reason=why)
    held = Value(value=high, unit=unit, smallest=low, largest=high, n=len(values), reason=why)
    if name in COUNTED or unit == "bytes" or low <= 0:
        return held
    mean = over_processes(values, level=level)
    return replace(held, value=mean.mean, low=mean.low, high=mean.high)
