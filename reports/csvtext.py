"""CSV that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence

from serlab.reports.words import clean

_FORMULA = re.compile("(^|;)( *)(?=[-=+@|%\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
                      "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}])")  # fmt: skip
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def csv_text(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as CSV with a header of all their keys; None is an empty cell.

    What a spreadsheet would run gets an apostrophe before it, as OWASP advises against CSV
    injection: =, +, -, @ (also of full width), | and % at the beginning of a text or after a
    semicolon, at which some spreadsheets part cells. Numbers stay as they are, and tabs and line
    breaks are spaces.
    """
    header = list(dict.fromkeys(key for row in rows for key in row))
    held = io.StringIO(newline="")
    writer = csv.writer(held, lineterminator="\n")
    writer.writerow([_cell(key) for key in header])
    for row in rows:
        writer.writerow([_cell(row.get(key)) for key in header])
    return held.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.10g}"
    text = clean(value)
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1\2'", text)
