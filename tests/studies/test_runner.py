"""A study from its file to its records: under Ray, killed and gone on with, and without Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serlab.bench import trial
from serlab.bench.cache import Cache
from serlab.bench.contracts import FoldResult, Status
from serlab.bench.errors import Leak, SerlabError
from serlab.bench.store import Store
from serlab.bench.train import Diverged
from serlab.bench.trial import TRAINING_COST
from serlab.models.variant import make
from serlab.studies import runner
from serlab.studies.benches import bench_for
from serlab.studies.facts import resolved
from serlab.studies.plan import make_plan, refuse_leaks
from serlab.studies.specification import Study, load_study
from serlab.studies.worker import FoldTrainable, Order, jobs_of, validation_score

STUDY = """
question = "Does it run?"
seeds = [0, 1]
max_epochs = 2
[base]
system = "li2018"
preset = "small"
set = { width = 0.25, segment_s = 1.0 }
[ablate]
pooling = ["mean"]
[[baselines]]
system = "functionals_svm"
[[corpora]]
name = "synth"
options = { utterances = 72 }
[protocol]
split = "speaker-groups"
groups = 2
validation = 1
[meters]
calls = 5
seconds = 1.0
processes = 1
[resources]
workers = 2
"""

SEARCH = """
[search]
trials = %d
[search.space]
learning_rate = { low = 1e-4, high = 1e-2, log = true }
pooling = ["mean", "attention_sum"]
epochs = { low = 1, high = 4 }
dropout = { low = 0.0, high = 0.4, step = 0.1 }
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features go into a folder of the tests' own, the same for all of them."""
    root = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("SERLAB_CACHE", str(root))


def write(folder: Path, text: str = STUDY, name: str = "small.toml") -> Path:
    """A study file."""
    path = folder / name
    path.write_text(text)
    return path


def study(folder: Path, text: str = STUDY) -> Study:
    """The parsed study."""
    return load_study(str(write(folder, text)))


def serlab(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    command = [sys.executable, "-m", "serlab", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def by_cell(run: Path) -> dict[str, FoldResult]:
    """The records of a run."""
    return {r.cell: r for r in Store(run).records()}


def same_results(a: Path, b: Path) -> bool:
    """Whether two runs hold the same cells with the same bits."""
    left, right = by_cell(a), by_cell(b)
    if left.keys() != right.keys():
        return False
    for cell, result in left.items():
        if result.curves != right[cell].curves:
            return False
        x, y = Store(a).predictions(cell), Store(b).predictions(cell)
        if not np.array_equal(x.scores, y.scores) or x.ids != y.ids:
            return False
    return True


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small study run through the command line, with its meters and its report."""
    folder = tmp_path_factory.mktemp("finished")
    cache = tmp_path_factory.getbasetemp() / "cache"
    done = serlab(
        "run",
        write(folder),
        "--out",
        folder / "run",
        env={**os.environ, "SERLAB_CACHE": str(cache)},
    )
    assert done.returncode == 0, done.stderr
    assert "12 of 12 folds completed" in done.stderr
    assert "best validation" in done.stderr
    assert str(folder / "run" / "report") in done.stdout
    return folder / "run"


@pytest.mark.slow
def test_a_study_runs_to_its_report(finished: Path) -> None:
    """Every planned fold has a record with predictions; meters and page are there."""
    records = by_cell(finished)
    planned = Store(finished).resolved()["trials"]
    assert len(planned) == 6
    assert {r.trial for r in records.values()} == {t["key"] for t in planned}
    assert {r.status for r in records.values()} == {Status.COMPLETED}
    assert all(r.environment for r in records.values())
    meters = {m["label"]: m for m in Store(finished).meters().values()}
    assert set(meters) == {"base", "pooling=mean", "functionals_svm"}
    assert {m["status"] for m in meters.values()} == {"measured"}
    assert meters["base"]["measurements"]["latency_p50"]["value"] > 0
    assert meters["base"]["measurements"]["macs"]["value"] > 0
    assert (finished / "report" / "index.html").stat().st_size > 10_000


@pytest.mark.slow
def test_optuna_storage_holds_every_job(finished: Path) -> None:
    """The jobs stand in Optuna's database, which its dashboard opens."""
    import optuna

    storage = f"sqlite:///{finished / 'optuna.db'}"
    (summary,) = optuna.get_all_study_summaries(storage)
    held = optuna.load_study(study_name=summary.study_name, storage=storage)
    assert len(held.trials) == 6
    assert {t.params["arm"] for t in held.trials} == {"base", "pooling=mean", "functionals_svm"}
    assert all(t.state.name == "COMPLETE" for t in held.trials)


@pytest.mark.slow
def test_running_again_trains_nothing(finished: Path) -> None:
    """A finished study is not started again, and its records stay."""
    before = by_cell(finished)
    done = serlab("run", finished.parent / "small.toml", "--out", finished, "--no-report")
    assert done.returncode == 0, done.stderr
    assert "Ray is up" not in done.stderr
    assert "measuring" not in done.stderr
    assert by_cell(finished) == before


@pytest.mark.slow
def test_kill_and_resume_gives_the_same_records(finished: Path, tmp_path: Path) -> None:
    """Kill -9 of the driver and all of its processes in mid-study; the same command finishes it."""
    command = [sys.executable, "-m", "serlab", "run", str(finished.parent / "small.toml")]
    command += ["--out", str(tmp_path / "run"), "--no-report", "--set", "meters.latency=false"]
    victim = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    store, deadline = Store(tmp_path / "run"), time.monotonic() + 120
    while sum(1 for _ in store.records()) < 3:
        assert time.monotonic() < deadline
        assert victim.poll() is None
        time.sleep(0.02)
    os.killpg(victim.pid, signal.SIGKILL)
    victim.wait()
    kept = by_cell(tmp_path / "run")
    assert len(kept) >= 3
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    after = by_cell(tmp_path / "run")
    assert all(after[cell] == result for cell, result in kept.items())
    assert same_results(finished, tmp_path / "run")


@pytest.mark.slow
def test_search_finds_and_resumes(tmp_path: Path) -> None:
    """A search judges on validation parts, names its best, and goes on where it stopped."""
    text = STUDY.split("[ablate]")[0] + SEARCH % 3 + "[[corpora]]" + STUDY.split("[[corpora]]")[1]
    text = text.replace("seeds = [0, 1]", "seeds = [0]")
    words = ["--out", tmp_path / "run", "--no-report", "--set", "meters.latency=false"]
    done = serlab("run", write(tmp_path, text), *words)
    assert done.returncode == 0, done.stderr
    facts = Store(tmp_path / "run").resolved()
    assert len(facts["history"]) == 3
    assert [a["kind"] for a in facts["arms"]].count("base") == 1
    scores = {h["arm"]: h["validation"] for h in facts["history"]}
    assert facts["best"] == max(scores, key=lambda arm: scores[arm])
    done = serlab("run", tmp_path / "small.toml", *words, "--set", "search.trials=4")
    assert done.returncode == 0, done.stderr
    after = Store(tmp_path / "run").resolved()["history"]
    assert after[:3] == facts["history"]
    assert len(after) == 4


def order(folder: Path, text: str = STUDY) -> Order:
    """What a worker is told."""
    return Order(
        run=folder / "run", study=study(folder, text), roots={}, device="cpu", cache=Cache().root
    )


def test_worker_trains_keeps_and_reports(tmp_path: Path) -> None:
    """In this process: each step is a fold, kept in the store before it is reported."""
    told = order(tmp_path)
    config = {"arm": "pooling=mean", "corpus": "synth", "seed": 1}

    class Told(FoldTrainable):
        """A worker that has its order, as Tune gives it."""

        def setup(self, config: dict[str, Any], order: Order | None = None) -> None:
            """With the order."""
            super().setup(config, order=told)

    worker = Told(config)
    first = worker.train()
    assert not first["done"]
    assert first["status"] == "completed"
    assert len(by_cell(told.run)) == 1
    second = worker.train()
    assert second["done"]
    assert 0 <= second["validation"] <= 1
    assert worker.reset_config({**config, "arm": "functionals_svm"})
    assert worker.train()["arm"] == "functionals_svm"
    Told(config).train()
    assert len(by_cell(told.run)) == 3, "a fold in the store was trained again"


def test_a_measured_memory_is_that_of_its_own_fold(tmp_path: Path) -> None:
    """A process takes fold after fold: what came before does not stand in a later peak."""
    told = order(tmp_path)

    class Told(FoldTrainable):
        """A worker that has its order, as Tune gives it."""

        def setup(self, config: dict[str, Any], order: Order | None = None) -> None:
            """With the order."""
            super().setup(config, order=told)

    at_work = Told({"arm": "functionals_svm", "corpus": "synth", "seed": 0})
    at_work.train()
    large = np.ones(400 * 2**20, np.uint8)  # between two folds: it belongs to neither
    assert large[-1] == 1
    del large
    at_work.train()
    peaks = [r.measurements["peak_memory"] for r in Store(told.run).records()]
    if any(peak.value is None for peak in peaks):
        pytest.skip(peaks[0].reason)
    first, second = (peak.value or 0 for peak in peaks)
    assert abs(first - second) < 200 * 2**20


def test_every_end_of_a_training_has_its_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Completed, diverged or failed: time and memory, and why there is none of a GPU."""
    made = make_plan(study(tmp_path), {})
    (job,) = (j for j in made.jobs() if (j.arm, j.trial.seed) == ("functionals_svm", 0))
    system = make(job.trial.variant)
    bench = bench_for(job.ground, system, Cache())
    ends: dict[Status, Exception | None] = {
        Status.COMPLETED: None,
        Status.DIVERGED: Diverged("the loss is not finite"),
        Status.FAILED: RuntimeError("odd"),
    }
    for status, error in ends.items():
        if error is not None:
            monkeypatch.setattr(trial, "predictions", _raises(error))
        result = trial.run_fold(job.trial, job.arm, job.ground.split.folds[0], system, bench)
        assert result.status is status
        measured = result.measurements
        assert set(measured) == set(TRAINING_COST)
        assert (measured["train_wall"].value or 0) > 0
        assert (measured["train_cpu"].value or 0) > 0
        memory = measured["peak_memory"]
        assert memory.reason if memory.value is None else memory.value > 2**20
        for name in ("cuda_allocated", "cuda_reserved", "cuda_process"):
            assert measured[name].value is None
            assert "CPU" in measured[name].reason


def _raises(error: Exception) -> Any:
    def broken(*_: object) -> None:
        raise error

    return broken


def test_failed_fold_scores_nothing(tmp_path: Path) -> None:
    """A fold without predictions is NaN to the search, which Optuna counts as failed."""
    result = FoldResult(
        trial="t", arm="a", corpus="c", split="s", fold="f", seed=0, status=Status.FAILED
    )
    assert np.isnan(validation_score(result, Store(tmp_path), "ua"))


def test_plan_counts_and_explains(tmp_path: Path) -> None:
    """Jobs are arms x seeds, keyed by content: the same study has the same keys."""
    plan = make_plan(study(tmp_path), {})
    assert len(plan.jobs()) == 6
    again = make_plan(study(tmp_path), {})
    assert [j.trial.key for j in plan.jobs()] == [j.trial.key for j in again.jobs()]
    other = make_plan(study(tmp_path, STUDY.replace("validation = 1", "validation = 2")), {})
    assert not {j.trial.key for j in plan.jobs()} & {j.trial.key for j in other.jobs()}
    facts = resolved(plan, command="serlab run x", created="now")
    assert json.loads(json.dumps(facts)) == facts
    assert facts["corpora"][0]["synthetic"] is True
    (job,) = jobs_of(plan, {"arm": "base", "corpus": "synth", "seed": 1})
    assert len(job.cells()) == 2


def test_leaking_split_runs_only_where_it_says_so(tmp_path: Path) -> None:
    """The random split is declared; an undeclared shared speaker stops the study."""
    text = STUDY.replace('"speaker-groups"', '"random-utterances"').replace(
        "groups = 2", "groups = 3"
    )
    said: list[str] = []
    refuse_leaks(make_plan(study(tmp_path, text), {}), said.append)
    assert any("LEAK" in line for line in said)


def test_undeclared_leak_stops_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A split that shares speakers without saying so is refused before anything runs."""
    from dataclasses import replace

    from serlab.studies import grounds as module

    real = module.make_split

    def leaky(corpus: Any, protocol: Any) -> Any:
        split = real(corpus, protocol)
        fold = split.folds[0]
        bad = replace(fold, train=(*fold.train, fold.test[0]))
        return replace(split, folds=(bad, *split.folds[1:]))

    monkeypatch.setattr(module, "make_split", leaky)
    with pytest.raises(Leak, match="synth"):
        refuse_leaks(make_plan(study(tmp_path), {}), print)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('name = "synth"', 'name = "sinth"'), 'did you mean "synth"'),
        (("utterances = 72", "uterances = 72"), 'did you mean "utterances"'),
        (("max_epochs = 2", 'max_epochs = 2\nmetric = "uua"'), 'did you mean "ua"'),
        (
            ("max_epochs = 2", 'max_epochs = 2\nmetric = "ccc"'),
            "expected one for the target emotion",
        ),
        (("groups = 2", "groups = 99"), "at most the corpus's"),
    ],
)
def test_what_does_not_fit_is_said_before_work(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    """Corpora, metrics and protocols are checked when the plan is made."""
    with pytest.raises(SerlabError, match=message):
        make_plan(study(tmp_path, STUDY.replace(*change)), {})


def planned(folder: Path) -> Store:
    """A run folder that knows what it is to hold, and holds nothing."""
    store = Store.create(folder / "run")
    facts = resolved(make_plan(study(folder), {}), command="", created="")
    store.write_json("resolved.json", facts)
    return store


def test_lost_folds_are_written_down(tmp_path: Path) -> None:
    """A fold whose worker died twice has a failed record with the reason."""
    store = planned(tmp_path)
    runner._write_down_lost(store)
    result = runner.outcome(store)
    assert result.problems == {"failed": 12}
    assert result.complete
    for record in store.records():
        assert "died" in record.reason
        assert set(record.measurements) == set(TRAINING_COST)
        assert all(m.value is None and m.reason for m in record.measurements.values())


def test_missing_folds_are_counted(tmp_path: Path) -> None:
    """An empty run is not complete."""
    result = runner.outcome(planned(tmp_path))
    assert result.problems == {"missing": 12}
    assert not result.complete


def test_device_and_gpus_agree(tmp_path: Path) -> None:
    """Asking for CUDA reserves a GPU a trial; asking for a share of one means CUDA."""
    asked, device = runner.on_device(study(tmp_path), "cuda")
    assert (asked.resources.gpus, device) == (1.0, "cuda")
    half = study(tmp_path, STUDY.replace("workers = 2", "gpus = 0.5"))
    assert runner.on_device(half, "cpu") == (half, "cuda")
    assert runner.on_device(study(tmp_path), "cpu")[1] == "cpu"


def test_gpus_that_are_not_there_are_refused(tmp_path: Path) -> None:
    """A study that wants GPUs says so where there are none."""
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    text = STUDY.replace("workers = 2", "workers = 0\ngpus = 1.0")
    with pytest.raises(SerlabError, match="sees no GPU here"):
        runner._workers(study(tmp_path, text))


def test_unwritable_run_folder_is_refused(tmp_path: Path) -> None:
    """Before any work, with the folder's name."""
    (tmp_path / "run").write_text("")
    with pytest.raises(SerlabError, match="cannot write the run here"):
        runner.run_study(study(tmp_path), tmp_path / "run", roots={}, say=lambda text: None)
