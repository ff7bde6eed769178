"""What Optuna remembers of a study: the jobs of a design as queued points, or a search's trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from serlab.bench.errors import SerlabError
from serlab.bench.store import Store
from serlab.studies.cost import objectives
from serlab.studies.plan import Job, Plan
from serlab.studies.space import Range, Search

if TYPE_CHECKING:
    import optuna

DIRECTIONS: list[Literal["maximize", "minimize"]] = ["maximize", "minimize"]
"""Of the score and the cost."""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """What Tune is to run next: so many points of an Optuna study."""

    study: optuna.Study
    storage: optuna.storages.RDBStorage
    space: Mapping[str, optuna.distributions.BaseDistribution]
    n_points: int
    n_folds: int
    """Folds of all points together."""
    done: frozenset[str]
    """Cells of these that an earlier run has finished."""
    cost: str = ""
    """What is made small beside the score."""


def design_queue(plan: Plan, store: Store) -> Queue:
    """The jobs of the arms that are not finished, each a point that Optuna is told to evaluate."""
    import optuna

    done = store.done()
    jobs = plan.jobs()
    pending = [job for job in jobs if not done.issuperset(job.cells())]
    study, storage = _open(plan, store, plan.name)
    waiting = [
        trial.system_attrs["fixed_params"]
        for trial in study.get_trials(states=(optuna.trial.TrialState.WAITING,))
    ]
    for job in pending:
        if point(job) not in waiting:
            waiting.append(point(job))
            study.enqueue_trial(point(job))
    columns: dict[str, dict[Any, None]] = {}  # of any scalar type, in order
    for job in jobs:
        for name, value in point(job).items():
            columns.setdefault(name, {})[value] = None
    cells = {cell for job in jobs for cell in job.cells()}
    return Queue(
        study=study,
        storage=storage,
        space={
            name: optuna.distributions.CategoricalDistribution(list(values))
            for name, values in columns.items()
        },
        n_points=len(waiting),
        n_folds=len(cells),
        done=frozenset(cells & done),
    )


def search_queue(plan: Plan, search: Search, store: Store) -> Queue:
    """What is left of a search; its first point is the base, as far as the space holds it."""
    study, storage = _open_search(plan, store)
    counted = [t for t in study.get_trials() if not t.user_attrs.get("interrupted")]
    if not counted:
        base = {**plan.study.base.settings, **plan.study.base.options}
        inside = {n: base[n] for n in search.space if _inside(base[n], search.space[n])}
        study.enqueue_trial(inside)
    left = max(0, search.trials - sum(trial.state.is_finished() for trial in counted))
    folds = sum(len(ground.split.folds) for ground in plan.grounds) * len(plan.study.seeds)
    return Queue(
        study=study,
        storage=storage,
        space={name: _distribution(plan, name, search.space[name]) for name in search.space},
        n_points=left,
        n_folds=left * folds,
        done=frozenset(),
        cost=search.cost,
    )


def search_name(plan: Plan) -> str:
    """The search's name in the storage; its base and baselines have the plan's own."""
    return f"{plan.name}-search"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What a search has come to."""

    trials: list[optuna.trial.FrozenTrial]
    """The finished ones, those apart that a kill interrupted."""
    front: frozenset[int]
    """Numbers of those that no other beats in score and cost; none where there is no cost."""


def search_ended(plan: Plan, store: Store) -> Ended:
    """The finished trials of a search and its front."""
    study, _ = _open_search(plan, store)
    ended = [trial for trial in study.get_trials() if trial.state.is_finished()]
    several = len(study.directions) > 1
    return Ended(
        trials=[trial for trial in ended if not trial.user_attrs.get("interrupted")],
        front=frozenset(trial.number for trial in study.best_trials if several),
    )


def refuse_other_objectives(plan: Plan, store: Store) -> None:
    """Stops a search that would go on with one that was judged by something else.

    Raises:
        SerlabError: the storage holds this search with another metric or cost.
    """
    if plan.study.search:
        _open_search(plan, store)


def point(job: Job) -> dict[str, Any]:  # Optuna's parameters are of any scalar type
    """A design's job as Optuna knows it."""
    return {"arm": job.arm, "corpus": job.ground.corpus.name, "seed": job.trial.seed}


def _open_search(plan: Plan, store: Store) -> tuple[optuna.Study, optuna.storages.RDBStorage]:
    """The search in Optuna's storage. Raises SerlabError where it was judged by something else."""
    wanted = objectives(plan)
    study, storage = _open(plan, store, search_name(plan), n_objectives=len(wanted))
    held = study.user_attrs.get("objectives")
    if held not in (None, wanted) or len(study.directions) != len(wanted):
        search = plan.study.search
        where = "search.storage" if search and search.storage else f"{store.path}"
        former = " and ".join(held) if held else f"{len(study.directions)} objectives"
        raise SerlabError(
            f"{where}: holds this search judged by {former}, and the study asks for "
            f"{' and '.join(wanted)}; name another run folder or storage"
        )
    if held is None:
        study.set_user_attr("objectives", wanted)
    return study, storage


def _open(
    plan: Plan, store: Store, name: str, *, n_objectives: int = 1
) -> tuple[optuna.Study, optuna.storages.RDBStorage]:
    """The study in Optuna's storage, with what a killed run left open marked as such.

    What was interrupted in a search is queued again: its finished folds are in the store.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = plan.study.search.storage if plan.study.search else ""
    path = (store.path / "optuna.db").resolve()
    storage = optuna.storages.RDBStorage(url or f"sqlite:///{path}")
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        directions=DIRECTIONS[:n_objectives],
        load_if_exists=True,
    )
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        handle = optuna.trial.Trial(study, trial._trial_id)
        handle.set_user_attr("interrupted", True)
        study.tell(handle, state=optuna.trial.TrialState.FAIL)
        if name != plan.name:
            study.enqueue_trial(trial.params)
    return study, storage


def _inside(value: Any, choices: Range | tuple[Any, ...]) -> bool:  # a scalar of any type
    if isinstance(choices, Range):
        return bool(choices.low <= value <= choices.high)
    return value in choices


def _distribution(
    plan: Plan,
    name: str,
    values: Range | tuple[Any, ...],  # scalars of any type
) -> optuna.distributions.BaseDistribution:
    """Optuna's form of one axis of a search space."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(values, Range):
        return CategoricalDistribution(values)
    if isinstance(plan.study.base.settings[name], int):
        low, high, step = int(values.low), int(values.high), int(values.step) or 1
        return IntDistribution(low, high, values.log, step)
    return FloatDistribution(values.low, values.high, values.log, values.step or None)
