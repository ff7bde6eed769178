"""A candidate held against a baseline: what passes, what has lost, what cannot be told.

The gating check is one-sided non-inferiority of the metric, paired over speakers and seeds, at
the margin that the baseline has fixed. Where it is inconclusive and the baseline names further
seeds, these are added once, and each of the two looks takes half of the error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from serlab.bench.contracts import Status
from serlab.bench.errors import NotComparable
from serlab.bench.metrics.base import metric
from serlab.bench.statistics.cells import Undefined
from serlab.bench.statistics.corpora import mean_over
from serlab.bench.statistics.differences import difference
from serlab.bench.statistics.margins import NonInferiority, noninferior
from serlab.bench.statistics.power import POWER, needed_seeds, needed_speakers
from serlab.bench.statistics.records import Estimate
from serlab.reports.gate.baseline import Baseline
from serlab.reports.gate.records import Check, Number, Outcome
from serlab.reports.gate.slices import interval_words, of_seeds, slice_checks
from serlab.reports.gate.tested import Candidate, Tested
from serlab.reports.gate.thresholds import fairness_checks, robustness_checks
from serlab.reports.words import listed, margin_words, plural, title_of

Extend = Callable[[Sequence[int]], Candidate]
"""Gives the candidate with further seeds."""

OUTCOMES: Mapping[str, Outcome] = {
    "pass": Outcome.PASS,
    "fail": Outcome.FAIL,
    "inconclusive": Outcome.INCONCLUSIVE,
}


def judge(
    baseline: Baseline, candidate: Candidate, extend: Extend | None = None
) -> tuple[Check, ...]:
    """Every check of a candidate, the gating one first.

    What cannot be compared is a check that says so, never a pass.

    Args:
        baseline: what it is held against.
        candidate: with the baseline's seeds at least, those of the extension if it has them.
        extend: trains the seeds of the extension where they are needed and not there.
    """
    try:
        if lost := _lost(candidate):
            return (lost,)
        _same_study(baseline, candidate)
        estimate, seeds = _looks(baseline, candidate)
    except NotComparable as error:
        return (not_comparable(str(error)),)
    check = _accuracy(baseline, estimate, seeds)
    if check.outcome is Outcome.INCONCLUSIVE and seeds != baseline.terms.every and extend:
        return judge(baseline, extend(baseline.terms.extension))
    tested = {name: _of_seeds(one, seeds) for name, one in candidate.tested.items()}
    return (
        check,
        *robustness_checks(baseline.terms, tested),
        *fairness_checks(baseline, tested),
        *slice_checks(baseline, tested, seeds),
    )


def _of_seeds(tested: Tested, seeds: tuple[int, ...]) -> Tested:
    """Some of the seeds, under the audio conditions too."""
    held = tested.predictions
    rows = [held.seeds.index(seed) for seed in seeds]
    conditions = {name: scores[rows] for name, scores in tested.conditions.items()}
    return replace(tested, predictions=of_seeds(held, seeds), conditions=conditions)


def not_comparable(text: str) -> Check:
    """The check of two that cannot be compared."""
    return Check(name="accuracy", kind="accuracy", outcome=Outcome.NOT_COMPARABLE, sentence=text)


def _lost(candidate: Candidate) -> Check | None:
    """Trainings that diverged are a regression; others that gave no result tell nothing."""
    if not candidate.lost:
        return None
    diverged = candidate.lost.get(Status.DIVERGED.value, 0)
    told = ", ".join(f"{n} {status}" for status, n in sorted(candidate.lost.items()))
    outcome = Outcome.FAIL if diverged else Outcome.NOT_COMPARABLE
    sentence = f"trainings of the candidate without a result: {told}"
    return Check(name="trainings", kind="accuracy", outcome=outcome, sentence=sentence,
                 numbers=dict(candidate.lost))  # fmt: skip


def _same_study(baseline: Baseline, candidate: Candidate) -> None:
    """Raises NotComparable where the candidate was measured otherwise, or lacks seeds."""
    measured = {
        name: {"labels": t.predictions.labels, "split": t.predictions.split, "data": t.data}
        for name, t in candidate.tested.items()
    }
    same_terms(baseline, candidate.name, candidate.metric, measured)
    for name, tested in candidate.tested.items():
        held = tested.predictions.seeds
        missing = [str(seed) for seed in baseline.terms.seeds if seed not in held]
        if missing:
            text = f"it lacks the seeds {listed(missing)} of the baseline"
            raise NotComparable(f"{candidate.name}: {name}: {text}")


TERMS = {"labels": "classes", "split": "split", "data": "hash of utterances and labels"}
"""What must be the same on a corpus, and how it is called."""


def same_terms(
    baseline: Baseline, name: str, metric: str, corpora: Mapping[str, Mapping[str, object]]
) -> None:
    """Finds a candidate measured, or about to be, as the baseline was.

    Args:
        baseline: what it is held against.
        name: of the candidate, for messages.
        metric: empty where it is not told.
        corpora: by corpus, the values of `TERMS`; empty ones are not told.

    Raises:
        NotComparable: a value is another.
    """
    terms = baseline.terms
    if metric and metric != terms.metric:
        text = f"{metric}, and the baseline's is {terms.metric}"
        raise NotComparable(f"{name}: its metric is {text}")
    unlike = set(corpora) ^ {c.name for c in terms.corpora}
    if unlike:
        names = listed(sorted(unlike))
        raise NotComparable(f"{name}: the corpora differ: {names} in one of the two only")
    for corpus in terms.corpora:
        for key, what in TERMS.items():
            mine, theirs = corpora[corpus.name][key], getattr(corpus, key)
            if mine and theirs and mine != theirs:
                one, other = (_shown(value) for value in (mine, theirs))
                text = f"its {what}: {one}; the baseline's: {other}"
                raise NotComparable(f"{name}: {corpus.name}: {text}")


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


# --- accuracy ------------------------------------------------------------------------------


def _looks(baseline: Baseline, candidate: Candidate) -> tuple[Estimate, tuple[int, ...]]:
    """The first look, or the second where it is called for and its seeds are there."""
    terms = baseline.terms
    estimate = estimate_of(baseline, candidate, terms.seeds)
    if not terms.extension or bounds(baseline, estimate).verdict != "inconclusive":
        return estimate, terms.seeds
    held = set.intersection(*({*t.predictions.seeds} for t in candidate.tested.values()))
    if not {*terms.extension} <= held:
        return estimate, terms.seeds
    return estimate_of(baseline, candidate, terms.every), terms.every


def estimate_of(baseline: Baseline, candidate: Candidate, seeds: tuple[int, ...]) -> Estimate:
    """Candidate minus baseline in the metric, the mean over corpora.

    Raises:
        NotComparable: utterances, speakers or truths differ, or no interval can be had.
    """
    terms, found = baseline.terms, []
    for name, tested in baseline.tested.items():
        try:
            pair = [of_seeds(t.predictions, seeds) for t in (tested, candidate.tested[name])]
            estimate = difference(*pair, metric=terms.metric, level=1 - terms.look_alpha)
        except Undefined as error:
            raise NotComparable(f"{candidate.name}: {name}: {error}") from None
        except NotComparable as error:
            raise NotComparable(f"{candidate.name}: {name}: {error}") from None
        if not estimate.estimable:
            raise NotComparable(f"{candidate.name}: {name}: no interval: {estimate.note}")
        found.append(estimate)
    return mean_over(found)


def bounds(baseline: Baseline, estimate: Estimate) -> NonInferiority:
    """The estimate at the baseline's margin."""
    terms = baseline.terms
    better = metric(terms.metric).higher_is_better
    return noninferior(estimate, terms.margin, alpha=terms.look_alpha, higher_is_better=better)


def _accuracy(baseline: Baseline, estimate: Estimate, seeds: tuple[int, ...]) -> Check:
    terms, found = baseline.terms, bounds(baseline, estimate)
    numbers: dict[str, Number] = {
        "difference": found.mean,
        "low": found.low,
        "high": found.high,
        "level": 1 - found.alpha,
        "margin": found.margin,
        "p": found.p,
        "power": found.power,
        "se": estimate.se,
        "df": None if np.isnan(estimate.df) else estimate.df,
        "n_speakers": estimate.n_speakers,
        "n_seeds": len(seeds),
        "look": 2 if len(seeds) > len(terms.seeds) else 1,
    }
    return Check(
        name="accuracy",
        kind="accuracy",
        outcome=OUTCOMES[found.verdict],
        sentence=_sentence(baseline, estimate, found),
        numbers=numbers,
    )


def _sentence(baseline: Baseline, estimate: Estimate, found: NonInferiority) -> str:
    terms = baseline.terms
    margin = margin_words(terms.margin, terms.metric)
    text = f"{title_of(terms.metric)} {interval_words(found, terms.metric)} against the baseline"
    if found.verdict == "pass":
        return f"{text}; a loss of {margin} is ruled out"
    if found.verdict == "fail":
        return f"{text}; it has lost more than the margin of {margin}"
    text += f"; a loss of {margin} is neither ruled out nor shown (power {found.power:.0%})"
    if found.power >= POWER:
        return f"{text}; it has the power, and lies too near the margin"
    return "; ".join(filter(None, (text, _lacking(estimate, terms.margin))))


def _lacking(estimate: Estimate, margin: float) -> str:
    """What would make it conclusive, in about that many; empty where nobody can tell."""
    if not estimate.squares.estimable:
        return ""
    seeds = needed_seeds(estimate, margin, sides=1)
    if seeds.more:
        return f"about {plural(seeds.more, 'seed')} more would give it a power of 80 %"
    speakers = needed_speakers(estimate, margin, sides=1)
    if speakers.more:
        return f"seeds alone will not do; about {plural(speakers.more, 'speaker')} more would"
    return "neither more seeds nor more speakers would do alone"
