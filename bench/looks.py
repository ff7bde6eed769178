"""A look inside a trained network: its embeddings, and where it looks in a few test utterances.

Nothing here trains, and nothing decides. Beside the trained network stands a control of the same
settings, drawn anew and never trained: what both show is the architecture's doing, as Adebayo et
al. (NeurIPS 2018) ask of any such map.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from serlab.bench.contracts import Part, Utterance
from serlab.bench.data import Items
from serlab.bench.insight import AttentionMap, Embeddings, Insight, StreamWeights
from serlab.bench.predict import embed
from serlab.bench.views import View, views

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What of a training is looked at, and where it is kept."""

    path: Path
    embeddings: bool
    """Whether the embeddings of all three parts are kept."""
    utterances: int
    """How many test utterances are shown."""


def insight_of(
    look: Look,
    built: Any,  # as System.build
    control: Callable[[], nn.Module],
    parts: Mapping[Part, Items],
    device: torch.device,
) -> Insight:
    """What is asked of a training, or the reasons why there is none.

    Args:
        look: what is asked.
        built: the trained network or the fitted estimator.
        control: makes the untrained network.
        parts: the items of the three parts; only utterances of the test part are shown.
        device: where the networks are.
    """
    if not isinstance(built, nn.Module):
        none = "an estimator is no network: nothing inside it could be shown"
        return Insight(absent=dict.fromkeys(("embeddings", "maps", "weights"), none))
    absent: dict[str, str] = {}
    embeddings = None
    if look.embeddings:
        embeddings = _tried(lambda: embeddings_of(built, parts, device), absent, "embeddings")
    else:
        absent["embeddings"] = "not asked for (insight.embeddings = false)"
    pairs: Sequence[_Pair] | None = None
    if look.utterances:
        test = parts[Part.TEST]
        shown = chosen(test, look.utterances)
        pairs = _tried(lambda: _pairs(test, shown, built, control, device), absent, "maps")
        absent |= {"weights": absent["maps"]} if pairs is None else {}
    else:
        absent |= dict.fromkeys(("maps", "weights"), "not asked for (insight.utterances = 0)")
    maps, weights = None, None
    if pairs is not None:
        maps = _tried(lambda: _maps(pairs, absent), absent, "maps")
        weights = _tried(lambda: _weights(pairs, absent), absent, "weights")
    return Insight(embeddings=embeddings, maps=maps or (), weights=weights or (), absent=absent)


def _tried(make: Callable[[], T], absent: dict[str, str], what: str) -> T | None:
    """What is made; where that fails, the reason goes to what is absent: the training stands."""
    try:
        return make()
    except Exception as error:
        absent[what] = f"{type(error).__name__}: {error}"
        return None


def embeddings_of(
    network: nn.Module, parts: Mapping[Part, Items], device: torch.device
) -> Embeddings:
    """What an adversary acts on, or would, for the scored utterances of the parts."""
    held = {part: parts[part] for part in Part if parts[part].scored}
    rows = [(part, u) for part, items in held.items() for u in items.scored]
    return Embeddings(
        ids=tuple(u.id for _, u in rows),
        speakers=tuple(u.speaker for _, u in rows),
        emotions=tuple(u.emotion or "" for _, u in rows),
        parts=tuple(part.value for part, _ in rows),
        values=np.concatenate([embed(network, items, device) for items in held.values()]),
    )


def chosen(items: Items, n: int) -> list[Utterance]:
    """So many scored utterances, by a rule that no result decides.

    The first by id of each class in turn, then the second of each; where traces are recognised,
    the first by id.
    """
    ordered = sorted(items.scored, key=lambda u: u.id)
    if items.rated:
        return ordered[:n]
    classes = [[u for u in ordered if u.emotion == label] for label in items.labels]
    turns = range(max(map(len, classes), default=0))
    return [held[k] for k in turns for held in classes if k < len(held)][:n]


# --- maps and weights ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """An utterance as both networks see it."""

    utterance: Utterance
    items: Items
    trained: View
    random: View


def _pairs(
    items: Items,
    shown: Sequence[Utterance],
    built: nn.Module,
    control: Callable[[], nn.Module],
    device: torch.device,
) -> list[_Pair]:
    held = alone(items, shown)
    trained, random = (views(one, held, device) for one in (built, control()))
    return [
        _Pair(utterance=u, items=held, trained=trained[u.id], random=random[u.id]) for u in shown
    ]


def alone(items: Items, shown: Sequence[Utterance]) -> Items:
    """The items of these utterances; of all of their dialogues where they are read in these."""

    def group(u: Utterance) -> str:
        return (u.dialogue if items.segments.dialogues else None) or u.id

    wanted = {group(u) for u in shown}
    scored = [u for u in items.scored if group(u) in wanted]
    context = [u for u in items.utterances[len(items.scored) :] if group(u) in wanted]
    return replace(items, utterances=(*scored, *context), n_context=len(context))


def _maps(pairs: Sequence[_Pair], absent: dict[str, str]) -> tuple[AttentionMap, ...]:
    """The maps of all inputs that are looked at, but where a network looks nowhere at all."""
    found, blind = [], []
    for pair in pairs:
        for name in pair.trained.maps:
            both = pair.trained.maps[name], pair.random.maps[name]
            if all(one.any() for one in both):
                found.append(_map(pair, name))
            else:
                which = "trained" if both[1].any() else "untrained"
                blind.append(f"the {which} network looks nowhere in {pair.utterance.id}")
    if blind or not found:
        absent["maps"] = "; ".join(blind) or "this network tells of no input that it attends to"
    return tuple(found)


def _map(pair: _Pair, name: str) -> AttentionMap:
    u, items = pair.utterance, pair.items
    return AttentionMap(
        id=u.id,
        speaker=u.speaker,
        emotion=u.emotion or "",
        said="" if items.rated else items.labels[pair.trained.said],
        input=name,
        hop_s=1 / items.rates[name],
        seen=items.normaliser(name, u, items.arrays[name][u.id]),
        trained=pair.trained.maps[name].astype(np.float32),
        random=pair.random.maps[name].astype(np.float32),
    )


def _weights(pairs: Sequence[_Pair], absent: dict[str, str]) -> tuple[StreamWeights, ...]:
    """The weights of the streams, where the network weighs some."""
    found = [
        StreamWeights(
            id=pair.utterance.id,
            speaker=pair.utterance.speaker,
            streams=pair.trained.streams,
            hop_s=pair.trained.hop_s,
            trained=pair.trained.shares.astype(np.float32),
            random=pair.random.shares.astype(np.float32),
        )
        for pair in pairs
        if pair.trained.shares is not None and pair.random.shares is not None
    ]
    if not found:
        absent["weights"] = "this network weighs no streams"
    return tuple(found)
