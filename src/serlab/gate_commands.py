"""The commands of the gate: record, check and selfcheck."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from serlab.bench.errors import BadValue
from serlab.commands import device_of, roots_of, say

if TYPE_CHECKING:
    from serlab.reports.gate.records import Result

OUTPUTS = ("json", "junit", "markdown", "summary", "figure")


def gate_record_command(chosen: Namespace, typed: str) -> int:
    """Records a baseline from a finished run."""
    from serlab.reports.gate.record import record
    from serlab.reports.gate.words import terms_words

    held = record(
        Path(chosen.run),
        Path(chosen.out),
        arm=chosen.arm or "base",
        extension=_seeds(chosen.extension),
        margin=chosen.margin,
        replace=chosen.replace,
    )
    _print(terms_words(held))
    return 0


def gate_check_command(chosen: Namespace, typed: str) -> int:
    """Holds a candidate against a baseline; the exit code is the verdict."""
    from serlab.gate import Asked, check

    _check_figure(chosen)
    asked = Asked(
        run=Path(chosen.run) if chosen.run else None,
        study=chosen.study or "",
        predictions=Path(chosen.predictions) if chosen.predictions else None,
        checkpoint=Path(chosen.checkpoint) if chosen.checkpoint else None,
        arm=chosen.arm,
        inconclusive=chosen.inconclusive,
        tolerance=chosen.tolerance,
        changes=chosen.set,
        roots=roots_of(chosen.root),
        device=device_of(chosen.device),
        address=chosen.address,
        plugins=chosen.plugin,
        out=Path(chosen.out) if chosen.out else None,
        command=typed,
        say=say,
    )
    return _told(check(Path(chosen.baseline), asked), chosen)


def gate_selfcheck_command(chosen: Namespace, typed: str) -> int:
    """Holds a baseline against itself and against controls; 0 where the gate is awake."""
    from serlab.gate import selfcheck

    _check_figure(chosen)
    return _told(selfcheck(Path(chosen.baseline)), chosen)


def _check_figure(chosen: Namespace) -> None:
    """Finds a file that is no picture before there is anything to draw."""
    from serlab.reports.figure import ending_of

    if chosen.figure:
        ending_of(Path(chosen.figure))


def _told(result: Result, chosen: Namespace) -> int:
    """Prints and writes a result, and gives its exit code."""
    from serlab.reports.gate.annotations import workflow_commands
    from serlab.reports.gate.outputs import plain_text, write_outputs

    files = {name: getattr(chosen, name) for name in OUTPUTS if getattr(chosen, name)}
    write_outputs(result, files)
    with suppress(BrokenPipeError):  # who has stopped to read still gets the exit code
        _print(plain_text(result))
        if chosen.annotations:
            _print(workflow_commands(result))
    return result.exit_code


def _print(text: str) -> None:
    """To an output that may lack characters, such as a file on Windows; a minus sign stays one."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        plain = text.replace("\N{MINUS SIGN}", "-")
        text = plain.encode(encoding, "backslashreplace").decode(encoding)
    print(text)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise BadValue("--extension", text, "seeds with commas, such as 5,6,7") from None
