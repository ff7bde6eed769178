"""What holds for the training of every system: it learns, sees no test data, and repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import rich
from networks import NETWORKS, targets

from serlab.bench.contracts import FloatArray, FoldResult, Part, Scalar, Status, Utterance
from serlab.bench.metrics.base import evaluate
from serlab.bench.trial import Bench, fold_items
from serlab.models.variant import make, resolve

BY_HEART: Mapping[str, Mapping[str, Scalar]] = {
    "wei2022": {"dropout": 0.0, "attention_dropout": 0.0},
}
"""What a system must leave out to learn a few utterances by heart."""


def scores(result: FoldResult, part: Part = Part.TEST) -> FloatArray:
    """The scores of one part."""
    assert result.status is Status.COMPLETED, result.reason
    assert result.predictions is not None
    return result.predictions.scores[np.array(result.predictions.parts) == part.value]


@pytest.mark.parametrize("system", NETWORKS)
def test_it_learns_sixteen_utterances_by_heart(system: str) -> None:
    """Classes that can be told apart are, on the training part, after all stages."""
    protocol, folds, held = rich.few()
    made = rich.system_of(system, {"label_smoothing": 0.0, **BY_HEART.get(system, {})})
    result = rich.run(made, rich.bench(made, protocol, held=held, folds=folds))
    assert result.predictions is not None, result.reason
    assert evaluate("ua", result.predictions.truth, scores(result)) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("system", [s for s in NETWORKS if s != "crnn"])
def test_the_papers_size_trains_through_all_stages(system: str) -> None:
    """An epoch of each stage of the preset "paper", on a few utterances, ends in predictions."""
    few = {"batch_size": 4, **({"segment_s": 1.0} if system == "tzirakis2021" else {})}
    protocol, folds, held = rich.few()
    ids = folds[0].train[:6]
    fold = replace(folds[0], train=ids, test=ids)
    made = make(resolve(system, "paper", few))
    result = rich.run(made, rich.bench(made, protocol, held=held, folds=(fold,)), max_epochs=1)
    assert np.isfinite(scores(result)).all()
    assert len(result.curves["train_loss"]) == len(made.stages())


@pytest.mark.parametrize("system", [s for s in NETWORKS if "traces" in targets(s)])
def test_it_learns_traces_by_heart(system: str) -> None:
    """Continuous labels are followed on the training part."""
    protocol, folds, held = rich.few("traces")
    made = rich.system_of(system)
    result = rich.run(made, rich.bench(made, protocol, held=held, folds=folds))
    assert result.predictions is not None, result.reason
    assert result.predictions.frames[:3] == (0, 1, 2)
    assert evaluate("ccc", result.predictions.truth, scores(result)) > 0.5


def spoilt(held: Bench, *, audio: bool = True) -> Bench:
    """The same with the test part's labels turned, and its features made rubbish."""
    test = set(held.split.folds[0].test)

    def turned(u: Utterance) -> Utterance:
        labels = held.split.labels
        other = labels[(labels.index(u.emotion or "") + 1) % len(labels)] if u.id in test else None
        return replace(u, emotion=other) if other else u

    changed = {
        name: {i: (7 - 3 * x if audio and i in test else x) for i, x in found.items()}
        for name, found in held.arrays.items()
    }
    utterances = tuple(turned(u) for u in held.corpus.utterances)
    return replace(held, arrays=changed, corpus=replace(held.corpus, utterances=utterances))


@pytest.mark.gate
@pytest.mark.parametrize(
    ("system", "changes"),
    [(s, {}) for s in NETWORKS] + [("lian2019", {"unlabelled": "out_of_class"})],
)
def test_test_part_touches_nothing(system: str, changes: Mapping[str, Scalar]) -> None:
    """Rubbish in the test part changes no curve, no chosen epoch and no validation score."""
    made = rich.system_of(system, changes)
    clean = rich.bench(made)
    before, after = (rich.run(made, b, max_epochs=2) for b in (clean, spoilt(clean)))
    np.testing.assert_array_equal(scores(before, Part.VALIDATION), scores(after, Part.VALIDATION))
    assert before.curves == after.curves
    assert before.chosen_epoch == after.chosen_epoch
    assert not np.array_equal(scores(before), scores(after))


def test_transductive_training_sees_audio_and_no_label() -> None:
    """With test speakers unlabelled their labels change nothing, and their audio does."""
    made = rich.system_of("lian2019", {"unlabelled": "test_speakers"})
    clean = rich.bench(made)
    first = rich.run(made, clean, max_epochs=2)
    turned = rich.run(made, spoilt(clean, audio=False), max_epochs=2)
    np.testing.assert_array_equal(scores(first), scores(turned))
    assert first.curves == turned.curves
    assert first.curves != rich.run(made, spoilt(clean), max_epochs=2).curves


@pytest.mark.gate
@pytest.mark.parametrize("system", NETWORKS)
def test_same_seed_gives_the_same_bits(system: str) -> None:
    """All stages repeat bit for bit; another seed gives another training."""
    made = rich.system_of(system)
    held = rich.bench(made)
    a, b, c = (rich.run(made, held, max_epochs=1, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(scores(a), scores(b))
    assert a.curves == b.curves
    assert not np.array_equal(scores(a), scores(c))


@pytest.mark.parametrize("system", NETWORKS)
def test_only_what_a_stage_trains_moves(system: str) -> None:
    """Frozen parameters and statistics stay the same bits through a stage."""
    import torch

    from serlab.bench.contracts import Augmentation
    from serlab.bench.train import Trainer

    made = rich.system_of(system)
    held = rich.bench(made)
    _, streams = fold_items(held.split.folds[0], made, held)
    train = streams["train"]
    network = made.build(held.sizes(len(train.speakers), len(train.corpora)))
    trainer = Trainer(
        streams=streams,
        validation=None,
        augmentation=Augmentation(),
        selection="last-epoch",
        seed=0,
        device=torch.device("cpu"),
    )
    for stage in made.stages():
        short = replace(stage, training=replace(stage.training, epochs=1))
        before = {k: v.clone() for k, v in network.state_dict().items()}
        trainer.run(network, (short,))
        after = network.state_dict()
        moved = {k for k in before if not torch.equal(before[k], after[k])}
        assert moved, stage.name
        assert all(k.startswith(stage.trains) for k in moved), stage.name


def test_unlabelled_utterances_join_without_labels() -> None:
    """Out-of-class utterances join their speakers' part; they are scored nowhere."""
    made = rich.system_of("lian2019", {"unlabelled": "out_of_class"})
    held = rich.bench(made)
    fold = held.split.folds[0]
    parts, streams = fold_items(fold, made, held)
    for part, items in parts.items():
        speakers = {u.speaker for u in items.scored}
        joined = items.utterances[len(items.scored) :]
        assert {u.speaker for u in joined} == speakers
        assert all(u.emotion is None and "boredom" in u.id for u in joined), part
        assert [u.id for u in items.scored] == list(fold.part(part))
    assert len(streams["train"].utterances) == len(fold.train) * 5 // 4


def test_a_missing_modality_has_no_part() -> None:
    """An utterance without words is trained on and scored by its audio; its text is masked."""
    made = rich.system_of("lian2019", {"context": "none"})
    held = rich.bench(made)
    fold = held.split.folds[0]
    silent = {fold.train[0], fold.test[0]}
    text = {i: (x[:0] if i in silent else x) for i, x in held.arrays["text"].items()}
    other = replace(held, arrays={**held.arrays, "text": text})
    result = rich.run(made, other, max_epochs=2)
    assert np.isfinite(scores(result)).all()
    parts, _ = fold_items(fold, made, other)
    batch = parts[Part.TEST].batch([(0, 0.0), (1, 0.0)])
    assert batch.masks["text"].tolist() == [[False], [True]]
    assert not batch.inputs["text"][0].any()
    alone = parts[Part.TEST].batch([(0, 0.0)])
    assert alone.inputs["text"].shape[1] == 1


def test_dialogues_stay_whole() -> None:
    """A mini-batch of one dialogue has all of its turns of this part, and a size of two two."""
    made = rich.system_of("lian2019")
    held = rich.bench(made)
    _, streams = fold_items(held.split.folds[0], made, held)
    train, rng = streams["train"], np.random.default_rng(0)
    for size in (1, 2):
        _, batches = train.training_batches(size, rng)
        for chosen in batches:
            names = {train.utterances[i].dialogue for i, _ in chosen}
            whole = [u for u in train.utterances if u.dialogue in names]
            assert len(whole) == len(chosen)
            assert len(names) <= size + 1
            assert len(train.batch(chosen).dialogues.unique()) == len(names)


def test_outside_corpora_have_their_own_statistics_and_domains() -> None:
    """They are normalised by themselves; their speakers and corpora are domains of their own."""
    made = rich.system_of("gao2021")
    held = rich.bench(made)
    _, streams = fold_items(held.split.folds[0], made, held)
    outside, train = streams["outside"], streams["train"]
    assert outside.corpora == ("", "far", "near")
    assert {u.speaker for u in outside.utterances} == {"near:s0", "near:s1", "far:s0", "far:s1"}
    assert len(outside.speakers) == 4 + len({u.speaker for u in train.utterances})
    batch = outside.batch([(0, 0.0), (len(outside.utterances) - 1, 0.0)])
    assert batch.corpora.tolist() == [2, 1]
    assert batch.stream == "outside"
    for corpus in ("near", "far"):
        mine = [u for u in outside.utterances if u.corpus == corpus]
        (name,) = outside.rates
        values = [outside.normaliser(name, u, outside.arrays[name][u.id]) for u in mine]
        np.testing.assert_allclose(np.concatenate(values).mean(axis=0), 0, atol=1e-3)
