"""The ablation table as CSV, Markdown and booktabs LaTeX."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from serlab.bench.metrics.base import evaluate
from serlab.bench.statistics.records import Estimate
from serlab.reports.csvtext import csv_text
from serlab.reports.records import Arm, Block, Effect, OverFolds, Verdict
from serlab.reports.words import (
    MINUS,
    clean,
    count,
    duration,
    interval,
    label,
    listed,
    margin_words,
    markdown_text,
    number,
    p_is,
    p_value,
    short,
    title_of,
)

PROBE = "speaker_probe"
"""Measurement: how well a linear probe tells the training speakers from the embeddings."""

_NOT_PRINTED = {"note", "training, CPU"}
"""Columns that a paper's table has no room for."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A metric as a column, or its value of one dimension of the traces."""

    metric: str
    dimension: str = ""
    place: int = 0
    """Of the dimension among the labels."""

    @property
    def key(self) -> str:
        """Its name in CSV."""
        return f"{self.metric}_{self.dimension}" if self.dimension else self.metric

    @property
    def title(self) -> str:
        """Its heading."""
        title = title_of(self.metric)
        return f"{title} {clean(self.dimension)}" if self.dimension else title

    def of(self, arm: Arm) -> Estimate | None:
        """The arm's value, or None where it has none."""
        if self.dimension:
            return arm.dimensions.get(self.dimension)
        return arm.scores[self.metric].pooled if self.metric in arm.scores else None

    def value(self, truth: npt.NDArray[Any], scores: npt.NDArray[Any]) -> float:
        """The value of some rows of predictions of one seed."""
        if self.dimension:
            truth, scores = truth[:, self.place], scores[:, self.place]
        return evaluate(self.metric, truth, scores)


def columns_of(block: Block) -> tuple[Column, ...]:
    """The columns of scores: the study's metric, of traces its dimensions, then the others."""
    first, *others = (Column(metric=name) for name in block.metrics)
    labels = block.corpus.labels if block.corpus.target == "traces" else ()
    parts = (
        Column(metric=first.metric, dimension=label, place=i) for i, label in enumerate(labels)
    )
    return (first, *parts, *others)


def probed(block: Block) -> bool:
    """Whether any arm's embeddings were asked for the speaker."""
    return any(PROBE in arm.measured for arm in block.arms)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm as text, ready to be escaped and printed."""

    arm: str
    cells: Mapping[str, str]
    """By heading."""
    bold: str
    """The heading of the cell that is separable from the base, or nothing."""
    marks: tuple[str, ...]
    """What stands beside the arm's name: transductive, incomplete."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of one corpus with their headings and what a reader must be told."""

    heading: tuple[str, ...]
    rows: tuple[Row, ...]
    caption: str


def table_of(block: Block) -> Table:
    """The ablation table of one corpus."""
    rows = tuple(_row(arm, block) for arm in block.arms)
    return Table(heading=("arm", *rows[0].cells), rows=rows, caption=_caption(block))


def _row(arm: Arm, block: Block) -> Row:
    primary = title_of(block.study.metric)
    held, effect = arm.scores.get(block.study.metric), arm.effect
    training = arm.measured.get("train_cpu") or arm.measured.get("train_wall")
    parameters = arm.meter.parameters if arm.meter and arm.meter.parameters else arm.parameters
    change = interval(effect.estimate if effect else None, sign=True)
    cells = {
        **{column.title: interval(column.of(arm)) for column in columns_of(block)},
        f"{primary} over folds": folds_text(held.folds if held else None),
        f"Δ {primary}": "(base)" if arm.is_base else change,
        "p (Holm)": p_value(effect.p_holm if effect else None),
        "p of equivalence (Holm)": p_value(effect.p_equivalent_holm if effect else None),
        **({"speaker probe": probe_text(arm)} if probed(block) else {}),
        "parameters": count(parameters),
        "latency p50, ms": number(arm.meter.p50_ms if arm.meter else None, 2),
        "training, CPU": duration(training.median if training else None),
        "note": note_of(arm),
    }
    separable = effect is not None and effect.verdict in {Verdict.BETTER, Verdict.WORSE}
    marks = (*["transductive"] * bool(arm.transductive), *["incomplete"] * (not arm.counts.whole))
    name = label(arm.name)
    return Row(arm=name, cells=cells, bold=f"Δ {primary}" if separable else "", marks=marks)


def probe_text(arm: Arm) -> str:
    """``0.412 (0.380 to 0.450)``: median over trainings, 10th to 90th percentile."""
    held = arm.measured.get(PROBE)
    if held is None or held.median is None:
        return "–"
    spread = f" ({number(held.low)} to {number(held.high)})" if held.n > 1 else ""
    return f"{number(held.median)}{spread}"


def chance_of(arm: Arm) -> float | None:
    """What the speaker probe would reach by guessing, median over trainings."""
    held = arm.measured.get(f"{PROBE}_chance")
    return held.median if held else None


def probe_words(block: Block) -> str:
    """What the speaker probe is and what it would be by chance; empty where there is none."""
    known = [chance_of(arm) for arm in block.arms]
    levels = sorted({number(level) for level in known if level is not None})
    if not probed(block):
        return ""
    chance = f"; by chance {listed(levels)}" if levels else ""
    return (
        "Speaker probe: balanced accuracy at which a linear probe tells the training speakers "
        f"from the embeddings, median over trainings (10th to 90th percentile){chance}."
    )


def folds_text(held: OverFolds | None) -> str:
    """``0.604 ± 0.081``: mean and standard deviation over folds."""
    if held is None or not math.isfinite(held.mean):
        return "–"
    return f"{number(held.mean)} ± {number(held.sd)}" if held.sd is not None else number(held.mean)


def note_of(arm: Arm) -> str:
    """What must be said beside an arm: incomplete, not compared, another system."""
    notes = [f"TRANSDUCTIVE: {clean(arm.transductive)}"] if arm.transductive else []
    if not arm.counts.whole:
        notes.append(f"INCOMPLETE {arm.counts.completed}/{arm.counts.planned} trainings")
    if arm.kind == "baseline":
        notes.append("other system")
    notes += [f"undefined: {title_of(name)}" for name in arm.undefined if " " not in name]
    if not arm.is_base and arm.effect is None:
        notes.append(f"not compared: {arm.no_effect}")
    elif arm.effect and arm.pooled and set(arm.effect.seeds) != {s for s, _ in arm.trials}:
        notes.append(f"compared on {len(arm.effect.seeds)} of {len(arm.trials)} seeds")
    if arm.effect and arm.effect.verdict is Verdict.SAME:
        notes.append(f"no difference as large as the margin: {equivalent_words(arm.effect)}")
    return "; ".join(notes)


def equivalent_words(effect: Effect) -> str:
    """``equivalent (p = 0.012)``, the p adjusted."""
    return f"equivalent (p {p_is(effect.p_equivalent_holm)})"


def _caption(block: Block) -> str:
    study, traces = block.study, block.corpus.target == "traces"
    text = (
        f"{clean(study.name)} on {clean(block.corpus.name)}: pooled over "
        f"{'the frames of ' * traces}test utterances, "
        f"{study.level:.0%} intervals over speakers crossed with seeds; bold differences are "
        f"separable from the base (Holm). Margin {margin_words(study.margin, study.metric)}; p of "
        f"equivalence is that of a difference as large. Split "
        f"{clean(block.corpus.split)}."
    )
    parts = [
        *(f"{clean(mark)}." for mark in block.corpus.marks),
        text,
        f"{title_of(study.metric)} is the mean of its dimensions." if traces else "",
        *transductive_notes(block),
        probe_words(block),
    ]
    return " ".join(part for part in parts if part)


def transductive_notes(block: Block) -> tuple[str, ...]:
    """One sentence for each transductive arm."""
    return tuple(
        f"{label(arm.name)} is TRANSDUCTIVE: {clean(arm.transductive)}."
        for arm in block.arms
        if arm.transductive
    )


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
        "transductive": arm.transductive,
        "kind": "base" if arm.is_base else arm.kind,
        "completed": arm.counts.completed,
        "planned": arm.counts.planned,
    }
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
    return row | _effect_numbers(arm) | _cost_numbers(arm) | {"note": note_of(arm)}


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
        "parameters": arm.parameters,
        "macs": arm.meter.macs if arm.meter else None,
        "latency_p50_ms": arm.meter.p50_ms if arm.meter else None,
        "latency_p90_ms": arm.meter.p90_ms if arm.meter else None,
    }
    for name, held in arm.measured.items():
        row[f"{name}_median_{held.unit}"] = held.median
    if PROBE in arm.measured:
        row[f"{PROBE}_p10"] = arm.measured[PROBE].low
        row[f"{PROBE}_p90"] = arm.measured[PROBE].high
    return row


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
    shown = [h for h in table.heading if h not in _NOT_PRINTED]
    columns = "l" + "r" * (len(shown) - 1)
    heading = " & ".join(map(tex, shown))
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
    marks = "".join(f"\\textsuperscript{{{mark}}}" for mark in row.marks)
    cells = [tex(short(row.arm, 60)) + marks]
    for heading, text in row.cells.items():
        if heading not in _NOT_PRINTED:
            cells.append(f"\\textbf{{{tex(text)}}}" if heading == row.bold else tex(text))
    return " & ".join(cells) + " \\\\"
