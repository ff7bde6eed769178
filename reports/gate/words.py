"""What the outputs of a gate share: the order of checks, and their numbers as words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from serlab.reports.gate.baseline import Baseline
from serlab.reports.gate.records import EXIT_CODES, Check, Outcome, Result
from serlab.reports.words import clean, count, in_points, margin_words, number, plural, title_of

WORST_FIRST = (*EXIT_CODES, Outcome.WARN, Outcome.UNCLEAR, Outcome.NOT_JUDGED, Outcome.PASS)


def worst_first(checks: Iterable[Check]) -> list[Check]:
    """The checks by how they ended; those that ended alike stay in order."""
    return sorted(checks, key=lambda check: WORST_FIRST.index(check.outcome))


def parted(result: Result) -> tuple[list[Check], list[Check]]:
    """The checks that the exit code rests on, and the slices."""
    slices = [check for check in result.checks if check.kind == "slice"]
    return [check for check in result.checks if check.kind != "slice"], slices


def told(result: Result) -> Check | None:
    """The check whose sentence is the verdict's."""
    return next((check for check in result.checks if check.outcome is result.outcome), None)


def subject(result: Result) -> str:
    """What was held against what."""
    pair = f"candidate {clean(result.candidate)}, baseline {clean(result.baseline)}"
    what = " / ".join(clean(part) for part in (result.study, result.arm) if part)
    return f"{pair} ({what})" if what else pair


def real(check: Check, key: str) -> float | None:
    """One of the check's numbers, where it is there and a number."""
    value = check.numbers.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def difference_of(check: Check, metric: str) -> str:
    """``−0.4 points [−1.2, +0.4]``; empty where the check has no difference."""
    mean, low, high = (real(check, key) for key in ("difference", "low", "high"))
    if mean is None:
        return ""
    scale, digits, unit = (100, 1, " points") if in_points(metric) else (1, 3, "")
    value = f"{number(mean * scale, digits, sign=True)}{unit}"
    if low is None or high is None:
        return value
    low_text, high_text = (number(v * scale, digits, sign=True) for v in (low, high))
    return f"{value} [{low_text}, {high_text}]"


def margin_of(check: Check, metric: str) -> str:
    """``2 points``; empty where the check has no margin."""
    margin = real(check, "margin")
    return "" if margin is None else margin_words(margin, metric)


def power_of(check: Check) -> str:
    """``84 %``: how probable a pass is where nothing has changed; empty where it is not known."""
    power = real(check, "power")
    return "" if power is None else f"{power * 100:.0f} %"


def grounds(result: Result) -> str:
    """What the verdict rests on: metric, seeds, speakers, margin, power; empty if not known."""
    if not result.metric:
        return ""
    facts = [title_of(result.metric)]
    first = next((check for check in result.checks if check.kind == "accuracy"), None)
    for key, noun in (("n_seeds", "seed"), ("n_speakers", "speaker")):
        n = real(first, key) if first else None
        facts += [plural(round(n), noun)] if n is not None else []
    facts.append(f"margin {margin_words(result.margin, result.metric)}")
    power = power_of(first) if first else ""
    return ", ".join([*facts, f"power {power} where nothing has changed"] if power else facts)


def slices_words(result: Result) -> str:
    """``11 of 12 slices pass, 1 not judged``; empty where there are none."""
    _, slices = parted(result)
    counts = Counter(check.outcome for check in slices)
    rest = [outcome for outcome in WORST_FIRST if outcome in counts and outcome is not Outcome.PASS]
    head = f"{counts[Outcome.PASS]} of {plural(len(slices), 'slice')} pass"
    return ", ".join([head, *(f"{counts[o]} {o.value}" for o in rest)]) if slices else ""


def policy_words(result: Result) -> str:
    """What an inconclusive check does here; empty where there is none."""
    if all(check.outcome is not Outcome.INCONCLUSIVE for check in result.checks):
        return ""
    if result.inconclusive == "warn":
        return "inconclusive is let through (--inconclusive warn)"
    return "inconclusive does not pass (--inconclusive fail)"


def terms_words(baseline: Baseline) -> str:
    """What a baseline fixes, for the person who has recorded it."""
    terms = baseline.terms
    seeds = f"{plural(len(terms.seeds), 'seed')}"
    seeds += f", {len(terms.extension)} more where inconclusive" if terms.extension else ""
    lines = [f"{baseline.path}: {clean(terms.study)} / {clean(terms.arm)}, {seeds}"]
    for corpus in terms.corpora:
        value = number(sum(corpus.values) / len(corpus.values))
        lines.append(
            f"  {clean(corpus.name)}: {title_of(terms.metric)} {value} over "
            f"{count(corpus.n_utterances)} utterances, {plural(corpus.n_speakers, 'speaker')}"
        )
    lines.append(f"  margin {margin_words(terms.margin, terms.metric)}: {terms.margin_from}")
    for name, floor in terms.robustness.items():
        loss = margin_words(round(floor.loss, 4), terms.metric)
        lines.append(
            f"  {name}: at least {floor.unchanged:.1%} unchanged, a loss of {loss} at most"
        )
    for name, gap in terms.fairness.items():
        largest = margin_words(round(gap.largest, 4), terms.metric)
        lines.append(f"  {name}: a gap of {largest} at most")
    return "\n".join(lines)
