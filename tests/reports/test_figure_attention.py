"""Attention beside its control: which arm and utterances, correlations, pictures, and files."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from scipy.stats import spearmanr

from serlab.bench.insight import AttentionMap, Insight, write_insight
from serlab.reports.figure import (
    WIDTHS_IN,
    Absent,
    Drawn,
    Venue,
    style,
    write_figure,
)
from serlab.reports.figures.attention import (
    MOST_BINS,
    MOST_FRAMES,
    Attention,
    AttentionNumbers,
    _smaller,
)
from serlab.reports.frame import load_frame
from serlab.reports.records import Block
from serlab.reports.report import write_report


@pytest.fixture(scope="module")
def folder(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = fake.FakeStudy(leaks=("split at random",), seeds=(0, 1))
    path = fake.write_fake_run(tmp_path_factory.mktemp("attention") / "run", study)
    return Path(fake.add_insight(path, study, "maps"))


@pytest.fixture(scope="module")
def block(folder: Path) -> Block:
    return load_frame(folder).blocks[0]


@pytest.fixture(scope="module")
def held(block: Block) -> AttentionNumbers:
    return numbers(block)


def numbers(block: Block) -> AttentionNumbers:
    found = Attention().info(block)
    assert isinstance(found, AttentionNumbers)
    return found


def kept(block: Block, name: str = "base") -> Insight:
    arm = next(arm for arm in block.arms if arm.name == name)
    assert arm.insight is not None
    return arm.insight.read()


def with_maps(fake: ModuleType, folder: Path, arm: str, maps: Sequence[AttentionMap]) -> Block:
    """A run in which one arm has these maps and all others none."""
    study = fake.FakeStudy(seeds=(0,))
    fake.add_insight(fake.write_fake_run(folder, study), study)
    found = next(a for a in load_frame(folder).blocks[0].arms if a.name == arm)
    assert found.insight is not None
    write_insight(found.insight.path, Insight(maps=tuple(maps)))
    return load_frame(folder).blocks[0]


def weights(values: Any) -> np.ndarray:  # anything that numpy takes
    made = np.asarray(values, np.float64)
    return (made / made.sum()).astype(np.float32)


def test_it_shows_the_bases_maps(held: AttentionNumbers, block: Block) -> None:
    """Each with its class, what was said, and the training that it is of."""
    shown = [(p.utterance, p.emotion, p.said) for p in held.panels]
    assert shown == [(m.id, m.emotion, m.said) for m in kept(block).maps]
    assert (held.arm, held.looked_at) == ("base", "image")
    assert "Attention of base on synth in 4 test utterances" in held.caption()
    assert "(the first by id of each class in turn; training of fold fold0 with" in held.caption()


def test_correlations_are_spearmans_of_all_cells(held: AttentionNumbers, block: Block) -> None:
    """Of the maps as they are kept, however few cells are drawn."""
    for panel, one in zip(held.panels, kept(block).maps, strict=True):
        trained, control, seen = (x.ravel() for x in (one.trained, one.random, one.seen))
        assert panel.with_control == pytest.approx(spearmanr(trained, control).statistic)
        assert panel.with_input == pytest.approx(spearmanr(trained, seen).statistic)
        assert panel.with_input > 0.8
        assert abs(panel.with_control) < 0.1
        assert f"{panel.utterance} (" in held.alt()
    assert "0.90 with the input" in held.alt()


def test_a_map_that_the_control_makes_as_well_is_found(
    fake: ModuleType, block: Block, tmp_path: Path
) -> None:
    """What both show has a correlation of 1."""
    one = kept(block).maps[0]
    made = replace(one, random=weights(one.trained.astype(float) ** 2))
    same = with_maps(fake, tmp_path, "base", [made])
    assert numbers(same).panels[0].with_control == pytest.approx(1, abs=1e-3)


def test_frames_that_no_network_can_look_at_do_not_count(
    fake: ModuleType, block: Block, tmp_path: Path
) -> None:
    """Zeros that both have by their build would make any two maps alike."""
    rng = np.random.default_rng(0)
    frames, bins = 60, 20
    trained, control = np.zeros((2, frames, bins))
    trained[:30, :15], control[:30, :15] = rng.random((2, 30, 15)) + 0.1
    made = replace(
        kept(block).maps[0], seen=rng.normal(size=(frames, bins)).astype(np.float32),
        trained=weights(trained), random=weights(control),
    )  # fmt: skip
    found = numbers(with_maps(fake, tmp_path, "base", [made])).panels[0].with_control
    assert spearmanr(trained.ravel(), control.ravel()).statistic > 0.5
    assert found is not None
    assert abs(found) < 0.12
    inner = spearmanr(trained[:30, :15].ravel(), control[:30, :15].ravel()).statistic
    assert found == pytest.approx(inner, abs=0.02)  # kept in half precision


def test_attention_over_frames_is_compared_frame_by_frame(
    fake: ModuleType, block: Block, tmp_path: Path
) -> None:
    """The input's mean over bins then stands for a frame, and a constant has no correlation."""
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(40, 10)).astype(np.float32)
    trained = np.repeat(np.exp(seen.mean(axis=1))[:, None], 10, axis=1)
    made = replace(
        kept(block).maps[0], seen=seen, trained=weights(trained), random=weights(np.ones((40, 10)))
    )
    held = numbers(with_maps(fake, tmp_path, "base", [made]))
    assert held.panels[0].with_input == pytest.approx(1, abs=1e-3)
    assert held.panels[0].with_control is None
    assert not held.over_bins
    assert "how it weighs times, 1 where" in held.caption()
    with style("x"):
        axes = Attention().draw(held, WIDTHS_IN["single"]).axes
    assert "ρ –" in [a.get_title(loc="left") for a in axes]


def test_the_first_arm_that_has_attention_stands_in_for_the_base(
    fake: ModuleType, block: Block, tmp_path: Path
) -> None:
    """In the order of the study; the caption names it."""
    made = with_maps(fake, tmp_path, "pooling=mean", kept(block).maps)
    assert numbers(made).arm == "pooling=mean"
    assert "Attention of pooling=mean on" in numbers(made).caption()


def test_weights_are_multiples_of_equal_attention(held: AttentionNumbers, block: Block) -> None:
    """Their mean is 1 whatever the length, and smaller pictures keep it."""
    for panel, one in zip(held.panels, kept(block).maps, strict=True):
        assert panel.trained.mean() == pytest.approx(1, abs=0.05)
        assert panel.control.mean() == pytest.approx(1, abs=0.05)
        assert panel.trained.shape == (min(MOST_FRAMES, len(one.seen)), MOST_BINS)
        assert panel.length_s == pytest.approx(0.01 * len(one.seen))
    values = np.arange(12.0).reshape(6, 2)
    assert _smaller(values).tolist() == values.tolist()
    many = np.random.default_rng(0).random((3 * MOST_FRAMES, 2 * MOST_BINS))
    blocks = many.reshape(MOST_FRAMES, 3, MOST_BINS, 2).mean(axis=(1, 3))
    assert _smaller(many) == pytest.approx(blocks, rel=1e-6)


@pytest.mark.parametrize("width", sorted(WIDTHS_IN))
def test_attention_and_control_are_drawn_in_one_scale(width: str, held: AttentionNumbers) -> None:
    """A column an utterance; nothing of it leaves the figure or overlaps its neighbour."""
    with style("x"):
        figure = Attention().draw(held, WIDTHS_IN[width])
        for _ in range(3):
            figure.draw_without_rendering()
    grid = [axes for axes in figure.axes if axes.images]
    assert len(grid) == 3 * len(held.panels)
    limits = {axes.images[0].get_clim() for axes in grid[len(held.panels) :]}
    assert limits == {(0, held.brightest)}
    for axes, panel in zip(grid, held.panels, strict=False):
        assert np.array_equal(np.asarray(axes.images[0].get_array()), panel.seen.T)
        assert panel.emotion in axes.get_title(loc="left")
    for row in range(3):
        titles = [
            next(t for t in (a.title, a._left_title) if t.get_text()).get_window_extent()
            for a in grid[row * len(held.panels) : (row + 1) * len(held.panels)]
        ]
        assert all(a.x1 <= b.x0 + 1 for a, b in itertools.pairwise(titles))
        assert titles[-1].x1 <= figure.bbox.x1
    assert figure.get_figwidth() == WIDTHS_IN[width]


def test_files_are_the_same_again(block: Block, tmp_path: Path) -> None:
    """With the pictures inside of the page's element, which asks for nothing and stays small."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        drawn = write_figure(Attention(), "attention", block, tmp_path / folder, slug="x")
        assert isinstance(drawn, Drawn)
    for first in (tmp_path / "one").iterdir():
        assert first.read_bytes() == (tmp_path / "two" / first.name).read_bytes(), first.name
    assert "NOT SPEAKER-INDEPENDENT" in drawn.svg
    root = ElementTree.fromstring(drawn.svg)
    images = [e.attrib["href"] for e in root.iter("{http://www.w3.org/2000/svg}image")]
    assert len(images) >= 12
    assert all(re.match(r"data:image/png;base64,\s*[A-Za-z0-9+/=\s]+$", i) for i in images)
    assert sum(map(len, images)) < 90_000
    with (tmp_path / "one" / "x.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(p.seen.size for p in numbers(block).panels)
    first_row = rows[0]
    assert float(first_row["time_s"]) == pytest.approx(0.9 / MOST_FRAMES / 2, abs=1e-4)
    assert float(first_row["bin"]) == 0


def test_no_more_are_shown_than_can_be_read(fake: ModuleType, block: Block, tmp_path: Path) -> None:
    """The first four of what is kept, and the caption says of how many."""
    maps = [replace(one, id=f"u{i}") for i, one in enumerate(kept(block).maps * 2)]
    held = numbers(with_maps(fake, tmp_path, "base", maps))
    assert [p.utterance for p in held.panels] == ["u0", "u1", "u2", "u3"]
    assert "in 4 of 8 test utterances" in held.caption()


def test_names_may_be_anything(fake: ModuleType, block: Block, tmp_path: Path) -> None:
    """They are shortened, and none of them is taken for markup."""
    one = replace(kept(block).maps[0], id="<script>" * 9, emotion="怒り$x_1$" * 9, said="\x1b[31m")
    made = with_maps(fake, tmp_path / "run", "base", [one])
    drawn = write_figure(
        Attention(), "attention", made, tmp_path, slug="x", venue=Venue(width="single")
    )
    assert isinstance(drawn, Drawn)
    assert "<script>" not in drawn.svg
    ElementTree.fromstring(drawn.svg)


def test_a_page_asks_for_none_of_its_pictures(fake: ModuleType, tmp_path: Path) -> None:
    """They are in the page, which may show images of its own alone."""
    study = fake.FakeStudy(skill={"base": 0.7}, seeds=(0,), meters=False)
    fake.add_insight(
        fake.write_fake_run(tmp_path, study), study, "embeddings", "maps", "weights"
    )  # fmt: skip
    text = write_report(tmp_path, tmp_path / "report").read_text(encoding="utf-8")
    assert "img-src data:" in text
    found = re.findall(r"<image [^>]*>", text)
    assert len(found) >= 12
    assert all(' href="data:image/png;base64,' in image for image in found)
    assert "xlink" not in text
    for name in ("attention", "streams", "embedding"):
        assert (tmp_path / "report" / "figures" / f"{name}.csv").is_file()


def test_what_is_not_kept_is_told(run: Path, fake: ModuleType, tmp_path: Path) -> None:
    """How to get it, and why there is none where the study asks for it."""
    none = Attention().info(load_frame(run).blocks[0])
    assert none == Absent(reason="no attention is kept; add [insight] to the study", notable=False)
    without = with_maps(fake, tmp_path / "run", "base", ())
    assert Attention().info(without) == Absent(reason="base: no attention is kept", notable=False)
    study = fake.FakeStudy(seeds=(0,))
    fake.add_insight(fake.write_fake_run(tmp_path / "other", study), study, "embeddings")
    held = load_frame(tmp_path / "other").blocks[0]
    assert Attention().info(held) == Absent(reason="base: has no maps", notable=False)
    lost = tuple(replace(arm, insight=None) for arm in held.arms)
    told = Attention().info(replace(held, arms=lost))
    assert isinstance(told, Absent)
    assert told.notable
    assert "has not completed for any arm" in told.reason
