"""Optuna's sampler as Ray Tune asks it, told the truth about trials that broke."""

from __future__ import annotations

import math
from typing import Any

import optuna
from ray.tune.search.optuna import OptunaSearch

from serlab.studies.memory import Queue
from serlab.studies.worker import OBJECTIVE


class Searcher(OptunaSearch):
    """`OptunaSearch` for which a trial without its objectives has failed.

    Optuna refuses a NaN as a value of a completed trial, and the original then leaves the trial
    as running for ever.
    """

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,  # of Ray's own shape
        error: bool = False,
    ) -> None:
        """Tells Optuna of the end of a trial."""
        asked = self.metric if isinstance(self.metric, list) else [self.metric]
        if result and not all(math.isfinite(result.get(name, math.nan)) for name in asked):
            result, error = None, True
        super().on_trial_complete(trial_id, result, error)


def searcher(queue: Queue, seed: int) -> Searcher:
    """What gives the points of a queue: those that wait in it, then drawn ones.

    TPE stands for one objective and for two: after ten random points it models where good ones
    lie, which a search of some dozens of trials has use for. NSGA-II, the other choice of Optuna's
    for two objectives, breeds from generations of fifty, and would draw so few at random.
    """
    names, modes = [OBJECTIVE], ["max"]
    if queue.cost:
        names, modes = [OBJECTIVE, queue.cost], ["max", "min"]
    single = len(names) == 1
    return Searcher(
        dict(queue.space),
        metric=names[0] if single else names,
        mode=modes[0] if single else modes,
        sampler=optuna.samplers.TPESampler(seed=seed),
        study_name=queue.study.study_name,
        storage=queue.storage,
    )
