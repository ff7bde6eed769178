"""What runs in a Ray worker: fold after fold of one job, each kept before it is reported."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ray import tune

from serlab.bench.cache import Cache
from serlab.bench.checkpoint import Keep
from serlab.bench.contracts import (
    Fold,
    FoldResult,
    Measurement,
    Part,
    Status,
    digest,
    plain,
)
from serlab.bench.looks import Look
from serlab.bench.meters.environment import fingerprint
from serlab.bench.metrics.base import evaluate
from serlab.bench.store import Store
from serlab.bench.trial import run_fold, untrained
from serlab.models.variant import make, resolve
from serlab.studies.benches import bench_for
from serlab.studies.cost import cost_of
from serlab.studies.plan import Job, Plan, make_plan
from serlab.studies.specification import Arm, Study

OBJECTIVE = "validation"


@dataclass(frozen=True, kw_only=True)
class Order:
    """What every worker of a run is told once."""

    run: Path
    study: Study
    roots: Mapping[str, Path]
    device: str
    cache: Path
    plugins: tuple[str, ...] = ()
    working_directory: Path = field(default_factory=Path.cwd)


@cache
def open_plan(text: str) -> Plan:
    """The plan of an order, made once a process; the key is the order's text."""
    order = _ORDERS[text]
    return make_plan(order.study, order.roots, audit=False)


_ORDERS: dict[str, Order] = {}


class FoldTrainable(tune.Trainable):
    """A Tune trial: one step a fold; folds in the store are not trained again."""

    def setup(self, config: dict[str, Any], order: Order | None = None) -> None:
        """Opens the plan; further trials of the process find it open."""
        import torch

        assert order is not None
        if order.plugins:
            sys.path.append(str(order.working_directory))
        for name in order.plugins:
            importlib.import_module(name)
        torch.set_num_threads(order.study.resources.threads)
        torch.use_deterministic_algorithms(True, warn_only=order.device != "cpu")
        self.order = order
        text = digest({"run": order.run, "study": order.study})
        _ORDERS[text] = order
        self.plan = open_plan(text)
        self.store = Store.create(order.run)
        self.begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes the next job in the same process."""
        self.begin(new_config)
        return True

    def begin(self, config: Mapping[str, Any]) -> None:
        """Lists the folds that the configuration asks for."""
        self.work = [
            (job, fold) for job in jobs_of(self.plan, config) for fold in job.ground.split.folds
        ]
        wanted = {f"{job.trial.key}-{fold.name}" for job, fold in self.work}
        records = (r for r in self.store.records() if r.cell in wanted)
        self.known = {r.cell: r for r in records if r.status is not Status.FAILED}
        self.designed = "arm" in config
        self.cost = self._cost(config)
        self.done = 0
        self.total = 0.0

    def step(self) -> dict[str, Any]:
        """Trains the next fold, or takes it from the store."""
        job, fold = self.work[self.done]
        result = self.known.get(f"{job.trial.key}-{fold.name}") or self._new(job, fold)
        self.done += 1
        self.total += validation_score(result, self.store, self.plan.study.metric)
        return {
            OBJECTIVE: self.total / self.done,
            "status": result.status.value,
            "reason": result.reason,
            "arm": job.arm,
            "cell": result.cell,
            "done": self.done == len(self.work),
            **{name: math.nan if m.value is None else m.value for name, m in self.cost.items()},
        }

    def _cost(self, config: Mapping[str, Any]) -> dict[str, Measurement]:
        """What the search makes small beside the score, by name; nothing of a design's job."""
        search = self.plan.study.search
        if search is None or not search.cost or "arm" in config:
            return {}
        return {search.cost: cost_of(self.plan, self.work[0][0].trial.variant)}

    def _new(self, job: Job, fold: Fold) -> FoldResult:
        """Trains a fold, unless its variant lacks the cost that the search asks for."""
        for name, found in self.cost.items():
            if found.value is None:
                reason = f"not trained, as its {name} are unknown: {found.reason}"
                return self._keep_record(untrained(_blank(job, fold), reason))
        return self.train_fold(job, fold)

    def train_fold(self, job: Job, fold: Fold) -> FoldResult:
        """Runs one fold and keeps its record before Tune hears of it."""
        system = make(job.trial.variant)
        conditions = self.plan.conditions(system)
        bench = bench_for(job.ground, system, Cache(self.order.cache), conditions)
        keep = self._keep(job, fold) if self.plan.study.keep_models else None
        look = self._look(job, fold)
        result = run_fold(job.trial, job.arm, fold, system, bench, self.order.device, keep, look)
        return self._keep_record(result)

    def _keep_record(self, result: FoldResult) -> FoldResult:
        environment = self.store.keep_environment(fingerprint(self.order.device))
        result = replace(result, environment=environment)
        self.store.append(result)
        return result

    def _look(self, job: Job, fold: Fold) -> Look | None:
        """Where a look inside goes: of an arm's training of the first seed on the first fold."""
        study = self.plan.study
        first = study.seeds[0], job.ground.split.folds[0]
        if study.insight is None or not self.designed or (job.trial.seed, fold) != first:
            return None
        path = self.store.insight_path(f"{job.trial.key}-{fold.name}")
        return Look(path=path, **vars(study.insight))

    def _keep(self, job: Job, fold: Fold) -> Keep:
        """Where the model goes, with all that its corpus is read from again."""
        study = self.plan.study
        return Keep(
            path=self.store.checkpoint_path(f"{job.trial.key}-{fold.name}"),
            spec=job.trial,
            arm=job.arm,
            fold=fold.name,
            labels=job.ground.split.labels,
            sources={"corpora": plain(study.corpora), "folds": study.protocol.folds},
        )


def _blank(job: Job, fold: Fold) -> FoldResult:
    """A fold that has no result."""
    return FoldResult(
        trial=job.trial.key,
        arm=job.arm,
        corpus=job.ground.corpus.name,
        split=job.ground.split.hash,
        fold=fold.name,
        seed=job.trial.seed,
        status=Status.FAILED,
    )


def jobs_of(plan: Plan, config: Mapping[str, Any]) -> list[Job]:
    """The jobs of a Tune configuration: one of a design's, or a searched variant's."""
    if "arm" in config:
        return [
            job
            for job in plan.jobs()
            if (job.arm, job.ground.corpus.name, job.trial.seed)
            == (config["arm"], config["corpus"], config["seed"])
        ]
    return plan.jobs((searched(plan.study, config),))


def searched(study: Study, config: Mapping[str, Any]) -> Arm:
    """The arm of a search's point: the base with some values changed."""
    base = study.base
    known = {**base.settings, **base.options}
    values = {name: _as(known[name], value) for name, value in config.items() if name in known}
    variant = resolve(base.system, base.preset, {**known, **values})
    return Arm(name=variant.difference(base), variant=variant, kind="searched")


def _as(known: object, value: Any) -> Any:  # a scalar of the kind of the known one
    return type(known)(value) if isinstance(known, int | float) else value


def validation_score(result: FoldResult, store: Store, name: str) -> float:
    """The study's metric on the validation part of one fold; NaN where there is none.

    Optuna takes a NaN for a failed trial, so that a variant which breaks cannot win a search.
    """
    if result.status is not Status.COMPLETED:
        return math.nan
    held = store.predictions(result.cell)
    rows = [i for i, part in enumerate(held.parts) if part == Part.VALIDATION]
    return evaluate(name, held.truth[rows], held.scores[rows]) if rows else math.nan
