"""Several corpora on one page: what a change is worth over all of them."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from serlab.bench.contracts import Status
from serlab.reports.across import across, ranked
from serlab.reports.frame import load_frame
from serlab.reports.records import Verdict
from serlab.reports.report import write_report

CORPORA = ("emodb", "urdu", "ravdess")


@pytest.fixture(scope="module")
def run(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = fake.FakeStudy(
        corpora=CORPORA,
        skill={"base": 0.75, "pooling=mean": 0.55, "filters=square": 0.90},
        epochs=0,
        lost={("pooling=mean", "fold0", 0): Status.FAILED},
    )
    folder: Path = fake.write_fake_run(tmp_path_factory.mktemp("corpora") / "run", study)
    return folder


def test_rows_are_the_summaries_of_the_effects(run: Path) -> None:
    """Each arm's differences stand under its corpora; a large one is found over all of them."""
    frame = load_frame(run)
    rows = {row.arm.name: row for row in across(frame)}
    assert set(rows) == {arm.name for arm in frame.blocks[0].others}
    better = rows["filters=square"]
    assert tuple(better.effects) == CORPORA
    for block in frame.blocks:
        (arm,) = [a for a in block.arms if a.name == "filters=square"]
        assert arm.effect is not None
        assert better.effects[block.corpus.name] == arm.effect.estimate
    assert better.summary is not None
    means = [e.mean for e in better.effects.values()]
    assert min(means) - 1e-9 <= better.summary.mean <= max(means) + 1e-9
    assert better.summary.n_corpora == 3
    assert better.p_holm is not None
    assert better.p_holm >= better.summary.p
    assert better.p_equivalent_holm is not None
    assert better.p_equivalent_holm > 0.5
    assert better.verdict is Verdict.BETTER


def test_an_arm_that_is_not_compared_somewhere_has_no_summary(run: Path) -> None:
    """A training that failed on one corpus spoils the mean over all, and is named."""
    (row,) = [r for r in across(load_frame(run)) if r.arm.name == "pooling=mean"]
    assert row.summary is None
    assert row.reason == "not compared on emodb"


def test_one_corpus_has_nothing_across(run: Path) -> None:
    """No section, no table."""
    frame = load_frame(run)
    assert across(replace(frame, blocks=frame.blocks[:1])) == ()


def test_page_and_table_tell_it(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The section comes first, its file lies beside the page, its numbers are in the JSON."""
    monkeypatch.setattr("serlab.reports.figure.FIGURES.entries", dict)
    page = write_report(run, tmp_path)
    text = page.read_text(encoding="utf-8")
    assert text.index("Over 3 corpora") < text.index("Verdict on")
    assert "not compared on emodb" in text
    with (tmp_path / "tables" / "across-corpora.csv").open(encoding="utf-8", newline="") as file:
        table = {row["arm"]: row for row in csv.DictReader(file)}
    held = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', text, re.S)
    assert held is not None
    rows = {row["arm"]: row for row in json.loads(held[1])["across"]}
    assert float(table["filters=square"]["mean"]) == pytest.approx(
        rows["filters=square"]["summary"]["mean"]
    )
    assert rows["pooling=mean"]["summary"] is None


# --- ranks ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    study = fake.FakeStudy(
        corpora=("emodb", "urdu", "ravdess", "crema", "savee"),
        skill={"base": 0.75, "pooling=mean": 0.55, "filters=square": 0.90, "svm": 0.65},
        epochs=0,
        speakers=("s1", "s2", "s3"),
        seeds=(0, 1),
        lost={("svm", "fold0", 1): Status.FAILED},
    )
    folder: Path = fake.write_fake_run(tmp_path_factory.mktemp("many") / "run", study)
    return folder


def test_from_five_corpora_on_arms_are_ranked(many: Path) -> None:
    """By the mean of the metric on each; an arm that lost a training is left out and named."""
    frame = load_frame(many)
    held = ranked(frame)
    assert held is not None
    assert held.ranking is not None
    assert held.ranking.arms == ("filters=square", "base", "pooling=mean")
    assert held.ranking.n_blocks == 5
    assert held.left_out == ("svm",)
    assert held.groups == {"filters=square": "1", "base": "1, 2", "pooling=mean": "2"}
    four = ranked(replace(frame, blocks=frame.blocks[:4]))
    assert four is None


def test_a_lower_error_ranks_first(many: Path) -> None:
    """The metric says which way is better."""
    frame = load_frame(many)
    blocks = tuple(replace(b, study=replace(b.study, metric="ece")) for b in frame.blocks)
    study = replace(frame.study, metric="ece")
    held = ranked(replace(frame, study=study, blocks=blocks))
    assert held is not None
    assert held.ranking is not None
    errors = {a.name: a.scores["ece"].pooled.mean for a in frame.blocks[0].arms if a.scores}
    errors.pop("svm", None)
    assert held.ranking.arms[0] == min(errors, key=lambda name: errors[name])


def test_two_arms_are_not_ranked(many: Path) -> None:
    """The page says why."""
    frame = load_frame(many)
    blocks = tuple(replace(b, arms=b.arms[:2]) for b in frame.blocks)
    held = ranked(replace(frame, blocks=blocks))
    assert held is not None
    assert held.ranking is None
    assert "3 arms" in held.reason


def test_the_ranking_is_on_the_page(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table below the differences, and its file with the p of every pair."""
    monkeypatch.setattr("serlab.reports.figure.FIGURES.entries", dict)
    text = write_report(many, tmp_path).read_text(encoding="utf-8")
    assert text.index("Over 5 corpora") < text.index("Ranks over the corpora")
    assert "Not ranked, as not every training completed on every corpus: svm" in text
    with (tmp_path / "tables" / "ranking.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["arm"] for row in rows] == ["filters=square", "base", "pooling=mean"]
    assert float(rows[0]["p against pooling=mean"]) < 0.05 < float(rows[0]["p against base"])
