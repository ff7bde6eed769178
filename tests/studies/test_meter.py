"""Cells measured by fresh processes: what comes back, and what becomes of those that die."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import metered
import pytest

from serlab.bench.contracts import plain
from serlab.bench.errors import BadFile, SerlabError
from serlab.bench.meters.records import Cell, Measured
from serlab.models.variant import resolve
from serlab.studies import meter
from serlab.studies.meter import (
    Asked,
    conditions,
    file_name,
    main,
    measure_apart,
    measure_cells,
    read_measured,
)

PLUGINS = ("metered_plugin",)


@pytest.fixture(autouse=True)
def known_system() -> Iterator[None]:
    with metered.registered():
        yield


def a_cell(trouble: str = "none", **conditions: Any) -> Cell:
    variant = resolve("metered", "", {"trouble": trouble, "from_batch": 2})
    return Cell(variant=variant, **{"calls": 2, "limit_s": 0.1, "seconds": 0.5, **conditions})


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for what processes are told and tell."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(meter.tempfile, "tempdir", str(folder))
    return folder


def apart(cell: Cell, patience_s: float = 300.0) -> Measured:
    return measure_apart(Asked(cell=cell, label="it", plugins=PLUGINS, paths=tuple(sys.path)),
                         patience_s)  # fmt: skip


# --- one process -----------------------------------------------------------------------------


def test_a_fresh_process_measures_a_cell(temporary: Path) -> None:
    """With the threads that were asked for, the time of its imports, and nothing left behind."""
    one = apart(a_cell(threads=2))
    assert (one.status, one.reason) == ("measured", "")
    assert next(iter(one.phases)) == "import"
    assert (one.phases["import"].value or 0) > 0.1
    assert one.environment["threads"] == 2
    variables = one.environment["variables"]
    assert isinstance(variables, dict)
    assert variables["OMP_NUM_THREADS"] == variables["MKL_NUM_THREADS"] == "2"
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        ("memory", "out of memory: CUDA out of memory. Tried to allocate 20 GiB."),
        ("exits", "its process ended with exit code 3: last words"),
        pytest.param(
            "killed",
            "its process was killed by signal SIGKILL, as the system does where memory runs out",
            marks=pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal here"),
        ),
    ],
)
def test_what_kills_a_process_is_told(trouble: str, said: str, temporary: Path) -> None:
    """The cell has failed, in one line, and nothing is left behind."""
    one = apart(a_cell(trouble, batch=2))
    assert (one.status, one.reason) == ("failed", said)
    assert one.cell == a_cell(trouble, batch=2)
    assert list(temporary.iterdir()) == []


def test_a_process_that_hangs_is_stopped(temporary: Path) -> None:
    """After the patience and ten times the cell's limit; the reason tells how long that was."""
    one = apart(a_cell("hangs", batch=2), patience_s=4.0)
    assert one.status == "failed"
    assert "stopped after 5 s" in one.reason
    assert list(temporary.iterdir()) == []


def test_a_module_that_is_missing_fails_the_cell() -> None:
    """A plugin that the process cannot import."""
    one = measure_apart(Asked(cell=a_cell(), label="it", plugins=("no_such_module",)))
    assert one.status == "failed"
    assert "no_such_module" in one.reason


def test_stopping_stops_the_process(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while a process is waited for: it is gone, and so is its folder."""
    started: list[Any] = []
    start = meter.subprocess.Popen

    class Interrupted(start):  # type: ignore[misc, valid-type]  # a class, known when it runs
        def wait(self, timeout: float | None = None) -> int:
            if not started:
                started.append(self)
                raise KeyboardInterrupt
            code: int = super().wait(timeout)
            return code

    monkeypatch.setattr(meter.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        apart(a_cell("hangs", batch=2))
    assert started[0].returncode not in (None, 0)
    assert list(temporary.iterdir()) == []


def test_the_process_reads_and_writes_files(tmp_path: Path) -> None:
    """As it would be run by hand, when nobody has noted the start."""
    asked, result = tmp_path / "asked.json", tmp_path / "result.json"
    asked.write_text(json.dumps(plain(Asked(cell=a_cell(), label="it", process=4))))
    assert main([str(asked), str(result)]) == 0
    one = read_measured(result)
    assert (one.status, one.process, one.label) == ("measured", 4, "it")
    assert one.phases["import"].value is None
    assert "nobody noted" in one.phases["import"].reason


# --- many cells ------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """Notes what is asked of processes and answers in their place."""
    seen: list[Asked] = []

    def answer(asked: Asked, patience_s: float) -> Measured:
        seen.append(asked)
        failed = asked.cell.batch == 8
        return Measured(
            cell=asked.cell,
            label=asked.label,
            process=asked.process,
            status="failed" if failed else "measured",
            reason="out of memory" if failed else "",
        )

    monkeypatch.setattr(meter, "measure_apart", answer)
    return seen


def test_repeats_lie_apart(at_once: list[Asked]) -> None:
    """All cells, then all again; each says which process it is."""
    cells = [a_cell(batch=1), a_cell(batch=2)]
    found = list(measure_cells(cells, ["a", "b"], processes=2, plugins=["p"]))
    assert [(one.label, one.process) for one in found] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert all(asked.plugins == ("p",) for asked in at_once)


def test_a_failure_does_not_end_the_rest(at_once: list[Asked]) -> None:
    """The next cell goes on, and a line says what went wrong with which."""
    said: list[str] = []
    cells = [a_cell(batch=1), a_cell(batch=8), a_cell(batch=2)]
    found = list(measure_cells(cells, ["a"] * 3, say=said.append))
    assert [one.status for one in found] == ["measured", "failed", "measured"]
    assert "a, cpu fp32, 8 x 0.5 s, 1 thread: failed: out of memory" in said


def test_what_is_known_is_not_measured_again(at_once: list[Asked]) -> None:
    """By the cell's key and the process."""
    cells = [a_cell(batch=1), a_cell(batch=2)]
    known = {(cells[0].key, 0), (cells[1].key, 1)}
    found = list(measure_cells(cells, ["a", "b"], processes=2, known=known))
    assert [(one.label, one.process) for one in found] == [("b", 0), ("a", 1)]


def test_progress_tells_the_time_left(
    at_once: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the cells that are done: none at the first."""
    ticks = iter([0.0, 0.0, 30.0, 60.0])
    monkeypatch.setattr(meter.time, "monotonic", lambda: next(ticks))
    said: list[str] = []
    cells = [a_cell(batch=n) for n in (1, 2, 3)]
    list(measure_cells(cells, ["a", "b", "c"], say=said.append))
    assert said[0] == "1/3 cells: a, cpu fp32, 1 x 0.5 s, 1 thread"
    assert said[1].startswith("2/3 cells, about 1 min 00 s left: b")
    assert said[2].startswith("3/3 cells, about 30 s left: c")


# --- files -----------------------------------------------------------------------------------


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    """Missing, no JSON, a list, or another record."""
    path = tmp_path / "x.json"
    for write in (None, "{", "[]"):
        if write:
            path.write_text(write)
        with pytest.raises(BadFile, match=r"x\.json"):
            read_measured(path)
    path.write_text("{}")
    with pytest.raises(SerlabError, match=r"x\.json"):
        read_measured(path)


def test_files_are_named_by_cell_and_process() -> None:
    """So that two processes of a cell do not overwrite each other."""
    one = Measured(cell=a_cell(), label="it")
    assert file_name(one) == f"{one.cell.key}-0.json"
    assert file_name(replace(one, process=1)) == f"{one.cell.key}-1.json"


def test_conditions_are_told_whole() -> None:
    """Whatever two cells of a variant can differ in."""
    cell = a_cell(threads=2, compiled=True, dtype="bf16", device="cuda:1", batch=3)
    assert conditions(cell) == "cuda:1 bf16, 3 x 0.5 s, 2 threads, compiled"
