"""Draws figures of a finished run for the gallery: a picture and its words for each.

python docs/gallery/make.py RUN FIGURE...

writes ``STUDY-FIGURE.png`` (at 180 dpi, few colours) and ``STUDY-FIGURE.md`` beside this file.
"""

from __future__ import annotations

import html
import sys
import tempfile
from pathlib import Path

from PIL import Image

from serlab.reports.figure import FIGURES, Absent, write_figure
from serlab.reports.frame import load_frame

HERE = Path(__file__).parent
SCALE = 0.6
"""Of serlab's pictures, which have 300 dpi."""


def main(run: str, *names: str) -> None:
    """Draws the figures of the run's first corpus."""
    frame = load_frame(Path(run))
    for name in names:
        slug = f"{frame.study.name}-{name}"
        with tempfile.TemporaryDirectory() as folder:
            drawn = write_figure(
                FIGURES.load(name)(), name, frame.blocks[0], Path(folder), slug=slug
            )
            if isinstance(drawn, Absent):
                sys.exit(f"{run} has no {name}: {drawn.reason}")
            shrink(Path(folder) / f"{slug}.png", HERE / f"{slug}.png")
        alt, caption = (html.escape(text) for text in (drawn.alt, drawn.caption))
        (HERE / f"{slug}.md").write_text(
            f'<figure>\n<img class="figure" src="gallery/{slug}.png" alt="{alt}" loading="lazy">\n'
            f"<figcaption>{caption}</figcaption>\n</figure>\n",
            encoding="utf-8",
        )


def shrink(source: Path, target: Path) -> None:
    """Writes the picture smaller and with 128 colours."""
    with Image.open(source) as picture:
        size = (round(picture.width * SCALE), round(picture.height * SCALE))
        small = picture.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        small.quantize(128, method=Image.Quantize.MAXCOVERAGE).save(target, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
