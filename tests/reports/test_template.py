"""A lab's own look: its header, footer and style; what a template may not do; what is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from serlab.__main__ import main
from serlab.bench.errors import BadFile, SerlabError
from serlab.reports.figure import FIGURES, style
from serlab.reports.template import PAGE, SETTINGS, SHIPPED, STYLE, load_template, shipped_page

EXTENDS = '{% extends "serlab/page.html" %}\n'
LOGO = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><rect width="9" height="9"/></svg>'
)
LAB = (
    EXTENDS
    + """{% block title %}Our lab: {{ study.name | clean }}{% endblock %}
{% block style %}header { border-top: 4px solid #0072B2; }{% endblock %}
{% block brand %}
<p class="eyebrow"><img src="{{ picture('logo.svg') }}" alt="Our lab"></p>
{% endblock %}
{% block footer %}<footer><p>Contact: {{ study.question }}</p></footer>{% endblock %}
"""
)


@pytest.fixture(scope="module")
def run(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two arms on synthetic speech."""
    study = fake.FakeStudy(skill={"base": 0.8, "pooling=max": 0.6}, meters=False, per_cell=5)
    path: Path = fake.write_fake_run(tmp_path_factory.mktemp("template") / "run", study)
    return path


@pytest.fixture(autouse=True)
def one_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others only take time here."""
    held = {"confusion": FIGURES.entry("confusion")}
    monkeypatch.setattr(FIGURES, "entries", lambda: held)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A lab's folder."""
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / PAGE).write_text(LAB, encoding="utf-8")
    (folder / "logo.svg").write_text(LOGO, encoding="utf-8")
    return folder


def written(run: Path, out: Path, *more: str) -> str:
    """The page of a report."""
    assert main(["report", str(run), "--out", str(out), *more]) == 0
    return (out / "index.html").read_text(encoding="utf-8")


def refused(folder: Path, capsys: pytest.CaptureFixture[str], run: Path, out: Path) -> str:
    """What the command says of a template that is wrong."""
    assert main(["report", str(run), "--out", str(out), "--template", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told


def test_the_page_is_the_labs(run: Path, lab: Path, tmp_path: Path) -> None:
    """Its title, rule, logo and footer are there, its data escaped; the rest is as shipped."""
    plain = written(run, tmp_path / "plain")
    own = written(run, tmp_path / "own", "--template", str(lab))
    assert "<title>Our lab: fake</title>" in own
    assert "header { border-top: 4px solid #0072B2; }</style>" in own
    assert re.search(r'<img src="data:image/svg\+xml;base64,[\w+/=]+" alt="Our lab">', own)
    assert "<footer><p>Contact: What is each component worth?</p></footer>" in own
    for part in (r"<main.*</main>", r"<meta http-equiv[^>]*>", r'<p class="banner".*?</p>'):
        assert re.findall(part, own, re.DOTALL) == re.findall(part, plain, re.DOTALL) != []


def test_nothing_is_fetched_and_no_mark_is_lost(run: Path, lab: Path, tmp_path: Path) -> None:
    """The policy stands before what the lab adds, and SYNTHETIC SPEECH is in no block."""
    page = written(run, tmp_path / "own", "--template", str(lab))
    assert page.index("Content-Security-Policy") < page.index("Our lab")
    assert page.index("Our lab") < page.index('<p class="banner" role="note">SYNTHETIC SPEECH')
    for block in re.findall(r"\{% block \w+ %\}(.*?)\{% endblock", shipped_page(), re.DOTALL):
        assert "mark" not in block
        assert "policy" not in block


def test_blocks_of_the_page() -> None:
    """These and no other, as the how-to page lists them."""
    names = re.findall(r"\{% block (\w+) %\}", shipped_page())
    assert names == ["title", "style", "brand", "footer"]


WRONG_PAGES = {
    "no extends": ("<p>ours</p>", f':1: must begin with {{% extends "{SHIPPED}" %}}'),
    "another page": ('\n{% extends "other.html" %}', ":2: must begin with"),
    "syntax": (EXTENDS + "\n{% block footer %}{{ study. }}{% endblock %}", ":3: is wrong"),
    "unknown block": (EXTENDS + "{% block foter %}{% endblock %}", 'did you mean "footer"?'),
    "unknown name": (EXTENDS + "{% block footer %}\n{{ frame.nme }}{% endblock %}", ":3: is wrong"),
    "forbidden": (
        EXTENDS + "{% block footer %}{{ frame.__class__.__mro__ }}{% endblock %}",
        ":2: is wrong: access to attribute '__class__'",
    ),
    "error": (EXTENDS + "{% block footer %}{{ 1 // 0 }}{% endblock %}", ":2: is wrong"),
    "include": (EXTENDS + '{% block footer %}{% include "x" %}{% endblock %}', ":2: is wrong"),
    "elsewhere": (EXTENDS + "{% block brand %}{{ picture('../x.svg') }}{% endblock %}", ":2: is"),
}


@pytest.mark.parametrize("name", WRONG_PAGES)
def test_a_wrong_page_is_told_with_its_line(
    name: str, run: Path, lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line with the file, the line and what is wrong there."""
    text, told = WRONG_PAGES[name]
    (lab / PAGE).write_text(text, encoding="utf-8")
    (tmp_path / "x.svg").write_text(LOGO, encoding="utf-8")
    line = refused(lab, capsys, run, tmp_path / "out")
    assert f"serlab: {lab / PAGE}:" in line
    assert told in line


def test_a_logo_is_a_picture(
    run: Path, lab: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a page, nor what is not there."""
    (lab / "logo.svg").rename(lab / "logo.html")
    assert "logo.svg: is no file within" in refused(lab, capsys, run, tmp_path / "out")
    (lab / PAGE).write_text(LAB.replace("logo.svg", "logo.html"), encoding="utf-8")
    assert "logo.html: is no picture" in refused(lab, capsys, run, tmp_path / "out")


def test_a_folder_without_either_file(tmp_path: Path) -> None:
    """It says what could be there."""
    with pytest.raises(BadFile, match=r"neither page\.html nor figures\.mplstyle"):
        load_template(tmp_path)


def test_the_style_is_the_labs(run: Path, tmp_path: Path) -> None:
    """Its sizes are in the figures' files; numbers, captions and marks stay what they are."""
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / STYLE).write_text("# ours\nxtick.labelsize: 6.25  # small\n\n", encoding="utf-8")
    plain = written(run, tmp_path / "plain")
    own = written(run, tmp_path / "own", "--template", str(lab))
    assert "6.25px" in own
    assert "6.25px" not in plain
    for name in ("confusion.csv", "confusion.txt"):
        one, other = (tmp_path / side / "figures" / name for side in ("plain", "own"))
        assert one.read_bytes() == other.read_bytes()
    again = written(run, tmp_path / "again", "--template", str(lab))
    assert again == own


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("font.size 9", ":1: is no setting"),
        ("\nfont.sise: 9", ':2: "font.sise" is no setting that a template may change'),
        ("svg.hashsalt: x", ':1: "svg.hashsalt" is no setting that a template may change'),
        ("text.usetex: True", "is no setting that a template may change"),
        ("font.size: big", ":1: "),
        ("font.sans-serif: No Such Font", '"No Such Font" is no font that is installed here'),
    ],
)
def test_a_wrong_style_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    """Also of a setting that would change how files are made, or run LaTeX."""
    (tmp_path / STYLE).write_text(text, encoding="utf-8")
    with pytest.raises(SerlabError) as caught:
        load_template(tmp_path)
    assert f"{tmp_path / STYLE}" in str(caught.value)
    assert told in str(caught.value)


def test_fonts_of_the_lab_come_first(tmp_path: Path) -> None:
    """Serlab's stay behind them, for letters that the lab's lack."""
    import matplotlib as mpl

    (tmp_path / STYLE).write_text("font.sans-serif: DejaVu Serif\n", encoding="utf-8")
    with style("x", load_template(tmp_path).style):
        assert mpl.rcParams["font.sans-serif"][:2] == ["DejaVu Serif", "DejaVu Sans"]


def test_settings_are_matplotlibs() -> None:
    """Each that is allowed is one."""
    import matplotlib as mpl

    known: Any = mpl.rcParams
    assert set(SETTINGS) <= set(known)


def test_of_the_how_to_page(run: Path, tmp_path: Path) -> None:
    """What it shows as a lab's folder is one, and it names every block and no other."""
    page = (Path(__file__).parents[2] / "docs/howto/figure.md").read_text(encoding="utf-8")
    for name, text in re.findall(r'```\S+ title="lab/(\S+)"\n(.*?)```', page, re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "logo.svg").write_text(LOGO, encoding="utf-8")
    own = written(run, tmp_path / "out", "--template", str(tmp_path))
    assert "Questions to the Speech Lab" in own
    assert load_template(tmp_path).style["lines.linewidth"] == 1.5
    told = re.findall(r"^\| `(\w+)` \| (?:in|after|at|below)", page, re.MULTILINE)
    assert told == re.findall(r"\{% block (\w+) %\}", shipped_page())
