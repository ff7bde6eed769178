"""Joins the test predictions of an arm's folds and seeds, and holds those of all arms together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import FloatArray, FoldResult, Part, Predictions
from serlab.bench.errors import NotComparable
from serlab.bench.statistics.records import coded
from serlab.bench.store import Store
from serlab.reports.records import Arm, CorpusFacts, IntArray, Pooled


def pool(
    store: Store,
    corpus: CorpusFacts,
    completed: Sequence[FoldResult],
    part: str = Part.TEST.value,
) -> Pooled | None:
    """Predictions of a part, of the seeds whose folds all completed.

    Raises:
        BadFile: predictions are missing or damaged.
        NotComparable: two seeds tested unlike utterances.
    """
    by_seed: dict[int, dict[str, FoldResult]] = {}
    for record in completed:
        by_seed.setdefault(record.seed, {})[record.fold] = record
    whole = sorted(s for s, folds in by_seed.items() if set(folds) >= set(corpus.folds))
    first: _Laid | None = None
    scores = []
    for seed in whole:
        folds = [(f, store.predictions(by_seed[seed][f].cell)) for f in corpus.folds]
        held = first if first and _same(first.folds, folds) else _laid(folds, part)
        if first is not None and not _alike(first.pooled, held.pooled):
            text = f"{completed[0].arm} on {corpus.name}: seeds {whole[0]} and {seed} tested"
            raise NotComparable(f"{text} unlike utterances or labels")
        first = first or held
        scores.append(held.scores(folds))
    if first is None:
        return None
    return replace(first.pooled, seeds=tuple(whole), scores=np.stack(scores))


def same_utterances(corpus: CorpusFacts, arms: Sequence[Arm]) -> list[Arm]:
    """The arms, found to have tested the same; what they share is held once.

    Raises:
        NotComparable: two arms tested unlike utterances or labels.
    """
    held = [arm for arm in arms if arm.pooled]
    found = []
    for arm in arms:
        first = held[0].pooled if held else None
        if arm.pooled is None or first is None:
            found.append(arm)
            continue
        if not _alike(first, arm.pooled):
            text = f"{corpus.name}: {held[0].name} and {arm.name} tested"
            raise NotComparable(f"{text} unlike utterances or labels")
        mine = arm.pooled
        found.append(replace(arm, pooled=replace(first, seeds=mine.seeds, scores=mine.scores)))
    return found


def _alike(one: Pooled, other: Pooled) -> bool:
    same = one.ids == other.ids and np.array_equal(one.truth, other.truth)
    return (
        same
        and np.array_equal(one.frames, other.frames)
        and (one.speakers, one.folds) == (other.speakers, other.folds)
    )


@dataclass(frozen=True, kw_only=True)
class _Laid:
    """Where the rows of one seed's folds go; the same for every seed that tested the same."""

    folds: Sequence[tuple[str, Predictions]]
    rows: Sequence[IntArray]
    """Of each fold, those of the part."""
    order: IntArray
    """Of the folds' rows, one fold after the other."""
    pooled: Pooled
    """Without seeds or scores."""

    def scores(self, folds: Sequence[tuple[str, Predictions]]) -> FloatArray:
        """The folds' scores in that order, (row, class or dimension)."""
        joined = _joined([held.scores for _, held in folds], self.rows)
        return joined[self.order].astype(np.float32, copy=False)


def _same(one: Sequence[tuple[str, Predictions]], other: Sequence[tuple[str, Predictions]]) -> bool:
    """Whether the folds hold the same rows; quick, as the store shares what is equal."""
    return all(
        (a.ids, a.speakers, a.parts, a.frames) == (b.ids, b.speakers, b.parts, b.frames)
        and np.array_equal(a.truth, b.truth)
        for (_, a), (_, b) in zip(one, other, strict=True)
    )


def _laid(folds: Sequence[tuple[str, Predictions]], part: str) -> _Laid:
    """A part of one seed's folds, by id; what is tested twice gets its fold's name."""
    rows = [_rows(held, part) for _, held in folds]
    ids = [[held.ids[i] for i in r] for (_, held), r in zip(folds, rows, strict=True)]
    times = Counter(name for fold in ids for name in set(fold))
    named = [
        name if times[name] == 1 else f"{fold}/{name}"
        for (fold, _), mine in zip(folds, ids, strict=True)
        for name in mine
    ]
    known, places = coded(named)
    frames = _joined([np.array(held.frames, np.int64) for _, held in folds], rows)
    order = np.lexsort((frames, places) if frames.size else (places,))
    pairs = list(zip(folds, rows, strict=True))
    pooled = Pooled(
        seeds=(),
        ids=tuple(known[i] for i in places[order]),
        folds=_ordered([fold for (fold, _), r in pairs for _ in r], order),
        speakers=_ordered([held.speakers[i] for (_, held), r in pairs for i in r], order),
        truth=_joined([held.truth for _, held in folds], rows)[order],
        scores=np.zeros((0, 0, 0), np.float32),
        frames=frames[order] if frames.size else frames,
    )
    return _Laid(folds=folds, rows=rows, order=order, pooled=pooled)


def _rows(held: Predictions, part: str) -> IntArray:
    return np.array([i for i, p in enumerate(held.parts) if p == part], np.int64)


def _joined(arrays: Sequence[npt.NDArray[Any]], rows: Sequence[IntArray]) -> npt.NDArray[Any]:
    """The rows of each array, one array after the other; nothing of arrays that are empty."""
    return np.concatenate([a[r] if len(a) else a for a, r in zip(arrays, rows, strict=True)])


def _ordered(names: Sequence[str], order: IntArray) -> tuple[str, ...]:
    """The names in that order, equal ones held once."""
    known, places = coded(names)
    return tuple(known[i] for i in places[order])
