"""The pass after the trials: the study's variants measured, each in fresh processes, one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from serlab.bench.contracts import Variant
from serlab.bench.meters.records import SCHEMA, Cell, Measured
from serlab.bench.store import Store
from serlab.bench.typed import build
from serlab.studies.facts import resolved
from serlab.studies.meter import conditions, file_name, measure_cells
from serlab.studies.plan import Plan
from serlab.studies.specification import Meters, Resources

Facts = Mapping[str, Any]  # JSON values
GONE = "torch sees no such device on this machine"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The cells that a run's meters ask for, with a label each."""

    cells: tuple[Cell, ...]
    labels: tuple[str, ...]
    meters: Meters


def meter_arms(store: Store, say: Callable[[str], None], plugins: Sequence[str] = ()) -> None:
    """Measures the arms of a run, but for what an earlier pass has measured.

    Each record is written as it comes. What failed, or was skipped as its device was gone, is
    measured again by a later pass.

    Args:
        store: a run whose trials have ended.
        say: takes a line of text for people.
        plugins: modules that register more systems.
    """
    wanted = wanted_of(store.resolved())
    held = {name for name, table in store.meters().items() if _stays(table)}
    every = product((cell.key for cell in wanted.cells), range(wanted.meters.processes))
    known = {(key, k) for key, k in every if f"{key}-{k}" in held}
    here = _skip_absent(store, wanted, known, say)
    left = sum((c.key, k) not in known for c in here.cells for k in range(wanted.meters.processes))
    if left:
        say(f"measuring speed, memory and size in fresh processes, {left} in all")
    for measured in measure_cells(
        here.cells,
        here.labels,
        processes=wanted.meters.processes,
        plugins=plugins,
        known=known,
        say=say,
    ):
        store.write_json(f"meters/{file_name(measured)}", measured)


def _stays(table: Facts) -> bool:
    """Whether a record is not to be measured again."""
    status, reason = table.get("status"), table.get("reason")
    ended = status == "measured" or (status == "skipped" and reason != GONE)
    return ended and table.get("schema") == SCHEMA


def wanted_of(facts: Facts) -> Wanted:
    """The cells of a run, the first conditions of all arms before the second ones.

    Of a search's variants these are the front, or the best where it looked at the score alone.
    Arms that share a variant share its cells.
    """
    study = facts["study"]
    meters: Meters = build(Meters, study["meters"], "meters")
    resources: Resources = build(Resources, study["resources"], "resources")
    skipped = {entry["arm"] for entry in facts["skipped"]}
    best = {facts.get("best"), *facts.get("front", ())}
    arms = [
        arm
        for arm in facts["arms"]
        if arm["name"] not in skipped and (arm["kind"] != "searched" or arm["name"] in best)
    ]
    found: dict[str, tuple[Cell, str]] = {}
    for under in _conditions(meters, resources):
        for arm in arms:
            cell = Cell(variant=Variant(**arm["variant"]), **_data(facts), **under)
            found.setdefault(cell.key, (cell, arm["name"]))
    return Wanted(
        cells=tuple(cell for cell, _ in found.values()),
        labels=tuple(label for _, label in found.values()),
        meters=meters,
    )


def _data(facts: Facts) -> dict[str, Any]:  # fields of a cell
    """What a network must know of the data, as the first corpus has it."""
    corpus = facts["corpora"][0]
    return {
        "n_classes": len(corpus["labels"]),
        "target": corpus["protocol"]["target"],
        "supplied": corpus["supplied"],
    }


def _conditions(meters: Meters, resources: Resources) -> list[dict[str, Any]]:  # fields of a cell
    """Every combination of what the meters list, the first being the one that is shown."""
    trials = "cuda" if resources.gpus else "cpu"
    lists = product(meters.devices, meters.dtypes, meters.batches, meters.seconds)
    return [
        {
            "device": device or trials,
            "dtype": dtype,
            "batch": batch,
            "seconds": seconds,
            "threads": meters.threads or resources.threads,
            "calls": meters.calls,
            "limit_s": meters.limit_s,
            "training": meters.training,
        }
        for device, dtype, batch, seconds in lists
    ]


def _skip_absent(
    store: Store, wanted: Wanted, known: set[tuple[str, int]], say: Callable[[str], None]
) -> Wanted:
    """The cells whose device is here; of the others it is written down that it is not."""
    here = []
    for cell, label in zip(wanted.cells, wanted.labels, strict=True):
        if _is_here(cell.device):
            here.append((cell, label))
            continue
        say(f"{label}, {conditions(cell)}: skipped: {GONE}")
        for k in range(wanted.meters.processes):
            if (cell.key, k) not in known:
                none = Measured(cell=cell, label=label, process=k, status="skipped", reason=GONE)
                store.write_json(f"meters/{file_name(none)}", none)
    return replace(wanted, cells=tuple(c for c, _ in here), labels=tuple(name for _, name in here))


def _is_here(device: str) -> bool:
    """Whether torch has a device on this machine."""
    if not device.startswith("cuda"):
        return True
    import torch

    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return int(device.partition(":")[2] or 0) < n


def meters_text(plan: Plan) -> list[str]:
    """What the pass after the trials will measure, in lines, and in how many processes."""
    study = plan.study
    if not study.meters.latency:
        return ["no meters after the trials"]
    wanted = wanted_of(resolved(plan, command="", created=""))
    under = list(dict.fromkeys(map(conditions, wanted.cells)))
    n, n_processes = len(wanted.cells), study.meters.processes
    if not n:
        return ["no meters after the trials: every arm is skipped"]
    more = ""
    if study.search:
        whose = "each variant of the search's front" if study.search.cost else "the search's best"
        more = f", and {len(under) * n_processes} for {whose}"
    counted = f"{n // len(under)} variants x {len(under)} conditions x {n_processes} processes"
    return [f"meters after the trials: {counted} = {n * n_processes} measuring processes{more}",
            *(f"  {text}" for text in under)]  # fmt: skip
