"""What the data check finds in a corpus: one function for each thing that may be wrong."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from serlab.bench.contracts import Corpus, Utterance
from serlab.bench.corpora.base import CORPORA
from serlab.bench.hearing import Heard

Severity = Literal["unusable", "problem", "note"]

OWNED_SHARE = 0.2
"""A speaker of this share of a corpus, and of twice an equal share, is told."""

_FAULTS: Mapping[str, tuple[Severity, str, str]] = {
    "silent": ("problem", "is silent", "are silent"),
    "clipped": ("problem", "is clipped", "are clipped"),
    "too short": ("problem", "is too short", "are too short"),
    "dc offset": ("note", "has a DC offset", "have a DC offset"),
    "words": ("problem", "has words outside its audio", "have words outside their audio"),
    "traces": ("problem", "has traces of another length", "have traces of another length"),
}
"""Kinds of fault of one utterance: how bad, and what is said of one and of several."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that was found, with the utterances that it concerns."""

    kind: str
    severity: Severity
    ids: tuple[str, ...]
    text: str


def findings(
    corpus: Corpus, heard: Sequence[Heard], across: Sequence[Problem] = ()
) -> list[Problem]:
    """All that is found in a corpus and, by `shared`, across it and others; worst first."""
    good = [h for h in heard if not h.error]
    found = [
        *_file_findings(heard),
        *_missing_parts(corpus),
        *_duplicates(good),
        *across,
        *_label_findings(corpus),
        *_speaker_findings(corpus),
        *_vector_findings(corpus),
        *_trace_findings(corpus, good),
        *_count_findings(corpus),
        *_rate_findings(good),
        *_unusable(corpus, good),
    ]
    order = ("unusable", "problem", "note")
    return sorted(found, key=lambda finding: order.index(finding.severity))


def shared(mine: tuple[Corpus, Sequence[Heard]], other: tuple[Corpus, Sequence[Heard]]) -> Problem:
    """Recordings of a corpus that another one has as well; none where ``ids`` is empty."""
    held = {h.content: h.utterance for h in other[1] if h.content}
    pairs = [(h.utterance, held[h.content]) for h in mine[1] if h.content in held]
    shown = "; ".join(f"{u.id} is {v.id}{_who((u, v))}" for u, v in pairs[:3])
    more = "; ..." if len(pairs) > 3 else ""
    text = f"{len(pairs)} recordings are also in {other[0].name}: {shown}{more}"
    ids = tuple(u.id for u, _ in pairs)
    return Problem(kind="in another corpus", severity="problem", ids=ids, text=text)


# --- files ----------------------------------------------------------------------------------


def _file_findings(heard: Sequence[Heard]) -> Iterator[Problem]:
    """One finding for each broken file, one for each kind of fault."""
    for h in heard:
        if h.error:
            broken = (h.utterance.id,)
            yield Problem(kind="unreadable", severity="problem", ids=broken, text=h.error)
    faulty: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for h in heard:
        for fault in h.faults:
            faulty[fault.kind].append((h.utterance.id, fault.what))
    for kind, cases in faulty.items():
        severity, one, several = _FAULTS[kind]
        ids = tuple(i for i, _ in cases)
        said = one if len(ids) == 1 else several
        text = f"{_some(ids)} {said} ({cases[0][0]}: {cases[0][1]})"
        yield Problem(kind=kind, severity=severity, ids=ids, text=text)


def _missing_parts(corpus: Corpus) -> Iterator[Problem]:
    """What only some of the utterances have: audio, or a vector."""
    names = sorted({name for u in corpus.utterances for name in u.supplied})
    lacking = {
        f'vector "{n}"': [u for u in corpus.utterances if n not in u.supplied] for n in names
    }
    lacking["audio"] = [u for u in corpus.utterances if u.audio is None]
    for what, without in lacking.items():
        if 0 < len(without) < len(corpus.utterances):
            ids = tuple(u.id for u in without)
            text = f"{_some(ids)} {_have(ids)} no {what}, such as {ids[0]}; the others have one"
            yield Problem(kind="missing part", severity="problem", ids=ids, text=text)


def _duplicates(heard: Sequence[Heard]) -> Iterator[Problem]:
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for h in heard:
        if h.content:
            groups[h.content].append(h.utterance)
    for group in groups.values():
        if len(group) > 1:
            ids = tuple(u.id for u in group)
            text = f"{' and '.join(ids)} are the same recording{_who(group)}"
            yield Problem(kind="duplicate", severity="problem", ids=ids, text=text)


def _who(group: Sequence[Utterance]) -> str:
    speakers = sorted({u.speaker for u in group})
    labels = sorted({u.emotion or "no label" for u in group})
    names = f", by {' and '.join(speakers)}: one speaker under two names?"
    clash = f"; the labels differ: {', '.join(labels)}"
    return (names if len(speakers) > 1 else "") + (clash if len(labels) > 1 else "")


def _rate_findings(heard: Sequence[Heard]) -> Iterator[Problem]:
    rates = Counter(h.rate_hz for h in heard if h.rate_hz)
    if len(rates) < 2:
        return
    usual = rates.most_common(1)[0][0]
    ids = tuple(h.utterance.id for h in heard if h.rate_hz not in (0, usual))
    text = f"{_some(ids)} {_be(ids)} not at {usual} Hz as the others are; rates may tell classes"
    yield Problem(kind="mixed rates", severity="note", ids=ids, text=text)


# --- labels and speakers --------------------------------------------------------------------


def _label_findings(corpus: Corpus) -> Iterator[Problem]:
    bare = [u for u in corpus.utterances if u.emotion is None and u.traces is None]
    named = [u for u in bare if "label" in u.facts]
    if named:
        called = Counter(u.facts["label"] for u in named).most_common()
        counts = ", ".join(f"{label} {n}" for label, n in called[:12])
        more = ", ..." if len(called) > 12 else ""
        ids = tuple(u.id for u in named)
        text = f"{_some(ids)} {_be(ids)} of no class here: {counts}{more}"
        yield Problem(kind="no class", severity="note", ids=ids, text=text)
    if len(named) < len(bare):
        ids = tuple(u.id for u in bare if "label" not in u.facts)
        text = f"{_some(ids)} {_have(ids)} no label"
        yield Problem(kind="missing label", severity="problem", ids=ids, text=text)
    unknown: dict[str, list[str]] = defaultdict(list)
    for u in corpus.utterances:
        if u.emotion is not None and u.emotion not in corpus.labels:
            unknown[u.emotion].append(u.id)
    for label, whose in sorted(unknown.items()):
        near = difflib.get_close_matches(label.lower(), corpus.labels, n=1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(corpus.labels)}"
        text = f'{_some(whose)} {_be(whose)} labelled "{label}", which is no label here; {hint}'
        yield Problem(kind="unknown label", severity="problem", ids=tuple(whose), text=text)


def _speaker_findings(corpus: Corpus) -> Iterator[Problem]:
    """Speakers of one class only, and one who owns much of the corpus."""
    classes: dict[str, set[str]] = defaultdict(set)
    for u in corpus.utterances:
        if u.emotion is not None:
            classes[u.speaker].add(u.emotion)
    single = {speaker: held for speaker, held in classes.items() if len(held) == 1}
    if single and len(corpus.labels) > 1:
        shown = ", ".join(f"{s} ({next(iter(c))})" for s, c in sorted(single.items())[:4])
        text = (
            f"{len(single)} of {len(classes)} speakers are heard in one class only: {shown}"
            f"{', ...' if len(single) > 4 else ''}; telling speakers apart tells classes apart"
        )
        ids = tuple(u.id for u in corpus.utterances if u.speaker in single)
        yield Problem(kind="one-class speaker", severity="problem", ids=ids, text=text)
    n_spoken = Counter(u.speaker for u in corpus.utterances)
    for speaker, n in n_spoken.items():
        if n >= max(OWNED_SHARE, 2 / len(n_spoken)) * len(corpus.utterances):
            ids = tuple(u.id for u in corpus.utterances if u.speaker == speaker)
            text = (
                f"{speaker} speaks {n} of {len(corpus.utterances)} utterances "
                f"({n / len(corpus.utterances):.0%}), of {len(n_spoken)} speakers"
            )
            yield Problem(kind="dominant speaker", severity="note", ids=ids, text=text)


def _count_findings(corpus: Corpus) -> Iterator[Problem]:
    """Where the corpus is not of the published size: part of it, or another release."""
    entry = CORPORA.entries().get(corpus.name)
    held = Counter(u.emotion for u in corpus.utterances)
    expected = entry.facts.get("counts", {}) if entry else {}
    other = [f"{c}: {held[c]} of {n}" for c, n in expected.items() if held[c] != n]
    if other:
        text = f"not as many utterances as published: {', '.join(other)}"
        yield Problem(kind="count", severity="note", ids=(), text=text)


# --- vectors and traces ---------------------------------------------------------------------


def _vector_findings(corpus: Corpus) -> Iterator[Problem]:
    """Vectors that the corpus supplies: of unequal lengths, not finite, or with dead columns."""
    for name in sorted({name for u in corpus.utterances for name in u.supplied}):
        held = {u.id: u.supplied[name] for u in corpus.utterances if name in u.supplied}
        lengths = Counter(map(len, held.values()))
        if len(lengths) > 1:
            usual = lengths.most_common(1)[0][0]
            ids = tuple(i for i, vector in held.items() if len(vector) != usual)
            text = f'{_some(ids)} {_have(ids)} a vector "{name}" of another length than {usual}'
            yield Problem(kind="vectors", severity="problem", ids=ids, text=text)
            continue
        values = np.array(list(held.values()), dtype=np.float64)
        finite = np.isfinite(values)
        ids = tuple(np.array(list(held))[~finite.all(axis=1)].tolist())
        if ids:
            text = f'{_some(ids)} {_have(ids)} a vector "{name}" with NaN or infinite values'
            yield Problem(kind="vectors", severity="problem", ids=ids, text=text)
        dead = np.flatnonzero((values == values[:1]).all(axis=0)) if len(values) > 1 else ()
        if len(dead):
            shown = ", ".join(str(column + 1) for column in dead[:5])
            more = ", ..." if len(dead) > 5 else ""
            text = (
                f'{len(dead)} of {values.shape[1]} columns of the vectors "{name}" have one value '
                f"in all utterances (counted from 1: {shown}{more})"
            )
            yield Problem(kind="constant column", severity="note", ids=(), text=text)


def _trace_findings(corpus: Corpus, heard: Sequence[Heard]) -> Iterator[Problem]:
    """Traces of several rates, of other dimensions than the corpus's, or that never change."""
    held = [(h.utterance.id, h.traces) for h in heard if h.traces]
    rates = Counter(traces.rate_hz for _, traces in held)
    if len(rates) > 1:
        usual = rates.most_common(1)[0][0]
        ids = tuple(i for i, traces in held if traces.rate_hz != usual)
        text = f"{_some(ids)} {_have(ids)} traces at another rate than {usual:g} Hz"
        yield Problem(kind="trace rates", severity="problem", ids=ids, text=text)
    width = len(corpus.dimensions)
    ids = tuple(i for i, traces in held if len(traces.low) != width)
    if ids:
        text = f"{_some(ids)} {_have(ids)} not {width} dimensions of traces, as the corpus says"
        yield Problem(kind="trace dimensions", severity="problem", ids=ids, text=text)
        return
    for column, name in enumerate(corpus.dimensions if held else ()):
        low = min(traces.low[column] for _, traces in held)
        if low == max(traces.high[column] for _, traces in held):
            text = f'the traces of "{name}" are {low:g} everywhere'
            yield Problem(kind="constant traces", severity="problem", ids=(), text=text)


def _unusable(corpus: Corpus, good: Sequence[Heard]) -> list[Problem]:
    def problem(text: str) -> list[Problem]:
        return [Problem(kind="unusable", severity="unusable", ids=(), text=text)]

    if not corpus.utterances:
        return problem("the corpus has no utterance")
    if not good:
        return problem("not one file can be read")
    classes = {h.utterance.emotion for h in good if h.utterance.emotion in corpus.labels}
    if len(classes) < 2 and not any(h.traces for h in good):
        held = ", ".join(str(c) for c in classes) or "none"
        return problem(f"two classes at least are needed, and readable utterances have: {held}")
    return []


# --- words ----------------------------------------------------------------------------------


def _some(ids: Sequence[str]) -> str:
    return f"{len(ids)} utterance{'s' if len(ids) != 1 else ''}"


def _be(ids: Sequence[str]) -> str:
    return "is" if len(ids) == 1 else "are"


def _have(ids: Sequence[str]) -> str:
    return "has" if len(ids) == 1 else "have"
