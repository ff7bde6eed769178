"""What one arm predicted on the corpora of a run: what a baseline is made of, and a candidate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.contracts import FloatArray, FoldResult, Status
from serlab.bench.errors import BadFile, NotComparable, UnknownName
from serlab.bench.statistics.records import ArmPredictions
from serlab.bench.store import Store
from serlab.reports.frame import corpus_facts, read_resolved, same_split
from serlab.reports.pooling import pool
from serlab.reports.records import CorpusFacts, Pooled

CONDITION = "test:"
"""Parts of the predictions that are the test part under an audio condition begin with it."""


@dataclass(frozen=True, kw_only=True)
class Tested:
    """The test predictions of an arm on one corpus."""

    corpus: str
    predictions: ArmPredictions
    """With labels and the hash of the split."""
    data: str = ""
    """Hash of the corpus's utterances and labels; empty where it is not told."""
    folds: tuple[str, ...] = ()
    """The fold of each row; empty where it is not told."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By group, such as "sex", the value of each row; an empty text is unknown."""
    conditions: Mapping[str, FloatArray] = field(default_factory=dict)
    """By audio condition, the scores (seed, row, class) of the same rows."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An arm's predictions on every corpus of a study."""

    name: str
    """Where it is from."""
    tested: Mapping[str, Tested]
    """By corpus; none where trainings were lost."""
    metric: str = ""
    variant: Mapping[str, Any] = field(default_factory=dict)  # JSON values of any shape
    lost: Mapping[str, int] = field(default_factory=dict)
    """Trainings that gave no result, by how they ended."""
    environments: tuple[Mapping[str, Any], ...] = ()  # JSON values of any shape


def of_run(run: str | Path, arm: str) -> Candidate:
    """An arm of a finished run.

    Raises:
        BadFile: there is no run in the folder, or one of its files is damaged.
        UnknownName: the run has no such arm.
        NotComparable: results of unlike splits stand under one corpus, or the arm has no seed
            whose folds all completed.
    """
    store = Store.open(run)
    resolved = read_resolved(store)
    known = {str(fact["name"]): fact for fact in resolved["arms"]}
    if arm not in known:
        raise UnknownName("arm of the run", arm, known, where=str(run))
    records = list(store.records())
    facts = [corpus_facts(fact) for fact in resolved["corpora"]]
    mine = {c.name: _records(c, arm, resolved, records) for c in facts}
    lost = Counter(r.status.value for rows in mine.values() for r in rows)
    del lost[Status.COMPLETED.value]
    tested = (
        {}
        if lost
        else {
            c.name: _tested(store, number, c, mine[c.name], str(fact.get("data", "")))
            for number, (c, fact) in enumerate(zip(facts, resolved["corpora"], strict=True))
        }
    )
    names = sorted({r.environment for rows in mine.values() for r in rows if r.environment})
    return Candidate(
        name=str(run),
        tested=tested,
        metric=str(resolved["metric"]),
        variant=known[arm].get("variant") or {},
        lost=dict(lost),
        environments=tuple(store.read_json(f"environments/{name}.json") for name in names),
    )


def _records(
    corpus: CorpusFacts,
    arm: str,
    resolved: Mapping[str, Any],  # JSON values of any shape
    records: Sequence[FoldResult],
) -> list[FoldResult]:
    keys = {t["key"] for t in resolved["trials"] if (t["arm"], t["corpus"]) == (arm, corpus.name)}
    mine = [r for r in records if r.trial in keys]
    same_split(corpus, mine)
    return mine


def _tested(
    store: Store, number: int, corpus: CorpusFacts, records: Sequence[FoldResult], data: str
) -> Tested:
    completed = [r for r in records if r.status is Status.COMPLETED]
    held = pool(store, corpus, completed)
    if held is None:
        raise NotComparable(f"{store.path}: on {corpus.name} no seed has all its folds completed")
    _finite(store, corpus, held)
    return Tested(
        corpus=corpus.name,
        predictions=ArmPredictions(
            seeds=held.seeds,
            ids=held.ids,
            speakers=held.speakers,
            truth=held.truth,
            scores=held.scores,
            labels=corpus.labels,
            split=corpus.split,
            frames=held.frames,
        ),
        data=data,
        folds=held.folds,
        groups=_groups(store, number, held),
        conditions=_conditions(store, corpus, completed, held),
    )


def _finite(store: Store, corpus: CorpusFacts, held: Pooled) -> None:
    wrong = ~np.isfinite(held.scores).all(axis=(0, 2))
    if wrong.any():
        name = held.ids[int(np.argmax(wrong))]
        text = f'{corpus.name}: a score of utterance "{name}" is no finite number'
        raise BadFile(store.path / "predictions", text)


def _groups(store: Store, number: int, held: Pooled) -> dict[str, tuple[str, ...]]:
    """The groups of each row; none where the run was recorded without."""
    told = store.groups(number)
    if not told.values:
        return {}
    places = {name: place for place, name in enumerate(told.ids)}
    names = [
        name if name in places else name.removeprefix(f"{fold}/")
        for name, fold in zip(held.ids, held.folds, strict=True)
    ]
    absent = [name for name in names if name not in places]
    if absent:
        raise BadFile(store.path / "groups", f'has no groups of utterance "{absent[0]}"')
    rows = [places[name] for name in names]
    return {name: tuple(values[i] for i in rows) for name, values in told.values.items()}


def _conditions(
    store: Store, corpus: CorpusFacts, completed: Sequence[FoldResult], clean: Pooled
) -> dict[str, FloatArray]:
    """The scores of the same rows under every condition that all trainings have."""
    parts = set.intersection(*({*store.predictions(r.cell).parts} for r in completed))
    found = {}
    for part in sorted(p for p in parts if p.startswith(CONDITION)):
        held = pool(store, corpus, completed, part)
        assert held is not None
        _finite(store, corpus, held)
        if held.ids != clean.ids or not np.array_equal(held.frames, clean.frames):
            raise NotComparable(f"{corpus.name}: {part} has other utterances than the test part")
        found[part.removeprefix(CONDITION)] = held.scores
    return found
