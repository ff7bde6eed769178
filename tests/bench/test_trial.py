"""One training: it learns, repeats itself, keeps the test part out, and reports what went wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import bench, corpus

from serlab.bench.contracts import FoldResult, ProtocolSpec, Scalar, Status, TrialSpec, Utterance
from serlab.bench.data import Normaliser
from serlab.bench.metrics.categorical import ua
from serlab.bench.trial import Bench, run_fold
from serlab.models.variant import make, resolve

SMALL: dict[str, Scalar] = {"epochs": 15, "n_bands": 16, "width": 0.5, "segment_s": 1.0}


def run(held: Bench, seed: int = 0, fold: int = 0, **changes: Scalar) -> FoldResult:
    """Trains the small attention CNN on one fold of the tiny corpus."""
    variant = resolve("li2018", "small", {**SMALL, **changes})
    spec = TrialSpec(
        variant=variant,
        corpus="tiny",
        data="",
        protocol=held.split.protocol,
        split=held.split.hash,
        seed=seed,
    )
    return run_fold(spec, "base", held.split.folds[fold], make(variant), held)


def scores(result: FoldResult, part: str = "test") -> np.ndarray:
    """The scores of one part."""
    assert result.predictions is not None, result.reason
    rows = np.array(result.predictions.parts) == part
    return result.predictions.scores[rows]


@pytest.mark.gate
def test_it_learns_what_is_there_to_learn() -> None:
    """Bands that tell the class are found, on speakers that were not trained on."""
    result = run(bench())
    assert result.status is Status.COMPLETED
    assert result.predictions is not None
    rows = np.array(result.predictions.parts) == "test"
    assert ua(result.predictions.truth[rows], scores(result)) > 0.9
    assert result.chosen_epoch is not None
    assert len(result.curves["train_loss"]) == len(result.curves["validation_ua"]) == 15


@pytest.mark.gate
def test_same_spec_gives_the_same_bits() -> None:
    """Scores and curves repeat bit for bit, also after other random numbers were drawn."""
    first = run(bench(), seed=3)
    torch.manual_seed(99)
    np.random.seed(99)
    torch.rand(7)
    again = run(bench(), seed=3)
    np.testing.assert_array_equal(scores(first), scores(again))
    assert first.curves == again.curves
    assert not np.array_equal(scores(first), scores(run(bench(), seed=4)))


@pytest.mark.gate
@pytest.mark.parametrize("normalisation", ["none", "train"])
def test_test_part_touches_nothing(normalisation: str) -> None:
    """With the test speaker's features and labels turned to rubbish, everything else is equal.

    Training, normalisation, early stopping and the chosen epoch see none of it, so validation
    scores and curves are the same bits.
    """
    protocol = ProtocolSpec(validation=1, normalisation=normalisation)  # type: ignore[arg-type]
    clean = bench(protocol)
    fold = clean.split.folds[0]
    spoilt = {i: (1e3 - x if i in fold.test else x) for i, x in clean.arrays["image"].items()}
    labels = clean.split.labels

    def relabelled(u: Utterance) -> Utterance:
        turned = labels[(labels.index(u.emotion or "") + 1) % len(labels)]
        return replace(u, emotion=turned) if u.id in fold.test else u

    poisoned = replace(
        clean,
        arrays={"image": spoilt},
        corpus=replace(
            clean.corpus, utterances=tuple(relabelled(u) for u in clean.corpus.utterances)
        ),
    )
    before, after = run(clean), run(poisoned)
    np.testing.assert_array_equal(scores(before, "validation"), scores(after, "validation"))
    assert before.curves == after.curves
    assert before.chosen_epoch == after.chosen_epoch
    assert not np.array_equal(scores(before), scores(after))


def test_the_leak_test_can_fail() -> None:
    """Under speaker normalisation the test speaker's own audio matters, as its mark says."""
    protocol = ProtocolSpec(validation=1, normalisation="speaker")
    clean = bench(protocol)
    fold = clean.split.folds[0]
    first = fold.test[0]
    shifted = {i: (x + 5 if i == first else x) for i, x in clean.arrays["image"].items()}
    other = replace(clean, arrays={"image": shifted})
    a, b = scores(run(clean)), scores(run(other))
    assert not np.array_equal(a[1:], b[1:])


def test_training_statistics_only() -> None:
    """Mean and deviation are those of the training utterances' frames."""
    held = corpus()
    rng = np.random.default_rng(0)
    arrays = {
        "x": {u.id: rng.normal(int(u.speaker[1:]), 1, (5, 3)).astype("f4") for u in held.utterances}
    }
    train = [u for u in held.utterances if u.speaker in ("s00", "s01")]
    normaliser = Normaliser.fit("train", arrays, train, held.utterances)
    stacked = np.concatenate([normaliser("x", u, arrays["x"][u.id]) for u in train])
    np.testing.assert_allclose(stacked.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(stacked.std(axis=0), 1, atol=1e-5)


def test_speaker_statistics_are_each_speakers_own() -> None:
    """Under speaker normalisation every speaker's frames have mean 0."""
    held = corpus()
    arrays = {"x": {u.id: np.full((4, 2), float(u.speaker[1:]), "f4") for u in held.utterances}}
    normaliser = Normaliser.fit("speaker", arrays, held.utterances[:3], held.utterances)
    for u in held.utterances:
        assert not normaliser("x", u, arrays["x"][u.id]).any()


def test_divergence_is_a_result() -> None:
    """A loss that leaves the numbers gives a row that says where."""
    result = run(bench(), optimiser="sgd", learning_rate=1e30, precision="fp32")
    assert result.status is Status.DIVERGED
    assert "epoch" in result.reason or "finite" in result.reason
    assert result.predictions is None


def test_failure_is_a_result() -> None:
    """An error inside a training gives a row with its reason, not a fallback number."""
    held = bench()
    broken = replace(held, arrays={"image": {}})
    result = run(broken)
    assert result.status is Status.FAILED
    assert result.reason
    assert result.measurements["train_wall"].value is not None


def test_every_trial_measures_its_cost() -> None:
    """Wall and CPU seconds and peak memory have values; CUDA has a reason for having none."""
    found = run(bench()).measurements
    assert found["train_cpu"].value
    assert found["train_wall"].value
    assert found["peak_memory"].value is None or found["peak_memory"].value > 1e6
    assert found["cuda_allocated"].value is None
    assert "CPU" in found["cuda_allocated"].reason


@pytest.mark.parametrize("epochs", [1, 2])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "constant"])
def test_schedules_bear_the_shortest_training(schedule: str, epochs: int) -> None:
    """One epoch of one mini-batch trains under every schedule."""
    result = run(bench(), schedule=schedule, epochs=epochs, batch_size=512)
    assert result.status is Status.COMPLETED, result.reason


@pytest.mark.parametrize("selection", ["validation-loss", "last-epoch"])
def test_selection_follows_the_protocol(selection: str) -> None:
    """The chosen epoch is the one that the rule names."""
    protocol = ProtocolSpec(validation=1, selection=selection)  # type: ignore[arg-type]
    result = run(bench(protocol))
    if selection == "last-epoch":
        assert result.chosen_epoch == 14
    else:
        assert result.chosen_epoch == int(np.argmin(result.curves["validation_loss"]))


def test_without_validation_the_last_epoch_counts() -> None:
    """A protocol that holds nobody out trains to the end and predicts the test part only."""
    result = run(bench(ProtocolSpec(validation=0, selection="last-epoch")))
    assert result.predictions is not None
    assert set(result.predictions.parts) == {"test"}
    assert "validation_ua" not in result.curves


@pytest.mark.parametrize(
    "changes",
    [
        {"segmentation": "whole"},
        {"segmentation": "overlapping", "average": 0.9},
        {"segmentation": "tiled", "augmentation": "mixup", "class_weights": "balanced"},
        {"augmentation": "noise", "schedule": "step", "optimiser": "sgd", "learning_rate": 0.05},
        {"schedule": "cosine", "optimiser": "adam", "patience": 5, "epochs": 20},
        {"schedule": "constant", "optimiser": "adadelta", "learning_rate": 1.0, "gradient_clip": 1},
    ],
)
def test_every_way_of_training_learns(changes: dict[str, Scalar]) -> None:
    """Segments, augmentation, schedules, optimisers and averaging all lead above chance."""
    result = run(bench(), **changes)
    assert result.predictions is not None, result.reason
    rows = np.array(result.predictions.parts) == "validation"
    assert ua(result.predictions.truth[rows], scores(result, "validation")) > 0.6
