"""Writes the report of a run: the page, its figures and its tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from serlab.bench.errors import BadFile
from serlab.reports.across import Over, across, across_csv, ranked, ranks_csv
from serlab.reports.attribution import Attribution
from serlab.reports.error_cards import MOST_AUDIO_BYTES, Errors, errors_of
from serlab.reports.errors import errors_csv
from serlab.reports.factorial import write_attribution
from serlab.reports.figure import FIGURES, Absent, Drawn, write_figure, write_numbers
from serlab.reports.figures.ranking import RankingFigure
from serlab.reports.frame import load_frame
from serlab.reports.join import join
from serlab.reports.markdown import pull_request
from serlab.reports.page import render, sections_of
from serlab.reports.paper import tables_tex
from serlab.reports.recordings import Listening
from serlab.reports.records import Block, Frame
from serlab.reports.table_files import write_meters, write_tables


def write_report(run: Path, out: Path | None = None, listening: Listening | None = None) -> Path:
    """Writes a run's report and returns the path of its page.

    Args:
        run: the run's folder.
        out: the report's folder, ``run/report`` if None: ``index.html`` with ``figures/`` and
            ``tables/`` beside it.
        listening: where recordings are found, and whether their sound goes into the page.

    Raises:
        BadFile: there is no run, a file of it is damaged, or the folder cannot be written to.
        NotComparable: the run joins results of unlike splits.
        SerlabError: no training of the run has completed.
    """
    folder = Path(out) if out is not None else Path(run) / "report"
    return _written(load_frame(run), folder, listening or Listening())


def write_joined(runs: Sequence[Path], out: Path, listening: Listening | None = None) -> Path:
    """Writes one report of several runs, which `join` tells of, and returns its page's path.

    Raises:
        BadFile: there is no run in a folder, a file of it is damaged, or the report's folder
            cannot be written to.
        NotComparable: results of one split are of unlike utterances, or the levels differ.
        SerlabError: no training of a run has completed.
    """
    return _written(join([load_frame(run) for run in runs]), Path(out), listening or Listening())


def _written(frame: Frame, folder: Path, listening: Listening) -> Path:
    try:
        for name in ("figures", "tables"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        return _write(frame, folder, listening)
    except OSError as error:
        raise BadFile(folder, f"cannot write the report here: {error.strerror}") from None


def _write(frame: Frame, folder: Path, listening: Listening) -> Path:
    figures: dict[str, list[Drawn]] = {}
    absent: dict[str, list[tuple[str, str]]] = {}
    tables: dict[str, tuple[str, ...]] = {}
    errors: dict[str, Errors] = {}
    for index, block in enumerate(frame.blocks):
        corpus = block.corpus.name
        prefix = f"{index}-{_slug(corpus)}-" if len(frame.blocks) > 1 else ""
        figures[corpus], absent[corpus] = _figures(block, folder / "figures", prefix)
        tables[corpus] = write_tables(block, folder / "tables", f"{prefix}ablation")
        tables[corpus] += write_meters(block, folder / "tables", f"{prefix}meters")
        errors[corpus] = errors_of(block, listening, MOST_AUDIO_BYTES // len(frame.blocks))
        errors[corpus] = _listed(errors[corpus], block, folder / "tables", f"{prefix}errors.csv")
        if isinstance(block.attribution, Attribution):
            tables[corpus] += write_attribution(block.attribution, block, folder / "tables", prefix)
    over = _over(frame, folder / "figures")
    _write_over(over, folder / "tables")
    (folder / "tables.tex").write_text(tables_tex(frame, over), encoding="utf-8", newline="")
    page = folder / "index.html"
    sections = sections_of(frame, figures, absent, tables, errors)
    page.write_text(render(frame, sections, over, errors), encoding="utf-8", newline="")
    (folder / "report.md").write_text(
        pull_request(frame, sections, over), encoding="utf-8", newline=""
    )
    return page


def _listed(errors: Errors, block: Block, folder: Path, name: str) -> Errors:
    """The error browser with the file of all utterances, where there is a base to list."""
    if block.base is None or block.base.pooled is None:
        return errors
    folder.joinpath(name).write_text(errors_csv(block, block.base), encoding="utf-8", newline="")
    return replace(errors, file=name)


def _over(frame: Frame, folder: Path) -> Over:
    """What the run tells over all its corpora, with the figure of their ranks."""
    ranks, kind = ranked(frame), RankingFigure()
    numbers = kind.info(frame, ranks)
    drawn = (write_numbers(kind, "ranking", numbers, folder, slug="ranking"),) if numbers else ()
    return Over(rows=across(frame), ranked=ranks, figures=drawn)


def _write_over(over: Over, folder: Path) -> None:
    texts = {"across-corpora": across_csv(over.rows)} if over.rows else {}
    texts |= {"ranking": ranks_csv(over.ranked)} if over.ranked and over.ranked.ranking else {}
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8", newline="")


def _figures(block: Block, folder: Path, prefix: str) -> tuple[list[Drawn], list[tuple[str, str]]]:
    """Every registered figure, in its order, drawn or with the reason why it is not."""
    drawn: list[Drawn] = []
    absent: list[tuple[str, str]] = []
    entries = sorted(FIGURES.entries().values(), key=lambda e: (e.facts.get("order", 99), e.name))
    for entry in entries:
        kind = entry.load()()
        held = write_figure(kind, entry.name, block, folder, slug=f"{prefix}{entry.name}")
        if isinstance(held, Absent):
            if held.notable:
                absent.append((entry.name.replace("_", " "), held.reason))
        else:
            drawn.append(held)
    return drawn, absent


def _slug(text: str) -> str:
    """A name that is safe in paths, addresses and ids."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40] or "corpus"
