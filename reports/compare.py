"""Two runs of one study: what changed in them, and what that did to each arm.

An arm's difference is B - A in the study's metric, paired over speakers and seeds as the gate
pairs a candidate with its baseline. Runs that were not measured alike are not compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serlab.bench.statistics.cells import Undefined
from serlab.bench.statistics.differences import difference, holm_known, level_estimate
from serlab.bench.statistics.margins import equivalence
from serlab.bench.statistics.records import Estimate
from serlab.bench.store import Store
from serlab.reports.changes import Change, changes, environment, same_terms
from serlab.reports.effects import predictions, verdict
from serlab.reports.frame import load_frame
from serlab.reports.records import Arm, Block, Counts, Frame, Pooled, Verdict
from serlab.reports.words import marks_of, plural


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two runs."""

    path: str
    study: str
    created: str
    command: str
    counts: Counts
    uncommitted: bool
    """Whether it ran from a working tree with changes that no commit has."""


@dataclass(frozen=True, kw_only=True)
class ArmDifference:
    """What one arm has on one corpus in B above A."""

    arm: str
    corpus: str
    trainings_a: Counts
    trainings_b: Counts
    seeds: tuple[int, ...] = ()
    """Those that both have completed."""
    a: Estimate | None = None
    b: Estimate | None = None
    difference: Estimate | None = None
    identical: bool = False
    """Whether the scores of every utterance are the same bits."""
    p_holm: float | None = None
    p_equivalent_holm: float | None = None
    """Of a difference of the margin or more, up or down."""
    verdict: Verdict | None = None
    reason: str = ""
    """Why there is no difference, where there is none."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs beside each other."""

    a: Side
    b: Side
    metric: str
    margin: float
    """Of A's study, as the level is."""
    level: float
    marks: tuple[str, ...]
    """What must be said of these results wherever they are shown."""
    changes: tuple[Change, ...]
    only_a: tuple[str, ...]
    """Arms and corpora that B lacks."""
    only_b: tuple[str, ...]
    differences: tuple[ArmDifference, ...]


def compare_runs(a: Path, b: Path) -> Comparison:
    """What changed from run A to run B.

    The p values are adjusted (Holm) over all arms and corpora: together they answer whether
    anything changed.

    Raises:
        BadFile: there is no run in a folder, or one of its files is damaged.
        NotComparable: they were not measured alike, or tested unlike utterances.
        SerlabError: no training of a run has completed.
    """
    stores = Store.open(a), Store.open(b)
    corpora = same_terms(*stores)
    one, other = load_frame(a), load_frame(b)
    pairs = [(_block(one, name), _block(other, name)) for name in corpora]
    found = [row for pair in pairs for row in _of_corpus(*pair)]
    marks = (marks_of(block, block.arms) for pair in pairs for block in pair)
    return Comparison(
        a=_side(one, stores[0]),
        b=_side(other, stores[1]),
        metric=one.study.metric,
        margin=one.study.margin,
        level=one.study.level,
        marks=tuple(dict.fromkeys(mark for held in marks for mark in held)),
        changes=changes(*stores),
        only_a=_only(one, other),
        only_b=_only(other, one),
        differences=_judged(found, one.blocks[0]),
    )


def _block(frame: Frame, corpus: str) -> Block:
    return next(block for block in frame.blocks if block.corpus.name == corpus)


def _side(frame: Frame, store: Store) -> Side:
    study = frame.study
    return Side(
        path=str(frame.path),
        study=study.name,
        created=study.created,
        command=study.command,
        counts=frame.counts,
        uncommitted="true" in environment(store).get("git.dirty", ()),
    )


def _only(mine: Frame, theirs: Frame) -> tuple[str, ...]:
    """The corpora and arms that the other run lacks."""
    corpora = {block.corpus.name for block in theirs.blocks}
    arms = {arm.name for block in theirs.blocks for arm in block.arms}
    names = dict.fromkeys(arm.name for block in mine.blocks for arm in block.arms)
    return (
        *(f"corpus {b.corpus.name}" for b in mine.blocks if b.corpus.name not in corpora),
        *(f"arm {name}" for name in names if name not in arms),
    )


def _of_corpus(a: Block, b: Block) -> list[ArmDifference]:
    theirs = {arm.name: arm for arm in b.arms}
    return [_row(a, arm, theirs[arm.name]) for arm in a.arms if arm.name in theirs]


def _row(block: Block, a: Arm, b: Arm) -> ArmDifference:
    row = ArmDifference(
        arm=a.name, corpus=block.corpus.name, trainings_a=a.counts, trainings_b=b.counts
    )
    lost = _lost(a, b)
    if lost or a.pooled is None or b.pooled is None:
        return replace(row, reason=lost)
    seeds = tuple(seed for seed in a.pooled.seeds if seed in b.pooled.seeds)
    if not seeds:
        return replace(row, reason="the two share no seed whose folds all completed")
    name, level = block.study.metric, block.study.level
    pair = predictions(a.pooled, seeds), predictions(b.pooled, seeds)
    row = replace(row, seeds=seeds, identical=_identical(a.pooled, b.pooled, seeds))
    try:
        return replace(
            row,
            a=level_estimate(pair[0], metric=name, level=level),
            b=level_estimate(pair[1], metric=name, level=level),
            difference=difference(*pair, metric=name, level=level),
        )
    except Undefined as error:
        return replace(row, reason=str(error))


def _lost(a: Arm, b: Arm) -> str:
    """Why an arm is not compared: what failures have left of it is no fair sample of it."""
    for side, arm in (("A", a), ("B", b)):
        if arm.counts.spoiled:
            lost = plural(arm.counts.spoiled, "training")
            return f"{lost} of {arm.counts.planned} in {side} ended without a result"
        if arm.pooled is None:
            return f"no seed of {side} has all its folds completed"
    return ""


def _identical(a: Pooled, b: Pooled, seeds: Sequence[int]) -> bool:
    """Whether two arms said the same of every utterance, to the bit."""
    if a.ids != b.ids or a.scores.dtype != b.scores.dtype:
        return False
    rows = ((a.scores[a.seeds.index(s)], b.scores[b.seeds.index(s)]) for s in seeds)
    return all(x.tobytes() == y.tobytes() for x, y in rows)


def _judged(rows: Sequence[ArmDifference], block: Block) -> tuple[ArmDifference, ...]:
    """The rows with their verdicts at the study's margin, adjusted together."""
    found = [row.difference for row in rows]
    p_holm = holm_known([e.p if e else math.nan for e in found])
    margin = block.study.margin
    alike = holm_known([equivalence(e, margin).p if e else math.nan for e in found])
    return tuple(
        replace(row, p_holm=p, p_equivalent_holm=same, verdict=verdict(e, p, same, block))
        if e
        else row
        for row, e, p, same in zip(rows, found, p_holm, alike, strict=True)
    )
