"""The command that compares by pairs: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from serlab.__main__ import main
from serlab.bench.contracts import plain
from serlab.studies import comparison
from serlab.studies.comparison import Asked, Timed

COMMAND = ["bench", "compare", "majority", "majority"]


class Processes:
    """Stands in for fresh processes: B takes so many times as long as A in each of them."""

    def __init__(self, ratios: list[float]) -> None:
        self.ratios, self.asked = ratios, list[Asked]()

    def run(self, module: str, asked: Asked, *, threads: int, limit_s: float) -> Any:
        self.asked.append(asked)
        k = asked.process
        if not self.ratios[k]:
            return "its process was killed by signal SIGKILL"
        facts = {"cpu": "Paper 3", "cores": 2, "gpu": None, "packages": {"torch": "2.9"}}
        return plain(
            Timed(
                process=k,
                a=((1_000_000, 1_002_000), (1_000_000, 1_000_000)),
                b=((round(1_000_000 * self.ratios[k]),) * 2,) * 2,
                again=((1_000_000 + 1000 * k,) * 2,) * 2,
                environment=facts,
                load_before={"load_1m": 1.5 + k},
                load_after={"load_1m": 2.5 + k},
            )
        )


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    made = Processes([1.25, 1.26, 1.24, 1.25, 1.25])
    monkeypatch.setattr(comparison, "run_apart", made.run)
    return made


def test_verdict_comes_with_all_that_it_rests_on(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ratio, interval, medians, floor, spread, what could have been shown, and the machine."""
    assert main([*COMMAND[:3], "crnn:small,units=8", "--processes", "5"]) == 0
    shown = capsys.readouterr().out
    assert "A  majority\nB  crnn:small,units=8\n" in shown
    assert "B is slower than A\n" in shown
    assert "B takes 1.250 times the time of A [1.241, 1.259]\n" in shown
    assert "median     A 1 ms, B 1.25 ms\n" in shown
    assert "A/A floor  0.4%: a copy of A takes 1.002 times its time [1.000, 1.004]\n" in shown
    assert "0.1% from pair to pair, 0.6% from process to process" in shown
    assert "(sd of the log ratio; 5 processes, 10 rounds)" in shown
    assert "shown with a probability of 80 %: a difference of 1." in shown
    assert "Paper 3, 2 cores, torch 2.9; load 1.5 before, 6.5 after" in shown
    assert "A and B are the same" not in shown


def test_comparison_with_itself_says_so(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same variant twice, however it is written."""
    processes.ratios = [1.0, 1.01, 0.99]
    assert main([*COMMAND[:3], "majority:default", "--processes", "3"]) == 0
    shown = capsys.readouterr().out
    assert "A and B are the same: what is found is noise" in shown
    assert "no difference shown: the interval holds 1" in shown


def test_options_reach_the_processes(processes: Processes) -> None:
    """Conditions are the same for both; a plugin is passed on."""
    words = ["--what", "features", "--batch", "2", "--seconds", "1.5", "--threads", "1",
             "--rounds", "7", "--limit", "4", "--processes", "3", "--classes", "6"]  # fmt: skip
    assert main([*COMMAND, *words, "--plugin", "json"]) == 0
    pair = processes.asked[0].pair
    assert (pair.what, pair.rounds, pair.limit_s) == ("features", 7, 4.0)
    assert (pair.a.batch, pair.a.seconds, pair.a.threads, pair.a.n_classes) == (2, 1.5, 1, 6)
    assert pair.b == pair.a
    assert [asked.process for asked in processes.asked] == [0, 1, 2]
    assert processes.asked[0].plugins == ("json",)


def test_json_is_the_summary_and_the_file_holds_every_time(
    processes: Processes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output is one object; times are in the file alone."""
    out = tmp_path / "new" / "pair.json"
    assert main([*COMMAND, "--json", "--out", str(out)]) == 0
    shown, kept = json.loads(capsys.readouterr().out), json.loads(out.read_text())
    assert shown["judged"]["verdict"] == "slower"
    assert shown["ratio"]["n_processes"] == 5
    assert "a" not in shown["processes"][0]
    assert kept["processes"][1]["again"] == [[1_001_000, 1_001_000]] * 2
    assert kept["pair"]["a"]["variant"]["system"] == "majority"
    assert kept["schema"] == 1


def test_two_processes_have_a_ratio_and_no_verdict(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason stands in its place, in JSON null."""
    assert main([*COMMAND, "--processes", "2"]) == 0
    shown = capsys.readouterr().out
    assert "no verdict: an interval needs 3 processes, there are 2\n" in shown
    assert "B takes 1.255 times the time of A\n" in shown
    assert "probability" not in shown
    assert main([*COMMAND, "--processes", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ratio"]["interval"] is None


def test_failed_process_exits_with_1(
    processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rest is judged all the same; where the first fails, nothing is."""
    processes.ratios = [1.25, 0.0, 1.26, 1.25]
    assert main([*COMMAND, "--processes", "4"]) == 1
    shown = capsys.readouterr().out
    assert "B is slower than A" in shown
    assert "process 2 failed: its process was killed by signal SIGKILL" in shown
    processes.ratios = [0.0]
    assert main(COMMAND) == 1
    assert "nothing was compared\nprocess 1 failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--device", "tpu"], "--device"),
        (["--dtype", "fp12"], '"fp12" is no dtype'),
        (["--seconds", "0"], "seconds = 0"),
        (["--seconds", "-1"], "seconds = -1"),
        (["--batch", "0"], "batch = 0"),
        (["--rounds", "2"], "rounds = 2"),
        (["--limit", "0"], "limit = 0"),
        (["--processes", "0"], "--processes = 0"),
        (["--threads", "0"], "--threads = 0"),
        (["--what", "train"], "an estimator is fitted as a whole"),
        (["--compile"], "not compiled"),
    ],
)
def test_mistakes_are_told_before_anything_starts(
    words: list[str], expected: str, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, exit code 2, and no process."""
    assert main([*COMMAND, *words]) == 2
    said = capsys.readouterr()
    assert expected in said.err
    assert said.out == ""
    assert not processes.asked


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("majorty", '"majorty" is no system; did you mean "majority"?'),
        ("crnn:smal", 'did you mean "small"?'),
        ("crnn:small,units=0", "an integer of at least 1"),
        ("crnn:small,colour=red", '"colour" is no slot or setting of crnn'),
    ],
)
def test_variant_that_cannot_be_is_refused(
    variant: str, expected: str, processes: Processes, capsys: pytest.CaptureFixture[str]
) -> None:
    """As A or as B, with the nearest name."""
    for pair in ([variant, "majority"], ["majority", variant]):
        assert main(["bench", "compare", *pair]) == 2
        assert expected in capsys.readouterr().err
    assert not processes.asked


def test_file_that_cannot_be_written_is_told_first(
    processes: Processes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after minutes of work."""
    assert main([*COMMAND, "--out", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert not processes.asked
