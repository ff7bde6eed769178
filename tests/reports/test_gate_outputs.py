"""What the gate hands on: JSON, JUnit XML, Markdown, job summary, annotations, plain text."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped
from lxml import etree

from serlab.bench.errors import BadFile, BadValue, SerlabError, UnknownName
from serlab.reports.gate.annotations import MOST, workflow_commands
from serlab.reports.gate.junit import junit_xml
from serlab.reports.gate.markdown import SUMMARY_BYTES, job_summary, markdown
from serlab.reports.gate.outputs import json_text, plain_text, read_json, write_outputs
from serlab.reports.gate.records import Check, Outcome, Result

SCHEMA = etree.XMLSchema(etree.parse(Path(__file__).parents[1] / "golden" / "junit.xsd"))
NUMBERS = {
    "difference": -0.004, "low": -0.012, "high": 0.0041, "margin": 0.02, "power": 0.84,
    "n_seeds": 3, "n_speakers": 4,
}  # fmt: skip
ACCURACY = Check(
    name="accuracy",
    kind="accuracy",
    outcome=Outcome.PASS,
    sentence="a loss of 2 points is ruled out (power 84 %)",
    numbers=NUMBERS,
)


def a_check(name: str, outcome: Outcome, kind: str = "robustness", **other: object) -> Check:
    """A check that found something."""
    return Check(name=name, kind=kind, outcome=outcome, sentence="it was looked at", **other)


def a_result(*checks: Check, **other: object) -> Result:
    """A result of these checks."""
    facts = {
        "command": "check", "baseline": "base/line", "candidate": "runs/mine", "study": "quick",
        "arm": "base", "metric": "ua", "margin": 0.02, "serlab": "0.1.0", "seconds": 41.5,
        "created": "2026-11-21T14:00:00+00:00",
    }  # fmt: skip
    return Result(checks=checks, **(facts | other))


MIXED = a_result(
    ACCURACY,
    a_check("fairness sex", Outcome.INCONCLUSIVE, "fairness"),
    a_check("robustness noise_20db", Outcome.FAIL, numbers={"share": 0.1, "threshold": 0.05}),
    a_check("checkpoint", Outcome.NOT_COMPARABLE, "checkpoint", numbers={"seconds": 1.25}),
    a_check("slice emotion=anger", Outcome.WARN, "slice", numbers=NUMBERS | {"difference": -0.09}),
    a_check("slice emotion=joy", Outcome.PASS, "slice", numbers=NUMBERS),
    a_check("slice sex=", Outcome.NOT_JUDGED, "slice"),
    notes=("Synthetic speech.",),
)
HOSTILE = "a\x00|b\n`c` <script>\x1b[31m & ]]> \ud800 ::error::x % , : \u202e\ufffe"


# --- JSON ----------------------------------------------------------------------------------

texts = st.text(max_size=20)
reals = st.floats(allow_nan=False, allow_infinity=False)
checks = st.builds(
    Check,
    name=texts,
    kind=st.sampled_from(["accuracy", "slice", "robustness", "fairness", "checkpoint", "control"]),
    outcome=st.sampled_from(list(Outcome)),
    sentence=texts,
    numbers=st.dictionaries(texts, st.none() | st.booleans() | st.integers() | reals | texts),
)
results = st.builds(
    Result,
    command=st.sampled_from(["check", "selfcheck"]),
    baseline=texts, candidate=texts, study=texts, arm=texts, serlab=texts, created=texts,
    metric=st.sampled_from(["ua", "ccc", ""]),
    margin=reals,
    checks=st.lists(checks, min_size=1, max_size=4).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
    inconclusive=st.sampled_from(["fail", "warn"]),
    seconds=st.floats(0, 1e6),
)  # fmt: skip


@given(results)
def test_json_is_read_back_as_it_was(result: Result) -> None:
    """Whatever a result holds, its JSON says it all."""
    assert read_json(json_text(result)) == result


def test_json_says_what_follows() -> None:
    """Readers of the JSON need not know how a verdict is made of checks."""
    table = json.loads(json_text(MIXED))
    assert (table["schema"], table["outcome"], table["exit_code"]) == (1, "fail", 1)
    assert table["sentence"] == "FAIL: robustness noise_20db: it was looked at"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_json_never_holds_what_is_no_number(value: float) -> None:
    """Neither nan nor an infinity is written, or taken where others wrote it."""
    bad = a_result(replace(ACCURACY, numbers={"p": value}))
    with pytest.raises(ValueError, match="JSON compliant"):
        json_text(bad)
    with pytest.raises(BadFile, match="it holds"):
        read_json(json.dumps(json.loads(json_text(MIXED)) | {"seconds": value}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema = 2: expected 1"),
        ({"outcome": "pass"}, "outcome = 'pass': expected"),
        ({"exit_code": 0}, "exit_code = 0: expected 1"),
        ({"sentence": "PASS: all is well"}, "sentence = 'PASS: all is well': expected"),
        ({"margin": "0.02"}, "margin = '0.02': expected a number"),
        ({"inconclusive": "retry"}, '"retry" is no value'),
        ({"colour": "red"}, '"colour" is no key'),
        ({"checks": [{"name": "x"}]}, "checks[0].kind is missing"),
        ({"checks": "none"}, "checks = 'none': expected a list"),
    ],
)
def test_json_that_was_changed_is_refused(change: dict[str, object], message: str) -> None:
    """A verdict is not believed that its checks do not come to."""
    text = json.dumps(json.loads(json_text(MIXED)) | change)
    with pytest.raises(SerlabError, match=re.escape(message)):
        read_json(text, "gate.json")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("outcome", "passed", '"passed" is no value'),
        ("outcome", ["pass"], "is no value"),
        ("numbers", {"p": [1]}, "p = [1]: expected a number"),
    ],
)
def test_json_of_bad_checks_is_refused(key: str, value: object, message: str) -> None:
    """The same of a single check."""
    table = json.loads(json_text(a_result(ACCURACY)))
    table["checks"][0][key] = value
    with pytest.raises(SerlabError, match=re.escape(message)):
        read_json(json.dumps(table))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3"])
def test_json_that_is_none_is_refused(text: str) -> None:
    """The file is named, and what is wrong with it."""
    with pytest.raises((BadFile, BadValue), match=re.escape("gate.json")):
        read_json(text, "gate.json")


# --- JUnit XML -----------------------------------------------------------------------------


def suite_of(result: Result) -> object:
    """The suite as a reader that is not ours sees it."""
    (suite,) = JUnitXml.fromstring(junit_xml(result).encode())
    return suite


@given(results)
def test_junit_is_valid_whatever_it_holds(result: Result) -> None:
    """Names and sentences of any characters stay within the grammar, and their counts agree."""
    SCHEMA.assertValid(etree.fromstring(junit_xml(result).encode()))
    suite = suite_of(result)
    counts = suite.tests, suite.failures, suite.errors, suite.skipped
    suite.update_statistics()
    assert counts == (suite.tests, suite.failures, suite.errors, suite.skipped)


def test_the_grammar_refuses_what_servers_refuse() -> None:
    """A test case has no properties there, a suite must be named and counted."""
    good = junit_xml(MIXED)
    assert SCHEMA.validate(etree.fromstring(good.encode()))
    for old, new in (("<system-out>", "<properties/><system-out>"), ('tests="7" ', ""),
                     ('time="41.500"', 'time="soon"'), ("<failure ", '<failure line="3" '),
                     (' name="accuracy"', "")):  # fmt: skip
        assert old in good
        assert not SCHEMA.validate(etree.fromstring(good.replace(old, new).encode())), new


def test_junit_is_read_by_others() -> None:
    """A foreign parser finds every check and how it ended."""
    suite = suite_of(MIXED)
    assert suite.name == "serlab.gate.quick.base"
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 2, 1, 1)
    ends = {case.name: [type(end) for end in case.result] for case in suite}
    assert ends == {
        "accuracy": [],
        "fairness sex": [Failure],
        "robustness noise_20db": [Failure],
        "checkpoint": [Error],
        "slice emotion=anger": [],
        "slice emotion=joy": [],
        "slice sex=": [Skipped],
    }
    assert {case.classname for case in suite} == {"serlab.gate.quick.base"}
    times = {case.name: case.time for case in suite if case.time is not None}
    assert times == {"checkpoint": 1.25}


def test_junit_says_warnings_and_numbers() -> None:
    """A slice that has lost passes, and says so; the numbers are properties, in full."""
    cases = {case.name: case for case in suite_of(MIXED)}
    assert cases["slice emotion=anger"].system_out.startswith("WARN: it was")
    failure = cases["robustness noise_20db"].result[0]
    assert failure.message == failure.text == "FAIL: it was looked at"
    held = {entry.name: entry.value for entry in suite_of(MIXED).properties()}
    assert held["margin"] == "0.02"
    assert held["accuracy: low"] == "-0.012"
    assert held["accuracy: power"] == "0.84"
    assert held["accuracy: n_seeds"] == "3"
    assert held["exit_code"] == "1"


def test_junit_skips_what_the_policy_lets_through() -> None:
    """Inconclusive is then no failure, and no pass either."""
    suite = suite_of(replace(MIXED, inconclusive="warn"))
    assert (suite.failures, suite.skipped) == (1, 2)


def test_junit_names_are_unique_and_parted_at_no_dot() -> None:
    """GitLab keeps one test of a name; Jenkins parts packages at dots."""
    suite = suite_of(a_result(ACCURACY, ACCURACY, arm="rate=0.1, x.y", study="a.b c"))
    assert [case.name for case in suite] == ["accuracy", "accuracy (2)"]
    assert suite.name == "serlab.gate.a_b_c.rate=0_1,_x_y"


def test_junit_holds_no_forbidden_character() -> None:
    """Control and direction characters are replaced, the rest is escaped."""
    hostile = replace(ACCURACY, name=HOSTILE, sentence=HOSTILE, outcome=Outcome.FAIL)
    text = junit_xml(a_result(hostile, notes=(HOSTILE,), candidate=HOSTILE))
    (case,) = suite_of(a_result(hostile))
    assert "<script>" not in text
    assert "`c` <script>\ufffd[31m & ]]>" in case.result[0].message


# --- Markdown and job summary --------------------------------------------------------------


def test_markdown_tells_the_verdict_first() -> None:
    """Verdict, table with the worst check at its top, slices that warn, notes."""
    text = markdown(MIXED)
    assert text.splitlines()[2] == r"**FAIL: robustness noise\_20db: it was looked at**"
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert rows[0] == "| check | outcome | difference | margin | power |"
    assert rows[2] == r"| robustness noise\_20db | **fail** | – | – | – |"
    assert rows[-1] == "| accuracy | pass | −0.4 points [−1.2, +0.4] | 2 points | 84 % |"
    assert "1 of 3 slices pass, 1 warn, 1 not judged; inconclusive does not pass" in text
    assert "- **warn** slice emotion=anger: it was looked at" in text
    assert "- Note: Synthetic speech." in text
    assert "slice emotion=joy" not in text


def test_markdown_of_traces_has_no_points() -> None:
    """Differences in CCC are told as such."""
    text = markdown(a_result(ACCURACY, metric="ccc"))
    assert "| accuracy | pass | −0.004 [−0.012, +0.004] | 0.02 | 84 % |" in text


def test_markdown_escapes_what_it_is_given() -> None:
    """No name breaks a table, opens a tag or a code span."""
    hostile = replace(ACCURACY, name=HOSTILE, sentence=HOSTILE, outcome=Outcome.FAIL)
    text = markdown(a_result(hostile, candidate=HOSTILE, notes=(HOSTILE,), study=HOSTILE))
    plain = markdown(a_result(replace(ACCURACY, outcome=Outcome.FAIL), notes=("x",)))
    assert len(text.splitlines()) == len(plain.splitlines())
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)`", text)
    assert [len(re.findall(r"(?<!\\)\|", line)) for line in text.splitlines()] == [
        len(re.findall(r"(?<!\\)\|", line)) for line in plain.splitlines()
    ]


def test_a_job_summary_that_fits_is_the_markdown() -> None:
    """Nothing is cut that need not be."""
    assert job_summary(MIXED) == markdown(MIXED)


def test_a_job_summary_is_cut_at_a_row() -> None:
    """Far too many checks end in a line that says how many are missing, within the limit."""
    many = [a_check(f"robustness ü{i} " + "x" * 900, Outcome.FAIL) for i in range(800)]
    result = a_result(*many)
    text = job_summary(result)
    assert len(markdown(result).encode()) > SUMMARY_BYTES
    assert SUMMARY_BYTES - 5000 < len(text.encode()) <= SUMMARY_BYTES
    *kept, last = text.strip().splitlines()
    left = re.fullmatch(r"(\d+) more lines are left out; the JSON holds everything.", last)
    whole = [line for line in markdown(result).splitlines() if line]
    assert left
    assert [line for line in kept if line] == whole[: len(whole) - int(left[1])]


def test_one_long_sentence_does_not_drop_the_verdict() -> None:
    """A text that would fill the summary alone is shortened."""
    text = job_summary(a_result(replace(ACCURACY, sentence="x" * 2_000_000)))
    assert text.startswith("### serlab gate check: pass\n\n**PASS: xxx")
    assert "| accuracy | pass |" in text


# --- annotations ---------------------------------------------------------------------------


def test_annotations_come_worst_first() -> None:
    """Errors, then warnings, then what must be known."""
    assert [line.split("::")[1] for line in workflow_commands(MIXED).splitlines()] == [
        "error title=serlab gate check%3A robustness noise_20db",
        "error title=serlab gate check%3A checkpoint",
        "error title=serlab gate check%3A fairness sex",
        "warning title=serlab gate check%3A slice emotion=anger",
        "notice title=serlab gate check%3A note",
    ]
    relaxed = workflow_commands(replace(MIXED, inconclusive="warn")).splitlines()
    assert relaxed[2].startswith("::warning title=serlab gate check%3A fairness sex::")


def test_a_pass_is_one_notice() -> None:
    """The verdict, with the per cent sign that would otherwise be taken for an escape."""
    text = workflow_commands(a_result(ACCURACY))
    found = "PASS: a loss of 2 points is ruled out (power 84 %25)"
    assert text == f"::notice title=serlab gate check::{found}\n"


def test_annotations_are_counted_beyond_eight() -> None:
    """The worst eight, and how many more there are."""
    warned = [a_check(f"slice {i}", Outcome.WARN, "slice") for i in range(20)]
    lines = workflow_commands(a_result(*warned, a_check("x", Outcome.FAIL))).splitlines()
    assert len(lines) == MOST + 1
    assert lines[0].startswith("::error")
    assert lines[-1] == "::notice title=serlab gate check::13 more: see the job summary or the JSON"


def test_annotations_cannot_be_broken_out_of() -> None:
    """One line each; in titles commas and colons are escaped too."""
    hostile = a_check("a,b:c%\r\nd", Outcome.FAIL)
    hostile = replace(hostile, sentence="100%\n::set-output name=x::y\r")
    (line,) = workflow_commands(a_result(hostile)).splitlines()
    expected = "::error title=serlab gate check%3A a%2Cb%3Ac%25 d::100%25 ::set-output name=x::y"
    assert line == expected


# --- plain text ----------------------------------------------------------------------------


def test_the_text_of_a_pass_is_short() -> None:
    """The verdict, what was compared, what it rests on, the exit code."""
    assert plain_text(a_result(ACCURACY)).splitlines() == [
        "PASS: a loss of 2 points is ruled out (power 84 %)",
        "  candidate runs/mine, baseline base/line (quick / base)",
        "  UA, 3 seeds, 4 speakers, margin 2 points, power 84 % where nothing has changed",
        "  exit code 0 after 41.5 s",
    ]


def test_a_baseline_that_cannot_be_read_is_told() -> None:
    """Where not even the metric is known, every output says why."""
    check = replace(ACCURACY, outcome=Outcome.NOT_COMPARABLE, sentence="schema 9", numbers={})
    result = a_result(check, study="", arm="", metric="", margin=0.0, seconds=0.0)
    assert plain_text(result).splitlines() == [
        "NOT COMPARABLE: schema 9",
        "  candidate runs/mine, baseline base/line",
        "  exit code 4",
    ]
    assert "\n\ncandidate runs/mine, baseline base/line.\n\n| check" in markdown(result)
    assert workflow_commands(result).startswith("::error ")
    assert suite_of(result).name == "serlab.gate"


def test_the_text_lists_what_did_not_pass() -> None:
    """Gating checks one by one, worst first; slices where they warn, and counted."""
    assert plain_text(MIXED).splitlines()[3:] == [
        "  NOT COMPARABLE  checkpoint: it was looked at",
        "  INCONCLUSIVE    fairness sex: it was looked at",
        "  WARN            slice emotion=anger: it was looked at",
        "  pass            accuracy: a loss of 2 points is ruled out (power 84 %)",
        "  1 of 3 slices pass, 1 warn, 1 not judged",
        "  inconclusive does not pass (--inconclusive fail)",
        "  note: Synthetic speech.",
        "  exit code 1 after 41.5 s",
    ]


@given(results)
def test_text_holds_no_control_characters(result: Result) -> None:
    """A log is not steered by the names of files."""
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", plain_text(result))


# --- files ---------------------------------------------------------------------------------


def test_outputs_are_written(tmp_path: Path) -> None:
    """Each to its file, in folders that need not be there; a summary is added to."""
    files = {name: tmp_path / "new" / name for name in ("json", "junit", "markdown", "summary")}
    write_outputs(MIXED, files)
    write_outputs(MIXED, files)
    assert files["json"].read_text() == json_text(MIXED)
    assert files["junit"].read_text(encoding="utf-8") == junit_xml(MIXED)
    assert files["markdown"].read_text(encoding="utf-8") == markdown(MIXED)
    assert files["summary"].read_text(encoding="utf-8") == job_summary(MIXED) * 2


def test_outputs_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    """A folder in the place of a file, and a format that there is not."""
    with pytest.raises(BadFile, match="cannot be written"):
        write_outputs(MIXED, {"json": tmp_path})
    with pytest.raises(UnknownName, match='"jsn" is no output of the gate; did you mean "json"'):
        write_outputs(MIXED, {"jsn": tmp_path / "x"})
