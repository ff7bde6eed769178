"""The speaker probe."""

from __future__ import annotations

import numpy as np

from serlab.bench.probe import speaker_probe


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
