"""What the comparisons show, and how they were made, in sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from serlab.reports.records import (
    SELECTING,
    Arm,
    Block,
    CorpusFacts,
    Counts,
    Effect,
    Pooled,
    Verdict,
)
from serlab.reports.tables import equivalent_words
from serlab.reports.words import (
    clean,
    count,
    difference_in,
    interval,
    label,
    margin_words,
    named,
    p_is,
    plural,
    title_of,
)

HEADLINES = {
    Verdict.BETTER: "better than the base",
    Verdict.WORSE: "worse than the base",
    Verdict.SAME: "no difference as large as the margin",
    Verdict.UNCLEAR: "no difference shown",
}

SYMBOLS = {
    Verdict.BETTER: "▲",
    Verdict.WORSE: "▼",
    Verdict.SAME: "=",
    Verdict.UNCLEAR: "○",
}


def verdict_sentence(arm: Arm, block: Block) -> str:
    """One sentence that says what the comparison with the base shows, with its interval."""
    effect = arm.effect
    if effect is None:
        return f"{named(arm)}: not compared with the base: {arm.no_effect}."
    estimate, study = effect.estimate, block.study
    what = f"{title_of(study.metric)} {interval(estimate, sign=True)} against the base"
    size = difference_in(estimate.mean, study.metric)
    body = {
        Verdict.BETTER: f"better by {size}",
        Verdict.WORSE: f"worse by {size}",
        Verdict.SAME: f"does nothing as large as {margin_words(study.margin, study.metric)}",
        Verdict.UNCLEAR: "no difference shown",
    }[effect.verdict]
    return f"{named(arm)}: {body} ({what}{_p_words(effect)}); {_beyond(effect, block)}."


def _p_words(effect: Effect) -> str:
    if effect.p_holm is None:
        return ""
    holm = "p (Holm)" if effect.n_comparisons > 1 else "p"
    return f", {holm} {p_is(effect.p_holm)}"


def _beyond(effect: Effect, block: Block) -> str:
    """How the interval lies to the margin, what would have been found, and what it lacks."""
    estimate, margin = effect.estimate, block.study.margin
    width = margin_words(margin, block.study.metric)
    if effect.verdict is Verdict.SAME:
        return f"no difference as large as the margin: {equivalent_words(effect)}"
    if effect.verdict is Verdict.UNCLEAR:
        least = estimate.smallest_detectable
        known = least is not None and math.isfinite(least)
        tail = (
            f"; about {difference_in(least, block.study.metric)} could have been detected"
            if known and least
            else ""
        )
        return f"a difference of {width} is not ruled out{tail}{_lacking(effect, width)}"
    if max(abs(estimate.low), abs(estimate.high)) < margin:
        return f"by less than the margin of {width}"
    inner = min(abs(estimate.low), abs(estimate.high))
    if inner >= margin and estimate.low * estimate.high > 0:
        return f"by more than the margin of {width}"
    return f"whether by the margin of {width} stays open"


def _lacking(effect: Effect, width: str) -> str:
    """About how many seeds or speakers more would find a difference of the margin."""
    needs = {"seed": effect.more_seeds, "speaker": effect.more_speakers}
    more = {noun: need.more for noun, need in needs.items() if need and need.more is not None}
    if 0 in more.values() or not effect.estimate.squares.estimable:
        return ""
    if not more:
        return f"; to find one of {width} it takes both more seeds and more speakers"
    told = [plural(n, f"more {noun}") for noun, n in more.items()]
    alone = [f"no number of {noun}s alone would" for noun in needs if noun not in more]
    tail = f" ({alone[0]})" if alone else ""
    return f"; about {' or '.join(told)} would find one of {width} with a power of 80 %{tail}"


def base_sentence(block: Block) -> str:
    """One sentence on the base itself."""
    base = block.base
    score = base.scores.get(block.study.metric) if base else None
    if base is None or score is None or base.pooled is None:
        return "The base has no seed whose folds all completed, so nothing can be compared yet."
    mark = " (TRANSDUCTIVE)" if base.transductive else ""
    text = f"Base {clean(base.system) or label(base.name)}{mark}: {title_of(block.study.metric)} "
    text += interval(score.pooled)
    held = base.pooled
    return f"{text} pooled over {_basis(held)} of {clean(block.corpus.name)}."


def _basis(held: Pooled) -> str:
    n_speakers = len(set(held.speakers))
    tested = f"{count(held.n_utterances)} test utterances"
    if held.frames.size:
        tested = f"{count(len(held.ids))} frames of {tested}"
    return f"{tested}, {plural(n_speakers, 'speaker')} and {plural(len(held.seeds), 'seed')}"


def counts_sentence(counts: Counts) -> str:
    """How many of the planned trainings ended how."""
    told = [f"{counts.completed} of {counts.planned} planned trainings completed"]
    for name in ("pruned", "failed", "diverged", "skipped"):
        n = getattr(counts, name)
        told += [f"{n} {name}"] if n else []
    told += [f"{counts.missing} not run"] if counts.missing > 0 else []
    return ", ".join(told) + "."


NORMALISATIONS = {
    "none": "features are not normalised",
    "train": "features are normalised with statistics of the training part alone",
    "speaker": "features are normalised per speaker, test speakers included (TRANSDUCTIVE)",
    "corpus": "features are normalised per corpus, the tested one included (TRANSDUCTIVE)",
}

SELECTIONS = {
    "validation-score": "the epoch is chosen by {score} on validation speakers",
    "validation-ua": "the epoch is chosen by {score} on validation speakers",
    "validation-loss": "the epoch is chosen by the loss on validation speakers",
    "last-epoch": "the last epoch is taken",
}


UNITS = {"leave-one-session-out": "session", "sentence-groups": "sentence"}
"""What is held out to select, where it is no speaker."""


def protocol_words(corpus: CorpusFacts) -> str:
    """The protocol as a reader of a paper would want it told."""
    held: Mapping[str, Any] = corpus.protocol
    split = clean(held.get("split", "unknown split")).replace("-", " ")
    parts = [f"{split}, {plural(len(corpus.folds), 'fold')}"]
    if held.get("max_folds"):
        parts[0] += f" (only the first {held['max_folds']} are run)"
    if held.get("validation"):
        unit = UNITS.get(str(held.get("split")), "speaker")
        parts.append(f"{plural(held['validation'], unit)} of the training side held out to select")
    parts.append(NORMALISATIONS.get(str(held.get("normalisation")), "normalisation not recorded"))
    selection = SELECTIONS.get(str(held.get("selection")), "selection not recorded")
    parts.append(selection.format(score=title_of(SELECTING[corpus.target])))
    if not corpus.leaks:
        parts.append("nothing is selected on a test part")
    return f"{'; '.join(parts)}. Split {clean(corpus.split)}."


def methods(block: Block) -> str:
    """The paragraph on statistics, for a paper's methods section."""
    study, level = block.study, f"{block.study.level:.0%}"
    n = max((a.effect.n_comparisons for a in block.arms if a.effect), default=0)
    holm = f" P values of the {n} comparisons are adjusted by Holm's method." if n > 1 else ""
    return (
        f"{_computed(block)} Every "
        f"arm meets the same folds and seeds as the base, so differences are paired. Speakers "
        f"and training seeds are crossed random factors; intervals are {level} with "
        f"Satterthwaite's degrees of freedom, and folds are not treated as replicates.{holm} "
        f"Intervals of single arms are cut at the metric's range. The margin of "
        f"{margin_words(study.margin, study.metric)} was fixed in the study before it ran. “No "
        f"difference shown” is not evidence of equality; an arm is called equivalent only where "
        f"the interval lies inside the margin and two one-sided tests (Schuirmann 1987)"
        f"{', adjusted by Holm’s method' if n > 1 else ''} have p < {1 - study.level:.2g}. "
        f"Numbers of seeds or speakers that a comparison lacks are planned from the variances "
        f"found, and are rough."
    )


def _computed(block: Block) -> str:
    title = title_of(block.study.metric)
    if block.corpus.target == "traces":
        return (
            f"{title} is computed for each dimension over the frames of all test utterances of all "
            f"folds, one after the other (pooled), for each training seed, and averaged over "
            f"dimensions and seeds; what a speaker adds to it is had by leaving the speaker out "
            f"(jackknife). Over folds means that the frames of each fold are joined on their own."
        )
    return (
        f"{title} is computed over all test utterances of all folds together (pooled), for each "
        f"training seed, and averaged over seeds; classes are the corpus's declared ones."
    )
