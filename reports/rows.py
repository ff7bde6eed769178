"""One arm as a row of the page's table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from serlab.reports.details import Detail, detail_of
from serlab.reports.inline import forest_row
from serlab.reports.meter_tables import bounds
from serlab.reports.meters import Value
from serlab.reports.records import Arm, Block, Verdict
from serlab.reports.tables import (
    PROBE,
    Column,
    columns_of,
    equivalent_words,
    folds_text,
    probed,
)
from serlab.reports.words import (
    compact,
    duration,
    interval,
    number,
    p_value,
    plural,
    significant,
)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of the table: what it prints, on two lines, and what it is sorted by."""

    text: str
    small: str
    key: float | str
    bold: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """One arm on the page."""

    arm: Arm
    anchor: str
    picture: Markup
    effect: Cell
    cells: tuple[Cell, ...]
    note: str
    kinds: tuple[str, ...]
    """What it is filtered by, of `KINDS`."""
    detail: Detail


KINDS = {
    "base": "the base",
    "better": "better",
    "worse": "worse",
    "same": "no difference as large as the margin",
    "unclear": "no difference shown",
    "none": "not compared",
    "baseline": "other systems",
}
"""In words."""


def _kinds(arm: Arm) -> tuple[str, ...]:
    verdict = arm.effect.verdict.value if arm.effect else "none"
    return ("base" if arm.is_base else verdict, *["baseline"] * (arm.kind == "baseline"))


def kinds_of(rows: Iterable[Row]) -> tuple[tuple[str, str], ...]:
    """The kinds that there are, with their words."""
    found = {kind for row in rows for kind in row.kinds}
    return tuple((kind, words) for kind, words in KINDS.items() if kind in found)


def heading_of(block: Block) -> tuple[str, ...]:
    """The heading over `Row.cells`."""
    probe = ("Speaker probe",) if probed(block) else ()
    meters = ("MACs", "Latency", "RTF") if block.metered else ()
    scores = (column.title for column in columns_of(block))
    return (*scores, "Over folds", *probe, "Parameters", *meters, "Training")


def row_of(arm: Arm, block: Block, anchor: str) -> Row:
    """The arm's row; ``anchor`` is where its details stand."""
    columns = columns_of(block)
    effect, estimate = arm.effect, arm.effect.estimate if arm.effect else None
    small = ""
    if effect and estimate:
        bounds_of = _bounds(interval(estimate, sign=True))
        small = f"{bounds_of}\np\N{NO-BREAK SPACE}{p_value(effect.p_holm)}"
    return Row(
        arm=arm,
        anchor=anchor,
        picture=forest_row(arm, block),
        effect=Cell(
            text="base" if arm.is_base else _value(interval(estimate, sign=True)),
            small=small,
            key=0.0 if arm.is_base else estimate.mean if estimate else "",
            bold=effect is not None and effect.verdict in {Verdict.BETTER, Verdict.WORSE},
        ),
        cells=(*(_score(arm, column) for column in columns), *_costs(arm, block)),
        note=_brief_note(arm),
        kinds=_kinds(arm),
        detail=detail_of(arm, block, columns),
    )


def _brief_note(arm: Arm) -> str:
    """The note as far as a narrow column holds it; the verdict and the details say the rest."""
    notes = ["TRANSDUCTIVE"] if arm.transductive else []
    notes += ["other system"] if arm.kind == "baseline" else []
    if not arm.counts.whole:
        notes.append(f"INCOMPLETE, {arm.counts.completed} of {arm.counts.planned}")
    if arm.effect and arm.effect.verdict is Verdict.SAME:
        notes.append(equivalent_words(arm.effect))
    return "; ".join(notes)


def _value(text: str) -> str:
    return text.partition(" [")[0]


def _bounds(text: str) -> str:
    _, bracket, rest = text.partition("[")
    return bracket + rest


def _score(arm: Arm, column: Column) -> Cell:
    held = column.of(arm)
    text = interval(held)
    small = "" if column.metric == "ece" else _bounds(text)
    return Cell(text=_value(text), small=small, key=held.mean if held else "")


def _probe(arm: Arm) -> Cell:
    held = arm.measured.get(PROBE)
    if held is None or held.median is None:
        return Cell(text="–", small=held.reason if held else "", key="")
    spread = f"{number(held.low)} to {number(held.high)}" if held.n > 1 else ""
    return Cell(text=number(held.median), small=spread, key=held.median)


def _costs(arm: Arm, block: Block) -> tuple[Cell, ...]:
    score = arm.scores.get(block.study.metric)
    folds = score.folds if score else None
    mean = folds.mean if folds and math.isfinite(folds.mean) else ""
    value, _, spread = folds_text(folds).partition(" ± ")
    parameters = arm.n_parameters
    training = arm.measured.get("train_cpu")
    median = training.median if training else None
    return (
        Cell(text=value, small=spread and f"±\N{NO-BREAK SPACE}{spread}", key=mean),
        *([_probe(arm)] if probed(block) else []),
        Cell(text=compact(parameters), small="", key=parameters if parameters is not None else ""),
        *(_meters(arm) if block.metered else ()),
        Cell(text=duration(median), small="", key=median if median is not None else ""),
    )


def _meters(arm: Arm) -> tuple[Cell, ...]:
    macs, latency, rtf = (arm.meters.get(name) for name in ("macs", "latency_p50", "rtf"))
    known = latency.value is not None
    return (
        Cell(text=compact(macs.value), small="", key=_key(macs)),
        Cell(
            text=f"{significant(latency.value)} ms" if known else "–",
            small=bounds(latency) or (plural(latency.n, "run") if known else ""),
            key=_key(latency),
        ),
        Cell(text=significant(rtf.value, 2), small="", key=_key(rtf)),
    )


def _key(held: Value) -> float | str:
    return "" if held.value is None else held.value
