"""Numbers and results as the words that tables, figures and the page print."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from serlab.bench.metrics.base import METRICS, metric
from serlab.bench.statistics.records import Estimate
from serlab.reports.records import Arm, Block, CorpusFacts, Counts, Effect, Pooled, Verdict

MINUS = "\N{MINUS SIGN}"
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]"
)


def clean(text: object) -> str:
    """The text on one line, without control and direction characters (invalid in XML)."""
    plain = str(text).encode("utf-8", "replace").decode("utf-8")
    return _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(plain.split()))


def short(text: object, length: int = 36) -> str:
    """The text with its middle left out where it is too long for a label."""
    whole = clean(text)
    if len(whole) <= length:
        return whole
    head = (length - 1) * 2 // 3
    return f"{whole[:head]}…{whole[head + 1 - length :]}"


def wrapped(text: object, width: int, lines: int = 2) -> str:
    """The text over a few lines, broken at its separators where it can be."""
    held = [""]
    for part in re.split(r"(?<=[=_,; -])", clean(text)):
        if held[-1] and len(held[-1]) + len(part) > width:
            held.append("")
        held[-1] += part
    kept = [*held[: lines - 1], "".join(held[lines - 1 :])]
    return "\n".join(short(line, width) for line in kept if line)


# --- numbers -------------------------------------------------------------------------------


def places(estimate: Estimate) -> int:
    """Decimals that an interval warrants: two digits of its half-width, 3 or 4 of them.

    Example:
        >>> from types import SimpleNamespace
        >>> places(SimpleNamespace(low=0.587, high=0.637))
        3
    """
    half = (estimate.high - estimate.low) / 2
    if not math.isfinite(half) or half <= 0:
        return 3
    return min(4, max(3, 1 - math.floor(math.log10(half))))


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number with a true minus sign; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def interval(estimate: Estimate | None, *, sign: bool = False) -> str:
    """``0.612 [0.587, 0.637]``; the value alone where no interval can be given."""
    if estimate is None:
        return "–"
    digits = places(estimate)
    value = number(estimate.mean, digits, sign=sign)
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return value
    low, high = (number(v, digits, sign=sign) for v in (estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def p_value(p: float | None) -> str:
    """``0.012``, ``< 0.001``, or a dash."""
    if p is None or not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def points(value: float) -> str:
    """A difference of shares in points: ``4.3 points``."""
    text = f"{abs(value) * 100:.1f}"
    return f"{text} point{'' if text == '1.0' else 's'}"


def margin_words(margin: float) -> str:
    """A margin as it was written: ``2 points``."""
    text = f"{margin * 100:g}"
    return f"{text} point{'' if text == '1' else 's'}"


def count(value: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    return "–" if value is None else f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def duration(seconds: float | None) -> str:
    """``820 ms``, ``12.3 s``, ``4 min 10 s``, ``2 h 05 min``."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def amount(value: float | None, unit: str) -> str:
    """A measurement in a unit that reads well."""
    if value is None:
        return "–"
    if unit == "s":
        return duration(value)
    if unit in {"bytes", "B", "byte"}:
        return f"{value / 2**20:,.0f} MiB".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{value:,.4g} {unit}".strip()


def listed(items: list[str] | tuple[str, ...]) -> str:
    """``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def plural(n: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def title_of(name: str) -> str:
    """A metric's short title, such as UA."""
    return metric(name).title if name in METRICS.entries() else name


# --- sentences -----------------------------------------------------------------------------

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
        return f"{clean(arm.name)}: not compared with the base: {arm.no_effect}."
    estimate, study = effect.estimate, block.study
    what = f"{title_of(study.metric)} {interval(estimate, sign=True)} against the base"
    body = {
        Verdict.BETTER: f"better by {points(estimate.mean)}",
        Verdict.WORSE: f"worse by {points(estimate.mean)}",
        Verdict.SAME: "no difference shown",
        Verdict.UNCLEAR: "no difference shown",
    }[effect.verdict]
    return f"{clean(arm.name)}: {body} ({what}{_p_words(effect)}); {_beyond(effect, block)}."


def _p_words(effect: Effect) -> str:
    if effect.p_holm is None:
        return ""
    text = p_value(effect.p_holm)
    sign = " " if text.startswith("<") else " = "
    holm = "p (Holm)" if effect.n_comparisons > 1 else "p"
    return f", {holm}{sign}{text}"


def _beyond(effect: Effect, block: Block) -> str:
    """How the interval lies to the margin, and what would have been found."""
    estimate, margin = effect.estimate, block.study.margin
    width = margin_words(margin)
    if effect.verdict is Verdict.SAME:
        return f"a difference of {width} or more is ruled out"
    if effect.verdict is Verdict.UNCLEAR:
        least = estimate.smallest_detectable
        known = least is not None and math.isfinite(least)
        tail = f"; about {points(least)} could have been detected" if known and least else ""
        return f"a difference of {width} is not ruled out{tail}"
    inner = min(abs(estimate.low), abs(estimate.high))
    if inner >= margin and estimate.low * estimate.high > 0:
        return f"by more than the margin of {width}"
    return f"whether by the margin of {width} stays open"


def base_sentence(block: Block) -> str:
    """One sentence on the base itself."""
    base = block.base
    score = base.scores.get(block.study.metric) if base else None
    if base is None or score is None or base.pooled is None:
        return "The base has no seed whose folds all completed, so nothing can be compared yet."
    text = f"Base {clean(base.system) or clean(base.name)}: {title_of(block.study.metric)} "
    text += interval(score.pooled)
    held = base.pooled
    return f"{text} pooled over {_basis(held)} of {clean(block.corpus.name)}."


def _basis(held: Pooled) -> str:
    n_speakers = len(set(held.speakers))
    return (
        f"{count(len(held.ids))} test utterances, {plural(n_speakers, 'speaker')} and "
        f"{plural(len(held.seeds), 'seed')}"
    )


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
}

SELECTIONS = {
    "validation-ua": "the epoch is chosen by UA on validation speakers",
    "validation-loss": "the epoch is chosen by the loss on validation speakers",
    "last-epoch": "the last epoch is taken",
}


def protocol_words(corpus: CorpusFacts) -> str:
    """The protocol as a reader of a paper would want it told."""
    held: Mapping[str, Any] = corpus.protocol
    split = clean(held.get("split", "unknown split")).replace("-", " ")
    parts = [f"{split}, {plural(len(corpus.folds), 'fold')}"]
    if held.get("max_folds"):
        parts[0] += f" (only the first {held['max_folds']} are run)"
    if held.get("validation"):
        unit = "session" if held.get("split") == "leave-one-session-out" else "speaker"
        parts.append(f"{plural(held['validation'], unit)} of the training side held out to select")
    parts.append(NORMALISATIONS.get(str(held.get("normalisation")), "normalisation not recorded"))
    parts.append(SELECTIONS.get(str(held.get("selection")), "selection not recorded"))
    if not corpus.leaks:
        parts.append("nothing is selected on a test part")
    return f"{'; '.join(parts)}. Split {clean(corpus.split)}."


def methods(block: Block) -> str:
    """The paragraph on statistics, for a paper's methods section."""
    study, level = block.study, f"{block.study.level:.0%}"
    title = title_of(study.metric)
    n = max((a.effect.n_comparisons for a in block.arms if a.effect), default=0)
    holm = f" P values of the {n} comparisons are adjusted by Holm's method." if n > 1 else ""
    return (
        f"{title} is computed over all test utterances of all folds together (pooled), for each "
        f"training seed, and averaged over seeds; classes are the corpus's declared ones. Every "
        f"arm meets the same folds and seeds as the base, so differences are paired. Speakers "
        f"and training seeds are crossed random factors; intervals are {level} with "
        f"Satterthwaite's degrees of freedom, and folds are not treated as replicates.{holm} "
        f"Intervals of single arms are cut at the metric's range. The margin of "
        f"{margin_words(study.margin)} was fixed in the study before it ran. “No "
        f"difference shown” is not evidence of equality; that a difference as large as the "
        f"margin is ruled out is said only where the interval lies inside the margin."
    )
