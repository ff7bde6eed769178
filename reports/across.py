"""What a change is worth over several corpora, and how much that varies between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from serlab.bench.statistics.cells import Undefined
from serlab.bench.statistics.corpora import Summary, across_corpora
from serlab.bench.statistics.differences import holm
from serlab.bench.statistics.records import Estimate
from serlab.reports.csvtext import csv_text
from serlab.reports.effects import verdict
from serlab.reports.records import Arm, Block, Frame, Verdict


@dataclass(frozen=True, kw_only=True)
class Across:
    """One arm's differences from the base on every corpus, and their random-effects mean."""

    arm: Arm
    effects: Mapping[str, Estimate]
    """By corpus."""
    summary: Summary | None = None
    p_holm: float | None = None
    verdict: Verdict | None = None
    reason: str = ""
    """Why there is no summary."""


def across(frame: Frame) -> tuple[Across, ...]:
    """The arms over all corpora; none where the run has one corpus only."""
    if len(frame.blocks) < 2:
        return ()
    rows = [_row(arm, frame) for arm in frame.blocks[0].others]
    adjusted = iter(holm([row.summary.p for row in rows if row.summary]))
    return tuple(
        _judged(row, next(adjusted), frame.blocks[0]) if row.summary else row for row in rows
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


def _judged(row: Across, p_holm: float, block: Block) -> Across:
    assert row.summary is not None
    return replace(row, p_holm=p_holm, verdict=verdict(row.summary, p_holm, block))


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
        table.append({**cells, "p_holm": row.p_holm, "note": row.reason})
    return csv_text(table)
