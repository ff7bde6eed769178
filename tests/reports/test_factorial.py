"""What the changes of a grid study are worth, from run folders with known effects."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from serlab.bench.contracts import Status
from serlab.bench.store import Store
from serlab.reports.attribution import Attribution, NoAttribution
from serlab.reports.effects import predictions
from serlab.reports.factorial import Grid, attribution_of, grid_of, lines_of
from serlab.reports.frame import load_frame
from serlab.reports.records import Block
from serlab.reports.report import write_report
from serlab.studies.specification import load_study

LEVELS = {
    "pooling": ("attention", "mean"),
    "filters": ("both", "time"),
    "augmentation": ("masks", "none"),
}
WORTH = {"pooling": -0.02, "filters": -0.15, "augmentation": -0.01}
TOGETHER = -0.2
"""Of pooling and filters, beyond the sum of both."""


def arms() -> Iterator[tuple[str, dict[str, str], float]]:
    """Name, options and skill of the eight arms, the base first."""
    for made in itertools.product((0, 1), repeat=3):
        changed = [slot for slot, on in zip(LEVELS, made, strict=True) if on]
        name = ", ".join(f"{slot}={LEVELS[slot][1]}" for slot in changed) or "base"
        options = {slot: LEVELS[slot][on] for slot, on in zip(LEVELS, made, strict=True)}
        both = TOGETHER if {"pooling", "filters"} <= set(changed) else 0.0
        yield name, options, 0.85 + sum(WORTH[slot] for slot in changed) + both


@pytest.fixture(scope="module")
def grid_run(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    held = list(arms())
    study = fake.FakeStudy(
        name="grid",
        design="grid",
        skill={name: skill for name, _, skill in held} | {"svm": 0.5},
        options={name: options for name, options, _ in held} | {"svm": {"kernel": "linear"}},
        per_cell=20,
        epochs=0,
    )
    folder: Path = fake.write_fake_run(tmp_path_factory.mktemp("grid") / "run", study)
    return folder


@pytest.fixture(scope="module")
def block(grid_run: Path) -> Block:
    return load_frame(grid_run).blocks[0]


@pytest.fixture(scope="module")
def found(grid_run: Path, block: Block) -> Attribution:
    held = attribution_of(block, Store.open(grid_run))
    assert isinstance(held, Attribution)
    return held


def test_the_grid_is_found_in_the_options(block: Block) -> None:
    """Eight combinations of three changes; another system is no part of it."""
    grid = grid_of(block)
    assert isinstance(grid, Grid)
    assert set(grid.changes) == {"pooling=mean", "filters=time", "augmentation=none"}
    assert len(grid.arms) == 8
    for made, arm in grid.arms.items():
        assert set(made) == set(arm.name.split(", ")) - {"base"}


def test_shapley_values_add_up_to_what_all_changes_are_worth(
    found: Attribution, block: Block
) -> None:
    """The total is the difference of the arm that makes all changes, as the table has it."""
    assert sum(t.estimate.mean for t in found.shapley) == pytest.approx(found.total.mean)
    (whole,) = [a for a in block.arms if a.name.count("=") == 3]
    assert whole.effect is not None
    assert found.total.mean == pytest.approx(whole.effect.estimate.mean)
    assert found.total.low == pytest.approx(whole.effect.estimate.low)


def test_the_planted_interaction_is_shown_and_no_other(found: Attribution, block: Block) -> None:
    """Its size is near the planted one, and the page says it in a sentence."""
    pairs = {frozenset(t.changes): t for t in found.effects if len(t.changes) == 2}
    planted = pairs.pop(frozenset({"pooling=mean", "filters=time"}))
    assert planted.estimate.mean == pytest.approx(TOGETHER, abs=0.06)
    assert planted.p_holm is not None
    assert planted.p_holm < 0.05
    assert all(t.p_holm is not None and t.p_holm >= 0.05 for t in pairs.values())
    told = lines_of(found, block)
    assert "against each other: " in told.sentence
    assert "the largest that is shown is that of filters=time" in told.sentence
    strong = {line.name for line in told.effects if line.strong}
    assert "pooling=mean × filters=time" in strong or "filters=time × pooling=mean" in strong


def test_the_ladder_follows_validation_and_nothing_else(
    grid_run: Path, block: Block, found: Attribution
) -> None:
    """Its order is that of the scores on the validation rows; its tests are paired."""
    store, seeds = Store.open(grid_run), block.study.seeds
    scores = {}
    for arm in block.arms:
        values = []
        for seed, key in arm.trials:
            assert seed in seeds
            for fold in block.corpus.folds:
                held = store.predictions(f"{key}-{fold}")
                rows = [i for i, part in enumerate(held.parts) if part == "validation"]
                right = held.scores[rows].argmax(axis=1) == held.truth[rows]
                values.append(right.mean())  # classes are balanced: UA is WA
        scores[arm.name] = sum(values) / len(values)
    assert found.base_validation == pytest.approx(scores["base"])
    alone = {arm: score for arm, score in scores.items() if arm.count("=") == 1}
    assert found.rungs[0].change == max(alone, key=lambda name: alone[name])
    assert len(found.rungs) == 3
    assert found.rungs[0].gain == pytest.approx(max(alone.values()) - scores["base"])
    assert sum(r.test.estimate.mean for r in found.rungs) == pytest.approx(found.total.mean)


def test_other_designs_have_no_attribution(block: Block, grid_run: Path) -> None:
    """An ablation that happens to be a factorial is asked for no attribution."""
    other = replace(block, study=replace(block.study, design="ablate"))
    assert attribution_of(other, Store.open(grid_run)) is None


def test_why_a_grid_is_none_is_said(block: Block) -> None:
    """A third level, a combination that is missing, one factor, an arm that failed."""

    def reason(changed: Block) -> str:
        held = grid_of(changed)
        assert isinstance(held, NoAttribution)
        return held.reason

    three = replace(block.arms[1], name="x", options={**block.arms[1].options, "filters": "q"})
    assert "filters has 3 levels" in reason(replace(block, arms=(*block.arms, three)))
    without = tuple(a for a in block.arms if a.name != "filters=time")
    assert reason(replace(block, arms=without)).endswith("none makes filters=time")
    assert "two changes or more" in reason(replace(block, arms=block.arms[:2]))
    lost = tuple(
        replace(a, effect=None, no_effect="1 of 15 trainings failed")
        if a.name == "filters=time"
        else a
        for a in block.arms
    )
    assert "filters=time is not compared: 1 of 15" in reason(replace(block, arms=lost))


def test_without_validation_speakers_there_is_no_ladder(
    grid_run: Path, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is chosen by test scores; the rest stands."""
    whole = Store.predictions

    def tested(store: Store, cell: str) -> object:
        held = whole(store, cell)
        return replace(held, parts=tuple("test" for _ in held.parts))

    monkeypatch.setattr(Store, "predictions", tested)
    held = attribution_of(block, Store.open(grid_run))
    assert isinstance(held, Attribution)
    assert held.rungs == ()
    assert "no validation speakers" in lines_of(held, block).notes[-1]
    assert lines_of(held, block).ladder == ()


def test_arms_keep_to_the_seeds_that_all_have(fake: ModuleType, tmp_path: Path) -> None:
    """A training that has not run yet takes its seed from all arms, and the note says so."""
    held = list(arms())
    study = fake.FakeStudy(
        design="grid",
        skill={name: skill for name, _, skill in held},
        options={name: options for name, options, _ in held},
        lost={("filters=time", "fold0", 2): None},
        epochs=0,
    )
    folder = fake.write_fake_run(tmp_path / "run", study)
    block = load_frame(folder).blocks[0]
    found = attribution_of(block, Store.open(folder))
    assert isinstance(found, Attribution)
    assert found.total.n_seeds == 2
    assert "seed 2 that some arms lack, left out" in found.total.note
    assert block.base is not None
    assert block.base.pooled is not None
    assert len(predictions(block.base.pooled, block.base.pooled.seeds).seeds) == 3


@pytest.mark.usefixtures("tables_only")
def test_page_and_files_tell_it(grid_run: Path, block: Block, tmp_path: Path) -> None:
    """A section with its three tables, the files, and the numbers as JSON."""
    page = write_report(grid_run, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    for said in ("Shapley values", "Main effects and interactions", "(order-dependent)"):
        assert text.index("Attribution</h3>") < text.index(said) < text.index("Figures</h3>")
    tables = tmp_path / "tables"
    with (tables / "attribution.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    *shares, whole = [float(row["value"]) for row in rows]
    assert sum(shares) == pytest.approx(whole)
    assert {row["synthetic"] for row in rows} == {"true"}
    with (tables / "interactions.csv").open(encoding="utf-8", newline="") as file:
        kinds = [row["kind"] for row in csv.DictReader(file)]
    assert kinds == ["main effect"] * 3 + ["interaction"] * 3
    with (tables / "ladder.csv").open(encoding="utf-8", newline="") as file:
        ladder = list(csv.DictReader(file))
    assert [row["step"] for row in ladder] == ["1", "2", "3"]
    assert {row["order_dependent"] for row in ladder} == {"true"}
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)
    assert data is not None
    held = json.loads(data[1])["corpora"][0]["attribution"]
    assert held["total"]["mean"] == pytest.approx(whole)


@pytest.mark.usefixtures("tables_only")
def test_a_grid_that_is_no_factorial_says_why_on_the_page(fake: ModuleType, tmp_path: Path) -> None:
    """One line instead of the tables, and no file."""
    held = list(arms())
    study = fake.FakeStudy(
        design="grid",
        skill={name: skill for name, _, skill in held},
        options={name: options for name, options, _ in held},
        lost={("filters=time", "fold0", 2): Status.FAILED},
        epochs=0,
    )
    page = write_report(fake.write_fake_run(tmp_path, study))
    text = page.read_text(encoding="utf-8")
    assert "The effects of the grid are not told apart: filters=time is not compared" in text
    assert not (page.parent / "tables" / "attribution.csv").exists()


def test_the_shipped_study_is_a_full_factorial() -> None:
    """Its grid names the base's own levels, so that eight arms are all combinations of three."""
    study = load_study("factorial_quick")
    assert study.design == "grid"
    assert len(study.arms) == 8
    assert max(arm.name.count("=") for arm in study.arms) == 3


@pytest.fixture
def tables_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws no figure."""
    monkeypatch.setattr("serlab.reports.figure.FIGURES.entries", dict)
