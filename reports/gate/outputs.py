"""The result of a gate as JSON and as plain text, and all its outputs as files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from serlab.bench.contracts import plain
from serlab.bench.errors import BadFile, BadValue, UnknownName
from serlab.bench.typed import build
from serlab.reports.figure import write_picture
from serlab.reports.figures.gate_interval import GateInterval
from serlab.reports.gate.junit import junit_xml
from serlab.reports.gate.markdown import job_summary, markdown
from serlab.reports.gate.records import QUIET, Check, Outcome, Result
from serlab.reports.gate.words import (
    grounds,
    parted,
    policy_words,
    slices_words,
    subject,
    told,
    worst_first,
)
from serlab.reports.words import clean, duration

SCHEMA = 1
"""Of the JSON; another number is another meaning of its keys."""
_DERIVED = ("outcome", "exit_code", "sentence")


def plain_text(result: Result) -> str:
    """The result for a terminal: the verdict, what it rests on, and all that did not pass."""
    gating, slices = parted(result)
    lost = [check for check in slices if check.outcome not in QUIET]
    others = worst_first(check for check in (*gating, *lost) if check is not told(result))
    wide = max((len(check.outcome.value) for check in others), default=0)
    lines = [clean(result.sentence), f"  {subject(result)}"]
    lines += [f"  {grounds(result)}"] if grounds(result) else []
    for check in others:
        lines.append(f"  {_label(check):<{wide}}  {clean(check.name)}: {clean(check.sentence)}")
    lines += [f"  {words}" for words in (slices_words(result), policy_words(result)) if words]
    lines += [f"  note: {clean(note)}" for note in result.notes]
    took = f" after {duration(result.seconds)}" if result.seconds else ""
    return "\n".join([*lines, f"  exit code {result.exit_code}{took}"])


def _label(check: Check) -> str:
    """How the check ended; what passed is told quietly."""
    word = check.outcome.value
    return word if check.outcome is Outcome.PASS else word.upper()


def json_text(result: Result) -> str:
    """The whole result as JSON: the source of every other output.

    Beside the fields of the result it holds what follows from them: ``outcome``, ``exit_code``
    and ``sentence``. It is ASCII, so that names of files in any encoding survive.

    Raises:
        ValueError: a number is nan or infinite.
    """
    return json.dumps(_table(result), indent=1, allow_nan=False) + "\n"


def _table(result: Result) -> dict[str, Any]:  # JSON values of any shape
    derived = {name: getattr(result, name) for name in _DERIVED}
    return {"schema": SCHEMA, **derived, **plain(result)}


def read_json(text: str, where: str = "result") -> Result:
    """The result that `json_text` wrote; ``where`` names the text in errors.

    Raises:
        SerlabError: it is no such text, of another schema, or its verdict is not what its checks
            come to.
    """
    try:
        table = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise BadFile(where, f"is not JSON ({error})") from None
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        found = table.get("schema") if isinstance(table, dict) else type(table).__name__
        raise BadValue(f"{where}: schema", found, f"{SCHEMA}")
    own = {k: v for k, v in table.items() if k not in ("schema", *_DERIVED)}
    result: Result = build(Result, own, where)
    for check in result.checks:
        _check_numbers(check, where)
    for key in _DERIVED:
        if table.get(key) != getattr(result, key):
            raise BadValue(f"{where}: {key}", table.get(key), f"{getattr(result, key)!r}")
    return result


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}")


def _check_numbers(check: Check, where: str) -> None:
    for key, value in check.numbers.items():
        if not (value is None or isinstance(value, int | float | str)):
            raise BadValue(f"{where}: {check.name}: {key}", value, "a number, a text or null")


WRITERS: Mapping[str, Callable[[Result], str]] = {
    "json": json_text,
    "junit": junit_xml,
    "markdown": markdown,
    "summary": job_summary,
}
"""What a result can be written as; beside these texts there is a `FIGURE`."""

FIGURE = "figure"


def write_outputs(result: Result, files: Mapping[str, str | Path]) -> None:
    """Writes the result to files, by the name of what they hold: a key of `WRITERS`, or `FIGURE`.

    A figure is SVG, PDF or PNG, as its file's name ends. A job summary is added to what its file
    holds already: other commands of a step write there.

    Raises:
        UnknownName: there is no such output.
        BadValue: a figure's file ends in something else.
        BadFile: a file cannot be written.
    """
    for name, file in files.items():
        if name not in (*WRITERS, FIGURE):
            raise UnknownName("output of the gate", name, (*WRITERS, FIGURE))
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
            _write(result, name, Path(file))
        except OSError as error:
            raise BadFile(file, f"cannot be written ({error.strerror})") from None


def _write(result: Result, name: str, file: Path) -> None:
    if name == FIGURE:
        kind = GateInterval()
        write_picture(kind, kind.info(result), file, salt="gate")
        return
    text = WRITERS[name](result)
    with file.open("a" if name == "summary" else "w", encoding="utf-8") as held:
        held.write(text)
