"""``serlab bench``: what a person types, what they read, what is kept, and the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import metered
import pytest

from serlab.__main__ import main
from serlab.bench.contracts import Measurement
from serlab.bench.meters import environment
from serlab.bench.meters.records import Cell, Measured
from serlab.bench_table import bench_table
from serlab.models.variant import resolve
from serlab.studies import meter
from serlab.studies.meter import Asked, read_measured

QUICK = ["--calls", "2", "--limit", "0.1", "--seconds", "0.5", "--no-training"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty folder to work in, and a system that is made for tests."""
    monkeypatch.chdir(tmp_path)
    with metered.registered():
        yield


class Processes:
    """Answers in the place of fresh processes, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.fails: Mapping[int, str] = {}
        """By batch size, why a cell fails."""
        self.stops_at = -1
        """The number of the cell at which somebody presses Ctrl-C."""

    def __call__(self, asked: Asked, patience_s: float) -> Measured:
        if len(self.asked) == self.stops_at:
            raise KeyboardInterrupt
        self.asked.append(asked)
        blank = Measured(cell=asked.cell, label=asked.label, process=asked.process)
        reason = self.fails.get(asked.cell.batch, "")
        return replace(blank, status="failed", reason=reason) if reason else filled(blank)


def filled(blank: Measured, p50: float = 12.345, **more: Measurement) -> Measured:
    """A record with some measurements; the second process is a tenth slower."""
    n, few = 80, "needs 130 calls, there are 80"
    values = {
        "latency_p50": Measurement(value=p50 * 1.1**blank.process, unit="ms"),
        "latency_p90": Measurement(value=20.0, unit="ms"),
        "latency_p95": Measurement(value=None, unit="ms", reason=few),
        "macs": Measurement(value=1.5e6, unit="MAC"),
        "peak_memory": Measurement(value=2.0**28, unit="bytes"),
        "energy": Measurement(value=None, unit="J", reason="no counter"),
        **more,
    }
    phases = {"import": Measurement(value=2.5, unit="s")}
    load = {"load_1m": 0.1, "load_5m": 0.1, "load_15m": 0.1, "load_per_core": 0.05}
    return replace(
        blank,
        samples_ns=(1,) * n,
        measurements=values,
        phases=phases,
        environment={"load_before": load},
    )


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    made = Processes()
    monkeypatch.setattr(meter, "measure_apart", made)
    return made


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of a mistake; nothing was measured and nothing is left."""
    assert main(["bench", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert list(Path.cwd().iterdir()) == []
    return told.err


# --- what is measured ------------------------------------------------------------------------


def test_real_processes_measure(capsys: pytest.CaptureFixture[str]) -> None:
    """A table on standard output, records in a folder of the date, progress beside it."""
    words = ["bench", "metered,from_batch=2,trouble=memory", "--batch", "1,2", *QUICK]
    assert main([*words, "--plugin", "metered_plugin"]) == 1
    told = capsys.readouterr()
    assert "\n1/2 cells: " in f"\n{told.err}"
    assert "2 x 0.5 s: out of memory: CUDA out of memory" in told.out
    records = sorted(Path("runs/bench").glob("*/*"))
    assert {read_measured(path).status for path in records} == {"measured", "failed"}
    assert all(path.suffix == ".json" for path in records)


def test_every_combination_is_a_cell(processes: Processes) -> None:
    """Variants as they were typed, by types, by batch sizes, by lengths; each once."""
    words = ["metered", "li2018:paper,pooling=max,epochs=3", "metered"]
    lists = ["--dtype", "fp32,bf16", "--batch", "1, 8,8", "--seconds", "3,0.5"]
    fixed = ["--threads", "1", "--classes", "7", "--calls", "9", "--limit", "4", "--no-training"]
    assert main(["bench", *words, *lists, *fixed, "--compile"]) == 0
    cells = [asked.cell for asked in processes.asked]
    assert len(cells) == len({cell.key for cell in cells}) == 2 * 2 * 2 * 2
    paper = [asked.cell for asked in processes.asked if asked.label.startswith("li2018")]
    assert len(paper) == 8
    variant = resolve("li2018", "paper", {"pooling": "max", "epochs": 3})
    assert Cell(
        variant=variant, n_classes=7, dtype="bf16", batch=8, seconds=0.5, calls=9, limit_s=4.0,
        training=False, compiled=True,
    ) in paper  # fmt: skip


def test_what_is_not_asked_is_as_in_a_cell(processes: Processes) -> None:
    """The command's defaults are those of the record."""
    assert main(["bench", "metered"]) == 0
    assert processes.asked[0].cell == Cell(variant=resolve("metered"))


def test_json_is_one_array(processes: Processes, capsys: pytest.CaptureFixture[str]) -> None:
    """Of whole records, in the order in which they were asked for."""
    assert main(["bench", "metered", "majority", "--processes", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["label"], one["process"]) for one in found] == [
        ("metered", 0), ("metered", 1), ("majority", 0), ("majority", 1),
    ]  # fmt: skip
    assert len(found[0]["samples_ns"]) == 80


def test_a_failed_cell_is_the_exit_code(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next cell goes on; the table says which failed and why."""
    processes.fails = {8: "out of memory: 20 GiB"}
    assert main(["bench", "metered", "--batch", "1,8,32"]) == 1
    assert [asked.cell.batch for asked in processes.asked] == [1, 8, 32]
    assert "failed: metered 8 x 3 s: out of memory: 20 GiB" in capsys.readouterr().out


# --- what is kept ----------------------------------------------------------------------------


def test_a_folder_is_gone_on_with(processes: Processes, capsys: pytest.CaptureFixture[str]) -> None:
    """What it holds is not measured again and is shown; failures are tried again."""
    processes.fails = {8: "trouble"}
    words = ["bench", "metered", "--batch", "1,8", "--out", "kept"]
    assert main(words) == 1
    before = {path.name: path.read_bytes() for path in Path("kept").iterdir()}
    processes.asked.clear()
    processes.fails = {}
    assert main(words) == 0
    assert [asked.cell.batch for asked in processes.asked] == [8]
    told = capsys.readouterr()
    assert "1 of what is asked for already in kept" in told.err
    same = [name for name, held in before.items() if Path("kept", name).read_bytes() == held]
    assert len(same) == 1
    assert read_measured(Path("kept", same[0])).cell.batch == 1


def test_stopping_keeps_what_is_done(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C at the third cell: two records, their table, and how to go on; no half file."""
    processes.stops_at = 2
    assert main(["bench", "metered", "--batch", "1,2,3,4", "--out", "kept"]) == 130
    told = capsys.readouterr()
    assert "add --out kept" in told.err
    assert told.out.count("metered") == 2
    assert {path.suffix for path in Path("kept").iterdir()} == {".json"}
    assert len(list(Path("kept").iterdir())) == 2


def test_stopping_at_once_prints_no_table(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is nothing to show."""
    processes.stops_at = 0
    assert main(["bench", "metered"]) == 130
    assert capsys.readouterr().out == ""


def test_a_record_under_anothers_name_is_refused(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that was renamed, or damaged, is not taken for the cell."""
    assert main(["bench", "metered", "--batch", "1,2", "--out", "kept"]) == 0
    one, other = sorted(Path("kept").iterdir())
    one.write_bytes(other.read_bytes())
    capsys.readouterr()
    assert main(["bench", "metered", "--batch", "1,2", "--out", "kept"]) == 2
    assert "is not the record that its name says" in capsys.readouterr().err
    one.write_text("{")
    assert main(["bench", "metered", "--batch", "1,2", "--out", "kept"]) == 2
    assert one.name in capsys.readouterr().err


# --- mistakes --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["li2081"], 'did you mean "li2018"'),
        (["li2018:papr"], 'did you mean "paper"'),
        (["li2018,poling=max"], 'did you mean "pooling"'),
        (["li2018,pooling=maxx"], "no option of the slot pooling"),
        (["li2018,epochs=many"], "an integer of at least 1"),
        (["li2018,epochs"], "name=value"),
        (["li2018,epochs=1,epochs=2"], "each slot or setting once"),
        (["functionals_svm,functionals=supplied"], "cannot be measured on noise"),
        (["metered", "--device", "tpu"], "--device = 'tpu'"),
        (["metered", "--device", "cuda:x"], "--device = 'cuda:x'"),
        (["metered", "--dtype", "fp64"], '"fp64" is no dtype'),
        (["metered", "--batch", "0"], "batch = 0"),
        (["metered", "--batch", "1,x"], "--batch = '1,x'"),
        (["metered", "--batch", ""], "--batch = ''"),
        (["metered", "--seconds", "0"], "seconds = 0.0"),
        (["metered", "--seconds=-1,3"], "seconds = -1.0"),
        (["metered", "--seconds", "nan"], "seconds = nan"),
        (["metered", "--threads", "0"], "--threads = 0"),
        (["metered", "--calls", "0"], "calls = 0"),
        (["metered", "--limit", "-1"], "limit_s = -1.0"),
        (["metered", "--classes", "1"], "--classes = 1"),
        (["metered", "--processes", "0"], "--processes = 0"),
    ],
)
def test_mistakes_are_told_before_anything_is_measured(
    words: list[str], said: str, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the key, the value and what was expected; exit code 2."""
    assert said in refused(words, capsys)
    assert processes.asked == []


def test_more_threads_than_cores_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """They would wait for each other, and the time would be of nothing."""
    monkeypatch.setattr(environment, "cores", lambda: 2)
    assert "at most 2, the cores" in refused(["metered", "--threads", "3"], capsys)


@pytest.mark.parametrize(
    ("n_gpus", "device", "said"),
    [(0, "cuda", "sees no GPU here"), (2, "cuda:2", "sees 2 GPUs here")],
)
def test_a_gpu_that_is_not_there_is_refused(
    n_gpus: int,
    device: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """None at all, or fewer than the number says."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: n_gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    assert said in refused(["metered", "--device", device], capsys)


def test_a_folder_that_cannot_be_is_refused(
    processes: Processes, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Such as one that is a file."""
    Path("file").write_text("mine")
    assert main(["bench", "metered", "--out", "file"]) == 2
    assert "file: cannot be the folder" in capsys.readouterr().err
    assert processes.asked == []


def test_help_tells_of_both(capsys: pytest.CaptureFixture[str]) -> None:
    """``bench compare`` is a command of its own, and each help names what it takes."""
    for words, said in (
        (["bench", "--help"], "serlab bench compare A B"),
        (["bench", "compare", "--help"], "usage: serlab bench compare"),
    ):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 0
        assert said in capsys.readouterr().out


# --- the table -------------------------------------------------------------------------------


def a_cell(**conditions: Any) -> Cell:
    return Cell(variant=resolve("metered"), **conditions)


def test_the_table_shows_what_differs() -> None:
    """What all rows share is said once above; columns stand in line."""
    cells = [a_cell(batch=1, dtype="fp32"), a_cell(batch=32, dtype="bf16")]
    text = bench_table([filled(Measured(cell=cell, label="it")) for cell in cells])
    head, _, titles, first, second, *_ = text.splitlines()
    assert head == "cpu, 1 thread, random weights, noise as audio"
    assert titles.split()[:6] == ["variant", "dtype", "batch", "s", "p50", "ms"]
    assert first.split()[:7] == ["it", "fp32", "1", "3", "12.3", "20.0", "-"]
    assert titles.index("p50 ms") + len("p50 ms") == first.index("12.3") + 4
    assert len(second) == len(first)


def test_columns_without_values_are_left_out() -> None:
    """CUDA's on the CPU, a percentile that no row has, a training step that nobody asked for."""
    blank = Measured(cell=a_cell(training=False), label="it")
    titles = bench_table([filled(blank)]).splitlines()[2]
    assert "p90 ms" in titles
    assert not {"p95", "p99", "step", "VRAM", "J/call"} & set(titles.split())
    on_gpu = Measured(cell=a_cell(device="cuda"), label="it")
    enough = Measurement(value=30.0, unit="ms")
    vram = Measurement(value=2.0**30, unit="bytes")
    text = bench_table([filled(on_gpu, latency_p95=enough, cuda_process=vram)])
    titles, row = text.splitlines()[2:4]
    assert {"p95", "VRAM", "reserved", "step"} <= set(titles.split())
    assert "1\N{NARROW NO-BREAK SPACE}024 MiB" in row


def test_reasons_are_told_once() -> None:
    """With the rows that they hold for, where these are not all."""
    none = Measurement(value=None, unit="MAC", reason="no formula for svd")
    rows = [
        filled(Measured(cell=a_cell(), label="a")),
        filled(Measured(cell=a_cell(batch=2), label="b"), macs=none),
        filled(Measured(cell=a_cell(batch=3), label="b"), macs=none),
        filled(Measured(cell=a_cell(batch=4), label="c"), macs=none),
        filled(Measured(cell=a_cell(batch=5), label="c")),
    ]
    lines = bench_table(rows).splitlines()
    assert "no MACs (b; c 4 x 3 s): no formula for svd" in lines
    assert "no J/call: no counter" in lines
    assert sum("needed are for p95 130" in line for line in lines) == 1
    assert "before the timed calls, medians of the cells: import 2.5 s" in lines


def test_several_processes_make_one_row() -> None:
    """With the interval of their p50."""
    blank = Measured(cell=a_cell(), label="it")
    text = bench_table([filled(replace(blank, process=k)) for k in range(3)])
    assert text.count("\nit ") == 1
    assert "13.6 [10.7, 17.2]" in text
    assert "95 % interval over 3 processes" in text


def test_a_busy_machine_is_told() -> None:
    """From the load before the first cell."""
    one = filled(Measured(cell=a_cell(), label="it"))
    assert "busy" not in bench_table([one])
    load = {"load_1m": 4.2, "load_per_core": 2.1}
    assert "load 4.2, 2.1 a core" in bench_table([replace(one, environment={"load_before": load})])
    unknown = {"load_1m": None, "load_per_core": None}
    assert "busy" not in bench_table([replace(one, environment={"load_before": unknown})])
