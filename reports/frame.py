"""Loads a run folder into a frame; the one place where records become arms with numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.contracts import FoldResult, Measurement, Part, Predictions, Status
from serlab.bench.errors import BadFile, NotComparable, SerlabError
from serlab.bench.store import Store
from serlab.reports.effects import scores_of, with_effects
from serlab.reports.records import (
    Arm,
    Block,
    CorpusFacts,
    Counts,
    Curve,
    Failure,
    Frame,
    Measured,
    Meter,
    Pooled,
    SearchPoint,
    StudyFacts,
)

SCHEMA = 1
"""Of resolved.json."""

SCORES = ("ua", "wa", "macro_f1", "ece")
"""The metrics that every table shows, beside the study's own."""


def load_frame(run: str | Path) -> Frame:
    """Everything that a run came to.

    Raises:
        BadFile: there is no run in the folder, or one of its files is damaged.
        NotComparable: results of unlike splits stand under one corpus.
        SerlabError: no training has completed.
    """
    store = Store.open(run)
    resolved = _resolved(store)
    study = _study(resolved)
    records = list(store.records())
    asked = {t["key"] for t in resolved["trials"]}
    held = [r for r in records if r.trial in asked]
    _some_completed(store.path, held)
    names = [c["name"] for c in resolved["corpora"]]
    reader = _Reader(store=store, resolved=resolved, study=study, records=held)
    blocks = tuple(reader.block(name) for name in names)
    return Frame(
        path=store.path,
        study=study,
        blocks=blocks,
        environments=_environments(store, held),
        n_stale=len(records) - len(held),
    )


def _resolved(store: Store) -> Any:  # JSON values of any shape
    path = store.path / "resolved.json"
    resolved = store.resolved()
    if not isinstance(resolved, dict) or resolved.get("schema") != SCHEMA:
        raise BadFile(path, f"is no resolved study of schema {SCHEMA}, as this serlab reads")
    needed = ("name", "metric", "margin", "level", "arms", "corpora", "trials")
    absent = [key for key in needed if key not in resolved]
    if absent:
        raise BadFile(path, f"lacks {', '.join(absent)}")
    return resolved


def _some_completed(path: Path, records: Sequence[FoldResult]) -> None:
    if any(r.status is Status.COMPLETED for r in records):
        return
    if not records:
        raise SerlabError(f"{path}: nothing to report, no training of this study has ended yet")
    counts = Counter(r.status.value for r in records)
    told = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    reason = Counter(r.reason for r in records if r.reason).most_common(1)
    why = f"; most often: {reason[0][0]}" if reason else ""
    raise SerlabError(f"{path}: nothing to report, no training completed ({told}){why}")


def _study(resolved: Mapping[str, Any]) -> StudyFacts:
    return StudyFacts(
        name=str(resolved["name"]),
        question=str(resolved.get("question", "")),
        design=str(resolved.get("design", "ablate")),
        metric=str(resolved["metric"]),
        margin=float(resolved["margin"]),
        level=float(resolved["level"]),
        base=str(resolved.get("base", "base")),
        command=str(resolved.get("command", "")),
        created=str(resolved.get("created", "")),
        serlab=str(resolved.get("serlab", "")),
        seeds=tuple(resolved.get("seeds", ())),
        toml=resolved.get("study") or {},
    )


def _environments(store: Store, records: Iterable[FoldResult]) -> dict[str, Mapping[str, Any]]:
    names = {r.environment for r in records if r.environment}
    names |= {str(m.get("environment") or "") for m in store.meters().values()} - {""}
    return {name: store.read_json(f"environments/{name}.json") for name in sorted(names)}


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Makes the blocks of one run."""

    store: Store
    resolved: Mapping[str, Any]  # JSON values of any shape
    study: StudyFacts
    records: Sequence[FoldResult]

    def block(self, name: str) -> Block:
        """The results on one corpus."""
        corpus = _corpus(next(c for c in self.resolved["corpora"] if c["name"] == name))
        records = [r for r in self.records if r.corpus == name]
        _same_split(corpus, records)
        meters = self.store.meters()
        arms, searched = [], Counts(planned=0)
        for fact in self.resolved["arms"]:
            trials = [
                t
                for t in self.resolved["trials"]
                if t["arm"] == fact["name"] and t["corpus"] == name
            ]
            keys = {t["key"] for t in trials}
            mine = [r for r in records if r.trial in keys]
            if fact.get("kind") == "searched" and fact["name"] != self.resolved.get("best"):
                searched += _counts(len(trials) * len(corpus.folds), mine)
            elif trials:
                arms.append(self._arm(fact, corpus, trials, mine, meters.get(fact["name"])))
        _same_utterances(corpus, arms)
        skipped = self.resolved.get("skipped") or ()
        block = Block(
            study=self.study,
            corpus=corpus,
            arms=tuple(arms),
            search=_search(self.resolved),
            searched=searched,
            skipped=tuple((str(s["arm"]), str(s["reason"])) for s in skipped),
        )
        return with_effects(block)

    def _arm(
        self,
        fact: Mapping[str, Any],  # JSON values of any shape
        corpus: CorpusFacts,
        trials: Sequence[Mapping[str, Any]],
        records: Sequence[FoldResult],
        meter: Mapping[str, Any] | None,
    ) -> Arm:
        completed = [r for r in records if r.status is Status.COMPLETED]
        pooled = self._pooled(corpus, completed)
        metrics = tuple(dict.fromkeys((self.study.metric, *SCORES)))
        variant = fact.get("variant") or {}
        return Arm(
            name=str(fact["name"]),
            kind=str(fact.get("kind", "arm")),
            is_base=bool(fact.get("is_base", False)),
            system=str(variant.get("system", "")),
            preset=str(variant.get("preset", "")),
            options=variant.get("options") or {},
            settings=variant.get("settings") or {},
            counts=_counts(len(trials) * len(corpus.folds), records),
            pooled=pooled,
            scores=scores_of(pooled, metrics, self.study.level) if pooled else {},
            effect=None,
            no_effect="",
            curves=_curves(completed),
            measured=_measured(completed),
            meter=_meter(meter) if meter else None,
            parameters=fact.get("parameters"),
            failures=_failures(records),
            trials=tuple((int(t["seed"]), str(t["key"])) for t in trials),
            chosen_epochs=tuple(r.chosen_epoch for r in completed if r.chosen_epoch is not None),
        )

    def _pooled(self, corpus: CorpusFacts, completed: Sequence[FoldResult]) -> Pooled | None:
        """Predictions of the seeds whose folds all completed."""
        by_seed: dict[int, dict[str, FoldResult]] = {}
        for record in completed:
            by_seed.setdefault(record.seed, {})[record.fold] = record
        whole = sorted(s for s, folds in by_seed.items() if set(folds) >= set(corpus.folds))
        if not whole:
            return None
        seeds = [
            _one_seed([(f, self.store.predictions(by_seed[s][f].cell)) for f in corpus.folds])
            for s in whole
        ]
        first = seeds[0]
        for seed, other in zip(whole, seeds, strict=True):
            if other.ids != first.ids or not np.array_equal(other.truth, first.truth):
                text = f"{completed[0].arm} on {corpus.name}: seeds {whole[0]} and {seed} tested"
                raise NotComparable(f"{text} unlike utterances or labels")
        stacked = np.concatenate([s.scores for s in seeds])
        return replace(first, seeds=tuple(whole), scores=stacked)


def _search(resolved: Mapping[str, Any]) -> tuple[SearchPoint, ...]:
    return tuple(
        SearchPoint(
            order=int(trial["number"]) + 1,
            arm=str(trial["arm"]),
            status=str(trial["state"]),
            value=None if trial["validation"] is None else float(trial["validation"]),
        )
        for trial in resolved.get("history") or ()
    )


def _corpus(fact: Mapping[str, Any]) -> CorpusFacts:
    return CorpusFacts(
        name=str(fact["name"]),
        licence=str(fact.get("licence", "")),
        source=str(fact.get("source", "")),
        synthetic=bool(fact["synthetic"]),
        n_utterances=int(fact["n_utterances"]),
        n_speakers=int(fact["n_speakers"]),
        labels=tuple(fact["labels"]),
        split=str(fact["split"]),
        protocol=fact.get("protocol") or {},
        leaks=tuple(fact.get("leaks") or ()),
        audit=tuple(fact.get("audit") or ()),
        folds=tuple(fact["folds"]),
    )


def _same_split(corpus: CorpusFacts, records: Iterable[FoldResult]) -> None:
    for record in records:
        if record.split != corpus.split:
            raise NotComparable(
                f"{corpus.name}: arm {record.arm}, fold {record.fold}, seed {record.seed} was "
                f"measured on split {record.split}, the study is on split {corpus.split}"
            )


def _same_utterances(corpus: CorpusFacts, arms: Sequence[Arm]) -> None:
    held = [arm for arm in arms if arm.pooled]
    for arm in held[1:]:
        first, other = held[0].pooled, arm.pooled
        assert first is not None
        assert other is not None
        if first.ids != other.ids or not np.array_equal(first.truth, other.truth):
            text = f"{corpus.name}: {held[0].name} and {arm.name} tested"
            raise NotComparable(f"{text} unlike utterances or labels")


def _one_seed(folds: Sequence[tuple[str, Predictions]]) -> Pooled:
    """The test parts of one seed's folds, by id; what is tested twice gets its fold's name."""
    rows = [
        (name, held.ids[i], held.speakers[i], int(held.truth[i]), held.scores[i])
        for name, held in folds
        for i, part in enumerate(held.parts)
        if part == Part.TEST.value
    ]
    times = Counter(row[1] for row in rows)
    named = [
        (id_ if times[id_] == 1 else f"{fold}/{id_}", fold, *rest) for fold, id_, *rest in rows
    ]
    named.sort(key=lambda row: row[0])
    return Pooled(
        seeds=(0,),
        ids=tuple(row[0] for row in named),
        folds=tuple(row[1] for row in named),
        speakers=tuple(str(row[2]) for row in named),
        truth=np.array([row[3] for row in named], dtype=np.int64),
        scores=np.stack([row[4] for row in named])[None].astype(np.float32),
    )


def _counts(planned: int, records: Iterable[FoldResult]) -> Counts:
    found = Counter(r.status.value for r in records)
    return Counts(planned=planned, **{s.value: found[s.value] for s in Status})


def _failures(records: Iterable[FoldResult]) -> tuple[Failure, ...]:
    return tuple(
        Failure(arm=r.arm, fold=r.fold, seed=r.seed, status=r.status.value, reason=r.reason)
        for r in records
        if r.status is not Status.COMPLETED
    )


def _curves(records: Sequence[FoldResult]) -> dict[str, Curve]:
    names = sorted({name for r in records for name in r.curves})
    found = {name: [r.curves[name] for r in records if r.curves.get(name)] for name in names}
    return {name: _curve(runs) for name, runs in found.items() if runs}


def _curve(runs: Sequence[Sequence[float]]) -> Curve:
    """Mean and the 10th to 90th percentile over trainings, while half of them still run."""
    longest = max(map(len, runs))
    table = np.full((len(runs), longest), np.nan)
    for row, run in zip(table, runs, strict=True):
        row[: len(run)] = run
    n = np.isfinite(table).sum(axis=0)
    kept = table[:, : max(1, int((n * 2 >= len(runs)).sum()))]
    low, high = np.nanpercentile(kept, [10, 90], axis=0)
    return Curve(
        mean=np.nanmean(kept, axis=0).astype(np.float32),
        low=low.astype(np.float32),
        high=high.astype(np.float32),
        n=n[: kept.shape[1]].astype(np.int64),
    )


def _measured(records: Sequence[FoldResult]) -> dict[str, Measured]:
    names = sorted({name for r in records for name in r.measurements})
    return {
        name: _summary(name, [r.measurements[name] for r in records if name in r.measurements])
        for name in names
    }


def _summary(name: str, found: Sequence[Measurement]) -> Measured:
    values = [m.value for m in found if m.value is not None]
    reasons = [m.reason for m in found if m.reason]
    return Measured(
        name=name,
        unit=found[0].unit,
        median=float(np.median(values)) if values else None,
        total=float(np.sum(values)) if values else None,
        largest=float(np.max(values)) if values else None,
        n=len(values),
        reason=reasons[0] if reasons else "",
    )


def _meter(record: Mapping[str, Any]) -> Meter:
    latency = record.get("latency_ms") or {}
    return Meter(
        p50_ms=latency.get("p50"),
        p90_ms=latency.get("p90"),
        n=int(latency.get("n") or 0),
        latency_reason=str(latency.get("reason") or ""),
        parameters=record.get("parameters"),
        feature_ms=record.get("feature_ms"),
        macs=record.get("macs"),
        macs_reason=str(record.get("macs_reason") or ""),
        device=str(record.get("device") or ""),
        seconds=record.get("seconds"),
        threads=record.get("threads"),
        environment=str(record.get("environment") or ""),
    )
