"""What Optuna remembers of a study: the jobs of a design as queued points, or a search's trials."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from serlab.bench.store import Store
from serlab.studies.plan import Job, Plan
from serlab.studies.specification import Range, Search

if TYPE_CHECKING:
    import optuna


def open_memory(plan: Plan, store: Store) -> optuna.Study:
    """The study in Optuna's storage, with what a killed run left open marked as such."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    memory = optuna.create_study(
        storage=storage_of(plan, store),
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


def storage_of(plan: Plan, store: Store) -> optuna.storages.RDBStorage:
    """The database that the study names, or an SQLite file in the run's folder."""
    import optuna

    search = plan.study.search
    url = search.storage if search else ""
    path = (store.path / "optuna.db").resolve()
    return optuna.storages.RDBStorage(url or f"sqlite:///{path}")


def queue_design(memory: optuna.Study, pending: list[Job]) -> int:
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


def queue_search(memory: optuna.Study, search: Search, plan: Plan) -> int:
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
