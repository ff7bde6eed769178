"""Trained models in files: what a training came to, kept so that it can be asked again.

::

    RUN/models/<cell>.safetensors
      header    "serlab": the facts, JSON text; "sha256": the hash of that text
      model/<name>                        a network's state, or what an estimator has learnt
      normaliser/mean/<input>/<group>     (value,), under the normalisation "train" alone
      normaliser/deviation/<input>/<group>

Nothing in a file is run or unpickled. The facts are vouched for by their hash; the tensors are
not, so that a file whose weights were rounded or converted can be asked and compared too.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from serlab.bench.contracts import COMPARABLE, Sizes, TrialSpec, plain
from serlab.bench.data import Normaliser
from serlab.bench.errors import BadFile, BadValue, NotComparable, SerlabError
from serlab.bench.typed import build

SCHEMA = 1

_PLAIN = torch.contiguous_format
_MODEL, _NORMALISER = "model/", "normaliser/"

State = Mapping[str, npt.NDArray[Any]]  # numbers of any type


@runtime_checkable
class Kept(Protocol):
    """An estimator whose learning can be written down and taken up again."""

    def state(self) -> State:
        """What it has learnt, by name."""
        ...

    def restore(self, state: State) -> None:
        """Makes it predict what the estimator of that state does.

        Raises:
            BadValue: an array is missing, unknown or of another shape.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Where a training is to be kept, and what is written beside its weights."""

    path: Path
    spec: TrialSpec
    arm: str
    fold: str
    labels: tuple[str, ...]
    sources: Mapping[str, Any] = field(default_factory=dict)  # JSON values of any shape
    """How the corpus is read again; this module only hands it on."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a kept model was trained as."""

    spec: TrialSpec
    arm: str
    fold: str
    labels: tuple[str, ...]
    sizes: Sizes
    normalised: tuple[str, ...]
    """The "input/group" that the normaliser has statistics of, where they are kept."""
    sources: Mapping[str, Any]  # JSON values of any shape
    serlab: str
    """The version that trained it."""
    threads: int
    """Threads that it was tested with; sums depend on them in their last bits."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A kept model, read."""

    path: Path
    facts: Facts
    state: Mapping[str, Tensor]
    """The network's, or the estimator's, by name."""
    normaliser: Normaliser | None
    """None where the normalisation is fitted to what is predicted."""

    def restore(self, built: Any) -> None:  # as System.build
        """Puts the state into an untrained network or estimator, which must fit it exactly.

        Values may be of another precision than the network's own.

        Raises:
            BadFile: a tensor is unknown, missing, or of another shape; names them.
        """
        try:
            if isinstance(built, nn.Module):
                own = built.state_dict()
                check_shapes(self.state, {name: tuple(t.shape) for name, t in own.items()})
                built.load_state_dict(dict(self.state))
            else:
                built.restore({name: _array(t) for name, t in self.state.items()})
        except BadValue as error:
            raise BadFile(self.path, f"does not fit its own variant: {error}") from None


def check_shapes(found: Mapping[str, Any], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Refuses arrays or tensors that are not just those wanted, by name and by shape.

    Raises:
        BadValue: with up to three of those that are wrong.
    """
    wrong = [f"{name} is unknown" for name in found if name not in wanted]
    wrong += [f"{name} is missing" for name in wanted if name not in found]
    for name in sorted(wanted.keys() & found.keys()):
        shape = tuple(found[name].shape)
        if shape != wanted[name]:
            wrong.append(f"{name} has the shape {shape}, not {wanted[name]}")
    if wrong:
        more = "; ..." if len(wrong) > 3 else ""
        raise BadValue("tensors", "; ".join(wrong[:3]) + more, "just those of the variant")


# --- writing ---------------------------------------------------------------------------------


def save(keep: Keep, built: Any, sizes: Sizes, normaliser: Normaliser) -> None:
    """Writes a trained network or a fitted estimator, in one step.

    Raises:
        SerlabError: an estimator does not tell its state.
    """
    from safetensors.torch import save as packed

    statistics = normaliser.statistics if normaliser.mode == "train" else {}
    tensors = {_MODEL + name: value for name, value in state_of(built).items()}
    for pair, (mean, deviation) in statistics.items():
        tensors[_name("mean", *pair)] = torch.from_numpy(mean)
        tensors[_name("deviation", *pair)] = torch.from_numpy(deviation)
    text = _told(keep, sizes, tuple(f"{name}/{group}" for name, group in statistics))
    header = {"serlab": text, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    keep.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = keep.path.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_bytes(packed(tensors, header))
    temporary.replace(keep.path)


def state_of(built: Any) -> dict[str, Tensor]:  # as System.build
    """Copies of what was learnt, each in memory of its own."""
    if isinstance(built, nn.Module):
        return {k: t.cpu().clone(memory_format=_PLAIN) for k, t in built.state_dict().items()}
    if not isinstance(built, Kept):
        raise SerlabError(f"{type(built).__name__} cannot be kept: it has no state and restore")
    return {k: torch.from_numpy(np.array(a, order="C")) for k, a in built.state().items()}


def _told(keep: Keep, sizes: Sizes, normalised: tuple[str, ...]) -> str:
    """The facts as JSON text."""
    facts = Facts(
        spec=keep.spec,
        arm=keep.arm,
        fold=keep.fold,
        labels=keep.labels,
        sizes=sizes,
        normalised=normalised,
        sources=keep.sources,
        serlab=version("serlab"),
        threads=torch.get_num_threads(),
    )
    marks = {"schema": SCHEMA, "comparable": COMPARABLE, "trial": keep.spec.key}
    return json.dumps({**marks, **plain(facts)})


# --- reading ---------------------------------------------------------------------------------


def load(path: str | Path) -> Checkpoint:
    """The model that a file keeps.

    Raises:
        BadFile: it is missing, damaged, or was not written by serlab.
        NotComparable: it was written by a serlab whose models or results are not like these.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BadFile(path, f"is not readable as safetensors: {error}") from None
    told = _checked(path, header)
    state = {n.removeprefix(_MODEL): t for n, t in tensors.items() if n.startswith(_MODEL)}
    rest = {n: t for n, t in tensors.items() if not n.startswith(_MODEL)}
    try:
        facts = _facts(told)
        normaliser = _normaliser(facts, rest)
    except (KeyError, TypeError, SerlabError) as error:
        raise BadFile(path, f"does not fit what it says that it was trained as: {error}") from None
    return Checkpoint(path=path, facts=facts, state=state, normaliser=normaliser)


def _checked(path: Path, header: Mapping[str, str]) -> Any:  # JSON values of any shape
    """The facts as they were written, by a serlab that is like this one."""
    if "serlab" not in header:
        raise BadFile(path, "is no model that serlab has kept (its header has no facts of one)")
    text = header["serlab"]
    if hashlib.sha256(text.encode()).hexdigest() != header.get("sha256"):
        raise BadFile(path, "is damaged: the facts in its header are not those that were written")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise BadFile(path, "is damaged: the facts in its header are no table of JSON")
    for key, mine in (("schema", SCHEMA), ("comparable", COMPARABLE)):
        if told.get(key) != mine:
            raise NotComparable(
                f"{path}: was kept by serlab {told.get('serlab')} with {key} = {told.get(key)}; "
                f"this is serlab {version('serlab')} with {key} = {mine}"
            )
    return told


def _facts(told: Mapping[str, Any]) -> Facts:  # JSON values of any shape
    known = {f.name for f in fields(Facts)}
    facts: Facts = build(Facts, {k: v for k, v in told.items() if k in known}, "")
    if facts.spec.key != told.get("trial"):
        raise BadValue("trial", told.get("trial"), f"{facts.spec.key}, the key of its own spec")
    return facts


def _normaliser(facts: Facts, tensors: Mapping[str, Tensor]) -> Normaliser | None:
    """The normaliser of the training part; None where another must be fitted."""
    pairs = [(name, group) for name, _, group in (n.partition("/") for n in facts.normalised)]
    widths = facts.sizes.n_features
    both = ("mean", "deviation")
    wanted = {_name(what, *pair): (widths[pair[0]],) for pair in pairs for what in both}
    check_shapes(tensors, wanted)
    mode = facts.spec.protocol.normalisation
    if mode not in ("train", "none"):
        return None
    moments = {
        pair: (_array(tensors[_name("mean", *pair)]), _array(tensors[_name("deviation", *pair)]))
        for pair in pairs
    }
    return Normaliser(mode=mode, statistics=moments)


def _name(what: str, name: str, group: str) -> str:
    return f"{_NORMALISER}{what}/{name}/{group}"


def _array(tensor: Tensor) -> npt.NDArray[Any]:  # numbers of any type
    """The tensor's numbers, those below single precision in single precision."""
    small = tensor.is_floating_point() and tensor.element_size() < 4
    found: npt.NDArray[Any] = (tensor.float() if small else tensor).numpy()
    return found
