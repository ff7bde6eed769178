"""The meters of an arm as rows, and how they were taken, in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from serlab.bench.meters.latency import ENOUGH
from serlab.bench.statistics.ratios import FEWEST
from serlab.reports.meters import ArmMeters, Conditions, Metered, Value
from serlab.reports.records import Block
from serlab.reports.words import (
    amount,
    clean,
    compact,
    count,
    duration,
    label,
    listed,
    plural,
    significant,
)

TITLES = {
    "latency_p50": "latency p50, ms",
    "latency_p90": "p90, ms",
    "latency_p95": "p95, ms",
    "latency_p99": "p99, ms",
    "throughput": "utterances a second",
    "rtf": "RTF",
    "feature_p50": "features, ms",
    "rtf_with_features": "RTF with features",
    "train_p50": "training step, ms",
    "macs": "MACs",
    "peak_memory": "memory (call)",
    "train_peak_memory": "memory (step)",
    "cuda_allocated": "CUDA allocated (call)",
    "cuda_reserved": "CUDA reserved (call)",
    "cuda_process": "VRAM of the process (call)",
    "train_cuda_allocated": "CUDA allocated (step)",
    "train_cuda_reserved": "CUDA reserved (step)",
    "train_cuda_process": "VRAM of the process (step)",
    "energy": "energy of a call, J",
    "idle_power": "idle power, W",
}
"""Headings of the measurements that depend on the conditions; any other is shown by its name."""

SIZES = ("parameters", "trainable_parameters", "checkpoint", "flops")
"""Told in a line: they are those of the variant, and FLOPs are twice the MACs."""


@dataclass(frozen=True, kw_only=True)
class MeterTable:
    """What the page tells of one arm's meters."""

    size: str
    """Parameters and checkpoint, in a line."""
    phases: str
    """Seconds of each phase under the first conditions, in a line."""
    conditions: tuple[str, ...]
    """Of each cell, the first those that tables and figures show."""
    rows: tuple[tuple[str, ...], ...]
    """What is measured, then its value in each cell."""
    remarks: tuple[str, ...]
    """Why something has no value somewhere, or what is said of one."""


def meter_table(meters: ArmMeters) -> MeterTable | None:
    """The arm's cells side by side; a row for whatever any of them has."""
    if not meters.cells:
        return None
    done = [cell for cell in meters.cells if cell.n_processes]
    names = [name for name in _names(done) if any(_has(cell, name) for cell in done)]
    return MeterTable(
        size=_size(done),
        phases=_phases(meters.headline),
        conditions=tuple(conditions_words(cell.conditions) for cell in meters.cells),
        rows=(
            ("processes", *(str(cell.n_processes) for cell in meters.cells)),
            ("calls of a process", *(_calls(cell) for cell in meters.cells)),
            *(_row(name, meters.cells) for name in names),
        ),
        remarks=_remarks(meters.cells),
    )


def _names(cells: Iterable[Metered]) -> list[str]:
    found = dict.fromkeys(name for cell in cells for name in cell.values if name not in SIZES)
    known = [name for name in TITLES if name in found]
    return known + [name for name in found if name not in TITLES]


def _has(cell: Metered, name: str) -> bool:
    return name in cell.values and cell.values[name].value is not None


def _plain(name: str) -> str:
    return clean(name).replace("_", " ")


def _calls(cell: Metered) -> str:
    low, high = cell.n_calls
    told = count(low) if low == high else f"{count(low)} to {count(high)}"
    return told if cell.n_processes else "–"


def _row(name: str, cells: Iterable[Metered]) -> tuple[str, ...]:
    title = TITLES.get(name, _plain(name))
    return (title, *(quantity(cell.values.get(name)) for cell in cells))


def quantity(held: Value | None) -> str:
    """``2.31 [2.10, 2.55]``, ``312 MiB`` or ``1.20 M``; a dash where there is no value."""
    if held is None or held.value is None:
        return "–"
    if held.unit == "bytes":
        return amount(held.value, held.unit)
    if held.unit in {"MAC", "FLOP"}:
        return compact(held.value)
    return f"{significant(held.value)} {bounds(held)}".strip()


def bounds(held: Value) -> str:
    """``[2.10, 2.55]``; nothing where there is no interval."""
    if held.low is None or held.high is None:
        return ""
    return f"[{significant(held.low)}, {significant(held.high)}]"


def conditions_words(held: Conditions) -> str:
    """``cpu, fp32, batch 8, 3 s, 1 thread``."""
    parts = [clean(held.device), held.dtype, f"batch {held.batch}", f"{held.seconds:g} s"]
    parts += [plural(held.threads, "thread")] + ["compiled"] * held.compiled
    return ", ".join(parts)


def _size(cells: Iterable[Metered]) -> str:
    values = next((cell.values for cell in cells), {})
    found = {name: values[name] for name in SIZES if name in values}
    told = []
    if parameters := found.get("parameters"):
        told.append(f"{count(parameters.value)} parameters")
    if trained := found.get("trainable_parameters"):
        told.append(f"{count(trained.value)} of them trained")
    if checkpoint := found.get("checkpoint"):
        size = amount(checkpoint.value, "bytes")
        told.append(f"a checkpoint of {size}" if checkpoint.value is not None else "no checkpoint")
    return ", ".join(told)


def _phases(cell: Metered | None) -> str:
    held = cell.phases if cell else {}
    named = ((_plain(name), value.value) for name, value in held.items())
    return ", ".join(f"{name} {duration(value)}" for name, value in named if value is not None)


def _remarks(cells: Iterable[Metered]) -> tuple[str, ...]:
    """Each reason once, with the measurements that it is of; then the cells that failed."""
    found: dict[str, dict[str, None]] = {}
    lost = []
    for cell in cells:
        for name, value in (*cell.values.items(), *cell.phases.items()):
            if value.reason:
                found.setdefault(value.reason, {})[_brief(name)] = None
        lost += [f"{conditions_words(cell.conditions)}: {clean(why)}" for why in cell.failures]
    return (*(f"{listed(tuple(names))}: {clean(why)}" for why, names in found.items()), *lost)


def _brief(name: str) -> str:
    return TITLES.get(name, _plain(name)).partition(",")[0]


# --- words -----------------------------------------------------------------------------------


def meter_failures(block: Block) -> tuple[str, ...]:
    """One line for each cell that could not be measured."""
    return tuple(
        f"Meters of {label(arm.name)} ({conditions_words(cell.conditions)}): {clean(why)}"
        for arm in block.arms
        for cell in arm.meters.cells
        for why in cell.failures
    )


def headline_words(block: Block) -> str:
    """The conditions of the numbers in the table; empty where nothing was measured."""
    if block.metered is None or not any(arm.meters.headline for arm in block.arms):
        return ""
    held = [arm.meters.headline for arm in block.arms if arm.meters.headline]
    processes = _range(cell.n_processes for cell in held)
    calls = _range(n for cell in held for n in cell.n_calls)
    return (
        f"{conditions_words(block.metered)}; {_counted(processes, 'process', 'processes')} of "
        f"{_counted(calls, 'call', 'calls')}"
    )


def _range(values: Iterable[int]) -> tuple[int, int]:
    held = list(values)
    return min(held), max(held)


def _counted(span: tuple[int, int], one: str, more: str) -> str:
    low, high = span
    if low == high:
        return f"{count(low)} {one if low == 1 else more}"
    return f"{count(low)} to {count(high)} {more}"


def meter_methods(block: Block) -> str:
    """The paragraph on speed, memory and size, for a paper's methods section."""
    cells = [cell for arm in block.arms for cell in arm.meters.cells]
    if not any(cell.n_processes for cell in cells):
        return ""
    enough = listed([f"{name} from {n} calls" for name, n in ENOUGH.items() if n > 1])
    return " ".join(
        (
            "Speed, memory and size are measured after the trainings and never inside one: each "
            "combination of conditions in fresh processes, one after the other, on noise of the "
            "stated length and with random weights. A process keeps import, build, load, first "
            "call, warm-up and steady calls apart; memory, operations and energy are passes of "
            "their own. Between two readings of the clock stands one call of the network, on "
            "features that are in memory.",
            f"Latency is a process's median call ({enough}); what is printed is the geometric mean "
            f"over processes with, from {FEWEST} of them on, the {block.study.level:.0%} interval "
            "of Student's t on its logarithm, as calls of one process are no replicates. RTF is "
            "the seconds of computing for a second of audio, over the whole batch. A training step "
            "is one update of the weights in the stage that takes longest.",
            _operations(cells),
            "Peak memory is the largest resident set of the process during the section, what was "
            "loaded before included, and the largest over processes.",
            *_cuda_words(cells),
        )
    )


def _operations(cells: Iterable[Metered]) -> str:
    unknown = sorted({name for cell in cells for name in cell.uncounted})
    text = (
        "MACs are multiply-accumulates of one call (half its FLOPs), counted with fused kernels "
        "switched off; where an operator has no formula there is no number"
    )
    return f"{text}: {listed([clean(name) for name in unknown])}." if unknown else f"{text}."


def _cuda_words(cells: Iterable[Metered]) -> tuple[str, ...]:
    if not any(cell.conditions.device.startswith("cuda") and cell.n_processes for cell in cells):
        return ()
    return (
        "On CUDA, calls are timed by events; allocated and reserved are the peaks of torch's own "
        "allocator, and the VRAM of the process is what the driver reports.",
    )
