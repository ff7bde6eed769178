"""Text in Markdown: a reader sees what was written, and nobody is linked or notified."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serlab.bench.contracts import Status
from serlab.bench.registry import Entry
from serlab.reports.csvtext import csv_text
from serlab.reports.figure import FIGURES, Absent
from serlab.reports.markdown import LONGEST, _code
from serlab.reports.report import write_report
from serlab.reports.words import clean, markdown_text

HOSTILE = (
    "a|b",
    "`code` ``more``",
    "[x](http://example.com) ![i](x.png) [y][1]",
    "[0.1](javascript:alert(1)) [0.1, 0.2](http://e)",
    "[a]: http://example.com",
    "[^1] - [ ] task",
    "- item",
    "+ item",
    "12. item",
    "3) item",
    "---",
    "===",
    "# heading",
    "> quote",
    "*a* _b_ __c__ ~~d~~",
    "<script>alert(1)</script> &lt;b&gt; <!-- x -->",
    "$x_1$ and \\(y\\)",
    "ends in \\",
    "\\| \\` \\\\",
    "@octocat @org/team someone@example.com",
    "#123 GH-12 owner/repo#5",
    "http://example.com www.example.com ftp://example.com mailto:a@b.de",
    ":tada: ::1:",
)
LINKED = (
    r"(?<![\w/])@\w", r"\w@\w", r"#\d", r"\bgh-\d", r"\w+://", r"\bwww\.\w", r"(?<!\d):[\w+-]+:",
)  # fmt: skip
"""What GitHub turns into links, notifications or pictures after the Markdown was read."""


class Words(HTMLParser):
    """The text of some HTML, and its tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in {"href", "src"} and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def rendered(markdown: str) -> Words:
    """As a reader sees it, with tables and struck-out text."""
    parser = pytest.importorskip("markdown_it", reason="needs markdown-it-py")
    words = Words()
    words.feed(parser.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(markdown))
    return words


def assert_plain(text: str) -> None:
    """Wherever it stands, it is text and nothing else."""
    told = markdown_text(text)
    for before, tags in (("", ["p"]), ("- ", ["ul", "li"])):
        words = rendered(before + told)
        assert words.tags == tags * bool(told) or not told
        assert words.text.replace("\u200b", "").strip() == clean(text)
        for pattern in LINKED:
            assert not re.search(pattern, words.text, re.IGNORECASE), pattern
    words = rendered(f"| a | b |\n|---|---|\n| {told} | c |\n")
    assert words.tags == ["table", "thead", "tr", "th", "th", "tbody", "tr", "td", "td"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text: str) -> None:
    """In a paragraph, in a list and in a table."""
    assert_plain(text)


@given(st.text("ab1 \\`*_{}[]()<>#+-.!|~$@:/=^&;\"'\n\t\u202e", max_size=30))
def test_any_text_is_text(text: str) -> None:
    """Whatever the characters that mean something."""
    assert_plain(text)


def test_intervals_and_names_stay_readable() -> None:
    """What means nothing has no backslash."""
    for text in ("+0.049 [−0.002, +0.100]", "0.401 [0.311, 0.492]", "svm c=0.1 (other)", "−3"):
        assert markdown_text(text) == text


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+a", "'+a"),
        ("-a", "'-a"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'=1"),
        ("\r\n=1", "'=1"),
        ("   =1", "'=1"),
        ("＝1", "'＝1"),
        ("＋1", "'＋1"),
        ("－1", "'－1"),
        ("＠x", "'＠x"),
        ("|cmd", "'|cmd"),
        ("%x", "'%x"),
        ("a;=1", "a;'=1"),
        ("a; -b", "a; '-b"),
        ("a=1, b=-2", "a=1, b=-2"),
        ("-0.01", "-0.01"),
        ("+1e-05", "+1e-05"),
        (-0.01, "-0.01"),
        (-3, "-3"),
    ],
)
def test_csv_has_no_formulas_and_keeps_numbers(text: object, cell: str) -> None:
    """At the beginning of a cell, or of what some spreadsheets take for one."""
    (row,) = csv.DictReader(io.StringIO(csv_text([{"a": text, "b": 1}])))
    assert row == {"a": cell, "b": "1"}


# --- report.md -----------------------------------------------------------------------------


class LeftOut:
    """A figure that is never drawn."""

    def info(self, block: object) -> Absent:
        return Absent(reason="left out of <this> test")


@pytest.fixture
def no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws nothing but the forest plot, where a test is about words."""
    left = Entry(name="raincloud", module=__name__, attribute="LeftOut")
    held = {"forest": FIGURES.entries()["forest"], "raincloud": left}
    monkeypatch.setattr(FIGURES, "entries", lambda: held)


def report_of(fake: ModuleType, folder: Path, **study: Any) -> str:
    """The report.md of a fake study."""
    held = fake.FakeStudy(**{"seeds": (0, 1), "epochs": 0, "per_cell": 4} | study)
    page = write_report(fake.write_fake_run(folder / "run", held), folder / "report")
    return (page.parent / "report.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_figure")
def test_the_report_says_what_the_page_says(fake: ModuleType, tmp_path: Path) -> None:
    """Marks first, then verdicts, counts, what was not run, table, figures, command, machine."""
    text = report_of(
        fake,
        tmp_path,
        lost={("filters=time", "fold1", 1): Status.FAILED},
        transductive={"pooling=mean": "it sees the test speakers"},
        per_cell=12,
    )
    page = Words()
    page.feed((tmp_path / "report" / "index.html").read_text(encoding="utf-8"))
    shown = " ".join(rendered(text).text.split())
    order = (
        "SYNTHETIC SPEECH",
        "separable from the base in UA",
        "pooling=mean (TRANSDUCTIVE): worse by",
        "Not compared, as 1 of 10 trainings of the arm ended without a result: filters=time.",
        "59 of 60 planned trainings completed, 1 failed.",
        "egemaps cannot run here: needs the extra opensmile",
        "filters=time, fold fold1, seed 1: failed",
        "Figure raincloud: left out of <this> test.",
        "p of equivalence",
        "Figures: Forest.",
        "serlab run fake",
        "fake, resolved 2026-01-01T00:00:00+00:00 by serlab 0.1.0.",
        "cpu fake CPU <model>; python 3.11",
    )
    assert [words for words in order if words not in shown] == []
    places = [shown.index(words) for words in order]
    assert places == sorted(places)
    told = " ".join(page.text.split())
    for line in (line[4:] for line in text.splitlines() if re.match("- [▲▼○=·] ", line)):
        assert " ".join(rendered(line).text.split()) in told


@pytest.mark.usefixtures("no_figure")
def test_nothing_in_a_name_is_markdown(fake: ModuleType, tmp_path: Path) -> None:
    """Hostile names in all places give no element, no link and nobody to notify."""
    text = report_of(
        fake,
        tmp_path,
        name=" ".join(HOSTILE),
        skill={"base": 0.7, **dict.fromkeys(HOSTILE, 0.5), "n" * 300: 0.6},
        leaks=HOSTILE[:2],
        transductive={HOSTILE[0]: " ".join(HOSTILE)},
        lost={(HOSTILE[1], "fold0", 0): Status.FAILED},
    )
    words = rendered(text)
    assert set(words.tags) <= {
        "h2", "h3", "p", "strong", "ul", "li", "table", "thead", "tbody", "tr", "th", "td", "pre",
        "code", "a",
    }  # fmt: skip
    assert words.links == ["figures/forest.png", "index.html", "tables.tex"]
    block = text.index("```", text.index("### Provenance"))
    for pattern in LINKED:
        assert not re.search(pattern, rendered(text[:block]).text, re.IGNORECASE), pattern


@pytest.mark.usefixtures("no_figure")
def test_fifty_variants_fit_into_a_comment(fake: ModuleType, tmp_path: Path) -> None:
    """With all their rows and sentences."""
    names = [f"learning_rate=0.000{i}, normalisation=kind_{i}" for i in range(50)]
    text = report_of(fake, tmp_path, skill={"base": 0.75, **dict.fromkeys(names, 0.6)})
    assert len(text) < LONGEST
    assert len(re.findall(r"^\| learning", text, re.MULTILINE)) == 50
    assert len(re.findall(r"^- [▲▼○=·] ", text, re.MULTILINE)) == 50


@pytest.mark.usefixtures("no_figure")
@pytest.mark.parametrize("room", [6000, 1500])
def test_what_does_not_fit_is_named(
    fake: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """Fewer rows and sentences, with where the others stand; at last the end is left out."""
    monkeypatch.setattr("serlab.reports.markdown.LONGEST", room)
    text = report_of(fake, tmp_path, skill={"base": 0.75, **{f"x={i}": 0.6 for i in range(30)}})
    assert len(text) <= room
    assert text.startswith("## fake\n\n**SYNTHETIC SPEECH**")
    if room > 5000:
        assert re.search(r"^- and \d+ more, in index.html$", text, re.MULTILINE)
        assert re.search(r"^\d+ more rows left out here: \[csv\]\(tables/abl", text, re.MULTILINE)
    else:
        assert text.endswith(
            "The rest is left out, as it is too long for a comment: see index.html.\n"
        )


@pytest.mark.usefixtures("no_figure")
def test_several_corpora_are_summed_up(fake: ModuleType, tmp_path: Path) -> None:
    """A table over the corpora comes before those of each."""
    text = report_of(fake, tmp_path, corpora=("one|a", "two"), skill={"base": 0.9, "x=1": 0.5})
    words = rendered(text)
    assert words.tags.count("table") == 3
    assert "| arm | one\\|a | two | over corpora | p (Holm) |" in text
    assert text.index("### Over 2 corpora") < text.index("### one\\|a") < text.index("### two")


def test_code_cannot_be_ended_from_within() -> None:
    """A command with backticks has a longer fence."""
    words = rendered("\n".join(_code("serlab run ```\n# <b>x</b> ````")))
    assert words.tags == ["pre", "code"]
    assert words.text.strip() == "serlab run ``` # <b>x</b> ````"
