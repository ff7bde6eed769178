"""What a change is worth over several corpora, and how much that varies between them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from serlab.bench.metrics.base import metric
from serlab.bench.statistics.cells import Undefined
from serlab.bench.statistics.corpora import Summary, across_corpora
from serlab.bench.statistics.differences import holm_known
from serlab.bench.statistics.margins import equivalence
from serlab.bench.statistics.ranks import LEAST_ARMS, LEAST_BLOCKS, Ranking, ranking
from serlab.bench.statistics.records import Estimate
from serlab.reports.csvtext import csv_text
from serlab.reports.effects import verdict
from serlab.reports.figure import Drawn
from serlab.reports.records import Arm, Block, Frame, Verdict
from serlab.reports.sentences import SYMBOLS
from serlab.reports.words import difference_in, interval, p_value


@dataclass(frozen=True, kw_only=True)
class Across:
    """One arm's differences from the base on every corpus, and their random-effects mean."""

    arm: Arm
    effects: Mapping[str, Estimate]
    """By corpus."""
    summary: Summary | None = None
    p_holm: float | None = None
    p_equivalent_holm: float | None = None
    """Of a difference of the margin or more, up or down."""
    verdict: Verdict | None = None
    reason: str = ""
    """Why there is no summary."""


def across(frame: Frame) -> tuple[Across, ...]:
    """The arms over all corpora; none where there is one only, or they are unlike."""
    if len(frame.blocks) < 2 or frame.unsummed:
        return ()
    rows = [_row(arm, frame) for arm in frame.blocks[0].others]
    p_values = holm_known([row.summary.p if row.summary else math.nan for row in rows])
    alike = holm_known([_p_equivalent(row, frame) for row in rows])
    return tuple(
        _judged(row, p, same, frame.blocks[0]) if row.summary else row
        for row, p, same in zip(rows, p_values, alike, strict=True)
    )


def _row(arm: Arm, frame: Frame) -> Across:
    found: dict[str, Estimate] = {}
    for block in frame.blocks:
        effect = next((a.effect for a in block.arms if a.name == arm.name), None)
        if effect is None:
            return Across(arm=arm, effects=found, reason=f"not compared on {block.corpus.name}")
        found[block.corpus.name] = effect.estimate
    try:
        summary = across_corpora(list(found.values()), level=frame.study.level)
    except Undefined as error:
        return Across(arm=arm, effects=found, reason=str(error))
    return Across(arm=arm, effects=found, summary=summary)


def _p_equivalent(row: Across, frame: Frame) -> float:
    return equivalence(row.summary, frame.study.margin).p if row.summary else math.nan


def _judged(row: Across, p_holm: float | None, p_same: float | None, block: Block) -> Across:
    assert row.summary is not None
    said = verdict(row.summary, p_holm, p_same, block)
    return replace(row, p_holm=p_holm, p_equivalent_holm=p_same, verdict=said)


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The arms by their mean rank over the corpora."""

    ranking: Ranking | None
    left_out: tuple[str, ...]
    """Arms that lack a result on some corpus."""
    reason: str = ""
    """Why there is no ranking."""

    @property
    def groups(self) -> Mapping[str, str]:
        """Numbers of the groups that each arm is in, such as "1, 2"; none is apart from all."""
        held = self.ranking
        if held is None:
            return {}
        return {
            arm: ", ".join(str(n) for n, group in enumerate(held.groups, 1) if arm in group)
            for arm in held.arms
        }


@dataclass(frozen=True, kw_only=True)
class Over:
    """What a run tells over all its corpora."""

    rows: tuple[Across, ...]
    ranked: Ranked | None
    figures: tuple[Drawn, ...] = ()


def ranked(frame: Frame) -> Ranked | None:
    """The ranking of all arms, base and baselines among them; None below five corpora."""
    if len(frame.blocks) < LEAST_BLOCKS or frame.unsummed:
        return None
    values, left_out = {}, []
    for name in dict.fromkeys(arm.name for block in frame.blocks for arm in block.arms):
        held = [_level(name, block) for block in frame.blocks]
        if None in held:
            left_out.append(name)
        else:
            values[name] = [value for value in held if value is not None]
    if len(values) < LEAST_ARMS:
        reason = f"a ranking takes {LEAST_ARMS} arms with results on every corpus"
        return Ranked(ranking=None, left_out=tuple(left_out), reason=reason)
    found = ranking(
        values,
        higher_is_better=metric(frame.study.metric).higher_is_better,
        alpha=1 - frame.study.level,
    )
    return Ranked(ranking=found, left_out=tuple(left_out))


def _level(name: str, block: Block) -> float | None:
    """The arm's value on a corpus, if all its trainings completed there."""
    arm = next((arm for arm in block.arms if arm.name == name), None)
    if arm is None or not arm.counts.whole or block.study.metric not in arm.scores:
        return None
    return arm.scores[block.study.metric].pooled.mean


def ranks_csv(ranks: Ranked) -> str:
    """Mean ranks and the adjusted p of every pair as CSV; empty where there is no ranking."""
    held, names = ranks.ranking, ranks.groups
    if held is None:
        return ""
    return csv_text(
        [
            {
                "arm": arm,
                "mean_rank": float(rank),
                "n_corpora": held.n_blocks,
                "critical_difference": held.critical_difference,
                "alpha": held.alpha,
                "p_friedman": held.p_friedman,
                "p_iman_davenport": held.p,
                "groups": names[arm],
                **{f"p against {o}": float(p) for o, p in zip(held.arms, row, strict=True)},
            }
            for arm, rank, row in zip(held.arms, held.mean_ranks, held.p_pairs, strict=True)
        ]
    )


def across_csv(rows: tuple[Across, ...]) -> str:
    """The rows as CSV, unrounded."""
    corpora = list(dict.fromkeys(name for row in rows for name in row.effects))
    table = []
    for row in rows:
        cells: dict[str, object] = {"arm": row.arm.name}
        for name in corpora:
            cells[f"difference on {name}"] = row.effects[name].mean if name in row.effects else None
        for key in ("mean", "low", "high", "p", "spread", "heterogeneity", "p_heterogeneity"):
            cells[key] = getattr(row.summary, key, None)
        cells |= {"p_holm": row.p_holm, "p_equivalent_holm": row.p_equivalent_holm}
        table.append({**cells, "note": row.reason})
    return csv_text(table)


# --- the page ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AcrossLine:
    """One arm over all corpora."""

    arm: Arm
    cells: tuple[str, ...]
    """The difference on each corpus."""
    mean: str
    p: str
    spread: str
    share: str
    p_equivalent: str
    symbol: str
    kind: str
    note: str


def across_line(row: Across, frame: Frame) -> AcrossLine:
    """One arm over all corpora, as text."""
    held, name = row.summary, frame.study.metric
    cells = tuple(interval(row.effects.get(block.corpus.name), sign=True) for block in frame.blocks)
    if held is None or row.verdict is None:
        return AcrossLine(arm=row.arm, cells=cells, mean="–", p="", spread="–", share="–",
                          p_equivalent="", symbol="·", kind="none", note=row.reason)  # fmt: skip
    return AcrossLine(
        arm=row.arm,
        cells=cells,
        mean=interval(held, sign=True),
        p=p_value(row.p_holm),
        p_equivalent=p_value(row.p_equivalent_holm),
        spread=difference_in(held.spread, name),
        share=f"{held.heterogeneity:.0%}".replace("%", " %"),
        symbol=SYMBOLS[row.verdict],
        kind=row.verdict.value,
        note="",
    )
