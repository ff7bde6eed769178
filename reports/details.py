"""What the page tells of one arm when its row is opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from serlab.bench.metrics.base import evaluate
from serlab.bench.metrics.categorical import confusion
from serlab.reports.inline import curve
from serlab.reports.records import Arm, Block, Curve, Measured, Pooled
from serlab.reports.words import amount, number, title_of

N_WORST = 8
N_SPEAKERS = 60


@dataclass(frozen=True, kw_only=True)
class Worst:
    """An utterance that is missed most surely."""

    id: str
    speaker: str
    true: str
    said: str
    share: float
    """Mean probability given to the true class."""


@dataclass(frozen=True, kw_only=True)
class Detail:
    """One arm in full, as text."""

    seeds: tuple[tuple[str, ...], ...]
    """Seed, then each metric."""
    speakers: tuple[tuple[str, ...], ...]
    """Speaker, number of utterances, and the primary metric (mean over seeds)."""
    n_more_speakers: int
    confusion: tuple[tuple[str, ...], ...]
    """Percent of each true class (rows) by predicted class."""
    worst: tuple[Worst, ...]
    measured: tuple[tuple[str, str, str, str], ...]
    """Name, median, total or largest, and the reason where there is none."""
    curves: tuple[tuple[str, str, Markup], ...]
    """Name, its last value, and the picture."""
    epochs: str


def detail_of(arm: Arm, block: Block, metrics: tuple[str, ...]) -> Detail:
    """Everything that the page shows of an arm when its row is opened."""
    held = arm.pooled
    speakers = _speakers(held, block) if held else ()
    return Detail(
        seeds=_seeds(held, metrics) if held else (),
        speakers=speakers[:N_SPEAKERS],
        n_more_speakers=max(0, len(speakers) - N_SPEAKERS),
        confusion=_confusion(held) if held else (),
        worst=_worst(held, block.corpus.labels) if held else (),
        measured=tuple(
            (m.name.replace("_", " "), amount(m.median, m.unit), _whole(m), m.reason)
            for m in arm.measured.values()
        ),
        curves=tuple(_curves(arm.curves)),
        epochs=_epochs(arm.chosen_epochs),
    )


def _whole(held: Measured) -> str:
    if held.unit == "s":
        return f"{amount(held.total, held.unit)} in all"
    return f"at most {amount(held.largest, held.unit)}" if held.largest is not None else ""


def _seeds(held: Pooled, metrics: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (str(seed), *(number(evaluate(m, held.truth, scores)) for m in metrics))
        for seed, scores in zip(held.seeds, held.scores, strict=True)
    )


def _speakers(held: Pooled, block: Block) -> tuple[tuple[str, ...], ...]:
    names = np.array(held.speakers)
    rows = []
    for name in sorted(set(held.speakers)):
        mine = names == name
        values = [evaluate(block.study.metric, held.truth[mine], s[mine]) for s in held.scores]
        rows.append((name, str(int(mine.sum())), number(float(np.mean(values)))))
    return tuple(rows)


def _confusion(held: Pooled) -> tuple[tuple[str, ...], ...]:
    counts = np.sum([confusion(held.truth, s) for s in held.scores], axis=0)
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return tuple(tuple(number(v * 100, 0) for v in row) for row in counts / totals)


def _worst(held: Pooled, labels: tuple[str, ...]) -> tuple[Worst, ...]:
    """The utterances whose true class gets the least probability, mean over seeds."""
    mean = held.scores.mean(axis=0)
    given = mean[np.arange(len(held.truth)), held.truth]
    order = np.argsort(given, kind="stable")[:N_WORST]
    return tuple(
        Worst(
            id=held.ids[i],
            speaker=held.speakers[i],
            true=labels[held.truth[i]],
            said=labels[int(mean[i].argmax())],
            share=float(given[i]),
        )
        for i in order
        if mean[i].argmax() != held.truth[i]
    )


def _curves(curves: Mapping[str, Curve]) -> list[tuple[str, str, Markup]]:
    rows = []
    for name, held in curves.items():
        values = [float(v) for v in held.mean]
        top = 1.0 if name.endswith("_ua") else max(values)
        bottom = 0.0 if name.endswith("_ua") else min(values)
        picture = curve(values, bottom, top)
        rows.append((name.replace("_", " "), number(values[-1]), picture))
    return rows


def _epochs(chosen: tuple[int, ...]) -> str:
    if not chosen:
        return ""
    low, middle, high = min(chosen), float(np.median(chosen)), max(chosen)
    return f"median {middle:g}, from {low} to {high}"


def seed_heading(metrics: tuple[str, ...]) -> tuple[str, ...]:
    """The heading over `Detail.seeds`."""
    return ("seed", *(title_of(m) for m in metrics))
