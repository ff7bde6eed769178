"""The pytest plugin, in test-suites of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from serlab.bench.errors import BadFile
from serlab.gate import Asked
from serlab.reports.gate.outputs import plain_text
from serlab.reports.gate.records import Check, Outcome, Result

pytest_plugins = ["pytester"]

THREE_LINES = """
    def test_accuracy(serlab_gate):
        serlab_gate("baseline/", run="runs/mine")
"""


class Judge:
    """Stands where `serlab.gate.check` is, says what it is told to say, and keeps the question."""

    def __init__(self) -> None:
        self.result = a_result(Outcome.PASS)
        self.error: Exception | None = None
        self.asked: list[tuple[Path, Asked]] = []

    def check(self, baseline: Path, asked: Asked) -> Result:
        """Answers as `serlab.gate.check` does."""
        self.asked.append((baseline, asked))
        if self.error:
            raise self.error
        return self.result


def a_result(outcome: Outcome, policy: str = "fail", kind: str = "accuracy") -> Result:
    """A result of one check."""
    check = Check(name=kind, kind=kind, outcome=outcome, sentence="UA −4.0 points [−6.1, −1.9]")
    return Result(
        command="check", baseline="baseline", candidate="runs/mine", study="quick", arm="base",
        metric="ua", margin=0.02, checks=(check,), inconclusive=policy,
    )  # fmt: skip


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Judge:
    """In the place of the judging itself, which has tests of its own."""
    stands_in = Judge()
    monkeypatch.setattr("serlab.gate.check", stands_in.check)
    return stands_in


def test_a_gate_that_passes(pytester: pytest.Pytester, judge: Judge) -> None:
    """Three lines; paths may be texts."""
    pytester.makepyfile(THREE_LINES)
    pytester.runpytest("-W", "error").assert_outcomes(passed=1)
    assert judge.asked == [(Path("baseline"), Asked(run=Path("runs/mine")))]


def test_the_result_is_given(pytester: pytest.Pytester, judge: Judge) -> None:
    """A test may look at what was found; options are handed on."""
    pytester.makepyfile("""
        def test_accuracy(serlab_gate):
            found = serlab_gate("b", study="quick", inconclusive="warn", changes=["x=1"],
                                roots={"emodb": "data/emodb"}, out="runs/gate")
            assert found.outcome == "pass"
    """)
    pytester.runpytest().assert_outcomes(passed=1)
    assert judge.asked[0][1] == Asked(
        study="quick",
        inconclusive="warn",
        changes=["x=1"],
        roots={"emodb": Path("data/emodb")},
        out=Path("runs/gate"),
    )


def test_an_unknown_option_is_an_error(pytester: pytest.Pytester, judge: Judge) -> None:
    """It is not passed over."""
    pytester.makepyfile("""
        def test_accuracy(serlab_gate):
            serlab_gate("b", run="r", inconclusiv="warn")
    """)
    done = pytester.runpytest()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*TypeError*inconclusiv*"])
    assert not judge.asked


@pytest.mark.parametrize(
    "outcome", [Outcome.FAIL, Outcome.NOT_COMPARABLE, Outcome.INCONCLUSIVE]
)  # fmt: skip
def test_a_gate_that_does_not_pass(
    pytester: pytest.Pytester, judge: Judge, outcome: Outcome
) -> None:
    """The test fails with what was found, and no traceback."""
    judge.result = a_result(outcome)
    pytester.makepyfile(THREE_LINES)
    done = pytester.runpytest("-W", "error")
    done.assert_outcomes(failed=1)
    said = plain_text(judge.result)
    assert said in done.stdout.str()
    assert f"{outcome.value.upper()}: UA −4.0 points [−6.1, −1.9]" in said
    done.stdout.no_fnmatch_line("*serlab_gate(*")
    done.stdout.no_fnmatch_line("*pytest_plugin*")


def test_an_inconclusive_gate_that_is_let_through(pytester: pytest.Pytester, judge: Judge) -> None:
    """It passes with a warning that points at the test."""
    judge.result = a_result(Outcome.INCONCLUSIVE, policy="warn")
    pytester.makepyfile(test_mine=THREE_LINES)
    done = pytester.runpytest()
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*test_mine.py:2: UserWarning: INCONCLUSIVE: UA*"])


def test_a_slice_that_has_lost_warns(pytester: pytest.Pytester, judge: Judge) -> None:
    """A gate that passes may still have something to say."""
    judge.result = a_result(Outcome.WARN, kind="slice")
    pytester.makepyfile(THREE_LINES)
    done = pytester.runpytest()
    done.assert_outcomes(passed=1, warnings=1)
    done.stdout.fnmatch_lines(["*UserWarning: WARN: slice: UA*"])


def test_wrong_usage_fails_with_its_sentence(pytester: pytest.Pytester, judge: Judge) -> None:
    """The user's mistake is told as on the command line."""
    judge.error = BadFile("baseline/gate.json", "is no baseline of a gate: No such file")
    pytester.makepyfile(THREE_LINES)
    done = pytester.runpytest()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(
        ["serlab gate: baseline/gate.json: is no baseline of a gate: No such file"]
    )
    done.stdout.no_fnmatch_line("*Traceback*")
    done.stdout.no_fnmatch_line("*BadFile*")


def test_errors_of_the_gate_itself_keep_their_traceback(
    pytester: pytest.Pytester, judge: Judge
) -> None:
    """What is no mistake of the user is not dressed as one."""
    judge.error = ZeroDivisionError("oh")
    pytester.makepyfile(THREE_LINES)
    done = pytester.runpytest()
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*ZeroDivisionError: oh*"])


def test_pytest_starts_without_serlab(tmp_path: Path) -> None:
    """The plugin is found; who asks for no gate loads nothing of serlab but it."""
    (tmp_path / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
    code = (
        "import sys, pytest\n"
        "assert pytest.main(['-q', '-p', 'no:cacheprovider', 'test_nothing.py']) == 0\n"
        "assert 'serlab.pytest_plugin' in sys.modules\n"
        "ours = {n for n in sys.modules if n.startswith('serlab')}\n"
        "assert ours == {'serlab', 'serlab.pytest_plugin'}, ours\n"
        "heavy = {'torch', 'ray', 'pandas', 'numpy', 'pyarrow', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
