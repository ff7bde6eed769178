"""Baselines and candidates of the gate whose difference is known, built by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.metrics.base import metric
from serlab.bench.statistics.records import ArmPredictions
from serlab.reports.gate.baseline import Baseline, CorpusTerms, values_of, write_baseline
from serlab.reports.gate.tested import Candidate, Tested
from serlab.reports.gate.thresholds import floors, gaps

LABELS = ("anger", "joy", "neutral", "sadness")
SPLIT, DATA = "5p117", "da7a"
PER_CELL = 20
"""Utterances of each speaker and class; a baseline has 16 of them right."""


def answers(
    wrong: Any = 4,  # an array-like of any shape that broadcasts
    *,
    n_speakers: int = 6,
    seeds: Sequence[int] = (0, 1, 2),
    corpus: str = "synth",
    groups: Mapping[str, Sequence[str]] | None = None,
    labels: Sequence[str] = LABELS,
) -> Tested:
    """Predictions with so many utterances wrong, (speaker, seed, class) or what broadcasts to it.

    With one number for all classes, the UA of the cell of a speaker and a seed is
    1 - wrong / PER_CELL. ``groups`` names, by group, the value of each speaker.
    """
    n_classes = len(labels)
    counts = np.broadcast_to(np.asarray(wrong), (n_speakers, len(seeds), n_classes))
    shape = (n_speakers, n_classes, PER_CELL)
    speaker, truth, place = (index.ravel() for index in np.indices(shape))
    missed = place < counts.transpose(1, 0, 2)[:, speaker, truth]  # (seed, row)
    said = np.where(missed, (truth + 1) % n_classes, truth)
    names = [f"s{i}" for i in range(n_speakers)]
    predictions = ArmPredictions(
        seeds=tuple(seeds),
        ids=tuple(
            f"{names[s]}-{labels[c]}-{i:02d}" for s, c, i in zip(speaker, truth, place, strict=True)
        ),
        speakers=tuple(names[s] for s in speaker),
        truth=truth.astype(np.int64),
        scores=np.eye(n_classes, dtype=np.float32)[said],
        labels=tuple(labels),
        split=SPLIT,
    )
    return Tested(
        corpus=corpus,
        predictions=predictions,
        data=DATA,
        folds=tuple(f"fold{s}" for s in speaker),
        groups={g: tuple(of[s] for s in speaker) for g, of in (groups or {}).items()},
    )


def uneven(least: int, n_speakers: int = 6, n_seeds: int = 3) -> Any:  # an array (s, r, 1)
    """Counts of wrong utterances, from the least to two more, unlike by speaker and by seed."""
    return least + (np.arange(n_speakers)[:, None] % 2 + np.arange(n_seeds) % 2)[..., None]


def traces(
    noise: float, *, n_speakers: int = 6, seeds: Sequence[int] = (0, 1, 2), start: int = 0
) -> Tested:
    """Predictions of two dimensions, frame by frame: the truth and so much noise."""
    n_frames, dimensions = 50, ("arousal", "valence")
    n = n_speakers * 2 * n_frames
    truth = np.random.default_rng(0).normal(0, 0.5, (n, 2)).astype(np.float32)
    rng = np.random.default_rng(start)
    errors = rng.normal(0, noise, (len(seeds), n, 2)).astype(np.float32)
    owners = [f"s{i // (2 * n_frames)}" for i in range(n)]
    predictions = ArmPredictions(
        seeds=tuple(seeds),
        ids=tuple(f"{owners[i]}-{i // n_frames}" for i in range(n)),
        speakers=tuple(owners),
        truth=truth,
        scores=truth + errors,
        labels=dimensions,
        split=SPLIT,
        frames=np.arange(n) % n_frames,
    )
    return Tested(corpus="traced", predictions=predictions, data=DATA, folds=tuple(owners))


def terms_of(
    held: Mapping[str, Tested], extension: Sequence[int] = (), name: str = "ua", **changes: Any
) -> dict[str, Any]:
    """What `write_baseline` takes; changes replace single terms."""
    every = next(iter(held.values())).predictions.seeds
    terms = {
        "serlab": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00",
        "command": "serlab run hand",
        "study": "hand",
        "arm": "base",
        "variant": {"system": "li2018", "options": {}, "settings": {"epochs": 8}},
        "metric": name,
        "metric_is": metric(name).long,
        "margin": 0.05,
        "margin_from": "given when it was recorded",
        "alpha": 0.05,
        "seeds": tuple(seed for seed in every if seed not in extension),
        "extension": tuple(extension),
        "corpora": tuple(_corpus(one, name) for one in held.values()),
        "robustness": floors(held, name),
        "fairness": gaps(held, name),
    }
    return terms | changes


def _corpus(one: Tested, name: str) -> CorpusTerms:
    held = one.predictions
    return CorpusTerms(
        name=one.corpus, split=held.split, data=one.data, labels=held.labels, protocol={},
        synthetic=True, leaks=(), n_utterances=len(set(held.ids)),
        n_speakers=len(set(held.speakers)), values=values_of(one, name),
    )  # fmt: skip


def baseline(
    path: Path,
    *held: Tested,
    extension: Sequence[int] = (),
    name: str = "ua",
    **changes: Any,  # terms
) -> Baseline:
    """A baseline of these predictions, written and read again; extension seeds stand last."""
    by_corpus = {one.corpus: one for one in held}
    return write_baseline(path, terms_of(by_corpus, extension, name, **changes), by_corpus)


def candidate(*held: Tested, **other: Any) -> Candidate:  # fields of a candidate
    """These predictions in the place of the candidate."""
    return Candidate(name="mine", tested={one.corpus: one for one in held}, **other)


def shuffled(one: Tested, seed: int = 0) -> Tested:
    """The same with its rows in another order."""
    held = one.predictions
    order = np.random.default_rng(seed).permutation(len(held.ids))
    predictions = replace(
        held,
        ids=tuple(held.ids[i] for i in order),
        speakers=tuple(held.speakers[i] for i in order),
        truth=held.truth[order],
        scores=held.scores[:, order],
        frames=held.frames[order] if held.frames.size else held.frames,
    )
    return replace(
        one,
        predictions=predictions,
        folds=tuple(one.folds[i] for i in order),
        groups={g: tuple(v[i] for i in order) for g, v in one.groups.items()},
        conditions={c: scores[:, order] for c, scores in one.conditions.items()},
    )
