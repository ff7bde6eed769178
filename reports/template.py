"""A lab's own look of the report: a folder with blocks of the page and sizes of the figures.

The folder is data, not code: its page is rendered in Jinja's sandbox and may only extend the
shipped one, and its style may only set what cannot change what a figure says. Code comes from
plugins.
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import BaseLoader, Environment, TemplateSyntaxError, nodes
from jinja2.exceptions import TemplateError
from markupsafe import Markup

from serlab.bench.errors import BadFile, UnknownName

PAGE, STYLE = "page.html", "figures.mplstyle"

SHIPPED = "serlab/page.html"
"""What a lab's page extends."""

PICTURE_TYPES = ("image/svg+xml", "image/png", "image/jpeg", "image/webp")

SETTINGS = (
    "font.sans-serif", "font.size", "axes.titlesize", "axes.titleweight", "axes.labelsize",
    "axes.labelweight", "axes.linewidth", "xtick.labelsize", "ytick.labelsize", "xtick.major.size",
    "ytick.major.size", "xtick.major.width", "ytick.major.width", "legend.fontsize",
    "grid.linewidth", "lines.linewidth", "lines.markersize",
)  # fmt: skip
"""What a lab's style may set: letters and lines, not colours, layout or how files are made."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """A lab's folder, found to be right."""

    folder: Path
    page: str | None
    """The text of its page; None where it has none."""
    style: Mapping[str, object]
    """Settings of matplotlib."""


def load_template(folder: Path) -> Template:
    """The look that a folder holds.

    Args:
        folder: with ``page.html``, which extends ``serlab/page.html``, or ``figures.mplstyle``,
            or both.

    Raises:
        BadFile: there is neither, or one of them is wrong; it names the line.
    """
    page, style = folder / PAGE, folder / STYLE
    if not page.is_file() and not style.is_file():
        raise BadFile(folder, f"is no template: it has neither {PAGE} nor {STYLE}")
    return Template(
        folder=folder,
        page=_checked_page(page) if page.is_file() else None,
        style=_settings(style) if style.is_file() else {},
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(path, f"is not readable as text: {error}") from None


# --- the page ------------------------------------------------------------------------------


def _checked_page(path: Path) -> str:
    text, environment = _text(path), Environment(autoescape=True)
    try:
        parsed = environment.parse(text)
    except TemplateSyntaxError as error:
        raise BadFile(f"{path}:{error.lineno}", f"is wrong: {error.message}") from None
    first = next((node for node in parsed.body if not _is_blank(node)), None)
    if not isinstance(first, nodes.Extends) or _name(first.template) != SHIPPED:
        line = first.lineno if first else 1
        raise BadFile(f"{path}:{line}", f'must begin with {{% extends "{SHIPPED}" %}}')
    known = {block.name for block in _blocks(environment.parse(shipped_page()))}
    for block in _blocks(parsed):
        if block.name not in known:  # Jinja would not print it
            where = f"{path}:{block.lineno}"
            raise UnknownName("block of the page", block.name, known, where=where)
    return text


def shipped_page() -> str:
    """The text of serlab's own page."""
    return (resources.files("serlab.reports") / PAGE).read_text(encoding="utf-8")


def _blocks(parsed: nodes.Template) -> list[nodes.Block]:
    return list(parsed.find_all(nodes.Block))


def _is_blank(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Output) and all(
        isinstance(part, nodes.TemplateData) and not part.data.strip() for part in node.nodes
    )


def _name(node: nodes.Expr) -> object:
    return node.value if isinstance(node, nodes.Const) else None


class _Pages(BaseLoader):
    """The lab's page and the shipped one, and no other."""

    def __init__(self, template: Template) -> None:
        self.template = template

    def get_source(
        self, environment: Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        if template == PAGE and self.template.page is not None:
            return self.template.page, str(self.template.folder / PAGE), lambda: True
        if template == SHIPPED:
            return shipped_page(), f"<{SHIPPED}>", lambda: True
        raise TemplateError(f'there is no "{template}": only {SHIPPED} can be had')


def render_page(
    template: Template,
    settings: Mapping[str, Any],
    filters: Mapping[str, Callable[..., object]],
    facts: Mapping[str, object],
) -> str:
    """The lab's page.

    Args:
        template: the lab's folder, with a page.
        settings: of Jinja's environment.
        filters: of the pages.
        facts: what the pages print.

    Raises:
        BadFile: the lab's page asks for what is not there, or for what the sandbox forbids.
    """
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(loader=_Pages(template), **settings)
    environment.filters |= filters

    def picture(name: str) -> Markup:
        return Markup(_data_address(template.folder, name))  # letters of base64

    try:
        return environment.get_template(PAGE).render(**facts, picture=picture)
    except Exception as error:  # what a template calls may raise anything
        line = _line(error, template.folder / PAGE)
        if line is None:
            raise
        raise BadFile(f"{template.folder / PAGE}:{line}", f"is wrong: {error}") from None


def _line(error: Exception, page: Path) -> int | None:
    """The last line of the lab's page that led to an error; Jinja puts it into the traceback."""
    found = error.lineno if isinstance(error, TemplateSyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(page):
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _data_address(folder: Path, name: str) -> str:
    """A picture of the folder as an address that holds it.

    Raises:
        BadFile: there is none of this name within the folder, or it is of another kind.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise BadFile(path, f"is no file within {folder}")
    kind, _ = mimetypes.guess_type(path.name)
    if kind not in PICTURE_TYPES:
        raise BadFile(path, "is no picture that a page can show: SVG, PNG, JPEG or WebP")
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


# --- the figures ---------------------------------------------------------------------------


def _settings(path: Path) -> dict[str, object]:
    """The settings of a style file, ``key: value`` a line, # before what is for people."""
    found: dict[str, object] = {}
    for number, line in enumerate(_text(path).splitlines(), 1):
        text = line.partition("#")[0].strip()
        if text:
            key, colon, value = (part.strip() for part in text.partition(":"))
            where = f"{path}:{number}"
            if not colon or not value:
                raise BadFile(where, "is no setting: expected key: value")
            found[key] = _setting(key, value, where)
    return found


def _setting(key: str, value: str, where: str) -> object:
    import matplotlib as mpl

    if key not in SETTINGS:
        raise UnknownName("setting that a template may change", key, SETTINGS, where=where)
    named: Any = key  # matplotlib's types want one of its names, not a text
    try:
        held = mpl.RcParams({named: value})[named]
    except ValueError as error:
        raise BadFile(where, str(error)) from None
    if key == "font.sans-serif":
        _check_installed(held, where)
    return held


def _check_installed(names: list[str], where: str) -> None:
    from matplotlib import font_manager

    have = {font.name for font in font_manager.fontManager.ttflist}
    for name in names:
        if name not in have:
            raise UnknownName("font that is installed here", name, have, where=where)
