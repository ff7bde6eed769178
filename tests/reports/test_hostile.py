"""Hostile text in every place where text enters a report: it is shown, and does nothing."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

from serlab.bench.contracts import Status
from serlab.reports.report import write_report
from serlab.reports.words import clean

PAYLOADS = (
    "<script>alert(1)</script>",
    "</script></style></title></textarea><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x=\'',
    "]]> --> <!-- -- <![CDATA[",
    "{{ 7 * 7 }} {% raw %} ${7*7} #{7}",
    "&lt;b&gt; &amp; &#60;i&#62; &nbsp",
    "a\x00b\x07c\x1b[31m",
    "\u202egnp.exe \u2066x\u2069 \u200f",
    "line\u2028two\u2029three\nfour\r\n\tfive",
    "javascript:alert(1) data:text/html,x",
    "=cmd|'/C calc'!A0",
    "@SUM(1)*-1;=2",
    "$x_1$ \\frac{a}{b} % \\end{document}",
    "情感 דובר ناطق",
    "n" * 300,
)
"""One for each place, in turn."""
ALLOWED = "{http://www.w3.org/2000/svg}"
DRAWN = {
    "svg",
    "g",
    "path",
    "defs",
    "use",
    "text",
    "clipPath",
    "rect",
    "image",
    "style",
    "metadata",
}


OF_TABLES = {"tr", "th", "td", "bdi"}
"""How many utterances an arm errs on is left to chance, which goes by the names."""


class Shape(HTMLParser):
    """The elements of a page with the names of their attributes, its text, and its scripts."""

    def __init__(self, page: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter[tuple[str, ...]] = Counter()
        self.text: list[str] = []
        self.links: list[str] = []
        self._svg = 0
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._svg += tag == "svg"
        if not self._svg and tag != "wbr":  # where names are long they may break
            self.elements[tag, *sorted(key for key, _ in attrs)] += 1
        self.links += [value or "" for key, value in attrs if key in {"href", "src"}]

    def handle_endtag(self, tag: str) -> None:
        self._svg -= tag == "svg"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def poisoned(value: Any, take: Callable[[str], str], key: str = "") -> Any:  # any JSON
    """JSON with text in the place of every free text; what is a key or a choice stays."""
    free = {"question", "licence", "source", "command", "created", "serlab", "text", "kind",
            "severity", "reason", "notes", "preset", "cpu", "python"}  # fmt: skip
    if isinstance(value, dict):
        return {k: poisoned(v, take, k) for k, v in value.items()}
    if isinstance(value, list):
        return [poisoned(v, take, key) for v in value]
    return take(key) if isinstance(value, str) and key in free else value


def report_of(fake: ModuleType, folder: Path, take: Callable[[str], str]) -> Path:
    """The page of a study all of whose names and texts are taken from somewhere."""
    arms = [take("arm") for _ in range(len(PAYLOADS) + 1)]
    study = fake.FakeStudy(
        name=take("study"),
        skill={"base": 0.75, **dict.fromkeys(arms, 0.6)},
        labels=tuple(take("label") for _ in range(3)),
        speakers=tuple(take("speaker") for _ in range(4)),
        corpora=(take("corpus"),),
        leaks=(take("leak"),),
        notes=(take("note"),),
        outside=(take("outside"),),
        transductive={arms[0]: take("reason")},
        probes={"base": 0.5},
        lost={(arms[1], "fold0", 0): Status.FAILED},
        unmetered={(arms[2], 1): take("failure")},
        seeds=(0, 1),
        per_cell=3,
        epochs=2,
    )
    run: Path = fake.write_fake_run(folder / "run", study)
    for file in (run / "resolved.json", *(run / "environments").glob("*.json")):
        held = poisoned(json.loads(file.read_text(encoding="utf-8")), take)
        for arm in held.get("arms", []):
            arm["kind"] = "base" if arm["is_base"] else "arm"
        if "cpu" in held:
            held[take("fact")] = {take("key"): take("value"), "lone": "half \ud800 pair"}
        file.write_text(json.dumps(held), encoding="utf-8")
    return write_report(run, folder / "report")


@pytest.fixture(scope="module")
def pages(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A page of harmless words, and one of the same shape in hostile ones."""
    made = []
    for words in (("word",), PAYLOADS):
        count = iter(range(10_000))

        def take(place: str, words: tuple[str, ...] = words, count: Any = count) -> str:
            n = next(count)
            return f"{words[n % len(words)]} {place}{n}"

        made.append(report_of(fake, tmp_path_factory.mktemp("page"), take))
    return made[0], made[1]


def test_the_page_has_the_same_elements_whatever_the_names(pages: tuple[Path, Path]) -> None:
    """No name adds an element or an attribute, or takes one away; no link leads elsewhere."""
    harmless, hostile = (Shape(page) for page in pages)
    assert hostile.elements.keys() == harmless.elements.keys()
    for kind, n in harmless.elements.items():
        if kind[0] not in OF_TABLES:
            assert hostile.elements[kind] == n, kind
    assert len(harmless.elements) > 40
    for link in hostile.links:
        assert re.match(r"#[\w.-]+$|(figures|tables)/[\w.-]+$|report\.md$|tables\.tex$", link), link


def test_every_hostile_text_is_shown(pages: tuple[Path, Path]) -> None:
    """As it was written, without what controls or turns it; no template is run."""
    text = " ".join(" ".join(Shape(pages[1]).text).split())
    for payload in PAYLOADS:
        assert clean(payload) in text
    assert "{{ 7 * 7 }}" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\u202a-\u202e\u2066-\u2069]", text)


def test_the_data_hold_the_texts_as_they_were(pages: tuple[Path, Path]) -> None:
    """JSON that ends no script element and keeps the names whole."""
    page = pages[1].read_text(encoding="utf-8")
    (held,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert not re.search("[<>&]", held)
    names = [arm["name"] for arm in json.loads(held)["corpora"][0]["arms"]]
    assert any(name.startswith("<script>alert(1)</script> arm") for name in names)


def test_pictures_are_pictures(pages: tuple[Path, Path]) -> None:
    """Every SVG is XML of shapes and text alone."""
    files = sorted((pages[1].parent / "figures").glob("*.svg"))
    assert len(files) > 6
    for file in files:
        for element in ElementTree.parse(file).iter():
            if element.tag.startswith(ALLOWED):
                assert element.tag.removeprefix(ALLOWED) in DRAWN, file.name
            assert not [key for key in element.attrib if key.lower().startswith("on")]
            links = [v for k, v in element.attrib.items() if k.endswith("href")]
            assert all(link.startswith(("#", "data:image/png")) for link in links)


def test_tables_have_cells_and_no_formulas(pages: tuple[Path, Path]) -> None:
    """Every line has as many cells as the header, and no cell begins as a formula."""
    files = sorted(pages[1].parent.rglob("*.csv"))
    assert len(files) > 8
    for file in files:
        rows = list(csv.reader(file.open(encoding="utf-8", newline="")))
        assert {len(row) for row in rows} == {len(rows[0])}, file.name
        for cell in (cell for row in rows for cell in row):
            if re.match(r"\s*[=+\-@|%]|.*;\s*[=@]", cell):
                float(cell)


def test_captions_are_one_line(pages: tuple[Path, Path]) -> None:
    """Without control characters."""
    for file in (pages[1].parent / "figures").glob("*.txt"):
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") == 1
        assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", text)
