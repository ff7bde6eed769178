"""What a gate measures beside accuracy: hold under audio conditions, and gaps between groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from serlab.bench.metrics.base import evaluate, metric, predicted_classes
from serlab.bench.metrics.categorical import per_class_recall
from serlab.bench.statistics.records import ArmPredictions, Array, Floats
from serlab.reports.gate.tested import Tested

MOVED = 0.05
"""A value of a trace that moves by more than this is a changed one."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """How predictions hold under one audio condition; arrays are (seed,), means over corpora."""

    unchanged: Floats
    """Share of the predictions that stay as they are."""
    loss: Floats
    """What the metric loses; below 0 where it gains."""


@dataclass(frozen=True, kw_only=True)
class Apart:
    """How far groups of utterances lie apart in the metric, mean over corpora."""

    gap: float
    """Between the best and the worst group, of their means over seeds."""
    by_seed: Floats
    """The same of each seed alone."""
    by_value: Mapping[str, float]
    """The metric of each group, mean over seeds and corpora."""
    widest_class: str
    """The class whose recall differs most between two groups; empty for traces."""
    widest_gap: float


def under_conditions(tested: Mapping[str, Tested], name: str) -> dict[str, Held]:
    """How the predictions hold, by condition that all corpora have."""
    every = [set(one.conditions) for one in tested.values()]
    found = {}
    for condition in sorted(set.intersection(*every)):
        pairs = [_held(one, one.conditions[condition], name) for one in tested.values()]
        found[condition] = Held(
            unchanged=np.mean([unchanged for unchanged, _ in pairs], axis=0),
            loss=np.mean([loss for _, loss in pairs], axis=0),
        )
    return found


def _held(tested: Tested, scores: Array, name: str) -> tuple[Floats, Floats]:
    clean = tested.predictions
    if clean.truth.ndim == 1:
        same = predicted_classes(scores) == predicted_classes(clean.scores)
    else:
        same = np.abs(scores - clean.scores) <= MOVED
    sign = 1.0 if metric(name).higher_is_better else -1.0
    before = np.array([evaluate(name, clean.truth, one) for one in clean.scores])
    after = np.array([evaluate(name, clean.truth, one) for one in scores])
    return same.reshape(len(scores), -1).mean(axis=1), sign * (before - after)


def between_groups(
    tested: Mapping[str, Tested], groups: Mapping[str, Mapping[str, tuple[str, ...]]], name: str
) -> dict[str, Apart]:
    """How far groups lie apart, by group that tells two kinds of utterances apart.

    Args:
        tested: the predictions, by corpus.
        groups: by corpus, by group, the value of each row.
        name: the metric.
    """
    names = sorted({group for held in groups.values() for group in held})
    found = {}
    for group in names:
        told = [(tested[c].predictions, held[group]) for c, held in groups.items() if group in held]
        parts = [_Parts.of(predictions, values) for predictions, values in told]
        parts = [held for held in parts if len(held.by_value) > 1]
        if parts:
            found[group] = _apart(parts, name)
    return found


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """The predictions on one corpus, parted by the values of a group."""

    labels: tuple[str, ...]
    by_value: Mapping[str, tuple[Array, Array]]
    """Truths and scores (seed, row, class)."""

    @classmethod
    def of(cls, held: ArmPredictions, values: tuple[str, ...]) -> _Parts:
        of_row = np.array(values)
        parts = {
            v: (held.truth[of_row == v], held.scores[:, of_row == v]) for v in {*values} - {""}
        }
        return cls(labels=held.labels, by_value=dict(sorted(parts.items())))

    def levels(self, name: str) -> dict[str, Floats]:
        """The metric of each value, (seed,)."""
        return {
            value: np.array([evaluate(name, truth, one) for one in scores])
            for value, (truth, scores) in self.by_value.items()
        }

    def widest(self) -> tuple[float, str]:
        """How much the recall of a class differs at most, mean over seeds, and the class."""
        if any(truth.ndim > 1 for truth, _ in self.by_value.values()):
            return 0.0, ""
        recalls = np.array(
            [
                np.mean([per_class_recall(truth, one) for one in scores], axis=0)
                for truth, scores in self.by_value.values()
            ]
        )
        gaps = np.nan_to_num(np.ptp(recalls, axis=0))  # nan: a value lacks the class
        return float(gaps.max()), self.labels[int(np.argmax(gaps))]


def _apart(parts: Sequence[_Parts], name: str) -> Apart:
    levels = [held.levels(name) for held in parts]
    means = [{v: float(x.mean()) for v, x in held.items()} for held in levels]
    values = sorted({v for held in means for v in held})
    widest_gap, widest_class = max(held.widest() for held in parts)
    return Apart(
        gap=float(np.mean([max(held.values()) - min(held.values()) for held in means])),
        by_seed=np.mean([np.ptp(list(held.values()), axis=0) for held in levels], axis=0),
        by_value={v: float(np.mean([held[v] for held in means if v in held])) for v in values},
        widest_class=widest_class,
        widest_gap=widest_gap,
    )
