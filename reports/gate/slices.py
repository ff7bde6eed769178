"""Slices of a comparison: classes, groups of utterances, corpora; one that has lost warns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from serlab.bench.errors import BadValue
from serlab.bench.metrics.base import metric
from serlab.bench.statistics.differences import difference
from serlab.bench.statistics.margins import NonInferiority, noninferior
from serlab.bench.statistics.records import ArmPredictions
from serlab.reports.gate.baseline import Baseline, Terms
from serlab.reports.gate.records import Check, Outcome
from serlab.reports.gate.tested import Tested
from serlab.reports.words import difference_in, margin_words, number

OUTCOMES = {"pass": Outcome.PASS, "fail": Outcome.WARN, "inconclusive": Outcome.UNCLEAR}

Rows = npt.NDArray[np.bool_]


def slice_checks(
    baseline: Baseline, candidate: Mapping[str, Tested], seeds: tuple[int, ...]
) -> list[Check]:
    """Every slice, judged at the baseline's margin; what has lost more is a warning.

    Args:
        baseline: whose groups the utterances are in.
        candidate: the same utterances, by corpus.
        seeds: those of the last look.
    """
    found, several = [], len(baseline.tested) > 1
    for name, tested in baseline.tested.items():
        pair = of_seeds(tested.predictions, seeds), of_seeds(candidate[name].predictions, seeds)
        prefix = f"{name}: " if several else ""
        if several:
            found.append(_slice(baseline.terms, f"corpus={name}", pair, None))
        for title, rows, of_class in _rows_of(tested):
            found.append(_slice(baseline.terms, prefix + title, pair, rows, of_class=of_class))
    return found


def _rows_of(tested: Tested) -> list[tuple[str, Rows, bool]]:
    """The slices of a corpus: their names, their rows, and whether they are classes."""
    held, found = tested.predictions, []
    if held.truth.ndim == 1:
        for place, label in enumerate(held.labels):
            found.append((f"recall of {label}", held.truth == place, True))
    for group, values in tested.groups.items():
        for value in sorted({*values} - {""}):
            found.append((f"{group}={value}", np.array(values) == value, False))
    return found


def _slice(
    terms: Terms,
    name: str,
    pair: tuple[ArmPredictions, ArmPredictions],
    rows: Rows | None,
    *,
    of_class: bool = False,
) -> Check:
    """Baseline and candidate, on some rows of the baseline's."""
    held = "wa" if of_class else terms.metric
    try:
        found = _judged(terms, held, *(_some(arm, pair[0], rows) for arm in pair))
    except BadValue as error:
        return Check(
            name=f"slice {name}",
            kind="slice",
            outcome=Outcome.NOT_JUDGED,
            sentence=str(error),
        )
    outcome = OUTCOMES[found.verdict]
    lost = outcome is Outcome.WARN
    tail = f"; it has lost more than {margin_words(terms.margin, held)}" if lost else ""
    return Check(
        name=f"slice {name}",
        kind="slice",
        outcome=outcome,
        sentence=f"{interval_words(found, held)}{tail}",
        numbers={"difference": found.mean, "low": found.low, "high": found.high,
                 "n_utterances": len(pair[0].ids) if rows is None else int(rows.sum())},
    )  # fmt: skip


def _judged(
    terms: Terms, name: str, base: ArmPredictions, candidate: ArmPredictions
) -> NonInferiority:
    estimate = difference(base, candidate, metric=name, level=1 - terms.look_alpha)
    better = metric(name).higher_is_better
    return noninferior(estimate, terms.margin, alpha=terms.look_alpha, higher_is_better=better)


def _some(arm: ArmPredictions, base: ArmPredictions, rows: Rows | None) -> ArmPredictions:
    """The rows of an arm that are some of the base's, whatever order it has them in."""
    if rows is None:
        return arm
    if arm.ids != base.ids or not np.array_equal(arm.frames, base.frames):
        chosen = {base.ids[i] for i in np.flatnonzero(rows)}
        rows = np.array([name in chosen for name in arm.ids])
    where = np.flatnonzero(rows)
    if not len(where):
        raise BadValue("utterances", 0, "some")
    return replace(
        arm,
        ids=tuple(arm.ids[i] for i in where),
        speakers=tuple(arm.speakers[i] for i in where),
        truth=arm.truth[where],
        scores=arm.scores[:, where],
        frames=arm.frames[where] if arm.frames.size else arm.frames,
    )


def of_seeds(held: ArmPredictions, seeds: tuple[int, ...]) -> ArmPredictions:
    """The predictions of some of the seeds."""
    return replace(held, seeds=seeds, scores=held.rows(seeds))


def interval_words(found: NonInferiority, name: str) -> str:
    """``-0.4 points [-1.9, +1.1]``: the difference, and its two one-sided bounds."""
    scale = 100 if metric(name).task == "categorical" else 1
    low, high = (
        number(v * scale, 1 if scale > 1 else 3, sign=True) for v in (found.low, found.high)
    )
    return f"{difference_in(found.mean, name, sign=True)} [{low}, {high}]"
