"""Cells measured one by one, each by a fresh process that does nothing else.

`measure_cells` starts ``python -m serlab.studies.meter ASKED RESULT``, which reads what is to be
measured from one file and writes what it found to another. Whatever happens to that process, a
kill among it, comes to a record with its reason, and the next cell goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from serlab.bench.contracts import Measurement, plain
from serlab.bench.errors import BadFile
from serlab.bench.meters.records import Cell, Measured, measured_of
from serlab.bench.typed import build
from serlab.studies.progress import clock

Say = Callable[[str], None]

PATIENCE_S = 1800.0
"""What a process may take beside ten times its cell's limit, before it counts as hung."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a process is to measure."""

    cell: Cell
    label: str
    process: int = 0
    plugins: tuple[str, ...] = ()
    """Modules that it imports first."""
    paths: tuple[str, ...] = ()
    """Folders that these may lie in."""
    started_s: float = 0.0
    """When the process was started, in seconds since 1970; 0 where nobody knows."""


def measure_cells(
    cells: Sequence[Cell],
    labels: Sequence[str],
    *,
    processes: int = 1,
    plugins: Sequence[str] = (),
    known: Container[tuple[str, int]] = (),
    say: Say = lambda text: None,
    patience_s: float = PATIENCE_S,
) -> Iterator[Measured]:
    """Measures each cell in so many fresh processes, one at a time.

    All cells are measured once before any is measured again, so that repeats lie apart in time.

    Args:
        cells: what is measured.
        labels: what people call each.
        processes: how often each is measured.
        plugins: modules that register more systems.
        known: keys of cells with the processes that have measured them; left out.
        say: takes lines for people.
        patience_s: as `PATIENCE_S`.
    """
    todo = [
        Asked(cell=cell, label=label, process=k, plugins=tuple(plugins), paths=tuple(sys.path))
        for k in range(processes)
        for cell, label in zip(cells, labels, strict=True)
        if (cell.key, k) not in known
    ]
    start = time.monotonic()
    for n, asked in enumerate(todo):
        spent = time.monotonic() - start
        left = f", about {clock(spent / n * (len(todo) - n))} left" if n else ""
        say(f"{n + 1}/{len(todo)} cells{left}: {asked.label}, {conditions(asked.cell)}")
        measured = measure_apart(asked, patience_s)
        if measured.status != "measured":
            say(f"{asked.label}, {conditions(asked.cell)}: {measured.status}: {measured.reason}")
        yield measured


def conditions(cell: Cell) -> str:
    """A cell's conditions in words.

    Example:
        >>> from serlab.bench.contracts import Variant
        >>> variant = Variant(system="crnn", preset="small", options={}, settings={})
        >>> conditions(Cell(variant=variant, batch=8))
        'cpu fp32, 8 x 3 s, 1 thread'
    """
    threads = f"{cell.threads} thread" + ("s" if cell.threads > 1 else "")
    compiled = ", compiled" if cell.compiled else ""
    return f"{cell.device} {cell.dtype}, {cell.batch} x {cell.seconds:g} s, {threads}{compiled}"


def file_name(measured: Measured) -> str:
    """The name of the file that keeps it."""
    return f"{measured.cell.key}-{measured.process}.json"


def read_measured(path: Path) -> Measured:
    """A record from its file.

    Raises:
        BadFile: it cannot be read as JSON.
        SerlabError: it holds no such record.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(path, f"is no readable JSON: {error}") from None
    if not isinstance(table, dict):
        raise BadFile(path, "is no record of a measured cell")
    return measured_of(table, str(path))


def measure_apart(asked: Asked, patience_s: float = PATIENCE_S) -> Measured:
    """What a fresh process finds; a failure with its reason where it does not get that far."""
    limit_s = patience_s + 10 * asked.cell.limit_s
    found = run_apart(
        "serlab.studies.meter",
        replace(asked, started_s=time.time()),
        threads=asked.cell.threads,
        limit_s=limit_s,
    )
    if not isinstance(found, str):
        return measured_of(found)
    return Measured(
        cell=asked.cell, label=asked.label, process=asked.process, status="failed", reason=found
    )


def run_apart(module: str, asked: object, *, threads: int, limit_s: float) -> dict[str, Any] | str:
    """The table that a fresh process of a module writes, or why it wrote none.

    Args:
        module: is run with two arguments: the file of what is asked, and that of the result.
        asked: is written to the first as JSON.
        threads: of the process's libraries.
        limit_s: seconds after which it counts as hung, and is stopped.
    """
    with tempfile.TemporaryDirectory(prefix="serlab-meter-") as folder:
        request, result, log = (Path(folder) / n for n in ("asked.json", "result.json", "log"))
        request.write_text(json.dumps(plain(asked)), encoding="utf-8")
        command = [sys.executable, "-m", module, str(request), str(result)]
        with log.open("wb") as out:
            code = _run(command, threads, out, limit_s)
        if code == 0 and result.exists():
            table: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
            return table
        said = log.read_text(encoding="utf-8", errors="replace")
    return _ended(code, said, limit_s)


def _run(command: Sequence[str], threads: int, out: Any, limit_s: float) -> int | None:
    """The exit code; None where the process was stopped for taking too long."""
    count = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    process = subprocess.Popen(
        command, env={**os.environ, **count}, stdin=subprocess.DEVNULL, stdout=out, stderr=out
    )
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        process.kill()
        process.wait()


def _ended(code: int | None, said: str, limit_s: float) -> str:
    """Why a process gave nothing, in one line."""
    if code is None:
        return f"its process was stopped after {clock(limit_s)}: it did not come to an end"
    last = ([line.strip() for line in said.splitlines() if line.strip()] or ["it said nothing"])[-1]
    if code >= 0:
        return f"its process ended with exit code {code}: {last}"[:500]
    killed = -code == signal.SIGKILL if hasattr(signal, "SIGKILL") else False
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    why = ", as the system does where memory runs out" if killed else f": {last}"
    return f"its process was killed by signal {name}{why}"[:500]


# --- the process ---------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Measures what a file asks for and writes what it found to another."""
    request, result = map(Path, arguments)
    asked: Asked = build(Asked, json.loads(request.read_text(encoding="utf-8")), "asked")
    measured = measure_here(asked)
    result.write_text(json.dumps(plain(measured)), encoding="utf-8")
    return 0


def measure_here(asked: Asked) -> Measured:
    """What this process finds; a failure with its reason where something raises."""
    blank = Measured(cell=asked.cell, label=asked.label, process=asked.process)
    load_plugins(asked.plugins, asked.paths)
    from serlab.bench.meters.cell import measure, reason_of
    from serlab.models.variant import make

    try:
        system = make(asked.cell.variant)
        took = _import_time(asked.started_s)
        found = measure(system, asked.cell, label=asked.label, process=asked.process)
    except Exception as error:
        return replace(blank, status="failed", reason=reason_of(error))
    return replace(found, phases={"import": took, **found.phases})


def load_plugins(names: Sequence[str], paths: Sequence[str]) -> None:
    """Imports modules that register more, which may lie in these folders."""
    import importlib

    sys.path.extend(path for path in paths if path not in sys.path)
    for name in names:
        importlib.import_module(name)


def _import_time(started_s: float) -> Measurement:
    if not started_s:
        return Measurement(value=None, unit="s", reason="nobody noted when the process was started")
    return Measurement(value=time.time() - started_s, unit="s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
