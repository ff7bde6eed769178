"""What the gate's judgement costs, on the baseline of serlab's own gate against itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from serlab.reports.gate.baseline import Baseline, read_baseline
from serlab.reports.gate.judge import judge
from serlab.reports.gate.records import Outcome
from serlab.reports.gate.selfcheck import against_itself
from serlab.reports.gate.tested import Candidate

Benchmark = Any  # pytest-benchmark is untyped
Size = Callable[[int, int], int]

RECORDED = Path(__file__).parents[1] / "golden" / "gate_quick"

pytestmark = pytest.mark.benchmark(group="gate")


@pytest.fixture(scope="module")
def baseline() -> Baseline:
    """Read once."""
    return read_baseline(RECORDED)


def test_reading(benchmark: Benchmark) -> None:
    """The files, checked."""
    assert benchmark.pedantic(read_baseline, (RECORDED,), rounds=5, warmup_rounds=1).tested


def test_judgement(benchmark: Benchmark, baseline: Baseline) -> None:
    """The baseline's own predictions as the candidate."""
    candidate = Candidate(name="itself", tested=baseline.tested)
    checks = benchmark.pedantic(judge, (baseline, candidate), rounds=5, warmup_rounds=1)
    assert {check.outcome for check in checks} == {Outcome.PASS}


def test_against_itself(benchmark: Benchmark, size: Size, baseline: Baseline) -> None:
    """Halves of its seeds, drawn again and again."""
    draws = size(40, 4)
    check = benchmark.pedantic(against_itself, (baseline, draws), rounds=3, warmup_rounds=1)
    assert check.outcome is Outcome.PASS
