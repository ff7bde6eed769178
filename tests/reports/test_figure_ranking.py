"""The critical-difference diagram: the ranking's own numbers, over five corpora or more."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from matplotlib.figure import Figure

from serlab.bench.statistics.ranks import ranking
from serlab.reports.across import Ranked, ranked
from serlab.reports.figure import (
    WIDTHS_IN,
    Venue,
    style,
    write_numbers,
)
from serlab.reports.figures.ranking import RankingFigure, RankingNumbers, _levels
from serlab.reports.frame import load_frame
from serlab.reports.records import Frame
from serlab.reports.report import write_report

CORPORA = ("emodb", "urdu", "ravdess", "crema", "savee")


@pytest.fixture(scope="module")
def many(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = fake.FakeStudy(
        corpora=CORPORA,
        skill={"base": 0.75, "pooling=mean": 0.5, "filters=square": 0.9, "pooling=max": 0.6},
        speakers=("s1", "s2", "s3"),
        seeds=(0, 1),
        epochs=0,
        meters=False,
        transductive={"pooling=max": "it sees the test speakers"},
    )
    folder: Path = fake.write_fake_run(tmp_path_factory.mktemp("many") / "run", study)
    return folder


@pytest.fixture(scope="module")
def frame(many: Path) -> Frame:
    return load_frame(many)


@pytest.fixture(scope="module")
def held(frame: Frame) -> RankingNumbers:
    found = RankingFigure().info(frame, ranked(frame))
    assert found is not None
    return found


def drawn(numbers: RankingNumbers, width: str) -> Figure:
    with style("x"):
        return RankingFigure().draw(numbers, WIDTHS_IN[width])


def bars_of(figure: Figure) -> list[tuple[list[float], list[float]]]:
    """The ends of the thick lines."""
    thick = [line for line in figure.axes[0].lines if line.get_linewidth() > 2]
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in thick]


def test_numbers_are_the_ranking_of_the_page(held: RankingNumbers, frame: Frame) -> None:
    """Arms in the order of their mean ranks, with the critical difference that is printed."""
    found = ranked(frame)
    assert found is not None
    assert found.ranking is not None
    assert held.held.arms == found.ranking.arms
    assert held.held.mean_ranks.tolist() == found.ranking.mean_ranks.tolist()
    assert held.names == ("filters=square", "base", "pooling=max †", "pooling=mean")
    assert held.base == "base"
    assert [row["mean_rank"] for row in held.rows()] == held.held.mean_ranks.tolist()
    assert [row["groups"] for row in held.rows()] == list(found.groups.values())
    assert {row["critical_difference"] for row in held.rows()} == {held.held.critical_difference}


def test_a_bar_reaches_from_the_best_to_the_worst_of_a_group(held: RankingNumbers) -> None:
    """None is longer than the critical difference, and each lies on a line of its own."""
    assert len(held.bars) == len(held.held.groups) > 0
    for (low, high), group in zip(held.bars, held.held.groups, strict=True):
        ranks = [held.held.mean_ranks[held.held.arms.index(arm)] for arm in group]
        assert (low, high) == (min(ranks), max(ranks))
        assert high - low < held.held.critical_difference
    for (x, y), bar in zip(bars_of(drawn(held, "double")), held.bars, strict=True):
        assert x == pytest.approx([bar[0] - 0.04, bar[1] + 0.04])
        assert y[0] == y[1] < 0


def test_bars_that_do_not_touch_share_a_line() -> None:
    """The others go one lower."""
    assert _levels(((1.0, 2.0), (1.5, 3.0), (2.5, 4.0))) == [0, 1, 0]
    assert _levels(((1.0, 2.0), (2.0, 3.0))) == [0, 1]
    assert _levels(()) == []


def test_every_arm_has_its_dot_at_its_rank(held: RankingNumbers) -> None:
    """In both layouts; the base has another mark."""
    for width in WIDTHS_IN:
        lines = drawn(held, width).axes[0].lines
        dots = [line for line in lines if line.get_marker() in {"o", "s"}]
        assert [line.get_xdata()[0] for line in dots] == held.held.mean_ranks.tolist()
        assert [line.get_marker() for line in dots] == ["o", "s", "o", "o"]


def test_in_a_column_the_bars_join_the_lines_of_a_group(held: RankingNumbers) -> None:
    """They stand beside the arms that they join, and reach no other."""
    figure = drawn(held, "single")
    places = dict(zip(held.held.arms, figure.axes[0].get_yticks(), strict=True))
    for (x, y), group in zip(bars_of(figure), held.held.groups, strict=True):
        assert x[0] == x[1] > len(held.names)
        inside = [arm for arm, place in places.items() if min(y) <= place <= max(y)]
        assert inside == list(group)


def test_arms_that_are_all_apart_have_no_bar(held: RankingNumbers) -> None:
    """The words say so."""
    rng = np.random.default_rng(0)
    values = {name: [i + 0.1 * rng.random() for _ in range(40)] for i, name in enumerate("abc")}
    apart = replace(held, held=ranking(values), names=("c", "b", "a"))
    assert apart.bars == ()
    assert bars_of(drawn(apart, "double")) == []
    assert "All are separable." in apart.alt()


def test_marks_say_of_which_corpora_they_are(frame: Frame) -> None:
    """A mark that all have stands alone; synthetic speech in one of five is named as such."""
    blocks = tuple(
        replace(b, corpus=replace(b.corpus, synthetic=b.corpus.name == "urdu", leaks=("x",)))
        for b in frame.blocks
    )
    held = RankingFigure().info(replace(frame, blocks=blocks), ranked(frame))
    assert held is not None
    transductive = "† TRANSDUCTIVE: pooling=max: it sees the test speakers"
    assert set(held.marks) == {
        "NOT SPEAKER-INDEPENDENT: x", transductive, "SYNTHETIC SPEECH: urdu",
    }  # fmt: skip


def test_no_ranking_has_no_figure(frame: Frame) -> None:
    """Four corpora, or too few arms."""
    four = replace(frame, blocks=frame.blocks[:4])
    assert RankingFigure().info(four, ranked(four)) is None
    none = Ranked(ranking=None, left_out=(), reason="a ranking takes 3 arms")
    assert RankingFigure().info(frame, none) is None


def test_files_are_the_same_again(held: RankingNumbers, tmp_path: Path) -> None:
    """At every width, with the marks in picture and caption."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for width in WIDTHS_IN:
            made = write_numbers(
                RankingFigure(),
                "ranking",
                held,
                tmp_path / folder,
                slug=width,
                venue=Venue(width=width),
            )
            assert "SYNTHETIC SPEECH" in made.svg
            assert "† TRANSDUCTIVE: pooling=max" in made.caption
    for first in (tmp_path / "one").iterdir():
        assert first.read_bytes() == (tmp_path / "two" / first.name).read_bytes(), first.name


def test_the_page_shows_it_once_over_all_corpora(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below the table of ranks, before the first corpus; its files lie beside the others."""
    monkeypatch.setattr("serlab.reports.figure.FIGURES.entries", dict)
    text = write_report(many, tmp_path).read_text(encoding="utf-8")
    assert text.count('<figure id="ranking"') == 1
    order = ("Ranks over the corpora", '<figure id="ranking"', "Verdict on")
    assert sorted(order, key=text.index) == list(order)
    assert 'aria-label="SYNTHETIC SPEECH' in text
    with (tmp_path / "figures" / "ranking.csv").open(encoding="utf-8", newline="") as file:
        assert next(row["arm"] for row in csv.DictReader(file)) == "filters=square"
