"""Slices warn; robustness and fairness gate, at thresholds that the baseline fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import gated
import numpy as np
import pytest

from serlab.reports.gate.baseline import Baseline, Floor
from serlab.reports.gate.judge import judge
from serlab.reports.gate.records import Check, Outcome, Result
from serlab.reports.gate.tested import Tested as Answers

SEX = {"sex": ["f", "m"] * 3}


def checks(recorded: Baseline, *held: Answers) -> Mapping[str, Check]:
    """Everything that is judged, by name."""
    return {check.name: check for check in judge(recorded, gated.candidate(*held))}


def exit_code(found: Mapping[str, Check]) -> int:
    """Of a result with these checks."""
    return Result(
        command="check", baseline="b", candidate="c", study="s", arm="base", metric="ua",
        margin=0.05, checks=tuple(found.values()),
    ).exit_code  # fmt: skip


# --- slices --------------------------------------------------------------------------------


def test_a_class_that_is_lost_while_the_mean_holds(tmp_path: Path) -> None:
    """One class falls, another rises: UA passes, one slice warns, and the gate lets it through."""
    wrong = np.array([8, 0, 2, 2]) + gated.uneven(0)
    found = checks(gated.baseline(tmp_path, gated.answers(4)), gated.answers(wrong))
    assert found["accuracy"].outcome is Outcome.PASS
    slices = {n: c.outcome for n, c in found.items() if c.kind == "slice"}
    assert slices == {
        "slice recall of anger": Outcome.WARN,
        "slice recall of joy": Outcome.PASS,
        "slice recall of neutral": Outcome.PASS,
        "slice recall of sadness": Outcome.PASS,
    }
    lost = found["slice recall of anger"]
    assert lost.sentence.startswith("−24.2 points [")
    assert lost.sentence.endswith("; it has lost more than 5 points")
    assert lost.numbers["n_utterances"] == 6 * gated.PER_CELL
    assert exit_code(found) == 0


def test_slices_never_fail_the_gate(tmp_path: Path) -> None:
    """However much all of them have lost, the exit code is the gating check's."""
    base = gated.answers(4, groups=SEX)
    found = checks(gated.baseline(tmp_path, base), gated.answers(gated.uneven(9), groups=SEX))
    slices = [c.outcome for c in found.values() if c.kind == "slice"]
    assert slices == [Outcome.WARN] * 6
    alone = {n: c for n, c in found.items() if c.kind == "slice"}
    assert exit_code(alone) == 0
    assert exit_code(found) == 1


def test_a_group_that_is_lost(tmp_path: Path) -> None:
    """The women's recognition has fallen, the men's has risen; unknown sex is no group."""
    sex = {"sex": ["f", "m", "f", "m", "f", "m", "f", "m", ""]}
    wrong = np.array([9, 1] * 4 + [5])[:, None, None] + np.arange(3)[:, None] % 2
    base = gated.answers(4, n_speakers=9, groups=sex)
    recorded = replace_fairness(gated.baseline(tmp_path, base), 1.0)
    found = checks(recorded, gated.answers(wrong, n_speakers=9))
    assert found["slice sex=f"].outcome is Outcome.WARN
    assert found["slice sex=m"].outcome is Outcome.PASS
    assert "slice sex=" not in found


def test_a_loss_that_is_neither_shown_nor_ruled_out_is_unclear(tmp_path: Path) -> None:
    """Women who lose unevenly: worse by more than the margin, with an interval across it."""
    sex = {"sex": ["f", "m"] * 5}
    wrong = np.array([12, 4, 0, 4, 12, 4, 0, 4, 8, 4])[:, None, None] + np.arange(3)[:, None] % 2
    base = gated.answers(4, n_speakers=10, groups=sex)
    recorded = replace_fairness(gated.baseline(tmp_path, base), 1.0)
    found = checks(recorded, gated.answers(wrong, n_speakers=10))
    unclear = found["slice sex=f"]
    assert unclear.outcome is Outcome.UNCLEAR
    assert float(unclear.numbers["low"]) < -0.02 < float(unclear.numbers["high"])
    assert "lost" not in unclear.sentence


@pytest.mark.parametrize("change", [3, -3])
def test_one_speaker_tells_nothing(tmp_path: Path, change: int) -> None:
    """A group of one speaker, or a class that one alone has, is not judged, and says why."""
    groups = {"accent": ["north", "south", "south", "south", "south", "south"]}
    base = gated.answers(6, groups=groups)
    wrong = 6 + np.zeros((6, 3, 4), int)
    wrong[0] += change
    wrong += np.arange(3)[:, None] % 2
    found = checks(gated.baseline(tmp_path, base), gated.answers(wrong, groups=groups))
    lone = found["slice accent=north"]
    assert lone.outcome is Outcome.NOT_JUDGED
    assert "one speaker" in lone.sentence
    assert found["slice accent=south"].outcome is not Outcome.NOT_JUDGED


def test_a_class_of_one_speaker_is_not_judged(tmp_path: Path) -> None:
    """Rows of a class are taken from both, and only one speaker has any."""
    kept = [
        i for i, name in enumerate(gated.answers(4).predictions.ids)
        if "joy" not in name or name.startswith("s3")
    ]  # fmt: skip
    base, other = (some(gated.answers(w), kept) for w in (4, gated.uneven(5)))
    found = checks(gated.baseline(tmp_path, base), other)
    assert found["slice recall of joy"].outcome is Outcome.NOT_JUDGED
    assert found["slice recall of anger"].outcome is not Outcome.NOT_JUDGED
    assert found["accuracy"].outcome is not Outcome.NOT_COMPARABLE


def test_a_class_that_nobody_has_is_not_judged(tmp_path: Path) -> None:
    """It is declared all the same, and counted as such."""
    kept = [i for i, name in enumerate(gated.answers(4).predictions.ids) if "joy" not in name]
    base, other = (some(gated.answers(w), kept) for w in (4, gated.uneven(2)))
    found = checks(gated.baseline(tmp_path, base), other)
    assert found["slice recall of joy"].outcome is Outcome.NOT_JUDGED
    assert exit_code(found) == 0


def test_corpora_are_slices_where_there_are_several(tmp_path: Path) -> None:
    """One has lost what the other has won; names tell them apart."""
    base = gated.answers(6), gated.answers(6, corpus="other")
    other = gated.answers(gated.uneven(9)), gated.answers(gated.uneven(0), corpus="other")
    found = checks(gated.baseline(tmp_path, *base), *other)
    assert found["accuracy"].outcome is Outcome.PASS
    assert found["slice corpus=synth"].outcome is Outcome.WARN
    assert found["slice corpus=other"].outcome is Outcome.PASS
    assert found["slice synth: recall of anger"].outcome is Outcome.WARN
    assert found["slice other: recall of anger"].outcome is Outcome.PASS


def test_traces_have_groups_and_no_classes(tmp_path: Path) -> None:
    """Frames of a group's speakers are a slice."""
    base, other = (
        replace(one, groups={"sex": tuple("fm"[int(s[1]) % 2] for s in one.predictions.speakers)})
        for one in (gated.traces(0.2), gated.traces(0.4, start=1))
    )
    found = checks(gated.baseline(tmp_path, base, name="ccc"), gated.shuffled(other))
    slices = {n: c.outcome for n, c in found.items() if c.kind == "slice"}
    assert slices == {"slice sex=f": Outcome.WARN, "slice sex=m": Outcome.WARN}


def some(one: Answers, rows: list[int]) -> Answers:
    """Only these rows."""
    held = one.predictions
    predictions = replace(
        held,
        ids=tuple(held.ids[i] for i in rows),
        speakers=tuple(held.speakers[i] for i in rows),
        truth=held.truth[rows],
        scores=held.scores[:, rows],
    )
    return replace(one, predictions=predictions, folds=tuple(one.folds[i] for i in rows))


def replace_fairness(recorded: Baseline, largest: float) -> Baseline:
    """The baseline with another threshold of its one group."""
    ((name, gap),) = recorded.terms.fairness.items()
    fairness = {name: replace(gap, largest=largest)}
    return replace(recorded, terms=replace(recorded.terms, fairness=fairness))


# --- robustness ----------------------------------------------------------------------------


def under(one: Answers, changed: int) -> Answers:
    """With so many of the first class's utterances of a speaker answered otherwise in noise."""
    scores = one.predictions.scores.copy()
    place = np.arange(scores.shape[1]) % (4 * gated.PER_CELL)
    scores[:, (place >= 4) & (place < 4 + changed)] = np.eye(4, dtype=np.float32)[1]
    return replace(one, conditions={"noise_20db": scores})


def test_thresholds_are_what_was_measured_and_an_allowance(tmp_path: Path) -> None:
    """All seeds lose alike: 2 points and 2 % are allowed."""
    terms = gated.baseline(tmp_path, under(gated.answers(4), 8)).terms
    floor = terms.robustness["noise_20db"]
    assert floor.measured_unchanged == pytest.approx(1 - 8 / 80)
    assert floor.measured_loss == pytest.approx(8 / 80)
    assert floor.unchanged == pytest.approx(0.9 - 0.02)
    assert floor.loss == pytest.approx(0.1 + 0.02)


def test_an_allowance_is_twice_the_deviation_of_the_seeds(tmp_path: Path) -> None:
    """Where that is more than 2 %."""
    one = under(gated.answers(4), 8)
    scores = one.conditions["noise_20db"].copy()
    scores[0] = one.predictions.scores[0]
    base = replace(one, conditions={"noise_20db": scores})
    floor = gated.baseline(tmp_path, base).terms.robustness["noise_20db"]
    losses = [0.0, 0.1, 0.1]
    assert floor.loss == pytest.approx(np.mean(losses) + 2 * np.std(losses, ddof=1))
    assert floor.unchanged == pytest.approx(1 - floor.loss)


@pytest.mark.parametrize(
    ("changed", "outcome"), [(0, Outcome.PASS), (9, Outcome.PASS), (10, Outcome.FAIL)]
)
def test_a_candidate_under_a_condition(tmp_path: Path, changed: int, outcome: Outcome) -> None:
    """Below its threshold it fails the gate, though its accuracy on clean speech is the same."""
    recorded = gated.baseline(tmp_path, under(gated.answers(4), 8))
    found = checks(recorded, gated.shuffled(under(gated.answers(4), changed)))
    check = found["robustness noise_20db"]
    assert found["accuracy"].outcome is Outcome.PASS
    assert check.outcome is outcome
    assert check.numbers["unchanged"] == pytest.approx(1 - changed / 80)
    assert check.numbers["loss"] == pytest.approx(changed / 80)
    assert ("at least 88.0%" in check.sentence) == (outcome is Outcome.FAIL)
    assert exit_code(found) == (outcome is Outcome.FAIL)


def test_a_condition_that_was_not_tested(tmp_path: Path) -> None:
    """A candidate without it is not comparable, which is no pass."""
    recorded = gated.baseline(tmp_path, under(gated.answers(4), 8))
    found = checks(recorded, gated.answers(4))
    assert found["robustness noise_20db"].outcome is Outcome.NOT_COMPARABLE
    assert "was not tested under noise_20db" in found["robustness noise_20db"].sentence
    assert exit_code(found) == 4
    more = replace(under(gated.answers(4), 8), conditions={"noise_20db": under(
        gated.answers(4), 8).conditions["noise_20db"], "gain": gated.answers(4).predictions.scores,
    })  # fmt: skip
    assert "robustness gain" not in checks(recorded, more)


def test_traces_move_by_their_values(tmp_path: Path) -> None:
    """A value that moves by more than 0.05 is a changed one."""
    one = gated.traces(0.2)
    moved = one.predictions.scores.copy()
    moved[:, ::2] += 0.04
    moved[:, ::4] += 0.04
    held = replace(one, conditions={"gain": moved})
    floor = gated.baseline(tmp_path, held, name="ccc").terms.robustness["gain"]
    assert floor.measured_unchanged == pytest.approx(0.75)


def test_an_undefined_metric_under_a_condition_is_no_pass(tmp_path: Path) -> None:
    """Constant predictions have no PCC."""
    one = gated.traces(0.2)
    recorded = gated.baseline(tmp_path, with_condition(one, one.predictions.scores), name="pcc")
    generous = Floor(unchanged=0.0, loss=1.0, measured_unchanged=1.0, measured_loss=0.0)
    terms = replace(recorded.terms, robustness={"gain": generous})
    found = checks(
        replace(recorded, terms=terms), with_condition(one, np.zeros_like(one.predictions.scores))
    )
    assert found["robustness gain"].outcome is Outcome.NOT_COMPARABLE
    assert "PCC is undefined" in found["robustness gain"].sentence


def with_condition(one: Answers, scores: np.ndarray) -> Answers:
    """With these scores under the condition "gain"."""
    return replace(one, conditions={"gain": scores})


# --- fairness ------------------------------------------------------------------------------


def test_a_gap_between_groups(tmp_path: Path) -> None:
    """What was measured, and 5 points more, are allowed; a wider one fails, with its class."""
    wrong = np.array([3, 5] * 3)[:, None, None]
    base = gated.answers(wrong, groups=SEX)
    recorded = gated.baseline(tmp_path, base)
    gap = recorded.terms.fairness["sex"]
    assert (gap.measured, gap.largest) == (pytest.approx(0.1), pytest.approx(0.15))
    held = checks(recorded, gated.answers(np.array([4, 5] * 3)[:, None, None]))["fairness sex"]
    assert held.outcome is Outcome.PASS
    wide = np.array([[1, 1, 1, 1], [6, 6, 6, 8]] * 3)[:, None, :]
    found = checks(recorded, gated.shuffled(gated.answers(wide)))
    check = found["fairness sex"]
    assert check.outcome is Outcome.FAIL
    assert check.numbers["gap"] == pytest.approx((26 / 4 - 1) / 20)
    assert check.numbers["sex=f"] == pytest.approx(0.95)
    assert check.sentence.startswith("UA differs by 27.5 points (f 0.950, m 0.675)")
    assert "most in the recall of sadness: 35.0 points" in check.sentence
    assert exit_code(found) == 1


def test_groups_are_the_baselines_whatever_the_order(tmp_path: Path) -> None:
    """A candidate's own groups are not asked, and rows are matched by name."""
    wrong = np.array([3, 5] * 3)[:, None, None] + gated.uneven(0)
    recorded = gated.baseline(tmp_path, gated.answers(wrong, groups=SEX))
    plain = checks(recorded, gated.answers(wrong))["fairness sex"]
    liar = gated.answers(wrong, groups={"sex": ["f"] * 6})
    assert checks(recorded, gated.shuffled(liar))["fairness sex"] == plain


def test_one_kind_of_speaker_makes_no_gap(tmp_path: Path) -> None:
    """Nothing is fixed where there is nothing to tell apart."""
    base = gated.answers(4, groups={"sex": ["f"] * 6, "age": ["", "", "", "", "", "old"]})
    assert gated.baseline(tmp_path, base).terms.fairness == {}


def test_gaps_are_averaged_over_corpora(tmp_path: Path) -> None:
    """Each corpus has its own groups."""
    held = [
        gated.answers(np.array([0, k] * 3)[:, None, None], corpus=name, groups=SEX)
        for name, k in (("one", 2), ("two", 6))
    ]
    assert gated.baseline(tmp_path, *held).terms.fairness["sex"].measured == pytest.approx(0.2)
