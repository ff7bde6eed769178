"""Fresh processes that time two variants in turns: what they build, find, and how they fail."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from serlab.bench.contracts import System, plain
from serlab.bench.errors import BadValue, SerlabError
from serlab.bench.meters import compare
from serlab.bench.meters.cell import prepare
from serlab.bench.meters.records import Cell, What
from serlab.models.variant import SYSTEMS, make, resolve
from serlab.studies import comparison
from serlab.studies.comparison import (
    Asked,
    Pair,
    Timed,
    check_pair,
    compare_variants,
    summed_up,
    time_here,
)

LABELS = ("A", "B")


def cell(system: str = "majority", **changes: Any) -> Cell:
    differences = {"n_bands": 16, "channels": 4, "units": 8} if system == "crnn" else {}
    return Cell(variant=resolve(system, "", differences), seconds=0.5, **changes)


def pair(system: str = "majority", what: What = "call", **changes: Any) -> Pair:
    one = cell(system, **changes)
    return Pair(a=one, b=one, what=what, rounds=3, limit_s=0.1)


def timed(process: int, b: float, again: float = 1.0) -> Timed:
    """Four rounds in which B and A's twin take so many times the 1000 ns of A."""
    return Timed(
        process=process,
        a=((1000, 1000),) * 4,
        b=((round(1000 * b),) * 2,) * 4,
        again=((round(1000 * again),) * 2,) * 4,
        load_before={"load_1m": 1.0},
    )


Started = Callable[..., dict[str, Any] | str]


def stand_in(answers: list[Timed | str]) -> tuple[list[Asked], Started]:
    """Takes the place of `run_apart`; notes what is asked and gives the answers in turn."""
    seen: list[Asked] = []

    def run(module: str, asked: Asked, *, threads: int, limit_s: float) -> dict[str, Any] | str:
        assert module == "serlab.studies.comparison"
        seen.append(asked)
        answer = answers[len(seen) - 1]
        return answer if isinstance(answer, str) else plain(answer)

    return seen, run


def test_processes_come_to_a_ratio_with_a_verdict() -> None:
    """B takes a tenth more in every process; A's twin about as much as A."""
    found = summed_up(
        pair(), LABELS, [timed(k, 1.1 + k / 1000, 0.999 + k / 1000) for k in (0, 1, 2)]
    )
    assert found.ratio is not None
    assert found.again is not None
    assert found.judged is not None
    assert found.ratio.ratio == pytest.approx(1.101, abs=1e-3)
    assert found.again.ratio == pytest.approx(1.0, abs=1e-3)
    assert found.judged.verdict == "slower"
    assert (found.a_ms, found.b_ms) == (0.001, pytest.approx(0.001101))


def test_failed_process_is_told_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others go on and are judged without it."""
    answers: list[Timed | str] = [timed(0, 1.2), "killed", *(timed(k, 1.2) for k in (2, 3))]
    seen, run = stand_in(answers)
    monkeypatch.setattr(comparison, "run_apart", run)
    said: list[str] = []
    found = compare_variants(pair(), LABELS, processes=4, say=said.append)
    assert [asked.process for asked in seen] == [0, 1, 2, 3]
    assert [one.reason for one in found.failures] == ["killed"]
    assert found.ratio is not None
    assert found.ratio.n_processes == 3
    assert "process 2/4 failed: killed" in said


def test_nothing_more_is_started_where_the_first_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others would fail alike; there is no ratio and no verdict."""
    seen, run = stand_in(["no memory"])
    monkeypatch.setattr(comparison, "run_apart", run)
    found = compare_variants(pair(), LABELS, processes=5)
    assert len(seen) == 1
    assert (found.ratio, found.again, found.judged, found.a_ms) == (None, None, None, None)


def test_every_process_builds_in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A, B and the twin are built anew, each as often first as the others."""
    built: list[tuple[str, int]] = []

    def call_of(system: System, one: Cell, what: What) -> Callable[[], object]:
        built.append(("b" if one.batch == 2 else "a", id(system)))
        systems.append(system)
        return int

    systems: list[System] = []
    monkeypatch.setattr(compare, "call_of", call_of)
    asked = replace(pair(), b=cell(batch=2))
    for process in range(6):
        time_here(Asked(pair=asked, process=process))
    orders = ["".join(name for name, _ in built[k : k + 3]) for k in range(0, 18, 3)]
    assert sorted(orders) == ["aab", "aab", "aba", "aba", "baa", "baa"]
    assert len({number for _, number in built}) == 18


def test_what_a_system_raises_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as memory that runs out."""

    def refuse(*_: object) -> Callable[[], object]:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(compare, "call_of", refuse)
    found = time_here(Asked(pair=pair()))
    assert "CUDA out of memory. Tried to allocate 2 GiB" in found.reason
    assert found.a == ()


def test_fresh_process_times_all_three(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a plugin of the working directory: three rounds of two calls, and the machine."""
    (tmp_path / "adding_shares.py").write_text(
        "from serlab.models.systems.majority import Majority, Settings\n"
        "from serlab.models.variant import SYSTEMS\n"
        "@SYSTEMS.register('shares', title='S', source='test', inputs=(), slots={},\n"
        "                  default_preset='default', presets={'default': {}})\n"
        "class Other(Majority):\n    Settings = Settings\n"
    )
    monkeypatch.setattr(SYSTEMS, "_added", dict(SYSTEMS._added))  # known to no other test
    monkeypatch.syspath_prepend(tmp_path)
    import adding_shares  # type: ignore[import-not-found]

    assert adding_shares.Other
    found = compare_variants(
        Pair(a=cell(), b=cell("shares"), rounds=3), LABELS, processes=1, plugins=["adding_shares"]
    )
    (process,) = found.processes
    assert process.reason == ""
    assert np.shape(process.a) == np.shape(process.b) == np.shape(process.again) == (3, 2)
    assert np.min([process.a, process.b, process.again]) > 0
    assert process.environment["threads"] == 1
    assert {"load_1m", "load_per_core"} <= set(process.load_after)
    assert found.judged is not None
    assert found.judged.verdict == "no verdict"


def test_killed_process_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends in the middle gives no times but a reason."""
    (tmp_path / "ending.py").write_text(
        f"import os\nif os.getpid() != {os.getpid()}:\n    os._exit(7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = compare_variants(pair(), LABELS, processes=2, plugins=["ending"])
    assert len(found.processes) == 1
    assert "exit code 7" in found.processes[0].reason


def test_training_is_a_step_of_every_stage() -> None:
    """Each has a network of its own, whose weights move; the subject's stay."""
    system = make(cell("crnn").variant)
    subject = prepare(system, cell("crnn"))
    before = [p.clone() for p in subject.built.parameters()]
    steps: list[object] = []
    step = type(subject).step

    def noted(self: Any, stage: Any) -> Callable[[], object]:
        steps.append(self.built)
        return step(self, stage)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(subject), "step", noted)
        patch.setattr(compare, "prepare", lambda *_: subject)
        compare.call_of(system, cell("crnn"), "train")()
    assert len(steps) == len(system.stages()) == 1
    after = list(steps[0].parameters())  # type: ignore[attr-defined]
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
    for parameter, was in zip(subject.built.parameters(), before, strict=True):
        assert torch.equal(parameter, was)


def test_features_are_computed_from_the_same_noise() -> None:
    """Those of a batch, anew with every call, equal for every instance."""
    one, other = (
        compare.call_of(make(cell("crnn").variant), cell("crnn", batch=2), "features")
        for _ in range(2)
    )
    first: Any = one()
    second: Any = other()
    assert list(first) == ["image"]
    assert len(first["image"]) == 2
    for name, values in first["image"].items():
        assert np.array_equal(values, second["image"][name])
    assert first["image"] is not one()["image"]  # type: ignore[index]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (pair(what="train"), "fitted as a whole"),
        (pair(compiled=True), "not compiled"),
        (pair("crnn", "train", dtype="fp16"), "fp32 and bf16 only"),
        (pair("crnn", "features", dtype="bf16"), "computed on the CPU"),
        (pair("crnn", "features", device="cuda"), "computed on the CPU"),
        (pair("crnn", "train", compiled=True), "--compile is for calls"),
    ],
)
def test_what_cannot_be_timed_is_refused_first(asked: Pair, expected: str) -> None:
    """Before a process is started, with the reason."""
    with pytest.raises(SerlabError, match=expected):
        check_pair(asked)


@pytest.mark.parametrize("changes", [{"rounds": 2}, {"limit_s": 0.0}, {"limit_s": float("inf")}])
def test_pair_refuses_what_measures_nothing(changes: dict[str, Any]) -> None:
    """Too few rounds, or no time."""
    with pytest.raises(BadValue):
        replace(pair(), **changes)


def test_no_process_is_refused() -> None:
    """At least one."""
    with pytest.raises(BadValue):
        compare_variants(pair(), LABELS, processes=0)
