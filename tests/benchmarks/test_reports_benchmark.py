"""What a report costs: 12 arms, 5 seeds, 10 folds, 500 utterances of ten speakers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serlab.reports.figure import FIGURES, WIDTHS_IN, Absent, style, write_figure
from serlab.reports.frame import load_frame
from serlab.reports.records import Block, Frame, SearchPoint
from serlab.reports.report import write_report
from serlab.reports.table_files import write_tables

Benchmark = Any  # pytest-benchmark is untyped
Size = Callable[[int, int], int]

pytestmark = pytest.mark.benchmark(group="reports")


@pytest.fixture(scope="module")
def run(fake: Any, tmp_path_factory: pytest.TempPathFactory, size: Size) -> Path:
    """A run as a study leaves it; every speaker is a fold."""
    n = size(10, 4)
    arms = ["base", *(f"pooling=p{k}" for k in range(size(11, 2)))]
    study = fake.FakeStudy(
        skill={arm: 0.7 - 0.02 * k for k, arm in enumerate(arms)},
        labels=("anger", "boredom", "joy", "neutral", "sadness"),
        speakers=tuple(f"s{k}" for k in range(n)),
        seeds=tuple(range(size(5, 2))),
        per_cell=n,
        epochs=30,
        probes={"base": 0.9, "pooling=p0": 0.5},
    )
    folder: Path = fake.write_fake_run(tmp_path_factory.mktemp("reports") / "run", study)
    return folder


@pytest.fixture(scope="module")
def frame(run: Path) -> Frame:
    """The run, read."""
    return load_frame(run)


@pytest.fixture(scope="module")
def blocks(fake: Any, tmp_path_factory: pytest.TempPathFactory, frame: Frame) -> list[Block]:
    """Results that every figure finds its numbers in: of classes, traces, searches, a grid."""
    skill = {"base": 0.7, "pooling=max": 0.6, "pooling=mean": 0.5}
    traced = fake.FakeStudy(
        meters=False,
        target="traces",
        labels=("arousal", "valence"),
        skill=skill,
        seeds=(0, 1),
        per_cell=10,
    )
    tried = [("pooling=max", 0.6), ("pooling=mean", 0.5)] * 20
    searched = fake.FakeStudy(
        meters=False,
        design="search",
        skill=skill,
        seeds=(0,),
        history=tuple((arm, value + k / 1e3, "complete") for k, (arm, value) in enumerate(tried)),
        costs={"pooling=max": 3e5, "pooling=mean": 1e5},
    )
    single = fake.FakeStudy(
        meters=False,
        design="search",
        skill=skill,
        seeds=(0,),
        history=searched.history,
    )
    grid = {
        "base": ("attention", "both"),
        "pooling=mean": ("mean", "both"),
        "filters=time": ("attention", "time"),
        "pooling=mean, filters=time": ("mean", "time"),
    }
    crossed = fake.FakeStudy(
        meters=False,
        design="grid",
        skill={arm: 0.8 - 0.1 * k for k, arm in enumerate(grid)},
        options={
            arm: dict(zip(("pooling", "filters"), of, strict=True)) for arm, of in grid.items()
        },
    )
    folder = tmp_path_factory.mktemp("figures")
    studies = (traced, searched, single, crossed)
    written = [fake.write_fake_run(folder / str(k), study) for k, study in enumerate(studies)]
    looked = fake.FakeStudy(meters=False, skill=skill, seeds=(0,))
    inside = fake.write_fake_run(folder / "inside", looked)
    written.append(fake.add_insight(inside, looked, "embeddings", "maps", "weights"))
    found = [frame.blocks[0], *(load_frame(path).blocks[0] for path in written)]
    return [*found, tuned(found[2])]


def tuned(searched: Block) -> Block:
    """A search over two settings, the first of which makes the score."""
    rng = np.random.default_rng(0)
    points = tuple(
        SearchPoint(order=k + 1, arm=f"variant {k}", status="complete", value=float(width),
                    choices={"width": float(width), "dropout": float(dropout)})
        for k, (width, dropout) in enumerate(rng.random((40, 2)))
    )  # fmt: skip
    return replace(searched, search=points)


def test_frame(benchmark: Benchmark, run: Path) -> None:
    """Records and predictions to arms with their numbers."""
    frame = benchmark.pedantic(load_frame, (run,), rounds=3, warmup_rounds=1)
    (block,) = frame.blocks
    assert all(arm.effect is not None for arm in block.arms if not arm.is_base)


def test_page(
    benchmark: Benchmark, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report without figures: the run read, the page and the tables written."""
    monkeypatch.setattr(FIGURES, "entries", dict)
    page = benchmark.pedantic(write_report, (run, tmp_path), rounds=3, warmup_rounds=1)
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_tables(benchmark: Benchmark, frame: Frame, tmp_path: Path) -> None:
    """The table of arms as CSV, Markdown and LaTeX."""
    files = benchmark(write_tables, frame.blocks[0], tmp_path, "ablation")
    assert all((tmp_path / name).stat().st_size for name in files)


@pytest.mark.parametrize("name", FIGURES.entries())
def test_figure(benchmark: Benchmark, blocks: list[Block], name: str) -> None:
    """Numbers taken out of the first results that have any, and drawn, without files."""
    kind = FIGURES.entry(name).load()()
    having = [one for one in blocks if not isinstance(kind.info(one), Absent)]
    assert having, "no run here has this figure: the fixture `blocks` lacks one"
    block = having[0]

    def draw() -> int:
        with style(name):
            figure = kind.draw(kind.info(block), WIDTHS_IN["double"])
            figure.draw_without_rendering()
        return len(figure.axes)

    assert benchmark.pedantic(draw, rounds=3, warmup_rounds=1)


def test_files_of_a_figure(benchmark: Benchmark, frame: Frame, tmp_path: Path) -> None:
    """One figure in all its files."""
    kind, block = FIGURES.entry("forest").load()(), frame.blocks[0]
    held = benchmark.pedantic(
        write_figure,
        (kind, "forest", block, tmp_path),
        {"slug": "forest"},
        rounds=3,
        warmup_rounds=1,
    )
    assert {path.name for path in tmp_path.iterdir()} == set(held.files)


def test_report(
    benchmark: Benchmark, size: Size, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it, from the run's folder to the page with its figures and tables."""
    known = FIGURES.entries()
    chosen = {name: known[name] for name in list(known)[: size(len(known), 1)]}
    monkeypatch.setattr(FIGURES, "entries", lambda: chosen)
    page = benchmark.pedantic(write_report, (run, tmp_path), rounds=2)
    assert page.stat().st_size
