"""A kept model, asked again, held against what it said when the baseline was recorded."""

from __future__ import annotations

import numpy as np

from serlab.bench.contracts import Predictions
from serlab.bench.errors import NotComparable
from serlab.bench.statistics.agreement import Agreement, Answers, agreement
from serlab.reports.gate.baseline import Baseline
from serlab.reports.gate.records import Check, Outcome
from serlab.reports.words import plural


def checkpoint_check(baseline: Baseline, now: Answers, tolerance: float) -> Check:
    """Whether a model says what it said, within a tolerance of its scores.

    An utterance that is given another class fails it, however small the difference.

    Args:
        baseline: holds the predictions of the same seed and fold.
        now: what the model says of that fold's test part.
        tolerance: the largest difference that is none; 0 asks for the same bits.

    Raises:
        NotComparable: it is of another variant, or the baseline has no such corpus, seed or
            fold, or other utterances in it.
        BadValue: a score is not finite, or the tolerance is none.
    """
    found = agreement(_recorded(baseline, now), now, tolerance=tolerance)
    holds = found.holds and not found.changed
    return Check(
        name=f"checkpoint {now.corpus} fold {now.fold} seed {now.seed}",
        kind="checkpoint",
        outcome=Outcome.PASS if holds else Outcome.FAIL,
        sentence=_sentence(found),
        numbers={
            "n_utterances": found.n_utterances,
            "n_changed": len(found.changed),
            "n_beyond": len(found.beyond),
            "largest_difference": found.largest,
            "tolerance": tolerance,
        },
    )


def _sentence(found: Agreement) -> str:
    of = plural(found.n_utterances, "utterance")
    if not found.largest:
        return f"the model says the same of {of}, bit for bit"
    where = f"largest difference of a score {found.largest:.3g}, {found.label} of {found.at}"
    text = f"{len(found.changed)} of {of} are given another class; {where}"
    if found.holds and not found.changed:
        return f"{text}; within the tolerance of {found.tolerance:g}"
    beyond = f"{len(found.beyond)} differ by more than {found.tolerance:g}"
    return f"{text}; {beyond}"


def _recorded(baseline: Baseline, now: Answers) -> Answers:
    """What the baseline holds of the same seed and fold."""
    tested = baseline.tested.get(now.corpus)
    if tested is None:
        known = ", ".join(baseline.tested)
        raise NotComparable(f"the model is of the corpus {now.corpus}, the baseline of {known}")
    held = tested.predictions
    if now.seed not in held.seeds:
        raise NotComparable(f"the baseline has no seed {now.seed}, which the model is of")
    rows = [i for i, fold in enumerate(tested.folds) if fold == now.fold]
    if not rows:
        raise NotComparable(f"the baseline has no fold {now.fold}, which the model was tested on")
    prefix = f"{now.fold}/"  # of utterances that several folds test
    asked = set(now.predictions.ids)
    names = [held.ids[i] for i in rows]
    return Answers(
        trial="",
        arm=baseline.terms.arm,
        variant=baseline.terms.variant,
        corpus=now.corpus,
        split=held.split,
        fold=now.fold,
        seed=now.seed,
        labels=held.labels,
        predictions=Predictions(
            ids=tuple(n if n in asked else n.removeprefix(prefix) for n in names),
            speakers=tuple(held.speakers[i] for i in rows),
            parts=("test",) * len(rows),
            truth=held.truth[rows],
            scores=held.scores[held.seeds.index(now.seed)][rows].astype(np.float32),
            frames=tuple(int(f) for f in held.frames[rows]) if held.frames.size else (),
        ),
    )
