"""All tables of a report as one LaTeX file: booktabs rules, columns of siunitx, no scaling."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from serlab.reports.words import MINUS, clean, short

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOM_PT = 340.0
"""Width of a table: the text of a page of LaTeX's own article class has 345 points."""
ROWS = 42
"""Lines of a table that fit on such a page below a caption."""
LONGEST = 60
"""Characters of a name."""
FLOATS = 30
"""Tables after which LaTeX must put out those that it holds back."""

_LETTER_PT, _GAP_PT, _NARROWEST_PT = 4.3, 8.0, 62.0
"""Widths at footnotesize: a digit or letter, the space between columns, the first column."""
_WIDE_PT = {".": 2.4, ",": 2.4, "[": 3.8, "]": 2.4, " ": 2.6, "(": 3.3, ")": 3.3, "+": 6.6,
            "<": 6.6, "Δ": 7.1, MINUS: 6.6}  # fmt: skip
_SEPARATORS = "=,_/+ -"
_LONG_WORD = 12
"""Letters that fit into the narrowest column."""

HEAD = r"""% All tables of a report. In the preamble: \usepackage{booktabs,siunitx}
% A character that the engine or its font lacks is printed as its number, such as [U+60C5].
\DeclareRobustCommand\serlabchar[1]{%
  \ifdefined\directlua\iffontchar\font"#1\relax\char"#1\relax\else[U+#1]\fi
  \else\ifdefined\XeTeXversion\iffontchar\font"#1\relax\char"#1\relax\else[U+#1]\fi
  \else[U+#1]\fi\fi\allowbreak}
"""

_ESCAPED = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "|": r"\ensuremath{|}",
    '"': r"\char34{}",
    "`": r"\char96{}",
    "[": "{[}",
    "]": "{]}",
    "-": "{-}",
    "!": "!{}",
    "?": "?{}",
    "'": "'{}",
    MINUS: r"\ensuremath{-}",
    "±": r"\ensuremath{\pm}",
    "Δ": r"\ensuremath{\Delta}",
    "×": r"\ensuremath{\times}",
    "≈": r"\ensuremath{\approx}",
    "²": r"\textsuperscript{2}",
    "†": r"\ensuremath{\dagger}",
    "–": r"\textendash{}",
    "…": r"\ldots{}",
    "’": r"\textquoteright{}",
    "‘": r"\textquoteleft{}",
    "“": r"\textquotedblleft{}",
    "”": r"\textquotedblright{}",
    "\N{NARROW NO-BREAK SPACE}": r"\,",
    "\N{NO-BREAK SPACE}": r"\nobreakspace{}",
}
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
_LETTERS = {"ß": "ss", "æ": "ae", "Æ": "AE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "œ": "oe"}


def tex(text: object) -> str:
    """Text in which no character means anything to LaTeX, whatever its engine.

    Letters with accents are commands; what is neither those nor ASCII needs `HEAD`.
    """
    return "".join(map(_char, unicodedata.normalize("NFC", clean(text))))


def _char(char: str) -> str:
    if char in _ESCAPED:
        return _ESCAPED[char]
    if char.isascii():
        return char
    if char in _LETTERS:
        return rf"\{_LETTERS[char]}{{}}"
    parts = unicodedata.normalize("NFD", char)
    letter, accent = parts[0], _ACCENTS.get(parts[1:])
    if letter.isascii() and letter.isalpha() and accent:
        dotless = rf"\{letter}" if letter in "ij" else letter
        return rf"\{accent}{{{dotless}}}"
    return rf"\serlabchar{{{ord(char):04X}}}"


def tex_name(name: str, width: float) -> str:
    """A name as a cell of ``width`` points.

    If it does not fit on a line, it breaks behind its separators or, if it must, within words.
    """
    whole = short(name, LONGEST)
    if _points(whole) <= width:
        return tex(whole)
    parts = re.split(rf"(?<=[{_SEPARATORS}])", whole)
    *before, last = filter(None, parts)
    return "".join(_word(part) + _break(part) for part in before) + _word(last)


def _break(part: str) -> str:
    """Where a line may end: rather between two settings than within one."""
    return "" if part.endswith(" ") else r"\allowbreak{}" if part.endswith(",") else r"\penalty99{}"


def _word(text: str) -> str:
    """A word with its separator; a long one may break anywhere."""
    return (r"\penalty999{}" if len(text) > _LONG_WORD else "").join(map(_char, text))


# --- tables --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of numbers, with their intervals or without, one cell a row."""

    heading: str
    cells: tuple[str, ...]
    """As `words` writes them: ``+0.013 [−0.002, +0.028]``, ``0.612``, ``< 0.001``, or text."""
    bold: tuple[bool, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Paper:
    """One table as a paper prints it."""

    caption: str
    label: str
    names: str
    """Heading of the names."""
    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    marks: Mapping[int, str] = field(default_factory=dict)
    """LaTeX beside a row's name, by row."""
    titles: Mapping[int, str] = field(default_factory=dict)
    """Words above a row, by row."""


def latex(tables: Iterable[Paper]) -> str:
    """The tables as a file that a document inputs."""
    floats = [part for table in tables for part in _floats(table)]
    for place in range(FLOATS, len(floats), FLOATS):
        floats[place] = f"\\clearpage\n{floats[place]}"
    return "\n".join((HEAD, *floats))


_AFTER = r"\hspace{2\tabcolsep}}"
"""The end of a column whose closing bracket takes the place of the usual space."""
_NUMBER = rf"[+{MINUS}]?[\d\N{{NARROW NO-BREAK SPACE}}]+(?:\.\d+)?"
_VALUE = re.compile(rf"(?:< )?{_NUMBER}")
_INTERVAL = re.compile(rf"({_NUMBER}) \[({_NUMBER}), ({_NUMBER})\]")


def _floats(table: Paper) -> Iterator[str]:
    """The table in as many pieces as its rows take pages."""
    specs, cells = zip(*(_column(column) for column in table.columns), strict=True)
    width = _first_width(table)
    first = rf"@{{}}>{{\raggedright\arraybackslash\hangindent=1em}}p{{{width:.0f}pt}}"
    end = "}" if specs[-1].endswith(_AFTER) else "@{}"
    spec = "".join((first, *specs)).removesuffix(_AFTER) + end
    for part, rows in enumerate(_sheets(table, width)):
        held = [(row, (tex_name(table.rows[row], width), *(c[row] for c in cells))) for row in rows]
        yield _float(table, spec, held, part)


def _sheets(table: Paper, width: float) -> list[list[int]]:
    """The places of the rows on each sheet; names wider than ``width`` points take more lines."""
    sheets: list[list[int]] = [[]]
    used = 0
    for place, name in enumerate(table.rows):
        lines = math.ceil(1.2 * _points(short(name, LONGEST)) / width) + 2 * (place in table.titles)
        if used + lines > ROWS and sheets[-1]:
            sheets.append([])
            used = 0
        sheets[-1].append(place)
        used += lines
    return sheets


def _first_width(table: Paper) -> float:
    """Of the names: what they need, as far as the numbers leave it."""
    taken = sum(_width(column) for column in table.columns)
    need = max(_points(short(name, LONGEST)) for name in (table.names, *table.rows)) + _GAP_PT
    return max(_NARROWEST_PT, min(ROOM_PT - taken, need))


def _width(column: Column) -> float:
    """Points of a column, by its widest cell, and of the space before it."""
    return max(map(_points, (*column.cells, column.heading))) + _GAP_PT


def _points(text: str) -> float:
    """About how wide a text is."""
    return sum(map(_char_points, text))


def _char_points(char: str) -> float:
    told = _char(char)
    if told.startswith(r"\serlabchar"):
        return 8 * _LETTER_PT  # its number
    return _WIDE_PT.get(char, 6.2 if char.isupper() or told != char else _LETTER_PT)


def _column(column: Column) -> tuple[str, list[str]]:
    """The column's specification, and its cells as LaTeX."""
    bold = column.bold or (False,) * len(column.cells)
    held = [_INTERVAL.fullmatch(cell) for cell in column.cells]
    if any(held):
        parts = [[m[i] for m in held if m] for i in (1, 2, 3)]
        one, low, high = (f"S[table-format={_format(part)}]" for part in parts)
        spec = rf"{one}@{{\,[}}{low}@{{, }}{high}@{{]{_AFTER}"
        return spec, [
            " & ".join((_number(m[1], strong), _number(m[2]), _number(m[3])))
            if m
            else rf"\multicolumn{{3}}{{c}}{{{_text(cell, strong)}}}"
            for cell, m, strong in zip(column.cells, held, bold, strict=True)
        ]
    numbers = [cell for cell in column.cells if _VALUE.fullmatch(cell)]
    if not numbers:
        return "r", [_text(cell, strong) for cell, strong in zip(column.cells, bold, strict=True)]
    return f"S[table-format={_format(numbers)}]", [
        _number(cell, strong) if _VALUE.fullmatch(cell) else f"{{{_text(cell, strong)}}}"
        for cell, strong in zip(column.cells, bold, strict=True)
    ]


def _text(cell: str, strong: bool) -> str:
    return rf"\textbf{{{tex(cell)}}}" if strong else tex(cell)


def _number(text: str, strong: bool = False) -> str:
    plain = text.replace(MINUS, "-").replace("\N{NARROW NO-BREAK SPACE}", "")
    return rf"\bfseries {plain}" if strong else plain


def _format(numbers: Sequence[str]) -> str:
    """The table-format of siunitx that holds all of the numbers."""
    told = [_number(text) for text in numbers]
    whole = max(len(text.lstrip("<+- ").partition(".")[0]) for text in told)
    after = max(len(text.partition(".")[2]) for text in told)
    less = "<" if any("<" in text for text in told) else ""
    sign = "+" if any(text.lstrip("< ")[0] in "+-" for text in told) else ""
    return f"{less}{sign}{whole}.{after}"


def _float(table: Paper, spec: str, rows: Sequence[tuple[int, Sequence[str]]], part: int) -> str:
    n_columns = 1 + sum(3 if "@{, }" in _column(c)[0] else 1 for c in table.columns)
    caption = rf"\caption{{{table.caption}}}\label{{{table.label}}}"
    if part:
        caption = r"\addtocounter{table}{-1}\caption{Continued.}"
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
        r"\sisetup{detect-weight=true,retain-explicit-plus=true,group-digits=integer}",
        rf"{caption}\par\smallskip",
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        rf"{' & '.join((tex(table.names), *map(_heading, table.columns)))} \\",
        r"\midrule",
    ]
    for row, cells in rows:
        if row in table.titles:
            rule = [r"\midrule"] * (lines[-1] != r"\midrule")
            title = rf"\emph{{{tex(table.titles[row])}}}"
            lines += [*rule, rf"\multicolumn{{{n_columns}}}{{@{{}}l@{{}}}}{{{title}}} \\"]
        name, *others = cells
        lines.append(rf"{' & '.join((name + table.marks.get(row, ''), *others))} \\")
    return "\n".join((*lines, r"\bottomrule", r"\end{tabular}", r"\end{table*}", ""))


def _heading(column: Column) -> str:
    told = tex(column.heading)
    many = "@{, }" in _column(column)[0]
    return rf"\multicolumn{{3}}{{c}}{{{told}}}" if many else f"{{{told}}}"
