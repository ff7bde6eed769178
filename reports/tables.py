"""The ablation table as CSV, Markdown and booktabs LaTeX."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from serlab.reports.csvtext import csv_text
from serlab.reports.records import Arm, Block, OverFolds, Verdict
from serlab.reports.words import (
    MINUS,
    clean,
    count,
    duration,
    interval,
    margin_words,
    number,
    p_value,
    short,
    title_of,
)

COLUMNS = ("ua", "wa", "macro_f1", "ece")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm as text, ready to be escaped and printed."""

    arm: str
    scores: tuple[str, ...]
    folds: str
    effect: str
    p: str
    separable: bool
    parameters: str
    latency: str
    training: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of one corpus with their headings and what a reader must be told."""

    heading: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str


def table_of(block: Block) -> Table:
    """The ablation table of one corpus."""
    metrics = metrics_of(block)
    primary = title_of(block.study.metric)
    heading = (
        "arm",
        *(title_of(m) for m in metrics),
        f"{primary} over folds",
        f"Δ {primary}",
        "p (Holm)",
        "parameters",
        "latency p50, ms",
        "training, CPU",
        "note",
    )
    return Table(
        heading=heading, rows=tuple(_row(a, block) for a in block.arms), caption=_caption(block)
    )


def metrics_of(block: Block) -> tuple[str, ...]:
    """The metrics that are printed, the study's own first."""
    return tuple(dict.fromkeys((block.study.metric, *COLUMNS)))


def _row(arm: Arm, block: Block) -> Row:
    scores = [arm.scores[m].pooled if m in arm.scores else None for m in metrics_of(block)]
    held = arm.scores.get(block.study.metric)
    effect = arm.effect
    training = arm.measured.get("train_cpu") or arm.measured.get("train_wall")
    parameters = arm.meter.parameters if arm.meter and arm.meter.parameters else arm.parameters
    return Row(
        arm=arm.name,
        scores=tuple(interval(s) for s in scores),
        folds=folds_text(held.folds if held else None),
        effect="(base)"
        if arm.is_base
        else interval(effect.estimate if effect else None, sign=True),
        p=p_value(effect.p_holm if effect else None),
        separable=effect is not None and effect.verdict in {Verdict.BETTER, Verdict.WORSE},
        parameters=count(parameters),
        latency=number(arm.meter.p50_ms if arm.meter else None, 2),
        training=duration(training.median if training else None),
        note=note_of(arm),
    )


def folds_text(held: OverFolds | None) -> str:
    """``0.604 ± 0.081``: mean and standard deviation over folds."""
    if held is None:
        return "–"
    return f"{number(held.mean)} ± {number(held.sd)}" if held.sd is not None else number(held.mean)


def note_of(arm: Arm) -> str:
    """What must be said beside an arm: incomplete, not compared, another system."""
    notes = []
    if not arm.counts.whole:
        notes.append(f"INCOMPLETE {arm.counts.completed}/{arm.counts.planned} trainings")
    if arm.kind == "baseline":
        notes.append("other system")
    if not arm.is_base and arm.effect is None:
        notes.append(f"not compared: {arm.no_effect}")
    elif arm.effect and arm.pooled and set(arm.effect.seeds) != {s for s, _ in arm.trials}:
        notes.append(f"compared on {len(arm.effect.seeds)} of {len(arm.trials)} seeds")
    return "; ".join(notes)


def _caption(block: Block) -> str:
    study, marks = block.study, block.corpus.marks
    told = " ".join(f"{clean(m)}." for m in marks)
    text = (
        f"{clean(study.name)} on {clean(block.corpus.name)}: pooled over test utterances, "
        f"{study.level:.0%} intervals over speakers crossed with seeds; bold differences are "
        f"separable from the base (Holm). Margin {margin_words(study.margin)}. Split "
        f"{clean(block.corpus.split)}."
    )
    return f"{told} {text}".strip()


# --- three forms ---------------------------------------------------------------------------


def write_tables(block: Block, folder: Path, stem: str) -> tuple[str, ...]:
    """Writes the table in its three forms and returns the files' names."""
    table = table_of(block)
    texts = {
        f"{stem}.csv": csv_table(block),
        f"{stem}.md": markdown(table),
        f"{stem}.tex": latex(table),
    }
    for name, text in texts.items():
        folder.joinpath(name).write_text(text, encoding="utf-8", newline="")
    return tuple(texts)


def csv_table(block: Block) -> str:
    """The table as plain numbers, one row an arm."""
    return csv_text([_numbers(arm, block) for arm in block.arms])


def _numbers(arm: Arm, block: Block) -> dict[str, object]:
    row: dict[str, object] = {
        "corpus": block.corpus.name,
        "synthetic": block.corpus.synthetic,
        "split": block.corpus.split,
        "leaks": "; ".join(block.corpus.leaks),
        "arm": arm.name,
        "kind": "base" if arm.is_base else arm.kind,
        "completed": arm.counts.completed,
        "planned": arm.counts.planned,
    }
    for name in metrics_of(block):
        score = arm.scores.get(name)
        row[name] = score.pooled.mean if score else None
        row[f"{name}_low"] = score.pooled.low if score else None
        row[f"{name}_high"] = score.pooled.high if score else None
        row[f"{name}_fold_mean"] = score.folds.mean if score and score.folds else None
        row[f"{name}_fold_sd"] = score.folds.sd if score and score.folds else None
    effect = arm.effect
    row |= {
        "difference": effect.estimate.mean if effect else None,
        "difference_low": effect.estimate.low if effect else None,
        "difference_high": effect.estimate.high if effect else None,
        "p": effect.estimate.p if effect else None,
        "p_holm": effect.p_holm if effect else None,
        "df": effect.estimate.df if effect else None,
        "n_speakers": effect.estimate.n_speakers if effect else None,
        "n_seeds": effect.estimate.n_seeds if effect else None,
        "verdict": effect.verdict.value if effect else None,
        "parameters": arm.parameters,
        "macs": arm.meter.macs if arm.meter else None,
        "latency_p50_ms": arm.meter.p50_ms if arm.meter else None,
        "latency_p90_ms": arm.meter.p90_ms if arm.meter else None,
    }
    for name, held in arm.measured.items():
        row[f"{name}_median_{held.unit}"] = held.median
    return row | {"note": note_of(arm)}


def markdown(table: Table) -> str:
    """The table for a pull request or a README."""
    lines = [
        f"| {' | '.join(_md(h) for h in table.heading)} |",
        f"|{'|'.join(['---', *['---:'] * (len(table.heading) - 2), '---'])}|",
    ]
    for row in table.rows:
        effect = f"**{_md(row.effect)}**" if row.separable else _md(row.effect)
        cells = [_md(row.arm), *map(_md, row.scores), _md(row.folds), effect, _md(row.p)]
        cells += map(_md, (row.parameters, row.latency, row.training, row.note))
        lines.append(f"| {' | '.join(cells)} |")
    return f"{_md(table.caption)}\n\n" + "\n".join(lines) + "\n"


def _md(text: object) -> str:
    """Text in which no character means anything to Markdown or to HTML."""
    safe = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$@])", r"\\\1", safe) if _ODD.search(safe) else safe


_ODD = re.compile(r"[\\`*_{}#!|~$@<>&]|\]\(|^[+\-]\s")


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": r"{[}",
    "]": r"{]}",
    MINUS: r"\ensuremath{-}",
    "±": r"\ensuremath{\pm}",
    "Δ": r"\ensuremath{\Delta}",
    "×": r"\ensuremath{\times}",
    "–": "--",
    "…": r"\ldots{}",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
}


def tex(text: object) -> str:
    """Text in which no character means anything to LaTeX.

    Characters outside of ASCII stay as they are; a document with them needs LuaLaTeX or
    XeLaTeX and a font that has them.
    """
    return "".join(_LATEX.get(c, c) for c in clean(text))


def latex(table: Table) -> str:
    """The table for a paper; needs the packages booktabs and graphicx."""
    shown = [i for i, h in enumerate(table.heading) if h not in {"note", "training, CPU"}]
    columns = "l" + "r" * (len(shown) - 1)
    heading = " & ".join(tex(table.heading[i]) for i in shown)
    lines = [
        "% needs \\usepackage{booktabs,graphicx}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{tex(table.caption)}}}",
        "\\resizebox{\\linewidth}{!}{%",
        f"\\begin{{tabular}}{{{columns}}}",
        "\\toprule",
        f"{heading} \\\\",
        "\\midrule",
        *(_tex_row(row) for row in table.rows),
        "\\bottomrule",
        "\\end{tabular}}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_row(row: Row) -> str:
    incomplete = "INCOMPLETE" in row.note
    name = tex(short(row.arm, 60)) + ("\\textsuperscript{incomplete}" if incomplete else "")
    effect = f"\\textbf{{{tex(row.effect)}}}" if row.separable else tex(row.effect)
    cells = [name, *map(tex, row.scores), tex(row.folds), effect, tex(row.p)]
    return " & ".join([*cells, tex(row.parameters), tex(row.latency)]) + " \\\\"
