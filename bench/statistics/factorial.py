"""What each of several changes is worth, from the arms of a full factorial of them.

Every change is made or not, and there is an arm for each set of changes: 2^n arms of the same
utterances and seeds, with f(set) an arm's metric. An effect is a weighted sum of the f, so it has
a (speaker, seed) table, the same sum of the arms' tables, and the interval of any such table.

- The main effect of a change is f(with it) - f(without it), averaged over the sets of the others.
- The interaction of two is f(11) - f(10) - f(01) + f(00), averaged likewise: what both together
  are worth beyond the sum of what each alone is. There is no further factor of a half.
- The Shapley value of a change is f(set and it) - f(set), averaged over all orders in which the
  changes might have been made (Shapley, "A value for n-person games", Contributions to the Theory
  of Games II, 1953). The values add up to f(all changes) - f(none).
- A greedy ladder makes the changes in one order, and so tells of that order alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from serlab.bench.errors import BadValue
from serlab.bench.statistics.crossed import crossed_interval
from serlab.bench.statistics.differences import holm_known, noted, paired_tables
from serlab.bench.statistics.records import ArmPredictions, Estimate, Floats

Changes = frozenset[str]
"""The changes that an arm makes; none for the base."""

Weights = Mapping[Changes, float]
"""Of each arm in a sum; an arm that is not named has 0."""


@dataclass(frozen=True, kw_only=True)
class Factorial:
    """The (speaker, seed) tables of all arms of a full factorial."""

    changes: tuple[str, ...]
    tables: Mapping[Changes, Floats]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Term:
    """What one change, or two together, are worth; ``p_holm`` is adjusted within its kind."""

    changes: tuple[str, ...]
    estimate: Estimate
    p_holm: float | None


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of a ladder: a change made on top of the earlier ones."""

    change: str
    validation: float
    """The score on validation speakers once it is made."""
    gain: float
    """Of that score over the rung before; what the change was chosen by."""
    test: Term
    """The difference to the rung before on the test speakers."""


def contrast(
    arms: Sequence[ArmPredictions],
    weights: Sequence[float],
    *,
    metric: str,
    level: float = 0.95,
) -> Estimate:
    """A weighted sum of the arms' metrics, paired over speakers and seeds.

    Raises:
        BadValue: not one weight for each of two arms or more, or weights that are no numbers.
        NotComparable: the arms differ in utterances, speakers, truths, classes or folds, or
            share no seed.
        UnknownName: no metric has this name.
    """
    if len(arms) < 2 or len(arms) != len(weights) or not np.isfinite(weights).all():
        raise BadValue("weights", list(weights), f"a number for each of {len(arms)} arms")
    tables, notes = paired_tables(arms, metric)
    values = np.tensordot(np.asarray(weights, np.float64), tables, axes=1)
    return noted(crossed_interval(values, level=level), *notes)


def factorial(
    arms: Mapping[Changes, ArmPredictions], changes: Sequence[str], *, metric: str
) -> Factorial:
    """The tables of a full factorial's arms, over the seeds that all of them have.

    Args:
        arms: by the changes that each makes.
        changes: all of them, in the order in which they are told.
        metric: its name.

    Raises:
        BadValue: fewer than two changes, or an arm that is missing.
        NotComparable, UnknownName: as for `contrast`.
    """
    if len(changes) < 2 or len(set(changes)) < len(changes):
        raise BadValue("changes", list(changes), "two different ones or more")
    sets = list(_sets(changes))
    for one in sets:
        if one not in arms:
            raise BadValue("arms", sorted(one), "an arm with these changes")
    tables, notes = paired_tables([arms[one] for one in sets], metric)
    return Factorial(
        changes=tuple(changes), tables=dict(zip(sets, tables, strict=True)), notes=notes
    )


def total(held: Factorial, *, level: float = 0.95) -> Estimate:
    """What all changes together are worth: f(all of them) - f(none)."""
    return _estimate(held, {Changes(held.changes): 1.0, Changes(): -1.0}, level)


def main_effects(held: Factorial, *, level: float = 0.95) -> tuple[Term, ...]:
    """The main effect of each change."""
    return _terms(held, _products(held, 1), level)


def interactions(held: Factorial, *, level: float = 0.95) -> tuple[Term, ...]:
    """The interaction of each two changes."""
    return _terms(held, _products(held, 2), level)


def shapley_values(held: Factorial, *, level: float = 0.95) -> tuple[Term, ...]:
    """The Shapley value of each change; together they are `total`."""
    named: dict[tuple[str, ...], Weights] = {
        (one,): shapley_weights(held.changes, one) for one in held.changes
    }
    return _terms(held, named, level)


def ladder(
    held: Factorial,
    validation: Mapping[Changes, float],
    *,
    higher_is_better: bool = True,
    level: float = 0.95,
) -> tuple[Rung, ...]:
    """From no change to all, each time the change whose validation score is the best.

    The order comes of validation scores alone, and another order might tell otherwise. Where
    folds rotate, validation speakers of one fold are test speakers of another.

    Args:
        held: the factorial.
        validation: each arm's score on validation speakers.
        higher_is_better: of that score.
        level: of the intervals.

    Raises:
        BadValue: an arm has no score, or one that is no number.
    """
    for one in held.tables:
        score = validation.get(one, math.nan)
        if not math.isfinite(score):
            raise BadValue(f"validation[{sorted(one)}]", score, "a score for every arm")
    sign = 1.0 if higher_is_better else -1.0
    made: Changes = Changes()
    steps: list[tuple[str, Changes]] = []
    while left := [one for one in held.changes if one not in made]:
        best = max(left, key=lambda one: sign * validation[made | {one}])
        steps.append((best, made))
        made |= {best}
    tests = _terms(held, {(one,): {at | {one}: 1.0, at: -1.0} for one, at in steps}, level)
    return tuple(
        Rung(
            change=one,
            validation=validation[at | {one}],
            gain=validation[at | {one}] - validation[at],
            test=test,
        )
        for (one, at), test in zip(steps, tests, strict=True)
    )


def product_weights(changes: Sequence[str], chosen: Sequence[str]) -> dict[Changes, float]:
    """Weights of a main effect (one chosen) or an interaction (two of them).

    Example:
        >>> [product_weights("ab", "ab")[frozenset(one)] for one in ("", "a", "b", "ab")]
        [1.0, -1.0, -1.0, 1.0]
    """
    share = 2.0 ** (len(chosen) - len(changes))
    return {
        one: share * math.prod(1 if change in one else -1 for change in chosen)
        for one in _sets(changes)
    }


def shapley_weights(changes: Sequence[str], change: str) -> dict[Changes, float]:
    """Weights of a Shapley value: |S|! (n - |S| - 1)! / n! of f(S and it) - f(S).

    Example:
        >>> [shapley_weights("ab", "a")[frozenset(one)] for one in ("", "a", "b", "ab")]
        [-0.5, 0.5, -0.5, 0.5]
    """
    n = len(changes)
    found = {}
    for one in _sets([other for other in changes if other != change]):
        orders = math.factorial(len(one)) * math.factorial(n - len(one) - 1)
        found[one] = -orders / math.factorial(n)
        found[one | {change}] = orders / math.factorial(n)
    return found


def _sets(changes: Sequence[str]) -> Iterator[Changes]:
    for size in range(len(changes) + 1):
        yield from map(Changes, combinations(changes, size))


def _products(held: Factorial, size: int) -> dict[tuple[str, ...], Weights]:
    chosen = combinations(held.changes, size)
    return {some: product_weights(held.changes, some) for some in chosen}


def _terms(
    held: Factorial, named: Mapping[tuple[str, ...], Weights], level: float
) -> tuple[Term, ...]:
    estimates = [_estimate(held, weights, level) for weights in named.values()]
    adjusted = holm_known([estimate.p for estimate in estimates])
    return tuple(
        Term(changes=changes, estimate=estimate, p_holm=p)
        for changes, estimate, p in zip(named, estimates, adjusted, strict=True)
    )


def _estimate(held: Factorial, weights: Weights, level: float) -> Estimate:
    values = sum(weight * held.tables[one] for one, weight in weights.items())
    return noted(crossed_interval(np.asarray(values), level=level), *held.notes)
