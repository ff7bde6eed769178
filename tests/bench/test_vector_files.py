"""Files of word vectors in all their forms, and what is told of broken ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from serlab.bench.contracts import FloatArray
from serlab.bench.errors import BadFile
from serlab.bench.vector_files import read_vectors, width_of

WORDS = ("the", "schön", "new york", "zero")
VALUES = np.array([[1, 2.5, -0.3], [0, 1e-3, 7], [4, 5, 6], [0, 0, 0]], np.float32)


def text(header: bool) -> bytes:
    """The space as text, the header of word2vec in front or not."""
    lines = [f"{len(WORDS)} 3"] if header else []
    lines += [f"{w} {' '.join(map(str, v))}" for w, v in zip(WORDS, VALUES.tolist(), strict=True)]
    return ("\n".join(lines) + "\n").encode()


def binary(words: tuple[str, ...], values: FloatArray, gap: bytes = b"\n") -> bytes:
    """The space in word2vec's binary format; its own tool writes a line end after each word."""
    head = f"{len(words)} {values.shape[1]}\n".encode()
    rows = zip(words, values, strict=True)
    return head + b"".join(w.encode() + b" " + v.astype("<f4").tobytes() + gap for w, v in rows)


SPACELESS = tuple(word.replace(" ", "_") for word in WORDS)
FORMS = {
    "word2vec.txt": text(True),
    "glove.txt": text(False),
    "fasttext.vec": text(True).replace(b"\n", b" \n"),
    "windows.txt": b"\xef\xbb\xbf" + text(False).replace(b"\n", b"\r\n"),
    "packed.txt.gz": gzip.compress(text(False), mtime=0),
    "word2vec.bin": binary(SPACELESS, VALUES),
    "gensim.bin": binary(SPACELESS, VALUES, gap=b""),
    "packed.bin.gz": gzip.compress(binary(SPACELESS, VALUES), mtime=0),
    "unnamed": binary(SPACELESS, VALUES),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_read(tmp_path: Path, name: str) -> None:
    """Words and values are the same, whichever form holds them."""
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    found = read_vectors(path)
    assert tuple(word.replace("_", " ") for word in found.words) == WORDS
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, VALUES)
    assert width_of(path) == 3


@pytest.mark.parametrize("name", FORMS)
def test_a_part_is_read(tmp_path: Path, name: str) -> None:
    """Words that are asked for, in the file's order, or so many first ones."""
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    some = read_vectors(path, only={"zero", "schön", "absent"})
    assert some.words == ("schön", "zero")
    np.testing.assert_array_equal(some.vectors, VALUES[[1, 3]])
    assert read_vectors(path, first=2).words == ("the", "schön")
    assert read_vectors(path, only={"zero"}, first=2).vectors.shape == (0, 3)


def test_words_longer_than_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A binary file is read in pieces, whose ends may lie anywhere."""
    words = tuple(f"w{'x' * (k % 7)}{k}" for k in range(50))
    values = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    (tmp_path / "a.bin").write_bytes(binary(words, values))
    for size in (7, 13, 64):
        monkeypatch.setattr("serlab.bench.vector_files._CHUNK", size)
        found = read_vectors(tmp_path / "a.bin")
        assert found.words == words
        np.testing.assert_array_equal(found.vectors, values)


def test_the_first_place_of_a_word_counts(tmp_path: Path) -> None:
    """In a binary file as in a text."""
    (tmp_path / "a.bin").write_bytes(binary(("a", "b", "a"), VALUES[:3]))
    found = read_vectors(tmp_path / "a.bin")
    assert found.words == ("a", "b")
    np.testing.assert_array_equal(found.vectors, VALUES[:2])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bin", binary(SPACELESS, VALUES)[:-20], "byte 40: word 3 of 4 is cut short"),
        ("a.bin", b"9" + binary(SPACELESS, VALUES)[1:], r"byte 80: word 5 of 9 is cut short"),
        ("a.bin", b"2 3\n" + b"x" * 9000, "byte 4: word 1 of 2 is cut short or damaged"),
        ("a.bin", binary(("a", "b"), VALUES[:2] * np.nan), "byte 4: a value is NaN or infinite"),
        ("a.bin", b"1 1\n\xff\xfe 0000", "byte 4: a word that cannot be read as UTF-8"),
        ("a.bin", b"the 1 2 3\n", "no first line with the numbers of words and values"),
        ("a.bin", (793712314).to_bytes(4, "little") + b"\0" * 50, "print-word-vectors MODEL"),
        ("a.zip", b"PK\x03\x04" + b"\0" * 50, "is a zip archive: unpack it"),
        ("a.gz", gzip.compress(text(True), mtime=0)[:-20], "cannot be read"),
        ("a.gz", b"\x1f\x8b" + b"\0" * 50, "cannot be read"),
        ("a.vec", b"a 1 2\nb 3 4 5\n", "line 2: a word and 2 values expected, 3 values found"),
        ("a.vec", b"a 1 2\nb c 3\n", "line 2: could not convert string to float: 'c'"),
        ("a.vec", b"5 0\na\n", "is no file of word vectors"),
    ],
)
def test_a_broken_file_says_where(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    """The byte or line and what is wrong with it; a model of fastText, what to export."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadFile, match=message):
        read_vectors(tmp_path / name)


def test_other_words_values_are_not_looked_at(tmp_path: Path) -> None:
    """What is no number stands in nobody's way, so that a large file takes seconds."""
    (tmp_path / "a.vec").write_bytes(b"a 1 2\nb x y\n")
    assert read_vectors(tmp_path / "a.vec", only={"a"}).words == ("a",)
