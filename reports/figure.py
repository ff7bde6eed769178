"""What every figure shares: the register, the style, and how one is written to files.

A figure is a class under ``@FIGURES.register(name, order=...)`` in its own file. Its ``info``
takes the numbers out of a block of results, or says why it has none; its ``draw`` turns the
numbers into a matplotlib figure. Nothing here touches pyplot, whose state is global.
"""

from __future__ import annotations

import io
import textwrap
import warnings
import xml.sax.saxutils
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from serlab.bench.errors import BadValue
from serlab.bench.registry import Registry
from serlab.reports.csvtext import csv_text
from serlab.reports.records import Block
from serlab.reports.svg import inline_svg
from serlab.reports.words import clean, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FIGURES = Registry("figure", "serlab.reports.figures")

WIDTHS_IN = {"single": 3.5, "double": 7.2, "slide": 10.0}
"""Widths of a column, of a page's two columns, and of a slide, in inches."""

INK, MUTED, FAINT, BAND, PAPER = "#222222", "#666666", "#dddddd", "#eceff3", "#fffffe"
"""Colours of text, of secondary text, of rules, of the margin band, and of gaps."""

BLUE, ORANGE, GREEN, YELLOW = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PINK = "#56B4E9", "#CC79A7"
PALETTE = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY)
"""Okabe and Ito's colours, safe for colour-blind readers; black is kept for the base."""

PICTURES = ("pdf", "png", "svg")
"""What a picture can be written as."""

FILES = ("pdf", "svg", "png", "csv", "txt")
"""Endings of the files of a figure in a report."""

WIDE_IN = 6.0
"""A figure wider than this has a row of the page to itself."""

BOLD_PER_IN = 13
"""Letters of a bold title on an inch, capitals among them."""

NARROW_IN = 5.0
"""A figure no wider than this is one for a single column."""

PX_PER_PT = 1.7
"""Largest scale of a figure on the page."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1.2, 1, 1.2)))

FALLBACK_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Hiragino Sans", "Yu Gothic",
    "Microsoft YaHei", "WenQuanYi Zen Hei", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari",
)  # fmt: skip
"""Tried after DejaVu Sans for scripts that it lacks, where they are installed."""


@dataclass(frozen=True, kw_only=True)
class Absent:
    """Why a figure is not drawn."""

    reason: str
    notable: bool = True
    """Whether the page says so; not where nobody would expect the figure."""


NO_CLASSES = Absent(reason="traces have no classes", notable=False)
NO_TRACES = Absent(reason="classes have no traces", notable=False)


class Numbers(Protocol):
    """What a figure shows, as numbers and words."""

    @property
    def marks(self) -> tuple[str, ...]:
        """See words.marks_of."""
        ...

    def rows(self) -> list[dict[str, object]]:
        """The plotted numbers, one row a mark."""
        ...

    def caption(self) -> str:
        """The caption as a paper would print it."""
        ...

    def alt(self) -> str:
        """What the figure shows, for one who cannot see it; made from the numbers."""
        ...


class Drawing(Protocol):
    """How numbers of one kind are drawn."""

    def draw(self, numbers: Any, width_in: float) -> Figure:  # see FigureKind.info
        """The figure, drawn within `style`."""
        ...


class FigureKind(Drawing, Protocol):
    """One kind of figure of a block."""

    def info(self, block: Block) -> Any:  # each figure has numbers of its own class, or Absent
        """The numbers, or an Absent with the reason."""
        ...


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure that was written: its name, its words, and its SVG for the page."""

    name: str
    slug: str
    title: str
    caption: str
    alt: str
    svg: str
    wide: bool
    """Whether it takes a whole row of the page."""
    files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Venue:
    """Where figures are shown: their width, as `WIDTHS_IN` names it, and a lab's own style."""

    width: str = "double"
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of matplotlib, above those of serlab's style."""


PAPER_PAGE = Venue()
"""Two columns of a paper, in serlab's style."""


@contextmanager
def style(salt: str, look: Mapping[str, object] | None = None) -> Iterator[None]:
    """Serlab's matplotlib style for a while, and a lab's own ``look`` above it.

    ``salt`` makes a figure's SVG ids its own. Fonts of the look come before serlab's.
    """
    import matplotlib as mpl

    path = resources.files("serlab.reports") / "serlab.mplstyle"
    with resources.as_file(path) as file:
        settings = mpl.rc_params_from_file(file, use_default_template=True)
    more: dict[Any, Any] = dict(look or {})  # matplotlib's types want its own names
    fonts = [*more.pop("font.sans-serif", []), "DejaVu Sans", *_installed_fonts()]
    with mpl.rc_context(), warnings.catch_warnings():
        # A script without an installed font shows as boxes in PDF and PNG; SVG keeps the text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        mpl.rcParams.update({k: v for k, v in settings.items() if k not in _KEPT})
        mpl.rcParams.update({**more, "svg.hashsalt": salt, "font.sans-serif": fonts})
        yield


_KEPT = {"backend", "backend_fallback", "interactive", "toolbar", "timezone", "webagg.port"}


@cache
def _installed_fonts() -> tuple[str, ...]:
    from matplotlib import font_manager

    have = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in FALLBACK_FONTS if name in have)


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that pyplot knows nothing of."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def mark(figure: Figure, marks: Sequence[str], title: str) -> None:
    """Writes the title, and above it, plainly, what a reader must be told."""
    text = _folded(clean(title), figure)
    if marks:
        loud = _folded("  ·  ".join(dict.fromkeys(_brief(m) for m in marks)), figure)
        figure.suptitle(
            f"{loud}\n{text}", x=0.005, ha="left", fontsize=8.5, fontweight="bold", color=INK
        )
        return
    figure.suptitle(text, x=0.005, ha="left", fontsize=9, fontweight="bold", color=INK)


def _folded(text: str, figure: Figure) -> str:
    """On as many lines as the width asks for."""
    return textwrap.fill(text, round(figure.get_figwidth() * BOLD_PER_IN))


def _brief(text: str) -> str:
    return clean(text).split(":")[0]


def marked(caption: str, marks: Sequence[str]) -> str:
    """The caption with the marks spelled out before it."""
    told = "".join(f"[{clean(m)}] " for m in marks)
    return f"{told}{caption}"


def quiet(axes: Axes, *, grid: Literal["", "x", "y"] = "") -> None:
    """Takes away what carries no number; ``grid`` names an axis whose ticks get lines."""
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(axis=grid, color=FAINT, linewidth=0.5)


def cost_axis(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where the costs span more than a factor of five; from zero otherwise."""
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    axes.xaxis.set_major_formatter(lambda x, _: _tick(x))
    if min(values) > 0 and max(values) / min(values) > 5:
        axes.set_xscale("log")
        span = max(values) / min(values)
        subs = (1.0,) if span > 100 else (1.0, 3.0) if span > 10 else (1.0, 2.0, 5.0)
        axes.xaxis.set_major_locator(LogLocator(subs=subs, numticks=6))
        axes.xaxis.set_major_formatter(lambda x, _: _tick(x))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(min(values) / 1.4, max(values) * 1.4)
        return
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.set_xlim(0, (max(values) or 1.0) * 1.15)


def _tick(value: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def is_narrow(width_in: float) -> bool:
    """Whether a figure is as wide as one column of a paper, and has room for few panels."""
    return width_in <= NARROW_IN


def columns_for(n: int, width_in: float) -> int:
    """How many columns of panels leave the fewest holes on a page."""
    if is_narrow(width_in):
        return 2
    return {1: 2, 5: 3, 6: 3, 9: 3}.get(n, min(n, 4))


def spread(values: Sequence[float], gap: float) -> list[float]:
    """Positions near the values, at least ``gap`` apart and in the same order; for labels."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    blocks: list[list[int]] = [[i] for i in order]

    def centre(block: list[int]) -> float:
        return sum(values[i] for i in block) / len(block)

    merged = True
    while merged:
        merged = False
        for left in range(len(blocks) - 1):
            one, two = blocks[left], blocks[left + 1]
            reach = gap * (len(one) + len(two)) / 2
            if centre(two) - centre(one) < reach - 1e-12:
                blocks[left : left + 2] = [one + two]
                merged = True
                break
    placed = [0.0] * len(values)
    for block in blocks:
        for rank, i in enumerate(block):
            placed[i] = centre(block) + gap * (rank - (len(block) - 1) / 2)
    return placed


# --- writing -------------------------------------------------------------------------------


def write_figure(
    kind: FigureKind,
    name: str,
    block: Block,
    folder: Path,
    *,
    slug: str,
    venue: Venue = PAPER_PAGE,
) -> Drawn | Absent:
    """Writes a figure as PDF, SVG, PNG, CSV and caption; says why where there is none."""
    numbers = kind.info(block)
    if isinstance(numbers, Absent):
        return numbers
    return write_numbers(kind, name, numbers, folder, slug=slug, venue=venue)


def write_numbers(
    kind: Drawing,
    name: str,
    numbers: Numbers,
    folder: Path,
    *,
    slug: str,
    venue: Venue = PAPER_PAGE,
) -> Drawn:
    """Writes numbers that a figure has already taken, as PDF, SVG, PNG, CSV and caption."""
    caption = marked(numbers.caption(), numbers.marks)
    with style(slug, venue.settings):
        figure = _laid_out(kind, numbers, WIDTHS_IN[venue.width])
        svg = _save(figure, folder / slug, alt=numbers.alt())
    folder.joinpath(f"{slug}.csv").write_text(
        csv_text(numbers.rows()), encoding="utf-8", newline=""
    )
    folder.joinpath(f"{slug}.txt").write_text(caption + "\n", encoding="utf-8", newline="")
    return Drawn(
        name=name,
        slug=slug,
        title=name.replace("_", " ").capitalize(),
        caption=caption,
        alt=f"{listed([clean(m) for m in numbers.marks])}. ".lstrip(". ") + numbers.alt(),
        svg=inline_svg(svg, slug, themed=_THEMED, px_per_pt=PX_PER_PT),
        wide=figure.get_figwidth() > WIDE_IN,
        files=tuple(f"{slug}.{ending}" for ending in FILES),
    )


def write_picture(kind: Drawing, numbers: Numbers, file: Path, *, salt: str) -> None:
    """Writes a picture alone, as its name ends.

    Raises:
        BadValue: as for `ending_of`.
    """
    ending = ending_of(file)
    with style(salt):
        figure = _laid_out(kind, numbers, WIDTHS_IN["double"])
        figure.savefig(file, format=ending, metadata=_metadata(ending, numbers.alt()))


def ending_of(file: Path) -> str:
    """What a picture's file is to hold.

    Raises:
        BadValue: it ends in none of `PICTURES`.
    """
    ending = file.suffix.removeprefix(".").lower()
    if ending not in PICTURES:
        expected = f"a name that ends in .{', .'.join(PICTURES[:-1])} or .{PICTURES[-1]}"
        raise BadValue("figure", str(file), expected)
    return ending


def _laid_out(kind: Drawing, numbers: Numbers, width_in: float) -> Figure:
    figure = kind.draw(numbers, width_in)
    for _ in range(3):  # ticks and the space for them settle together
        figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once, not again for each file
    return figure


def _metadata(ending: str, alt: str) -> dict[str, str | None]:
    """Of a picture, without dates or versions."""
    if ending == "pdf":
        facts = {"CreationDate": None, "Producer": None}
        return {**facts, "Creator": "serlab", "Subject": alt[:500]}
    return {"Software": None} if ending == "png" else {"Date": None, "Creator": "serlab"}


def _save(figure: Figure, stem: Path, *, alt: str) -> str:
    """Saves the three pictures; returns the SVG's text.

    Each canvas draws once, where `Figure.savefig` draws twice to lay out what is laid out.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    dpi, held = figure.dpi, io.StringIO()
    pdf: Any = FigureCanvasPdf(figure)  # what prints has no types
    pdf.print_pdf(f"{stem}.pdf", metadata=_metadata("pdf", alt))
    figure.set_dpi(dpi)  # those of PDF and SVG are points
    png: Any = FigureCanvasAgg(figure)  # as of PDF
    png.print_png(f"{stem}.png", metadata=_metadata("png", alt))
    svg_canvas: Any = FigureCanvasSVG(figure)  # as of PDF
    svg_canvas.print_svg(held, metadata=_metadata("svg", alt))
    svg = held.getvalue()
    Path(f"{stem}.svg").write_text(svg, encoding="utf-8", newline="")
    return svg


_THEMED = {
    INK: "--ink",
    MUTED: "--muted",
    FAINT: "--rule",
    BAND: "--band",
    PAPER: "--page",
    "#444444": "--muted",
}


def xml_text(text: object) -> str:
    """Text that is safe between tags and in attributes."""
    return xml.sax.saxutils.escape(clean(text), {'"': "&quot;", "'": "&#x27;"})
