"""The gate's picture: every interval against the margin, thresholds, and the rest in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serlab.bench.errors import BadValue
from serlab.reports.figure import PICTURES, WIDTHS_IN, style
from serlab.reports.figures.gate_interval import MOST, GateInterval
from serlab.reports.gate.outputs import write_outputs
from serlab.reports.gate.records import Check, Outcome, Result

HOSTILE = "a\x00|b $x_1$ `c` <script>\x1b[31m & \u202e\ufffe \\ % שלום 你好"


def interval(name: str, outcome: Outcome, mean: float, half: float = 0.01) -> Check:
    """A check with an interval."""
    kind = "slice" if name.startswith("slice") else "accuracy"
    numbers = {"difference": mean, "low": mean - half, "high": mean + half}
    return Check(name=name, kind=kind, outcome=outcome, sentence="seen", numbers=numbers)


ROBUSTNESS = Check(
    name="robustness noise_20db",
    kind="robustness",
    outcome=Outcome.FAIL,
    sentence="it changes",
    numbers={"unchanged": 0.90, "least_unchanged": 0.95, "loss": 0.01, "largest_loss": 0.04},
)
FAIRNESS = Check(
    name="fairness sex",
    kind="fairness",
    outcome=Outcome.PASS,
    sentence="a gap",
    numbers={"gap": 0.03, "largest_gap": 0.08, "sex=f": 0.7},
)
CHECKS = (
    interval("accuracy", Outcome.INCONCLUSIVE, -0.02),
    ROBUSTNESS,
    FAIRNESS,
    Check(name="checkpoint", kind="checkpoint", outcome=Outcome.PASS, sentence="the same bits"),
    interval("slice recall of joy", Outcome.WARN, -0.09),
    interval("slice sex=f", Outcome.PASS, 0.01),
    Check(name="slice sex=", kind="slice", outcome=Outcome.NOT_JUDGED, sentence="one speaker"),
)


def a_result(*checks: Check, **other: object) -> Result:
    """A result of these checks."""
    facts = {
        "command": "check", "baseline": "b", "candidate": "c", "study": "quick", "arm": "base",
        "metric": "ua", "margin": 0.02, "notes": ("synth: SYNTHETIC SPEECH", "x: split at random"),
    }  # fmt: skip
    return Result(checks=checks, **(facts | other))


def drawn(result: Result, width: str = "double") -> Figure:
    """Its picture."""
    kind = GateInterval()
    with style("x"):
        return kind.draw(kind.info(result), WIDTHS_IN[width])


def panel(figure: Figure, words: str) -> Axes:
    """The panel whose axis says so."""
    return next(axes for axes in figure.axes if words in axes.get_xlabel())


def texts(figure: Figure) -> str:
    """Everything that is written outside of the axes' scales."""
    held = [t.get_text() for axes in figure.axes for t in axes.texts]
    return "\n".join(held)


def test_every_check_is_a_line_an_amount_or_a_sentence() -> None:
    """Intervals as they are, what has a threshold against it, and the rest in words."""
    held = GateInterval().info(a_result(*CHECKS))
    assert [(line.name, line.outcome.value) for line in held.lines] == [
        ("accuracy", "inconclusive"), ("recall of joy", "warn"), ("sex=f", "pass"),
    ]  # fmt: skip
    assert [(a.name, a.outcome.value) for a in held.amounts] == [
        ("noise_20db: loss", "pass"), ("noise_20db: changed", "fail"), ("sex: gap", "pass"),
    ]  # fmt: skip
    changed = held.amounts[1]
    assert (changed.value, changed.most) == (pytest.approx(0.10), pytest.approx(0.05))
    assert held.words == (
        "checkpoint: pass: the same bits",
        "slice sex=: not judged: one speaker",
        "Note: synth: SYNTHETIC SPEECH",
        "Note: x: split at random",
    )
    assert held.rows()[0]["low"] == pytest.approx(-0.03)
    assert held.rows()[4] == {
        "metric": "ua", "check": "noise_20db: changed", "outcome": "fail",
        "amount": changed.value, "most": changed.most,
    }  # fmt: skip


def test_the_margin_is_a_line_at_its_loss() -> None:
    """The intervals lie where their numbers are, whichever side of it that is."""
    axes = panel(drawn(a_result(*CHECKS)), "candidate minus baseline")
    dashed = [
        line for line in axes.lines if line.get_linestyle() != "-" and line.get_marker() == "None"
    ]
    assert [list(line.get_xdata()) for line in dashed] == [[-0.02, -0.02]]
    spans = [list(line.get_xdata()) for line in axes.lines if line.get_zorder() == 2]
    assert spans == [
        pytest.approx([-0.03, -0.01]), pytest.approx([-0.10, -0.08]), pytest.approx([0.0, 0.02]),
    ]  # fmt: skip
    low, high = axes.get_xlim()
    assert low < -0.10
    assert high > 0.02


def test_verdict_marks_and_notes_are_on_the_picture() -> None:
    """What a reader must know stands there at every width."""
    for width in WIDTHS_IN:
        figure = drawn(a_result(*CHECKS), width)
        assert figure.get_figwidth() <= WIDTHS_IN[width]
        assert figure._suptitle.get_text().startswith("SYNTHETIC SPEECH\nserlab gate check, quick")
        told = texts(figure)
        assert "FAIL: robustness noise_20db: it changes" in told
        assert "Note: x: split at random" in told
        for word in ("FAIL", "INCONCLUSIVE", "WARN", "pass"):
            assert word in told


def test_an_interval_that_leaves_the_scale_is_cut_with_an_arrow() -> None:
    """One slice of few utterances does not press the others into a dot."""
    wild = interval("slice sex=m", Outcome.UNCLEAR, -0.01, half=3.0)
    axes = panel(drawn(a_result(*CHECKS, wild)), "candidate minus baseline")
    low, high = axes.get_xlim()
    assert -0.5 < low < high < 0.5
    arrows = {line.get_marker() for line in axes.lines} & {"<", ">"}
    assert arrows == {"<", ">"}
    assert not {"<", ">"} & {
        line.get_marker()
        for line in panel(drawn(a_result(*CHECKS)), "candidate minus baseline").lines
    }


def test_of_many_slices_those_that_ended_worst_are_drawn() -> None:
    """In their order, and the picture says how many are not."""
    slices = [
        interval(f"slice speaker=s{i}", Outcome.WARN if i >= MOST else Outcome.PASS, -0.01 * i)
        for i in range(MOST + 5)
    ]
    result = a_result(CHECKS[0], *slices)
    held = GateInterval().info(result)
    assert len(held.lines) == MOST
    assert held.lines[0].name == "accuracy"
    assert [line.name for line in held.lines[-5:]] == [
        f"speaker=s{i}" for i in range(MOST, MOST + 5)
    ]
    assert "6 slices with better outcomes not drawn" in texts(drawn(result))


def test_what_cannot_be_compared_is_told_without_intervals() -> None:
    """A verdict in words, once, and no empty axes."""
    lost = Check(
        name="accuracy", kind="accuracy", outcome=Outcome.NOT_COMPARABLE, sentence="another split"
    )
    figure = drawn(a_result(lost, metric="", margin=0.0))
    assert texts(figure).count("another split") == 1
    assert texts(figure).startswith("NOT COMPARABLE: another split")
    assert not any(axes.axison for axes in figure.axes)


def test_traces_have_no_points() -> None:
    """Differences in CCC are told as such."""
    figure = drawn(a_result(*CHECKS, metric="ccc"))
    assert panel(figure, "candidate").get_xlabel() == (
        "CCC, candidate minus baseline (more is better)"
    )
    assert "−0.020 [−0.030, −0.010]" in texts(figure)
    assert "points" not in texts(figure).replace("0.02 points", "")


def test_a_selfcheck_is_drawn_too() -> None:
    """Its controls have intervals; what it drew has none and is a sentence."""
    control = replace(interval("shuffled", Outcome.PASS, -0.5), kind="control")
    drew = Check(name="against itself", kind="control", outcome=Outcome.PASS, sentence="2 of 200",
                 numbers={"draws": 200, "false_alarms": 0.01})  # fmt: skip
    held = GateInterval().info(a_result(control, drew, command="selfcheck"))
    assert [line.name for line in held.lines] == ["shuffled"]
    assert "against itself: pass: 2 of 200" in held.words
    assert "Controls are to fail the gate: those that do have passed" in held.words


@pytest.mark.parametrize("ending", PICTURES)
def test_files_are_the_same_again(ending: str, tmp_path: Path) -> None:
    """As their names end, in a folder that is made for them."""
    files = [tmp_path / folder / f"gate.{ending.upper()}" for folder in ("one", "two")]
    for file in files:
        write_outputs(a_result(*CHECKS), {"figure": file})
    first, second = (file.read_bytes() for file in files)
    assert first == second
    start = {"pdf": b"%PDF", "png": b"\x89PNG", "svg": b"<?xml"}[ending]
    assert first.startswith(start)


def test_hostile_names_are_harmless(tmp_path: Path) -> None:
    """The SVG is XML, and nothing in it is an element that a name has made."""
    checks = (
        replace(CHECKS[0], sentence=HOSTILE),
        interval(f"slice {HOSTILE}", Outcome.WARN, -0.09),
        replace(FAIRNESS, name=f"fairness {HOSTILE}"),
        replace(CHECKS[3], name=HOSTILE),
    )
    file = tmp_path / "x.svg"
    write_outputs(a_result(*checks, notes=(HOSTILE,), study=HOSTILE), {"figure": file})
    tags = {one.tag.rpartition("}")[2] for one in ElementTree.parse(file).iter()}
    assert "script" not in tags
    assert "<script>" in "".join(ElementTree.parse(file).getroot().itertext())


def test_another_ending_is_refused(tmp_path: Path) -> None:
    """The file is named, and what its name may end in."""
    for name in ("x.gif", "x", ".svg"):
        with pytest.raises(BadValue, match=r"expected a name that ends in \.pdf, \.png or \.svg"):
            write_outputs(a_result(*CHECKS), {"figure": tmp_path / name})
        assert not (tmp_path / name).exists()
