"""A gate that is awake: false alarms are few, and what must fail fails."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import gated
import numpy as np
import pytest

from serlab.bench.metrics.base import evaluate
from serlab.reports.gate.records import Check, Outcome
from serlab.reports.gate.selfcheck import DRAWS, WORSE, constant, selfcheck, shuffled, worse
from serlab.reports.gate.tested import Tested as Answers

CONTROLS = ("majority", "shuffled", "6 points worse")


def noisy(skill: float, *, n_speakers: int = 8, seeds: int = 6, start: int = 0) -> Answers:
    """Every utterance is right with that probability; speakers differ a little, seeds as well."""
    one = gated.answers(0, n_speakers=n_speakers, seeds=range(seeds))
    held = one.predictions
    rng = np.random.default_rng(start)
    of_speaker = rng.normal(0, 0.03, n_speakers)[[int(s[1:]) for s in held.speakers]]
    of_seed = rng.normal(0, 0.005, (seeds, 1))
    wrong = rng.random((seeds, len(held.ids))) >= skill + of_speaker + of_seed
    said = np.where(wrong, (held.truth + rng.integers(1, 4, wrong.shape)) % 4, held.truth)
    return replace(one, predictions=replace(held, scores=np.eye(4, dtype=np.float32)[said]))


def found(checks: tuple[Check, ...]) -> Mapping[str, Check]:
    """By name."""
    return {check.name: check for check in checks}


def test_a_good_baseline(tmp_path: Path) -> None:
    """Controls fail, as they must, and few draws are false alarms."""
    checks = found(selfcheck(gated.baseline(tmp_path, noisy(0.8), margin=0.02)))
    assert list(checks) == ["against itself", *CONTROLS]
    assert {check.outcome for check in checks.values()} == {Outcome.PASS}
    drawn = checks["against itself"].numbers
    assert (drawn["draws"], drawn["seeds_a_side"]) == (DRAWS, 3)
    assert drawn["false_alarms"] <= 0.05
    counts = [drawn.get(name, 0) for name in ("pass", "fail", "inconclusive")]
    assert sum(counts) == DRAWS
    assert checks["6 points worse"].numbers["difference"] == pytest.approx(-0.06, abs=0.005)
    assert "lost more than the margin of 2 points" in checks["majority"].sentence


def test_it_is_the_same_every_time(tmp_path: Path) -> None:
    """Chance has a seed."""
    recorded = gated.baseline(tmp_path, noisy(0.8))
    assert selfcheck(recorded, draws=20) == selfcheck(recorded, draws=20)


def test_a_gate_that_would_sleep(tmp_path: Path) -> None:
    """A margin of half of the scale lets 6 points pass, and the selfcheck says so."""
    checks = found(selfcheck(gated.baseline(tmp_path, noisy(0.8), margin=0.5), draws=20))
    check = checks["6 points worse"]
    assert check.outcome is Outcome.FAIL
    assert check.sentence.startswith("it does not fail: UA −6.")
    assert "a loss of 50 points is ruled out" in check.sentence


def test_a_baseline_at_chance_is_no_baseline(tmp_path: Path) -> None:
    """Nothing is worse than it."""
    checks = found(selfcheck(gated.baseline(tmp_path, noisy(0.25), margin=0.02), draws=20))
    assert checks["majority"].outcome is Outcome.FAIL
    assert checks["shuffled"].outcome is Outcome.FAIL


def test_seeds_that_differ_raise_alarms(tmp_path: Path) -> None:
    """A crossed interval takes their variance in; without an interval a draw is an alarm."""
    one = gated.answers(np.array([2, 2, 6, 6])[None, :, None], seeds=range(4))
    check = found(selfcheck(gated.baseline(tmp_path, one, margin=0.02), draws=40))["against itself"]
    assert check.outcome is Outcome.FAIL
    assert check.numbers["without an interval"] > 0
    assert check.numbers["false_alarms"] == check.numbers["without an interval"] / 40


@pytest.mark.parametrize(("seeds", "judged"), [(2, False), (3, False), (4, True), (5, True)])
def test_halves_need_four_seeds(tmp_path: Path, seeds: int, judged: bool) -> None:
    """Fewer are not judged, which is said; the controls are all the same."""
    checks = found(selfcheck(gated.baseline(tmp_path, noisy(0.8, seeds=seeds)), draws=10))
    assert (checks["against itself"].outcome is Outcome.NOT_JUDGED) != judged
    assert judged or f"{seeds} seeds; halves of a baseline need four or more" in (
        checks["against itself"].sentence
    )
    assert checks["majority"].outcome is Outcome.PASS


def test_seeds_of_the_extension_are_drawn_too(tmp_path: Path) -> None:
    """At the error of a single look, for a draw is one."""
    recorded = gated.baseline(tmp_path, noisy(0.8), extension=(4, 5))
    checks = found(selfcheck(recorded, draws=20))
    assert checks["against itself"].numbers["seeds_a_side"] == 3
    assert checks["majority"].numbers["level"] == 0.975


def test_traces_have_controls_too(tmp_path: Path) -> None:
    """A constant answer, frames of others, and less CCC."""
    recorded = gated.baseline(tmp_path, gated.traces(0.2, seeds=range(4)), name="ccc", margin=0.02)
    checks = found(selfcheck(recorded, draws=20))
    assert {check.outcome for check in checks.values()} == {Outcome.PASS}


def test_a_constant_answer_that_cannot_be_compared_does_not_get_through(tmp_path: Path) -> None:
    """It has no PCC, or is equally far off everywhere; the gate is awake."""
    rated = gated.baseline(tmp_path / "a", gated.traces(0.2), name="pcc", margin=0.02)
    perfect = gated.baseline(tmp_path / "b", gated.answers(0), margin=0.02)
    for recorded in (rated, perfect):
        check = found(selfcheck(recorded, draws=1))["majority"]
        assert check.outcome is Outcome.PASS
        assert "no interval" in check.sentence or "nan" in check.sentence


def test_audio_conditions_do_not_matter(tmp_path: Path) -> None:
    """Controls are held against the accuracy alone."""
    one = noisy(0.8)
    held = replace(one, conditions={"noise": one.predictions.scores})
    checks = found(selfcheck(gated.baseline(tmp_path, held, margin=0.02), draws=5))
    assert all(checks[name].outcome is Outcome.PASS for name in CONTROLS)


# --- the controls themselves ---------------------------------------------------------------


def test_the_constant_answer() -> None:
    """The most frequent class, or the mean value."""
    held = gated.answers(4).predictions
    rng = np.random.default_rng(0)
    few = replace(
        held, ids=held.ids[5:], speakers=held.speakers[5:], truth=held.truth[5:],
        scores=held.scores[:, 5:],
    )  # fmt: skip
    assert set(constant(few, "ua", rng).argmax(axis=-1).ravel()) == {1}
    traced = gated.traces(0.2).predictions
    flat = constant(traced, "ccc", rng)
    assert np.ptp(flat, axis=1).max() == 0
    assert np.allclose(flat[0, 0], traced.truth.mean(axis=0))


def test_shuffled_predictions_are_the_same_ones() -> None:
    """Each seed in an order of its own."""
    held = noisy(0.8).predictions
    other = shuffled(held, "ua", np.random.default_rng(0))
    assert np.array_equal(np.sort(other.argmax(-1)), np.sort(held.scores.argmax(-1)))
    assert not np.array_equal(other[0], held.scores[0])
    level = np.mean([evaluate("ua", held.truth, scores) for scores in other])
    assert level == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(("name", "sign"), [("ua", 1), ("ece", -1)])
def test_what_is_worse_is_worse_by_6_points(name: str, sign: int) -> None:
    """Of every seed, whichever way the metric is better; most rows stay as they are."""
    held = noisy(0.9).predictions
    held = replace(held, scores=0.85 * held.scores + np.float32(0.0375))
    other = worse(held, name, np.random.default_rng(0))
    for before, after in zip(held.scores, other, strict=True):
        lost = sign * (evaluate(name, held.truth, before) - evaluate(name, held.truth, after))
        assert WORSE <= lost < WORSE + 0.01
        assert (before == after).all(axis=-1).mean() > 0.7
