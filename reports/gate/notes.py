"""What a reader of a verdict must know beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serlab.reports.gate.baseline import Baseline
from serlab.reports.gate.tested import Candidate
from serlab.reports.words import clean


def notes_of(baseline: Baseline, candidate: Candidate) -> tuple[str, ...]:
    """Marks of the corpora, and in what variant and environment differ from the baseline's."""
    terms, found = baseline.terms, corpora_notes(baseline)
    if candidate.variant and candidate.variant != terms.variant:
        found.append(f"the variant differs from the baseline's: {_unlike(baseline, candidate)}")
    if terms.environments and candidate.environments:
        mine, theirs = _facts(candidate.environments[0]), _facts(terms.environments[0])
        unlike = [f"{key} {theirs.get(key)} -> {mine[key]}" for key in mine
                  if mine[key] != theirs.get(key)]  # fmt: skip
        if unlike:
            found.append(f"the environment differs from the baseline's: {', '.join(unlike)}")
    return tuple(found)


def corpora_notes(baseline: Baseline) -> list[str]:
    """Marks of the corpora."""
    found = []
    for corpus in baseline.terms.corpora:
        found += [f"{corpus.name}: SYNTHETIC SPEECH"] if corpus.synthetic else []
        found += [f"{corpus.name}: {clean(leak)}" for leak in corpus.leaks]
    return found


def _unlike(baseline: Baseline, candidate: Candidate) -> str:
    mine, theirs = _spelled(candidate.variant), _spelled(baseline.terms.variant)
    if mine.get("system") != theirs.get("system"):
        return f"the system {theirs.get('system')} -> {mine.get('system')}"
    keys = [key for key in {**theirs, **mine} if mine.get(key) != theirs.get(key)]
    return ", ".join(f"{k} {theirs.get(k, 'absent')} -> {mine.get(k, 'absent')}" for k in keys)


def _spelled(variant: Mapping[str, Any]) -> dict[str, Any]:  # JSON values of any shape
    flat = {key: value for key, value in variant.items() if key not in ("options", "settings")}
    parts = (variant.get("options"), variant.get("settings"))
    return flat | {k: v for part in parts if isinstance(part, Mapping) for k, v in part.items()}


def _facts(environment: Mapping[str, Any]) -> dict[str, str]:  # JSON values of any shape
    """What of an environment can change a result."""
    packages = environment.get("packages")
    packages = packages if isinstance(packages, Mapping) else {}
    told = {key: environment.get(key) for key in ("cpu", "gpu", "threads", "device")}
    return {k: str(v) for k, v in {**told, **packages}.items() if k not in ("serlab", "optuna")}
