"""Whether a gate is awake: the baseline against itself, and candidates that must fail.

A/A: the baseline's seeds are drawn into two halves, one in the place of the candidate; each draw
that fails, or has no interval, is a false alarm. Controls: a constant answer, predictions shuffled
over utterances, and predictions made 6 points worse; each of them must fail. (A constant answer
may have no PCC, or be equally far off for every speaker; not to be comparable is enough then.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from serlab.bench.errors import NotComparable
from serlab.bench.metrics.base import evaluate, metric
from serlab.bench.seeds import generator
from serlab.bench.statistics.records import ArmPredictions, Array
from serlab.reports.gate.baseline import Baseline
from serlab.reports.gate.judge import bounds, estimate_of, judge
from serlab.reports.gate.records import Check, Outcome
from serlab.reports.gate.tested import Candidate, Tested
from serlab.reports.words import plural

DRAWS = 200
WORSE = 0.06
"""What the last control has lost."""
MOST_FALSE = 0.05
"""Share of the A/A draws that may fail."""


def selfcheck(baseline: Baseline, *, draws: int = DRAWS) -> tuple[Check, ...]:
    """The A/A draws and the controls."""
    controls = {"majority": constant, "shuffled": shuffled, "6 points worse": worse}
    return (
        against_itself(baseline, draws),
        *(_control(baseline, name, spoil) for name, spoil in controls.items()),
    )


def against_itself(baseline: Baseline, draws: int = DRAWS) -> Check:
    """Halves of the seeds against each other; fails where more than 5 % of them do."""
    rng, found = generator(0, "gate", "against itself"), Counter[str]()
    seeds = np.array(baseline.terms.every)
    half = len(seeds) // 2
    if half < 2:
        text = f"{plural(len(seeds), 'seed')}; halves of a baseline need four or more"
        return Check(
            name="against itself", kind="control", outcome=Outcome.NOT_JUDGED, sentence=text
        )
    for _ in range(draws):
        drawn = rng.permutation(seeds)
        found[_verdict(baseline, drawn[:half], drawn[half : 2 * half])] += 1
    n_alarms = draws - found["pass"] - found["inconclusive"]
    text = f"{n_alarms} of {draws} draws of {half} against {half} seeds are false alarms, "
    text += f"{found['pass']} pass, {found['inconclusive']} are inconclusive"
    return Check(
        name="against itself",
        kind="control",
        outcome=Outcome.FAIL if n_alarms > MOST_FALSE * draws else Outcome.PASS,
        sentence=text,
        numbers={"draws": draws, "seeds_a_side": half, "false_alarms": n_alarms / draws, **found},
    )


def _verdict(baseline: Baseline, ours: Array, theirs: Array) -> str:
    """One draw, at the error of a single look."""
    seeds = tuple(range(len(ours)))
    terms = replace(baseline.terms, extension=(), seeds=seeds)
    left = {c: _renamed(t, ours) for c, t in baseline.tested.items()}
    right = {c: _renamed(t, theirs) for c, t in baseline.tested.items()}
    drawn = replace(baseline, terms=terms, tested=left)
    half = Candidate(name="half", tested=right)
    try:
        return bounds(drawn, estimate_of(drawn, half, seeds)).verdict
    except NotComparable:
        return "without an interval"


def _renamed(tested: Tested, seeds: Array) -> Tested:
    """Some of the seeds, called 0, 1, 2: pairs have nothing in common."""
    held = tested.predictions
    scores = held.rows([int(seed) for seed in seeds])
    return replace(tested, predictions=replace(held, seeds=tuple(range(len(seeds))), scores=scores))


# --- controls ------------------------------------------------------------------------------

Spoil = Callable[[ArmPredictions, str, np.random.Generator], Array]
"""From predictions, the metric and a source of chance to other scores (seed, row, class)."""


def _control(baseline: Baseline, name: str, spoil: Spoil) -> Check:
    terms = baseline.terms
    tested = {}
    for corpus, one in baseline.tested.items():
        rng = generator(0, "gate", name, corpus)
        scores = spoil(one.predictions, terms.metric, rng)
        predictions = replace(one.predictions, scores=scores)
        tested[corpus] = replace(one, predictions=predictions, conditions={})
    bare = replace(baseline, terms=replace(terms, robustness={}, fairness={}))
    check = judge(bare, Candidate(name=name, tested=tested))[0]
    held = check.outcome is Outcome.NOT_COMPARABLE and spoil is constant
    fails = check.outcome is Outcome.FAIL or held
    text = check.sentence if fails else f"it does not fail: {check.sentence}"
    return Check(
        name=name,
        kind="control",
        outcome=Outcome.PASS if fails else Outcome.FAIL,
        sentence=text,
        numbers=check.numbers,
    )


def constant(held: ArmPredictions, name: str, rng: np.random.Generator) -> Array:
    """The most frequent class always, or the mean value."""
    if held.truth.ndim > 1:
        mean = held.truth.mean(axis=0).astype(np.float32)
        return np.broadcast_to(mean, held.scores.shape).copy()
    scores = np.zeros_like(held.scores)
    scores[:, :, np.bincount(held.truth).argmax()] = 1.0
    return scores


def shuffled(held: ArmPredictions, name: str, rng: np.random.Generator) -> Array:
    """The predictions of each seed, given to other rows."""
    order = [rng.permutation(held.scores.shape[1]) for _ in held.seeds]
    return np.stack([one[rows] for one, rows in zip(held.scores, order, strict=True)])


def worse(held: ArmPredictions, name: str, rng: np.random.Generator) -> Array:
    """Each seed's predictions, mixed with shuffled ones until the metric has lost 6 points.

    Rows are spoilt in a random order, as many as it takes.
    """
    sign = 1.0 if metric(name).higher_is_better else -1.0
    pairs = zip(held.scores, shuffled(held, name, rng), strict=True)
    return np.stack([_mixed(held.truth, *pair, name, sign, rng) for pair in pairs])


def _mixed(
    truth: Array, clean: Array, other: Array, name: str, sign: float, rng: np.random.Generator
) -> Array:
    """The fewest rows of the other, in a random order, that lose 6 points, found by halving."""
    order, before = rng.permutation(len(clean)), evaluate(name, truth, clean)

    def mixed(n: int) -> Array:
        scores = clean.copy()
        scores[order[:n]] = other[order[:n]]
        return scores

    low, high = 0, len(clean)
    while high - low > 1:
        middle = (low + high) // 2
        enough = sign * (before - evaluate(name, truth, mixed(middle))) >= WORSE
        low, high = (low, middle) if enough else (middle, high)
    return mixed(high)
