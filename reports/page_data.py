"""The page's numbers as JSON, for a script to read; docs/reference/report.md tells its layout."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from serlab.bench.contracts import plain
from serlab.reports.across import Over
from serlab.reports.error_cards import Errors
from serlab.reports.meters import ArmMeters, Metered, Value
from serlab.reports.page_errors import errors_data
from serlab.reports.records import Arm, Block, Frame

SCHEMA = 1
DIGITS = 8
"""Significant digits of a number; the tables' CSV files have ten."""


def data_of(frame: Frame, over: Over, errors: Sequence[Errors]) -> str:
    """The numbers as JSON that is safe inside of a script element."""
    held = {
        "schema": SCHEMA,
        "study": plain(frame.study),
        "runs": plain(frame.runs),
        "counts": plain(frame.counts),
        "environments": plain(frame.environments),
        "across": [
            {
                "arm": row.arm.name,
                "summary": plain(row.summary),
                "p_holm": row.p_holm,
                "p_equivalent_holm": row.p_equivalent_holm,
                "note": row.reason,
            }
            for row in over.rows
        ],
        "ranking": plain(over.ranked),
        "corpora": [
            _corpus(block) | {"errors": errors_data(found)}
            for block, found in zip(frame.blocks, errors, strict=True)
        ],
    }
    text = json.dumps(
        _short(finite(held)), ensure_ascii=True, allow_nan=False, separators=(",", ":")
    )
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def finite(value: Any) -> Any:  # JSON values of any shape
    """JSON has no nan; what is not finite becomes null."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list):
        return [finite(v) for v in value]
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return None
    return value


def _short(value: Any) -> Any:  # JSON values of any shape
    """With no more digits than anyone reads out of a page."""
    if isinstance(value, dict):
        return {k: _short(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_short(v) for v in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _corpus(block: Block) -> dict[str, Any]:  # JSON values of any shape
    return {
        "corpus": plain(block.corpus),
        "marks": list(block.corpus.marks),
        "counts": plain(block.counts),
        "metrics": list(block.metrics),
        "metered": plain(block.metered),
        "arms": [_arm(arm) for arm in block.arms],
        "skipped": [{"arm": name, "reason": reason} for name, reason in block.skipped],
        "search": plain(block.search),
        "front": list(block.front),
        "attribution": plain(block.attribution),
    }


_OF_ARM = (
    "name", "kind", "is_base", "system", "preset", "options", "settings", "counts", "transductive",
    "scores", "dimensions", "undefined", "effect", "no_effect", "measured", "parameters", "trials",
    "failures", "chosen_epochs", "command",
)  # fmt: skip


def _arm(arm: Arm) -> dict[str, Any]:  # JSON values of any shape
    return {name: plain(getattr(arm, name)) for name in _OF_ARM} | {"meters": _meters(arm.meters)}


def _meters(held: ArmMeters) -> dict[str, Any]:  # JSON values of any shape
    """Every cell; the headline is the place of one among them."""
    places = [i for i, cell in enumerate(held.cells) if cell is held.headline]
    return {
        "headline": places[0] if places else None,
        "reason": held.reason,
        "cells": [_cell(cell) for cell in held.cells],
    }


def _cell(cell: Metered) -> dict[str, Any]:  # JSON values of any shape
    """Without every timed call, which the run folder has."""
    kept = ("conditions", "n_processes", "n_calls", "uncounted", "failures")
    told = {name: plain(getattr(cell, name)) for name in kept}
    for name in ("values", "phases"):
        told[name] = {
            key: {"value": value.value, "unit": value.unit} | _known(value)
            for key, value in getattr(cell, name).items()
        }
    return told


def _known(value: Value) -> dict[str, Any]:  # JSON values of any shape
    return {name: held for name, held in vars(value).items() if held not in (None, "")}
