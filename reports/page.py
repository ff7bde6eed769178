"""The page: one HTML file that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from serlab.reports.across import Over, across_line
from serlab.reports.attribution import Attribution, NoAttribution
from serlab.reports.error_cards import Errors
from serlab.reports.factorial import Lines, lines_of
from serlab.reports.gallery import Gallery
from serlab.reports.inline import axis_row
from serlab.reports.meter_tables import headline_words, meter_failures, meter_methods
from serlab.reports.page_data import data_of
from serlab.reports.page_errors import errors_html
from serlab.reports.records import Arm, Block, Frame, SearchPoint, Verdict
from serlab.reports.rows import Row, heading_of, kinds_of, row_of
from serlab.reports.sentences import (
    SYMBOLS,
    base_sentence,
    counts_sentence,
    methods,
    protocol_words,
    verdict_sentence,
)
from serlab.reports.tables import probe_words, transductive_notes
from serlab.reports.template import Template, render_page, shipped_page
from serlab.reports.words import (
    clean,
    cost_title,
    count,
    difference_in,
    label,
    listed,
    margin_words,
    named,
    number,
    p_is,
    p_value,
    plural,
    title_of,
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
class Written:
    """What was made of one corpus before its section."""

    gallery: Gallery
    tables: tuple[str, ...]
    """Names of the files."""
    errors: Errors


@dataclass(frozen=True, kw_only=True)
class Section:
    """One corpus on the page."""

    block: Block
    written: Written
    headline: str
    base: str
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    """What the statistics say of their own limits, such as a single seed."""
    transductive: tuple[str, ...]
    counts: str
    tiles: tuple[tuple[str, str], ...]
    heading: tuple[str, ...]
    probe: str
    margin: str
    axis: Markup
    rows: tuple[Row, ...]
    kinds: tuple[tuple[str, str], ...]
    """What the rows can be filtered by, with its words."""
    lost: tuple[str, ...]
    """What was not run or not measured, and why, in sentences."""
    protocol: str
    methods: str
    speed: str
    """How the meters were taken."""
    metered: str
    """Under which conditions the table's latency was measured."""
    no_meters: str
    """Why the table has none."""
    search: tuple[SearchPoint, ...]
    cost_title: str
    attribution: Lines | None
    no_attribution: str
    """Why a grid study has none."""
    errors: Markup
    """The error browser."""


_JINJA: Mapping[str, Any] = {  # keywords of jinja2.Environment
    "autoescape": True,
    "undefined": StrictUndefined,
    "trim_blocks": True,
    "lstrip_blocks": True,
}


def sections_of(frame: Frame, written: Sequence[Written]) -> tuple[Section, ...]:
    """What the report tells of each corpus."""
    return tuple(
        _section(block, index, held)
        for index, (block, held) in enumerate(zip(frame.blocks, written, strict=True))
    )


def marks_of_all(frame: Frame) -> list[str]:
    """What must be said of any of the corpora, the loudest first."""
    return sorted({clean(m) for b in frame.blocks for m in b.corpus.marks}, reverse=True)


def render(
    frame: Frame,
    sections: Sequence[Section],
    over: Over,
    template: Template | None = None,
) -> str:
    """The page's text.

    Args:
        frame: the run.
        sections: of `sections_of`.
        over: the arms over all corpora, where there are several.
        template: a lab's own page around it.

    Raises:
        BadFile: the lab's page is wrong.
    """
    style, script = _text("page.css"), _text("page.js")
    errors = [section.written.errors for section in sections]
    facts = {
        "frame": frame,
        "study": frame.study,
        "sections": sections,
        "marks": marks_of_all(frame),
        "style": Markup(style),
        "script": Markup(script),
        "policy": _policy(script, sound=any(e.sound for e in errors)),
        "across": [across_line(row, frame) for row in over.rows],
        "ranked": over.ranked,
        "over_figures": over.figures,
        "data": Markup(data_of(frame, over, errors)),
        "counts": counts_sentence(frame.counts),
        "svg": Markup,
    }
    if template and template.page is not None:
        return render_page(template, _JINJA, _FILTERS, facts)
    environment = Environment(**_JINJA)
    environment.filters |= _FILTERS
    return environment.from_string(shipped_page()).render(**facts)


def _text(name: str) -> str:
    return (resources.files("serlab.reports") / name).read_text(encoding="utf-8")


def _policy(script: str, *, sound: bool) -> str:
    """A policy under which the page can request nothing and runs no script but its own.

    Only where the page holds sound may it play some, which it holds itself.
    """
    held = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{held}'; style-src 'unsafe-inline'; "
        f"img-src data:; {'media-src data:; ' if sound else ''}base-uri 'none'; form-action 'none'"
    )


def _section(block: Block, index: int, written: Written) -> Section:
    share = block.attribution
    rows = tuple(row_of(a, block, f"c{index}-a{i}") for i, a in enumerate(block.arms))
    return Section(
        block=block,
        written=written,
        headline=_headline(block),
        base=base_sentence(block),
        claims=_claims(block),
        notes=_notes(block),
        transductive=transductive_notes(block),
        counts=counts_sentence(block.counts),
        tiles=_tiles(block),
        heading=heading_of(block),
        probe=probe_words(block),
        margin=margin_words(block.study.margin, block.study.metric),
        axis=axis_row(block),
        rows=rows,
        kinds=kinds_of(rows),
        lost=_lost(block),
        protocol=protocol_words(block.corpus),
        methods=methods(block),
        speed=meter_methods(block),
        metered=headline_words(block),
        no_meters=_no_meters(block),
        search=_best_found(block),
        cost_title=cost_title(block.cost),
        attribution=lines_of(share, block) if isinstance(share, Attribution) else None,
        no_attribution=share.reason if isinstance(share, NoAttribution) else "",
        errors=errors_html(written.errors, block),
    )


def _lost(block: Block) -> tuple[str, ...]:
    """What was planned and came to no result."""
    missing = block.counts.missing
    has = "has" if missing == 1 else "have"
    stopped = f"{plural(missing, 'planned training')} {has} no record: the study was stopped, or"
    failed = [f for arm in block.arms for f in arm.failures]
    told = tuple(
        f"{label(f.arm)}, fold {clean(f.fold)}, seed {f.seed}: {f.status}"
        + (f" ({clean(f.reason)})" if f.reason else "")
        for f in failed[:MOST_FAILURES]
    )
    unmetered = meter_failures(block)
    more = sum(max(0, len(one) - MOST_FAILURES) for one in (failed, unmetered))
    return (
        *([f"{stopped} is still running."] if missing > 0 else []),
        *(f"{label(name)} cannot run here: {clean(why)}" for name, why in block.skipped),
        *told,
        *unmetered[:MOST_FAILURES],
        *([f"and {more} more; see the arms below."] if more else []),
    )


def _no_meters(block: Block) -> str:
    if any(arm.meters.cells for arm in block.arms):
        return ""
    return block.arms[0].meters.reason if block.arms else ""


def _best_found(block: Block) -> tuple[SearchPoint, ...]:
    """The front where there is a cost, by it; otherwise the best by validation."""
    held = [p for p in block.search if p.value is not None]
    if block.cost:
        first = {p.arm: p for p in reversed(held)}
        return tuple(first[name] for name in block.front if name in first)
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
            reasons.setdefault(arm.no_effect, []).append(named(arm))
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
        undefined = (f"no value ({reason})" for reason in arm.undefined.values())
        for note in dict.fromkeys(n for n in (*notes, *undefined) if n):
            found.setdefault(note, []).append(label(arm.name))
    told = (f"Note on {listed(names)}: {clean(note)}." for note, names in found.items())
    return tuple(told)


def _headline(block: Block) -> str:
    """The whole result in one line."""
    held = [arm for arm in block.others if arm.effect and arm.kind != "baseline"]
    if not held:
        return "Nothing can be compared with the base yet."
    shown = [
        f"{named(arm)} ({difference_in(arm.effect.estimate.mean, block.study.metric, sign=True)})"
        for arm in sorted(held, key=lambda a: -abs(a.effect.estimate.mean) if a.effect else 0)
        if arm.effect and arm.effect.verdict in {Verdict.BETTER, Verdict.WORSE}
    ]
    total = plural(len(held), "change")
    nothing = _nothing(held, block)
    if not shown:
        title = title_of(block.study.metric)
        return f"None of {total} is separable from the base in {title}.{nothing}"
    verb = "is" if len(shown) == 1 else "are"
    listing = listed(shown[:4]) if len(shown) <= 4 else f"{', '.join(shown[:4])} and others"
    title = title_of(block.study.metric)
    return f"{len(shown)} of {total} {verb} separable from the base in {title}: {listing}.{nothing}"


def _nothing(arms: Sequence[Arm], block: Block) -> str:
    """The changes that are equivalent to none."""
    names = [named(arm) for arm in arms if arm.effect and arm.effect.verdict is Verdict.SAME]
    if not names:
        return ""
    listing = listed(names[:4]) if len(names) <= 4 else f"{', '.join(names[:4])} and others"
    verb = "does" if len(names) == 1 else "do"
    width = margin_words(block.study.margin, block.study.metric)
    return f" {listing} {verb} nothing that is as large as {width}."


def _tiles(block: Block) -> tuple[tuple[str, str], ...]:
    counts, corpus = block.counts, block.corpus
    tiles = [
        ("trainings completed", f"{counts.completed} / {counts.planned}"),
        ("failed or diverged", str(counts.failed + counts.diverged)),
        ("not run", str(max(0, counts.missing) + counts.skipped)),
        ("arms", str(len(block.arms))),
        ("folds × seeds", f"{len(corpus.folds)} × {len(block.study.seeds)}"),
        ("test speakers", str(corpus.n_speakers)),
        ("test utterances", count(corpus.n_utterances)),
    ]
    if counts.pruned:
        tiles.insert(2, ("pruned", str(counts.pruned)))
    return tuple(tiles)


def _breaking(text: object) -> Markup:
    """The text, escaped, with places where its line may break."""
    return Markup(re.sub(r"([=_,/])", r"\1<wbr>", str(escape(label(text)))))


_FILTERS: Mapping[str, Callable[..., object]] = {
    "clean": clean,
    "breaking": _breaking,
    "label": label,
    "plural": plural,
    "count": count,
    "p": p_value,
    "p_is": p_is,
    "n": number,
}
