"""What a search varied: its trials as points of a space of options and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from serlab.bench.contracts import Scalar
from serlab.bench.statistics.records import Floats
from serlab.reports.records import Block, SearchPoint


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One option or setting that differs between the trials."""

    name: str
    levels: tuple[str, ...]
    """The values, sorted, of what is no number; empty for numbers."""
    log: bool
    values: Floats
    """Of each trial, (trial,): a number, or the place among the levels."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """The first trial of every variant that came to a score."""

    points: tuple[SearchPoint, ...]
    dimensions: tuple[Dimension, ...]
    """In the order of the study's search space."""
    n_lost: int
    """Trials without a score, or whose variant is not known."""
    n_again: int
    """Trials of a variant that an earlier trial had."""

    @property
    def scores(self) -> Floats:
        """On validation speakers, (trial,)."""
        return np.array([p.value for p in self.points], np.float64)


def space_of(block: Block) -> Space:
    """The trials of a block's search; without dimensions where they do not differ."""
    held = [p for p in block.search if p.value is not None and p.choices]
    first: dict[str, SearchPoint] = {}
    for point in held:
        first.setdefault(point.arm, point)
    points = tuple(first.values())
    asked = (block.study.toml.get("search") or {}).get("space") or {}
    names = dict.fromkeys([*asked, *(name for p in points for name in p.choices)])
    found = (_dimension(name, [p.choices.get(name) for p in points], asked) for name in names)
    return Space(
        points=points,
        dimensions=tuple(d for d in found if d is not None),
        n_lost=len(block.search) - len(held),
        n_again=len(held) - len(points),
    )


def _dimension(
    name: str, values: Sequence[Scalar | None], asked: Mapping[str, Any]
) -> Dimension | None:
    if len(set(values)) < 2:
        return None
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values):
        levels = tuple(sorted({str(v) for v in values}))
        places = np.array([levels.index(str(v)) for v in values], np.float64)
        return Dimension(name=name, levels=levels, log=False, values=places)
    table = asked.get(name)
    log = bool(table.get("log")) if isinstance(table, Mapping) else False
    return Dimension(
        name=name, levels=(), log=log and min(numbers) > 0, values=np.array(numbers, np.float64)
    )
