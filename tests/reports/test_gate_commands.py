"""The gate on the command line: what is typed, what is read, and the exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serlab.__main__ import main
from serlab.bench.contracts import Status
from serlab.reports.gate.baseline import FILE, PREDICTIONS
from serlab.reports.gate.outputs import read_json

SKILL = {"base": 0.75, "same": 0.75, "worse": 0.5, "unclear": 0.7}


def study(fake: ModuleType, **other: object) -> Any:  # a FakeStudy
    """A run that is small and quick to write."""
    facts = {
        "skill": SKILL,
        "seeds": (0, 1, 2, 3, 4),
        "per_cell": 10,
        "meters": False,
        "epochs": 2,
        "groups": {"sex": {"s1": "f", "s2": "m", "s3": "f", "s4": "m", "s5": "m"}},
        "conditions": {"noise_20db": 0.1},
    }
    return fake.FakeStudy(**(facts | other))


@dataclass(frozen=True)
class Place:
    """A folder with a run and a baseline of its base."""

    path: Path

    @property
    def run(self) -> Path:
        """A finished run."""
        return self.path / "run"

    @property
    def baseline(self) -> Path:
        """Of the run's base."""
        return self.path / "baseline"

    def check(self, *words: object, run: Path | None = None) -> list[str]:
        """The words of a check, of the run if there is no other candidate."""
        given = [] if "--predictions" in words else ["--run", run or self.run]
        return [*map(str, ["gate", "check", "--baseline", self.baseline, *given, *words])]

    def terms(self, **changes: object) -> None:
        """Changes the baseline's terms."""
        path = self.baseline / FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture(scope="module")
def made(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """What tests only read."""
    place = Place(tmp_path_factory.mktemp("made"))
    fake.write_fake_run(place.run, study(fake))
    words = ["gate", "record", str(place.run), "--out", str(place.baseline), "--margin", "0.05"]
    assert main(words) == 0
    return place


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """The same run with a baseline that a test may change."""
    shutil.copytree(made.baseline, tmp_path / "baseline")
    (tmp_path / "run").symlink_to(made.run, target_is_directory=True)
    return Place(tmp_path)


# --- verdicts ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arm", "code", "words"),
    [
        ("base", 0, "PASS: UA 0.0 points [0.0, 0.0] against the baseline; a loss of 5 points is"),
        ("same", 0, "PASS: "),
        ("worse", 1, "FAIL: UA −27.0 points ["),
        ("unclear", 3, "INCONCLUSIVE: UA −"),
    ],
)
def test_the_exit_code_is_the_verdict(
    made: Place, arm: str, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the arms of a run; the first line says why, the last one the code."""
    assert main(made.check("--arm", arm)) == code
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith(words)
    assert told[-1].startswith(f"  exit code {code} after ")
    assert "  note: synth: SYNTHETIC SPEECH" in told


def test_an_inconclusive_check_may_warn(made: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Where the policy says so; a regression never does."""
    assert main(made.check("--arm", "unclear", "--inconclusive", "warn")) == 0
    assert "inconclusive is let through" in capsys.readouterr().out
    assert main(made.check("--arm", "worse", "--inconclusive", "warn")) == 1


def test_a_variant_that_differs_is_noted(made: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """What an arm is otherwise than the baseline stands in a note."""
    other = replace_variant(made)
    assert main(made.check(run=other)) == 0
    told = capsys.readouterr().out
    assert "note: the variant differs from the baseline's: epochs 2 -> 3" in told


def replace_variant(made: Place) -> Path:
    """The same run, whose base has had more epochs."""
    other = made.path / "longer"
    shutil.copytree(made.run, other)
    path = other / "resolved.json"
    table = json.loads(path.read_text())
    table["arms"][0]["variant"]["settings"]["epochs"] = 3
    path.write_text(json.dumps(table))
    return other


def test_every_output_is_written(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON, JUnit XML, Markdown and a job summary, in folders that are made; annotations."""
    files = {n: place.path / "out" / f"{n}.txt" for n in ("json", "junit", "markdown", "summary")}
    words = [w for name, path in files.items() for w in (f"--{name}", path)]
    assert main(place.check("--arm", "worse", "--annotations", *words)) == 1
    assert "::error title=serlab gate" in capsys.readouterr().out
    result = read_json(files["json"].read_text())
    assert (result.exit_code, result.arm, result.margin) == (1, "worse", 0.05)
    assert [c.kind for c in result.checks[:3]] == ["accuracy", "robustness", "fairness"]
    assert result.seconds > 0
    assert "<testsuite" in files["junit"].read_text()
    assert "FAIL" in files["markdown"].read_text()
    before = files["summary"].read_text()
    assert main(place.check("--summary", files["summary"])) == 0
    assert files["summary"].read_text().startswith(before)


def test_predictions_of_another_model(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The baseline's own table passes as a candidate where nothing but accuracy is asked."""
    place.terms(robustness={})
    copy = place.path / "mine.csv"
    rows = pd.read_parquet(place.baseline / PREDICTIONS)
    rows.sample(frac=1, random_state=0).to_csv(copy, index=False)
    assert main(place.check("--predictions", copy)) == 0
    assert "PASS: UA 0.0 points" in capsys.readouterr().out


def test_selfcheck(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A gate that is awake, and one whose margin has been widened until it sleeps."""
    place.terms(margin=0.03)
    words = ["gate", "selfcheck", "--baseline", str(place.baseline)]
    assert main([*words, "--json", str(place.path / "s.json")]) == 0
    assert "0 of 200 draws of 2 against 2 seeds are false alarms" in capsys.readouterr().out
    result = read_json((place.path / "s.json").read_text())
    assert (result.command, len(result.checks)) == ("selfcheck", 4)
    assert result.notes == ("synth: SYNTHETIC SPEECH",)
    place.terms(margin=0.5)
    assert main(words) == 1
    assert "6 points worse: it does not fail" in capsys.readouterr().out


def test_record_says_what_it_has_fixed(made: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """And what the margin is from."""
    out = made.path / "other"
    words = ["gate", "record", str(made.run), "--out", str(out), "--arm", "same"]
    assert main([*words, "--extension", "3, 4"]) == 0
    told = capsys.readouterr().out
    assert f"{out}: fake / same, 3 seeds, 2 more where inconclusive" in told
    assert "twice the standard deviation of UA between 5 seeds" in told
    assert "noise_20db: at least " in told
    assert main(words) == 2
    assert "--replace records it anew" in capsys.readouterr().err
    assert main([*words, "--replace"]) == 0


def test_the_extension_of_a_run(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """Looked at where the first look is inconclusive, and the run has its seeds."""
    words = ["gate", "record", str(place.run), "--out", str(place.baseline), "--replace"]
    assert main([*words, "--margin", "0.05", "--extension", "3,4"]) == 0
    json_file = place.path / "r.json"
    assert main(place.check("--arm", "unclear", "--json", json_file)) == 3
    assert read_json(json_file.read_text()).checks[0].numbers["look"] == 2
    assert main(place.check("--arm", "worse", "--json", json_file)) == 1
    assert read_json(json_file.read_text()).checks[0].numbers["look"] == 1


# --- bad input -----------------------------------------------------------------------------

Make = Callable[[Place, ModuleType], list[str]]


def run_of(**other: object) -> Make:
    """A candidate that is another run."""

    def make(place: Place, fake: ModuleType) -> list[str]:
        run = fake.write_fake_run(place.path / "mine", study(fake, **other))
        return place.check(run=run)

    return make


def terms_of(**changes: object) -> Make:
    """A baseline whose terms have been changed by hand."""

    def make(place: Place, fake: ModuleType) -> list[str]:
        place.terms(**changes)
        return place.check()

    return make


def corpus_of(**changes: object) -> Make:
    """A baseline whose corpus has been changed by hand."""

    def make(place: Place, fake: ModuleType) -> list[str]:
        (corpus,) = json.loads((place.baseline / FILE).read_text())["corpora"]
        place.terms(corpora=[corpus | changes])
        return place.check()

    return make


def file_of(name: str, change: Callable[[bytes], bytes]) -> Make:
    """A baseline one of whose files is damaged."""

    def make(place: Place, fake: ModuleType) -> list[str]:
        path = place.baseline / name
        path.write_bytes(change(path.read_bytes()))
        return place.check()

    return make


def table_of(change: Callable[[Any], Any]) -> Make:
    """A candidate's table of predictions."""

    def make(place: Place, fake: ModuleType) -> list[str]:
        rows = change(pd.read_parquet(place.baseline / PREDICTIONS))
        rows.to_csv(place.path / "mine.csv", index=False, na_rep="nan")
        return place.check("--predictions", place.path / "mine.csv")

    return make


def put(column: str, value: object) -> Make:
    """A table with another value in one place."""

    def change(rows: Any) -> Any:
        rows[column] = rows[column].astype(object)
        rows.loc[7, column] = value
        return rows

    return table_of(change)


def exchanged(place: Place, fake: ModuleType) -> list[str]:
    """The predictions of another baseline."""
    words = ["gate", "record", str(place.run), "--out", str(place.path / "b"), "--arm", "worse"]
    assert main(words) == 0
    shutil.copy(place.path / "b" / PREDICTIONS, place.baseline / PREDICTIONS)
    return place.check()


def absent(place: Place, fake: ModuleType) -> list[str]:
    """A folder that is no baseline."""
    shutil.rmtree(place.baseline)
    place.baseline.mkdir()
    return place.check()


def record_of(*words: str, **other: object) -> Make:
    """A run that is recorded."""

    def make(place: Place, fake: ModuleType) -> list[str]:
        run = fake.write_fake_run(place.path / "mine", study(fake, **other))
        return ["gate", "record", str(run), "--out", str(place.path / "b"), *words]

    return make


def typed(*words: str) -> Make:
    """Further words of a check."""
    return lambda place, fake: place.check(*words)


BAD: dict[str, tuple[int, str, Make]] = {
    # the candidate's run
    "split": (4, "its split: another; the baseline's: 0123456789abcdef", run_of(split="another")),
    "data": (4, "its hash of utterances and labels: d1; the baseline's: d0", run_of(data="d1")),
    "classes": (
        4, "its classes: anger, fear, neutral, sadness; the baseline's: anger, joy, neutral, s",
        run_of(labels=("anger", "fear", "neutral", "sadness")),
    ),
    "class order": (4, "its classes: joy", run_of(labels=("joy", "anger", "neutral", "sadness"))),
    "metric": (4, "its metric is wa, and the baseline's is ua", run_of(metric="wa")),
    "corpus": (4, "the corpora differ: ravdess and synth in one", run_of(corpora=("ravdess",))),
    "more corpora": (4, "the corpora differ: b in one of the two", run_of(corpora=("synth", "b"))),
    "seeds": (4, "synth: it lacks the seeds 3 and 4 of the baseline", run_of(seeds=(0, 1, 2))),
    "a seed under way": (
        4, "it lacks the seeds 2 of the baseline", run_of(lost={("base", "fold1", 2): None}),
    ),
    "speakers": (4, "40 of 200 utterances are in one only", run_of(speakers=("s1", "s2", "s3",
                                                                          "s4"), groups={})),
    "utterances": (4, "utterances are in one only, such as s1-0-9", run_of(per_cell=9, groups={})),
    "condition": (4, "the candidate was not tested under noise_20db", run_of(conditions={})),
    "diverged": (
        1, "trainings of the candidate without a result: 1 diverged",
        run_of(lost={("base", "fold1", 2): Status.DIVERGED}),
    ),
    "failed": (
        4, "trainings of the candidate without a result: 1 failed",
        run_of(lost={("base", "fold1", 2): Status.FAILED}),
    ),
    "arm": (2, '"wurse" is no arm of the run; did you mean "worse"', typed("--arm", "wurse")),
    "no run": (2, "holds no run", lambda place, fake: place.check(run=place.path)),
    # the baseline's terms
    "schema": (4, "schema 2, and this serlab reads 1", terms_of(schema=2)),
    "margin 0": (2, "margin = 0.0: expected a number between 0 and 1", terms_of(margin=0)),
    "margin 5": (2, "margin = 5.0: expected a number between 0 and 1", terms_of(margin=5)),
    "alpha": (2, "alpha = 0.7: expected a number between 0 and 0.5", terms_of(alpha=0.7)),
    "type": (2, "seeds = 'all': expected a list", terms_of(seeds="all")),
    "key": (2, '"margn" is no key; did you mean "margin"', terms_of(margn=0.02)),
    "unknown metric": (2, '"uar" is no metric; did you mean "ua"', terms_of(metric="uar")),
    "other metric": (4, "the metric's definition differs", terms_of(metric="ece")),
    "continuous metric": (4, "metric ccc is none of such predictions", terms_of(metric="ccc")),
    "other split": (4, "its split: 0123456789abcdef; the baseline's: x", corpus_of(split="x")),
    "other data": (4, "its hash of utterances and labels: d0", corpus_of(data="x")),
    "values": (4, "the metric's definition differs", corpus_of(values=[0.5] * 5)),
    "other classes": (2, "no column score_fear", corpus_of(labels=["fear", "anger"])),
    # its files
    "broken": (2, f"{FILE}: is not readable as JSON", file_of(FILE, lambda b: b[:-9])),
    "no object": (4, "schema None, and this serlab reads 1", file_of(FILE, lambda b: b"[]")),
    "cut off": (2, "its hash differs", file_of(PREDICTIONS, lambda b: b[:-99])),
    "emptied": (2, "its hash differs", file_of(PREDICTIONS, lambda b: b"")),
    "exchanged": (2, "its hash differs", exchanged),
    "no baseline": (2, f"{FILE}: is no baseline of a gate", absent),
    # a table
    "nan": (2, 'mine.csv: score_joy of utterance "s1-0-7", seed 0 is nan', put("score_joy", "nan")),
    "inf": (2, "seed 0 is -inf: expected a finite number", put("score_joy", "-inf")),
    "text": (2, "seed 0 is much: expected a finite number", put("score_joy", "much")),
    "truth": (2, 'truth: "fear" is no class;', table_of(lambda t: t.assign(truth="fear"))),
    "truths": (2, 'truth of utterance "s1-0-7" is not the same for all', put("truth", "joy")),
    "speaker": (2, 'speaker of utterance "s1-0-7" is not the same', put("speaker", "s9")),
    "corpus of a row": (4, "has the corpus emodb, the baseline synth", put("corpus", "emodb")),
    "a seed less": (4, "it lacks the seeds 4 of", table_of(lambda t: t[t.seed != 4])),
    "an utterance less in a seed": (
        4, "seeds 0 and 1 have unlike utterances (1 are in one", table_of(lambda t: t.drop(300)),
    ),
    "an utterance less": (
        4, "1 of 200 utterances are in one only, such as s2-1-3",
        table_of(lambda t: t[t.id != "s2-1-3"]),
    ),
    "an utterance less, unnamed": (
        4, "has not 1 utterances of the baseline, such as s2-1-3",
        table_of(lambda t: t[t.id != "s2-1-3"].drop(columns=["speaker", "truth"])),
    ),
    "an utterance twice": (2, "twice", table_of(lambda t: pd.concat([t, t[5:6]]))),
    "a stranger": (
        4, "2 of 201 utterances are in one only, such as s2-1-3, who",
        table_of(lambda t: t.assign(id=t.id.replace("s2-1-3", "who"))),
    ),
    "a class more": (4, "has the column score_fear", table_of(lambda t: t.assign(score_fear=0))),
    "a column less": (
        2, "has no column score_joy", table_of(lambda t: t.drop(columns="score_joy")),
    ),
    "no row": (2, "mine.csv: has no row", table_of(lambda t: t[:0])),
    "one speaker": (
        4, "160 of 200 utterances are in one only", table_of(lambda t: t[t.speaker == "s1"]),
    ),
    # what is typed
    "root": (2, "NAME=DIR", typed("--root", "nowhere")),
    "device": (2, "cpu or cuda", typed("--device", "tpu")),
    "output": (2, "cannot be written", typed("--json", "/dev/null/x.json")),
    "figure": (2, "figure = 'x.gif': expected a name that", typed("--figure", "x.gif")),
    "figure's folder": (2, "cannot be written", typed("--figure", "/dev/null/x.svg")),
    # recorded
    "margin typed": (2, "margin = 5.0: expected a number between", record_of("--margin", "5")),
    "extension typed": (
        2, "--extension = 'a,b': expected seeds with commas", record_of("--extension", "a,b"),
    ),
    "extension unknown": (2, "--extension = [9]: expected dif", record_of("--extension", "9")),
    "recorded arm": (2, 'did you mean "base"', record_of("--arm", "bass")),
    "recorded speaker": (2, "synth tests 1 speaker", record_of(speakers=("s1",), groups={})),
    "recorded seed": (2, "first look = [0]: expected two or more", record_of(seeds=(0,))),
    "recorded divergence": (
        2, "trainings of base without a result: 1 diverged",
        record_of(lost={("base", "fold1", 2): Status.DIVERGED}),
    ),
    "recorded nothing": (
        4, "on synth no seed has all its folds completed",
        record_of(lost={("base", f"fold{f}", s): None for f in range(5) for s in range(5)}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_never_passes(
    place: Place, fake: ModuleType, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sentence says what differs, and the exit code is the documented one, never 0."""
    code, words, make = BAD[name]
    typed_words = make(place, fake)
    capsys.readouterr()
    assert code != 0
    assert main(typed_words) == code
    said = capsys.readouterr()
    assert words in (said.out + said.err)
    assert "Traceback" not in said.err
    if code == 2:
        assert said.err.startswith("serlab: ")
        assert not said.out


def test_a_metric_whose_definition_has_changed(
    made: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recorded values no longer follow from the recorded predictions."""
    monkeypatch.setattr(
        "serlab.bench.metrics.categorical.ua",
        lambda truth, scores: float(np.mean(scores.argmax(-1) == truth)) ** 2,
    )
    assert main(made.check()) == 4
    assert "NOT COMPARABLE" in capsys.readouterr().out


def test_extra_seeds_of_a_candidate_are_ignored(
    place: Place, fake: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """They change nothing of what is said."""
    run = fake.write_fake_run(place.path / "mine", study(fake, seeds=(0, 1, 2, 3, 4, 5, 6)))
    assert main(place.check(run=run)) == 0
    assert capsys.readouterr().out.startswith("PASS: UA 0.0 points [0.0, 0.0] against")


@pytest.mark.parametrize(
    "words",
    [
        ["gate"],
        ["gate", "check", "--baseline", "b"],
        ["gate", "check", "--run", "r"],
        ["gate", "check", "--baseline", "b", "--run", "r", "--study", "s"],
        ["gate", "check", "--baseline", "b", "--run", "r", "--inconclusive", "pass"],
        ["gate", "check", "--baseline", "b", "--run", "r", "--tolerance", "small"],
        ["gate", "record", "run"],
        ["gate", "selfcheck"],
    ],
)
def test_usage_errors_exit_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """What argparse refuses."""
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    assert "usage: serlab gate" in capsys.readouterr().err


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), name=st.sampled_from([FILE, PREDICTIONS, "p.csv", "p.pq"]))
def test_arbitrary_bytes_never_pass(made: Place, content: bytes, name: str) -> None:
    """In either file of the baseline, or as a candidate's table: 2 or 4."""
    folder = made.path / "fuzzed"
    shutil.copytree(made.baseline, folder / "baseline", dirs_exist_ok=True)
    place = Place(folder)
    table = name.startswith("p.")
    (folder / name if table else place.baseline / name).write_bytes(content)
    words = place.check("--predictions", folder / name) if table else place.check(run=made.run)
    assert main(words) in (2, 4)


# --- surroundings --------------------------------------------------------------------------


def alone(code: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Runs code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("task", ["record", "check", "selfcheck"])
def test_help_loads_nothing_heavy(task: str) -> None:
    """Neither torch nor ray nor pandas nor anything else that costs a second."""
    done = alone(
        "import sys\nfrom serlab.__main__ import main\n"
        f"try:\n    main(['gate', '{task}', '--help'])\nexcept SystemExit as end:\n"
        "    assert end.code == 0\n"
        "heavy = {'torch', 'ray', 'matplotlib', 'pandas', 'scipy', 'sklearn', 'pyarrow'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    assert done.returncode == 0, done.stderr
    assert b"usage: serlab gate" in done.stdout


def test_a_finished_run_is_judged_without_torch_and_ray(made: Place) -> None:
    """As anywhere in the reports."""
    done = alone(
        "import sys\nfrom serlab.__main__ import main\n"
        f"assert main({made.check()!r}) == 0\n"
        f"assert main(['gate', 'selfcheck', '--baseline', {str(made.baseline)!r}]) in (0, 1)\n"
        "assert not {'torch', 'ray', 'optuna'} & set(sys.modules)\n"
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_an_output_that_lacks_characters(made: Place, encoding: str) -> None:
    """The verdict is the same, and a minus sign is one."""
    words = made.check("--arm", "worse", "--annotations")
    code = f"import sys\nfrom serlab.__main__ import main\nsys.exit(main({words!r}))"
    done = alone(code, PYTHONIOENCODING=encoding)
    assert done.returncode == 1
    assert b"FAIL: UA -27.0 points [-" in done.stdout
    assert not done.stderr
