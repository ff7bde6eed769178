"""The data check: reads every file of corpora and tells what is there and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TypeVar

from serlab.bench.contracts import Corpus
from serlab.bench.findings import Problem, findings, shared
from serlab.bench.hearing import SHORTEST_S, Heard, hear
from serlab.bench.parallel import in_threads

K = TypeVar("K", str, int)

Telling = Callable[[str], Callable[[int, int], None]]
"""Given a corpus's name: what is then told how many of how many utterances are read."""

_SHOWN = 10
"""Findings of one kind that the text names one by one."""


@dataclass(frozen=True, kw_only=True)
class Durations:
    """Lengths in seconds of the utterances whose audio could be read."""

    shortest_s: float
    median_s: float
    longest_s: float
    total_s: float


@dataclass(frozen=True, kw_only=True)
class TraceSummary:
    """Continuous labels of a whole corpus: how many, their rates, each dimension's range."""

    n_utterances: int
    rates_hz: tuple[float, ...]
    ranges: Mapping[str, tuple[float, float]]


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
    traces: TraceSummary | None
    vectors: Mapping[str, int]
    """Lengths of the vectors that the corpus supplies, by name."""
    findings: tuple[Problem, ...]
    exit_code: int

    def text(self) -> str:
        """The report for people, several lines."""
        return "\n".join(_lines(self))


def check_corpus(
    corpus: Corpus,
    *,
    shortest_s: float = SHORTEST_S,
    threads: int | None = None,
    telling: Telling | None = None,
) -> CheckReport:
    """`check_corpora` of one."""
    checked = check_corpora([corpus], shortest_s=shortest_s, threads=threads, telling=telling)
    return checked[0]


def check_corpora(
    corpora: Sequence[Corpus],
    *,
    shortest_s: float = SHORTEST_S,
    threads: int | None = None,
    telling: Telling | None = None,
) -> list[CheckReport]:
    """Reads all audio and traces; a broken file is a finding and stops nothing.

    Args:
        corpora: what is checked, each by itself and then against the others.
        shortest_s: shorter audio is a problem.
        threads: how many read at once; None means one for each core that may be used.
        telling: makes what is told of the progress in each corpus.
    """
    heard = []
    for corpus in corpora:
        told = telling(corpus.name) if telling else None
        heard.append((corpus, _heard(corpus, shortest_s, threads, told)))
    reports = []
    for index, (corpus, mine) in enumerate(heard):
        others = (shared((corpus, mine), other) for i, other in enumerate(heard) if i != index)
        across = [problem for problem in others if problem.ids]
        reports.append(_report(corpus, mine, across))
    return reports


def _heard(
    corpus: Corpus,
    shortest_s: float,
    threads: int | None,
    told: Callable[[int, int], None] | None,
) -> list[Heard]:
    found = []
    for one in in_threads(partial(hear, shortest_s=shortest_s), corpus.utterances, threads):
        found.append(one)
        if told:
            told(len(found), len(corpus.utterances))
    return found


def _report(corpus: Corpus, heard: Sequence[Heard], across: Sequence[Problem]) -> CheckReport:
    good = [h for h in heard if not h.error]
    found = findings(corpus, heard, across)
    worst = found[0].severity if found else "note"
    sounding = [h for h in good if h.rate_hz]
    return CheckReport(
        corpus=corpus.name,
        synthetic=corpus.synthetic,
        licence=corpus.licence,
        n_utterances=len(corpus.utterances),
        n_read=len(good),
        n_by_class=_counts((u.emotion or "(none)" for u in corpus.utterances), corpus.labels),
        n_by_speaker=_counts(u.speaker for u in corpus.utterances),
        n_by_rate_hz=_counts(h.rate_hz for h in sounding),
        n_by_channels=_counts(h.n_channels for h in sounding),
        durations=_durations([h.duration_s for h in sounding]),
        traces=_traces(corpus, good),
        vectors={n: len(v) for u in reversed(corpus.utterances) for n, v in u.supplied.items()},
        findings=tuple(found),
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


def _traces(corpus: Corpus, heard: Sequence[Heard]) -> TraceSummary | None:
    held = [h.traces for h in heard if h.traces]
    if not held:
        return None
    fitting = [t for t in held if len(t.low) == len(corpus.dimensions)]
    ranges = {
        name: (min(t.low[i] for t in fitting), max(t.high[i] for t in fitting))
        for i, name in enumerate(corpus.dimensions if fitting else ())
    }
    rates = tuple(sorted({t.rate_hz for t in held}))
    return TraceSummary(n_utterances=len(held), rates_hz=rates, ranges=ranges)


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
        lines += [
            f"durations  {d.shortest_s:.2f} to {d.longest_s:.2f} s, median {d.median_s:.2f} s, "
            f"{d.total_s / 3600:.2f} h in all",
            f"rates      {_table(report.n_by_rate_hz, ' Hz')}",
            f"channels   {_table(report.n_by_channels)}",
        ]
    if report.traces is not None:
        rates = ", ".join(f"{rate:g} Hz" for rate in report.traces.rates_hz)
        ranges = [f"{n} {low:.3g} to {high:.3g}" for n, (low, high) in report.traces.ranges.items()]
        whose = f"of {report.traces.n_utterances} utterances at {rates}"
        lines.append(f"traces     {', '.join([whose, *ranges])}")
    if report.vectors:
        lines.append(f"vectors    {_table(report.vectors, ' of length')}")
    verdict = {0: "clean", 1: "problems found", 2: "unusable"}[report.exit_code]
    return [*lines, *_finding_lines(report.findings), f"verdict    {verdict}"]


def _finding_lines(found: Sequence[Problem]) -> list[str]:
    lines, n_of_kind = [], Counter[str]()
    n_all = Counter(problem.kind for problem in found)
    for problem in found:
        n_of_kind[problem.kind] += 1
        if n_of_kind[problem.kind] <= _SHOWN:
            lines.append(f"{problem.severity:<10} {problem.kind}: {problem.text}")
        elif n_of_kind[problem.kind] == _SHOWN + 1:
            left = n_all[problem.kind] - _SHOWN
            lines.append(f"{problem.severity:<10} {problem.kind}: and {left} more (--json has all)")
    return lines


def _table(counts: Mapping[str, int] | Mapping[int, int], unit: str = "") -> str:
    shown = [f"{name}{unit} {n}" for name, n in counts.items()]
    return ", ".join(shown[:40]) + (", ..." if len(shown) > 40 else "")
