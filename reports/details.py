"""What the page tells of one arm when its row is opened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from serlab.bench.metrics.categorical import confusion
from serlab.reports.effects import by_speaker
from serlab.reports.errors import worst_classes, worst_traces
from serlab.reports.inline import curve
from serlab.reports.meter_tables import MeterTable, meter_table
from serlab.reports.records import Arm, Block, Curve, Measured, Pooled
from serlab.reports.tables import Column
from serlab.reports.words import amount, count, number

N_WORST = 8
N_SPEAKERS = 60


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One arm in full, as text."""

    heading: tuple[str, ...]
    """Over `seeds`."""
    seeds: tuple[tuple[str, ...], ...]
    """Seed, then each metric."""
    unit: str
    """What is counted of each speaker: utterances, or frames of traces."""
    speakers: tuple[tuple[str, ...], ...]
    """Speaker, number of units, and the primary metric (mean over seeds)."""
    n_more_speakers: int
    confusion: tuple[tuple[str, ...], ...]
    """Percent of each true class (rows) by predicted class; none of traces."""
    worst_heading: tuple[str, ...]
    worst: tuple[tuple[str, ...], ...]
    """Classes: those missed most surely. Traces: those with the largest error."""
    measured: tuple[tuple[str, str, str, str], ...]
    """Name, median, total or largest or spread, and the reason where there is none."""
    curves: tuple[tuple[str, str, Markup], ...]
    """Name, its last value, and the picture."""
    epochs: str
    meters: MeterTable | None


_WORST = {
    "emotion": ("utterance", "speaker", "is", "taken for", "P(true)"),
    "traces": ("utterance", "speaker", "frames", "CCC within", "RMSE"),
}


def detail_of(arm: Arm, block: Block, columns: tuple[Column, ...]) -> Detail:
    """Everything that the page shows of an arm when its row is opened."""
    held, target = arm.pooled, block.corpus.target
    speakers = _speakers(held, block) if held else ()
    classes = held if target == "emotion" else None
    return Detail(
        heading=("seed", *(column.title for column in columns)),
        seeds=_seeds(held, columns) if held else (),
        unit="frames" if target == "traces" else "utterances",
        speakers=speakers[:N_SPEAKERS],
        n_more_speakers=max(0, len(speakers) - N_SPEAKERS),
        confusion=_confusion(classes) if classes else (),
        worst_heading=_WORST[target],
        worst=_worst(held, block) if held else (),
        measured=tuple(
            (m.name.replace("_", " "), amount(m.median, m.unit), _whole(m), m.reason)
            for m in arm.measured.values()
        ),
        curves=tuple(_curves(arm.curves)),
        epochs=_epochs(arm.chosen_epochs),
        meters=meter_table(arm.meters),
    )


def _whole(held: Measured) -> str:
    if held.unit == "s":
        return f"{amount(held.total, held.unit)} in all"
    if held.unit == "share":
        return f"{amount(held.low, held.unit)} to {amount(held.high, held.unit)} (p10 to p90)"
    return f"at most {amount(held.largest, held.unit)}" if held.largest is not None else ""


def _seeds(held: Pooled, columns: tuple[Column, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (str(seed), *(number(column.value(held.truth, scores)) for column in columns))
        for seed, scores in zip(held.seeds, held.scores, strict=True)
    )


def _speakers(held: Pooled, block: Block) -> tuple[tuple[str, ...], ...]:
    sizes = Counter(held.speakers)
    spoken = by_speaker(held, block.study.metric)
    return tuple((name, count(sizes[name]), number(value)) for name, value in spoken.items())


def _confusion(held: Pooled) -> tuple[tuple[str, ...], ...]:
    counts = np.sum([confusion(held.truth, s) for s in held.scores], axis=0)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return tuple(tuple(number(v * 100, 0) for v in row) for row in counts / totals)


def _worst(held: Pooled, block: Block) -> tuple[tuple[str, ...], ...]:
    if block.corpus.target == "traces":
        return tuple(
            (one.id, one.speaker, count(one.n_frames), number(one.ccc), number(one.rmse))
            for one in worst_traces(held, N_WORST)
        )
    return tuple(
        (one.id, one.speaker, one.truth, one.said, number(one.given))
        for one in worst_classes(held, block.corpus.labels, N_WORST)
    )


def _curves(curves: Mapping[str, Curve]) -> list[tuple[str, str, Markup]]:
    rows = []
    for name, held in curves.items():
        values = [float(v) for v in held.mean]
        bounded = name.endswith(("_ua", "_ccc"))
        top = 1.0 if bounded else max(values)
        bottom = min(0.0, *values) if bounded else min(values)
        picture = curve(values, bottom, top)
        rows.append((name.replace("_", " "), number(values[-1]), picture))
    return rows


def _epochs(chosen: tuple[int, ...]) -> str:
    if not chosen:
        return ""
    low, middle, high = min(chosen), float(np.median(chosen)), max(chosen)
    return f"median {middle:g}, from {low} to {high}"
