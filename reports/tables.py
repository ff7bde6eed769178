"""The rows of the ablation table, and what a reader must be told of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from serlab.bench.metrics.base import evaluate
from serlab.bench.statistics.records import Estimate
from serlab.reports.meter_tables import headline_words, quantity
from serlab.reports.records import Arm, Block, Effect, OverFolds, Verdict
from serlab.reports.words import (
    amount,
    clean,
    compact,
    count,
    interval,
    label,
    listed,
    margin_words,
    number,
    p_is,
    p_value,
    significant,
    title_of,
)

PROBE = "speaker_probe"
"""Measurement: how well a linear probe tells the training speakers from the embeddings."""

TRAINING = {"train_wall": "training", "train_cpu": "training, CPU", "peak_memory": "memory"}
"""Headings of what one training took, median over trainings; only where it was measured."""


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
    change = interval(effect.estimate if effect else None, sign=True)
    cells = {
        **{column.title: interval(column.of(arm)) for column in columns_of(block)},
        f"{primary} over folds": folds_text(held.folds if held else None),
        f"Δ {primary}": "(base)" if arm.is_base else change,
        "p (Holm)": p_value(effect.p_holm if effect else None),
        "p of equivalence (Holm)": p_value(effect.p_equivalent_holm if effect else None),
        **({"speaker probe": probe_text(arm)} if probed(block) else {}),
        "parameters": count(arm.n_parameters),
        **_meter_cells(arm, block),
        **_training_cells(arm, block),
        "note": note_of(arm),
    }
    separable = effect is not None and effect.verdict in {Verdict.BETTER, Verdict.WORSE}
    marks = (*["transductive"] * bool(arm.transductive), *["incomplete"] * (not arm.counts.whole))
    name = label(arm.name)
    return Row(arm=name, cells=cells, bold=f"Δ {primary}" if separable else "", marks=marks)


def _meter_cells(arm: Arm, block: Block) -> dict[str, str]:
    if block.metered is None:
        return {}
    return {
        "MACs": compact(arm.meters.get("macs").value),
        "latency p50, ms": quantity(arm.meters.get("latency_p50")),
        "RTF": significant(arm.meters.get("rtf").value, 2),
    }


def _training_cells(arm: Arm, block: Block) -> dict[str, str]:
    shown = [name for name in TRAINING if any(name in a.measured for a in block.arms)]
    held = {name: arm.measured.get(name) for name in shown}
    return {TRAINING[k]: amount(m.median, m.unit) if m else "–" for k, m in held.items()}


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
        f"Latency, MACs and RTF: {told}." if (told := headline_words(block)) else "",
    ]
    return " ".join(part for part in parts if part)


def transductive_notes(block: Block) -> tuple[str, ...]:
    """One sentence for each transductive arm."""
    return tuple(
        f"{label(arm.name)} is TRANSDUCTIVE: {clean(arm.transductive)}."
        for arm in block.arms
        if arm.transductive
    )
