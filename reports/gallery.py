"""Every registered figure of a block: drawn, absent with its reason, or failed with its error."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serlab.bench.errors import BadValue, SerlabError
from serlab.bench.registry import Entry
from serlab.reports.figure import FIGURES, FILES, Absent, Drawn, Venue, write_numbers
from serlab.reports.frame import Tell, untold
from serlab.reports.records import Block
from serlab.reports.words import clean


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A figure whose code raised an error; the others are drawn all the same."""

    name: str
    corpus: str
    reason: str
    """The error, and the line that it comes from."""
    file: Path
    """Holds the whole traceback."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The figures of one block."""

    drawn: tuple[Drawn, ...]
    absent: tuple[tuple[str, str], ...]
    """Name and reason of those that a reader would look for in vain, failed ones among them."""
    failed: tuple[Failed, ...]


class FigureFailed(SerlabError):
    """Figures failed, and the report was written without them.

    Attributes:
        page: the report's page.
    """

    def __init__(self, failed: Sequence[Failed], page: Path) -> None:
        self.page = page
        told = "; ".join(
            f'figure "{one.name}" of {one.corpus} {one.reason}, see {one.file}' for one in failed
        )
        super().__init__(f"{told}; the report has everything else")


def draw_all(block: Block, folder: Path, prefix: str, venue: Venue, tell: Tell = untold) -> Gallery:
    """Writes every figure that the block has numbers for, in the order of the register.

    Args:
        block: the results.
        folder: of the figures' files.
        prefix: of the files' names.
        venue: of all of them.
        tell: told, before each figure, how many of how many are done.

    Raises:
        OSError: the folder cannot be written to.
    """
    drawn: list[Drawn] = []
    absent: list[tuple[str, str]] = []
    failed: list[Failed] = []
    entries = sorted(FIGURES.entries().values(), key=lambda e: (e.facts.get("order", 99), e.name))
    for place, entry in enumerate(entries):
        tell(place, len(entries))
        held = _one(entry, block, folder, f"{prefix}{entry.name}", venue)
        if isinstance(held, Drawn):
            drawn.append(held)
            continue
        if isinstance(held, Failed):
            failed.append(held)
        if isinstance(held, Failed) or held.notable:
            absent.append((entry.name.replace("_", " "), held.reason))
    return Gallery(drawn=tuple(drawn), absent=tuple(absent), failed=tuple(failed))


def _one(
    entry: Entry, block: Block, folder: Path, slug: str, venue: Venue
) -> Drawn | Absent | Failed:
    trace = folder / f"{slug}.error.txt"
    trace.unlink(missing_ok=True)
    try:
        kind = entry.load()()
        numbers = kind.info(block)
        if isinstance(numbers, Absent):
            return numbers
        _check_marks(numbers.marks, block)
        return write_numbers(kind, entry.name, numbers, folder, slug=slug, venue=venue)
    except Exception as error:  # a plugin may raise anything, and must not cost the report
        if _cannot_write(error, folder):
            raise
        for ending in FILES:  # what an earlier report left, or the part that was drawn
            folder.joinpath(f"{slug}.{ending}").unlink(missing_ok=True)
        trace.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        return Failed(
            name=entry.name,
            corpus=block.corpus.name,
            reason=f"failed with {_told(error, entry)}",
            file=trace,
        )


def _check_marks(marks: Sequence[str], block: Block) -> None:
    missing = [mark for mark in block.corpus.marks if mark not in marks]
    if missing:
        raise BadValue("marks", tuple(marks), f'"{missing[0]}" among them, as words.marks_of tells')


def _cannot_write(error: Exception, folder: Path) -> bool:
    """Whether it is the report's folder that fails, not the figure."""
    if not isinstance(error, OSError):
        return False
    inside = error.filename is not None and Path(str(error.filename)).is_relative_to(folder)
    return inside or error.errno == errno.ENOSPC


def _told(error: Exception, entry: Entry) -> str:
    """The error in a line, with the last line of the figure's own module that led to it."""
    module = sys.modules.get(entry.module)
    home = getattr(module, "__file__", None)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == home] or frames
    text = clean(str(error))
    named = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{named} ({Path(own[-1].filename).name}, line {own[-1].lineno})"
