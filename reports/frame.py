"""Loads a run folder into a frame; the one place where records become arms with numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.contracts import FoldResult, Measurement, Status
from serlab.bench.errors import BadFile, NotComparable, SerlabError
from serlab.bench.store import Store
from serlab.reports.effects import by_dimension, scores_of, with_effects
from serlab.reports.factorial import attribution_of
from serlab.reports.kept import Kept
from serlab.reports.meters import MeterRun, read_meters
from serlab.reports.pooling import pool, same_utterances
from serlab.reports.records import (
    Arm,
    Block,
    CorpusFacts,
    Counts,
    Curve,
    Failure,
    Frame,
    Measured,
    OutsideFacts,
    Pooled,
    SearchPoint,
    StudyFacts,
    shown_metrics,
)

SCHEMA = 1
"""Of resolved.json."""

Tell = Callable[[int, int], None]
"""Is told how many of how many are done."""


def untold(done: int, total: int) -> None:
    """Says nothing."""


def load_frame(run: str | Path, tell: Tell = untold) -> Frame:
    """Everything that a run came to.

    Args:
        run: the run's folder.
        tell: told, before each arm, how many of how many are read.

    Raises:
        BadFile: there is no run in the folder, or one of its files is damaged.
        NotComparable: results of unlike splits stand under one corpus.
        SerlabError: no training has completed.
    """
    store = Store.open(run)
    resolved = read_resolved(store)
    study = _study(resolved)
    records = list(store.records())
    asked = {t["key"] for t in resolved["trials"]}
    held = [r for r in records if r.trial in asked]
    _some_completed(store.path, held)
    names = [c["name"] for c in resolved["corpora"]]
    meters = read_meters(store, resolved, study.level)
    reader = _Reader(
        store=store, resolved=resolved, study=study, records=held, meters=meters, tell=tell
    )
    blocks = tuple(reader.block(name) for name in names)
    return Frame(
        path=store.path,
        study=study,
        blocks=blocks,
        environments=_environments(store, held) | meters.environments,
        meter_notes=meters.notes,
        n_stale=len(records) - len(held),
    )


def read_resolved(store: Store) -> Any:  # JSON values of any shape
    """What the run's study came to.

    Raises:
        BadFile: it is of another schema, or lacks what every run has.
    """
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
    return {name: store.read_json(f"environments/{name}.json") for name in sorted(names)}


@dataclass(frozen=True, kw_only=True)
class _Reader:
    """Makes the blocks of one run."""

    store: Store
    resolved: Mapping[str, Any]  # JSON values of any shape
    study: StudyFacts
    records: Sequence[FoldResult]
    meters: MeterRun
    tell: Tell

    def block(self, name: str) -> Block:
        """The results on one corpus."""
        corpus = corpus_facts(next(c for c in self.resolved["corpora"] if c["name"] == name))
        records = [r for r in self.records if r.corpus == name]
        same_split(corpus, records)
        arms, searched = self._arms(corpus, records)
        front = tuple(self.resolved.get("front") or ())
        skipped = self.resolved.get("skipped") or ()
        block = Block(
            study=self.study,
            corpus=corpus,
            arms=tuple(same_utterances(corpus, arms)),
            search=_search(self.resolved),
            searched=searched,
            skipped=tuple((str(s["arm"]), str(s["reason"])) for s in skipped),
            metered=self.meters.first,
            cost=self._cost(),
            front=front,
        )
        block = with_effects(block)
        return replace(block, attribution=attribution_of(block, self.store))

    def _arms(self, corpus: CorpusFacts, records: Sequence[FoldResult]) -> tuple[list[Arm], Counts]:
        """The arms that are shown, and the counts of a search's others."""
        shown = {self.resolved.get("best"), *(self.resolved.get("front") or ())}
        facts, names = self.resolved["arms"], [c["name"] for c in self.resolved["corpora"]]
        asked = self._trials(corpus.name)
        found = _by_arm(asked, records)
        arms, searched = [], Counts(planned=0)
        for place, fact in enumerate(facts, names.index(corpus.name) * len(facts)):
            self.tell(place, len(facts) * len(names))
            trials, mine = asked.get(fact["name"], []), found.get(fact["name"], [])
            if fact.get("kind") == "searched" and fact["name"] not in shown:
                searched += _counts(len(trials) * len(corpus.folds), mine)
            elif trials:
                arms.append(self._arm(fact, corpus, trials, mine))
        return arms, searched

    def _trials(self, corpus: str) -> dict[str, list[Mapping[str, Any]]]:  # JSON values
        """The trials of each arm on a corpus."""
        found: dict[str, list[Mapping[str, Any]]] = {}
        for trial in self.resolved["trials"]:
            if trial["corpus"] == corpus:
                found.setdefault(trial["arm"], []).append(trial)
        return found

    def _cost(self) -> str:
        """What a search keeps low beside the score; empty where there is no such thing."""
        search = (self.resolved.get("study") or {}).get("search") or {}
        return str(search.get("cost") or "")

    def _arm(
        self,
        fact: Mapping[str, Any],  # JSON values of any shape
        corpus: CorpusFacts,
        trials: Sequence[Mapping[str, Any]],
        records: Sequence[FoldResult],
    ) -> Arm:
        completed = [r for r in records if r.status is Status.COMPLETED]
        pooled = pool(self.store, corpus, completed)
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
            **(self._scored(corpus, pooled) if pooled else _UNSCORED),
            effect=None,
            no_effect="",
            curves=_curves(completed),
            measured=_measured(completed),
            meters=self.meters.of(variant, len(corpus.labels), corpus.target),
            parameters=fact.get("parameters"),
            failures=_failures(records),
            trials=tuple((int(t["seed"]), str(t["key"])) for t in trials),
            chosen_epochs=tuple(r.chosen_epoch for r in completed if r.chosen_epoch is not None),
            transductive=str(fact.get("transductive") or ""),
            insight=self._insight(corpus, completed),
        )

    def _insight(self, corpus: CorpusFacts, completed: Sequence[FoldResult]) -> Kept | None:
        fold, seed = corpus.folds[0], next(iter(self.study.seeds), None)
        for record in completed:
            if (record.fold, record.seed) == (fold, seed):
                path = self.store.insight_path(record.cell)
                return Kept(path=path, fold=fold, seed=record.seed) if path.exists() else None
        return None

    def _scored(self, corpus: CorpusFacts, pooled: Pooled) -> dict[str, Any]:  # fields of an Arm
        metrics, level = shown_metrics(self.study, corpus), self.study.level
        scores, undefined = scores_of(pooled, metrics, level)
        if corpus.target == "emotion":
            return {"scores": scores, "undefined": undefined, "dimensions": {}}
        found, missing = by_dimension(pooled, corpus.labels, self.study.metric, level)
        return {"scores": scores, "undefined": undefined | missing, "dimensions": found}


_UNSCORED: dict[str, Any] = {"scores": {}, "undefined": {}, "dimensions": {}}  # fields of an Arm


def _by_arm(
    asked: Mapping[str, Sequence[Mapping[str, Any]]],  # JSON values
    records: Iterable[FoldResult],
) -> dict[str, list[FoldResult]]:
    """The records of each arm's trials, in their order; two arms may share a trial."""
    owners: dict[str, list[str]] = {}
    for arm, trials in asked.items():
        for key in {trial["key"] for trial in trials}:
            owners.setdefault(key, []).append(arm)
    found: dict[str, list[FoldResult]] = {}
    for record in records:
        for arm in owners.get(record.trial, ()):
            found.setdefault(arm, []).append(record)
    return found


def _search(resolved: Mapping[str, Any]) -> tuple[SearchPoint, ...]:
    variants = {str(fact["name"]): fact.get("variant") or {} for fact in resolved["arms"]}
    return tuple(
        SearchPoint(
            order=int(trial["number"]) + 1,
            arm=str(trial["arm"]),
            status=str(trial["state"]),
            value=None if trial["validation"] is None else float(trial["validation"]),
            cost=None if trial.get("cost") is None else float(trial["cost"]),
            choices=_choices(variants.get(str(trial["arm"]), {})),
        )
        for trial in resolved.get("history") or ()
    )


def _choices(variant: Mapping[str, Any]) -> dict[str, Any]:
    return {**(variant.get("options") or {}), **(variant.get("settings") or {})}


def corpus_facts(fact: Mapping[str, Any]) -> CorpusFacts:  # JSON values of any shape
    """A corpus of `read_resolved` as a record."""
    return CorpusFacts(
        name=str(fact["name"]),
        licence=str(fact.get("licence", "")),
        source=str(fact.get("source", "")),
        synthetic=bool(fact["synthetic"]),
        n_utterances=int(fact.get("n_tested") or fact["n_utterances"]),
        n_speakers=int(fact.get("n_test_speakers") or fact["n_speakers"]),
        labels=tuple(fact["labels"]),
        split=str(fact["split"]),
        protocol=fact.get("protocol") or {},
        leaks=tuple(fact.get("leaks") or ()),
        audit=tuple(fact.get("audit") or ()),
        folds=tuple(fact["folds"]),
        notes=tuple(str(note) for note in fact.get("notes") or ()),
        outside=tuple(_outside(one) for one in fact.get("outside") or ()),
        trace_rate_hz=float(fact.get("trace_rate_hz") or 0.0),
        data=str(fact.get("data", "")),
    )


def _outside(fact: Mapping[str, Any]) -> OutsideFacts:
    return OutsideFacts(
        name=str(fact["name"]),
        licence=str(fact.get("licence", "")),
        source=str(fact.get("source", "")),
        n_utterances=int(fact["n_utterances"]),
        n_speakers=int(fact["n_speakers"]),
    )


def same_split(corpus: CorpusFacts, records: Iterable[FoldResult]) -> None:
    """Raises NotComparable where a record was measured on another split."""
    for record in records:
        if record.split != corpus.split:
            raise NotComparable(
                f"{corpus.name}: arm {record.arm}, fold {record.fold}, seed {record.seed} was "
                f"measured on split {record.split}, the study is on split {corpus.split}"
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
    low, median, high = np.percentile(values, [10, 50, 90]).tolist() if values else [None] * 3
    return Measured(
        name=name,
        unit=found[0].unit,
        median=median,
        low=low,
        high=high,
        total=float(np.sum(values)) if values else None,
        largest=float(np.max(values)) if values else None,
        n=len(values),
        reason=reasons[0] if reasons else "",
    )
