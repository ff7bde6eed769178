"""The command that tells what changed between two runs of a study."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from serlab.reports.compare import ArmDifference, Comparison, Side

WIDEST = 44
"""Characters of a value in the text; JSON has it whole."""


def compare_command(chosen: Namespace, typed: str) -> int:
    """Compares two runs and prints what that shows; 0 whatever it is."""
    from serlab.bench.contracts import plain
    from serlab.reports.compare import compare_runs
    from serlab.reports.page_data import finite

    found = compare_runs(Path(chosen.a), Path(chosen.b))
    if chosen.json:
        print(json.dumps(finite(plain(found)), indent=1, allow_nan=False))
    else:
        print("\n".join(comparison_text(found)))
    return 0


def comparison_text(found: Comparison) -> Iterator[str]:
    """What was found, line by line."""
    from serlab.reports.words import clean, label, listed

    yield from (_side("A", found.a), _side("B", found.b))
    yield from map(clean, found.marks)
    yield "\nWhat changed" if found.changes else "\nNo setting, version or environment changed"
    for one in found.changes:
        yield f"  {clean(one.what)}: {_short(one.a)} -> {_short(one.b)}"
    for side, names in (("A", found.only_a), ("B", found.only_b)):
        if names:
            yield f"  in {side} alone: {label(listed(names))}"
    dirty = [name for name, one in (("A", found.a), ("B", found.b)) if one.uncommitted]
    if dirty:
        yield f"  {listed(dirty)} ran with uncommitted changes: the commit does not tell the code"
    yield from _results(found)


def _side(name: str, side: Side) -> str:
    from serlab.reports.words import clean

    counts, when = side.counts, f", {clean(side.created)}" if side.created else ""
    told = f"{counts.completed} of {counts.planned} trainings completed"
    return f"{name}  {clean(side.path)}: {clean(side.study)}{when}; {told}"


def _short(text: str) -> str:
    from serlab.reports.words import label, short

    return short(label(text), WIDEST)


# --- the arms --------------------------------------------------------------------------------


def _results(found: Comparison) -> Iterator[str]:
    from serlab.reports.words import margin_words, title_of

    judged = [row for row in found.differences if row.verdict]
    share = f"{found.level:.0%}"
    yield (
        f"\n{title_of(found.metric)} of each arm, B - A, paired over speakers and seeds; {share} "
        f"intervals; margin {margin_words(found.margin, found.metric)}; "
        f"p adjusted over {len(judged)} (Holm)"
    )
    for corpus in dict.fromkeys(row.corpus for row in found.differences):
        yield from _table(corpus, [row for row in found.differences if row.corpus == corpus])
    if not found.differences:
        yield "  the two have no arm in common"
    yield "\nSpeed is not compared here: see serlab bench compare"


def _table(corpus: str, rows: Sequence[ArmDifference]) -> Iterator[str]:
    """The arms of one corpus, and below them what is to be said of each."""
    from serlab.reports.words import clean, interval, label, p_value

    lines = [("arm", "A", "B", "B - A", "p", "")]
    for row in rows:
        numbers = (interval(row.a), interval(row.b), interval(row.difference, sign=True))
        lines.append((label(row.arm), *numbers, p_value(row.p_holm), _verdict(row)))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    yield f"{clean(corpus)}"
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()
    for row in rows:
        yield from (f"  {label(row.arm)}: {note}" for note in _notes(row))


def _verdict(row: ArmDifference) -> str:
    if row.identical:
        return "identical bits"
    words = {
        "better": "B is better",
        "worse": "B is worse",
        "same": "within the margin",
        "unclear": "neither shown nor ruled out",
    }
    return words[row.verdict.value] if row.verdict else "not compared"


def _notes(row: ArmDifference) -> Iterator[str]:
    """What stands behind a row: seeds, trainings that lack, limits."""
    from serlab.reports.words import plural

    for side, counts in (("A", row.trainings_a), ("B", row.trainings_b)):
        if not counts.whole:
            yield f"{side} has {counts.completed} of {counts.planned} trainings completed"
    if row.trainings_a.planned != row.trainings_b.planned and row.seeds:
        yield f"compared over {plural(len(row.seeds), 'seed')}: {', '.join(map(str, row.seeds))}"
    if row.reason:
        yield row.reason
    if row.difference and row.difference.note and not row.identical:
        yield row.difference.note
