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
from serlab.studies.plan import Job, Plan, arm_facts, make_plan, refuse_leaks, resolved, trial_facts
from serlab.studies.progress import Progress, clock
from serlab.studies.specification import Range, Search, Study
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
        memory = _open_optuna(plan, store)
        if study.search:
            n_samples = _queue_search(memory, study.search, plan)
        else:
            n_samples = _queue_design(memory, pending)
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


def _open_optuna(plan: Plan, store: Store) -> optuna.Study:
    """The study in Optuna's storage, with what a killed run left open marked as such."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    memory = optuna.create_study(
        storage=_storage(plan, store),
        study_name=plan.name,
        direction="maximize",
        load_if_exists=True,
    )
    for trial in memory.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        handle = optuna.trial.Trial(memory, trial._trial_id)
        handle.set_user_attr("interrupted", True)
        memory.tell(handle, state=optuna.trial.TrialState.FAIL)
        if plan.study.search:
            memory.enqueue_trial(trial.params)
    return memory


def _storage(plan: Plan, store: Store) -> optuna.storages.RDBStorage:
    import optuna

    search = plan.study.search
    url = search.storage if search else ""
    path = (store.path / "optuna.db").resolve()
    return optuna.storages.RDBStorage(url or f"sqlite:///{path}")


def _queue_design(memory: optuna.Study, pending: list[Job]) -> int:
    """Queues the jobs that are neither finished nor queued by an earlier run."""
    import optuna

    waiting = [
        trial.system_attrs["fixed_params"]
        for trial in memory.get_trials(states=(optuna.trial.TrialState.WAITING,))
    ]
    for job in pending:
        if point(job) not in waiting:
            waiting.append(point(job))
            memory.enqueue_trial(point(job))
    return len(waiting)


def point(job: Job) -> dict[str, Any]:  # Optuna's parameters are of any scalar type
    """A design's job as Optuna knows it."""
    return {"arm": job.arm, "corpus": job.ground.corpus.name, "seed": job.trial.seed}


def _queue_search(memory: optuna.Study, search: Search, plan: Plan) -> int:
    """Queues the base first, and says how many trials are left to run."""
    counted = [t for t in memory.get_trials() if not t.user_attrs.get("interrupted")]
    if not counted:
        base = {**plan.study.base.settings, **plan.study.base.options}
        memory.enqueue_trial({name: base[name] for name in search.space if _inside(base[name],
                              search.space[name])})  # fmt: skip
    ended = sum(trial.state.is_finished() for trial in counted)
    return max(0, search.trials - ended)


def _inside(value: Any, choices: Range | tuple[Any, ...]) -> bool:  # a scalar of any type
    if isinstance(choices, Range):
        return bool(choices.low <= value <= choices.high)
    return value in choices


def space_of(plan: Plan) -> dict[str, optuna.distributions.BaseDistribution]:
    """Optuna's distributions: of the jobs of a design, or of the search's own space."""
    from optuna.distributions import (
        BaseDistribution,
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    search, base = plan.study.search, plan.study.base
    if search is None:
        columns: dict[str, list[Any]] = {}
        for job in plan.jobs():
            for name, value in point(job).items():
                columns.setdefault(name, []).append(value)
        return {n: CategoricalDistribution(list(dict.fromkeys(v))) for n, v in columns.items()}
    found: dict[str, BaseDistribution] = {}
    for name, values in search.space.items():
        if not isinstance(values, Range):
            found[name] = CategoricalDistribution(values)
        elif isinstance(base.settings[name], int):
            step = int(values.step) or 1
            found[name] = IntDistribution(int(values.low), int(values.high), values.log, step)
        else:
            grid = values.step or None
            found[name] = FloatDistribution(values.low, values.high, values.log, grid)
    return found


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
        storage=_storage(plan, store),
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

    memory = optuna.load_study(study_name=plan.name, storage=_storage(plan, store))
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
