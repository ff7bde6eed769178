"""Word vectors: what is read, what is drawn, and that an alignment finds what it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from serlab.bench.contracts import FloatArray
from serlab.bench.corpora.synth_words import LEANING
from serlab.bench.errors import BadFile, BadValue
from serlab.bench.seeds import generator
from serlab.bench.vector_files import read_vectors
from serlab.bench.vectors import (
    AlignSettings,
    Space,
    align,
    hashed_vector,
    mapped,
    nearest,
    procrustes,
    random_space,
    shuffled,
    synth_spaces,
)


def turn(size: int, seed: int = 0) -> FloatArray:
    """A random rotation (value, value)."""
    q, _ = np.linalg.qr(generator(seed, "turn").standard_normal((size, size)))
    return q.astype(np.float32)


def clustered(n_words: int = 400, size: int = 20, seed: int = 0) -> FloatArray:
    """Points (word, value) in clusters of unlike size, spread and distance."""
    draw = generator(seed, "clustered")
    centres = draw.standard_normal((12, size)) * draw.gamma(2, 0.7, (12, 1))
    which = draw.choice(12, n_words, p=draw.dirichlet(np.ones(12)))
    spread = draw.gamma(2, 0.25, (12, 1))[which] * np.linspace(1.5, 0.5, size)
    points = centres[which] + spread * draw.standard_normal((n_words, size))
    return points.astype(np.float32)


def space(vectors: FloatArray, prefix: str = "w") -> Space:
    """A space whose words are numbered."""
    return Space(words=tuple(f"{prefix}{i}" for i in range(len(vectors))), vectors=vectors)


# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["", "2 3\n"])
def test_both_text_formats_are_read(tmp_path: Path, header: str) -> None:
    """With the header of word2vec and without, umlauts and trailing spaces included."""
    path = tmp_path / "a.vec"
    path.write_text(header + "schön 1 2.5 -3e-1 \nhaus 0 0 1\n", encoding="utf-8")
    found = read_vectors(path)
    assert found.words == ("schön", "haus")
    assert found.vectors.dtype == np.float32
    np.testing.assert_allclose(found.vectors, [[1, 2.5, -0.3], [0, 0, 1]])


def test_only_the_asked_words_are_kept(tmp_path: Path) -> None:
    """And the first line of a word counts."""
    path = tmp_path / "a.vec"
    path.write_text("a 1 2\nb 3 4\na 5 6\n", encoding="utf-8")
    found = read_vectors(path, only={"a", "z"})
    assert found.words == ("a",)
    np.testing.assert_array_equal(found.vectors, [[1, 2]])
    assert read_vectors(path, only={"z"}).vectors.shape == (0, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a 1 2\nb 3\n", "line 2: a word and 2 values expected, 1 values found"),
        (b"2 3\na 1 2\n", "line 2: a word and 3 values expected, 2 values found"),
        (b"a 1 2\nb 3 x\n", "line 2: could not convert"),
        (b"a 1 nan\n", "line 1: a value is NaN or infinite"),
        (b"a 1 inf\n", "line 1: a value is NaN or infinite"),
        (b"a 1 2\n 3 4\n", "line 2"),
        (b"a 1 2\n\n", "line 2"),
        (b"", "is no file of word vectors"),
        (b"3 4\n", "has no word"),
        (b"\xff\xfe 1 2\n", "cannot be read as UTF-8"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, text: bytes, message: str) -> None:
    """The line's number and what is wrong with it."""
    path = tmp_path / "a.vec"
    path.write_bytes(text)
    with pytest.raises(BadFile, match=message):
        read_vectors(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """As a BadFile."""
    with pytest.raises(BadFile, match=r"none\.vec"):
        read_vectors(tmp_path / "none.vec")


def test_a_space_has_one_vector_a_word() -> None:
    """Anything else is refused."""
    with pytest.raises(BadValue, match="for 2 words"):
        Space(words=("a", "b"), vectors=np.zeros((3, 4), np.float32))


# --- drawing ---------------------------------------------------------------------------------


def test_hashed_vectors_depend_on_the_text_alone() -> None:
    """Equal for equal words, nearly orthogonal for others, standard normal."""
    a, b = hashed_vector("haus", 500), hashed_vector("maus", 500)
    np.testing.assert_array_equal(a, hashed_vector("haus", 500))
    assert abs(float(a @ b)) / 500 < 0.2
    assert abs(a.std() - 1) < 0.1


def test_random_vectors_depend_on_word_and_seed() -> None:
    """Not on the other words."""
    one = random_space(["a", "b", "c"], 5, 0)
    other = random_space(["c", "a"], 5, 0)
    np.testing.assert_array_equal(one.vectors[2], other.vectors[0])
    assert not np.array_equal(one.vectors, random_space(["a", "b", "c"], 5, 1).vectors)


def test_shuffling_keeps_words_and_vectors() -> None:
    """But not which belongs to which."""
    before = space(clustered(50))
    after = shuffled(before, 3)
    assert after.words == before.words
    assert not np.array_equal(after.vectors, before.vectors)
    order = np.lexsort(before.vectors.T), np.lexsort(after.vectors.T)
    np.testing.assert_array_equal(before.vectors[order[0]], after.vectors[order[1]])
    np.testing.assert_array_equal(shuffled(before, 3).vectors, after.vectors)


def test_importing_loads_no_torch() -> None:
    """The command line stays quick."""
    code = "import sys, serlab.bench.vectors; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- alignment -------------------------------------------------------------------------------


def test_procrustes_finds_a_rotation() -> None:
    """To 1e-5, from pairs; and the best orthogonal matrix where there is noise."""
    x, q = clustered(), turn(20)
    np.testing.assert_allclose(procrustes(x, x @ q.T), q, atol=1e-5)
    noisy = x @ q.T + 0.3 * generator(0, "noise").standard_normal(x.shape).astype(np.float32)
    found = procrustes(x, noisy)
    np.testing.assert_allclose(found @ found.T, np.eye(20), atol=1e-5)
    best = np.linalg.norm(x @ found.T - noisy)
    for seed in range(5):
        little = procrustes(np.eye(20, dtype="f4"), np.eye(20, dtype="f4") + 0.05 * turn(20, seed))
        assert np.linalg.norm(x @ (little @ found).T - noisy) > best


def test_nearest_by_csls_is_not_fooled_by_a_hub() -> None:
    """By cosine the hub is nearest to all; CSLS takes off what it is near to everybody."""
    draw = generator(0, "hub")
    s = draw.standard_normal((30, 8)) + 1.5
    t = s + 0.35 * draw.standard_normal(s.shape)
    t = np.concatenate([t, s.mean(axis=0, keepdims=True)])
    unit_s, unit_t = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (s, t))
    cosine = (unit_s @ unit_t.T).argmax(axis=1)
    found = nearest(s.astype("f4"), t.astype("f4"), 5)
    cosines = unit_s @ unit_t.T
    crowd_t = np.sort(cosines, axis=0)[-5:].mean(axis=0)
    np.testing.assert_array_equal(found, (2 * cosines - crowd_t).argmax(axis=1))
    assert (found == 30).sum() < (cosine == 30).sum()


def hits(source: Space, target: Space, matrix: FloatArray) -> float:
    """Share of the words in both whose nearest target vector is their own."""
    place = {word: i for i, word in enumerate(target.words)}
    found = nearest(mapped(source, matrix).vectors, target.vectors)
    right = [found[i] == place[w] for i, w in enumerate(source.words) if w in place]
    return float(np.mean(right))


def test_alignment_recovers_a_rotation() -> None:
    """400 words against 350 of them in another order, turned, with noise: over 95 % at 1.

    No word is told; before, next to none is right.
    """
    x, q = clustered(), turn(20)
    draw = generator(0, "noise")
    y = x @ q.T + 0.05 * draw.standard_normal(x.shape).astype(np.float32)
    kept = draw.permutation(400)[:350]
    source = space(x)
    target = Space(words=tuple(source.words[i] for i in kept), vectors=y[kept])
    assert hits(source, target, np.eye(20, dtype=np.float32)) < 0.05
    matrix = align(source, target, seed=0)
    assert hits(source, target, matrix) > 0.95
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(20), atol=1e-4)


def test_alignment_depends_on_its_seed_alone() -> None:
    """Neither on numbers drawn before nor on the number of threads."""
    import torch

    source, target = space(clustered(60, 6)), space(clustered(60, 6) @ turn(6).T)
    quick = AlignSettings(epochs=2, steps=10, restarts=3)
    first = align(source, target, seed=0, settings=quick)
    torch.manual_seed(5)
    torch.rand(3)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = align(source, target, seed=0, settings=quick)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(first, again)


def test_spaces_that_cannot_be_aligned_are_refused() -> None:
    """Unlike widths, and fewer words than neighbours."""
    with pytest.raises(BadValue, match="vectors of 5 values"):
        align(space(clustered(50, 4)), space(clustered(50, 5)), seed=0)
    with pytest.raises(BadValue, match="more than 10"):
        align(space(clustered(10, 4)), space(clustered(50, 4)), seed=0)


# --- the synthetic spaces --------------------------------------------------------------------


def topics(words: tuple[str, ...]) -> npt.NDArray[np.str_]:
    """What each word leans to."""
    group = {word: emotion for emotion, words_ in LEANING.items() for word in words_}
    return np.array([group.get(word, "") for word in words])


def test_text_space_knows_the_company_words_keep() -> None:
    """Nearly every leaning word's nearest other word leans to the same emotion."""
    text, _ = synth_spaces()
    unit = text.vectors / np.linalg.norm(text.vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    topic = topics(text.words)
    leaning = topic != ""
    assert (topic[cosines.argmax(axis=1)] == topic)[leaning].mean() > 0.9


def test_alignment_of_the_synthetic_spaces_finds_the_topics() -> None:
    """Words of the speech space come to lie among text words of their emotion, most on their own.

    Unaligned, none does.
    """
    text, speech = synth_spaces()
    assert text.words == speech.words
    matrix = align(speech, text, seed=0)
    found = nearest(mapped(speech, matrix).vectors, text.vectors)
    topic = topics(text.words)
    leaning = topic != ""
    assert (topic[found] == topic)[leaning].mean() > 0.95
    assert hits(speech, text, matrix) > 0.6
    assert hits(speech, text, np.eye(text.size, dtype=np.float32)) < 0.1
