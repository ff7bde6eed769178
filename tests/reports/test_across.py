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
from serlab.reports.across import across
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
    monkeypatch.setattr("serlab.reports.report._figures", lambda *_: ([], []))
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
