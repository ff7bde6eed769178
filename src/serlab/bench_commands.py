"""The command that measures: variants under conditions, each cell in a process of its own."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from serlab.bench.errors import BadFile, BadValue
from serlab.commands import device_of, say

if TYPE_CHECKING:
    from serlab.bench.contracts import Variant
    from serlab.bench.meters.records import Cell, Measured

T = TypeVar("T")

VARIANT = "a system, such as li2018, li2018:paper, or li2018:paper,pooling=max,n_heads=4"


def add_parser(commands: Any, parents: Sequence[ArgumentParser]) -> None:  # see __main__
    """Adds ``serlab bench`` to the commands."""
    bench = commands.add_parser(
        "bench", parents=parents, help="measure latency, memory, size and training of variants",
        description="Measures variants with random weights on noise: each under every combination "
        "of the conditions, each combination in a fresh process. Exits with 0 where all were "
        "measured, 1 where one failed, 2 on wrong usage.",
        epilog="To learn which of two is faster, use: serlab bench compare A B",
    )  # fmt: skip
    bench.add_argument("variant", nargs="+", metavar="VARIANT", help=VARIANT)
    add_conditions(bench)
    bench.add_argument("--batch", default="1", metavar="N,...", help="utterances a call (1)")
    bench.add_argument("--seconds", default="3", metavar="S,...", help="length of each (3)")
    bench.add_argument("--dtype", default="fp32", metavar="TYPE,...", help="fp32 (the default), "
                       "bf16, fp16")  # fmt: skip
    bench.add_argument("--calls", type=int, default=100, metavar="N", help="timed calls (100)")
    bench.add_argument(
        "--limit", type=float, default=20.0, metavar="S",
        help="seconds of timed calls, where these take long (20)",
    )  # fmt: skip
    bench.add_argument(
        "--processes", type=int, default=1, metavar="N",
        help="fresh processes for each; from 3 on there is an interval (1)",
    )  # fmt: skip
    bench.add_argument("--no-training", action="store_true", help="leave out the training step")
    bench.add_argument(
        "--out", metavar="DIR", help="folder of the records (runs/bench/DATE-TIME); one that holds "
        "some is gone on with",
    )  # fmt: skip


def add_conditions(parser: ArgumentParser) -> None:
    """Adds the conditions that are the same for all that a command times."""
    parser.add_argument("--device", default="cpu", help="cpu (the default), cuda or cuda:N")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="threads (1)")
    parser.add_argument("--compile", action="store_true", help="compile the forward pass by torch")
    parser.add_argument(
        "--classes", type=int, default=4, metavar="N", help="number of emotions (4)"
    )


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is measured, and where its records are kept."""

    cells: tuple[Cell, ...]
    labels: tuple[str, ...]
    processes: int
    plugins: tuple[str, ...]
    out: Path


def bench_command(chosen: Namespace, typed: str) -> int:
    """Measures all cells and prints them; 0 when all were measured, 1 when one failed."""
    cells, labels = asked_cells(chosen)
    out = chosen.out or Path("runs/bench") / f"{datetime.now():%Y-%m-%d-%H%M%S}"
    request = Request(
        cells=cells,
        labels=labels,
        processes=at_least("--processes", chosen.processes, 1),
        plugins=tuple(chosen.plugin),
        out=_folder(Path(out)),
    )
    found = _kept(request)
    code = 0
    try:
        _measure(request, found)
    except KeyboardInterrupt:
        say(f"stopped; what is measured is kept; to go on, add --out {request.out}")
        code = 130
    _show(request, found, as_json=chosen.json)
    return code or int(any(one.status == "failed" for one in found.values()))


# --- what is asked -------------------------------------------------------------------------------


def asked_cells(chosen: Namespace) -> tuple[tuple[Cell, ...], tuple[str, ...]]:
    """Every variant under every combination of conditions, and what each is called.

    Raises:
        SerlabError: something asked for is not known, or cannot be measured here.
    """
    from serlab.bench.meters.records import Cell

    variants = [(text, variant_of(text)) for text in dict.fromkeys(chosen.variant)]
    fixed = {
        **conditions_of(chosen),
        "calls": chosen.calls,
        "limit_s": chosen.limit,
        "training": not chosen.no_training,
    }
    dtypes = list_of("--dtype", chosen.dtype, str, "types, such as fp32,bf16")
    batches = list_of("--batch", chosen.batch, int, "whole numbers, such as 1,8,32")
    lengths = list_of("--seconds", chosen.seconds, float, "numbers, such as 1,3,10")
    found: dict[str, tuple[Cell, str]] = {}
    for (text, variant), dtype, batch, length in product(variants, dtypes, batches, lengths):
        cell = Cell(variant=variant, dtype=dtype, batch=batch, seconds=length, **fixed)
        found.setdefault(cell.key, (cell, text))
    check_variants([cell for cell, _ in found.values()])
    return tuple(cell for cell, _ in found.values()), tuple(text for _, text in found.values())


def conditions_of(chosen: Namespace) -> dict[str, Any]:  # fields of a cell
    """What `add_conditions` has read, checked against this machine."""
    from serlab.bench.meters.environment import cores

    at_least("--threads", chosen.threads, 1)
    if chosen.threads > cores():
        expected = f"at most {cores()}, the cores that this process may use"
        raise BadValue("--threads", chosen.threads, expected)
    return {
        "device": device_of(chosen.device),
        "threads": chosen.threads,
        "compiled": chosen.compile,
        "n_classes": at_least("--classes", chosen.classes, 2),
    }


def variant_of(text: str) -> Variant:
    """The variant that ``li2018:paper,pooling=max`` names.

    Raises:
        SerlabError: there is no such system, preset, slot, option or setting.
    """
    from serlab.models.variant import parse_assignment, resolve

    name, *words = text.split(",")
    system, _, preset = name.partition(":")
    where, changes = f'variant "{text}"', [parse_assignment(word) for word in words]
    if len(dict(changes)) < len(changes):
        raise BadValue("VARIANT", text, "each slot or setting once")
    return resolve(system, preset, dict(changes), where=where)


def check_variants(cells: Iterable[Cell]) -> None:
    """Refuses variants that cannot be built or that read what noise cannot give."""
    from serlab.bench.meters.inputs import check_inputs
    from serlab.models.variant import make

    for cell in {repr(c.variant): c for c in cells}.values():
        check_inputs(make(cell.variant), replace(cell, batch=1))


def list_of(key: str, text: str, kind: Callable[[str], T], expected: str) -> list[T]:
    """The values between the commas, each once."""
    try:
        return list(dict.fromkeys(kind(part.strip()) for part in text.split(",")))
    except ValueError:
        raise BadValue(key, text, expected) from None


def at_least(key: str, value: int, low: int) -> int:
    """The value, if it is not below the bound."""
    if value < low:
        raise BadValue(key, value, f"an integer of at least {low}")
    return value


# --- measuring and keeping -----------------------------------------------------------------------


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFile(path, f"cannot be the folder of the records: {error.strerror}") from None
    return path


def _kept(request: Request) -> dict[tuple[str, int], Measured]:
    """What the folder already holds of the asked cells; failures are tried again."""
    from serlab.studies.meter import file_name, read_measured

    found = {}
    for blank in _blanks(request):
        path = request.out / file_name(blank)
        if not path.exists():
            continue
        one = read_measured(path)
        if one.cell != blank.cell or one.process != blank.process:
            raise BadFile(path, "is not the record that its name says")
        if one.status != "failed":
            found[one.cell.key, one.process] = replace(one, label=blank.label)
    if found:
        say(f"{len(found)} of what is asked for already in {request.out}")
    return found


def _blanks(request: Request) -> list[Measured]:
    """All that was asked for, in that order, not yet measured."""
    from serlab.bench.meters.records import Measured

    return [
        Measured(cell=cell, label=label, process=k)
        for cell, label in zip(request.cells, request.labels, strict=True)
        for k in range(request.processes)
    ]


def _measure(request: Request, found: dict[tuple[str, int], Measured]) -> None:
    """Measures what is missing and writes each as it comes."""
    from serlab.bench.contracts import plain
    from serlab.studies.meter import file_name, measure_cells

    for one in measure_cells(
        request.cells,
        request.labels,
        processes=request.processes,
        plugins=request.plugins,
        known=set(found),
        say=say,
    ):
        path = request.out / file_name(one)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(plain(one)), encoding="utf-8")
        temporary.replace(path)
        found[one.cell.key, one.process] = one


def _show(request: Request, found: dict[tuple[str, int], Measured], *, as_json: bool) -> None:
    """Prints what is there in the order in which it was asked."""
    from serlab.bench.contracts import plain
    from serlab.bench_table import bench_table

    order = [(blank.cell.key, blank.process) for blank in _blanks(request)]
    shown = [found[place] for place in order if place in found]
    if as_json:
        print(json.dumps([plain(one) for one in shown], indent=1))
    elif shown:
        print(bench_table(shown))
    say(f"records: {request.out}")
