"""Maps of embeddings: projection, both probes, colours, and files."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from serlab.bench.contracts import Status
from serlab.bench.errors import BadFile
from serlab.bench.insight import Embeddings, Insight, write_insight
from serlab.bench.probe import emotion_probe, speaker_probe
from serlab.reports.figure import (
    WIDTHS_IN,
    Absent,
    Drawn,
    Venue,
    style,
    write_figure,
)
from serlab.reports.figures.embedding import (
    MOST_ARMS,
    MOST_POINTS,
    MOST_SPEAKERS,
    Embedding,
    EmbeddingNumbers,
    _projected,
)
from serlab.reports.frame import load_frame
from serlab.reports.insight import inside
from serlab.reports.join import join
from serlab.reports.records import Block


@pytest.fixture(scope="module")
def folder(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = fake.FakeStudy(leaks=("split at random",), seeds=(0, 1))
    path = fake.write_fake_run(tmp_path_factory.mktemp("embedding") / "run", study)
    return Path(fake.add_insight(path, study, "embeddings"))


@pytest.fixture(scope="module")
def block(folder: Path) -> Block:
    return load_frame(folder).blocks[0]


@pytest.fixture(scope="module")
def held(block: Block) -> EmbeddingNumbers:
    return numbers(block)


def numbers(block: Block) -> EmbeddingNumbers:
    found = Embedding().info(block)
    assert isinstance(found, EmbeddingNumbers)
    return found


def kept(block: Block) -> Embeddings:
    held = next(inside(block, "embeddings")).held.embeddings
    assert held is not None
    return held


def with_embeddings(block: Block, folder: Path, **changed: Any) -> Block:  # fields of Embeddings
    """The block with the base alone, whose embeddings are these."""
    base = block.base
    assert base is not None
    assert base.insight is not None
    path = folder / "changed.safetensors"
    write_insight(path, Insight(embeddings=replace(kept(block), **changed)))
    return replace(block, arms=(replace(base, insight=replace(base.insight, path=path)),))


def drawn(numbers: EmbeddingNumbers, width: str) -> Figure:
    with style("x"):
        figure = Embedding().draw(numbers, WIDTHS_IN[width])
        for _ in range(3):
            figure.draw_without_rendering()
    return figure


def test_the_base_comes_first_and_what_is_left_out_is_named(held: EmbeddingNumbers) -> None:
    """Then the arms in the order of the study."""
    assert [one.arm for one in held.maps] == ["base", "pooling=max", "pooling=mean"]
    assert len(held.maps) == MOST_ARMS
    assert "Not shown: filters=time, filters=square and svm." in held.caption()


def test_probes_are_those_of_the_bench(held: EmbeddingNumbers, block: Block) -> None:
    """Speakers of the training part; emotions learnt there and judged on the test part."""
    one, found = held.maps[0], kept(block)
    parts = np.array(found.parts)
    train, test = np.flatnonzero(parts == "train"), np.flatnonzero(parts == "test")
    speakers = speaker_probe(found.values[train], [found.speakers[i] for i in train])
    emotions = emotion_probe(
        found.values[train], [found.emotions[i] for i in train],
        found.values[test], [found.emotions[i] for i in test],
    )  # fmt: skip
    assert one.probes == {**speakers, **emotions}
    assert (one.value("speaker_probe_chance"), one.value("emotion_probe_chance")) == (1 / 3, 0.25)
    value = one.value("emotion_probe")
    assert value is not None
    assert value > 0.8
    assert f"base emotion probe {value:.2f} (chance 0.25) and speaker probe" in held.alt()


def test_components_are_of_the_training_part(held: EmbeddingNumbers, block: Block) -> None:
    """As a singular value decomposition has them; no test utterance has a say in them."""
    found, one = kept(block), held.maps[0]
    train = found.values[np.array(found.parts) == "train"].astype(float)
    variances = np.sort(np.linalg.eigvalsh(np.cov(train.T)))[::-1]
    assert one.shares == pytest.approx(variances[:2] / variances.sum())
    places = one.places[~one.tested]
    assert places.mean(axis=0) == pytest.approx([0, 0], abs=1e-6)
    assert places.var(axis=0, ddof=1) == pytest.approx(variances[:2])
    assert np.corrcoef(places.T)[0, 1] == pytest.approx(0, abs=1e-9)
    assert Counter(one.tested.tolist()) == {False: 3 * 48, True: 48}
    assert f"{sum(one.shares):.0%} for base" in held.caption()


def test_the_sign_of_a_component_is_fixed() -> None:
    """The largest entry of its direction is positive, whatever the decomposition returns."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 4)) * [4, 2, 1, 0.5] @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    places, _ = _projected(x, x)
    mirrored, _ = _projected(x[::-1], x)
    assert mirrored == pytest.approx(places)
    for i in range(2):
        direction = (x - x.mean(axis=0)).T @ places[:, i]
        assert direction[np.abs(direction).argmax()] > 0


def test_one_value_or_nothing_that_varies_still_makes_a_map() -> None:
    """The missing component is 0 and has no share."""
    line = np.arange(6.0)[:, None].astype(np.float32)
    places, shares = _projected(line, line)
    assert shares == (1.0, 0.0)
    assert places[:, 1].tolist() == [0.0] * 6
    assert _projected(np.ones((4, 3)), np.ones((2, 3)))[1] == (0.0, 0.0)


def test_points_have_the_colours_of_their_class_and_speaker(held: EmbeddingNumbers) -> None:
    """Top by emotion, bottom by speaker; colour and marker, and an edge in the test part."""
    figure = drawn(held, "double")
    panels = figure.axes
    assert len(panels) == 2 * MOST_ARMS
    one = held.maps[0]
    for axes, names in ((panels[0], one.emotions), (panels[MOST_ARMS], one.speakers)):
        seen: dict[tuple[float, float], Any] = {}
        for line in axes.lines:
            edged = line.get_markeredgewidth() > 0
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
                seen[x, y] = (line.get_color(), line.get_marker(), edged)
        shown = [*held.drawn(one, tested=False)[0], *held.drawn(one, tested=True)[0]]
        assert len(seen) == len(shown)
        looks = {i: seen[one.places[i, 0], one.places[i, 1]] for i in shown}
        assert all(looks[i][2] == one.tested[i] for i in shown)
        trained = {names[i]: looks[i][:2] for i in shown if not one.tested[i]}
        assert len(set(trained.values())) == len(trained)
        assert all(looks[i][:2] == trained[names[i]] for i in shown if not one.tested[i])
    assert "of speakers that the training has not seen" in held.caption()


@pytest.mark.parametrize("width", sorted(WIDTHS_IN))
def test_numbers_stand_above_their_maps(width: str, held: EmbeddingNumbers) -> None:
    """Arm and emotion probe on top, speaker probe below; no title reaches its neighbour."""
    figure = drawn(held, width)
    assert figure.get_figwidth() <= WIDTHS_IN[width] + 1e-9
    for row, key in enumerate(("emotion", "speaker")):
        panels = figure.axes[row * MOST_ARMS : (row + 1) * MOST_ARMS]
        for axes, one in zip(panels, held.maps, strict=True):
            value = one.value(f"{key}_probe")
            assert f"{value:.2f} (" in axes.get_title(loc="left")
            assert (one.arm in axes.get_title(loc="left")) is (row == 0)
        boxes = [axes._left_title.get_window_extent() for axes in panels]
        assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(boxes))
        assert boxes[-1].x1 <= figure.bbox.x1
    for part in figure.subfigs:
        legend = part.legends[0].get_window_extent()
        assert legend.x1 <= figure.bbox.x1
        assert all(not legend.overlaps(axes.get_window_extent()) for axes in figure.axes)
        assert "test (edged)" in [t.get_text() for t in part.legends[0].get_texts()]


def test_many_speakers_and_utterances(block: Block, tmp_path: Path) -> None:
    """Six speakers with most utterances have colours, the others are grey; points are thinned."""
    rng = np.random.default_rng(0)
    sizes = [60, 50, 40, 30, 20, 20, 10, 5]
    train = [f"t{i}" for i, n in enumerate(sizes) for _ in range(n)]
    names = (*train, *["new"] * 20)
    n = len(names)
    made = with_embeddings(
        block, tmp_path,
        ids=tuple(str(i) for i in range(n)), speakers=names,
        emotions=tuple(("anger", "joy")[i % 2] for i in range(n)),
        parts=tuple("test" if name == "new" else "train" for name in names),
        values=rng.normal(size=(n, 5)).astype(np.float32),
    )  # fmt: skip
    held = numbers(made)
    assert held.speakers == ("t0", "t1", "t2", "t3", "t4", "t5")
    assert len(held.speakers) == MOST_SPEAKERS
    assert "Of 8 training speakers, the 6 with most utterances have colours." in held.caption()
    assert len(held.drawn(held.maps[0], tested=False)[0]) <= MOST_POINTS
    assert f"At most {MOST_POINTS} utterances of a part are drawn." in held.caption()
    assert len(held.rows()) == n
    legend = drawn(held, "single").subfigs[1].legends[0]
    assert "others" in [t.get_text() for t in legend.get_texts()]
    assert held.emotions == ("anger", "joy")


def test_speakers_of_both_parts_are_not_called_unseen(block: Block, tmp_path: Path) -> None:
    """Where the split shares speakers."""
    found = kept(block)
    shared = with_embeddings(block, tmp_path, speakers=("s9",) * len(found.ids))
    held = numbers(shared)
    assert "has not seen" not in held.caption()
    assert "No speaker probe for base: fewer than two speakers to tell." in held.caption()
    titles = [axes.get_title(loc="left") for axes in drawn(held, "double").axes]
    assert "speaker probe –" in titles


def test_traces_have_speakers_alone(fake: ModuleType, tmp_path: Path) -> None:
    """Without emotions there is one row, and no word of them."""
    study = fake.FakeStudy(
        target="traces", labels=("arousal",), skill={"base": 0.6}, per_cell=4, seeds=(0,)
    )
    fake.add_insight(fake.write_fake_run(tmp_path, study), study, "embeddings")
    held = numbers(load_frame(tmp_path).blocks[0])
    assert held.emotions == ()
    assert "emotion" not in held.caption().lower()
    assert "emotion" not in held.alt()
    assert len(drawn(held, "single").axes) == 1


def test_files_are_the_same_again(block: Block, tmp_path: Path) -> None:
    """At every width, whatever the names are, and small enough for a page."""
    found = kept(block)
    base = block.base
    assert base is not None
    hostile = with_embeddings(
        block, tmp_path,
        speakers=tuple(f"<b>{name}$_x$" * 9 for name in found.speakers),
        ids=tuple(f"=1+{name}" for name in found.ids),
    )  # fmt: skip
    arm = replace(hostile.arms[0], name="<script>\u202e" * 20)
    hostile = replace(hostile, arms=(arm,))
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        for width in WIDTHS_IN:
            held = write_figure(
                Embedding(),
                "embedding",
                hostile,
                tmp_path / folder,
                slug=width,
                venue=Venue(width=width),
            )
            assert isinstance(held, Drawn)
            assert "NOT SPEAKER-INDEPENDENT" in held.caption
            assert "<script>" not in held.svg
            ElementTree.fromstring(held.svg)
    for first in (tmp_path / "one").iterdir():
        assert first.read_bytes() == (tmp_path / "two" / first.name).read_bytes(), first.name
    with (tmp_path / "one" / "single.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 * 48
    assert rows[0]["utterance"].lstrip("'").startswith("=1+")
    assert Counter(row["part"] for row in rows) == {"train": 3 * 48, "test": 48}


def test_joined_reports_keep_them(folder: Path, fake: ModuleType, tmp_path: Path) -> None:
    """The base of the first run, then the arms of all in their order."""
    study = fake.FakeStudy(name="other", skill={"base": 0.6, "loss=focal": 0.7}, seeds=(0, 1))
    study = replace(study, leaks=("split at random",))
    fake.add_insight(fake.write_fake_run(tmp_path, study), study, "embeddings")
    one = load_frame(tmp_path)
    held = numbers(join([one, load_frame(folder)]).blocks[0])
    assert len(held.maps) == MOST_ARMS
    assert held.maps[1].arm.startswith("loss=focal")


def test_a_run_is_loaded_without_reading_them(fake: ModuleType, tmp_path: Path) -> None:
    """A damaged file is told when a figure asks for it, and not before."""
    study = fake.FakeStudy(skill={"base": 0.7}, seeds=(0,), meters=False)
    fake.add_insight(fake.write_fake_run(tmp_path, study), study, "embeddings")
    path = next((tmp_path / "insight").iterdir())
    path.write_bytes(b"damaged")
    held = load_frame(tmp_path).blocks[0]
    with pytest.raises(BadFile, match=path.name):
        Embedding().info(held)


def test_a_training_that_failed_is_not_shown(fake: ModuleType, tmp_path: Path) -> None:
    """Nor is one of another fold or seed; the next arm is."""
    study = fake.FakeStudy(
        skill={"base": 0.7, "loss=focal": 0.8}, seeds=(0, 1), meters=False,
        lost={("base", "fold0", 0): Status.FAILED},
    )  # fmt: skip
    fake.add_insight(fake.write_fake_run(tmp_path, study), study, "embeddings")
    held = numbers(load_frame(tmp_path).blocks[0])
    assert [one.arm for one in held.maps] == ["loss=focal"]
    assert "Not shown: base." in held.caption()


def test_what_is_not_kept_is_told(run: Path, block: Block, tmp_path: Path) -> None:
    """Quietly unless the study asks for it."""
    none = Embedding().info(load_frame(run).blocks[0])
    assert none == Absent(
        reason="no embeddings are kept; add [insight] to the study", notable=False
    )
    base = block.base
    assert base is not None
    assert base.insight is not None
    path = tmp_path / "none.safetensors"
    write_insight(path, Insight(absent={"embeddings": "an estimator is no network"}))
    made = replace(block, arms=(replace(base, insight=replace(base.insight, path=path)),))
    told = Embedding().info(made)
    assert told == Absent(reason="base: an estimator is no network")
