"""What runs in a Ray worker: fold after fold of one job, each kept before it is reported."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from ray import tune

from serlab.bench.cache import Cache
from serlab.bench.checkpoint import Keep
from serlab.bench.conditions import Condition, condition, under
from serlab.bench.contracts import (
    FloatArray,
    Fold,
    FoldResult,
    Part,
    Status,
    System,
    Utterance,
    digest,
    plain,
)
from serlab.bench.data import Rated
from serlab.bench.errors import SerlabError
from serlab.bench.features.base import feature
from serlab.bench.features.extraction import extract
from serlab.bench.meters.environment import fingerprint
from serlab.bench.metrics.base import evaluate
from serlab.bench.perturb import is_of_audio
from serlab.bench.store import Store
from serlab.bench.trial import Bench, run_fold
from serlab.models.variant import make, resolve
from serlab.studies.grounds import Ground
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
_BENCHES: dict[str, Bench] = {}


def bench_for(
    ground: Ground, system: System, cached: Cache | None, conditions: Sequence[str] = ()
) -> Bench:
    """The corpus with the features of one system, mapped from the cache, once a process.

    What is heard under audio conditions is opened when a test part asks for it.
    """
    wanted = [(name, feature(spec), who) for name, spec, who in ground.wanted(system)]
    key = digest({
        "data": ground.data,
        "outside": [o.data for o in ground.outside],
        "split": ground.split.hash,
        "inputs": [(name, made.spec, made.files(), len(who)) for name, made, who in wanted],
        "perturbation": system.perturbation(),
        "conditions": conditions,
    })  # fmt: skip
    if key not in _BENCHES:
        arrays: dict[str, dict[str, FloatArray]] = {}
        for name, made, who in wanted:
            arrays.setdefault(name, {}).update(extract(made.spec, who, cache=cached))
        _BENCHES[key] = Bench(
            corpus=ground.corpus,
            split=ground.split,
            arrays=arrays,
            rates={name: made.rate_hz for name, made, _ in wanted},
            outside=tuple(u for o in ground.outside for u in o.corpus.utterances),
            rated=_rated(ground),
            unscaled=frozenset(name for name, made, _ in wanted if made.extractor.unscaled),
            conditioned={name: _Heard(system, condition(name), cached) for name in conditions},
        )
    return _BENCHES[key]


class _Heard:
    """The inputs made from sound under an audio condition, opened as test parts ask for them.

    Arrays are kept only where the cache does not know them without the sound: a corpus without
    files would be synthesised again for every fold and seed.
    """

    def __init__(self, system: System, how: Condition, cached: Cache | None) -> None:
        inputs = system.inputs().items()
        self.specs = {name: spec for name, spec in inputs if is_of_audio(spec)}
        self.how, self.cached = how, cached
        self.kept: dict[tuple[str, str], FloatArray] = {}

    def __call__(self, utterances: Sequence[Utterance]) -> dict[str, dict[str, FloatArray]]:
        """By input, by the utterance's own id."""
        ids = [u.id for u in utterances if u.audio is not None]
        copies = under(utterances, self.how)
        return {
            name: dict(zip(ids, self._arrays(name, copies), strict=True)) for name in self.specs
        }

    def _arrays(self, name: str, copies: Sequence[Utterance]) -> list[FloatArray]:
        missing = [u for u in copies if (name, u.id) not in self.kept]
        found = extract(self.specs[name], missing, cache=self.cached)
        for u in missing:
            if self.cached is None or self.cached.memo.get(u.heard()) is None:
                self.kept[name, u.id] = found[u.id]
        return [self.kept[name, u.id] if (name, u.id) in self.kept else found[u.id] for u in copies]


def _rated(ground: Ground) -> Rated | None:
    """The continuous labels that the split asks for, the columns in its order."""
    if ground.split.protocol.target != "traces":
        return None
    columns = [ground.corpus.dimensions.index(name) for name in ground.split.labels]
    sources = {u.id: u.traces for u in ground.utterances()}
    rates = {source.rate_hz for source in sources.values() if source}
    if len(rates) != 1:
        raise SerlabError(f"{ground.corpus.name}: its traces have several rates: {sorted(rates)}")
    traces = {i: source.read()[:, columns] for i, source in sources.items() if source}
    return Rated(traces=traces, rate_hz=rates.pop())


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
        self.done = 0
        self.total = 0.0

    def step(self) -> dict[str, Any]:
        """Trains the next fold, or takes it from the store."""
        job, fold = self.work[self.done]
        result = self.known.get(f"{job.trial.key}-{fold.name}") or self.train_fold(job, fold)
        self.done += 1
        self.total += validation_score(result, self.store, self.plan.study.metric)
        return {
            OBJECTIVE: self.total / self.done,
            "status": result.status.value,
            "reason": result.reason,
            "arm": job.arm,
            "cell": result.cell,
            "done": self.done == len(self.work),
        }

    def train_fold(self, job: Job, fold: Fold) -> FoldResult:
        """Runs one fold and keeps its record before Tune hears of it."""
        system = make(job.trial.variant)
        conditions = self.plan.conditions(system)
        bench = bench_for(job.ground, system, Cache(self.order.cache), conditions)
        keep = self._keep(job, fold) if self.plan.study.keep_models else None
        result = run_fold(job.trial, job.arm, fold, system, bench, self.order.device, keep)
        environment = self.store.keep_environment(fingerprint(self.order.device))
        result = replace(result, environment=environment)
        self.store.append(result)
        return result

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
