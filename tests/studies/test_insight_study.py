"""A study with [insight]: one file an arm and corpus, and results as without it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serlab.bench.cache import Cache
from serlab.bench.contracts import FoldResult
from serlab.bench.store import Store
from serlab.studies import benches
from serlab.studies.plan import make_plan
from serlab.studies.runner import run_study
from serlab.studies.specification import Insight, Study, load_study
from serlab.studies.worker import FoldTrainable, Order

STUDY = """
question = "What is inside?"
seeds = [3, 1]
max_epochs = 2
[base]
system = "li2018"
set = { width = 0.25, segment_s = 1.0 }
[[baselines]]
system = "functionals_svm"
[[corpora]]
name = "synth"
options = { utterances = 48, speakers = 4, seed = 0 }
[protocol]
split = "speaker-groups"
groups = 2
validation = 1
[meters]
latency = false
[resources]
workers = 1
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features go into a folder of the tests' own, the same for all of them."""
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _no_bench_is_left() -> Iterator[None]:
    """A study that trains reads its corpus itself."""
    benches._BENCHES.clear()
    yield
    benches._BENCHES.clear()


def study(folder: Path, more: str = "") -> Study:
    """The study from its file."""
    path = folder / "study.toml"
    ablated = "" if "[search]" in more else '[ablate]\npooling = ["mean"]\n'
    path.write_text(STUDY + ablated + more, encoding="utf-8")
    return load_study(str(path))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the study with [insight]."""
    folder = tmp_path_factory.mktemp("insight")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        found = run_study(study(folder, "[insight]\nutterances = 3\n"), folder / "run", roots={})
    assert found.complete
    return folder / "run"


def shown(run: Path) -> dict[str, FoldResult]:
    """The trainings that a look inside is kept of, by arm."""
    store = Store(run)
    found = [r for r in store.records() if store.insight_path(r.cell).is_file()]
    assert len({r.arm for r in found}) == len(found)
    return {r.arm: r for r in found}


@pytest.mark.slow
def test_one_training_of_every_arm_is_kept(run: Path) -> None:
    """That of the first seed on the first fold, whatever its place in the order of seeds."""
    found = shown(run)
    assert set(found) == {"base", "pooling=mean", "functionals_svm"}
    assert len(list((run / "insight").iterdir())) == len(found)
    first = Store(run).resolved()["corpora"][0]["folds"][0]
    assert {(r.seed, r.fold) for r in found.values()} == {(3, first)}
    store = Store(run)
    held = {arm: store.insight(r.cell) for arm, r in found.items()}
    assert [len(one.maps) for one in held.values() if one] == [
        3 if arm == "base" else 0 for arm in held
    ]
    embeddings = {arm: one.embeddings for arm, one in held.items() if one}
    assert embeddings["functionals_svm"] is None
    assert embeddings["base"] is not None
    assert len(embeddings["base"].ids) == 48
    assert not any(r.reason for r in store.records())
    assert store.resolved()["study"]["insight"] == {"embeddings": True, "utterances": 3}


@pytest.mark.slow
def test_results_are_those_without_it(run: Path, tmp_path: Path) -> None:
    """The same cells, and the same bits in them; nothing is kept."""
    without = tmp_path / "run"
    assert run_study(study(tmp_path), without, roots={}).complete
    assert not (without / "insight").exists()
    with_it, plain = Store(run), Store(without)
    cells = sorted(r.cell for r in plain.records())
    assert cells == sorted(r.cell for r in with_it.records())
    curves = [{r.cell: r.curves for r in store.records()} for store in (with_it, plain)]
    assert curves[0] == curves[1]
    for cell in cells:
        mine, theirs = with_it.predictions(cell), plain.predictions(cell)
        np.testing.assert_array_equal(mine.scores, theirs.scores)
        assert mine.ids == theirs.ids


@pytest.mark.slow
def test_what_is_done_is_not_trained_again_for_it(run: Path, tmp_path: Path) -> None:
    """A run that goes on keeps what it has, and looks into no training that has ended."""
    again = tmp_path / "run"
    shutil.copytree(run, again)
    shutil.rmtree(again / "insight")
    before = len(list(Store(again).records()))
    assert run_study(study(tmp_path, "[insight]\n"), again, roots={}).complete
    assert len(list(Store(again).records())) == before
    assert not (again / "insight").exists()
    assert all(Store(again).insight(r.cell) is None for r in Store(again).records())


def test_a_search_looks_into_its_base_alone(tmp_path: Path) -> None:
    """What a search tries is a point in it, not an arm of the design."""
    points = "[search]\ntrials = 1\n[search.space]\nlearning_rate = { low = 1e-4, high = 1e-2 }\n"
    asked = study(tmp_path, f"{points}[insight]\n")
    told = Order(run=tmp_path / "run", study=asked, roots={}, device="cpu", cache=Cache().root)

    class Told(FoldTrainable):
        """A worker that has its order, as Tune gives it."""

        def setup(self, config: dict[str, Any], order: Order | None = None) -> None:
            """With the order."""
            super().setup(config, order=told)

    Told({"learning_rate": 1e-3}).train()
    assert len(list(Store(tmp_path / "run").records())) == 1
    assert not (tmp_path / "run" / "insight").exists()
    Told({"arm": "base", "corpus": "synth", "seed": 3}).train()
    assert set(shown(tmp_path / "run")) == {"base"}


def test_it_is_no_part_of_what_a_result_is(tmp_path: Path) -> None:
    """Keys of trials and the name of the study are the same with and without."""
    asked = study(tmp_path, "[insight]\n")
    assert asked.insight == Insight(embeddings=True, utterances=4)
    plans = [make_plan(one, {}) for one in (asked, replace(asked, insight=None))]
    keys = [[job.trial.key for job in plan.jobs()] for plan in plans]
    assert keys[0] == keys[1]
    assert plans[0].name == plans[1].name
