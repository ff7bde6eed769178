"""Runs a study under Ray Tune with Optuna's search, so that a kill costs one fold a worker.

The store is the memory of a run, not Ray and not Optuna: what has a record is not trained
again. A design's jobs are points that Optuna is told to evaluate; a search's are its own.
"""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serlab.bench.cache import Cache
from serlab.bench.contracts import FoldResult, Status
from serlab.bench.errors import SerlabError
from serlab.bench.features.base import extract
from serlab.bench.seeds import seed_of
from serlab.bench.store import Store
from serlab.studies.memory import open_memory, queue_design, queue_search, space_of, storage_of
from serlab.studies.plan import Job, Plan, arm_facts, make_plan, refuse_leaks, resolved, trial_facts
from serlab.studies.progress import Progress, clock
from serlab.studies.specification import Study
from serlab.studies.worker import OBJECTIVE, FoldTrainable, Order, searched

if TYPE_CHECKING:
    import optuna
    from ray.tune import Callback


POOL_FROM = 400
"""Utterances from which extraction is worth the start of a process pool."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended."""

    run: Path
    n_planned: int
    n_completed: int
    problems: Mapping[str, int]
    """Folds that failed, diverged or are missing, by status."""

    @property
    def complete(self) -> bool:
        """Whether every planned fold has a result or a stated reason."""
        return not self.problems.get("missing")


def run_study(
    study: Study,
    run: Path,
    *,
    roots: Mapping[str, Path],
    device: str = "cpu",
    address: str = "",
    command: str = "",
    plugins: tuple[str, ...] = (),
    say: Callable[[str], None] = print,
) -> Outcome:
    """Runs what of the study is not in the run folder yet.

    Args:
        study: what to run.
        run: the folder; made if missing, gone on with if it holds a part of the study.
        roots: folders of the corpora, by name.
        device: "cpu", or "cuda" for trials on GPUs.
        address: an existing Ray cluster; empty starts one on this machine.
        command: what was typed, kept for the report.
        plugins: modules that workers import, as this process has.
        say: takes a line of text for people.

    Raises:
        SerlabError: whatever can be found wrong before work starts.
    """
    plan = make_plan(study, roots, say)
    refuse_leaks(plan, say)
    for arm, reason in plan.skipped.items():
        say(f"skipped: {arm}: {reason}")
    if study.search and any(not f.validation for g in plan.grounds for f in g.split.folds):
        raise SerlabError("a search is judged on validation speakers; protocol.validation is 0")
    store = Store.create(run)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    store.write_json("resolved.json", resolved(plan, command=command, created=created))
    _extract(plan, say)
    pending = _pending(plan, store)
    if pending or study.search:
        order = Order(
            run=store.path.resolve(),
            study=study,
            roots={name: path.resolve() for name, path in roots.items()},
            device=device,
            cache=Cache().root,
            plugins=plugins,
        )
        _tune(plan, store, pending, order, address, say)
    if study.search:
        _add_searched(plan, store, command, created)
    return outcome(plan, store)


def _extract(plan: Plan, say: Callable[[str], None]) -> None:
    """Computes all features once, into the cache that the workers read."""
    cache = Cache()
    for ground in plan.grounds:
        used = {i for f in ground.split.folds for i in (*f.train, *f.validation, *f.test)}
        utterances = [u for u in ground.corpus.utterances if u.id in used]
        workers = cores() if len(utterances) > POOL_FROM else 1
        for spec in plan.features(ground):
            started = time.monotonic()
            extract(spec, utterances, cache=cache, workers=workers)
            spent = time.monotonic() - started
            if spent > 1:
                say(f"{ground.corpus.name}: {spec.name} of {len(utterances)} utterances in "
                    f"{clock(spent)}")  # fmt: skip


def _pending(plan: Plan, store: Store) -> list[Job]:
    done = store.done()
    return [job for job in plan.jobs() if not done.issuperset(job.cells())]


def _tune(
    plan: Plan,
    store: Store,
    pending: list[Job],
    order: Order,
    address: str,
    say: Callable[[str], None],
) -> None:
    """Starts Ray, gives Tune its searcher, and writes down what workers could not."""
    import ray

    study = plan.study
    workers = _workers(study)
    started = time.monotonic()
    _start_ray(address, workers, study)
    say(f"Ray is up after {clock(time.monotonic() - started)}; {workers} trials at a time")
    try:
        memory = open_memory(plan, store)
        if study.search:
            n_samples = queue_search(memory, study.search, plan)
        else:
            n_samples = queue_design(memory, pending)
        if n_samples:
            progress = _progress(plan, n_samples, store)
            _fit(plan, store, memory, n_samples, workers, order, progress)
    finally:
        ray.shutdown()
    if not study.search:
        _write_down_lost(plan, store)


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _workers(study: Study) -> int:
    fitting = max(1, cores() // study.resources.threads)
    if study.resources.gpus:
        import torch

        gpus = torch.cuda.device_count()
        if not gpus:
            raise SerlabError("resources.gpus is above 0 and torch sees no GPU here")
        fitting = min(fitting, max(1, int(gpus / study.resources.gpus)))
    return study.resources.workers or fitting


def _start_ray(address: str, workers: int, study: Study) -> None:
    import ray

    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    warnings.filterwarnings("ignore", category=FutureWarning, module="ray")
    local: dict[str, Any] = {} if address else {"num_cpus": workers * study.resources.threads}
    ray.init(
        address=address or "local",
        include_dashboard=None if address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        configure_logging=True,
        **local,
    )


def _progress(plan: Plan, n_samples: int, store: Store) -> Progress:
    """Counts the folds of the plan, those that an earlier run has finished among them."""
    done = store.done()
    if plan.study.search is None:
        planned = {cell for job in plan.jobs() for cell in job.cells()}
        return Progress(len(planned), len(planned & done))
    per_point = sum(len(g.split.folds) for g in plan.grounds) * len(plan.study.seeds)
    return Progress(n_samples * per_point, 0)


def _fit(
    plan: Plan,
    store: Store,
    memory: optuna.Study,
    n_samples: int,
    workers: int,
    order: Order,
    progress: Progress,
) -> None:
    import optuna
    from ray import tune
    from ray.tune.search import ConcurrencyLimiter
    from ray.tune.search.optuna import OptunaSearch

    study = plan.study
    seed = seed_of(study.search.seed if study.search else 0, "search", str(len(memory.trials)))
    searcher = OptunaSearch(
        space_of(plan),
        metric=OBJECTIVE,
        mode="max",
        sampler=optuna.samplers.TPESampler(seed=seed % 2**31),
        study_name=plan.name,
        storage=storage_of(plan, store),
    )
    resources = {"cpu": study.resources.threads, "gpu": study.resources.gpus}
    trainable = tune.with_parameters(FoldTrainable, order=order)
    tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=ConcurrencyLimiter(searcher, workers),
            num_samples=n_samples,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=f"{datetime.now(UTC):%Y%m%dT%H%M%S}",
            storage_path=str((store.path / "tune").resolve()),
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_reporter(progress)],
            verbose=0,
            log_to_file=False,
        ),
    ).fit()


def _reporter(progress: Progress) -> Callback:
    """Tells the progress of every fold that Tune hears of."""
    from ray.tune import Callback

    class Reporter(Callback):
        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            progress.fold(result["arm"], result["status"], result["reason"])
            if result["done"]:
                progress.variant(result["arm"], result[OBJECTIVE])

    return Reporter()


def _write_down_lost(plan: Plan, store: Store) -> None:
    """Records as failed the folds whose worker died twice: a reason for every planned fold."""
    known = {r.cell for r in store.records()}
    for job in plan.jobs():
        for cell, fold in job.cells().items():
            if cell not in known:
                store.append(
                    FoldResult(
                        trial=job.trial.key,
                        arm=job.arm,
                        corpus=job.ground.corpus.name,
                        split=job.ground.split.hash,
                        fold=fold.name,
                        seed=job.trial.seed,
                        status=Status.FAILED,
                        reason="its worker process died twice (out of memory, or killed)",
                    )
                )


def _add_searched(plan: Plan, store: Store, command: str, created: str) -> None:
    """Adds the searched variants, best validation score first, to what the report reads."""
    import optuna

    memory = optuna.load_study(study_name=plan.name, storage=storage_of(plan, store))
    ended = memory.get_trials(states=(optuna.trial.TrialState.COMPLETE,))
    best: dict[str, optuna.trial.FrozenTrial] = {}
    for trial in sorted(ended, key=lambda t: -(t.value or 0.0)):
        best.setdefault(searched(plan.study, trial.params).name, trial)
    arms = [searched(plan.study, trial.params) for trial in best.values()]
    facts = resolved(plan, command=command, created=created)
    for arm, trial in zip(arms, best.values(), strict=True):
        if arm.name != "base":
            facts["arms"].append({**arm_facts(arm), "validation": trial.value})
            facts["trials"] += [trial_facts(job) for job in plan.jobs((arm,))]
    facts["best"] = arms[0].name if arms else None
    facts["history"] = [
        {"number": t.number, "arm": searched(plan.study, t.params).name, "validation": t.value,
         "state": t.state.name.lower()}
        for t in memory.get_trials() if t.params
    ]  # fmt: skip
    store.write_json("resolved.json", facts)


def outcome(plan: Plan, store: Store) -> Outcome:
    """Counts what the run folder holds of the plan."""
    latest = {r.cell: r.status for r in store.records()}
    planned = [cell for job in plan.jobs() for cell in job.cells()]
    problems: dict[str, int] = {}
    for cell in planned:
        status = latest[cell].value if cell in latest else "missing"
        if status != Status.COMPLETED:
            problems[status] = problems.get(status, 0) + 1
    n_completed = len(planned) - sum(problems.values())
    return Outcome(
        run=store.path, n_planned=len(planned), n_completed=n_completed, problems=problems
    )
