"""The result of a gate as workflow commands, which GitHub shows as annotations."""

from __future__ import annotations

from serlab.reports.gate.records import QUIET, Check, Outcome, Result
from serlab.reports.gate.words import worst_first
from serlab.reports.words import clean

MOST = 8
"""GitHub shows ten of a kind in a step."""


def workflow_commands(result: Result) -> str:
    """Lines for standard output, worst first; beyond `MOST` of them, one that counts the rest.

    What passed is one notice: the verdict. Slices that were not judged are left to the report.
    """
    title = f"serlab gate {result.command}"
    lines = [
        _command(_level(check, result), f"{title}: {check.name}", check.sentence)
        for check in worst_first(result.checks)
        if check.outcome not in QUIET
    ]
    if not lines:
        lines.append(_command("notice", title, result.sentence))
    lines += [_command("notice", f"{title}: note", note) for note in result.notes]
    rest = len(lines) - MOST
    if rest > 0:
        more = f"{rest} more: see the job summary or the JSON"
        lines = [*lines[:MOST], _command("notice", title, more)]
    return "".join(f"{line}\n" for line in lines)


def _level(check: Check, result: Result) -> str:
    let_through = check.outcome is Outcome.INCONCLUSIVE and result.inconclusive == "warn"
    return "warning" if check.outcome is Outcome.WARN or let_through else "error"


def _command(level: str, title: str, text: str) -> str:
    """A workflow command, escaped as GitHub's own toolkit does it."""
    escaped = _data(clean(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={escaped}::{_data(clean(text))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
