"""Counts of words, and what stands for words that a space does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest

from serlab.bench.contracts import FeatureSpec, Scalar, Utterance, Word
from serlab.bench.errors import BadFile, BadValue
from serlab.bench.features import word_vectors
from serlab.bench.features.base import Feature, feature
from serlab.bench.features.extraction import extract
from serlab.bench.vectors import Space, hashed_vector

VECTORS = np.array([[1, 2], [5, 6], [0, 1]], np.float32)


def make(name: str, **settings: Scalar) -> Feature:
    return feature(FeatureSpec(name=name, settings=settings))


def says(text: str | None, name: str = "u") -> Utterance:
    return Utterance(id=name, speaker="s", text=text)


@pytest.fixture
def space(tmp_path: Path) -> str:
    """A file with the words yes, no and maybe."""
    path = tmp_path / "space.vec"
    path.write_text("3 2\nyes 1 2\nno 5 6\nmaybe 0 1\n", encoding="utf-8")
    return str(path)


# --- counts ----------------------------------------------------------------------------------


def test_counts_are_those_of_the_words() -> None:
    """Each word has one bucket that is its own text's alone; case has no part."""
    made = make("bag_of_words", size=2**14)
    values = made.of(says("Yes, yes! I said: YES and no."))
    assert values.shape == (1, made.n_values) == (1, 2**14)
    assert Counter(values[values > 0].tolist()) == {3.0: 1, 1.0: 4}
    again = made.of(says("no and said I yes yes yes"))
    np.testing.assert_array_equal(values, again)


def test_runs_of_words_and_of_characters() -> None:
    """Two words in a row count beside the single ones; characters do so within words."""
    pairs = make("bag_of_words", size=2**14, ngrams=2)
    assert pairs.of(says("not good at all")).sum() == 4 + 3
    assert not np.array_equal(pairs.of(says("a b c")), pairs.of(says("c b a")))
    letters = make("bag_of_words", size=2**14, unit="characters")
    assert letters.of(says("lost")).sum() == 4 + 2  # and the gaps at both ends


def test_fewer_buckets_are_shared() -> None:
    """No word is lost, whatever its bucket."""
    text = " ".join(f"word{k}" for k in range(40))
    assert make("bag_of_words", size=8).of(says(text)).sum() == 40


def test_counts_need_a_text_which_may_be_empty() -> None:
    """An empty one has no words; timed words serve where there is none."""
    made = make("bag_of_words")
    assert not made.of(says("")).any()
    assert "needs words or a text, and u has none" in made.lacking([says("a"), says(None)])
    timed = Utterance(id="u", speaker="s", words=(Word(text="Yes", start_s=0, end_s=1),))
    np.testing.assert_array_equal(made.of(timed), made.of(says("yes")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"size": 1}, "at least 2"), ({"ngrams": 0}, "at least 1"), ({"unit": "x"}, "one of words")],
)
def test_wrong_counts_are_refused(settings: dict[str, Scalar], message: str) -> None:
    """By name and range."""
    with pytest.raises(BadValue, match=message):
        make("bag_of_words", **settings)


# --- words that a space does not know ----------------------------------------------------------


def test_what_stands_for_an_unknown_word(space: str) -> None:
    """Nothing, the mean of the space, or fixed values of the space's own spread."""
    said = says("yes hmm")
    zero, mean, hashed = (
        make("text", vectors=space, unknown=how).of(said)[0] for how in ("zero", "mean", "hashed")
    )
    np.testing.assert_allclose(zero, VECTORS[0])
    np.testing.assert_allclose(mean, (VECTORS[0] + VECTORS.mean(axis=0)) / 2, rtol=1e-6)
    drawn = VECTORS.std() * hashed_vector("hmm", 2)
    np.testing.assert_allclose(hashed, (VECTORS[0] + drawn) / 2, rtol=1e-6)


@pytest.mark.parametrize("how", ["zero", "mean", "hashed"])
def test_an_utterance_without_a_known_word_is_missing(space: str, how: str) -> None:
    """Under each policy: what stands for words tells nothing of what is said."""
    made = make("text", vectors=space, unknown=how)
    assert made.of(says("hmm tja")).shape == (0, 2)
    assert "a word that the space" in made.lacking([says("hmm")])


def test_only_a_space_has_unknown_words(space: str) -> None:
    """The policy would do nothing to hashed vectors, and random ones have no mean."""
    for settings in ({"vectors": "hashed"}, {"vectors": space, "kind": "random"}):
        with pytest.raises(BadValue, match="unknown = 'mean': expected zero"):
            make("text", unknown="mean", **settings)


def test_the_share_of_unknown_words_is_told(space: str) -> None:
    """By words as they are said, with what stands for them; nothing where all are known."""
    made = make("text", vectors=space)
    told = made.remark([says("yes no hmm"), says("hmm yes", "v")])
    assert told.endswith("does not know 2 of 5 words (40.0%); in their place: zero")
    assert made.remark([says("yes no")]) == make("text").remark([says("hmm")]) == ""


def test_a_file_is_read_once_for_all_utterances(
    space: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass keeps the words that are said, whatever is asked then; new words need another."""
    asked: list[Collection[str] | None] = []
    read = word_vectors.read_vectors

    def counted(path: Path, only: Collection[str] | None = None, first: int = 0) -> Space:
        asked.append(only)
        return read(path, only, first)

    monkeypatch.setattr(word_vectors, "read_vectors", counted)
    spec = FeatureSpec(name="text", settings={"vectors": space})
    held = [says("yes hmm"), says("no yes", "v"), says("tja", "w")]
    assert feature(spec).lacking(held) == ""
    assert feature(spec).n_values == 2
    extract(spec, held)
    extract(spec, held[:1])
    feature(spec).remark(held)
    assert asked == [{"yes", "hmm", "no", "tja"}]
    extract(spec, [says("maybe")])
    assert asked[1:] == [{"maybe"}]


def test_a_changed_file_is_read_anew(space: str) -> None:
    """In the same process too."""
    assert make("text", vectors=space).of(says("yes"))[0].tolist() == [1, 2]
    Path(space).write_text("yes 10 20 30\n", encoding="utf-8")
    assert make("text", vectors=space).of(says("yes"))[0].tolist() == [10, 20, 30]


def test_a_broken_file_is_told_before_values_are_asked(tmp_path: Path) -> None:
    """When the words are looked up, with the line."""
    path = tmp_path / "a.vec"
    path.write_text("yes 1 2\nno 3\n", encoding="utf-8")
    with pytest.raises(BadFile, match="line 2"):
        make("text", vectors=str(path)).lacking([says("yes")])
