"""The tables for a paper: they compile as they are, whatever the names, and keep their columns."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serlab.bench.contracts import Status
from serlab.reports.across import Over, across, ranked
from serlab.reports.frame import load_frame
from serlab.reports.latex import Column, Paper, latex, tex, tex_name
from serlab.reports.paper import tables_tex

SCRIPT = "<script>alert('x')</script>"
HOSTILE = (
    f"\\input{{/etc/passwd}} {SCRIPT}$x_1$ 100% & #~^",
    '=HYPERLINK("http://evil")|cmd',
    "情感 \u202eenola",
    "n" * 300,
    "[x] ``quoted'' --- !` ?` ,, \\\\",
    "מודל עם קשב",
    "é ü ß Ł ñ č ő İ ĵ ẽ ﬁ Ω ж \U0001f600 \x00",
)
GRID = {
    "base": (0.85, "attention", "both"),
    "pooling=mean": (0.83, "mean", "both"),
    "filters=time": (0.7, "attention", "time"),
    "pooling=mean, filters=time": (0.5, "mean", "time"),
}
KINDS = ("plain", "hostile", "fifty", "corpora", "grid", "rated")
LARGEST_OVERFLOW_PT = 3.0


@pytest.fixture(scope="module")
def tables(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The file of each kind of report."""
    small = {"seeds": (0, 1), "epochs": 0, "per_cell": 4}
    names = (f"pooling=mean, learning_rate=0.000{i}, depth={i}" for i in range(50))
    studies = {
        "plain": fake.FakeStudy(),
        "hostile": fake.FakeStudy(
            name=f"study {SCRIPT} $\\frac",
            skill={"base": 0.7, **dict.fromkeys(HOSTILE, 0.5)},
            leaks=(f"leak {SCRIPT} 怒り",),
            lost={(HOSTILE[3], "fold0", 0): Status.FAILED},
            transductive={HOSTILE[2]: "it sees $%_&#^ 怒り"},
            **small,
        ),
        "fifty": fake.FakeStudy(skill=dict.fromkeys(names, 0.7), **small),
        "corpora": fake.FakeStudy(corpora=tuple(f"corpus_{i}" for i in range(6)), **small),
        "grid": fake.FakeStudy(
            design="grid",
            skill={name: held[0] for name, held in GRID.items()},
            options={n: {"pooling": p, "filters": f} for n, (_, p, f) in GRID.items()},
            **small,
        ),
        "rated": fake.FakeStudy(
            target="traces",
            labels=("arousal", "valence", "liking"),
            skill={"base": 0.6, "levels=one": 0.35, "constant": 0.0},
            corpora=("sewa", "recola"),
            n_frames=30,
            **small,
        ),
    }
    held = {}
    for kind, study in studies.items():
        frame = load_frame(fake.write_fake_run(tmp_path_factory.mktemp(kind) / "run", study))
        held[kind] = tables_tex(frame, Over(rows=across(frame), ranked=ranked(frame)))
    return held


def compiled(text: str, engine: str, options: str, folder: Path) -> tuple[int, str]:
    """The exit status and the log of a document that holds nothing but the tables."""
    if shutil.which(engine) is None:
        pytest.skip(f"there is no {engine} (Debian: texlive-science, texlive-luatex, lmodern)")
    (folder / "tables.tex").write_text(text, encoding="utf-8")
    (folder / "paper.tex").write_text(
        f"\\documentclass[{options}]{{article}}\n\\usepackage{{booktabs,siunitx}}\n"
        "\\begin{document}\n\\input{tables}\n\\end{document}\n"
    )
    command = [engine, "-interaction=nonstopmode", "-no-shell-escape", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    return done.returncode, (folder / "paper.log").read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("engine", "options"),
    [("pdflatex", "10pt"), ("pdflatex", "10pt,twocolumn"), ("lualatex", "10pt")],
)
def test_the_tables_compile_and_fit(
    kind: str, engine: str, options: str, tables: dict[str, str], tmp_path: Path
) -> None:
    """No error, and nothing that stands out of the text, in one column or two."""
    status, log = compiled(tables[kind], engine, options, tmp_path)
    assert status == 0, re.findall(r"^!.*(?:\n.*){2}", log, re.MULTILINE)
    assert not re.findall(r"^!.*", log, re.MULTILINE)
    over = [float(points) for points in re.findall(r"Overfull \\.box \(([\d.]+)pt", log)]
    assert max(over, default=0.0) <= LARGEST_OVERFLOW_PT


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_are_ascii_and_no_name_is_a_command(kind: str, tables: dict[str, str]) -> None:
    """Any engine reads the file; what names hold is shown and not run."""
    text = tables[kind]
    assert text.isascii()
    assert "\\input" not in text
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"(?<!\\)\$", text)


def test_what_a_reader_must_be_told_stands_in_the_caption(tables: dict[str, str]) -> None:
    """Synthetic speech, leaks, what is incomplete and what saw the test speakers."""
    caption = re.search(r"\\caption\{(.*)\}\\label", tables["hostile"])
    assert caption is not None
    order = ("SYNTHETIC SPEECH", "NOT SPEAKER", "pooled over", "TRANSDUCTIVE")
    places = [caption[1].index(words) for words in order]
    assert places == sorted(places)
    assert re.search(r"\{\*\}INCOMPLETE: \d+ of \d+ trainings", caption[1])


def test_every_table_of_a_report_is_there(tables: dict[str, str]) -> None:
    """By their labels, each once."""
    found = {kind: re.findall(r"\\label\{tab:serlab-([\w-]+)\}", tables[kind]) for kind in KINDS}
    assert found["plain"] == ["ablation-0", "speed-0"]
    assert found["grid"] == ["ablation-0", "speed-0", "attribution-0", "ladder-0"]
    assert found["corpora"][:4] == ["corpora", "ranks", "ablation-0", "speed-0"]
    assert len(found["corpora"]) == len(set(found["corpora"])) == 14
    assert tables["fifty"].count("Continued.") >= 2
    assert len(re.findall(r"^pooling=.*depth=", tables["fifty"], re.MULTILINE)) == 100


def test_bold_is_kept_for_what_is_separable(tables: dict[str, str]) -> None:
    """Three differences of the default study, and no interval's ends."""
    bold = re.findall(r"^(\S+).*\\bfseries ([+-][\d.]+) & ([+-])", tables["plain"], re.MULTILINE)
    assert [name for name, *_ in bold] == ["pooling=mean", "filters=time", "filters=square"]
    assert tables["plain"].count("\\bfseries") == 3


def test_numbers_stand_in_columns_of_their_width() -> None:
    """The format is that of the widest number; intervals are three columns; text is centred."""
    column = Column(heading="Δ", cells=("+0.1 [−10.25, +3]", "(base)"))
    values = Column(heading="p", cells=("< 0.001", "12\u202f345.5"))
    table = Paper(caption="c", label="l", names="Arm", rows=("a", "b"), columns=(column, values))
    text = latex([table])
    for part in (
        r"S[table-format=+1.1]@{\,[}S[table-format=+2.2]@{, }S[table-format=+1.0]@{]\hspace",
        "S[table-format=<5.3]@{}",
        r"a & +0.1 & -10.25 & +3 & < 0.001 \\",
        r"b & \multicolumn{3}{c}{(base)} & 12345.5 \\",
    ):
        assert part in text


@given(st.text())
def test_any_text_is_ascii_without_meaning(text: str) -> None:
    """No command but those that print a character, and no ligature."""
    for told in (tex(text), tex_name(text, 62.0)):
        assert told.isascii()
        assert not re.search(r"(?<!\\)[$%&#_^~]", told)
        assert not re.search(r"--|``|''|[?!]`|(?<!\{)\[", told)
        assert re.sub(r"\\[{}]", "", told).count("{") == re.sub(r"\\[{}]", "", told).count("}")
