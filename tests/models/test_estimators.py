"""The systems that learn without gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
import tiny

from serlab.bench.contracts import FloatArray, Part, ProtocolSpec, Sizes, Status, TrialSpec
from serlab.bench.features.base import feature
from serlab.bench.protocols import make_split
from serlab.bench.trial import Bench, fold_items, run_fold, vectors
from serlab.models.variant import make, resolve


def test_svm_agrees_with_scikit_learn() -> None:
    """The estimator is a linear SVC on the vectors as they are, and ranks classes as it does."""
    from sklearn.svm import SVC

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 10)).astype("f4"), np.arange(60) % 3
    made = make(resolve("functionals_svm"))
    ours = made.build(Sizes(n_classes=3, n_speakers=2, n_features={"vector": 10}, rate_hz={}))
    ours.fit({"vector": x}, y, 0)
    theirs = SVC(C=1e-3, kernel="linear", class_weight="balanced", break_ties=True).fit(x, y)
    scores = ours.predict({"vector": x})
    np.testing.assert_array_equal(scores.argmax(axis=1), theirs.predict(x))
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    assert ours.n_parameters() == 33
    ours.fit({"vector": x}, y % 2, 0)
    assert ours.predict({"vector": x}).shape == (60, 2)


def test_majority_gives_the_shares_of_the_training_part() -> None:
    """Whatever is asked, the largest class of the training part wins."""
    made = make(resolve("majority"))
    shares = made.build(Sizes(n_classes=3, n_speakers=2, n_features={"nothing": 1}, rate_hz={}))
    shares.fit({"nothing": np.zeros((5, 1), "f4")}, np.array([2, 1, 2, 2, 1]), 0)
    scores = shares.predict({"nothing": np.zeros((4, 1), "f4")})
    np.testing.assert_allclose(scores, np.tile([0.0, 0.4, 0.6], (4, 1)), rtol=1e-6)
    assert shares.n_parameters() == 3


def written(texts: Mapping[str, str]) -> Bench:
    """The corpus with these texts by utterance id, the others' telling their class."""
    held = tiny.corpus()
    utterances = tuple(
        replace(u, text=texts.get(u.id, f"i am {u.emotion} today {u.sentence}"))
        for u in held.utterances
    )
    held = replace(held, utterances=utterances)
    system = make(resolve("text_svm"))
    made = feature(system.inputs()["text"])
    return Bench(
        corpus=held,
        split=make_split(held, ProtocolSpec(validation=1)),
        arrays={"text": {u.id: made.of(u) for u in utterances}},
        rates={"text": 0.0},
        unscaled=frozenset({"text"} if made.extractor.unscaled else ()),
    )


def text_scores(bench: Bench, weighting: str = "tfidf") -> dict[str, FloatArray]:
    """Scores of the first fold's validation and test utterances."""
    variant = resolve("text_svm", "", {"weighting": weighting})
    spec = TrialSpec(variant=variant, corpus="tiny", data="none", protocol=bench.split.protocol,
                     split=bench.split.hash, seed=0)  # fmt: skip
    result = run_fold(spec, "base", bench.split.folds[0], make(variant), bench)
    assert result.status is Status.COMPLETED, result.reason
    assert result.predictions is not None
    return dict(zip(result.predictions.ids, result.predictions.scores, strict=True))


def test_words_that_tell_the_class_are_learnt() -> None:
    """Under both weightings."""
    bench = written({})
    classes = {u.id: u.emotion for u in bench.corpus.utterances}
    for weighting in ("tfidf", "counts"):
        found = text_scores(bench, weighting)
        labels = bench.split.labels
        assert all(labels[s.argmax()] == classes[i] for i, s in found.items())


@pytest.mark.gate
def test_weights_of_words_never_see_the_test_part() -> None:
    """Other words in the test part change no validation score; others in training do."""
    fold = written({}).split.folds[0]
    before = text_scores(written({}))
    in_test = text_scores(written(dict.fromkeys(fold.test, "i am today anger today")))
    in_train = text_scores(written(dict.fromkeys(fold.train[:3], "i am today anger today")))
    for name in fold.validation:
        np.testing.assert_array_equal(in_test[name], before[name])
    assert any(not np.array_equal(in_train[name], before[name]) for name in fold.validation)


def test_weights_are_those_of_scikit_learn() -> None:
    """The counts that the estimator gets are whole: nothing normalised them on their way."""
    from sklearn.feature_extraction.text import TfidfTransformer

    bench = written({})
    fold = bench.split.folds[0]
    system = make(resolve("text_svm"))
    parts, _ = fold_items(fold, system, bench)
    inputs, truth = vectors(parts[Part.TRAIN])
    counts = np.concatenate([bench.arrays["text"][i] for i in fold.train])
    np.testing.assert_array_equal(inputs["text"], counts)
    built = system.build(Sizes(n_classes=3, n_speakers=2, n_features={"text": 4096}, rate_hz={}))
    built.fit(inputs, truth, 0)
    np.testing.assert_allclose(built.weighting.idf_, TfidfTransformer().fit(counts).idf_)
    assert built.n_parameters() == 3 * 4096 + 3 + 4096
