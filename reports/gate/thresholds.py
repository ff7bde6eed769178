"""Robustness and fairness: thresholds that a baseline fixes, and a candidate held against them.

A threshold is what the baseline held, with an allowance: the larger of a fixed one and twice the
standard deviation between its seeds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from serlab.bench.statistics.records import Floats
from serlab.reports.gate.baseline import Baseline, Floor, Gap, Terms
from serlab.reports.gate.measures import Apart, Held, between_groups, under_conditions
from serlab.reports.gate.records import Check, Kind, Outcome
from serlab.reports.gate.tested import Tested
from serlab.reports.words import difference_in, label, margin_words, number, title_of

ALLOWED, GAP_ALLOWED = 0.02, 0.05
"""Least allowance of a share or a loss, and of a gap between groups."""


def floors(tested: Mapping[str, Tested], metric: str) -> dict[str, Floor]:
    """Thresholds of every audio condition that the predictions hold."""
    return {
        name: Floor(
            unchanged=max(0.0, _mean(held.unchanged) - _allowance(held.unchanged, ALLOWED)),
            loss=max(0.0, _mean(held.loss)) + _allowance(held.loss, ALLOWED),
            measured_unchanged=_mean(held.unchanged),
            measured_loss=_mean(held.loss),
        )
        for name, held in under_conditions(tested, metric).items()
    }


def gaps(tested: Mapping[str, Tested], metric: str) -> dict[str, Gap]:
    """Thresholds of every group that tells two kinds of utterances apart."""
    groups = {name: one.groups for name, one in tested.items()}
    return {
        name: Gap(largest=apart.gap + _allowance(apart.by_seed, GAP_ALLOWED), measured=apart.gap)
        for name, apart in between_groups(tested, groups, metric).items()
    }


def _mean(values: Floats) -> float:
    return float(np.mean(values))


def _allowance(values: Floats, least: float) -> float:
    """For a mean over seeds: twice their deviation, or the least."""
    return max(least, 2 * float(np.std(values, ddof=1))) if len(values) > 1 else least


# --- checks --------------------------------------------------------------------------------


def robustness_checks(terms: Terms, candidate: Mapping[str, Tested]) -> list[Check]:
    """A candidate under the conditions that the baseline names."""
    held = under_conditions(candidate, terms.metric) if terms.robustness else {}
    return [
        _robustness(terms, name, floor, held.get(name)) for name, floor in terms.robustness.items()
    ]


def _robustness(terms: Terms, name: str, floor: Floor, held: Held | None) -> Check:
    title = f"robustness {name}"
    if held is None:
        return Check(
            name=title,
            kind="robustness",
            outcome=Outcome.NOT_COMPARABLE,
            sentence=f"the candidate was not tested under {label(name)}",
        )
    unchanged, loss = _mean(held.unchanged), _mean(held.loss)
    if not np.isfinite(loss):
        return _undefined(title, "robustness", terms, label(name))
    verb = "gains" if loss < 0 else "loses"
    few, much = unchanged < floor.unchanged, loss > floor.loss
    text = f"{unchanged:.1%} of the predictions stay"
    text += f" (at least {floor.unchanged:.1%})" if few else ""
    text += f", {title_of(terms.metric)} {verb} {difference_in(loss, terms.metric)}"
    text += f" (at most {margin_words(round(floor.loss, 4), terms.metric)})" if much else ""
    return Check(
        name=title,
        kind="robustness",
        outcome=Outcome.FAIL if few or much else Outcome.PASS,
        sentence=text,
        numbers={
            "unchanged": unchanged,
            "least_unchanged": floor.unchanged,
            "loss": loss,
            "largest_loss": floor.loss,
        },
    )


def _undefined(title: str, kind: Kind, terms: Terms, where: str) -> Check:
    text = f"{where}: {title_of(terms.metric)} is undefined there"
    return Check(name=title, kind=kind, outcome=Outcome.NOT_COMPARABLE, sentence=text)


def fairness_checks(baseline: Baseline, candidate: Mapping[str, Tested]) -> list[Check]:
    """Gaps between the groups of utterances that the baseline names.

    The groups are the baseline's own: the utterances are the same.
    """
    terms = baseline.terms
    if not terms.fairness:
        return []
    groups = {name: _in_order(one, candidate[name]) for name, one in baseline.tested.items()}
    found = between_groups(candidate, groups, terms.metric)
    return [_fairness(terms, name, gap, found.get(name)) for name, gap in terms.fairness.items()]


def _in_order(mine: Tested, theirs: Tested) -> dict[str, tuple[str, ...]]:
    """The baseline's groups in the order of a candidate's rows."""
    of_id = {
        group: dict(zip(mine.predictions.ids, values, strict=True))
        for group, values in mine.groups.items()
    }
    return {g: tuple(known[i] for i in theirs.predictions.ids) for g, known in of_id.items()}


def _fairness(terms: Terms, name: str, gap: Gap, apart: Apart | None) -> Check:
    title = f"fairness {name}"
    if apart is None:
        return Check(
            name=title,
            kind="fairness",
            outcome=Outcome.NOT_COMPARABLE,
            sentence=f"the baseline's utterances have no group {label(name)}",
        )
    if not np.isfinite(apart.gap):
        return _undefined(title, "fairness", terms, label(name))
    wide = apart.gap > gap.largest
    levels = ", ".join(f"{label(v)} {number(level)}" for v, level in apart.by_value.items())
    text = f"{title_of(terms.metric)} differs by "
    text += f"{difference_in(apart.gap, terms.metric)} ({levels})"
    text += f", more than {difference_in(gap.largest, terms.metric)}" if wide else ""
    if apart.widest_class:
        widest = difference_in(apart.widest_gap, terms.metric)
        text += f"; most in the recall of {label(apart.widest_class)}: {widest}"
    return Check(
        name=title,
        kind="fairness",
        outcome=Outcome.FAIL if wide else Outcome.PASS,
        sentence=text,
        numbers={
            "gap": apart.gap,
            "largest_gap": gap.largest,
            **{f"{name}={v}": level for v, level in apart.by_value.items()},
        },
    )
