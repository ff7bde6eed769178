"""Every registered figure: numbers, words, files, and the same bytes again."""

from __future__ import annotations

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from scipy import stats

from serlab.bench.metrics.base import evaluate
from serlab.reports.figure import (
    FIGURES,
    WIDTHS_IN,
    Absent,
    Drawn,
    new_figure,
    style,
    write_figure,
)
from serlab.reports.figures.forest import _axis
from serlab.reports.figures.tradeoff import Point, TradeoffNumbers
from serlab.reports.frame import load_frame
from serlab.reports.meters import Value
from serlab.reports.records import Block, groups
from serlab.reports.svg import inline_svg
from serlab.reports.words import MINUS, label

NAMES = sorted(FIGURES.entries())
OF_CLASSES = {"calibration", "confusion", "confusion_difference", "recall"}
OF_TRACES = {"dimensions", "traces"}
OF_OTHERS = {"attention", "embedding", "streams", "importance", "interactions", "parallel"}
"""Figures of studies that are not here; each has a test file of its own."""
CASES = [(n, "search") for n in NAMES if n not in OF_TRACES | OF_OTHERS]
CASES += [(n, "rated") for n in NAMES if n not in OF_CLASSES | OF_OTHERS]
ONCE = [(n, "rated" if n in OF_TRACES else "search") for n in NAMES if n not in OF_OTHERS]
ENDINGS = ("pdf", "svg", "png", "csv", "txt")


@pytest.fixture(scope="module")
def block(run: Path) -> Block:
    return load_frame(run).blocks[0]


@pytest.fixture(scope="module")
def search(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Block:
    study = fake.FakeStudy(
        design="search",
        probes={"base": 0.8, "pooling=mean": 0.4},
        leaks=("utterances are split at random",),
        history=(
            ("pooling=mean", 0.6, "complete"),
            ("filters=time", None, "fail"),
            ("filters=square", 0.5, "complete"),
        ),
        costs={"pooling=mean": 3e5, "filters=square": 1e5},
    )
    return load_frame(fake.write_fake_run(tmp_path_factory.mktemp("search"), study)).blocks[0]


@pytest.fixture(scope="module")
def rated(traced: Path) -> Block:
    """Traces."""
    return load_frame(traced).blocks[0]


def numbers(name: str, block: Block) -> Any:
    return FIGURES.load(name)().info(block)


def test_all_figures_are_registered() -> None:
    """A figure is added by adding a file, and none is lost."""
    assert set(NAMES) >= {
        "forest", "slopes", "confusion", "confusion_difference", "curves", "tradeoff", "recall",
        "history", "front", "dimensions", "traces", "probe",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "which"), CASES)
def test_figure_is_written_in_all_forms(
    name: str, which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Five files, the numbers as CSV, and the marks in picture and caption."""
    block = request.getfixturevalue(which)
    held = write_figure(FIGURES.load(name)(), name, block, tmp_path, slug="x")
    assert not isinstance(held, Absent)
    assert all((tmp_path / f"x.{e}").stat().st_size for e in ENDINGS)
    rows = list(csv.DictReader((tmp_path / "x.csv").open(encoding="utf-8")))
    assert len(rows) == len(numbers(name, block).rows()) > 0
    svg = (tmp_path / "x.svg").read_text(encoding="utf-8")
    for where in (svg, held.caption):
        assert "SYNTHETIC SPEECH" in where
        assert "NOT SPEAKER-INDEPENDENT" in where
    assert "split at random" in held.caption
    assert held.alt.startswith("SYNTHETIC SPEECH")


@pytest.mark.parametrize(("name", "which"), ONCE)
def test_figure_has_the_same_bytes_again(
    name: str, which: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """No date, version or random id is in any of the files."""
    block = request.getfixturevalue(which)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_figure(FIGURES.load(name)(), name, block, tmp_path / folder, slug="x")
    for ending in ENDINGS:
        first, second = (tmp_path / f / f"x.{ending}" for f in ("one", "two"))
        assert first.read_bytes() == second.read_bytes(), ending


@pytest.mark.parametrize("width", sorted(WIDTHS_IN))
@pytest.mark.parametrize(("name", "which"), ONCE)
def test_figures_fit_every_venue(
    name: str, which: str, width: str, request: pytest.FixtureRequest
) -> None:
    """No text is cut off at the edges, or lies on the next of its axis, at any venue's width."""
    held = numbers(name, request.getfixturevalue(which))
    with style("x"):
        figure = FIGURES.load(name)().draw(held, WIDTHS_IN[width])
        for _ in range(3):
            figure.draw_without_rendering()
        assert figure.get_figwidth() <= WIDTHS_IN[width] + 1e-9
        slack = figure.dpi / 72 * 2
        for text in figure.findobj(Text):
            box = text.get_window_extent()
            if text not in unseen(figure) and text.get_text().strip() and box.width:
                assert -slack <= box.x0, text
                assert box.x1 <= figure.bbox.x1 + slack, text
        for axes in figure.axes:
            shown = [t for t in axes.get_xticklabels() if t not in unseen(figure)]
            level = [t for t in shown if t.get_text().strip() and not t.get_rotation()]
            boxes = [t.get_window_extent() for t in level if "\n" not in t.get_text()]
            for one, other in pairwise(sorted(boxes, key=lambda box: box.x0)):
                assert one.x1 <= other.x0 + slack, level


def unseen(figure: Figure) -> set[Text]:
    """Texts of panels that are not shown, and labels of ticks beyond an axis's end."""
    found = {t for axes in figure.axes if not axes.get_visible() for t in axes.findobj(Text)}
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9:
                    found |= {tick.label1, tick.label2}
    return found


def test_no_name_is_cut_off_at_the_edge(rated: Block) -> None:
    """Names of arms lie inside of the picture at the grid that it is saved with."""
    with style("x"):
        figure = FIGURES.load("dimensions")().draw(numbers("dimensions", rated), 7.2)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        assert figure.dpi == 300
        names = [t.get_window_extent() for t in figure.axes[0].get_yticklabels()]
        assert min(box.x0 for box in names) > 0


def test_style_is_gone_afterwards() -> None:
    """Drawing leaves matplotlib's settings as they were."""
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    with style("x"):
        assert mpl.rcParams["svg.hashsalt"] == "x"
        assert mpl.rcParams["pdf.fonttype"] == 42
        assert mpl.rcParams["text.parse_math"] is False
    assert dict(mpl.rcParams) == before


# --- numbers -------------------------------------------------------------------------------


def test_transductive_results_are_marked_as_such(fake: ModuleType, tmp_path: Path) -> None:
    """The mark names the fault, in pictures by its first word."""
    study = fake.FakeStudy(leaks=("transductive: normalised per speaker",), seeds=(0,))
    block = load_frame(fake.write_fake_run(tmp_path, study)).blocks[0]
    assert block.corpus.marks == ("SYNTHETIC SPEECH", "TRANSDUCTIVE: normalised per speaker")


def test_forest_holds_the_effects(block: Block) -> None:
    """Rows are the effects, best first, other systems last."""
    held = numbers("forest", block)
    assert [r.arm for r in held.effects][-1] == "svm"
    means = [r.estimate.mean for r in held.effects[:-1]]
    assert means == sorted(means, reverse=True)
    arm = next(a for a in block.arms if a.name == "pooling=mean")
    assert arm.effect is not None
    assert (
        next(r for r in held.rows() if r["arm"] == "pooling=mean")["low"] == arm.effect.estimate.low
    )


def test_slopes_pair_seeds_and_speakers(block: Block) -> None:
    """The mean of the seeds' differences is the effect."""
    held = numbers("slopes", block)
    seeds = held.of("pooling=mean", "seed")
    arm = next(a for a in block.arms if a.name == "pooling=mean")
    assert arm.effect is not None
    assert np.mean([p.other - p.base for p in seeds]) == pytest.approx(arm.effect.estimate.mean)
    assert len(held.of("pooling=mean", "speaker")) == 5


def test_confusion_rows_sum_to_one_and_its_diagonal_to_ua(block: Block) -> None:
    """The mean of the diagonal is the UA that the table prints."""
    held = numbers("confusion", block)
    assert held.shares.sum(axis=1) == pytest.approx(np.ones(4))
    base = block.base
    assert base is not None
    assert np.diag(held.shares).mean() == pytest.approx(base.scores["ua"].pooled.mean)


def test_confusion_difference_is_of_the_largest_effect(block: Block) -> None:
    """Its rows sum to zero and its diagonal to the effect."""
    held = numbers("confusion_difference", block)
    arm = next(a for a in block.arms if a.name == held.arm)
    assert arm.effect is not None
    largest = max(abs(a.effect.estimate.mean) for a in block.others if a.effect)
    assert abs(arm.effect.estimate.mean) == largest
    assert held.shares.sum(axis=1) == pytest.approx(np.zeros(4), abs=1e-12)
    assert np.diag(held.shares).mean() == pytest.approx(arm.effect.estimate.mean)


def test_recall_averages_to_ua(block: Block) -> None:
    """The mean of an arm's recalls is its pooled UA, and the base comes first."""
    held = numbers("recall", block)
    assert held.arms[0] == "base"
    for name, row in zip(held.arms, held.recalls, strict=True):
        arm = next(a for a in block.arms if a.name == name)
        assert row.mean() == pytest.approx(arm.scores["ua"].pooled.mean)
        assert arm.pooled is not None
        assert evaluate("ua", arm.pooled.truth, arm.pooled.scores[0]) > 0


def test_tradeoff_has_the_meters_numbers(block: Block) -> None:
    """Latency and parameters are those of the meter pass."""
    held = numbers("tradeoff", block)
    base = next(p for p in held.points if p.arm == "base")
    mean, low, high = over([2.0, 2.2, 2.4])
    latency = base.costs["latency_p50"]
    assert latency.value == pytest.approx(mean)
    assert (latency.low, latency.high) == (pytest.approx(low), pytest.approx(high))
    assert {k: v.value for k, v in base.costs.items() if k != "latency_p50"} == {
        "parameters": 93_573,
        "macs": 1_000_000,
    }
    assert len(held.points) == 6
    assert "cpu, fp32, batch 1, 3 s, 1 thread; 3 processes of 100 calls" in held.caption()


def over(times: list[float]) -> tuple[float, float, float]:
    """Geometric mean and its t interval, by scipy."""
    logs = np.log(times)
    low, high = stats.t.interval(0.95, len(times) - 1, logs.mean(), stats.sem(logs))
    return float(np.exp(logs.mean())), float(np.exp(low)), float(np.exp(high))


def point(arm: str, score: float, latency: float, half: float = 0.01) -> Point:
    estimate = SimpleNamespace(mean=score, low=score - half, high=score + half, estimable=True)
    cost = Value(value=latency, unit="ms", low=latency * 0.9, high=latency * 1.1, n=3)
    return Point(arm=arm, is_base=False, score=estimate, costs={"latency_p50": cost})  # type: ignore[arg-type]


def made(metric: str, *points: Point) -> TradeoffNumbers:
    return TradeoffNumbers(
        marks=(), corpus="c", metric=metric, level=0.95, conditions="", points=points
    )


def test_front_holds_what_no_other_beats() -> None:
    """Cheaper and worse stays, dearer and worse goes; of equal ones both stay."""
    held = made(
        "ua",
        point("dear", 0.9, 8.0),
        point("beaten", 0.6, 4.0),
        point("cheap", 0.7, 2.0),
        point("twin", 0.7, 2.0),
        point("slower twin", 0.7, 3.0),
    )
    assert [p.arm for p in held.front("latency_p50")] == ["cheap", "twin", "dear"]
    rows = {row["arm"]: row["on_front_of_latency"] for row in held.rows()}
    assert rows == {
        "dear": True, "beaten": False, "cheap": True, "twin": True, "slower twin": False,
    }  # fmt: skip


def test_front_of_an_error_is_the_lowest() -> None:
    """Of a metric that is better when lower, the lower one is on the front."""
    held = made("ece", point("good", 0.1, 2.0), point("bad", 0.3, 2.0))
    assert [p.arm for p in held.front("latency_p50")] == ["good"]


def test_caption_says_where_intervals_of_the_front_overlap() -> None:
    """A front is one of points; what the intervals leave open is told."""
    close = made("ua", point("a", 0.70, 2.0, half=0.05), point("b", 0.72, 2.1, half=0.05))
    assert "Front of latency: a and b" in close.caption()
    assert "overlap in UA for 1 of 1 pair and in latency for 1 of 1 pair" in close.caption()
    many = [point(f"a{i}", 0.1 * i, 2.0 * i) for i in range(1, 9)]
    assert "Front of latency: 8 arms" in made("ua", *many).caption()
    far = made("ua", point("a", 0.70, 2.0), point("b", 0.90, 4.0))
    assert "overlap" not in far.caption()


def test_an_interval_far_beyond_the_values_is_cut_and_said_so() -> None:
    """One disturbed arm does not take the axis from all others."""
    wild = point("wild", 0.7, 2.0)
    cost = Value(value=2.0, unit="ms", low=0.001, high=4000.0, n=3)
    held = made("ua", point("calm", 0.6, 1.0), replace(wild, costs={"latency_p50": cost}))
    assert held.span("latency_p50") == (0.25, 8.0)
    assert "Intervals that leave the axis are cut" in held.caption()
    assert "are cut" not in made("ua", point("calm", 0.6, 1.0)).caption()


def test_arms_without_latency_are_named(fake: ModuleType, tmp_path: Path) -> None:
    """An arm whose cell failed stays in the panels that it has numbers for."""
    study = fake.FakeStudy(
        unmetered={("pooling=max", 1): "out of memory", ("svm", 1): "no <such> device"}
    )
    block = load_frame(fake.write_fake_run(tmp_path, study)).blocks[0]
    held = numbers("tradeoff", block)
    costs = {p.arm: set(p.costs) for p in held.points}
    assert costs["pooling=max"] == {"parameters"}
    assert "svm" not in costs
    assert "Without latency: pooling=max (out of memory)." in held.caption()
    assert "Without latency: svm (no <such> device)." in held.caption()


def test_front_of_a_search_tells_what_is_tested(fake: ModuleType, tmp_path: Path) -> None:
    """Every trial is a point; the front is tested and metered, the others stay unseen."""
    study = fake.FakeStudy(
        design="search",
        history=(
            ("pooling=mean", 0.6, "complete"),
            ("filters=time", None, "fail"),
            ("filters=square", 0.5, "complete"),
            ("pooling=max", 0.4, "complete"),
        ),
        costs={"pooling=mean": 300.0, "filters=square": 100.0, "pooling=max": 200.0},
    )
    block = load_frame(fake.write_fake_run(tmp_path, study)).blocks[0]
    assert [arm.name for arm in block.arms] == ["base", "pooling=mean", "filters=square", "svm"]
    held = numbers("front", block)
    assert [p.arm for p in held.front] == ["filters=square", "pooling=mean"]
    rows = {row["arm"]: (row["on_front"], row["tested"], row["metered"]) for row in held.rows()}
    assert rows == {
        "pooling=mean": (True, True, True),
        "filters=square": (True, True, True),
        "pooling=max": (False, False, False),
    }
    assert "1 trial without a score" in held.caption()
    assert "trial 3 (filters=square) 0.500 with 100" in held.alt()


def test_study_without_a_cost_has_no_front(block: Block) -> None:
    """Nobody would expect the figure."""
    held = numbers("front", block)
    assert isinstance(held, Absent)
    assert not held.notable


def test_history_keeps_the_best_so_far(search: Block) -> None:
    """A trial without a score changes nothing."""
    held = numbers("history", search)
    assert held.best_so_far() == [0.6, 0.6, 0.6]
    assert held.best.arm == "pooling=mean"
    assert "1 trial without a score" in held.caption()


# --- traces --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_figures_of_the_other_labels_are_left_out_quietly(
    name: str, block: Block, rated: Block
) -> None:
    """Traces have no confusion, classes no course over time, and no page asks for them."""
    for names, held in ((OF_TRACES, block), (OF_CLASSES, rated)):
        if name in names:
            found = numbers(name, held)
            assert isinstance(found, Absent)
            assert not found.notable


def test_dimensions_are_those_of_the_table(rated: Block) -> None:
    """Values and intervals are the arms' own, and their mean is the arm's CCC."""
    held = numbers("dimensions", rated)
    assert held.arms[:3] == ("base", "levels=one", "streams=aligned †")
    for name, row in zip(held.arms, held.values, strict=True):
        arm = next(a for a in rated.arms if name.removesuffix(" †") == label(a.name))
        assert row.mean() == pytest.approx(arm.scores["ccc"].pooled.mean)
    assert held.gains[0].tolist() == [0.0, 0.0, 0.0]
    assert (held.gains[1] < 0).all()


def test_traces_show_the_quartiles_of_the_base(rated: Block) -> None:
    """Three utterances, whose CCC lie as a quarter, a half and three quarters of all do."""
    held = numbers("traces", rated)
    base = rated.base
    assert base is not None
    assert base.pooled is not None
    rows = groups(base.pooled.ids)
    found = sorted(
        np.mean([evaluate("ccc", base.pooled.truth[r], s[r]) for s in base.pooled.scores])
        for r in rows.values()
    )
    assert len(found) == 30
    assert [p.ccc for p in held.panels] == pytest.approx([found[7], found[14], found[22]])
    assert [p.place for p in held.panels] == ["lower quartile", "median", "upper quartile"]
    panel = held.panels[1]
    assert panel.frames.tolist() == list(range(40))
    np.testing.assert_array_equal(panel.truth, base.pooled.truth[rows[panel.utterance]])
    assert (panel.low <= panel.mean + 1e-6).all()
    assert held.rows()[10]["time_s"] == pytest.approx(1.0)


def test_curves_and_history_of_traces_name_ccc(rated: Block) -> None:
    """The score of the validation speakers is the CCC, which may lie below 0."""
    curves, history = numbers("curves", rated), numbers("history", rated)
    assert "below, CCC on validation speakers" in curves.caption()
    assert "mean validation CCC: base ends at 0.5" in curves.alt()
    assert "mean CCC on validation speakers" in history.caption()
    assert [r["validation_ccc"] for r in history.rows()] == [0.6, -0.1]


@pytest.mark.parametrize("reach", [0.012, 0.035, 0.08, 0.11, 0.3, 0.7])
def test_ticks_of_the_forest_say_where_they_are(reach: float) -> None:
    """No label is rounded: a tick at 2.5 points would read 2 or 3."""
    held = SimpleNamespace(metric="ua", margin=0.02, reach=reach)
    with style("x"):
        figure = new_figure(WIDTHS_IN["double"], 2.0)
        axes = figure.subplots()
        axes.set_xlim(-reach, reach)
        _axis(axes, held, wide=True)  # type: ignore[arg-type]
        figure.canvas.draw()
    labels = [text.get_text().replace(MINUS, "-") for text in axes.get_xticklabels()]
    assert len(labels) >= 3
    for place, text in zip(axes.get_xticks(), labels, strict=True):
        assert float(text) == pytest.approx(100 * place, abs=1e-6)


def test_forest_of_traces_has_no_points(rated: Block, tmp_path: Path) -> None:
    """Its axis and its margin are told in CCC."""
    write_figure(FIGURES.load("forest")(), "forest", rated, tmp_path, slug="x")
    svg = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert "difference in CCC to the base (margin of 0.02 shaded)" in svg
    assert "point" not in svg


# --- arms that see the test speakers, and probes ---------------------------------------------


@pytest.mark.parametrize("name", ["forest", "slopes", "dimensions", "tradeoff", "probe", "curves"])
def test_transductive_arms_are_marked_in_every_figure_of_arms(
    name: str, rated: Block, tmp_path: Path
) -> None:
    """A dagger stands at the name, the word in the picture and the reason in the caption."""
    held = write_figure(FIGURES.load(name)(), name, rated, tmp_path, slug="x")
    assert isinstance(held, Drawn)
    svg = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert "† TRANSDUCTIVE" in svg
    assert "aligned †" in svg or name == "forest"  # which has the whole word below the name
    reason = "it trains on the test speakers' utterances"
    assert f"[† TRANSDUCTIVE: streams=aligned: {reason}]" in held.caption


def test_figures_of_the_base_alone_carry_no_other_arms_mark(rated: Block) -> None:
    """Only what is shown is marked."""
    assert not any("TRANSDUCTIVE" in mark for mark in numbers("traces", rated).marks)


def test_probe_stands_beside_the_metric(rated: Block) -> None:
    """Median, spread and chance of the trainings, for the arms that were probed."""
    held = numbers("probe", rated)
    assert [row.arm for row in held.arms] == ["base", "streams=aligned †"]
    base, hidden = held.arms
    assert base.probe > hidden.probe
    assert base.low < base.probe < base.high
    assert (base.n, base.chance) == (15, pytest.approx(1 / 3))
    assert base.score == rated.arms[0].scores["ccc"].pooled
    assert "Not probed: levels=one, weight=0.3 and constant" in held.caption()
    assert "chance 0.333" in held.alt()


# --- what is absent ------------------------------------------------------------------------


def test_figures_without_numbers_say_why(fake: ModuleType, tmp_path: Path) -> None:
    """With an unfinished base and no meters each figure gives its reason."""
    study = fake.FakeStudy(
        skill={"base": 0.7, "svm": 0.6},
        lost={("base", "fold0", s): None for s in range(3)},
        meters=False,
        epochs=0,
    )
    block = load_frame(fake.write_fake_run(tmp_path, study)).blocks[0]
    found = {name: numbers(name, block) for name in NAMES}
    reasons = {n: f.reason for n, f in found.items() if isinstance(f, Absent)}
    assert "no arm can be compared" in reasons["forest"]
    assert "no seed of the base" in reasons["confusion"]
    assert "no learning curves" in reasons["curves"]
    assert "not measured" in reasons["tradeoff"] or "neither" in reasons["tradeoff"]
    assert not found["history"].notable


# --- hostile text --------------------------------------------------------------------------


def test_inline_svg_has_ids_of_its_own_and_no_global_style(search: Block, tmp_path: Path) -> None:
    """Two figures on one page share no id, and no style reaches out of them."""
    ids: list[set[str]] = []
    for name in ("forest", "recall"):
        held = write_figure(FIGURES.load(name)(), name, search, tmp_path, slug=name)
        assert not isinstance(held, Absent)
        tree = ElementTree.fromstring(held.svg)
        ids.append({e.get("id", "") for e in tree.iter() if e.get("id")})
        assert "<style" not in held.svg
        assert "http://www.w3.org/1999/xlink" not in held.svg
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]


def test_references_inside_of_an_inline_svg_still_hold() -> None:
    """Clip paths and uses point at the renamed ids."""
    svg = (
        '<?xml version="1.0"?><svg width="10pt" height="5pt"><defs><style>*{}</style></defs>'
        '<g id="a"/><use xlink:href="#a" clip-path="url(#a)"/></svg>'
    )
    body = inline_svg(svg, "f", themed={}, px_per_pt=1.7)
    assert 'id="f-a"' in body
    assert 'href="#f-a"' in body
    assert "url(#f-a)" in body
    assert "style>" not in body
