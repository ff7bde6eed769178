"""Figures of plugins: they stand among the others, and one that fails costs no other."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serlab.__main__ import main
from serlab.reports.figure import FIGURES
from serlab.reports.frame import load_frame
from serlab.reports.gallery import FigureFailed, draw_all
from serlab.reports.report import write_report

HOWTO = Path(__file__).parents[2] / "docs" / "howto"
SHOWN = ("confusion",)
"""Of serlab's figures; the others only take time here."""


@pytest.fixture(scope="module")
def run(fake: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three seeds of two arms."""
    study = fake.FakeStudy(skill={"base": 0.8, "pooling=max": 0.6}, meters=False, per_cell=5)
    path: Path = fake.write_fake_run(tmp_path_factory.mktemp("plugin") / "run", study)
    return path


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test registers is taken away after, and few of serlab's own figures are there."""
    found = {name: FIGURES.entries()[name] for name in SHOWN}
    monkeypatch.setattr(FIGURES, "_found", found)
    monkeypatch.setattr(FIGURES, "_added", {})
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in ("my_figure", "own"):
        sys.modules.pop(name, None)


OWN = '''
from dataclasses import dataclass
from serlab.reports.figure import FIGURES, Absent, mark, new_figure
from serlab.reports.words import marks_of

@dataclass(frozen=True)
class Numbers:
    marks: tuple

    def rows(self):
        return [{{"number": 1}}]

    def caption(self):
        return "One <b>number</b>."

    def alt(self):
        return "One number."


class Plain:
    def info(self, block):
        return Numbers(marks_of(block, block.arms))

    def draw(self, numbers, width_in):
        figure = new_figure(2, 2)
        figure.add_subplot().plot([1], [1], "o")
        mark(figure, numbers.marks, "own")
        return figure


@FIGURES.register("own", order={order})
class Own(Plain):
    """A figure of a plugin."""
{body}
'''


@pytest.fixture
def plugin(registry: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes a plugin into the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(body: str = "", order: int = 99) -> None:
        indented = "\n".join(f"    {line}" for line in body.splitlines())
        (tmp_path / "own.py").write_text(OWN.format(order=order, body=indented))

    return write


def report(run: Path, out: Path, *more: str) -> int:
    """The exit code of the command."""
    return main(["report", str(run), "--out", str(out), "--plugin", "own", *more])


def test_it_stands_among_the_others(plugin: Callable[..., None], run: Path, tmp_path: Path) -> None:
    """On the page where its order says, with all its files, its words escaped."""
    plugin(order=0)
    assert report(run, tmp_path / "out") == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert page.index('<figure id="own"') < page.index('<figure id="confusion"')
    assert "[SYNTHETIC SPEECH] One &lt;b&gt;number&lt;/b&gt;." in page
    held = {path.name for path in (tmp_path / "out" / "figures").glob("own.*")}
    assert held == {f"own.{ending}" for ending in ("csv", "pdf", "png", "svg", "txt")}


FAILURES = {
    "info": 'def info(self, block):\n    raise KeyError("arousal <b>")',
    "draw": "def draw(self, numbers, width_in):\n    return 1 / 0",
    "file": 'def info(self, block):\n    return open("no_such_table.csv")',
    "numbers": "def info(self, block):\n    return None",
}
TOLD = {
    "info": "KeyError: 'arousal <b>' (own.py, line 35)",
    "draw": "ZeroDivisionError: division by zero (own.py, line 35)",
    "file": "no_such_table.csv' (own.py, line 35)",
    "numbers": "AttributeError: 'NoneType' object has no attribute 'marks' (gallery.py, line",
}


@pytest.mark.parametrize("where", FAILURES)
def test_one_that_fails_costs_no_other(
    plugin: Callable[..., None],
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    where: str,
) -> None:
    """Exit code 1; the page and one line of text say which and why, a file has the traceback."""
    plugin(FAILURES[where], order=0)
    assert report(run, tmp_path / "out") == 1
    told = capsys.readouterr()
    assert told.out == f"report: {tmp_path / 'out' / 'index.html'}\n"
    (line,) = [text for text in told.err.splitlines() if text.startswith("serlab: ")]
    assert 'figure "own" of synth failed with ' in line
    assert TOLD[where] in line
    assert "Traceback" not in told.err
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Figure “own”: failed with" in page
    assert "arousal <b>" not in page
    assert '<figure id="confusion"' in page
    trace = (tmp_path / "out" / "figures" / "own.error.txt").read_text(encoding="utf-8")
    assert trace.startswith("Traceback (most recent call last)")


def test_a_failure_leaves_no_file_of_an_earlier_report(
    plugin: Callable[..., None], run: Path, tmp_path: Path
) -> None:
    """Nor does a success leave an earlier traceback."""
    folder = tmp_path / "out" / "figures"
    plugin()
    assert report(run, tmp_path / "out") == 0
    plugin("def draw(self, numbers, width_in):\n    return 1 / 0")
    sys.modules.pop("own")
    FIGURES._added.clear()
    assert report(run, tmp_path / "out") == 1
    assert [path.name for path in folder.glob("own.*")] == ["own.error.txt"]
    plugin("\n")
    sys.modules.pop("own")
    FIGURES._added.clear()
    assert report(run, tmp_path / "out") == 0
    assert not (folder / "own.error.txt").exists()


def test_marks_cannot_be_left_out(
    plugin: Callable[..., None], run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A figure of synthetic speech that does not say so is not drawn."""
    plugin("def info(self, block):\n    return Numbers(())")
    assert report(run, tmp_path / "out") == 1
    assert '"SYNTHETIC SPEECH" among them' in capsys.readouterr().err


def test_absent_is_no_failure(plugin: Callable[..., None], run: Path, tmp_path: Path) -> None:
    """The page gives the reason."""
    plugin('def info(self, block):\n    return Absent(reason="no arousal here")')
    assert report(run, tmp_path / "out") == 0
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "Figure “own”: no arousal here." in page


def test_from_python_the_error_comes_after_the_page(
    plugin: Callable[..., None], run: Path, tmp_path: Path
) -> None:
    """And says where the page is."""
    plugin("def draw(self, numbers, width_in):\n    return 1 / 0")
    sys.path.append(str(tmp_path))
    __import__("own")
    with pytest.raises(FigureFailed, match="division by zero") as caught:
        write_report(run, tmp_path / "out")
    assert caught.value.page.read_text(encoding="utf-8").endswith("</html>")


def test_a_folder_that_cannot_be_written_to_is_no_figures_fault(
    plugin: Callable[..., None], run: Path, tmp_path: Path
) -> None:
    """A folder stands where a file must go: the error is raised, not laid to the figure."""
    plugin()
    (tmp_path / "out" / "confusion.pdf").mkdir(parents=True)
    (block,) = load_frame(run).blocks
    with pytest.raises(OSError, match=r"confusion\.pdf"):
        draw_all(block, tmp_path / "out", "", {})


@pytest.mark.parametrize(
    ("text", "told"),
    [("def", "invalid syntax (own.py, line 1)"), ("1 / 0", "division by zero, own.py, line 1")],
)
def test_a_module_that_cannot_be_imported(
    plugin: Callable[..., None],
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    told: str,
) -> None:
    """One line and exit code 2, before anything is read."""
    plugin()
    (tmp_path / "own.py").write_text(text)
    assert report(run, tmp_path / "out") == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_of_the_how_to_page(
    registry: None, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers are the shares of utterances by hand, and it is on the page."""
    monkeypatch.chdir(HOWTO)
    out = tmp_path / "out"
    assert main(["report", str(run), "--out", str(out), "--plugin", "my_figure"]) == 0
    assert '<figure id="seed_agreement"' in (out / "index.html").read_text(encoding="utf-8")
    with (out / "figures" / "seed_agreement.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    (block,) = load_frame(run).blocks
    for arm in block.arms:
        assert arm.pooled is not None
        times = (arm.pooled.scores.argmax(axis=2) == arm.pooled.truth).sum(axis=0)
        shares = [np.mean(times == 3), np.mean((times == 1) | (times == 2)), np.mean(times == 0)]
        found = [float(row["share"]) for row in rows if row["arm"] == arm.name]
        assert found == pytest.approx(shares)
