"""Features of words, faces and tables."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from serlab.bench.cache import Cache
from serlab.bench.contracts import Audio, FeatureSpec, FloatArray, Scalar, Utterance, Word
from serlab.bench.errors import BadFile, BadValue, SerlabError
from serlab.bench.features.base import Feature, feature
from serlab.bench.features.extraction import extract
from serlab.bench.features.word_vectors import words_of
from serlab.bench.features.words import timed_words
from serlab.bench.vectors import hashed_vector, synth_spaces


@dataclass(frozen=True)
class Silence:
    """Audio of a length."""

    seconds: float

    def read(self) -> Audio:
        return Audio(samples=np.zeros(round(self.seconds * 8000), np.float32), rate_hz=8000)

    def name(self) -> str:
        return "silence"


@dataclass(frozen=True)
class Frames:
    """A video whose frame k is grey of value 10 k."""

    n: int
    rate_hz: float = 5.0

    def read(self) -> FloatArray:
        return (
            np.full((self.n, 8, 6), 1, np.uint8)
            * np.arange(0, 10 * self.n, 10, "u1")[:, None, None]
        )

    def identity(self) -> str:
        return f"grey-{self.n}"


SAID = Utterance(
    id="u",
    speaker="s",
    audio=Silence(1.0),
    words=(Word(text="Yes", start_s=0.2, end_s=0.5), Word(text="lost", start_s=0.6, end_s=0.9)),
)


def make(name: str, **settings: Scalar) -> Feature:
    return feature(FeatureSpec(name=name, settings=settings))


def test_words_stand_in_the_frames_where_they_are_said() -> None:
    """A frame has the vector of the word in its middle, and zeros where nobody speaks."""
    values = make("words", size=7).of(SAID)
    assert values.shape == (10, 7)
    for frame in range(10):
        word = "yes" if frame in (2, 3, 4) else "lost" if frame in (6, 7, 8) else None
        expected = hashed_vector(word, 7) if word else np.zeros(7)
        np.testing.assert_array_equal(values[frame], expected)


def test_words_without_times_fill_the_audio_by_their_letters() -> None:
    """Shares of the time go with letters and one for the gap; the last word ends with the audio."""
    untimed = Utterance(id="u", speaker="s", audio=Silence(2.0), text="Ja, genau!")
    first, second = timed_words(untimed)
    assert (first.text, second.text) == ("ja", "genau")
    assert first.start_s == 0
    assert first.end_s == pytest.approx(2.0 * 3 / 9) == second.start_s
    assert second.end_s == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Dogs are sitting, by the door.", ["dogs", "are", "sitting", "by", "the", "door"]),
        ("Don't; it’s ÄRGER", ["don't", "it’s", "ärger"]),
        ("... !", []),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    """Lower case, no punctuation, apostrophes within a word kept."""
    assert words_of(text) == words


def test_text_is_the_mean_of_the_known_words(tmp_path: Path) -> None:
    """Words that the space does not know have no part in it; without any it is missing."""
    path = tmp_path / "space.vec"
    path.write_text("3 2\nyes 1 2\nno 5 6\nmaybe 0 1\n", encoding="utf-8")
    made = make("text", vectors=str(path))
    assert made.n_values == 2
    said = replace(SAID, words=(), text="Yes yes no hmm")
    np.testing.assert_allclose(made.of(said), [[7 / 3, 10 / 3]], rtol=1e-6)
    assert made.of(replace(said, text="hmm")).shape == (0, 2)


def test_a_changed_vector_file_is_another_feature(tmp_path: Path) -> None:
    """The file's content, not its name, is in the cache's key and in what a trial is named by."""
    path = tmp_path / "space.vec"
    path.write_text("yes 1 2\n", encoding="utf-8")
    before = make("text", vectors=str(path))
    key, files = before.key("x"), before.files()
    path.write_text("yes 1 2.5\n", encoding="utf-8")
    after = make("text", vectors=str(path))
    assert after.key("x") != key
    assert after.files() != files


def test_controls_keep_the_words_and_lose_their_meaning() -> None:
    """Shuffled vectors are the space's own, given to other words; random ones are none of it."""
    text, _ = synth_spaces()
    word = text.words[0]
    said = replace(SAID, words=(), text=word)
    plain, shuffled, random = (
        make("text", vectors="synth-text", kind=kind).of(said)[0]
        for kind in ("plain", "shuffled", "random")
    )
    np.testing.assert_allclose(plain, text.vectors[0], rtol=1e-6)
    assert not np.allclose(shuffled, plain)
    assert any(np.allclose(shuffled, row) for row in text.vectors)
    assert not any(np.allclose(random, row) for row in text.vectors)


def test_aligned_vectors_lie_near_their_targets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A speech space laid onto the text space is nearer to it than as it is; kept in the cache."""
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path))
    text, speech = synth_spaces()
    words = [w for w in speech.words if w in text.words][:60]
    aligned = make("text", vectors="synth-speech", kind="aligned", target="synth-text")
    plain = make("text", vectors="synth-speech")
    target = make("text", vectors="synth-text")

    def nearness(made: Feature) -> float:
        a = np.concatenate([made.of(replace(SAID, words=(), text=w)) for w in words])
        b = np.concatenate([target.of(replace(SAID, words=(), text=w)) for w in words])
        a, b = a - a.mean(axis=0), b - b.mean(axis=0)
        return float((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))

    assert nearness(aligned) > nearness(plain) + 0.2
    assert Cache(tmp_path).info().n_arrays == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vectors": "nowhere.vec"}, "vectors = 'nowhere.vec': expected hashed, synth-text"),
        ({"vectors": "hashed", "kind": "shuffled"}, "a space with words of its own"),
        ({"vectors": "synth-speech", "kind": "aligned"}, "target = ''"),
        ({"kind": "best"}, "one of plain, aligned, random, shuffled"),
    ],
)
def test_wrong_spaces_are_refused(settings: dict[str, Scalar], message: str) -> None:
    """Before anything is computed."""
    with pytest.raises(BadValue, match=message):
        make("words", **settings)


def test_turns_say_when_the_partner_speaks() -> None:
    """One where somebody else speaks; nothing where a corpus tells of nobody."""
    other = replace(SAID, partner=((0.0, 0.2), (0.88, 1.0)))
    assert make("turns").of(other)[:, 0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert not make("turns").of(SAID).any()


def test_face_frames_are_drawn_evenly_and_resized() -> None:
    """The middles of equal stretches, scaled to [-1, 1]; a short video repeats frames."""
    made = make("face_frames", n_frames=2, rows=16, columns=4)
    values = made.of(replace(SAID, video=Frames(8)))
    assert values.shape == (2, 64)
    np.testing.assert_allclose(values[0], (20 / 255 - 0.5) / 0.5, atol=1e-5)
    np.testing.assert_allclose(values[1], (60 / 255 - 0.5) / 0.5, atol=1e-5)
    short = make("face_frames", n_frames=3, rows=4, columns=4).of(replace(SAID, video=Frames(1)))
    assert np.ptp(short) == 0


def test_supplied_vectors_are_what_the_corpus_gives() -> None:
    """As they are, and of the size that was said."""
    held = replace(SAID, supplied={"face": (1.0, 2.0, 3.0)})
    np.testing.assert_array_equal(make("supplied", size=3).of(held), [[1, 2, 3]])
    with pytest.raises(BadValue, match=r"u: supplied.*\(frame, 4\)"):
        make("supplied", size=4).of(held)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("words", "needs words or a text, and bare has none"),
        ("text", "needs words or a text"),
        ("face_frames", "needs video"),
        ("supplied", 'needs a supplied vector "face"'),
    ],
)
def test_what_is_lacking_is_told(name: str, message: str, tmp_path: Path) -> None:
    """With the utterance, before and while the feature is computed."""
    bare = Utterance(id="bare", speaker="s", audio=Silence(1.0))
    assert message in make(name).lacking([bare, bare])
    if name in ("words", "text"):  # single utterances may have none
        assert make(name).lacking([bare, SAID]) == ""
        assert len(make(name).of(bare)) == 0
        return
    with pytest.raises(SerlabError, match=message):
        make(name).of(bare)
    with pytest.raises(SerlabError, match=message):
        extract(FeatureSpec(name=name), [bare])
    with pytest.raises(SerlabError, match=message):
        extract(FeatureSpec(name=name), [bare], cache=Cache(tmp_path))


@pytest.mark.parametrize("name", ["words", "text", "turns", "face_frames", "supplied", "nothing"])
def test_the_cache_gives_what_was_computed(name: str, tmp_path: Path) -> None:
    """Kept under the utterance's own content, and read back the same."""
    size = {"supplied": {"size": 2}, "face_frames": {"rows": 8, "columns": 8}}.get(name, {})
    spec = FeatureSpec(name=name, settings=size)
    held = replace(SAID, video=Frames(3), supplied={"face": (0.5, 1.0)})
    cache = Cache(tmp_path)
    first = extract(spec, [held], cache=cache)["u"]
    assert cache.info().n_arrays == 1
    np.testing.assert_array_equal(extract(spec, [held], cache=cache)["u"], first)
    np.testing.assert_array_equal(first, extract(spec, [held])["u"])


def test_a_space_that_knows_none_of_the_words_is_told() -> None:
    """All zeros would look like words: an utterance without a known one is missing."""
    german = replace(SAID, words=(), text="Der Lappen liegt auf dem Eisschrank.")
    for name in ("words", "text"):
        made = make(name, vectors="synth-text")
        assert "a word that the space synth-text knows" in made.lacking([german])
        assert made.lacking([german, replace(german, text="Lappen yes")]) == ""
        assert len(made.of(german)) == 0


def test_a_file_without_vectors_is_refused(tmp_path: Path) -> None:
    """Where its width is asked for."""
    path = tmp_path / "empty.vec"
    path.write_text("word\n", encoding="utf-8")
    with pytest.raises(BadFile, match="is no file of word vectors"):
        make("words", vectors=str(path))
