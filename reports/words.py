"""Numbers, names and marks as the words that tables, figures and the page print."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from serlab.bench.metrics.base import METRICS, metric
from serlab.bench.statistics.corpora import Summary
from serlab.bench.statistics.records import Estimate
from serlab.reports.records import Arm, Block

MINUS = "\N{MINUS SIGN}"
DAGGER = "\N{DAGGER}"
"""Stands beside the name of a transductive arm."""
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)


def clean(text: object) -> str:
    """The text on one line, without characters that control, turn or hide it (or are no XML)."""
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
    for part in re.split(rf"(?<=[=_,; -])(?!{DAGGER})", clean(text)):
        if held[-1] and len(held[-1]) + len(part) > width:
            held.append("")
        held[-1] += part
    kept = [*held[: lines - 1], "".join(held[lines - 1 :])]
    return "\n".join(short(line, width) for line in kept if line)


_MARKUP = re.compile(rf"[\\`*_{{}}#|~$]|\[(?![+{MINUS}]?\d[^\[\]a-z]*\](?![\[(:]))")
"""What Markdown reads as more than text; an interval's brackets are none of it."""
_FIRST = re.compile(r"^(?:(?=[+-](?:\s|$)|--|==*$)|(\d{1,9})(?=[.)](?:\s|$)))")
"""What it takes for a list, a rule or a heading at the beginning of a line."""
_REFERENCE = re.compile(
    r"@(?=\w)|#(?=\d)|(?i:\bgh-)(?=\d)|:(?=//)|(?<!\d):(?=[\w+-]+:)|(?i:www)(?=\.)"
)
"""What GitHub links or notifies by, after Markdown was read: no backslash keeps it from that."""


def markdown_text(text: object) -> str:
    """The text on one line, in which no character means anything to Markdown, HTML or GitHub.

    Users and teams that are mentioned, issues and addresses are broken by a space of no width.
    """
    safe = _REFERENCE.sub("\\g<0>\N{ZERO WIDTH SPACE}", clean(text))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    safe = _FIRST.sub(r"\g<0>\\", _MARKUP.sub(r"\\\g<0>", safe))
    return safe.replace("\N{ZERO WIDTH SPACE}", "&#8203;")


# --- numbers -------------------------------------------------------------------------------


def places(estimate: Estimate | Summary) -> int:
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


def interval(estimate: Estimate | Summary | None, *, sign: bool = False) -> str:
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


def p_is(p: float | None) -> str:
    """``= 0.012`` or ``< 0.001``, to stand after "p"."""
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def in_points(name: str) -> bool:
    """Whether differences in the metric are told in points; those of traces are told as such."""
    return metric(name).task == "categorical"


def difference_in(value: float, name: str, *, sign: bool = False) -> str:
    """A difference in a metric: ``4.3 points``, or ``0.043`` for traces."""
    value = value if sign else abs(value)
    if not in_points(name):
        return number(value, sign=sign)
    text = number(value * 100, 1, sign=sign)
    return f"{text} point{'' if text.lstrip('+' + MINUS) == '1.0' else 's'}"


def margin_words(margin: float, name: str) -> str:
    """A margin as it was written: ``2 points``, or ``0.02`` for traces."""
    if not in_points(name):
        return f"{margin:g}"
    text = f"{margin * 100:g}"
    return f"{text} point{'' if text == '1' else 's'}"


def count(value: float | None) -> str:
    """A whole number with thin spaces between thousands."""
    return "–" if value is None else f"{round(value):,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def significant(value: float | None, digits: int = 3) -> str:
    """A number with so many digits that tell, never in powers of ten.

    Example:
        >>> significant(0.0123456), significant(2.0), significant(1234.5)
        ('0.0123', '2.00', '1\u202f234')
    """
    if value is None or not math.isfinite(value):
        return "–"
    size = math.floor(math.log10(abs(value))) if value else 0
    return count(value) if size >= digits else number(value, digits - 1 - size)


def compact(value: float | None) -> str:
    """A count in thousands, millions or billions: ``93.6 k``, ``1.20 M``."""
    if value is None:
        return "–"
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{significant(value / size)} {letter}"
    return count(value)


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
    if unit == "share":
        return number(value)
    if unit in {"bytes", "B", "byte"}:
        size, name = (2**20, "MiB") if value >= 2**20 else (2**10, "KiB")
        return f"{count(value / size) if value >= 10 * size else f'{value / size:.2g}'} {name}"
    return f"{value:,.4g} {unit}".strip()


def listed(items: list[str] | tuple[str, ...]) -> str:
    """``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def plural(n: int, noun: str) -> str:
    """``1 seed``, ``3 seeds``."""
    return f"{n} {noun}{'' if n == 1 else 's'}"


def are_not(n: int) -> str:
    """``1 is not``, ``3 are not``."""
    return f"{n} {'is' if n == 1 else 'are'} not"


_LONG_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.])")


def label(name: object) -> str:
    """An arm's name as it is shown: on one line, its long fractions with six digits.

    Example:
        >>> label("learning_rate=0.00031622776601683794, epochs=20")
        'learning_rate=0.000316228, epochs=20'
    """
    return _LONG_NUMBER.sub(_shorter, clean(name))


def _shorter(found: re.Match[str]) -> str:
    """Six digits of what is a float written in full; a version or a count stays."""
    text = found[0]
    written = ("." in text or "e" in text) and repr(float(text)) == text
    return min(text, f"{float(text):g}", key=len) if written else text


def tagged(arm: Arm) -> str:
    """An arm's name in a figure, with a dagger where `marks_of` explains it."""
    return f"{label(arm.name)} {DAGGER}" if arm.transductive else label(arm.name)


def named(arm: Arm) -> str:
    """An arm's name in a sentence, marked where it is transductive."""
    return f"{label(arm.name)} (TRANSDUCTIVE)" if arm.transductive else label(arm.name)


def marks_of(block: Block, arms: Iterable[Arm]) -> tuple[str, ...]:
    """What a figure or table of these arms must say; a picture holds what is before the colon."""
    return block.corpus.marks + tuple(
        f"{DAGGER} TRANSDUCTIVE: {label(arm.name)}: {clean(arm.transductive)}"
        for arm in arms
        if arm.transductive
    )


def cost_title(name: str) -> str:
    """A cost in a sentence: latency, parameters, MACs."""
    return {"macs": "MACs", "latency_p50": "latency"}.get(name, clean(name))


def title_of(name: str) -> str:
    """A metric's short title, such as UA."""
    return metric(name).title if name in METRICS.entries() else name
