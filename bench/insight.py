"""A look inside one training: embeddings, attention maps and stream weights, in a file.

::

    RUN/insight/<cell>.safetensors
      header    "serlab": names and facts, JSON text
      embeddings/values                  (utterance, value)
      maps/<n>/{seen,trained,random}     (frame, bin), half precision
      weights/<n>/{trained,random}       (frame, stream)

The control "random" is a network of the same settings, drawn with another seed and never trained.
Nothing in a file is run or unpickled. This module needs no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray
from serlab.bench.errors import BadFile, BadValue, SerlabError
from serlab.bench.typed import build

SCHEMA = 1
_NEAR = 1e-3
"""How far weights may be from a sum of 1."""
_ARRAYS = {"maps": ("seen", "trained", "random"), "weights": ("trained", "random")}

Tensors = Mapping[str, npt.NDArray[Any]]  # numbers of any type


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """What an adversary acts on, or would, for the scored utterances of all three parts."""

    ids: tuple[str, ...]
    speakers: tuple[str, ...]
    emotions: tuple[str, ...]
    """Empty texts where the corpus has none."""
    parts: tuple[str, ...]
    values: FloatArray
    """(utterance, value)"""

    def __post_init__(self) -> None:
        """Checks that every utterance has each of them."""
        wanted = {len(self.speakers), len(self.emotions), len(self.parts), len(self.values)}
        if wanted != {len(self.ids)} or self.values.ndim != 2:
            raise BadValue("embeddings", self.values.shape, "a row for each of the utterances")


@dataclass(frozen=True, kw_only=True)
class AttentionMap:
    """Where a network looks in one test utterance, on the frames and bins of its input."""

    id: str
    speaker: str
    emotion: str
    said: str
    """What the trained network says that it is; empty where it recognises traces."""
    input: str
    """The input that is looked at, such as "image"."""
    hop_s: float
    """Seconds from frame to frame."""
    seen: FloatArray
    """(frame, bin), the input as the network reads it."""
    trained: FloatArray
    """(frame, bin), weights from 0 that sum to 1."""
    random: FloatArray
    """The same of the control."""

    def __post_init__(self) -> None:
        """Checks the grid and the weights."""
        where = f"attention of {self.id}"
        _check_weights(where, {"trained": self.trained, "random": self.random}, axis=None)
        if not self.seen.shape == self.trained.shape == self.random.shape:
            raise BadValue(where, self.trained.shape, f"the grid {self.seen.shape} of what is seen")


@dataclass(frozen=True, kw_only=True)
class StreamWeights:
    """How much each stream counts in one test utterance, frame by frame."""

    id: str
    speaker: str
    streams: tuple[str, ...]
    """Their names, such as "semantic" and "paralinguistic"."""
    hop_s: float
    trained: FloatArray
    """(frame, stream), rows sum to 1."""
    random: FloatArray
    """The same of the control."""

    def __post_init__(self) -> None:
        """Checks the grid and the weights."""
        where = f"stream weights of {self.id}"
        _check_weights(where, {"trained": self.trained, "random": self.random}, axis=1)
        for values in (self.trained, self.random):
            if values.shape != (len(self.trained), len(self.streams)):
                raise BadValue(where, values.shape, f"frames by {len(self.streams)} streams")


@dataclass(frozen=True, kw_only=True)
class Insight:
    """What is kept of one training, and why something is not."""

    embeddings: Embeddings | None = None
    maps: tuple[AttentionMap, ...] = ()
    weights: tuple[StreamWeights, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    """By "embeddings", "maps" and "weights": why there is none."""


def _check_weights(where: str, found: Tensors, axis: int | None) -> None:
    for name, values in found.items():
        if values.ndim != 2 or not values.size:
            raise BadValue(f"{where}: {name}", values.shape, "a table of weights")
        sums = np.asarray(values.sum(axis=axis, dtype=np.float64))
        if not (np.isfinite(sums).all() and (values >= 0).all()):
            raise BadValue(f"{where}: {name}", float(values.min()), "finite weights from 0")
        worst = float(sums.flat[np.abs(sums - 1).argmax()])
        if abs(worst - 1) > _NEAR:
            raise BadValue(f"{where}: {name}", worst, "weights that sum to 1")


# --- writing ---------------------------------------------------------------------------------


def write_insight(path: Path, held: Insight) -> None:
    """Writes it in one step, with the folder where that is missing."""
    from safetensors.numpy import save

    tensors: dict[str, npt.NDArray[Any]] = {}
    if held.embeddings is not None:
        tensors["embeddings/values"] = _packed(held.embeddings.values)
    for n, one in enumerate(held.maps):
        tensors[f"maps/{n}/seen"] = _half(one.seen)
        for name in ("trained", "random"):
            values = getattr(one, name)
            tensors[f"maps/{n}/{name}"] = _half(values / values.max())
    for n, shares in enumerate(held.weights):
        for name in _ARRAYS["weights"]:
            tensors[f"weights/{n}/{name}"] = _packed(getattr(shares, name))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(save(tensors, {"serlab": json.dumps(_told(held))}))
    temporary.replace(path)


def _packed(values: npt.NDArray[Any]) -> FloatArray:
    return np.ascontiguousarray(values, np.float32)


def _half(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    """In half precision, as far as its range goes."""
    largest = np.finfo(np.float16).max
    return np.ascontiguousarray(np.clip(values, -largest, largest), np.float16)


def _told(held: Insight) -> dict[str, object]:
    """Everything that is no array, ready for JSON."""
    return {
        "schema": SCHEMA,
        "embeddings": None if held.embeddings is None else _texts(held.embeddings),
        "maps": [_texts(one) for one in held.maps],
        "weights": [_texts(one) for one in held.weights],
        "absent": dict(held.absent),
    }


def _texts(record: Any) -> dict[str, object]:  # one of the records above
    values = ((f.name, getattr(record, f.name)) for f in fields(record))
    return {name: value for name, value in values if not isinstance(value, np.ndarray)}


# --- reading ---------------------------------------------------------------------------------


def read_insight(path: Path) -> Insight:
    """What a file keeps, in single precision.

    Raises:
        BadFile: it is missing, damaged, or was not written by this serlab.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get("serlab", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadFile(path, f"is not readable as safetensors: {error}") from None
    try:
        return _insight(json.loads(text), tensors)
    except RecursionError:
        raise BadFile(path, "is no look inside a training: its header is nested") from None
    except (ValueError, KeyError, TypeError, AttributeError, SerlabError) as error:
        problem = f"is no look inside a training as this serlab keeps it: {error}"
        raise BadFile(path, problem) from None


def _insight(told: Any, tensors: Tensors) -> Insight:  # JSON values of any shape
    if told["schema"] != SCHEMA:
        raise BadValue("schema", told["schema"], f"{SCHEMA}")
    embeddings = told["embeddings"]
    if embeddings is not None:
        values = _single(tensors["embeddings/values"])
        embeddings = build(Embeddings, {**embeddings, "values": values}, "embeddings")
    maps = _rows(told, "maps", tensors)
    for one in maps:
        for name in ("trained", "random"):
            total = one[name].sum()
            one[name] = one[name] / total if total > 0 else one[name]
    weights = _rows(told, "weights", tensors)
    return Insight(
        embeddings=embeddings,
        maps=tuple(build(AttentionMap, one, f"maps[{n}]") for n, one in enumerate(maps)),
        weights=tuple(build(StreamWeights, one, f"weights[{n}]") for n, one in enumerate(weights)),
        absent={str(what): str(why) for what, why in told["absent"].items()},
    )


def _rows(told: Any, kind: str, tensors: Tensors) -> list[dict[str, Any]]:  # as above
    """The records of a kind as tables, their arrays among them."""
    facts: Iterable[Mapping[str, Any]] = told[kind]
    return [
        {**one, **{name: _single(tensors[f"{kind}/{n}/{name}"]) for name in _ARRAYS[kind]}}
        for n, one in enumerate(facts)
    ]


def _single(values: npt.NDArray[Any]) -> FloatArray:
    return values.astype(np.float32)
