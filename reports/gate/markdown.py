"""The result of a gate as Markdown, and as a job summary that GitHub takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from serlab.reports.gate.records import QUIET, Check, Outcome, Result
from serlab.reports.gate.words import (
    difference_of,
    grounds,
    margin_of,
    parted,
    policy_words,
    power_of,
    slices_words,
    subject,
    told,
    worst_first,
)
from serlab.reports.words import markdown_text, short

SUMMARY_BYTES = 900_000
"""GitHub drops a summary of more than 1 MiB, whole; other commands of a step write there too."""
_LONGEST = 1500
"""Characters of one text, as of errors."""


def markdown(result: Result) -> str:
    """The verdict, the checks that it rests on, the slices that warn, and the notes."""
    return "\n".join(_lines(result)) + "\n"


def job_summary(result: Result, limit: int = SUMMARY_BYTES) -> str:
    """The Markdown in at most ``limit`` bytes; rows that do not fit are counted."""
    lines = _lines(result)
    room = limit - len(_left_out(len(lines)).encode())
    kept, size = 0, 0
    for line in lines:
        size += len(line.encode()) + 1
        if size > room:
            break
        kept += 1
    rest = sum(bool(line) for line in lines[kept:])
    return "\n".join(lines[:kept]) + ("\n" if not rest else _left_out(rest))


def _left_out(n: int) -> str:
    return f"\n\n{n} more lines are left out; the JSON holds everything.\n"


def _lines(result: Result) -> list[str]:
    gating, slices = parted(result)
    lost = [check for check in slices if check.outcome not in QUIET]
    lines = [
        f"### serlab gate {_md(result.command)}: {result.outcome.value}",
        "",
        f"**{_md(result.sentence)}**",
        "",
        " ".join(f"{_md(words)}." for words in (subject(result), grounds(result)) if words),
    ]
    lines += _table(worst_first(gating), result.metric)
    more = _said(check for check in worst_first(gating) if _unsaid(check, result))
    lines += ["", *more] if more else []
    counted = "; ".join(words for words in (slices_words(result), policy_words(result)) if words)
    lines += ["", f"{_md(counted[0].upper() + counted[1:])}."] if counted else []
    last = _said(worst_first(lost)) + [f"- Note: {_md(note)}" for note in result.notes]
    return [*lines, "", *last] if last else lines


def _unsaid(check: Check, result: Result) -> bool:
    """Whether neither the verdict nor the table says what was found."""
    shown = check.outcome is Outcome.PASS and "difference" in check.numbers
    return check is not told(result) and not shown


def _table(checks: Sequence[Check], metric: str) -> list[str]:
    """A table of checks; empty where there are none."""
    if not checks:
        return []
    rows = [
        (
            _md(check.name),
            _outcome(check),
            difference_of(check, metric) or "–",
            margin_of(check, metric) or "–",
            power_of(check) or "–",
        )
        for check in checks
    ]
    heading = ("check", "outcome", "difference", "margin", "power")
    marks = ("---", "---", "---:", "---:", "---:")
    return ["", *(f"| {' | '.join(row)} |" for row in (heading, marks, *rows))]


def _said(checks: Iterable[Check]) -> list[str]:
    """What was found, check by check."""
    return [f"- {_outcome(check)} {_md(check.name)}: {_md(check.sentence)}" for check in checks]


def _outcome(check: Check) -> str:
    word = check.outcome.value
    return word if check.outcome is Outcome.PASS else f"**{word}**"


def _md(text: object) -> str:
    return markdown_text(short(text, _LONGEST))
