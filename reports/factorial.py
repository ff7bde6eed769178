"""What each change of a grid study is worth: Shapley values, main effects, interactions, a ladder.

For a grid whose arms are a full factorial: two levels of each slot or hyperparameter that varies,
the base's and another, and an arm for every combination.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from serlab.bench.contracts import Part, Scalar
from serlab.bench.metrics.base import evaluate, metric
from serlab.bench.statistics.factorial import (
    Changes,
    Factorial,
    Rung,
    Term,
    factorial,
    interactions,
    ladder,
    main_effects,
    shapley_values,
    total,
)
from serlab.bench.store import Store
from serlab.reports.attribution import Attribution, NoAttribution
from serlab.reports.csvtext import csv_text
from serlab.reports.effects import predictions
from serlab.reports.records import Arm, Block
from serlab.reports.words import (
    difference_in,
    interval,
    label,
    listed,
    number,
    p_value,
    title_of,
)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The arms of a full factorial by the changes of the base that each makes."""

    changes: tuple[str, ...]
    """Such as "pooling=mean"."""
    arms: Mapping[Changes, Arm]


def attribution_of(block: Block, store: Store) -> Attribution | NoAttribution | None:
    """The attribution of a grid study, or why it has none; None for other designs.

    Raises:
        BadFile: predictions are missing or damaged.
    """
    grid = grid_of(block)
    if grid is None or isinstance(grid, NoAttribution):
        return grid
    name, level = block.study.metric, block.study.level
    held = factorial(
        {
            made: predictions(arm.pooled, arm.pooled.seeds)
            for made, arm in grid.arms.items()
            if arm.pooled
        },
        grid.changes,
        metric=name,
    )
    seeds = set.intersection(*(set(arm.pooled.seeds) for arm in grid.arms.values() if arm.pooled))
    scores = {made: validation_score(arm, seeds, block, store) for made, arm in grid.arms.items()}
    rungs, no_ladder = _climbed(held, scores, block)
    return Attribution(
        total=total(held, level=level),
        shapley=shapley_values(held, level=level),
        effects=(*main_effects(held, level=level), *interactions(held, level=level)),
        base_validation=scores[Changes()],
        rungs=rungs,
        no_ladder=no_ladder,
    )


def grid_of(block: Block) -> Grid | NoAttribution | None:
    """The full factorial that the arms are, or why they are none; None for other designs."""
    base = block.base
    if block.study.design != "grid" or base is None:
        return None
    cells = [arm for arm in block.arms if arm.kind != "baseline" and arm.system == base.system]
    told = {arm.name: _values(arm) for arm in cells}
    levels = {key: {values.get(key) for values in told.values()} for key in told[base.name]}
    varied = [key for key, held in levels.items() if len(held) > 1]
    for key in varied:
        if len(levels[key]) > 2:
            reason = f"{key} has {len(levels[key])} levels, and attribution takes two of each"
            return NoAttribution(reason=reason)
    if len(varied) < 2:
        return NoAttribution(reason="it takes two changes or more, each with and without the other")
    found: dict[Changes, Arm] = {}
    for arm in cells:
        found.setdefault(_made(told[arm.name], told[base.name], varied), arm)
    changes = tuple(
        next(f"{key}={values[key]}" for values in told.values() if values[key] != own)
        for key, own in told[base.name].items()
        if key in varied
    )
    return _complete(Grid(changes=changes, arms=found))


def _values(arm: Arm) -> dict[str, Scalar]:
    return {**arm.settings, **arm.options}


def _made(mine: Mapping[str, Scalar], base: Mapping[str, Scalar], varied: Sequence[str]) -> Changes:
    return Changes(f"{key}={mine[key]}" for key in varied if mine[key] != base[key])


def _complete(grid: Grid) -> Grid | NoAttribution:
    """The grid, if every combination has an arm that was compared with the base."""
    for size in range(1, len(grid.changes) + 1):
        for made in combinations(grid.changes, size):
            arm = grid.arms.get(Changes(made))
            if arm is None:
                return NoAttribution(
                    reason=f"the arms are no full factorial: none makes {label(', '.join(made))}"
                )
            if arm.effect is None:
                return NoAttribution(reason=f"{label(arm.name)} is not compared: {arm.no_effect}")
    return grid


def validation_score(arm: Arm, seeds: Container[int], block: Block, store: Store) -> float:
    """The study's metric on validation speakers, mean over seeds and folds; nan without any."""
    values = []
    for key in (key for seed, key in arm.trials if seed in seeds):
        for fold in block.corpus.folds:
            held = store.predictions(f"{key}-{fold}")
            rows = [i for i, part in enumerate(held.parts) if part == Part.VALIDATION]
            if not rows:
                return math.nan
            values.append(evaluate(block.study.metric, held.truth[rows], held.scores[rows]))
    return float(np.mean(values)) if values else math.nan


def _climbed(
    held: Factorial, scores: Mapping[Changes, float], block: Block
) -> tuple[tuple[Rung, ...], str]:
    if not all(math.isfinite(score) for score in scores.values()):
        return (), "no validation speakers score every arm, and tests must not choose the order"
    up = metric(block.study.metric).higher_is_better
    return ladder(held, scores, higher_is_better=up, level=block.study.level), ""


# --- files ---------------------------------------------------------------------------------


def write_attribution(
    found: Attribution, block: Block, folder: Path, prefix: str
) -> tuple[str, ...]:
    """Writes the tables as CSV and returns the files' names."""
    tables = {
        f"{prefix}attribution.csv": _shapley_rows(found, block),
        f"{prefix}interactions.csv": [
            {"kind": kind_of(term)} | _numbers(term, block) for term in found.effects
        ],
        f"{prefix}ladder.csv": _ladder_rows(found, block),
    }
    written = {name: rows for name, rows in tables.items() if rows}
    for name, rows in written.items():
        folder.joinpath(name).write_text(csv_text(rows), encoding="utf-8", newline="")
    return tuple(written)


def kind_of(term: Term) -> str:
    """What an effect is of: one change or two."""
    return "main effect" if len(term.changes) == 1 else "interaction"


def name_of(term: Term) -> str:
    """Its changes, as they are shown."""
    return " × ".join(label(change) for change in term.changes)


def _shapley_rows(found: Attribution, block: Block) -> list[dict[str, object]]:
    whole = Term(changes=("all changes",), estimate=found.total, p_holm=None)
    return [
        *({"kind": "Shapley value"} | _numbers(term, block) for term in found.shapley),
        {"kind": "total"} | _numbers(whole, block),
    ]


def _ladder_rows(found: Attribution, block: Block) -> list[dict[str, object]]:
    return [
        {"step": step, "order_dependent": True, "validation": rung.validation, "gain": rung.gain}
        | _numbers(rung.test, block)
        for step, rung in enumerate(found.rungs, 1)
    ]


def _numbers(term: Term, block: Block) -> dict[str, object]:
    estimate = term.estimate
    return {
        "change": name_of(term),
        "corpus": block.corpus.name,
        "synthetic": block.corpus.synthetic,
        "leaks": "; ".join(block.corpus.leaks),
        "metric": block.study.metric,
        "value": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "level": estimate.level,
        "p": estimate.p,
        "p_holm": term.p_holm,
        "df": estimate.df,
        "n_speakers": estimate.n_speakers,
        "n_seeds": estimate.n_seeds,
        "note": estimate.note,
    }


# --- the page ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Line:
    """One row of a table as text; ``strong`` where it is separable from 0."""

    name: str
    cells: tuple[str, ...]
    strong: bool = False


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What the page prints of an attribution."""

    sentence: str
    shapley: tuple[Line, ...]
    effects: tuple[Line, ...]
    ladder: tuple[Line, ...]
    notes: tuple[str, ...]


def lines_of(found: Attribution, block: Block) -> Lines:
    """The attribution as text."""
    first = Line(name="base", cells=(number(found.base_validation), "", "", ""))
    return Lines(
        sentence=_sentence(found, block),
        shapley=(
            *(_line(term, block) for term in found.shapley),
            Line(name="all changes together", cells=(interval(found.total, sign=True), "")),
        ),
        effects=tuple(_line(term, block) for term in found.effects),
        ladder=(first, *(_rung(rung, block) for rung in found.rungs)) if found.rungs else (),
        notes=tuple(dict.fromkeys(filter(None, (found.total.note, found.no_ladder)))),
    )


def _line(term: Term, block: Block) -> Line:
    cells = (interval(term.estimate, sign=True), p_value(term.p_holm))
    return Line(name=name_of(term), cells=cells, strong=_separable(term, block))


def _rung(rung: Rung, block: Block) -> Line:
    scores = (number(rung.validation), number(rung.gain, sign=True))
    return Line(
        name=f"+ {name_of(rung.test)}",
        cells=(*scores, *_line(rung.test, block).cells),
        strong=_separable(rung.test, block),
    )


def _separable(term: Term, block: Block) -> bool:
    return term.p_holm is not None and term.p_holm < 1 - block.study.level


def _sentence(found: Attribution, block: Block) -> str:
    name = block.study.metric
    shown = [term for term in found.shapley if _separable(term, block)]
    together = [
        f"{name_of(term)} ({difference_in(term.estimate.mean, name, sign=True)})"
        for term in found.effects
        if len(term.changes) == 2 and _separable(term, block)
    ]
    share = "no change's share is separable from 0"
    if shown:
        largest = max(shown, key=lambda term: abs(term.estimate.mean))
        size = difference_in(largest.estimate.mean, name, sign=True)
        share = f"the largest that is shown is that of {name_of(largest)}, {size}"
    beyond = "No interaction of two changes is shown."
    if together:
        beyond = f"Shown to work together or against each other: {listed(together)}."
    return (
        f"All {len(found.shapley)} changes together are worth {title_of(name)} "
        f"{interval(found.total, sign=True)}; {share}. {beyond}"
    )
