"""What changed between two runs: settings, versions, environment, and what may not be compared."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from serlab.bench.errors import NotComparable
from serlab.bench.store import Store
from serlab.reports.frame import read_resolved
from serlab.reports.words import listed

ABSENT, NONE = "(absent)", "none"
"""Stand where one of the two has no such setting, and where it is set to nothing."""

TERMS = {
    "labels": "classes",
    "protocol": "protocol",
    "split": "hash of the folds",
    "data": "hash of utterances and labels",
}
"""What must be the same on a corpus, and how it is called."""

_OF_STUDY = ("name", "question", "design", "metric", "margin", "level", "base", "seeds")

_ELSEWHERE = (*_OF_STUDY, "arms", "corpora")
"""Keys of a study as it was read that are told otherwise: once resolved, by arm, by corpus."""

_OF_CORPUS = ("version", "licence", "source", "n_utterances", "n_tested", "n_speakers",
              "n_test_speakers", "folds", "notes", "outside", "leaks", "trace_rate_hz")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Change:
    """One setting that two runs have otherwise, as text; `ABSENT` where one has none."""

    what: str
    """Such as ``arm pooling=max: settings.epochs``."""
    a: str
    b: str


def changes(a: Store, b: Store) -> tuple[Change, ...]:
    """Everything that two runs were told, or ran in, and that is not the same in both.

    Arms and corpora that only one of them has are not among it, nor what these were set to.

    Raises:
        BadFile: there is no run in a folder, or one of its files is damaged.
    """
    one, other = dict(_facts(a, b)), dict(_facts(b, a))
    keys = dict.fromkeys((*one, *other))
    pairs = ((key, one.get(key, ABSENT), other.get(key, ABSENT)) for key in keys)
    found = (Change(what=key, a=x, b=y) for key, x, y in pairs if x != y)
    return tuple(one for one in found if {one.a, one.b} != {ABSENT, NONE})


def _facts(run: Store, other: Store) -> Iterator[tuple[str, str]]:
    """What a run was told and ran in, of the arms and corpora that both have."""
    mine, theirs = read_resolved(run), read_resolved(other)
    study = {k: v for k, v in (mine.get("study") or {}).items() if k not in _ELSEWHERE}
    for key, value in _leaves({**{k: mine.get(k) for k in _OF_STUDY}, **study}):
        yield f"study: {key}", value
    for name, fact in _common("corpora", mine, theirs):
        for key, value in _leaves({k: fact[k] for k in _OF_CORPUS if k in fact}):
            yield f"corpus {name}: {key}", value
    for name, fact in _common("arms", mine, theirs):
        for key, value in _leaves(fact.get("variant") or {}):
            yield f"arm {name}: {key}", value
        if fact.get("transductive"):
            yield f"arm {name}: transductive", str(fact["transductive"])
    for fact in mine.get("skipped") or ():
        yield f"arm {fact['arm']}: skipped, as it", str(fact["reason"])
    yield "serlab", str(mine.get("serlab", ""))
    for key, values in environment(run).items():
        yield f"environment: {key}", listed(sorted(values))


def _common(
    key: str, mine: Mapping[str, Any], theirs: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:  # JSON values of any shape
    held = {fact["name"] for fact in theirs[key]}
    yield from ((f["name"], f) for f in mine[key] if f["name"] in held)


def environment(run: Store) -> dict[str, set[str]]:
    """What the trainings of a run ran in; a key has several values where several machines did."""
    asked = {t["key"] for t in read_resolved(run)["trials"]}
    names = {r.environment for r in run.records() if r.environment and r.trial in asked}
    found: dict[str, set[str]] = {}
    for name in sorted(names):
        for key, value in _leaves(run.read_json(f"environments/{name}.json")):
            found.setdefault(key, set()).add(value)
    return found


def _leaves(value: Any, key: str = "") -> Iterator[tuple[str, str]]:  # JSON values of any shape
    """The values of nested tables, by their dotted keys."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, _text(value)


def _text(value: Any) -> str:  # JSON values of any shape
    if isinstance(value, str):
        return value or '""'
    if isinstance(value, list) and not any(isinstance(v, list | Mapping) for v in value):
        return ", ".join(map(str, value)) or NONE
    return NONE if value is None else json.dumps(value, ensure_ascii=False)


# --- what may not be compared -----------------------------------------------------------------


def same_terms(a: Store, b: Store) -> tuple[str, ...]:
    """The corpora that both runs have, found to be measured alike.

    Raises:
        BadFile: there is no run in a folder, or one of its files is damaged.
        NotComparable: the metrics differ, or on a corpus the classes, the protocol, the folds or
            the data; or they share no corpus. Its text tells all that differs.
    """
    mine, theirs = read_resolved(a), read_resolved(b)
    unlike = []
    if mine["metric"] != theirs["metric"]:
        unlike.append(f"metric: {mine['metric']}, and {theirs['metric']}")
    facts = {fact["name"]: fact for fact in theirs["corpora"]}
    common = tuple(_common("corpora", mine, theirs))
    for name, fact in common:
        unlike += [f"{name}: {text}" for text in differing(fact, facts[name])]
    if not common:
        names = [listed(sorted(str(f["name"]) for f in r["corpora"])) for r in (mine, theirs)]
        unlike.append(f"no common corpus: {names[0]}, and {names[1]}")
    if unlike:
        raise NotComparable(f"{a.path} and {b.path} were measured otherwise: {'; '.join(unlike)}")
    return tuple(name for name, _ in common)


def differing(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    """What differs in how a corpus was measured; what is not told in one of them does not."""
    for key, what in TERMS.items():
        one, other = mine.get(key), theirs.get(key)
        if not one or not other or one == other:
            continue
        if key != "protocol":
            yield f"{what} {_text(one)}, and {_text(other)}"
            continue
        left, right = dict(_leaves(one)), dict(_leaves(other))
        for name in dict.fromkeys((*left, *right)):
            x, y = left.get(name, ABSENT), right.get(name, ABSENT)
            if x != y:
                yield f"protocol.{name} {x}, and {y}"
