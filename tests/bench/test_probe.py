"""The linear probes."""

from __future__ import annotations

import numpy as np

from serlab.bench.probe import emotion_probe, speaker_probe


def embeddings(
    separation: float, n_speakers: int = 4, n_each: int = 30
) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((n_speakers, 12)) * separation
    x = np.repeat(centres, n_each, axis=0) + rng.standard_normal((n_speakers * n_each, 12))
    return x.astype("f4"), [f"s{i // n_each}" for i in range(len(x))]


def test_it_finds_speakers_that_are_there() -> None:
    """Near 1 where the embeddings tell them apart, near chance where they do not."""
    found = speaker_probe(*embeddings(3.0))
    assert found["speaker_probe"].value is not None
    assert found["speaker_probe"].value > 0.95
    assert found["speaker_probe_chance"].value == 0.25
    blind = speaker_probe(*embeddings(0.0, n_each=100))["speaker_probe"].value
    assert blind is not None
    assert abs(blind - 0.25) < 0.08


def test_more_of_the_speaker_gives_more() -> None:
    """The value rises with how far apart the speakers are."""
    values = [speaker_probe(*embeddings(s))["speaker_probe"].value for s in (0.1, 0.4, 1.0)]
    assert values == sorted(values)  # type: ignore[type-var]


def test_it_has_no_value_without_speakers_to_tell() -> None:
    """One speaker, or speakers with too few utterances: a reason, no number."""
    x, speakers = embeddings(1.0)
    for names in (["one"] * len(x), [f"s{i // 2}" for i in range(len(x))]):
        found = speaker_probe(x, names)["speaker_probe"]
        assert found.value is None
        assert "fewer than two speakers" in found.reason
    assert speaker_probe(x, speakers)["speaker_probe"].value is not None


def test_constant_embeddings_tell_nothing() -> None:
    """Chance, without a warning or an error."""
    x, speakers = embeddings(1.0)
    assert speaker_probe(np.ones_like(x), speakers)["speaker_probe"].value == 0.25


def test_the_emotion_probe_learns_on_one_part_and_is_judged_on_the_other() -> None:
    """Near 1 where the emotions lie apart in both, 0 where every name is another."""
    x, emotions = embeddings(3.0)
    learnt, judged = slice(0, None, 2), slice(1, None, 2)
    found = emotion_probe(x[learnt], emotions[learnt], x[judged], emotions[judged])
    assert found["emotion_probe"].value is not None
    assert found["emotion_probe"].value > 0.95
    assert found["emotion_probe_chance"].value == 0.25
    shifted = [f"s{(int(name[1]) + 1) % 4}" for name in emotions[judged]]
    wrong = emotion_probe(x[learnt], emotions[learnt], x[judged], shifted)["emotion_probe"].value
    assert wrong is not None
    assert wrong < 0.05


def test_the_emotion_probe_is_a_mean_of_recalls_over_what_was_learnt() -> None:
    """Many utterances of one emotion weigh no more; an emotion that was not learnt is left out."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(m, 0.1, (20, 3)) for m in (-1, 1)]).astype("f4")
    emotions = ["a"] * 20 + ["b"] * 20
    judged = np.concatenate([np.full((9, 3), -1), np.full((1, 3), -1), np.ones((5, 3))])
    truth = ["a"] * 9 + ["b"] + ["new"] * 5
    found = emotion_probe(x, emotions, judged.astype("f4"), truth)
    assert found["emotion_probe"].value == 0.5
    assert found["emotion_probe_chance"].value == 0.5


def test_the_emotion_probe_says_why_it_has_no_value() -> None:
    """One emotion, or none of them in the other part; constants are no more than chance."""
    x, emotions = embeddings(1.0)
    one = emotion_probe(x, ["a"] * len(x), x, emotions)["emotion_probe"]
    assert (one.value, one.reason) == (None, "fewer than two emotions to tell")
    none = emotion_probe(x, emotions, x, ["other"] * len(x))["emotion_probe"]
    assert (none.value, none.reason) == (None, "no utterance to judge by")
    same = np.ones_like(x)
    assert emotion_probe(same, emotions, same, emotions)["emotion_probe"].value == 0.25
