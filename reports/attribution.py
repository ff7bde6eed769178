"""What the changes of a grid study are worth, as records; reports/factorial.py makes them."""

from __future__ import annotations

from dataclasses import dataclass

from serlab.bench.statistics.factorial import Rung, Term
from serlab.bench.statistics.records import Estimate


@dataclass(frozen=True, kw_only=True)
class Attribution:
    """What the changes of one corpus's grid are worth."""

    total: Estimate
    """All changes together against the base."""
    shapley: tuple[Term, ...]
    effects: tuple[Term, ...]
    """Main effects, then interactions of two."""
    base_validation: float
    rungs: tuple[Rung, ...]
    """Empty where there are no validation scores to climb by."""
    no_ladder: str
    """Why there is none."""


@dataclass(frozen=True, kw_only=True)
class NoAttribution:
    """Why a grid study has no attribution."""

    reason: str
