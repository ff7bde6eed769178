"""The data check: reads every file of a corpus and tells what is there and what is wrong."""

from __future__ import annotations

import difflib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeVar

import numpy as np

from serlab.bench.audio import AudioFile, audio_facts, content_hash
from serlab.bench.contracts import Audio, Corpus, FloatArray, Utterance
from serlab.bench.corpora.base import CORPORA
from serlab.bench.errors import BadFile
from serlab.bench.meters.environment import cores

Severity = Literal["unusable", "problem", "note"]
K = TypeVar("K", str, int)

SILENT_PEAK = 1e-3
"""Audio whose loudest sample stays below this (-60 dB of full scale) counts as silent."""
FULL_SCALE = 0.999
CLIPPED_RUN = 3
"""So many samples in a row at full scale count as clipped."""
SHORTEST_S = 0.25
"""Shorter audio counts as too short to hear an emotion in."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that was found, with the utterances that it concerns."""

    kind: str
    severity: Severity
    ids: tuple[str, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Lengths in seconds of the utterances that could be read."""

    shortest_s: float
    median_s: float
    longest_s: float
    total_s: float


@dataclass(frozen=True, kw_only=True)
class CheckReport:
    """What a corpus holds and what is wrong with it.

    ``exit_code`` is 0 for a clean corpus, 1 where there are problems, 2 where it is unusable.
    """

    corpus: str
    synthetic: bool
    licence: str
    n_utterances: int
    n_read: int
    n_by_class: Mapping[str, int]
    n_by_speaker: Mapping[str, int]
    n_by_rate_hz: Mapping[int, int]
    n_by_channels: Mapping[int, int]
    durations: Durations | None
    findings: tuple[Problem, ...]
    exit_code: int

    def text(self) -> str:
        """The report for people, several lines."""
        return "\n".join(_lines(self))


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What one utterance's audio came to."""

    utterance: Utterance
    error: str = ""
    rate_hz: int = 0
    n_channels: int = 1
    duration_s: float = 0.0
    content: str = ""
    faults: tuple[tuple[str, str], ...] = ()
    """Kind and description."""


def check_corpus(
    corpus: Corpus, *, shortest_s: float = SHORTEST_S, threads: int | None = None
) -> CheckReport:
    """Reads all audio of a corpus; a broken file is a finding and stops nothing.

    Args:
        corpus: what is checked.
        shortest_s: shorter audio is a problem.
        threads: how many read at once; None means one for each core that may be used.
    """
    with ThreadPoolExecutor(threads or cores()) as pool:
        readings = list(pool.map(lambda u: _read(u, shortest_s), corpus.utterances))
    good = [r for r in readings if not r.error]
    findings = [*_file_findings(readings), *_duplicates(good), *_label_findings(corpus)]
    findings += [*_one_class_speakers(corpus), *_count_findings(corpus), *_rate_findings(good)]
    findings += _unusable(corpus, good)
    order = ("unusable", "problem", "note")
    findings.sort(key=lambda finding: order.index(finding.severity))
    worst = findings[0].severity if findings else "note"
    return CheckReport(
        corpus=corpus.name,
        synthetic=corpus.synthetic,
        licence=corpus.licence,
        n_utterances=len(corpus.utterances),
        n_read=len(good),
        n_by_class=_counts((u.emotion or "(none)" for u in corpus.utterances), corpus.labels),
        n_by_speaker=_counts(u.speaker for u in corpus.utterances),
        n_by_rate_hz=_counts(r.rate_hz for r in good),
        n_by_channels=_counts(r.n_channels for r in good),
        durations=_durations([r.duration_s for r in good]),
        findings=tuple(findings),
        exit_code={"unusable": 2, "problem": 1, "note": 0}[worst],
    )


def _counts(values: Iterable[K], always: Sequence[K] = ()) -> dict[K, int]:
    found = Counter(dict.fromkeys(always, 0))
    found.update(values)
    return dict(sorted(found.items()))


def _durations(lengths_s: list[float]) -> Durations | None:
    if not lengths_s:
        return None
    return Durations(
        shortest_s=round(min(lengths_s), 4),
        median_s=round(median(lengths_s), 4),
        longest_s=round(max(lengths_s), 4),
        total_s=round(sum(lengths_s), 3),
    )


# --- one utterance --------------------------------------------------------------------------


def _read(utterance: Utterance, shortest_s: float) -> _Reading:
    try:
        audio = utterance.heard().read()
        path = utterance.audio.path if isinstance(utterance.audio, AudioFile) else None
        n_channels = audio_facts(path).n_channels if path else 1
    except BadFile as error:
        return _Reading(utterance=utterance, error=str(error))
    return _Reading(
        utterance=utterance,
        rate_hz=audio.rate_hz,
        n_channels=n_channels,
        duration_s=audio.duration_s,
        content=content_hash(audio),
        faults=tuple(_faults(audio, shortest_s)),
    )


def _faults(audio: Audio, shortest_s: float) -> list[tuple[str, str]]:
    found = []
    peak = float(np.abs(audio.samples).max())
    if peak < SILENT_PEAK:
        found.append(("silent", f"never louder than {peak:.1e} of full scale"))
    n_clipped = clipped_samples(audio.samples)
    if n_clipped:
        found.append(("clipped", f"{n_clipped} samples at full scale in a row with others"))
    if audio.duration_s < shortest_s:
        found.append(("too short", f"{audio.duration_s:.3f} s, less than {shortest_s:g} s"))
    return found


def clipped_samples(samples: FloatArray) -> int:
    """Samples at full scale that stand in a row of at least three.

    Example:
        >>> clipped_samples(np.array([0, 1, 1, 1, 0, -1, 0], np.float32))
        3
    """
    full = np.abs(samples) >= FULL_SCALE
    if int(full.sum()) < CLIPPED_RUN:
        return 0
    edges = np.flatnonzero(np.diff(full, prepend=False, append=False))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= CLIPPED_RUN].sum())


# --- findings -------------------------------------------------------------------------------


def _file_findings(readings: Sequence[_Reading]) -> list[Problem]:
    """One finding for each broken file, one for each kind of fault."""
    found = [
        Problem(kind="unreadable", severity="problem", ids=(r.utterance.id,), text=r.error)
        for r in readings
        if r.error
    ]
    faulty: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for r in readings:
        for kind, what in r.faults:
            faulty[kind].append((r.utterance.id, what))
    for kind, cases in faulty.items():
        ids = tuple(i for i, _ in cases)
        text = f"{_some(ids)} {_be(ids)} {kind} ({cases[0][0]}: {cases[0][1]})"
        found.append(Problem(kind=kind, severity="problem", ids=ids, text=text))
    return found


def _duplicates(readings: Sequence[_Reading]) -> list[Problem]:
    groups: dict[str, list[Utterance]] = defaultdict(list)
    for r in readings:
        groups[r.content].append(r.utterance)
    found = []
    for group in groups.values():
        if len(group) > 1:
            ids = tuple(u.id for u in group)
            text = f"{' and '.join(ids)} are the same recording{_who(group)}"
            found.append(Problem(kind="duplicate", severity="problem", ids=ids, text=text))
    return found


def _who(group: Sequence[Utterance]) -> str:
    speakers = sorted({u.speaker for u in group})
    labels = sorted({u.emotion or "no label" for u in group})
    names = f", by {' and '.join(speakers)}: one speaker under two names?"
    clash = f"; the labels differ: {', '.join(labels)}"
    return (names if len(speakers) > 1 else "") + (clash if len(labels) > 1 else "")


def _label_findings(corpus: Corpus) -> list[Problem]:
    found = []
    bare = tuple(u.id for u in corpus.utterances if u.emotion is None and u.traces is None)
    if bare:
        text = f"{_some(bare)} {'has' if len(bare) == 1 else 'have'} no label"
        found.append(Problem(kind="missing label", severity="problem", ids=bare, text=text))
    unknown: dict[str, list[str]] = defaultdict(list)
    for u in corpus.utterances:
        if u.emotion is not None and u.emotion not in corpus.labels:
            unknown[u.emotion].append(u.id)
    for label, ids in sorted(unknown.items()):
        near = difflib.get_close_matches(label.lower(), corpus.labels, n=1, cutoff=0.5)
        hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(corpus.labels)}"
        text = f'{_some(ids)} {_be(ids)} labelled "{label}", which is no label here; {hint}'
        found.append(Problem(kind="unknown label", severity="problem", ids=tuple(ids), text=text))
    return found


def _one_class_speakers(corpus: Corpus) -> list[Problem]:
    classes: dict[str, set[str]] = defaultdict(set)
    for u in corpus.utterances:
        if u.emotion is not None:
            classes[u.speaker].add(u.emotion)
    single = {speaker: found for speaker, found in classes.items() if len(found) == 1}
    if not single or len(corpus.labels) < 2:
        return []
    shown = ", ".join(f"{s} ({next(iter(c))})" for s, c in sorted(single.items())[:4])
    text = (
        f"{len(single)} of {len(classes)} speakers are heard in one class only: {shown}"
        f"{', ...' if len(single) > 4 else ''}; telling speakers apart tells classes apart"
    )
    ids = tuple(u.id for u in corpus.utterances if u.speaker in single)
    return [Problem(kind="one-class speaker", severity="problem", ids=ids, text=text)]


def _count_findings(corpus: Corpus) -> list[Problem]:
    """Where the corpus is not of the published size: part of it, or another release."""
    entry = CORPORA.entries().get(corpus.name)
    held = Counter(u.emotion for u in corpus.utterances)
    expected = entry.facts.get("counts", {}) if entry else {}
    other = [f"{c}: {held[c]} of {n}" for c, n in expected.items() if held[c] != n]
    if not other:
        return []
    text = f"not as many utterances as published: {', '.join(other)}"
    return [Problem(kind="count", severity="note", ids=(), text=text)]


def _rate_findings(readings: Sequence[_Reading]) -> list[Problem]:
    rates = Counter(r.rate_hz for r in readings)
    if len(rates) < 2:
        return []
    usual = rates.most_common(1)[0][0]
    ids = tuple(r.utterance.id for r in readings if r.rate_hz != usual)
    text = f"{_some(ids)} {_be(ids)} not at {usual} Hz as the others are; rates may tell classes"
    return [Problem(kind="mixed rates", severity="note", ids=ids, text=text)]


def _unusable(corpus: Corpus, good: Sequence[_Reading]) -> list[Problem]:
    def problem(text: str) -> list[Problem]:
        return [Problem(kind="unusable", severity="unusable", ids=(), text=text)]

    if not corpus.utterances:
        return problem("the corpus has no utterance")
    if not good:
        return problem("not one file can be read")
    classes = {r.utterance.emotion for r in good if r.utterance.emotion in corpus.labels}
    if len(classes) < 2 and not any(r.utterance.traces for r in good):
        held = ", ".join(str(c) for c in classes) or "none"
        return problem(f"two classes at least are needed, and readable utterances have: {held}")
    return []


def _some(ids: Sequence[str]) -> str:
    return f"{len(ids)} utterance{'s' if len(ids) != 1 else ''}"


def _be(ids: Sequence[str]) -> str:
    return "is" if len(ids) == 1 else "are"


# --- words ----------------------------------------------------------------------------------


def _lines(report: CheckReport) -> list[str]:
    kind = " (synthetic speech)" if report.synthetic else ""
    lines = [
        f"{report.corpus}{kind}: {report.n_utterances} utterances, {report.n_read} read, "
        f"{len(report.n_by_speaker)} speakers; licence: {report.licence}",
        f"classes    {_table(report.n_by_class)}",
        f"speakers   {_table(report.n_by_speaker)}",
    ]
    if report.durations is not None:
        d = report.durations
        lines.append(
            f"durations  {d.shortest_s:.2f} to {d.longest_s:.2f} s, median {d.median_s:.2f} s, "
            f"{d.total_s / 3600:.2f} h in all"
        )
    lines.append(f"rates      {_table(report.n_by_rate_hz, ' Hz')}")
    lines.append(f"channels   {_table(report.n_by_channels)}")
    lines += [f"{f.severity:<10} {f.kind}: {f.text}" for f in report.findings]
    verdict = {0: "clean", 1: "problems found", 2: "unusable"}[report.exit_code]
    return [*lines, f"verdict    {verdict}"]


def _table(counts: Mapping[str, int] | Mapping[int, int], unit: str = "") -> str:
    shown = [f"{name}{unit} {n}" for name, n in counts.items()]
    return ", ".join(shown[:40]) + (", ..." if len(shown) > 40 else "")
