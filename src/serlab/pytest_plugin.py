"""A pytest plugin: the fixture ``serlab_gate``, with which a test-suite holds an accuracy gate.

    def test_accuracy(serlab_gate):
        serlab_gate("baseline", run="runs/mine")

pytest imports this module whenever it starts, so that it imports nothing of serlab before a gate
is asked for.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from serlab.reports.gate.records import Result

_PATHS = ("run", "predictions", "checkpoint", "out")


@pytest.fixture(scope="session")
def serlab_gate() -> Callable[..., Result]:
    """Holds a candidate against a baseline: ``serlab_gate(baseline, run=...)``.

    The candidate is one of ``run``, ``study``, ``predictions`` and ``checkpoint``; further options
    are those of ``serlab.gate.Asked``, such as ``changes=["epochs=5"]``.
    Paths may be texts, and count from the working directory.

    It gives the result of a gate that passes. Where a slice has lost, or the policy lets an
    inconclusive check through, it warns. On a regression, where the two are not comparable, on
    an inconclusive check (``inconclusive="warn"`` lets it through) and on wrong usage the test
    fails, with what was found as its message.
    """
    return _gate


def _gate(baseline: str | Path, **options: Any) -> Result:  # those of serlab.gate.Asked
    from serlab.bench.errors import SerlabError
    from serlab.gate import Asked, check
    from serlab.reports.gate.outputs import plain_text
    from serlab.reports.gate.records import Outcome

    given: dict[str, Any] = {  # values of any option
        k: Path(v) if k in _PATHS and v is not None else v for k, v in options.items()
    }
    if "roots" in given:
        given["roots"] = {name: Path(folder) for name, folder in given["roots"].items()}
    try:
        result, wrong = check(Path(baseline), Asked(**given)), ""
    except SerlabError as error:
        result, wrong = None, f"serlab gate: {error}"
    if result is None:
        pytest.fail(wrong, pytrace=False)
    if result.exit_code:
        pytest.fail(plain_text(result), pytrace=False)
    if result.outcome is not Outcome.PASS:
        warnings.warn(plain_text(result), stacklevel=2)
    return result
