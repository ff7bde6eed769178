"""The page: one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from serlab.bench.contracts import plain
from serlab.reports.details import Detail, detail_of, seed_heading
from serlab.reports.figure import Drawn
from serlab.reports.inline import axis_row, forest_row
from serlab.reports.records import Arm, Block, Frame, SearchPoint, Verdict
from serlab.reports.tables import folds_text, metrics_of
from serlab.reports.words import (
    SYMBOLS,
    base_sentence,
    clean,
    count,
    counts_sentence,
    duration,
    interval,
    listed,
    methods,
    number,
    p_value,
    plural,
    protocol_words,
    title_of,
    verdict_sentence,
)

MOST_FAILURES = 20
MOST_SEARCHED = 10


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One sentence of the verdict."""

    kind: str
    symbol: str
    text: str


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
    detail: Detail


@dataclass(frozen=True, kw_only=True)
class Section:
    """One corpus on the page."""

    block: Block
    headline: str
    base: str
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    """What the statistics say of their own limits, such as a single seed."""
    counts: str
    tiles: tuple[tuple[str, str], ...]
    heading: tuple[str, ...]
    axis: Markup
    rows: tuple[Row, ...]
    figures: tuple[Drawn, ...]
    absent: tuple[tuple[str, str], ...]
    failures: tuple[str, ...]
    n_more_failures: int
    protocol: str
    methods: str
    tables: tuple[str, ...]
    search: tuple[SearchPoint, ...]


def render(
    frame: Frame,
    figures: Mapping[str, Sequence[Drawn]],
    absent: Mapping[str, Sequence[tuple[str, str]]],
    tables: Mapping[str, Sequence[str]],
) -> str:
    """The page's text.

    Args:
        frame: the run.
        figures: by corpus, the figures that were drawn.
        absent: by corpus, the names of those that were not, and why.
        tables: by corpus, the names of the tables' files.
    """
    sections = tuple(
        _section(
            block,
            index,
            tuple(figures[block.corpus.name]),
            tuple(absent[block.corpus.name]),
            tuple(tables[block.corpus.name]),
        )
        for index, block in enumerate(frame.blocks)
    )
    style, script = _text("page.css"), _text("page.js")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "clean": clean,
        "breaking": _breaking,
        "plural": plural,
        "count": count,
        "p": p_value,
        "n": number,
    }
    return environment.from_string(_text("page.html")).render(
        frame=frame,
        study=frame.study,
        sections=sections,
        marks=sorted({clean(m) for b in frame.blocks for m in b.corpus.marks}, reverse=True),
        style=Markup(style),
        script=Markup(script),
        policy=_policy(script),
        data=Markup(_data(frame)),
        counts=counts_sentence(frame.counts),
        seed_heading=seed_heading,
        svg=Markup,
        metrics_of=metrics_of,
    )


def _text(name: str) -> str:
    return (resources.files("serlab.reports") / name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """A policy under which the page can request nothing and runs no script but its own."""
    held = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{held}'; style-src 'unsafe-inline'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _data(frame: Frame) -> str:
    """The page's numbers as JSON that is safe inside of a script element."""
    held: dict[str, Any] = {  # JSON values of any shape
        "schema": 1,
        "study": plain(frame.study),
        "counts": plain(frame.counts),
        "corpora": [
            {"corpus": plain(b.corpus), "arms": [_arm_data(a) for a in b.arms]}
            for b in frame.blocks
        ],
    }
    text = json.dumps(_finite(held), ensure_ascii=True, allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _finite(value: Any) -> Any:  # JSON values of any shape
    """JSON has no nan; what is not finite becomes null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value


def _arm_data(arm: Arm) -> dict[str, Any]:  # JSON values of any shape
    kept = (
        "name",
        "kind",
        "is_base",
        "system",
        "preset",
        "options",
        "settings",
        "counts",
        "scores",
        "effect",
        "no_effect",
        "measured",
        "meter",
        "parameters",
        "trials",
    )
    return {name: plain(getattr(arm, name)) for name in kept}


def _section(
    block: Block,
    index: int,
    figures: tuple[Drawn, ...],
    absent: tuple[tuple[str, str], ...],
    tables: tuple[str, ...],
) -> Section:
    metrics = metrics_of(block)
    lost = [f for arm in block.arms for f in arm.failures]
    told = tuple(
        f"{clean(f.arm)}, fold {clean(f.fold)}, seed {f.seed}: {f.status}"
        + (f" ({clean(f.reason)})" if f.reason else "")
        for f in lost[:MOST_FAILURES]
    )
    return Section(
        block=block,
        headline=_headline(block),
        base=base_sentence(block),
        claims=_claims(block),
        notes=_notes(block),
        counts=counts_sentence(block.counts),
        tiles=_tiles(block),
        heading=(
            *(title_of(m) for m in metrics),
            "Over folds",
            "Parameters",
            "Latency",
            "Training",
        ),
        axis=axis_row(block),
        rows=tuple(_row(a, block, f"c{index}-a{i}") for i, a in enumerate(block.arms)),
        figures=figures,
        absent=absent,
        failures=told,
        n_more_failures=max(0, len(lost) - MOST_FAILURES),
        protocol=protocol_words(block.corpus),
        methods=methods(block),
        tables=tables,
        search=_best_found(block),
    )


def _best_found(block: Block) -> tuple[SearchPoint, ...]:
    held = [p for p in block.search if p.value is not None]
    return tuple(sorted(held, key=lambda p: (-(p.value or 0.0), p.order))[:MOST_SEARCHED])


def _claims(block: Block) -> tuple[Claim, ...]:
    """Separable effects first, by size; then the others; then what was not compared."""

    def rank(arm: Arm) -> tuple[int, float]:
        assert arm.effect is not None
        shown = arm.effect.verdict in {Verdict.BETTER, Verdict.WORSE}
        return (0 if shown else 1, -abs(arm.effect.estimate.mean))

    claims = [
        Claim(
            kind=arm.effect.verdict.value,
            symbol=SYMBOLS[arm.effect.verdict],
            text=verdict_sentence(arm, block),
        )
        for arm in sorted((a for a in block.others if a.effect), key=rank)
        if arm.effect
    ]
    reasons: dict[str, list[str]] = {}
    for arm in block.others:
        if arm.effect is None:
            reasons.setdefault(arm.no_effect, []).append(clean(arm.name))
    claims += [
        Claim(kind="none", symbol="·", text=f"Not compared, as {reason}: {listed(names)}.")
        for reason, names in reasons.items()
    ]
    return tuple(claims)


def _notes(block: Block) -> tuple[str, ...]:
    """The notes of the estimates, each with the arms that it is of."""
    found: dict[str, list[str]] = {}
    for arm in block.arms:
        score = arm.scores.get(block.study.metric)
        notes = (score.pooled.note if score else "", arm.effect.estimate.note if arm.effect else "")
        for note in dict.fromkeys(n for n in notes if n):
            found.setdefault(note, []).append(clean(arm.name))
    return tuple(f"Note on {listed(names)}: {clean(note)}." for note, names in found.items())


def _headline(block: Block) -> str:
    """The whole result in one line."""
    held = [arm for arm in block.others if arm.effect and arm.kind != "baseline"]
    if not held:
        return "Nothing can be compared with the base yet."
    shown = [
        f"{clean(arm.name)} ({number(arm.effect.estimate.mean * 100, 1, sign=True)} points)"
        for arm in sorted(held, key=lambda a: -abs(a.effect.estimate.mean) if a.effect else 0)
        if arm.effect and arm.effect.verdict in {Verdict.BETTER, Verdict.WORSE}
    ]
    total = plural(len(held), "change")
    if not shown:
        return f"None of {total} is separable from the base in {title_of(block.study.metric)}."
    verb = "is" if len(shown) == 1 else "are"
    listing = listed(shown[:4]) if len(shown) <= 4 else f"{', '.join(shown[:4])} and others"
    title = title_of(block.study.metric)
    return f"{len(shown)} of {total} {verb} separable from the base in {title}: {listing}."


def _tiles(block: Block) -> tuple[tuple[str, str], ...]:
    counts, corpus = block.counts, block.corpus
    tiles = [
        ("trainings completed", f"{counts.completed} / {counts.planned}"),
        ("failed or diverged", str(counts.failed + counts.diverged)),
        ("not run", str(max(0, counts.missing) + counts.skipped)),
        ("arms", str(len(block.arms))),
        ("folds × seeds", f"{len(corpus.folds)} × {len(block.study.seeds)}"),
        ("speakers", str(corpus.n_speakers)),
        ("utterances", count(corpus.n_utterances)),
    ]
    if counts.pruned:
        tiles.insert(2, ("pruned", str(counts.pruned)))
    return tuple(tiles)


def _row(arm: Arm, block: Block, anchor: str) -> Row:
    metrics = metrics_of(block)
    effect, estimate = arm.effect, arm.effect.estimate if arm.effect else None
    small = ""
    if effect and estimate:
        small = f"{_bounds(interval(estimate, sign=True))} p {p_value(effect.p_holm)}"
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
        cells=(*(_score(arm, m) for m in metrics), *_costs(arm, block)),
        note=_brief_note(arm),
        detail=detail_of(arm, block, metrics),
    )


def _brief_note(arm: Arm) -> str:
    """The note as far as a narrow column holds it; the verdict and the details say the rest."""
    notes = ["other system"] if arm.kind == "baseline" else []
    if not arm.counts.whole:
        notes.append(f"INCOMPLETE, {arm.counts.completed} of {arm.counts.planned}")
    return "; ".join(notes)


def _breaking(text: object) -> Markup:
    """The text, escaped, with places where its line may break."""
    return Markup(re.sub(r"([=_,/])", r"\1<wbr>", str(escape(clean(text)))))


def _value(text: str) -> str:
    return text.partition(" [")[0]


def _bounds(text: str) -> str:
    _, bracket, rest = text.partition("[")
    return bracket + rest


def _score(arm: Arm, metric: str) -> Cell:
    held = arm.scores.get(metric)
    text = interval(held.pooled if held else None)
    small = "" if metric == "ece" else _bounds(text)
    return Cell(text=_value(text), small=small, key=held.pooled.mean if held else "")


def _costs(arm: Arm, block: Block) -> tuple[Cell, ...]:
    score = arm.scores.get(block.study.metric)
    folds = score.folds if score else None
    meter = arm.meter
    parameters = meter.parameters if meter and meter.parameters else arm.parameters
    p50 = meter.p50_ms if meter else None
    training = arm.measured.get("train_cpu")
    median = training.median if training else None
    return (
        Cell(text=folds_text(folds), small="", key=folds.mean if folds else ""),
        Cell(text=count(parameters), small="", key=parameters if parameters is not None else ""),
        Cell(
            text=f"{number(p50, 2)} ms" if p50 is not None else "–",
            small=f"p90 {number(meter.p90_ms, 2)}" if meter and meter.p90_ms else "",
            key=p50 if p50 is not None else "",
        ),
        Cell(text=duration(median), small="", key=median if median is not None else ""),
    )
