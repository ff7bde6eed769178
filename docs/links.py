"""The check of the built site: every link within it leads somewhere, no page loads from elsewhere.

Links to other hosts are not followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data"}
"""Attributes whose target a browser fetches unasked; those of link elements depend on rel."""


class _Read(HTMLParser):
    """The ids, the links, and what a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = {name: value or "" for name, value in attrs}
        self.ids |= {held[name] for name in ("id", "name") if name in held}
        if tag == "a" and "href" in held:
            self.links.append(held["href"])
        if tag == "link" and held.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(held.get("href", ""))
        if tag in LOADED and LOADED[tag] in held:
            self.loaded.append(held[LOADED[tag]])


def problems_of(site: Path) -> Iterator[str]:
    """Every link within the site that leads nowhere, and every part from another host."""
    pages = {path: _read(path) for path in site.rglob("*.html")}
    for path, page in pages.items():
        if path.name == "404.html":  # its links are those of wherever it is shown
            continue
        where = path.relative_to(site)
        for target in page.loaded:
            if urlsplit(target).netloc:
                yield f"{where}: loads {target}"
        for target in (*page.links, *page.loaded):
            problem = _wrong(target, path, pages)
            if problem:
                yield f"{where}: {target}: {problem}"
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        if "url(http" in text or "url(//" in text or "@import" in text:
            yield f"{path.relative_to(site)}: loads from another host"


def _read(path: Path) -> _Read:
    read = _Read()
    read.feed(path.read_text(encoding="utf-8"))
    return read


def _wrong(target: str, path: Path, pages: Mapping[Path, _Read]) -> str:
    """What is wrong with a link of a page; empty if nothing, or if it leads to another host."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return ""
    aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if aim.is_dir():
        aim = aim / "index.html"
    if not aim.is_file():
        return "no such file"
    if parts.fragment and aim in pages and unquote(parts.fragment) not in pages[aim].ids:
        return "no such place"
    return ""
