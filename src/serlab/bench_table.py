"""The table of measured cells, and below it, once each, why a value is missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from serlab.bench.contracts import Measurement
from serlab.bench.meters.latency import ENOUGH
from serlab.bench.meters.records import Cell, Measured
from serlab.bench.statistics.ratios import over_processes
from serlab.reports.words import amount, compact, duration, listed, significant

DASH = "-"
BUSY = 0.5
"""Load per core from which the table says that the machine was busy."""


@dataclass(frozen=True)
class Column:
    """A measurement's heading and how its values are written."""

    title: str
    name: str
    text: Callable[[float], str]
    shown: str = "always"
    """Or "with values", or on "cuda"."""


def _bytes(value: float) -> str:
    return amount(value, "bytes")


COLUMNS = (
    Column("p50 ms", "latency_p50", significant),
    Column("p90 ms", "latency_p90", significant),
    Column("p95 ms", "latency_p95", significant, "with values"),
    Column("p99 ms", "latency_p99", significant, "with values"),
    Column("utt/s", "throughput", significant),
    Column("RTF", "rtf", significant),
    Column("RTF+feat", "rtf_with_features", significant),
    Column("step ms", "train_p50", significant),
    Column("params", "parameters", compact),
    Column("MACs", "macs", compact),
    Column("memory", "peak_memory", _bytes),
    Column("step mem", "train_peak_memory", _bytes),
    Column("alloc", "cuda_allocated", _bytes, "cuda"),
    Column("reserved", "cuda_reserved", _bytes, "cuda"),
    Column("VRAM", "cuda_process", _bytes, "cuda"),
    Column("step alloc", "train_cuda_allocated", _bytes, "cuda"),
    Column("step reserved", "train_cuda_reserved", _bytes, "cuda"),
    Column("step VRAM", "train_cuda_process", _bytes, "cuda"),
    Column("J/call", "energy", significant, "with values"),
)
LEGEND = (
    "p50, p90: percentiles of the time of a call, from features to scores. utt/s: utterances a "
    "second.\nRTF: seconds of computing a second of audio; RTF+feat: with the features. "
    "step: one training step,\nof the stage that takes longest. MACs: multiply-accumulates of a "
    "call. memory: peak of the process\nin a call; step mem: in a training step."
)

CONDITIONS: Mapping[str, Callable[[Cell], str]] = {
    "device": lambda cell: cell.device,
    "dtype": lambda cell: cell.dtype,
    "threads": lambda cell: str(cell.threads),
    "compiled": lambda cell: "yes" if cell.compiled else "no",
    "batch": lambda cell: str(cell.batch),
    "s": lambda cell: f"{cell.seconds:g}",
}


@dataclass(frozen=True)
class Row:
    """All processes that measured a cell."""

    label: str
    cell: Cell
    done: tuple[Measured, ...]
    """Those that came to an end."""
    failed: tuple[Measured, ...]
    """Those that failed or were skipped."""

    def values(self, name: str) -> list[float]:
        """A measurement, by process."""
        found = [one.measurements.get(name) for one in self.done]
        return [m.value for m in found if m is not None and m.value is not None]

    def reasons(self, name: str) -> list[str]:
        """Why processes have no such value."""
        found: list[Measurement | None] = [one.measurements.get(name) for one in self.done]
        return [m.reason for m in found if m is not None and m.value is None]

    def name(self) -> str:
        """What a message calls it."""
        return f"{self.label} {self.cell.batch} x {self.cell.seconds:g} s"


def bench_table(measured: Sequence[Measured]) -> str:
    """The table and its notes; a row is a cell, whichever number of processes measured it."""
    rows = _rows(measured)
    columns = [c for c in COLUMNS if _is_shown(c, rows)]
    varying = [n for n in CONDITIONS if n in ("batch", "s") or len(_under(rows, n)) > 1]
    head = ["variant", *varying, *(c.title for c in columns)]
    lines = [[row.label, *(CONDITIONS[n](row.cell) for n in varying),
              *(_text(row, c) for c in columns)] for row in rows]  # fmt: skip
    same = {name: _under(rows, name)[0] for name in CONDITIONS if name not in varying}
    table = _aligned([head, *lines])
    return "\n".join([_headline(same), "", *table, "", LEGEND, *_notes(rows, columns)])


def _rows(measured: Sequence[Measured]) -> list[Row]:
    cells: dict[str, list[Measured]] = {}
    for one in measured:
        cells.setdefault(one.cell.key, []).append(one)
    return [
        Row(
            label=held[0].label,
            cell=held[0].cell,
            done=tuple(one for one in held if one.status == "measured"),
            failed=tuple(one for one in held if one.status != "measured"),
        )
        for held in cells.values()
    ]


def _under(rows: Iterable[Row], name: str) -> list[str]:
    return list(dict.fromkeys(CONDITIONS[name](row.cell) for row in rows))


def _is_shown(column: Column, rows: Sequence[Row]) -> bool:
    if column.name.startswith("train_") and not any(row.cell.training for row in rows):
        return False
    if column.shown == "cuda":
        return any(row.cell.device.startswith("cuda") for row in rows)
    return column.shown == "always" or any(row.values(column.name) for row in rows)


def _text(row: Row, column: Column) -> str:
    """The median over processes; with its interval where it is the call's p50 of several."""
    if column.name == "latency_p50" and not row.done:
        return row.failed[0].status
    values = row.values(column.name)
    if not values:
        return DASH
    if column.name == "latency_p50" and len(values) > 1:
        found = over_processes(values)
        text = column.text(found.mean)
        if found.low is None or found.high is None:
            return text
        return f"{text} [{column.text(found.low)}, {column.text(found.high)}]"
    return column.text(median(values))


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            text.rjust(width) if i else text.ljust(width)
            for i, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _headline(same: Mapping[str, str]) -> str:
    """The conditions that all rows share."""
    said = [same[name] for name in ("device", "dtype") if name in same]
    if "threads" in same:
        said.append(f"{same['threads']} thread" + ("" if same["threads"] == "1" else "s"))
    if same.get("compiled") == "yes":
        said.append("compiled")
    return ", ".join([*said, "random weights, noise as audio"])


# --- notes -----------------------------------------------------------------------------------


def _notes(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """What failed, why values are missing, and what the reader must know of the machine."""
    lines = [
        f"{one.status}: {row.name()}: {one.reason}"
        for row in rows
        for one in row.failed[:1]
    ]  # fmt: skip
    few = [n for n in ENOUGH if any(row.reasons(f"latency_{n}") for row in rows)]
    if few:
        needs = listed([f"{name} {ENOUGH[name]}" for name in few])
        lines.append(f"{DASH} in a percentile: too few timed calls; needed are for {needs} "
                     "(--calls, --limit)")  # fmt: skip
    lines += _missing(rows, [c for c in columns if not c.name.startswith("latency")])
    lines += _start(rows) + _busy(rows)
    several = max((len(row.done) for row in rows), default=0)
    if several > 1:
        lines.append(f"p50 with its 95 % interval over {several} processes; all else is the median")
    return ["", *lines] if lines else []


def _missing(rows: Sequence[Row], columns: Sequence[Column]) -> list[str]:
    """Each reason once, with the columns and the rows that it holds for."""
    held: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for column in [*columns, *(c for c in COLUMNS if c.name == "energy" and c not in columns)]:
        reasons: dict[str, list[str]] = {}
        for row in rows:
            for reason in row.reasons(column.name)[:1]:
                reasons.setdefault(reason, []).append(row.name())
        for reason, names in reasons.items():
            held.setdefault((reason, tuple(names)), []).append(column.title)
    return [
        f"no {listed(titles)}{_for(names, rows)}: {reason}"
        for (reason, names), titles in held.items()
    ]


def _for(names: Sequence[str], rows: Sequence[Row]) -> str:
    """The rows in short: nothing where it is all, and variants where all of theirs are in."""
    if len(names) == sum(bool(row.done) for row in rows):
        return ""
    left, said = set(names), []
    for label in dict.fromkeys(row.label for row in rows):
        mine = [row.name() for row in rows if row.label == label and row.done]
        said += [label] if left.issuperset(mine) and mine else [n for n in mine if n in left]
    return f" ({'; '.join(said)})"


def _start(rows: Sequence[Row]) -> list[str]:
    """What comes before the timed calls."""
    said = []
    for name in ("import", "build", "load", "first_call"):
        found = [one.phases.get(name) for row in rows for one in row.done]
        values = [m.value for m in found if m is not None and m.value is not None]
        if values:
            said.append(f"{name.replace('_', ' ')} {duration(median(values))}")
    return [f"before the timed calls, medians of the cells: {', '.join(said)}"] if said else []


def _busy(rows: Sequence[Row]) -> list[str]:
    """A warning where others used the machine before the first cell was measured."""
    loads = [one.environment.get("load_before") for row in rows for one in row.done]
    first = loads[0] if loads else None
    if not isinstance(first, Mapping) or (first.get("load_per_core") or 0) < BUSY:
        return []
    return [f"the machine was busy when this began (load {first['load_1m']:.1f}, "
            f"{first['load_per_core']:.1f} a core): times are longer and vary more"]  # fmt: skip
