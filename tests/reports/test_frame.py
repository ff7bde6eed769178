"""From a run folder to numbers: what is pooled, compared, counted and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from serlab.bench.contracts import Status
from serlab.bench.errors import BadFile, NotComparable, SerlabError
from serlab.bench.metrics.base import evaluate
from serlab.bench.statistics.differences import difference, holm
from serlab.bench.statistics.margins import equivalence
from serlab.bench.statistics.power import needed_seeds
from serlab.bench.store import Store
from serlab.reports.effects import predictions, verdict
from serlab.reports.frame import load_frame
from serlab.reports.records import Arm, Block, Frame, Verdict


@pytest.fixture(scope="module")
def frame(run: Path) -> Frame:
    return load_frame(run)


@pytest.fixture(scope="module")
def block(frame: Frame) -> Block:
    return frame.blocks[0]


def arm_of(block: Block, name: str) -> Arm:
    return next(arm for arm in block.arms if arm.name == name)


def rewritten(folder: Path, **changes: Any) -> Path:
    path = folder / "resolved.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_pools_the_test_parts_of_all_folds(block: Block) -> None:
    """Every utterance is tested once a seed, and validation predictions stay out."""
    held = arm_of(block, "base").pooled
    assert held is not None
    assert len(held.ids) == 240 == len(set(held.ids))
    assert held.scores.shape == (3, 240, 4)
    assert all(
        id_.startswith(f"{speaker}-") for id_, speaker in zip(held.ids, held.speakers, strict=True)
    )


def test_score_is_the_mean_over_seeds_of_the_pooled_metric(block: Block) -> None:
    """The printed UA is the metric over all folds together, averaged over seeds."""
    arm = arm_of(block, "pooling=mean")
    assert arm.pooled is not None
    expected = np.mean([evaluate("ua", arm.pooled.truth, s) for s in arm.pooled.scores])
    assert arm.scores["ua"].pooled.mean == pytest.approx(expected, abs=1e-9)


def test_fold_figures_are_means_of_folds(block: Block) -> None:
    """Mean and sd are over the five folds, each the mean of its seeds."""
    arm = arm_of(block, "base")
    held, folds = arm.pooled, arm.scores["ua"].folds
    assert held is not None
    assert folds is not None
    names = np.array(held.folds)
    values = [
        np.mean([evaluate("ua", held.truth[names == f], s[names == f]) for s in held.scores])
        for f in sorted(set(held.folds))
    ]
    assert (folds.mean, folds.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert folds.n_folds == 5


def test_effects_are_the_paired_differences(block: Block) -> None:
    """An effect is what the statistics say of the two arms' predictions, arm minus base."""
    base, arm = arm_of(block, "base"), arm_of(block, "filters=square")
    assert base.pooled is not None
    assert arm.pooled is not None
    assert arm.effect is not None
    expected = difference(
        predictions(base.pooled, (0, 1, 2)), predictions(arm.pooled, (0, 1, 2)), metric="ua"
    )
    assert arm.effect.estimate == expected
    assert expected.mean > 0.1


def test_known_effects_get_their_verdicts(block: Block) -> None:
    """Large effects are shown with their sign; a tiny one is not."""
    verdicts = {a.name: a.effect.verdict for a in block.others if a.effect}
    assert verdicts["pooling=mean"] is Verdict.WORSE
    assert verdicts["filters=square"] is Verdict.BETTER
    assert verdicts["pooling=max"] is Verdict.UNCLEAR


def test_p_values_are_adjusted_for_all_comparisons(block: Block) -> None:
    """Holm multiplies the smallest of five p values by five."""
    held = [a.effect for a in block.others if a.effect]
    assert {e.n_comparisons for e in held} == {5}
    least = min(held, key=lambda e: e.estimate.p)
    assert least.p_holm == pytest.approx(min(1.0, 5 * least.estimate.p))


def test_a_wide_margin_turns_unclear_into_same(fake: ModuleType, tmp_path: Path) -> None:
    """Where the interval lies inside of the margin, a difference as large is ruled out."""
    folder = rewritten(fake.write_fake_run(tmp_path), margin=0.5)
    arm = arm_of(load_frame(folder).blocks[0], "pooling=max")
    assert arm.effect is not None
    assert arm.effect.verdict is Verdict.SAME
    assert (arm.effect.more_seeds, arm.effect.more_speakers) == (None, None)


def test_every_comparison_carries_the_p_of_its_equivalence(block: Block) -> None:
    """That of two one-sided tests at the study's margin, adjusted like the others."""
    held = [a.effect for a in block.others if a.effect]
    for effect in held:
        assert effect.p_equivalent == equivalence(effect.estimate, block.study.margin).p
    adjusted = holm([e.p_equivalent for e in held])
    assert [e.p_equivalent_holm for e in held] == pytest.approx(list(adjusted))


def test_equivalence_is_adjusted_for_the_number_of_comparisons(block: Block) -> None:
    """An interval inside the margin is not enough where many are compared."""
    arm = arm_of(block, "pooling=max")
    assert arm.effect is not None
    inside = replace(arm.effect.estimate, mean=0.0, low=-0.019, high=0.019)
    assert verdict(inside, 0.9, 0.04, block) is Verdict.SAME
    assert verdict(inside, 0.9, 0.06, block) is Verdict.UNCLEAR
    assert verdict(inside, 0.9, None, block) is Verdict.UNCLEAR
    wide = replace(inside, high=0.021)
    assert verdict(wide, 0.9, 0.04, block) is Verdict.UNCLEAR


def test_what_an_unclear_comparison_lacks_is_planned(block: Block) -> None:
    """Seeds or speakers that would find the margin; none for what is settled."""
    for arm in block.others:
        assert arm.effect is not None
        unclear = arm.effect.verdict is Verdict.UNCLEAR
        assert (arm.effect.more_speakers is not None) == unclear
        if unclear:
            planned = needed_seeds(arm.effect.estimate, block.study.margin)
            assert arm.effect.more_seeds == planned


def test_a_lower_error_is_better(fake: ModuleType, tmp_path: Path) -> None:
    """A metric that is better when lower turns the verdict's words round."""
    study = fake.FakeStudy(skill={"base": 0.95, "pooling=mean": 0.5, "filters=time": 0.96})
    folder = rewritten(fake.write_fake_run(tmp_path, study), metric="ece")
    arm = arm_of(load_frame(folder).blocks[0], "pooling=mean")
    assert arm.effect is not None
    assert arm.effect.verdict in {Verdict.WORSE, Verdict.UNCLEAR}
    if arm.effect.verdict is Verdict.WORSE:
        assert arm.effect.estimate.mean > 0


def test_intervals_of_arms_stay_in_the_metrics_range(block: Block) -> None:
    """No accuracy above 1 is printed."""
    bounds = [(s.pooled.low, s.pooled.high) for a in block.arms for s in a.scores.values()]
    assert min(low for low, _ in bounds) >= 0
    assert max(high for _, high in bounds) <= 1


@pytest.fixture(scope="module")
def damaged(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Block:
    study = fake.FakeStudy(
        lost={
            ("pooling=max", "fold1", 2): None,
            ("pooling=mean", "fold0", 0): Status.DIVERGED,
            ("filters=time", "fold0", 0): None,
            ("filters=time", "fold0", 1): None,
            ("filters=time", "fold0", 2): None,
            ("svm", "fold2", 1): Status.FAILED,
        }
    )
    frame = load_frame(fake.write_fake_run(tmp_path_factory.mktemp("damaged"), study))
    return frame.blocks[0]


def test_counts_tell_how_trainings_ended(damaged: Block) -> None:
    """Planned trainings are trials x folds; what has no record is missing."""
    counts = damaged.counts
    assert (counts.planned, counts.completed, counts.missing) == (90, 84, 4)
    assert (counts.diverged, counts.failed, counts.spoiled) == (1, 1, 2)
    assert not counts.whole


def test_missing_cells_leave_their_seed_out_on_both_sides(damaged: Block) -> None:
    """An arm whose third seed has not run is compared on the first two."""
    arm = arm_of(damaged, "pooling=max")
    assert arm.effect is not None
    assert arm.effect.seeds == (0, 1)
    assert arm.effect.estimate.n_seeds == 2


def test_an_arm_that_lost_a_training_is_shown_and_not_compared(damaged: Block) -> None:
    """A divergence is no reason to compare what is left."""
    arm = arm_of(damaged, "pooling=mean")
    assert arm.effect is None
    assert "1 of 15 trainings of the arm ended without a result" in arm.no_effect
    assert arm.pooled is not None
    assert arm.pooled.seeds == (1, 2)
    assert arm.failures[0].status == "diverged"


def test_an_arm_without_a_whole_seed_has_no_score(damaged: Block) -> None:
    """Folds alone are not pooled."""
    arm = arm_of(damaged, "filters=time")
    assert arm.pooled is None
    assert arm.scores == {}
    assert "no seed whose folds all completed" in arm.no_effect


def test_without_a_base_seed_nothing_is_compared(fake: ModuleType, tmp_path: Path) -> None:
    """The reason names the base."""
    study = fake.FakeStudy(lost={("base", "fold0", s): None for s in range(3)})
    block = load_frame(fake.write_fake_run(tmp_path, study)).blocks[0]
    assert {a.no_effect for a in block.others} == {"the base has no seed whose folds all completed"}


def test_seeds_that_are_not_shared_are_not_compared(fake: ModuleType, tmp_path: Path) -> None:
    """Base and arm with whole seeds of their own only are no pair."""
    study = fake.FakeStudy(
        seeds=(0, 1), lost={("base", "fold0", 0): None, ("svm", "fold0", 1): None}
    )
    block = load_frame(fake.write_fake_run(tmp_path, study)).blocks[0]
    assert arm_of(block, "svm").no_effect == "the arm shares no completed seed with the base"


def test_curves_are_means_and_percentiles(block: Block) -> None:
    """The band holds the mean, over folds x seeds."""
    curve = arm_of(block, "base").curves["train_loss"]
    assert len(curve.mean) == 8
    assert (curve.low <= curve.mean).all()
    assert (curve.mean <= curve.high).all()
    assert set(curve.n.tolist()) == {15}


def test_measurements_without_a_value_keep_their_reason(block: Block) -> None:
    """No GPU is no zero."""
    held = arm_of(block, "base").measured
    assert held["cuda_allocated"].median is None
    assert held["cuda_allocated"].reason == "no CUDA device"
    assert held["train_cpu"].n == 15


def test_records_of_another_form_of_the_study_are_counted(fake: ModuleType, tmp_path: Path) -> None:
    """A record whose trial is not asked for takes no part."""
    fake.write_fake_run(tmp_path)
    trials = json.loads((tmp_path / "resolved.json").read_text())["trials"]
    frame = load_frame(rewritten(tmp_path, trials=[t for t in trials if t["arm"] != "svm"]))
    assert frame.n_stale == 15
    assert "svm" not in {a.name for a in frame.blocks[0].arms}


def test_unlike_splits_are_refused(fake: ModuleType, tmp_path: Path) -> None:
    """A record under another split hash stops the report."""
    fake.write_fake_run(tmp_path)
    path = next((tmp_path / "records").glob("*.jsonl"))
    text = path.read_text()
    path.write_text(text.replace(fake.SPLIT, "f" * 16, 1))
    with pytest.raises(NotComparable, match="was measured on split ffffffffffffffff"):
        load_frame(tmp_path)


def test_unlike_utterances_are_refused(fake: ModuleType, tmp_path: Path) -> None:
    """Two seeds that tested unlike utterances are not pooled."""
    fake.write_fake_run(tmp_path)
    store = Store.open(tmp_path)
    record = next(r for r in store.records() if r.arm == "base" and r.seed == 1)
    held = store.predictions(record.cell)
    ids = ("other", *held.ids[1:])
    store.append(replace(record, predictions=replace(held, ids=ids)))
    with pytest.raises(NotComparable, match="base on synth: seeds 0 and 1 tested unlike"):
        load_frame(tmp_path)


def test_unlike_truths_of_two_arms_are_refused(fake: ModuleType, tmp_path: Path) -> None:
    """Arms whose labels differ are not compared."""
    study = fake.FakeStudy(seeds=(0,))
    fake.write_fake_run(tmp_path, study)
    store = Store.open(tmp_path)
    record = next(r for r in store.records() if r.arm == "svm")
    held = store.predictions(record.cell)
    store.append(replace(record, predictions=replace(held, truth=(held.truth + 1) % 4)))
    with pytest.raises(NotComparable, match="base and svm tested unlike"):
        load_frame(tmp_path)


def test_an_utterance_tested_in_two_folds_counts_twice(fake: ModuleType, tmp_path: Path) -> None:
    """Repeated test parts keep their fold's name in the id."""
    fake.write_fake_run(tmp_path, fake.FakeStudy(speakers=("s1", "s1", "s2")))
    held = arm_of(load_frame(tmp_path).blocks[0], "base").pooled
    assert held is not None
    assert len(held.ids) == 3 * 4 * 12
    assert "fold0/s1-0-0" in held.ids
    assert "s2-0-0" in held.ids


def test_several_corpora_are_a_block_each(fake: ModuleType, tmp_path: Path) -> None:
    """No figure joins two corpora."""
    study = fake.FakeStudy(corpora=("emodb", "urdu"), synthetic=False, seeds=(0, 1))
    frame = load_frame(fake.write_fake_run(tmp_path, study))
    assert [b.corpus.name for b in frame.blocks] == ["emodb", "urdu"]
    assert frame.counts.planned == 2 * 6 * 2 * 5
    assert not frame.synthetic


def test_a_search_shows_the_test_score_of_its_best_alone(fake: ModuleType, tmp_path: Path) -> None:
    """Other trials are judged on validation; their trainings are counted."""
    study = fake.FakeStudy(
        design="search",
        history=(("pooling=mean", 0.6, "complete"), ("filters=time", 0.5, "complete")),
    )
    block = load_frame(fake.write_fake_run(tmp_path, study)).blocks[0]
    assert [a.name for a in block.arms] == ["base", "pooling=mean", "svm"]
    assert block.counts.planned == 90
    assert [p.value for p in block.search] == [0.6, 0.5]


# --- traces --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rated(traced: Path) -> Block:
    return load_frame(traced).blocks[0]


def test_frames_of_the_test_parts_are_pooled(rated: Block) -> None:
    """A row is a frame, in the order of utterances and frames, and arms share what they can."""
    held, other = arm_of(rated, "base").pooled, arm_of(rated, "levels=one").pooled
    assert held is not None
    assert other is not None
    assert held.truth.shape == (5 * 6 * 40, 3)
    assert held.truth.dtype == held.scores.dtype == np.float32
    assert held.scores.shape == (3, 5 * 6 * 40, 3)
    assert held.ids[:41] == (*["s1-0"] * 40, "s1-1")
    assert held.frames[:41].tolist() == [*range(40), 0]
    assert held.n_utterances == 30
    assert other.truth is held.truth
    assert other.ids is held.ids


def test_scores_of_traces_are_those_of_the_target(rated: Block) -> None:
    """CCC, PCC and RMSE over all frames together, mean over dimensions and seeds."""
    arm = arm_of(rated, "base")
    assert tuple(arm.scores) == ("ccc", "pcc", "rmse") == rated.metrics
    assert arm.pooled is not None
    for name, score in arm.scores.items():
        expected = np.mean([evaluate(name, arm.pooled.truth, s) for s in arm.pooled.scores])
        assert score.pooled.mean == pytest.approx(expected, abs=1e-9)


def test_each_dimension_has_its_value_and_interval(rated: Block) -> None:
    """Their mean is the arm's CCC."""
    arm = arm_of(rated, "base")
    assert tuple(arm.dimensions) == ("arousal", "valence", "liking")
    means = [estimate.mean for estimate in arm.dimensions.values()]
    assert np.mean(means) == pytest.approx(arm.scores["ccc"].pooled.mean)
    assert len(set(means)) == 3
    assert all(estimate.estimable for estimate in arm.dimensions.values())


def test_traces_over_folds_are_joined_within_each(rated: Block) -> None:
    """The CCC of a fold is that of its frames one after the other."""
    arm = arm_of(rated, "levels=one")
    held = arm.pooled
    assert held is not None
    folds = np.array(held.folds)
    values = [
        np.mean([evaluate("ccc", held.truth[folds == f], s[folds == f]) for s in held.scores])
        for f in sorted(set(held.folds))
    ]
    found = arm.scores["ccc"].folds
    assert (found.mean, found.sd) == pytest.approx((np.mean(values), np.std(values, ddof=1)))


def test_effects_on_traces_are_paired_differences(rated: Block) -> None:
    """Known effects on the CCC get their verdicts."""
    verdicts = {a.name: a.effect.verdict for a in rated.others if a.effect}
    assert verdicts["levels=one"] is Verdict.WORSE
    assert verdicts["streams=aligned"] is Verdict.BETTER
    effect = arm_of(rated, "levels=one").effect
    assert effect is not None
    scores = [arm_of(rated, n).scores["ccc"].pooled.mean for n in ("base", "levels=one")]
    assert effect.estimate.mean == pytest.approx(scores[1] - scores[0])


def test_a_constant_prediction_has_no_pcc_and_keeps_its_other_scores(rated: Block) -> None:
    """What is undefined is left out and told; nothing else is lost."""
    arm = arm_of(rated, "constant")
    assert tuple(arm.scores) == ("ccc", "rmse")
    assert arm.scores["ccc"].pooled.mean == 0.0
    assert tuple(arm.undefined) == ("pcc",)
    assert "not constant ones" in arm.undefined["pcc"]


def test_an_arm_whose_primary_metric_is_undefined_is_not_compared(
    fake: ModuleType, tmp_path: Path
) -> None:
    """The others are."""
    study = fake.FakeStudy(
        target="traces",
        labels=("arousal", "valence"),
        skill={"base": 0.6, "levels=one": 0.3, "constant": 0.0},
        seeds=(0, 1),
        per_cell=3,
    )
    folder = rewritten(fake.write_fake_run(tmp_path, study), metric="pcc")
    block = load_frame(folder).blocks[0]
    assert block.metrics == ("pcc", "ccc", "rmse")
    assert arm_of(block, "constant").no_effect == "PCC is undefined for the arm"
    assert arm_of(block, "constant").dimensions == {}
    assert arm_of(block, "levels=one").effect is not None


def test_an_utterance_whose_frames_are_tested_in_two_folds_counts_twice(
    fake: ModuleType, tmp_path: Path
) -> None:
    """Repeated test parts keep their fold's name in the id, frames their number."""
    study = fake.FakeStudy(
        target="traces", labels=("a", "b"), speakers=("s1", "s1", "s2"), per_cell=2, n_frames=10
    )
    held = arm_of(load_frame(fake.write_fake_run(tmp_path, study)).blocks[0], "base").pooled
    assert held is not None
    assert len(held.ids) == 3 * 2 * 10
    assert held.n_utterances == 6
    assert {"fold0/s1-0", "fold1/s1-0", "s2-0"} < set(held.ids)


def test_frames_that_two_arms_do_not_share_are_refused(fake: ModuleType, tmp_path: Path) -> None:
    """An arm that misses a frame is not compared."""
    study = fake.FakeStudy(
        target="traces", labels=("a", "b"), skill={"base": 0.6, "x=1": 0.5}, seeds=(0,), per_cell=2
    )
    fake.write_fake_run(tmp_path, study)
    store = Store.open(tmp_path)
    record = next(r for r in store.records() if r.arm == "x=1")
    held = store.predictions(record.cell)
    frames = (*(held.frames[1:60]), 60, *held.frames[60:])
    store.append(replace(record, predictions=replace(held, frames=frames)))
    with pytest.raises(NotComparable, match="base and x=1 tested unlike"):
        load_frame(tmp_path)


# --- what is told of arms and corpora --------------------------------------------------------


def test_transductive_arms_and_notes_are_read(rated: Block) -> None:
    """With the reason, the corpus's notes and the outside corpora."""
    assert [a.name for a in rated.arms if a.transductive] == ["streams=aligned"]
    assert rated.corpus.notes == ("it has no dialogues; every utterance is one",)
    assert [(o.name, o.n_utterances, o.n_speakers) for o in rated.corpus.outside] == [
        ("urdu", 1440, 24)
    ]


def test_measurements_have_their_spread_over_trainings(rated: Block) -> None:
    """10th and 90th percentile; none where nothing was measured."""
    held = arm_of(rated, "base").measured["speaker_probe"]
    assert held.n == 15
    assert held.low is not None
    assert held.median is not None
    assert held.high is not None
    assert held.low < held.median < held.high
    assert arm_of(rated, "base").measured["cuda_allocated"].low is None
    assert "speaker_probe" not in arm_of(rated, "levels=one").measured


# --- what cannot be reported -----------------------------------------------------------------


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    """The message says which file is missing."""
    with pytest.raises(BadFile, match=r"holds no run \(resolved.json is missing\)"):
        load_frame(tmp_path)


def test_a_run_without_records_says_so(fake: ModuleType, tmp_path: Path) -> None:
    """There is nothing to report yet."""
    study = fake.FakeStudy()
    lost = {(a, f, s): None for a in study.skill for f in study.folds for s in study.seeds}
    fake.write_fake_run(tmp_path, replace(study, lost=lost))
    with pytest.raises(SerlabError, match="no training of this study has ended yet"):
        load_frame(tmp_path)


def test_a_run_that_only_failed_says_why(fake: ModuleType, tmp_path: Path) -> None:
    """The most frequent reason is told."""
    study = fake.FakeStudy()
    lost = {(a, f, s): Status.FAILED for a in study.skill for f in study.folds for s in study.seeds}
    fake.write_fake_run(tmp_path, replace(study, lost=lost))
    with pytest.raises(SerlabError, match=r"no training completed \(90 failed\); .*loss is nan"):
        load_frame(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"schema": 2}, "is no resolved study of schema 1"), ({"arms": ...}, "lacks arms")],
)
def test_a_resolved_study_of_another_form_is_refused(
    fake: ModuleType, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Schema and keys are checked before anything is read from it."""
    path = fake.write_fake_run(tmp_path, fake.FakeStudy(seeds=(0,))) / "resolved.json"
    held = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in held.items() if v is not ...}))
    with pytest.raises(BadFile, match=message):
        load_frame(tmp_path)
