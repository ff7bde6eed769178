"""An SVG as a small element of a page."""

from __future__ import annotations

import re

_COORDINATES = re.compile(r'\b(d|x|y|x1|x2|y1|y2|points|transform|viewBox)="([^"]*)"')
_MARKS = re.compile(r'<use [^<>]* style="([^"]*)"/>(?:<use [^<>]* style="\1"/>)+')
_FRACTION = re.compile(r"-?\d+\.\d+")


def inline_svg(svg: str, slug: str, *, themed: dict[str, str], px_per_pt: float) -> str:
    """The SVG without its prolog, with ids of its own and colours that follow the page's theme.

    The style element is dropped (it would apply to the whole page), and white backgrounds are
    left out so that the page's own shows. Coordinates keep two decimals of a point.

    Args:
        svg: as matplotlib writes it.
        slug: what its ids begin with.
        themed: variables of the page's style sheet by colour.
        px_per_pt: largest scale on the page.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.S)
    for colour, variable in themed.items():
        body = re.sub(rf"(fill|stroke): {colour}", rf"\1: var({variable})", body)
    body = body.replace("fill: #ffffff", "fill: none")
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', body))
    body = re.sub(r"<[^<>]+>", lambda found: _tag(found[0], slug, used), body)
    body = re.sub(r">\s+<", "><", body).replace("<g/>", "").replace("<g></g>", "")
    body = _MARKS.sub(_together, body)
    width = re.search(r'width="([\d.]+)pt"', body)
    assert width is not None
    size = f'aria-hidden="true" style="max-width:{float(width[1]) * px_per_pt:.0f}px"'
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', size, body, count=1)


def _tag(text: str, slug: str, used: set[str]) -> str:
    """A tag with its ids renamed, or left out where nothing refers to them, and made short."""
    text = re.sub(r'\bid="([^"]+)"', lambda m: f'id="{slug}-{m[1]}"' * (m[1] in used), text)
    text = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{slug}-\1"', text)
    text = text.replace('xlink:href="data:', 'href="data:')
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{slug}-\1)", text)
    text = re.sub(r' xmlns:xlink="[^"]*"| transform="rotate\(-0 [^"]*\)"', "", text)
    text = re.sub(r"font-family: [^;\"]*;? ?", "", text)
    text = _COORDINATES.sub(lambda m: f'{m[1]}="{_short(m[2])}"', text)
    text = re.sub(r'(?<=style=")[^"]*', lambda m: re.sub(r"([:;]) ", r"\1", m[0]), text)
    return re.sub(r"\s+(?=/?>$)", "", text)


def _together(found: re.Match[str]) -> str:
    """Marks that look alike, in a group that has their style."""
    style = f' style="{found[1]}"'
    return f"<g{style}>{found[0].replace(style, '')}</g>"


def _short(numbers: str) -> str:
    return " ".join(
        _FRACTION.sub(lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), numbers).split()
    )
