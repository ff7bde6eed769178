"""Runs a study under Ray Tune with Optuna's search, so that a kill costs one fold a worker.

The store is the memory of a run, not Ray and not Optuna: what has a record is not trained
again. A design's jobs are points that Optuna is told to evaluate; a search's are its own.
"""

from __future__ import annotations

import logging
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from serlab.bench.cache import Cache
from serlab.bench.contracts import FoldResult, Status
from serlab.bench.errors import SerlabError
from serlab.bench.features.extraction import fill
from serlab.bench.groups import groups_of
from serlab.bench.meters.environment import cores
from serlab.bench.seeds import seed_of
from serlab.bench.store import Store
from serlab.bench.trial import untrained
from serlab.studies.cost import refuse_unknown_cost
from serlab.studies.facts import arm_facts, resolved, trial_facts
from serlab.studies.memory import (
    Ended,
    Queue,
    design_queue,
    refuse_other_objectives,
    search_ended,
    search_queue,
)
from serlab.studies.plan import Plan, make_plan, refuse_leaks
from serlab.studies.progress import Progress, clock, telling
from serlab.studies.specification import Arm, Study
from serlab.studies.worker import OBJECTIVE, FoldTrainable, Order, searched

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial
    from ray.tune import Callback


POOL_FROM = 400
"""Utterances from which extraction is worth the start of a process pool."""
LOST = "its worker process died twice (out of memory, or killed)"


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
    study, device = on_device(study, device)
    plan = make_plan(study, roots, say)
    refuse_leaks(plan, say)
    for arm, reason in plan.skipped.items():
        say(f"skipped: {arm}: {reason}")
    if study.search and any(not f.validation for g in plan.grounds for f in g.split.folds):
        raise SerlabError("a search is judged on validation speakers; protocol.validation is 0")
    refuse_unknown_cost(plan)
    store = Store.create(run)
    refuse_other_objectives(plan, store)
    created = datetime.now(UTC).isoformat(timespec="seconds")
    store.write_json("resolved.json", resolved(plan, command=command, created=created))
    _extract(plan, say)
    _write_groups(plan, store, say)
    order = Order(
        run=store.path.resolve(),
        study=study,
        roots={name: path.resolve() for name, path in roots.items()},
        device=device,
        cache=Cache().root,
        plugins=plugins,
    )
    _tune(plan, store, order, address, say)
    if study.search:
        _add_searched(plan, store, command, created, say)
    _write_down_lost(store)
    return outcome(store)


def on_device(study: Study, device: str) -> tuple[Study, str]:
    """The study and device in agreement: "cuda" takes a GPU a trial, and GPUs mean "cuda"."""
    if device.startswith("cuda") and not study.resources.gpus:
        return replace(study, resources=replace(study.resources, gpus=1.0)), device
    return study, "cuda" if study.resources.gpus else device


def _extract(plan: Plan, say: Callable[[str], None]) -> None:
    """Computes all features once, into the cache that the workers read."""
    cache = Cache()
    for ground in plan.grounds:
        for spec, utterances in plan.features(ground):
            workers = cores() if len(utterances) > POOL_FROM else 1
            started = time.monotonic()
            progress = telling(f"{ground.corpus.name}: {spec.name}", say)
            fill(spec, utterances, cache=cache, workers=workers, progress=progress)
            spent = time.monotonic() - started
            if spent > 1:
                say(f"{ground.corpus.name}: {spec.name} of {len(utterances)} utterances in "
                    f"{clock(spent)}")  # fmt: skip


def _write_groups(plan: Plan, store: Store, say: Callable[[str], None]) -> None:
    """Keeps the groups of every corpus's tested utterances, in the order of the corpora."""
    for number, ground in enumerate(plan.grounds):
        tested = ground.tested()
        workers = cores() if len(tested) > POOL_FROM else 1
        groups = groups_of(
            tested,
            plan.groups(ground),
            cache=Cache(),
            workers=workers,
            progress=telling(f"{ground.corpus.name}: pitch", say),
        )
        store.write_groups(number, groups)


def _tune(plan: Plan, store: Store, order: Order, address: str, say: Callable[[str], None]) -> None:
    """Starts Ray where something is left to run, and gives Tune the arms, then the search."""
    import ray

    queues = [design_queue(plan, store)]
    if plan.study.search:
        queues.append(search_queue(plan, plan.study.search, store))
    if not any(queue.n_points for queue in queues):
        return
    workers = _workers(plan.study)
    started = time.monotonic()
    _start_ray(address, workers, plan.study)
    say(f"Ray is up after {clock(time.monotonic() - started)}; {workers} trials at a time")
    try:
        for queue in queues:
            if queue.n_points:
                _fit(plan, queue, workers, order)
    finally:
        ray.shutdown()


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
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")  # Ctrl-C stops; nothing is lost
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


def _fit(plan: Plan, queue: Queue, workers: int, order: Order) -> None:
    """Runs a queue to its end."""
    from ray import tune
    from ray.tune.search import ConcurrencyLimiter

    from serlab.studies.searcher import searcher

    study = plan.study
    n_known = str(len(queue.study.trials))  # a search that goes on draws other numbers
    seed = seed_of(study.search.seed if study.search else 0, "search", n_known)
    resources = {"cpu": study.resources.threads, "gpu": study.resources.gpus}
    trainable = tune.with_parameters(FoldTrainable, order=order)
    tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=ConcurrencyLimiter(searcher(queue, seed % 2**31), workers),
            num_samples=queue.n_points,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}",
            storage_path=str((order.run / "tune").resolve()),
            failure_config=tune.FailureConfig(max_failures=1),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_reporter(queue)],
            verbose=0,
            log_to_file=False,
        ),
    ).fit()


def _reporter(queue: Queue) -> Callback:
    """Tells the progress of every fold that Tune hears of for the first time."""
    from ray.tune import Callback

    progress, seen = Progress(queue.n_folds, len(queue.done)), set(queue.done)

    class Reporter(Callback):
        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any
        ) -> None:
            if result["cell"] not in seen:  # a trial that starts again reports what is known
                seen.add(result["cell"])
                progress.fold(result["arm"], result["status"], result["reason"])
            if result["done"]:
                progress.variant(result["arm"], result[OBJECTIVE])

    return Reporter()


def _add_searched(
    plan: Plan, store: Store, command: str, created: str, say: Callable[[str], None]
) -> None:
    """Adds the searched variants, best validation score first, to what the report reads."""
    ended = search_ended(plan, store)
    arms = {trial.number: searched(plan.study, trial.params) for trial in ended.trials}
    ranked = sorted(ended.trials, key=_score, reverse=True)
    first = {arms[trial.number].name: trial for trial in reversed(ranked)}
    facts = resolved(plan, command=command, created=created)
    for name, trial in reversed(first.items()):
        arm = arms[trial.number]
        if name == "base":
            continue
        try:
            facts["arms"].append({**arm_facts(arm), "validation": _first(trial.values)})
        except SerlabError as error:  # its parts do not go together
            say(f"skipped: {name}: {error}")
            facts["skipped"].append({"arm": name, "reason": str(error)})
        else:
            facts["trials"] += [trial_facts(job) for job in plan.jobs((arm,))]
    facts |= _history(plan, ended, arms)
    store.write_json("resolved.json", facts)


def _first(values: Sequence[float] | None) -> float | None:
    return values[0] if values else None


def _score(trial: FrozenTrial) -> float:
    """The validation score; one that has none comes last."""
    return trial.values[0] if trial.values else -math.inf


def _history(plan: Plan, ended: Ended, arms: Mapping[int, Arm]) -> dict[str, Any]:  # JSON values
    """The search's trials in their order, the best by validation and, with a cost, the front."""
    done = [trial for trial in ended.trials if trial.values]
    best = max(done, key=_score, default=None)
    cost = bool(plan.study.search and plan.study.search.cost)
    history = [
        {
            "number": trial.number,
            "arm": arms[trial.number].name,
            "validation": _first(trial.values),
            **({"cost": trial.values[1] if trial.values else None} if cost else {}),
            "state": trial.state.name.lower(),
        }
        for trial in ended.trials
    ]
    front = sorted((t for t in done if t.number in ended.front), key=lambda t: t.values[1])
    names = list(dict.fromkeys(arms[trial.number].name for trial in front))
    found = {"best": arms[best.number].name if best else None, "history": history}
    return {**found, "front": names} if cost else found


def _planned(store: Store) -> dict[str, FoldResult]:
    """Every fold that the run is to have, without a result."""
    facts = store.resolved()
    corpora = {corpus["name"]: corpus for corpus in facts["corpora"]}
    blanks = (
        FoldResult(
            trial=trial["key"],
            arm=trial["arm"],
            corpus=trial["corpus"],
            split=corpora[trial["corpus"]]["split"],
            fold=fold,
            seed=trial["seed"],
            status=Status.FAILED,
        )
        for trial in facts["trials"]
        for fold in corpora[trial["corpus"]]["folds"]
    )
    return {blank.cell: blank for blank in blanks}


def _write_down_lost(store: Store) -> None:
    """Records as failed the folds whose worker died twice: a reason for every planned fold."""
    known = {record.cell for record in store.records()}
    for cell, blank in _planned(store).items():
        if cell not in known:
            store.append(untrained(blank, LOST))


def outcome(store: Store) -> Outcome:
    """Counts what the run folder holds of what it is to hold."""
    latest = {record.cell: record.status for record in store.records()}
    problems: dict[str, int] = {}
    planned = _planned(store)
    for cell in planned:
        status = latest[cell].value if cell in latest else "missing"
        if status != Status.COMPLETED:
            problems[status] = problems.get(status, 0) + 1
    n_completed = len(planned) - sum(problems.values())
    return Outcome(
        run=store.path, n_planned=len(planned), n_completed=n_completed, problems=problems
    )
