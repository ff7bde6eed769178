"""A gate in a test-suite, from run folders to the verdict, with nothing replaced."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from serlab.reports.gate.outputs import read_json
from serlab.reports.gate.record import record

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module")
def runs(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a baseline and two candidates: the run itself, and one that has lost."""
    folder = tmp_path_factory.mktemp("gate")
    for name, skill in (("good", 0.75), ("worse", 0.5)):
        study = fake.FakeStudy(skill={"base": skill}, meters=False)
        fake.write_fake_run(folder / name, study)
    record(folder / "good", folder / "baseline", margin=0.05)
    return folder


def test_a_test_suite_holds_a_gate(pytester: pytest.Pytester, runs: Path) -> None:
    """The same run passes; a worse one, a missing baseline and half of the question do not."""
    pytester.makepyfile(f"""
        ROOT = {str(runs)!r}

        def test_same(serlab_gate):
            assert serlab_gate(ROOT + "/baseline", run=ROOT + "/good").outcome == "pass"

        def test_worse(serlab_gate):
            serlab_gate(ROOT + "/baseline", run=ROOT + "/worse")

        def test_no_baseline(serlab_gate):
            serlab_gate(ROOT + "/nowhere", run=ROOT + "/good")

        def test_no_candidate(serlab_gate):
            serlab_gate(ROOT + "/baseline")
    """)
    done = pytester.runpytest()
    done.assert_outcomes(passed=1, failed=3)
    done.stdout.fnmatch_lines(["FAIL: UA *it has lost more than the margin of 5 points"])
    done.stdout.fnmatch_lines([f"serlab gate: {runs}/nowhere/gate.json: is no baseline*"])
    done.stdout.fnmatch_lines(["serlab gate: candidate = *expected one of run, study*"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_the_command_line_writes_the_same(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text on standard output, JSON in a file that reads back, the verdict as exit code."""
    from serlab.__main__ import main

    file = tmp_path / "gate.json"
    words = ["--baseline", str(runs / "baseline"), "--run", str(runs / "worse")]
    code = main(["gate", "check", *words, "--json", str(file), "--annotations"])
    said = capsys.readouterr().out
    result = read_json(file.read_text())
    assert code == result.exit_code == 1
    assert said.startswith(result.sentence)
    assert "\n::error title=serlab gate check%3A accuracy::UA" in said
