"""All about a reader of a corpus: its layout, options, licence, citation and published size."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from serlab.bench.corpora.base import CORPORA

Facts = dict[str, Any]  # JSON values


def describe_corpus(name: str) -> Facts:
    """A registered corpus as plain values. Raises UnknownName."""
    entry = CORPORA.entry(name)
    reader = entry.load()
    return {
        "name": name,
        **entry.facts,
        "counts": dict(entry.facts.get("counts", {})),
        "options": dict(entry.facts.get("options", {})),
        "about": _text(importlib.import_module(entry.module)),
        "reader": _text(reader),
    }


def _text(documented: object) -> str:
    """A docstring without its marks and without the errors that are raised."""
    text = (inspect.getdoc(documented) or "").replace("``", "")
    return text.split("\n\nRaises:")[0]


def describe_corpus_text(facts: Facts) -> str:
    """The same for people."""
    counts = facts["counts"]
    size = ", ".join(f"{label} {n}" for label, n in counts.items()) or "not stated"
    total = f"{sum(counts.values())} utterances: " if counts else ""
    protocols = ", ".join(facts.get("protocols", ())) or "any that its speakers allow"
    lines = [
        f"{facts['name']}: {facts['title']} ({facts['language']})",
        "",
        facts["about"],
        "",
        facts["reader"],
        "",
        f"licence    {facts['licence']}",
        f"cite       {facts['source']}",
        f"published  {total}{size}",
        f"protocols  {protocols}",
        "options",
    ]
    lines += [f"  {key} = {value!r}" for key, value in facts["options"].items()] or ["  none"]
    return "\n".join(lines)
