"""serlab's own gate on copies of serlab with a defect planted: each must end in exit code 1.

The copy as it is passes: that is ``tox run -e gate``, which holds the code itself against the
same baseline.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from serlab.reports.gate.outputs import read_json
from serlab.reports.gate.records import Outcome

pytestmark = [pytest.mark.gate, pytest.mark.slow]

BASELINE = Path(__file__).parent.parent / "golden" / "gate_quick"

# Where, what stands there, what the defect makes of it, and the points of UA it costs at least.
DEFECTS = {
    "the weights of the classes are dropped": (
        "bench/trial.py",
        "return stages[-1].training.class_weights",
        'return "none"',
        3,
    ),
    "the gradient reversal has lost its sign": (
        "models/components/adversary.py",
        "return -ctx.strength * gradients[0], None",
        "return ctx.strength * gradients[0], None",
        3,
    ),
    "the tested part is not normalised": (
        "bench/trial.py",
        "part: replace(blank, utterances=",
        "part: replace(blank, normaliser=Normaliser(mode='none'), utterances=",
        20,
    ),
}


def copy_of_serlab(folder: Path) -> Path:
    """The packages as they are imported here, in one tree."""
    for name in ("serlab", "serlab.bench", "serlab.models", "serlab.reports", "serlab.studies"):
        package = Path(str(import_module(name).__file__)).parent
        shutil.copytree(
            package,
            folder.joinpath(*name.split(".")),
            ignore=shutil.ignore_patterns("__pycache__"),
            dirs_exist_ok=True,
        )
    return folder / "serlab"


def plant(copy: Path, file: str, stands: str, becomes: str) -> None:
    """Replaces what stands in one place; a defect whose place has moved must be written anew."""
    text = (copy / file).read_text(encoding="utf-8")
    assert text.count(stands) == 1, f"{file} has {stands!r} {text.count(stands)} times"
    (copy / file).write_text(text.replace(stands, becomes), encoding="utf-8")


def check(copy: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """``serlab gate check`` of the copy; Ray's workers inherit the path that finds it."""
    environment = os.environ | {
        "PYTHONPATH": str(copy.parent),
        "SERLAB_CACHE": str(folder / "cache"),
    }
    command = ["-m", "serlab", "gate", "check", "--baseline", str(BASELINE)]
    command += ["--study", "gate_quick", "--out", str(folder / "out"), "--json"]
    command += [str(folder / "result.json")]
    return subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(defect: str, tmp_path: Path) -> None:
    file, stands, becomes, at_least = DEFECTS[defect]
    copy = copy_of_serlab(tmp_path / "tree")
    plant(copy, file, stands, becomes)
    done = check(copy, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    result = read_json((tmp_path / "result.json").read_text(encoding="utf-8"))
    found = {each.name: each for each in result.checks}["accuracy"]
    assert found.outcome is Outcome.FAIL
    assert float(found.numbers["difference"] or 0) < -at_least / 100
