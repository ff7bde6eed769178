"""Writes the report of a run: the page, its figures and its tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from serlab.bench.errors import BadFile
from serlab.reports.across import Over, across, across_csv, ranked, ranks_csv
from serlab.reports.attribution import Attribution
from serlab.reports.error_cards import MOST_AUDIO_BYTES, Errors, errors_of
from serlab.reports.errors import errors_csv
from serlab.reports.factorial import write_attribution
from serlab.reports.figure import Venue, write_numbers
from serlab.reports.figures.ranking import RankingFigure
from serlab.reports.frame import Tell, load_frame, untold
from serlab.reports.gallery import FigureFailed, draw_all
from serlab.reports.join import join
from serlab.reports.markdown import pull_request
from serlab.reports.page import Written, render, sections_of
from serlab.reports.paper import tables_tex
from serlab.reports.recordings import Listening
from serlab.reports.records import Block, Frame
from serlab.reports.table_files import write_meters, write_tables
from serlab.reports.template import Template

Telling = Callable[[str, str], Tell]
"""Makes, of a piece of work and what is counted in it, what is told how far it is."""


def _silent(what: str, unit: str) -> Tell:
    return untold


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a report is made.

    Args:
        listening: where recordings are found, and whether their sound goes into the page.
        template: a lab's own look.
        width: of the figures, as `WIDTHS_IN` names it.
        telling: tells how far the work is.
    """

    listening: Listening = field(default_factory=Listening)
    template: Template | None = None
    width: str = "double"
    telling: Telling = _silent

    @property
    def venue(self) -> Venue:
        """Of the figures."""
        return Venue(width=self.width, settings=self.template.style if self.template else {})


SHIPPED = Way()
"""Without recordings, in serlab's own look."""


def write_report(run: Path, out: Path | None = None, way: Way = SHIPPED) -> Path:
    """Writes a run's report and returns the path of its page.

    Args:
        run: the run's folder.
        out: the report's folder, ``run/report`` if None: ``index.html`` with ``figures/`` and
            ``tables/`` beside it.
        way: how it is made.

    Raises:
        BadFile: there is no run, a file of it is damaged, or the folder cannot be written to.
        NotComparable: the run joins results of unlike splits.
        FigureFailed: a figure raised an error; the report is there without it.
        SerlabError: no training of the run has completed.
    """
    folder = Path(out) if out is not None else Path(run) / "report"
    return _written(load_frame(run, way.telling("reading the run", "arms")), folder, way)


def write_joined(runs: Sequence[Path], out: Path, way: Way = SHIPPED) -> Path:
    """Writes one report of several runs, which `join` tells of, and returns its page's path.

    Raises:
        BadFile: there is no run in a folder, a file of it is damaged, or the report's folder
            cannot be written to.
        NotComparable: results of one split are of unlike utterances, or the levels differ.
        FigureFailed: a figure raised an error; the report is there without it.
        SerlabError: no training of a run has completed.
    """
    frames = [load_frame(run, way.telling(f"reading {run}", "arms")) for run in runs]
    return _written(join(frames), Path(out), way)


def _written(frame: Frame, folder: Path, way: Way) -> Path:
    try:
        for name in ("figures", "tables"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return _write(frame, folder, way)
    except OSError as error:
        raise BadFile(folder, f"cannot write the report here: {error.strerror}") from None


def _write(frame: Frame, folder: Path, way: Way) -> Path:
    drawing, n = way.telling("drawing", "figures"), len(frame.blocks)
    written = [
        _block(block, folder, way, f"{i}-{_slug(block.corpus.name)}-" if n > 1 else "",
               _part(drawing, i, n), MOST_AUDIO_BYTES // n)
        for i, block in enumerate(frame.blocks)
    ]  # fmt: skip
    over = _over(frame, folder / "figures", way.venue)
    _write_over(over, folder / "tables")
    sections = sections_of(frame, written)
    texts = {
        "tables.tex": tables_tex(frame, over),
        "index.html": render(frame, sections, over, way.template),
        "report.md": pull_request(frame, sections, over),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    page = folder / "index.html"
    if failed := [one for held in written for one in held.gallery.failed]:
        raise FigureFailed(failed, page)
    return page


def _block(
    block: Block, folder: Path, way: Way, prefix: str, tell: Tell, most_audio: int
) -> Written:
    """The figures and tables of one corpus, their names beginning with ``prefix``."""
    gallery = draw_all(block, folder / "figures", prefix, way.venue, tell)
    tables = write_tables(block, folder / "tables", f"{prefix}ablation")
    tables += write_meters(block, folder / "tables", f"{prefix}meters")
    if isinstance(block.attribution, Attribution):
        tables += write_attribution(block.attribution, block, folder / "tables", prefix)
    errors = errors_of(block, way.listening, most_audio)
    errors = _listed(errors, block, folder / "tables", f"{prefix}errors.csv")
    return Written(gallery=gallery, tables=tables, errors=errors)


def _part(tell: Tell, place: int, n: int) -> Tell:
    """What is told of one of ``n`` equal parts of the work."""
    return lambda done, total: tell(place * total + done, n * total)


def _listed(errors: Errors, block: Block, folder: Path, name: str) -> Errors:
    """The error browser with the file of all utterances, where there is a base to list."""
    if block.base is None or block.base.pooled is None:
        return errors
    folder.joinpath(name).write_text(errors_csv(block, block.base), encoding="utf-8", newline="")
    return replace(errors, file=name)


def _over(frame: Frame, folder: Path, venue: Venue) -> Over:
    """What the run tells over all its corpora, with the figure of their ranks."""
    ranks, kind = ranked(frame), RankingFigure()
    numbers = kind.info(frame, ranks)
    if numbers is None:
        return Over(rows=across(frame), ranked=ranks, figures=())
    drawn = write_numbers(kind, "ranking", numbers, folder, slug="ranking", venue=venue)
    return Over(rows=across(frame), ranked=ranks, figures=(drawn,))


def _write_over(over: Over, folder: Path) -> None:
    texts = {"across-corpora": across_csv(over.rows)} if over.rows else {}
    texts |= {"ranking": ranks_csv(over.ranked)} if over.ranked and over.ranked.ranking else {}
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="")


def _slug(text: str) -> str:
    """A name that is safe in paths, addresses and ids."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40] or "corpus"
