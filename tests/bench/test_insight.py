"""What is kept of a look inside a training comes back as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import load_file, save_file

from serlab.bench.errors import BadFile, BadValue
from serlab.bench.insight import (
    AttentionMap,
    Embeddings,
    Insight,
    StreamWeights,
    read_insight,
    write_insight,
)
from serlab.bench.store import Store

RNG = np.random.default_rng(0)


def shares(*shape: int, axis: int | None = None) -> npt.NDArray[np.float32]:
    """Weights that sum to 1."""
    values = RNG.random(shape)
    return (values / values.sum(axis=axis, keepdims=True)).astype(np.float32)


def attention(name: str = "u1", n_frames: int = 30, n_bins: int = 12) -> AttentionMap:
    """A map over some frames and bins."""
    return AttentionMap(
        id=name,
        speaker="s1",
        emotion="anger",
        said="fear",
        input="image",
        hop_s=0.016,
        seen=RNG.standard_normal((n_frames, n_bins)).astype(np.float32),
        trained=shares(n_frames, n_bins),
        random=shares(n_frames, n_bins),
    )


def streams(name: str = "u1") -> StreamWeights:
    """Weights of two streams."""
    return StreamWeights(
        id=name,
        speaker="s1",
        streams=("semantic", "paralinguistic"),
        hop_s=0.1,
        trained=shares(7, 2, axis=1),
        random=shares(7, 2, axis=1),
    )


def insight(name: str = "u1") -> Insight:
    """Everything that can be kept."""
    embeddings = Embeddings(
        ids=(name, "u2"),
        speakers=("s1", "s2"),
        emotions=("anger", ""),
        parts=("train", "test"),
        values=RNG.standard_normal((2, 5)).astype(np.float32),
    )
    return Insight(
        embeddings=embeddings, maps=(attention(name), attention("u2", 9)), weights=(streams(name),)
    )


def told(record: object) -> dict[str, object]:
    """What of a record is no array."""
    return {k: v for k, v in vars(record).items() if not isinstance(v, np.ndarray)}


def test_everything_comes_back(tmp_path: Path) -> None:
    """Names and facts as they went; maps as far as half precision tells them apart."""
    held = insight()
    write_insight(tmp_path / "insight" / "a.safetensors", held)
    found = read_insight(tmp_path / "insight" / "a.safetensors")
    assert found.embeddings is not None
    assert held.embeddings is not None
    np.testing.assert_array_equal(found.embeddings.values, held.embeddings.values)
    assert told(found.embeddings) == told(held.embeddings)
    assert [told(one) for one in found.maps] == [told(one) for one in held.maps]
    assert [told(one) for one in found.weights] == [told(one) for one in held.weights]
    for mine, theirs in zip(held.maps, found.maps, strict=True):
        np.testing.assert_allclose(theirs.seen, mine.seen, rtol=1e-3)
        np.testing.assert_allclose(theirs.trained, mine.trained, rtol=2e-3)
        assert theirs.random.sum() == pytest.approx(1, abs=1e-5)
        assert theirs.seen.dtype == theirs.trained.dtype == np.float32
    np.testing.assert_array_equal(found.weights[0].trained, held.weights[0].trained)


def test_small_weights_are_not_lost(tmp_path: Path) -> None:
    """Of a hundred thousand places each keeps its weight, which half precision could not tell."""
    one = attention(n_frames=1000, n_bins=100)
    write_insight(tmp_path / "a.safetensors", Insight(maps=(one,)))
    (found,) = read_insight(tmp_path / "a.safetensors").maps
    assert (found.trained > 0).sum() == (one.trained > 0).sum()
    np.testing.assert_allclose(found.trained, one.trained, rtol=2e-3, atol=1e-12)


def test_nothing_and_why(tmp_path: Path) -> None:
    """A file may hold reasons alone."""
    absent = {"maps": "this system has no attention", "embeddings": "an estimator has none"}
    write_insight(tmp_path / "a.safetensors", Insight(absent=absent))
    found = read_insight(tmp_path / "a.safetensors")
    assert found == Insight(absent=absent)


@pytest.mark.parametrize("name", ["<script>", "a\n\0b", "\ud800", "../../x", "ا" * 300, "%_$\\"])
def test_hostile_names(tmp_path: Path, name: str) -> None:
    """A speaker may be called anything, and so may an utterance and a cell."""
    store = Store.create(tmp_path)
    path = store.insight_path(name[:40].encode(errors="replace").decode())
    assert path.parent == tmp_path / "insight"
    write_insight(path, insight(name))
    found = read_insight(path)
    assert found.maps[0].id == found.weights[0].id == name
    assert found.embeddings is not None
    assert found.embeddings.ids[0] == name


def test_the_store_gives_what_is_kept(tmp_path: Path) -> None:
    """By cell; None of a cell of which nothing is kept."""
    store = Store.create(tmp_path)
    write_insight(store.insight_path("t-a/b"), insight())
    found = store.insight("t-a/b")
    assert found is not None
    assert found.maps[0].id == "u1"
    assert store.insight("t-c") is None


def test_a_cut_file_is_told(tmp_path: Path) -> None:
    """Wherever it ends, it is no file of serlab's."""
    path = tmp_path / "a.safetensors"
    write_insight(path, insight())
    whole = path.read_bytes()
    for n in (0, 4, 40, len(whole) - 1):
        path.write_bytes(whole[:n])
        with pytest.raises(BadFile, match="safetensors"):
            read_insight(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", 99),
        ("maps", [{"id": "u1"}]),
        ("maps", 5),
        ("weights", None),
        ("embeddings", {"ids": ["u1"]}),
        ("embeddings", {"ids": [1], "speakers": ["s"], "emotions": [""], "parts": ["test"]}),
        ("absent", "nothing"),
    ],
)
def test_a_header_that_does_not_fit(tmp_path: Path, key: str, value: object) -> None:
    """Wrong or missing facts are refused with the file's name."""
    path = tmp_path / "a.safetensors"
    write_insight(path, insight())
    held = _header(path)
    held[key] = value
    save_file(load_file(path), path, {"serlab": json.dumps(held)})
    with pytest.raises(BadFile, match=r"a\.safetensors: is no look inside"):
        read_insight(path)


def _header(path: Path) -> dict[str, object]:
    size = int.from_bytes(path.read_bytes()[:8], "little")
    text = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]["serlab"]
    held: dict[str, object] = json.loads(text)
    return held


@pytest.mark.parametrize("header", [{}, {"serlab": "no json"}, {"serlab": "[" * 100_000}])
def test_a_file_of_others(tmp_path: Path, header: dict[str, str]) -> None:
    """A safetensors file that something else wrote."""
    path = tmp_path / "a.safetensors"
    save_file({"x": np.zeros(3)}, path, header)
    with pytest.raises(BadFile, match="is no look inside"):
        read_insight(path)


@pytest.mark.parametrize(
    ("name", "wrong", "expected"),
    [
        ("maps/0/trained", np.ones((3, 3), np.float16), "the grid"),
        ("maps/0/trained", np.zeros((30, 12), np.float16), "sum to 1"),
        ("maps/0/trained", np.full((30, 12), -1, np.float16), "finite weights from 0"),
        ("maps/1/random", np.full((9, 12), np.nan, np.float16), "finite"),
        ("weights/0/trained", np.ones((7, 2), np.float32), "sum to 1"),
        ("weights/0/random", shares(7, 3, axis=1), "2 streams"),
        ("embeddings/values", np.zeros((3, 5), np.float32), "a row for each"),
    ],
)
def test_arrays_that_do_not_fit(
    tmp_path: Path, name: str, wrong: npt.NDArray[np.float32], expected: str
) -> None:
    """Arrays of another shape, or that are no weights, are refused."""
    path = tmp_path / "a.safetensors"
    write_insight(path, insight())
    header = json.dumps(_header(path))
    save_file({**load_file(path), name: wrong}, path, {"serlab": header})
    with pytest.raises(BadFile, match=expected):
        read_insight(path)


def test_records_check_what_they_are_made_of() -> None:
    """Negative weights are refused where they are made, not when the file is read."""
    one = attention()
    with pytest.raises(BadValue, match="attention of u1: trained"):
        replace(one, trained=-one.trained)
    with pytest.raises(BadValue, match="stream weights of u1"):
        replace(streams(), random=np.zeros((0, 2), np.float32))
