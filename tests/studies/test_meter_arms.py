"""The pass after the trials: which cells it asks for, and what it finds done already."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from serlab.bench.contracts import plain
from serlab.bench.errors import BadFile
from serlab.bench.meters.records import Cell, Measured
from serlab.bench.store import Store
from serlab.studies import meter_arms as module
from serlab.studies.facts import resolved
from serlab.studies.meter import Asked, measure_here
from serlab.studies.meter_arms import meter_arms, meters_text, wanted_of
from serlab.studies.plan import Plan, make_plan
from serlab.studies.specification import parse

STUDY = """
question = "What is fast?"
seeds = [0]
max_epochs = 1
[base]
system = "li2018"
preset = "small"
set = { width = 0.25, segment_s = 1.0 }
[ablate]
pooling = ["mean"]
[[arms]]
name = "the mean again"
set = { pooling = "mean" }
[[baselines]]
system = "functionals_svm"
[[corpora]]
name = "synth"
options = { utterances = 36 }
[protocol]
split = "speaker-groups"
groups = 2
validation = 1
[meters]
seconds = [1.0, 2.0]
batches = [2, 1]
processes = 2
calls = 3
limit_s = 2.0
"""


@cache
def plan(text: str = STUDY) -> Plan:
    """The study joined with its corpus."""
    return make_plan(parse(tomllib.loads(text), "meters"), {})


def facts(text: str = STUDY) -> dict[str, Any]:
    """What a run of it writes down before its trials, as it is read back."""
    held: dict[str, Any] = json.loads(json.dumps(resolved(plan(text), command="", created="")))
    return held


def run(folder: Path, text: str = STUDY) -> Store:
    """A run whose trials have ended."""
    store = Store.create(folder / "run")
    store.write_json("resolved.json", facts(text))
    return store


def test_every_combination_of_every_variant_is_asked_for_once() -> None:
    """The first conditions of all variants come first; arms with one variant share its cells."""
    wanted = wanted_of(facts())
    assert wanted.labels[:3] == ("base", "pooling=mean", "functionals_svm")
    assert len(wanted.cells) == len({c.key for c in wanted.cells}) == 3 * 4
    under = [(c.batch, c.seconds) for c in wanted.cells]
    assert under == [u for u in ((2, 1.0), (2, 2.0), (1, 1.0), (1, 2.0)) for _ in range(3)]
    first = wanted.cells[0]
    assert plain(first.variant) == facts()["arms"][0]["variant"]
    assert (first.device, first.dtype, first.threads) == ("cpu", "fp32", 1)
    assert (first.n_classes, first.target) == (4, "emotion")
    assert (first.calls, first.limit_s, first.training) == (3, 2.0, True)


def test_threads_and_device_are_those_of_the_trials_unless_said() -> None:
    """Zero threads and an empty device stand for them."""
    held = facts()
    held["study"]["resources"] |= {"threads": 3, "gpus": 0.5}
    assert {(c.threads, c.device) for c in wanted_of(held).cells} == {(3, "cuda")}
    held["study"]["meters"] |= {"threads": 2, "devices": ["cpu", "cuda:1"], "dtypes": ["bf16"]}
    cells = wanted_of(held).cells
    assert {(c.threads, c.dtype) for c in cells} == {(2, "bf16")}
    assert [c.device for c in cells] == ["cpu"] * 12 + ["cuda:1"] * 12


def test_what_cannot_run_is_not_asked_for() -> None:
    """A skipped arm has no cells."""
    held = facts()
    held["skipped"] = [{"arm": "functionals_svm", "reason": "no library"}]
    assert "functionals_svm" not in wanted_of(held).labels


def test_nothing_is_measured_where_every_arm_is_skipped(tmp_path: Path) -> None:
    """The run ends as it would without meters."""
    store, told = run(tmp_path), list[str]()
    held = facts()
    held["skipped"] = [{"arm": arm["name"], "reason": "no video"} for arm in held["arms"]]
    store.write_json("resolved.json", held)
    assert wanted_of(held).cells == ()
    meter_arms(store, told.append)
    assert (told, store.meters()) == ([], {})


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"best": "pooling=mean"}, {"base", "pooling=mean"}),
        ({"best": "base"}, {"base"}),
        (
            {"best": "functionals_svm", "front": ["functionals_svm", "pooling=mean"]},
            {"base", "pooling=mean", "functionals_svm"},
        ),
    ],
)
def test_of_a_search_the_front_is_asked_for(found: dict[str, Any], expected: set[str]) -> None:
    """Or the best where it looked at the score alone; the others never."""
    held = facts() | found
    held["arms"] = [arm for arm in held["arms"] if arm["name"] != "the mean again"]
    for arm in held["arms"][1:]:
        arm["kind"] = "searched"
    assert set(wanted_of(held).labels) == expected


class Started:
    """Stands for the fresh processes: notes what it is asked for, and gives what it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.plugins: tuple[str, ...] = ()
        self.failing: set[str] = set()
        self.refused: set[str] = set()

    def __call__(
        self,
        cells: tuple[Cell, ...],
        labels: tuple[str, ...],
        *,
        processes: int,
        plugins: tuple[str, ...],
        known: set[tuple[str, int]],
        say: Any,
    ) -> Iterator[Measured]:
        """As `studies.meter.measure_cells`."""
        self.plugins = plugins
        for k in range(processes):
            for cell, label in zip(cells, labels, strict=True):
                if (cell.key, k) not in known:
                    self.asked.append((cell.key, k))
                    made = Measured(cell=cell, label=label, process=k, samples_ns=(5,))
                    failed = replace(made, status="failed", reason="out of memory")
                    refused = replace(made, status="skipped", reason="it has no such cell")
                    made = failed if label in self.failing else made
                    yield refused if label in self.refused else made


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """In the place of the processes."""
    made = Started()
    monkeypatch.setattr(module, "measure_cells", made)
    return made


def test_each_record_is_kept_and_not_measured_again(tmp_path: Path, started: Started) -> None:
    """One file a cell and process, whose name says which; a second pass finds them."""
    store = run(tmp_path)
    meter_arms(store, print, ("mine",))
    cells = wanted_of(store.resolved()).cells
    assert set(store.meters()) == {f"{c.key}-{k}" for c in cells for k in range(2)}
    assert len(started.asked) == 24
    assert started.plugins == ("mine",)
    said: list[str] = []
    meter_arms(store, said.append)
    assert len(started.asked) == 24
    assert said == []


def test_a_pass_that_was_killed_goes_on(tmp_path: Path, started: Started) -> None:
    """What is missing is measured, and nothing else."""
    store = run(tmp_path)
    meter_arms(store, print)
    lost = sorted((store.path / "meters").iterdir())[3]
    lost.unlink()
    started.asked.clear()
    said: list[str] = []
    meter_arms(store, said.append)
    assert [f"{key}-{k}" for key, k in started.asked] == [lost.stem]
    assert said == ["measuring speed, memory and size in fresh processes, 1 in all"]


def test_other_conditions_are_other_cells(tmp_path: Path, started: Started) -> None:
    """What was measured under the former ones stays."""
    store = run(tmp_path)
    meter_arms(store, print)
    store.write_json("resolved.json", facts(STUDY.replace("[2, 1]", "[2, 4]")))
    meter_arms(store, print)
    assert len(started.asked) == len(store.meters()) == 24 + 12


def test_a_cell_that_failed_is_kept_and_tried_again(tmp_path: Path, started: Started) -> None:
    """With its reason; the others are measured all the same."""
    store = run(tmp_path)
    started.failing = {"pooling=mean"}
    meter_arms(store, print)
    held = [(m["label"], m["status"], m["reason"]) for m in store.meters().values()]
    assert held.count(("pooling=mean", "failed", "out of memory")) == 8
    assert len(held) == 24
    started.failing.clear()
    started.asked.clear()
    meter_arms(store, print)
    assert len(started.asked) == 8
    assert {m["status"] for m in store.meters().values()} == {"measured"}


def test_what_is_no_cell_of_a_system_is_not_tried_again(tmp_path: Path, started: Started) -> None:
    """An estimator in 16 bits, say, is skipped for good."""
    store = run(tmp_path)
    started.refused = {"functionals_svm"}
    meter_arms(store, print)
    meter_arms(store, print)
    assert len(started.asked) == 24
    assert [m["status"] for m in store.meters().values()].count("skipped") == 8


def test_a_broken_record_is_named(tmp_path: Path, started: Started) -> None:
    """Nobody guesses what it held."""
    store = run(tmp_path)
    (store.path / "meters" / "abc-0.json").write_text('{"schema": 1, "sta')
    with pytest.raises(BadFile, match=r"abc-0\.json"):
        meter_arms(store, print)


def test_a_device_that_is_gone_is_written_down(
    tmp_path: Path, started: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trials ran on a GPU that is not there any more; what runs on the CPU is measured."""
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    store = run(tmp_path, STUDY.replace("[meters]", '[meters]\ndevices = ["", "cpu"]'))
    held = store.resolved()
    held["study"]["resources"]["gpus"] = 1.0
    store.write_json("resolved.json", held)
    said: list[str] = []
    meter_arms(store, said.append)
    records = store.meters().values()
    gone = [m for m in records if m["cell"]["device"] == "cuda"]
    assert len(gone) == 24
    assert {m["status"] for m in gone} == {"skipped"}
    assert {m["reason"] for m in gone} == {module.GONE}
    assert len(started.asked) == 24
    assert "base, cuda fp32, 2 x 1 s, 1 thread: skipped: " in said[0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    meter_arms(store, print)
    assert len(started.asked) == 48
    assert {m["status"] for m in store.meters().values()} == {"measured"}


def test_the_plan_says_what_will_be_measured() -> None:
    """How many processes, and under which conditions."""
    first, *under = meters_text(plan())
    assert first == (
        "meters after the trials: 3 variants x 4 conditions x 2 processes = 24 measuring processes"
    )
    assert under[0] == "  cpu fp32, 2 x 1 s, 1 thread"
    assert len(under) == 4
    off = STUDY.replace("[meters]", "[meters]\nlatency = false")
    assert meters_text(plan(off)) == ["no meters after the trials"]
    search = STUDY.replace("[ablate]", '[search]\ncost = "macs"\n[search.space]').split("[[arms]]")[
        0
    ]
    tail = "[[corpora]]" + STUDY.split("[[corpora]]")[1]
    assert meters_text(plan(search + tail))[0].endswith(
        "8 measuring processes, and 8 for each variant of the search's front"
    )


TRACED = """
question = "What is fast?"
seeds = [0]
metric = "ccc"
[base]
system = "tzirakis2021"
[[corpora]]
name = "synth"
options = { utterances = 12 }
[protocol]
target = "traces"
split = "speaker-groups"
groups = 2
validation = 1
[meters]
seconds = 0.5
calls = 3
limit_s = 1.0
"""


def measured(held: dict[str, Any], label: str) -> Measured:
    """The first cell of an arm, measured in this process."""
    wanted = wanted_of(held)
    cell = wanted.cells[wanted.labels.index(label)]
    return measure_here(Asked(cell=replace(cell, calls=3, limit_s=1.0), label=label))


def test_an_estimator_is_measured() -> None:
    """Without multiply-accumulates and training steps, for a reason."""
    found = measured(facts(), "functionals_svm")
    assert found.status == "measured", found.reason
    assert len(found.samples_ns) == 3
    assert found.measurements["macs"].value is None
    assert "networks" in found.measurements["macs"].reason


def test_a_study_of_traces_is_measured() -> None:
    """Its networks give values frame by frame."""
    found = measured(facts(TRACED), "base")
    assert found.status == "measured", found.reason
    assert found.cell.target == "traces"
    assert (found.measurements["latency_p50"].value or 0) > 0
    assert (found.measurements["train_p50"].value or 0) > 0


def test_what_only_the_corpus_supplies_has_its_size_from_the_facts() -> None:
    """Vectors of noise, as many values as the corpus's own."""
    held = facts()
    svm = next(arm for arm in held["arms"] if arm["name"] == "functionals_svm")
    svm["variant"]["options"]["functionals"] = "supplied"
    held["corpora"][0]["supplied"] = {"features": 7}
    found = measured(held, "functionals_svm")
    assert found.status == "measured", found.reason
    assert found.cell.supplied == {"features": 7}
    held["corpora"][0]["supplied"] = {}
    without = measured(held, "functionals_svm")
    assert (without.status, "supplied vector" in without.reason) == ("failed", True)


@pytest.mark.slow
def test_fresh_processes_measure_a_run(tmp_path: Path) -> None:
    """Each variant once more with nothing in the place of the processes."""
    store = run(tmp_path, STUDY.replace("[1.0, 2.0]", "1.0").replace("[2, 1]", "[1]"))
    said: list[str] = []
    meter_arms(store, said.append)
    records = store.meters().values()
    assert len(records) == 6
    assert {m["status"] for m in records} == {"measured"}
    assert {m["process"] for m in records} == {0, 1}
    assert all(len(m["samples_ns"]) == 3 for m in records)
    assert len(said) == 7
