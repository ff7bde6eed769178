"""The report as Markdown that fits into a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from serlab.reports.across import Over, across_line
from serlab.reports.page import Section, marks_of_all
from serlab.reports.records import Frame, StudyFacts
from serlab.reports.sentences import counts_sentence
from serlab.reports.table_files import markdown
from serlab.reports.tables import table_of
from serlab.reports.words import clean, markdown_text, plural

LONGEST = 65_000
"""Characters; GitHub takes 65,536 of a comment."""
_MOST = (10_000, 100, 50, 25, 12, 6, 3, 1)
"""Lines of a list and rows of a table, fewer as long as the text is too long."""
_HASH = re.compile(r"[0-9a-f]{12,}")


def pull_request(frame: Frame, sections: Sequence[Section], over: Over) -> str:
    """Marks, verdicts, counts, tables, figures, the command and where it was run."""
    for most in _MOST:
        text = "\n".join(_lines(frame, sections, over, most)) + "\n"
        if len(text) <= LONGEST:
            return text
    tail = "\n\nThe rest is left out, as it is too long for a comment: see index.html.\n"
    return text[: text.rindex("\n", 0, LONGEST - len(tail))] + tail


def _lines(frame: Frame, sections: Sequence[Section], over: Over, most: int) -> list[str]:
    study = frame.study
    lines = [f"## {markdown_text(study.name)}", ""]
    lines += [f"**{markdown_text(mark)}**\n" for mark in marks_of_all(frame)]
    lines += [markdown_text(study.question), ""] if study.question else []
    if len(sections) > 1:
        lines += [*_over_corpora(frame, over, most), ""]
    for section in sections:
        lines += [*_corpus(section, most), ""]
    return [*lines, *_provenance(frame, most)]


def _corpus(section: Section, most: int) -> list[str]:
    block = section.block
    claims = [f"- {claim.symbol} {markdown_text(claim.text)}" for claim in section.claims]
    notes = [f"- {markdown_text(note)}" for note in (*section.transductive, *section.notes)]
    lost = [f"- {markdown_text(text)}" for text in section.lost]
    lost += [
        f"- Figure {markdown_text(name)}: {markdown_text(reason)}."
        for name, reason in section.written.gallery.absent
    ]
    return [
        f"### {markdown_text(block.corpus.name)}",
        "",
        f"**{markdown_text(section.headline)}**",
        "",
        markdown_text(section.base),
        "",
        *_first(claims, most),
        *_first(notes, most),
        "",
        markdown_text(section.counts),
        *(["", "Not run or not drawn:", "", *_first(lost, most)] if lost else []),
        "",
        *_table(section, most),
        "",
        _figures(section),
    ]


def _first(lines: Sequence[str], most: int) -> list[str]:
    """The first lines, and how many more stand on the page."""
    rest = len(lines) - most
    return [*lines[:most], *([f"- and {rest} more, in index.html"] if rest > 0 else [])]


def _table(section: Section, most: int) -> list[str]:
    table = table_of(section.block)
    rest = len(table.rows) - most
    files = [name for name in section.written.tables if name.endswith("ablation.csv")]
    lines = markdown(replace(table, rows=table.rows[:most])).splitlines()
    if rest > 0:
        more = f"{plural(rest, 'more row')} left out here: [csv](tables/{files[0]})"
        lines += ["", f"{more}, or the table in index.html."]
    return lines


def _figures(section: Section) -> str:
    links = [
        f"[{markdown_text(figure.title)}](figures/{figure.slug}.png)"
        for figure in section.written.gallery.drawn
    ]
    return f"Figures: {', '.join(links)}." if links else "No figure was drawn."


def _over_corpora(frame: Frame, over: Over, most: int) -> list[str]:
    """The arms over all corpora; nothing where they are not summed up."""
    told = [across_line(row, frame) for row in over.rows]
    if not told:
        return []
    names = [block.corpus.name for block in frame.blocks]
    lines = [
        f"### Over {len(names)} corpora",
        "",
        "Differences from the base on each corpus, and their random-effects mean over corpora like "
        f"these with {frame.study.level:.0%} intervals.",
        "",
        _row("arm", *names, "over corpora", "p (Holm)", "p of equivalence (Holm)", "between", "I²"),
        f"|---|{'---:|' * (len(names) + 5)}",
    ]
    for line in told[:most]:
        strong = "**" * (line.kind in {"better", "worse"})
        mean = f"{strong}{markdown_text(line.mean)}{strong}"
        rest = _row(line.p or "–", line.p_equivalent or "–", line.spread, line.share)
        name = f"{line.arm.name} (TRANSDUCTIVE)" if line.arm.transductive else line.arm.name
        lines.append(f"{_row(name, *line.cells)} {mean} {rest}")
    more = len(told) - most
    cut = f"{plural(more, 'more row')} left out here. " if more > 0 else ""
    return [*lines, "", f"{cut}All numbers: [csv](tables/across-corpora.csv)."]


def _row(*cells: object) -> str:
    return f"| {' | '.join(markdown_text(cell) for cell in cells)} |"


# --- provenance ----------------------------------------------------------------------------


def _provenance(frame: Frame, most: int) -> list[str]:
    lines = ["### Provenance", "", "To run it again:", ""]
    for run in (frame.runs or (frame.study,))[:most]:
        lines += [*_code(run.command), "", markdown_text(_resolved(run)), ""]
    rest = len(frame.runs) - most
    lines += [f"and {rest} more, in index.html", ""] if rest > 0 else []
    several = len(frame.blocks) > 1
    lines += [f"In all, {markdown_text(counts_sentence(frame.counts))}", ""] if several else []
    lines += _first([f"- {_facts(facts)}" for facts in frame.environments.values()], most)
    links = "[index.html](index.html), [tables.tex](tables.tex) and the folders tables and figures"
    return [*lines, "", f"Everything: {links}, beside this file."]


def _resolved(run: StudyFacts) -> str:
    return f"{clean(run.name)}, resolved {clean(run.created)} by serlab {clean(run.serlab)}."


def _code(text: str) -> list[str]:
    """A block of code that nothing in it can end."""
    held = clean(text)
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", held)), default=0))
    return [f"{fence}sh", held, fence]


def _facts(facts: Mapping[str, Any]) -> str:  # JSON values of any shape
    return "; ".join(
        f"{markdown_text(key)} {_value(held)}" for key, held in facts.items() if held is not None
    )


def _value(held: Any) -> str:  # a JSON value of any shape
    if isinstance(held, Mapping):
        known = ((key, one) for key, one in held.items() if one is not None)
        return ", ".join(f"{markdown_text(key)} {_value(one)}" for key, one in known)
    if isinstance(held, bool):
        return "yes" if held else "no"
    text = clean(held)
    return f"`{text}`" if _HASH.fullmatch(text) else markdown_text(text)
