"""The ablation table as CSV and Markdown files; reports/paper.py has it for LaTeX."""

from __future__ import annotations

import math
from pathlib import Path

from serlab.reports.csvtext import csv_text
from serlab.reports.meters import Metered, Value
from serlab.reports.records import Arm, Block
from serlab.reports.tables import PROBE, Table, columns_of, note_of, table_of
from serlab.reports.words import markdown_text

METERED = {
    "macs": "macs",
    "latency_p50": "latency_p50_ms",
    "latency_p90": "latency_p90_ms",
    "throughput": "utterances_per_s",
    "rtf": "rtf",
    "rtf_with_features": "rtf_with_features",
    "train_p50": "train_step_p50_ms",
    "peak_memory": "call_peak_memory_bytes",
}
"""Columns of the table's CSV that are of the meters; meters.csv has all of them."""


def write_tables(block: Block, folder: Path, stem: str) -> tuple[str, ...]:
    """Writes the table in its two forms and returns the files' names."""
    table = table_of(block)
    texts = {
        f"{stem}.csv": csv_table(block),
        f"{stem}.md": markdown(table),
    }
    for name, text in texts.items():
        folder.joinpath(name).write_text(text, encoding="utf-8", newline="")
    return tuple(texts)


def csv_table(block: Block) -> str:
    """The table as plain numbers, one row an arm."""
    return csv_text([_numbers(arm, block) for arm in block.arms])


def _of_arm(arm: Arm, block: Block) -> dict[str, object]:
    return {
        "corpus": block.corpus.name,
        "synthetic": block.corpus.synthetic,
        "split": block.corpus.split,
        "leaks": "; ".join(block.corpus.leaks),
        "arm": arm.name,
        "transductive": arm.transductive,
        "kind": "base" if arm.is_base else arm.kind,
        "completed": arm.counts.completed,
        "planned": arm.counts.planned,
        "note": note_of(arm),
    }


def _numbers(arm: Arm, block: Block) -> dict[str, object]:
    row = _of_arm(arm, block)
    for column in columns_of(block):
        held = column.of(arm)
        row[column.key] = held.mean if held else None
        row[f"{column.key}_low"] = held.low if held else None
        row[f"{column.key}_high"] = held.high if held else None
        if not column.dimension:
            score = arm.scores.get(column.metric)
            folds = score.folds if score and math.isfinite(score.folds.mean) else None
            row[f"{column.key}_fold_mean"] = folds.mean if folds else None
            row[f"{column.key}_fold_sd"] = folds.sd if folds else None
    note = {"note": row.pop("note")}
    return row | _effect_numbers(arm) | _cost_numbers(arm) | note


def _effect_numbers(arm: Arm) -> dict[str, object]:
    effect = arm.effect
    return {
        "difference": effect.estimate.mean if effect else None,
        "difference_low": effect.estimate.low if effect else None,
        "difference_high": effect.estimate.high if effect else None,
        "p": effect.estimate.p if effect else None,
        "p_holm": effect.p_holm if effect else None,
        "p_equivalent": effect.p_equivalent if effect else None,
        "p_equivalent_holm": effect.p_equivalent_holm if effect else None,
        "df": effect.estimate.df if effect else None,
        "n_speakers": effect.estimate.n_speakers if effect else None,
        "n_seeds": effect.estimate.n_seeds if effect else None,
        "verdict": effect.verdict.value if effect else None,
        "more_seeds": effect.more_seeds.more if effect and effect.more_seeds else None,
        "more_speakers": effect.more_speakers.more if effect and effect.more_speakers else None,
    }


def _cost_numbers(arm: Arm) -> dict[str, object]:
    row: dict[str, object] = {
        "parameters": arm.n_parameters,
        **{column: arm.meters.get(name).value for name, column in METERED.items()},
        "latency_p50_low_ms": arm.meters.get("latency_p50").low,
        "latency_p50_high_ms": arm.meters.get("latency_p50").high,
        "n_processes": arm.meters.headline.n_processes if arm.meters.headline else None,
    }
    for name, held in arm.measured.items():
        row[f"{name}_median_{held.unit}"] = held.median
    if PROBE in arm.measured:
        row[f"{PROBE}_p10"] = arm.measured[PROBE].low
        row[f"{PROBE}_p90"] = arm.measured[PROBE].high
    return row


def write_meters(block: Block, folder: Path, stem: str) -> tuple[str, ...]:
    """Writes every measurement of every cell as CSV; returns the file's name, if there is one."""
    rows = [
        row for arm in block.arms for cell in arm.meters.cells for row in _cell(arm, cell, block)
    ]
    if not rows:
        return ()
    name = f"{stem}.csv"
    folder.joinpath(name).write_text(csv_text(rows), encoding="utf-8", newline="")
    return (name,)


def _cell(arm: Arm, cell: Metered, block: Block) -> list[dict[str, object]]:
    where = _of_arm(arm, block) | vars(cell.conditions) | {"uncounted": "; ".join(cell.uncounted)}
    phases = {f"phase_{name}": value for name, value in cell.phases.items()}
    lost = [("failed", Value(value=None, unit="", reason=why)) for why in cell.failures]
    columns = ("value", "unit", "low", "high", "smallest", "largest", "reason")
    return [
        {**where, "measurement": name, "n_processes": held.n}
        | {column: getattr(held, column) for column in columns}
        for name, held in (*(phases | dict(cell.values)).items(), *lost)
    ]


def markdown(table: Table) -> str:
    """The table for a pull request or a README."""
    lines = [
        f"| {' | '.join(markdown_text(h) for h in table.heading)} |",
        f"|{'|'.join(['---', *['---:'] * (len(table.heading) - 2), '---'])}|",
    ]
    for row in table.rows:
        loud = " (TRANSDUCTIVE)" if "transductive" in row.marks else ""
        cells = [markdown_text(row.arm) + loud]
        for heading, text in row.cells.items():
            told = markdown_text(text)
            cells.append(f"**{told}**" if heading == row.bold else told)
        lines.append(f"| {' | '.join(cells)} |")
    return f"{markdown_text(table.caption)}\n\n" + "\n".join(lines) + "\n"
