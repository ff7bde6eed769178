"""The meters of a run: over processes, joined with arms, in tables and on the page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from serlab.bench.contracts import Measurement, Variant, plain
from serlab.bench.errors import BadFile
from serlab.bench.meters.records import Cell, Measured
from serlab.bench.statistics.ratios import over_processes
from serlab.bench.store import Store
from serlab.reports.frame import load_frame
from serlab.reports.meter_tables import (
    headline_words,
    meter_failures,
    meter_methods,
    meter_table,
)
from serlab.reports.meters import ArmMeters, MeterRun, over, read_meters
from serlab.reports.records import Block
from serlab.reports.report import write_report
from serlab.reports.rows import heading_of, row_of
from serlab.reports.table_files import csv_table, markdown, write_meters
from serlab.reports.tables import table_of

VARIANT = Variant(system="li2018", preset="small", options={"pooling": "max"}, settings={"x": 1})
OTHER = replace(VARIANT, options={"pooling": "mean"})


def measured(
    values: Mapping[str, float] | None = None, *, process: int = 0, **cell: Any
) -> Measured:
    """One process's record."""
    units = {"peak_memory": "bytes", "macs": "MAC", "parameters": "parameters"}
    found = {
        name: Measurement(value=value, unit=units.get(name, "ms"))
        for name, value in (values or {"latency_p50": 2.0}).items()
    }
    return Measured(
        cell=Cell(**{"variant": VARIANT, **cell}),
        label="max",
        process=process,
        samples_ns=(1, 2, 3),
        measurements=found,
    )


def joined(*records: Measured, asked: dict[str, Any] | None = None) -> ArmMeters:
    run = MeterRun(records=records, asked=asked or {})
    return run.of(plain(VARIANT), 4, "emotion")


@pytest.fixture(scope="module")
def failed(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a loaded machine, two cells of which failed."""
    study = fake.FakeStudy(
        skill={"base": 0.8, "pooling=max": 0.7},
        per_cell=4,
        unmetered={("pooling=max", 8): "out of <b>memory</b>", ("base", 1): "killed"},
        load=7.25,
    )
    path: Path = fake.write_fake_run(tmp_path_factory.mktemp("failed") / "run", study)
    return path


@pytest.fixture(scope="module")
def block(run: Path) -> Block:
    return load_frame(run).blocks[0]


# --- over processes --------------------------------------------------------------------------


def test_times_are_geometric_means_with_an_interval_over_processes() -> None:
    """Each process counts once."""
    held = joined(*(measured({"latency_p50": ms}, process=i) for i, ms in enumerate([2, 4, 8])))
    latency, expected = held.get("latency_p50"), over_processes([2.0, 4.0, 8.0])
    assert latency.value == pytest.approx(4.0)
    assert (latency.low, latency.high) == (expected.low, expected.high)
    assert (latency.smallest, latency.largest, latency.n) == (2.0, 8.0, 3)


@pytest.mark.parametrize("n", [1, 2])
def test_few_processes_have_no_interval(n: int) -> None:
    """Their mean stands alone."""
    latency = joined(*(measured(process=i) for i in range(n))).get("latency_p50")
    assert latency.value == pytest.approx(2.0)
    assert (latency.low, latency.high, latency.n) == (None, None, n)


def test_memory_is_the_largest_and_counts_must_agree() -> None:
    """A count that differs between processes is no count."""
    one = {"peak_memory": 100.0, "macs": 7.0, "parameters": 3.0}
    two = {"peak_memory": 120.0, "macs": 7.0, "parameters": 4.0}
    held = joined(measured(one), measured(two, process=1))
    assert held.get("peak_memory").value == 120.0
    assert held.get("peak_memory").low is None
    assert held.get("macs").value == 7.0
    assert held.get("parameters").value is None
    assert held.get("parameters").reason == "processes differ, from 3 to 4"


def test_reason_of_a_missing_value_is_kept() -> None:
    """Null has its reason, each once; what some processes have is theirs."""
    none = Measurement(value=None, unit="ms", reason="needs 64 calls, there are 5")
    held = over([none, none], "latency_p90", 0.95)
    assert (held.value, held.reason) == (None, "needs 64 calls, there are 5")
    some = over([none, Measurement(value=3.0, unit="ms")], "latency_p90", 0.95)
    assert (some.value, some.n) == (pytest.approx(3.0), 1)


# --- joining ---------------------------------------------------------------------------------


def test_cells_are_joined_by_variant() -> None:
    """Another variant's cells are not the arm's."""
    held = joined(measured({"latency_p50": 1.0}, variant=OTHER), measured({"latency_p50": 2.0}))
    assert len(held.cells) == 1
    assert held.get("latency_p50").value == pytest.approx(2.0)


def test_cells_of_the_corpus_own_classes_come_first() -> None:
    """Those of another label set count only where there are no others."""
    seven, four = measured({"latency_p50": 7.0}, n_classes=7), measured({"latency_p50": 4.0})
    assert joined(seven, four).get("latency_p50").value == pytest.approx(4.0)
    assert joined(seven).get("latency_p50").value == pytest.approx(7.0)


def test_first_conditions_of_the_study_are_shown() -> None:
    """The order is that of the study's lists, not that of the numbers."""
    records = [measured({"latency_p50": float(n)}, batch=n) for n in (1, 8, 32)]
    held = joined(*records, asked={"batches": [8, 1], "devices": [""], "threads": [1]})
    assert [cell.conditions.batch for cell in held.cells] == [8, 1, 32]
    assert held.get("latency_p50").value == pytest.approx(8.0)


def test_arm_without_the_first_conditions_shows_nothing() -> None:
    """Numbers under other conditions are not put beside those of the others."""
    records = (measured(variant=OTHER, batch=1), measured(batch=8))
    held = joined(*records, asked={"batches": [1, 8]})
    assert held.headline is None
    assert held.get("latency_p50").reason == "it was not metered under the conditions of the others"
    assert len(held.cells) == 1


def test_failed_cell_gives_its_reason() -> None:
    """And what other processes measured of it stays."""
    lost = replace(measured(process=1), status="failed", reason="killed", measurements={})
    assert joined(lost).get("latency_p50").reason == "killed"
    held = joined(measured(), lost)
    assert held.get("latency_p50").value == pytest.approx(2.0)
    assert held.cells[0].failures == ("killed",)
    assert held.cells[0].n_processes == 1


def test_estimator_without_meters_falls_back_on_the_study_count(block: Block) -> None:
    """Parameters are the meters' where there are any."""
    base = block.arms[0]
    assert base.n_parameters == 93_573
    assert replace(base, meters=ArmMeters(), parameters=5).n_parameters == 5


# --- files -----------------------------------------------------------------------------------


def test_older_files_are_told_and_not_read(fake: ModuleType, tmp_path: Path) -> None:
    """A run of an older version still has its report."""
    study = fake.FakeStudy(skill={"base": 0.8, "pooling=max": 0.7}, meters=False, per_cell=4)
    run = fake.write_fake_run(tmp_path / "run", study)
    Store(run).write_json("meters/0.json", {"arm": "base", "latency_ms": {"p50": 2.0, "n": 5}})
    frame = load_frame(run)
    assert frame.blocks[0].metered is None
    assert "older format" in frame.blocks[0].arms[0].meters.reason
    assert frame.meter_notes == ("1 files of the meters are of an older format and not read.",)
    page = write_report(run, tmp_path / "report").read_text()
    assert "of an older format" in page


def test_damaged_record_names_its_file(run: Path, tmp_path: Path) -> None:
    """What is no record is refused, with the key that is wrong."""
    store = Store.create(tmp_path)
    held = plain(measured())
    held["cell"]["batch"] = "many"
    store.write_json("meters/x-0.json", held)
    with pytest.raises(BadFile, match=r"x-0\.json.*batch.*many"):
        read_meters(store, {}, 0.95)


def test_run_without_meters_says_so(fake: ModuleType, tmp_path: Path) -> None:
    """The page gives the reason and no columns of dashes."""
    study = fake.FakeStudy(skill={"base": 0.8, "pooling=max": 0.7}, meters=False, per_cell=4)
    run = fake.write_fake_run(tmp_path / "run", study)
    block = load_frame(run).blocks[0]
    assert not {"MACs", "Latency", "RTF"} & set(heading_of(block))
    page = write_report(run, tmp_path / "report").read_text()
    assert "nothing was metered for it in this run" in page
    assert not (tmp_path / "report" / "tables" / "meters.csv").exists()


# --- what is told ----------------------------------------------------------------------------


def test_csv_holds_every_measurement_with_its_conditions(block: Block, tmp_path: Path) -> None:
    """Arms x conditions x measurements, and the reasons of what is not there."""
    assert write_meters(block, tmp_path, "meters") == ("meters.csv",)
    rows = list(csv.DictReader((tmp_path / "meters.csv").open()))
    keys = [(r["arm"], r["batch"], r["measurement"]) for r in rows]
    assert len(set(keys)) == len(keys) == 6 * 2 * (1 + 15)
    found = dict(zip(keys, rows, strict=True))
    eight = found["base", "8", "latency_p50"]
    assert float(eight["value"]) == pytest.approx((1.1 * 1.2) ** (1 / 3) * 2 * 8**0.8, rel=1e-6)
    assert float(eight["low"]) < float(eight["value"]) < float(eight["high"])
    assert eight["n_processes"] == "3"
    none = found["base", "1", "latency_p99"]
    assert (none["value"], none["reason"]) == ("", "needs 662 calls, there are 100")


def test_table_has_costs_of_call_and_of_training(block: Block) -> None:
    """Latency with its interval, and wall time, CPU time and memory of a training."""
    table = table_of(block)
    base = table.rows[0].cells
    assert base["latency p50, ms"] == "2.19 [1.75, 2.75]"
    assert base["MACs"] == "1.00 M"
    assert base["memory"] == "286 MiB"
    assert base["training"].endswith("s")
    assert base["training, CPU"].endswith("s")
    assert "batch 1, 3 s, 1 thread; 3 processes of 100 calls" in table.caption
    assert "training, CPU" in markdown(table)
    assert "2.19" in markdown(table)
    numbers = next(csv.DictReader(io.StringIO(csv_table(block))))
    assert float(numbers["latency_p50_ms"]) == pytest.approx(2.1939, abs=1e-4)
    assert numbers["macs"] == "1000000"
    assert float(numbers["train_cpu_median_s"]) > 0


def test_row_shows_latency_with_its_interval(block: Block) -> None:
    """And is sorted by the number."""
    row = row_of(block.arms[0], block, "a")
    heading = heading_of(block)
    latency = row.cells[heading.index("Latency")]
    assert (latency.text, latency.small) == ("2.19 ms", "[1.75, 2.75]")
    assert latency.key == pytest.approx(2.1939, abs=1e-4)
    assert row.cells[heading.index("Parameters")].text == "93.6 k"


def test_detail_lists_all_conditions_and_reasons(block: Block) -> None:
    """Conditions side by side; what no cell has is a reason, not a row."""
    table = meter_table(block.arms[0].meters)
    assert table is not None
    assert table.conditions == (
        "cpu, fp32, batch 1, 3 s, 1 thread",
        "cpu, fp32, batch 8, 3 s, 1 thread",
    )
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["processes"] == ("3", "3")
    assert rows["latency p50, ms"][0] == "2.19 [1.75, 2.75]"
    assert rows["MACs"] == ("1.00 M", "8.00 M")
    assert not any("CUDA" in name for name in rows)
    assert "CUDA allocated (call): the section ran on the CPU" in table.remarks
    assert table.size.endswith("a checkpoint of 391 KiB")
    assert meter_table(ArmMeters()) is None


def test_failures_and_load_are_told(failed: Path, tmp_path: Path) -> None:
    """Failed cells stand with what was not run; a loaded machine is a warning."""
    frame = load_frame(failed)
    block = frame.blocks[0]
    assert meter_failures(block) == (
        "Meters of base (cpu, fp32, batch 1, 3 s, 1 thread): killed",
        "Meters of pooling=max (cpu, fp32, batch 8, 3 s, 1 thread): out of <b>memory</b>",
    )
    assert frame.meter_notes == (
        "The machine was loaded before 6 of 6 processes of the meters: up to 7.2 processes ran or "
        "waited, with 2 cores allowed. Their times may be too long, and the intervals too wide.",
    )
    page = write_report(failed, tmp_path).read_text()
    assert "out of &lt;b&gt;memory&lt;/b&gt;" in page
    assert "out of <b>memory" not in page
    assert "7.2 processes ran or waited" in page


def test_environments_of_the_meters_are_kept_once(failed: Path) -> None:
    """With the span of the load, which differs between processes."""
    found = {k: v for k, v in load_frame(failed).environments.items() if k.startswith("meters-")}
    (facts,) = found.values()
    assert facts["load_before"] == "7.25 to 7.25"
    assert facts["load_after"] == "1.00 to 1.00"
    assert facts["cores"] == 2


def test_methods_tell_how_it_was_measured(block: Block, run: Path) -> None:
    """Percentiles, processes and operators without a formula."""
    text = meter_methods(block)
    assert "p90 from 64 calls, p95 from 130 calls and p99 from 662 calls" in text
    assert "CUDA" not in text
    arm = block.arms[0]
    odd = replace(arm.meters.cells[0], uncounted=("aten::odd<op>",))
    changed = replace(block, arms=(replace(arm, meters=replace(arm.meters, cells=(odd,))),))
    assert "no number: aten::odd<op>." in meter_methods(changed)
    none = replace(block, arms=(replace(arm, meters=ArmMeters()),))
    assert meter_methods(none) == headline_words(none) == ""


def test_page_data_holds_the_meters_as_numbers(failed: Path, tmp_path: Path) -> None:
    """What a script reads is what the table shows."""
    page = write_report(failed, tmp_path).read_text()
    text = page.split('<script type="application/json" id="data">')[1].split("</script>")[0]
    base, other = json.loads(text)["corpora"][0]["arms"]
    assert base["meters"]["headline"] is None
    assert base["meters"]["reason"] == "killed"
    latency = other["meters"]["cells"][other["meters"]["headline"]]["values"]["latency_p50"]
    assert latency["unit"] == "ms"
    assert latency["low"] < latency["value"] < latency["high"]
