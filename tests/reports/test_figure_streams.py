"""Weights of streams over time: numbers, lines, texts, and files."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from serlab.bench.insight import Insight, write_insight
from serlab.reports.figure import (
    WIDTHS_IN,
    Absent,
    Drawn,
    Venue,
    style,
    write_figure,
)
from serlab.reports.figures.streams import MOST_POINTS, Streams, StreamsNumbers
from serlab.reports.frame import load_frame
from serlab.reports.records import Block


@pytest.fixture(scope="module")
def folder(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = fake.FakeStudy(
        target="traces", labels=("arousal", "valence"), skill={"base": 0.6, "streams=two": 0.4},
        per_cell=3, n_frames=700, seeds=(0,), leaks=("split at random",),
    )  # fmt: skip
    path = fake.write_fake_run(tmp_path_factory.mktemp("streams") / "run", study)
    return Path(fake.add_insight(path, study, "weights"))


@pytest.fixture(scope="module")
def block(folder: Path) -> Block:
    return load_frame(folder).blocks[0]


@pytest.fixture(scope="module")
def held(block: Block) -> StreamsNumbers:
    found = Streams().info(block)
    assert isinstance(found, StreamsNumbers)
    return found


def kept(block: Block) -> Insight:
    base = block.base
    assert base is not None
    assert base.insight is not None
    return base.insight.read()


def drawn(numbers: StreamsNumbers, width: str) -> Figure:
    with style("x"):
        figure = Streams().draw(numbers, WIDTHS_IN[width])
        for _ in range(3):
            figure.draw_without_rendering()
    return figure


def test_means_and_spreads_are_over_frames(held: StreamsNumbers, block: Block) -> None:
    """Of each stream in each utterance, trained and control."""
    for panel, one in zip(held.panels, kept(block).weights, strict=True):
        assert (panel.utterance, panel.hop_s) == (one.id, one.hop_s)
        assert [s.name for s in panel.streams] == ["semantic", "paralinguistic"]
        for i, stream in enumerate(panel.streams):
            assert stream.mean == pytest.approx(one.trained[:, i].mean(), abs=1e-6)
            assert stream.sd == pytest.approx(one.trained[:, i].std(), abs=1e-6)
            assert stream.control_mean == pytest.approx(one.random[:, i].mean(), abs=1e-6)
            assert stream.control_sd == pytest.approx(one.random[:, i].std(), abs=1e-6)
        assert sum(s.mean for s in panel.streams) == pytest.approx(1)


def test_rows_hold_every_frame(held: StreamsNumbers, block: Block) -> None:
    """Also those that are not drawn."""
    rows = held.rows()
    assert len(rows) == 2 * 700 * 2
    second = rows[1]
    assert (second["stream"], second["time_s"]) == ("semantic", 0.1)
    assert second["weight"] == kept(block).weights[0].trained[1, 0]
    assert second["mean"] == held.panels[0].streams[0].mean


def test_words_name_arm_training_and_numbers(held: StreamsNumbers) -> None:
    """The caption tells what the control is; the alternative text has every number."""
    assert "streams of base on synth in 2 test utterances" in held.caption()
    assert "(the first by id; training of fold fold0 with seed 0)" in held.caption()
    stream = held.panels[0].streams[0]
    assert f"s1-0-0: semantic {stream.mean:.2f} ± {stream.sd:.2f} (0.50 ± 0.02)" in held.alt()


@pytest.mark.parametrize("width", sorted(WIDTHS_IN))
def test_each_stream_has_a_line_a_marker_and_its_name(width: str, held: StreamsNumbers) -> None:
    """Beside a thin dashed line of the control; texts keep apart and within the figure."""
    figure = drawn(held, width)
    assert figure.get_figwidth() == WIDTHS_IN[width]
    for axes, panel in zip(figure.axes, held.panels, strict=True):
        lines = [line for line in axes.lines if len(line.get_xdata()) > 1]
        plain = [line for line in lines if line.get_marker() in {"", "None", None}]
        marked = [line for line in lines if line not in plain]
        assert len({line.get_marker() for line in marked}) == len(panel.streams)
        assert all(line.get_linestyle() != "-" for line in plain)
        for line, dashed, stream in zip(marked, plain, panel.streams, strict=True):
            assert line.get_linewidth() > dashed.get_linewidth()
            assert len(line.get_xdata()) <= MOST_POINTS
            step = -(-700 // MOST_POINTS)
            assert np.array_equal(line.get_ydata(), stream.trained[::step])
            assert np.array_equal(dashed.get_ydata(), stream.control[::step])
        boxes = sorted((t.get_window_extent() for t in axes.texts), key=lambda box: box.y0)
        assert len(boxes) == len(panel.streams)
        assert all(a.y1 <= b.y0 + 1 for a, b in itertools.pairwise(boxes))
        assert max(box.x1 for box in boxes) <= figure.bbox.x1
    texts = [t.get_text() for axes in figure.axes for t in axes.texts]
    assert texts[0].startswith("semantic\n")


def test_equal_weights_of_many_streams_keep_their_texts_apart(held: StreamsNumbers) -> None:
    """However close their means lie."""
    one = held.panels[0].streams[0]
    streams = tuple(replace(one, name=f"stream {i}", mean=0.2) for i in range(5))
    made = replace(held, panels=(replace(held.panels[0], streams=streams),))
    boxes = sorted(
        (t.get_window_extent() for t in drawn(made, "single").axes[0].texts),
        key=lambda box: box.y0,
    )
    assert all(a.y1 <= b.y0 + 1 for a, b in itertools.pairwise(boxes))


def test_files_are_the_same_again(block: Block, tmp_path: Path) -> None:
    """At every width, with the marks of the corpus, and names that are no markup."""
    base = block.base
    assert base is not None
    assert base.insight is not None
    hostile = replace(kept(block).weights[0], id="<b>&$x_1$" * 9, streams=("<i>\x1b", "怒り" * 30))
    path = tmp_path / "insight.safetensors"
    write_insight(path, Insight(weights=(hostile,)))
    made = replace(block, arms=(replace(base, insight=replace(base.insight, path=path)),))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for width in WIDTHS_IN:
            held = write_figure(
                Streams(),
                "streams",
                made,
                tmp_path / folder,
                slug=width,
                venue=Venue(width=width),
            )
            assert isinstance(held, Drawn)
            assert "NOT SPEAKER-INDEPENDENT" in held.caption
            assert "<b>" not in held.svg
            ElementTree.fromstring(held.svg)
    for first in (tmp_path / "one").iterdir():
        assert first.read_bytes() == (tmp_path / "two" / first.name).read_bytes(), first.name
    with (tmp_path / "one" / "single.csv").open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 1400


def test_networks_without_streams_have_none(run: Path, block: Block, tmp_path: Path) -> None:
    """Quietly, with the reason that is kept."""
    none = Streams().info(load_frame(run).blocks[0])
    assert isinstance(none, Absent)
    assert not none.notable
    assert "add [insight] to the study" in none.reason
    base = block.base
    assert base is not None
    assert base.insight is not None
    path = tmp_path / "insight.safetensors"
    write_insight(path, Insight(absent={"weights": "this network weighs no streams"}))
    made = replace(block, arms=(replace(base, insight=replace(base.insight, path=path)),))
    found = Streams().info(made)
    assert found == Absent(reason="base: this network weighs no streams", notable=False)
