"""What a figure of a look inside one training shows, of which arms, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from serlab.bench.insight import Insight
from serlab.reports.figure import Absent
from serlab.reports.kept import Kept
from serlab.reports.records import Arm, Block
from serlab.reports.words import clean, label, plural

Kind = Literal["embeddings", "maps", "weights"]
"""What of an Insight is asked for."""

MOST_UTTERANCES = 4
"""That a figure shows."""

_NONE: dict[Kind, str] = {
    "embeddings": "no embeddings are kept",
    "maps": "no attention is kept",
    "weights": "no weights of streams are kept",
}


@dataclass(frozen=True, kw_only=True)
class Inside:
    """An arm with what is kept of it."""

    arm: Arm
    kept: Kept
    held: Insight


def inside(block: Block, kind: Kind) -> Iterator[Inside]:
    """The arms of which that is kept, one after the other, the base first."""
    has: dict[Kind, Callable[[Insight], object]] = {
        "embeddings": lambda held: held.embeddings,
        "maps": lambda held: held.maps,
        "weights": lambda held: held.weights,
    }
    for arm in sorted(block.arms, key=lambda arm: not arm.is_base):
        if arm.insight is not None and has[kind](held := arm.insight.read()):
            yield Inside(arm=arm, kept=arm.insight, held=held)


def why_none(block: Block, kind: Kind) -> Absent:
    """Why no arm has any: the study keeps none, no training has completed, or none has it."""
    if not block.study.toml.get("insight"):
        reason = f"{_NONE[kind]}; add [insight] to the study"
        return Absent(reason=reason, notable=False)
    first = next((a for a in (block.base, *block.arms) if a and a.insight), None)
    if first is None or first.insight is None:
        reason = "the training that is looked into, of the first fold and seed, has not completed"
        return Absent(reason=f"{reason} for any arm")
    why = first.insight.read().absent.get(kind, _NONE[kind])
    asked = kind == "embeddings" and block.study.toml["insight"].get("embeddings", True)
    return Absent(reason=f"{label(first.name)}: {why}", notable=bool(asked))


def shown_of(block: Block, found: Inside, kept: int) -> str:
    """Which utterances of how many that are kept a figure shows, and of which training."""
    shown = plural(kept, "test utterance")
    if kept > MOST_UTTERANCES:
        shown = f"{MOST_UTTERANCES} of {shown}"
    rule = "the first by id" + " of each class in turn" * (block.corpus.target == "emotion")
    training = f"fold {clean(found.kept.fold)} with seed {found.kept.seed}"
    return f"{shown} ({rule}; training of {training})"
