"""Text in Markdown: a reader sees what was written, and nobody is linked or notified."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serlab.reports.csvtext import csv_text
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
    r"(?<![\w/])@\w", r"\w@\w", r"#\d", r"\bgh-\d", r"\w+://", r"\bwww\.\w", r":[\w+-]+:",
)  # fmt: skip
"""What GitHub turns into links, notifications or pictures after the Markdown was read."""


class Words(HTMLParser):
    """The text of some HTML, and its tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, _: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

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
