"""The written report: one page that asks for nothing, whatever the names in it."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from serlab.__main__ import main
from serlab.bench.contracts import Status
from serlab.bench.errors import BadFile
from serlab.reports.figure import FIGURES, WIDTHS_IN
from serlab.reports.frame import load_frame
from serlab.reports.report import write_report

SCRIPT = "<script>alert('x')</script>"
HOSTILE = (
    f"\\input{{/etc/passwd}} {SCRIPT}$x_1$ 100% & #~^",
    '=HYPERLINK("http://evil")|cmd',
    "情感 \u202eenola",
    "n" * 300,
)
VOID = {"meta", "link", "br", "img", "hr", "input", "rect", "line", "circle", "polyline"}


class Reader(HTMLParser):
    """Collects what a test asks of a page."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        held = dict(attrs)
        self.tags[tag] += 1
        self.ids.update([held["id"]] if held.get("id") else [])
        self.links += [v for k, v in attrs if k in {"href", "src", "xlink:href", "data"} and v]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]
        if held.get("http-equiv"):
            self.policy = held["content"] or ""
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        else:
            self.text.append(data)


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(run, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def hostile(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = fake.FakeStudy(
        name=f"study {SCRIPT} $\\frac",
        skill={"base": 0.7, **dict.fromkeys(HOSTILE, 0.5)},
        labels=(f"a{SCRIPT}", "b$_%\\", "c&#", "怒り"),
        speakers=(SCRIPT, "s_2$", "+3", "p\x1b4"),
        leaks=(f"leak {SCRIPT}",),
        lost={(HOSTILE[3], "fold0", 0): Status.FAILED},
        seeds=(0, 1),
    )
    folder = fake.write_fake_run(tmp_path_factory.mktemp("hostile") / "run", study)
    return write_report(folder)


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_page_asks_for_nothing(which: str, request: pytest.FixtureRequest) -> None:
    """Links are fragments or files beside the page; the policy denies all else."""
    reader = read(request.getfixturevalue(which))
    assert all(
        re.match(r"#|figures/|tables/|tables\.tex$|report\.md$", link) for link in reader.links
    )
    assert reader.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not reader.tags.keys() & {"link", "img", "iframe", "object", "embed", "base", "form"}
    assert reader.handlers == []


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_page_runs_no_script_but_its_own(which: str, request: pytest.FixtureRequest) -> None:
    """There are two script elements: data, and ours, whose hash the policy names."""
    reader = read(request.getfixturevalue(which))
    assert reader.tags["script"] == 2
    held = base64.b64encode(hashlib.sha256(reader.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{held}'" in reader.policy
    assert json.loads(reader.scripts[0])["schema"] == 1


@pytest.mark.parametrize("which", ["page", "hostile"])
def test_ids_are_unique_and_links_lead_somewhere(
    which: str, request: pytest.FixtureRequest
) -> None:
    """No two elements share an id, every fragment has its element, every file is there."""
    path = request.getfixturevalue(which)
    reader = read(path)
    assert max(reader.ids.values()) == 1
    for link in reader.links:
        assert link[1:] in reader.ids if link[0] == "#" else (path.parent / link).is_file()


def test_page_says_the_verdict_first(page: Path) -> None:
    """Headline and sentences come before table and figures; the marks before all."""
    text = " ".join(" ".join(read(page).text).split())
    order = [
        text.index(part, 100)
        for part in (
            "SYNTHETIC SPEECH",
            "Verdict on synth",
            "separable from the base in UA",
            "pooling=mean: worse by",
            "trainings completed 90 / 90",
            "Ablation table",
            "Figures",
            "Findings of the leak check",
            "Satterthwaite",
            "Run again",
            "Provenance",
        )
    ]
    assert order == sorted(order)


@pytest.mark.usefixtures("forest_only")
def test_a_single_seed_is_noted(fake: ModuleType, tmp_path: Path) -> None:
    """A reader is told that variance between seeds is not in the interval."""
    study = fake.FakeStudy(skill={"base": 0.8, "x=1": 0.5}, seeds=(0,), epochs=0)
    text = " ".join(" ".join(read(write_report(fake.write_fake_run(tmp_path, study))).text).split())
    assert "Note on base and x=1: one seed:" in text


def test_every_figure_has_words(page: Path) -> None:
    """Each picture on the page has alternative text made of its numbers."""
    text = page.read_text(encoding="utf-8")
    labels = re.findall(r'role="img" aria-label="([^"]+)"', text)
    assert len(labels) == text.count("<figure ") > 6
    assert all(re.search(r"\d", label) for label in labels)


def test_report_stands_beside_the_run_by_default(hostile: Path) -> None:
    """RUN/report/index.html, with figures and tables beside it."""
    assert hostile.parts[-3:] == ("run", "report", "index.html")
    assert {p.name for p in hostile.parent.iterdir()} == {
        "index.html",
        "report.md",
        "figures",
        "tables",
        "tables.tex",
    }


def test_two_reports_of_one_run_have_the_same_bytes(run: Path, page: Path, tmp_path: Path) -> None:
    """Page and tables carry no time of their own (figures: see test_figures)."""
    again = write_report(run, tmp_path)
    for path in [page, *sorted((page.parent / "tables").iterdir())]:
        assert path.read_bytes() == (tmp_path / path.relative_to(page.parent)).read_bytes()
    assert again.name == "index.html"


# --- hostile text --------------------------------------------------------------------------


def test_hostile_text_is_text_on_the_page(hostile: Path) -> None:
    """Tags in names are shown as written, and direction characters are not."""
    text = "".join(read(hostile).text)
    assert SCRIPT in text
    assert "\u202e" not in text
    assert "n" * 300 in text


def test_hostile_text_is_text_in_svg(hostile: Path) -> None:
    """Every SVG is well-formed XML without a script, and no $ starts mathematics."""
    for path in sorted((hostile.parent / "figures").glob("*.svg")):
        tree = ElementTree.parse(path)
        assert not [e for e in tree.iter() if e.tag.endswith("script")]
    texts = (hostile.parent / "figures" / "recall.svg").read_text(encoding="utf-8")
    assert "b$_%\\" in texts


def test_hostile_text_is_text_in_csv(hostile: Path) -> None:
    """No cell begins with a formula."""
    for path in sorted(hostile.parent.rglob("*.csv")):
        for cell in re.findall(r'(?:^|[,\n])"?([=@|%][^,\n]*)', path.read_text(encoding="utf-8")):
            pytest.fail(f"{path.name}: {cell}")


def test_hostile_text_is_text_in_markdown(hostile: Path) -> None:
    """No HTML, no math and no cell separator comes from a name."""
    lines = (hostile.parent / "tables" / "ablation.md").read_text(encoding="utf-8").splitlines()
    table = [line for line in lines if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert "<script" not in "\n".join(lines)
    assert not re.search(r"(?<!\\)\$", "\n".join(lines))


def test_incomplete_and_leaking_results_are_marked_everywhere(hostile: Path) -> None:
    """Page, CSV, Markdown and LaTeX say what is incomplete and what is leaking."""
    folder = hostile.parent / "tables"
    tables = [path for path in sorted(folder.iterdir()) if path.name != "errors.csv"]
    for path in (hostile, hostile.parent / "tables.tex", *tables):
        text = path.read_text(encoding="utf-8")
        assert "INCOMPLETE" in text or "incomplete" in text, path.name
        assert "SYNTHETIC SPEECH" in text or "synthetic" in text, path.name
        assert "leak" in text, path.name
    text = " ".join(read(hostile).text)
    assert "NOT SPEAKER-INDEPENDENT" in text
    assert "failed (loss is nan in epoch 3 <b>$x_1$</b>)" in text
    assert "egemaps cannot run here: needs the extra opensmile" in " ".join(text.split())


# --- tables --------------------------------------------------------------------------------


def test_bold_is_kept_for_what_is_separable(page: Path) -> None:
    """Markdown bolds the same three rows as LaTeX (see test_latex), and no other."""
    text = (page.parent / "tables" / "ablation.md").read_text(encoding="utf-8")
    bold = [line.split("|")[1].strip() for line in text.splitlines() if "**" in line]
    assert bold == ["pooling=mean", "filters=time", "filters=square"]


# --- traces, marks of arms, probes -----------------------------------------------------------


@pytest.fixture(scope="module")
def rated(traced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(traced, tmp_path_factory.mktemp("rated"))


def words_of(page: Path) -> str:
    return " ".join(" ".join(read(page).text).split())


def test_the_page_of_traces_speaks_of_no_classes(rated: Path) -> None:
    """Neither points, percent of classes, UA nor a confusion are on it."""
    text = words_of(rated)
    for said in (
        "of 4 changes are separable from the base in CCC",
        "1 200 frames of 30 test utterances, 5 speakers and 3 seeds".replace("1 2", "1\u202f2"),
        "better by 0.",
        "by more than the margin of 0.02",
        "traces of arousal, valence, liking",
        "the epoch is chosen by CCC on validation speakers",
        "averaged over dimensions and seeds",
        "The shaded band is the margin of ±0.02",
    ):
        assert " ".join(said.split()) in text, said
    for unsaid in (" points", "Confusion", "recall", "UA", "classes"):
        assert unsaid not in text, unsaid


def test_each_dimension_is_a_column(rated: Path, traced: Path) -> None:
    """In the page and in all tables, beside the mean, with its interval."""
    names = ["CCC", "CCC arousal", "CCC valence", "CCC liking", "PCC", "RMSE"]
    assert " ".join(names) in words_of(rated)
    folder = rated.parent / "tables"
    markdown = (folder / "ablation.md").read_text(encoding="utf-8")
    assert " | ".join(names) in markdown
    paper = (folder.parent / "tables.tex").read_text(encoding="utf-8")
    assert "{CCC} & {Arousal} & {Valence} & {Liking} & \\multicolumn{3}{c}" in paper
    rows = list(csv.DictReader((folder / "ablation.csv").open(encoding="utf-8")))
    base = load_frame(traced).blocks[0].arms[0].dimensions["valence"]
    found = [float(rows[0][f"ccc_valence{end}"]) for end in ("", "_low", "_high")]
    assert found == pytest.approx([base.mean, base.low, base.high])


def test_what_is_undefined_is_a_dash_with_a_note(rated: Path) -> None:
    """A constant prediction has no PCC, and its row says so."""
    text = (rated.parent / "tables" / "ablation.md").read_text(encoding="utf-8")
    row = next(line for line in text.splitlines() if line.startswith("| constant"))
    assert row.split("|")[6].strip() == "–"
    assert "undefined: PCC" in row
    assert "Note on constant: no value (pcc = nan" in words_of(rated)


def test_transductive_arms_are_marked_wherever_they_stand(rated: Path) -> None:
    """Verdict, table, notes, Markdown, LaTeX and CSV say which arm it is and why."""
    reason = "it trains on the test speakers' utterances"
    text = words_of(rated)
    assert "streams=aligned (TRANSDUCTIVE): better by" in text
    assert "streams=aligned (TRANSDUCTIVE) (+" in text
    assert f"streams=aligned is TRANSDUCTIVE: {reason}." in text
    assert re.search(r"streams= ?aligned TRANSDUCTIVE", text)
    folder = rated.parent / "tables"
    markdown = (folder / "ablation.md").read_text(encoding="utf-8")
    assert "| streams=aligned (TRANSDUCTIVE) |" in markdown
    assert f"streams=aligned is TRANSDUCTIVE: {reason}." in markdown
    latex = (folder.parent / "tables.tex").read_text(encoding="utf-8")
    assert re.search(r"aligned\\textsuperscript\{\\ensuremath\{\\dagger\}\} &", latex)
    assert "\\textsuperscript{\\ensuremath{\\dagger}}TRANSDUCTIVE: streams=aligned" in latex
    rows = list(csv.DictReader((folder / "ablation.csv").open(encoding="utf-8")))
    assert [r["arm"] for r in rows if r["transductive"] == reason] == ["streams=aligned"]


def test_the_corpus_is_described_with_its_notes(rated: Path) -> None:
    """What it lacks, and the corpora from outside."""
    text = words_of(rated)
    assert "Note it has no dialogues; every utterance is one" in text
    assert "Outside corpus urdu : 1440 utterances, 24 speakers; elsewhere; CC-BY-4.0" in text


def test_the_probe_is_a_column_where_there_is_one(rated: Path, page: Path) -> None:
    """With its spread, a dash where an arm was not probed, and the chance level in words."""
    text = words_of(rated)
    assert "RMSE Over folds Speaker probe Parameters" in text
    assert "by chance 0.333." in text
    markdown = (rated.parent / "tables" / "ablation.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in markdown.splitlines() if line.startswith("| ")]
    place = [cell.strip() for cell in rows[0]].index("speaker probe")
    assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to \d\.\d{3}\)", rows[1][place].strip())
    assert [row[place].strip() == "–" for row in rows[1:]] == [False, True, False, True, True]
    assert "robe" not in words_of(page)


def test_long_fractions_are_short_on_the_page_and_whole_in_the_data(rated: Path) -> None:
    """Labels have six digits; CSV keeps the name of the store."""
    text = words_of(rated)
    assert "weight=0.3:" in text
    assert "weight=0.30000000000000004" not in text
    table = (rated.parent / "tables" / "ablation.csv").read_text(encoding="utf-8")
    assert "weight=0.30000000000000004" in table


# --- several corpora, a search, errors --------------------------------------------------------


@pytest.fixture
def forest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws one figure of eight, where a test is about the page."""
    forest = {"forest": FIGURES.entry("forest")}
    monkeypatch.setattr(FIGURES, "entries", lambda: forest)


@pytest.mark.usefixtures("forest_only")
def test_several_corpora_have_files_of_their_own(fake: ModuleType, tmp_path: Path) -> None:
    """Names of files and ids carry the corpus."""
    study = fake.FakeStudy(
        corpora=("a/b", "a b"), skill={"base": 0.8, "x=1": 0.5}, seeds=(0, 1), epochs=0
    )
    page = write_report(fake.write_fake_run(tmp_path, study))
    names = {p.name for p in (page.parent / "tables").iterdir()}
    assert {"0-a-b-ablation.csv", "1-a-b-ablation.csv"} <= names
    assert max(read(page).ids.values()) == 1


@pytest.mark.usefixtures("forest_only")
def test_search_lists_its_best_by_validation(fake: ModuleType, tmp_path: Path) -> None:
    """The page shows the validation scores and says what they are."""
    study = fake.FakeStudy(
        design="search",
        skill={"base": 0.8, "x=1": 0.5, "x=2": 0.6},
        history=(("x=2", 0.7, "complete"), ("x=1", 0.4, "complete")),
        seeds=(0, 1),
    )
    page = write_report(fake.write_fake_run(tmp_path, study))
    text = " ".join(" ".join(read(page).text).split())
    assert "2 trials; the best by validation are below" in text
    assert text.index("1 x=2 0.700") < text.index("2 x=1 0.400")


def test_an_unwritable_folder_is_named(run: Path, tmp_path: Path) -> None:
    """The message names the report's folder."""
    (tmp_path / "file").touch()
    with pytest.raises(BadFile, match="cannot write the report here"):
        write_report(run, tmp_path / "file")


def test_reports_load_neither_torch_nor_ray(run: Path) -> None:
    """Neither importing the reports nor reading a run loads them, or pyplot's global state."""
    code = (
        "import sys; from pathlib import Path; from serlab.reports.report import write_report; "
        "from serlab.reports.frame import load_frame; load_frame(Path(sys.argv[1])); "
        "import serlab.reports.page; "
        "print([m for m in ('torch', 'ray', 'matplotlib.pyplot') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(run)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(("width", "points"), [("single", 252), ("slide", 720)])
def test_figures_are_as_wide_as_the_venue(
    run: Path, tmp_path: Path, width: str, points: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One column or a slide, where the command asks for it."""
    one = {"forest": FIGURES.entry("forest")}
    monkeypatch.setattr(FIGURES, "entries", lambda: one)
    assert main(["report", str(run), "--out", str(tmp_path), "--width", width]) == 0
    svg = (tmp_path / "figures" / "forest.svg").read_text(encoding="utf-8")
    assert re.search(r'width="([\d.]+)pt"', svg)[1] == str(points)  # type: ignore[index]


def test_command_knows_every_venue() -> None:
    """The widths that it takes are those that figures have."""
    with pytest.raises(SystemExit):
        main(["report", "run", "--width", "poster"])
    assert set(WIDTHS_IN) == {"single", "double", "slide"}
