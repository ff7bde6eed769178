"""Writes a run folder with known effects, as a study would leave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from serlab.bench.contracts import (
    FoldResult,
    Groups,
    Measurement,
    Predictions,
    Status,
    Variant,
    plain,
)
from serlab.bench.insight import (
    AttentionMap,
    Embeddings,
    Insight,
    StreamWeights,
    write_insight,
)
from serlab.bench.meters.records import Cell, Measured
from serlab.bench.store import Store

SPLIT = "0123456789abcdef"


@dataclass(frozen=True, kw_only=True)
class FakeStudy:
    """What the fake run is like; ``skill`` is each arm's chance of being right.

    Of traces it is the share of the truth in the prediction, and 0 predicts constants.
    """

    name: str = "fake"
    system: str = "li2018"
    skill: Mapping[str, float] = field(
        default_factory=lambda: {
            "base": 0.75,
            "pooling=max": 0.74,
            "pooling=mean": 0.55,
            "filters=time": 0.62,
            "filters=square": 0.90,
            "svm": 0.70,
        }
    )
    labels: tuple[str, ...] = ("anger", "joy", "neutral", "sadness")
    speakers: tuple[str, ...] = ("s1", "s2", "s3", "s4", "s5")
    seeds: tuple[int, ...] = (0, 1, 2)
    per_cell: int = 12
    """Utterances of each speaker and class."""
    synthetic: bool = True
    leaks: tuple[str, ...] = ()
    design: str = "ablate"
    corpora: tuple[str, ...] = ("synth",)
    lost: Mapping[tuple[str, str, int], Status | None] = field(default_factory=dict)
    """(arm, fold, seed) that did not complete; None leaves no record at all."""
    meters: bool = True
    processes: int = 3
    batches: tuple[int, ...] = (1, 8)
    """Of the meters."""
    unmetered: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Why an arm's meters fail at a batch size."""
    load: float = 0.5
    """Of the machine before each process of the meters."""
    epochs: int = 8
    target: str = "emotion"
    """Or "traces", whose dimensions ``labels`` names and whose metric is CCC."""
    n_frames: int = 60
    """Of each trace; a speaker has ``per_cell`` utterances."""
    rate_hz: float = 10.0
    transductive: Mapping[str, str] = field(default_factory=dict)
    """Reason by arm."""
    notes: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    """Names of outside corpora."""
    probes: Mapping[str, float] = field(default_factory=dict)
    """What the speaker probe reaches by arm; the others have none."""
    metric: str = ""
    """Empty is UA, of traces CCC."""
    split: str = SPLIT
    data: str = "d0"
    groups: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By group, the value of each speaker."""
    conditions: Mapping[str, float] = field(default_factory=dict)
    """By audio condition, the share of the test utterances that are then called the first class."""
    history: tuple[tuple[str, float | None, str], ...] = ()
    """Arm, validation score and state of a search's trials; the first is the best."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """Of a search's variants, by arm; empty where it looks at the score alone."""
    options: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """By arm; the others have a pooling, the name behind their "="."""

    @property
    def folds(self) -> tuple[str, ...]:
        """One fold a speaker."""
        return tuple(f"fold{i}" for i in range(len(self.speakers)))

    def kind(self, arm: str) -> str:
        """What the study calls the arm."""
        if arm == "svm":
            return "baseline"
        if arm == next(iter(self.skill)):
            return "base"
        return "searched" if self.design == "search" else "arm"


def write_fake_run(folder: Path, study: FakeStudy | None = None) -> Path:
    """Writes the run and returns its folder."""
    study = study or FakeStudy()
    store = Store.create(folder)
    store.write_json("resolved.json", _resolved(study))
    environment = store.keep_environment({"cpu": "fake CPU <model>", "python": "3.11", "gpu": None})
    for corpus in study.corpora:
        for arm in study.skill:
            for seed in study.seeds:
                for fold in study.folds:
                    result = _result(study, arm, corpus, fold, seed, environment)
                    if result is not None:
                        store.append(result)
    for number in range(len(study.corpora) if study.groups else 0):
        store.write_groups(number, _groups(study))
    if study.meters:
        _write_meters(store, study)
    return folder


def _write_meters(store: Store, study: FakeStudy) -> None:
    for number, fact in enumerate(_resolved(study)["arms"]):
        for process in range(study.processes):
            for batch in study.batches:
                made = _meter(study, number, fact["variant"], fact["name"], process, batch)
                store.write_json(f"meters/{made.cell.key}-{process}.json", plain(made))


def _key(arm: str, corpus: str, seed: int, study: FakeStudy) -> str:
    return f"{list(study.skill).index(arm):02d}{study.corpora.index(corpus):02d}{seed:012d}"


def _resolved(study: FakeStudy) -> dict[str, Any]:
    arms = [
        {
            "name": name,
            "variant": {
                "system": "svm" if name == "svm" else study.system,
                "preset": "small",
                "options": dict(
                    study.options.get(name, {"pooling": name.partition("=")[2] or "attention"})
                ),
                "settings": {"epochs": study.epochs, "learning_rate": 2e-3},
            },
            "parameters": None if name == "svm" else 93_573 + 100 * index,
            "is_base": index == 0,
            **({"transductive": study.transductive[name]} if name in study.transductive else {}),
            "kind": study.kind(name),
        }
        for index, name in enumerate(study.skill)
    ]
    corpora = [
        {
            "name": name,
            "licence": "Apache-2.0",
            "source": "serlab",
            "synthetic": study.synthetic,
            "n_utterances": n_utterances(study),
            "n_speakers": len(study.speakers),
            "labels": list(study.labels),
            "split": study.split,
            "data": study.data,
            "trace_rate_hz": study.rate_hz if study.target == "traces" else 0.0,
            "notes": list(study.notes),
            "outside": [
                {
                    "name": other,
                    "licence": "CC-BY-4.0",
                    "source": "elsewhere",
                    "n_utterances": 1440,
                    "n_speakers": 24,
                }
                for other in study.outside
            ],
            "protocol": {
                "target": study.target,
                "split": "leave-one-speaker-out",
                "validation": 2,
                "groups": 5,
                "max_folds": 0,
                "labels": [],
                "normalisation": "train",
                "selection": "validation-score",
                "absent_classes": "dropped",
                "seed": 0,
            },
            "leaks": list(study.leaks),
            "audit": [
                {
                    "severity": "note",
                    "kind": "sentences",
                    "text": "all 10 sentences are in train and test of every fold",
                }
            ],
            "folds": list(study.folds),
        }
        for name in study.corpora
    ]
    trials = [
        {"key": _key(arm, corpus, seed, study), "arm": arm, "corpus": corpus, "seed": seed}
        for arm in study.skill
        for corpus in study.corpora
        for seed in study.seeds
    ]
    return {
        "schema": 1,
        "serlab": "0.1.0",
        "name": study.name,
        "question": "What is each component worth?",
        "design": study.design,
        "synthetic": study.synthetic,
        "metric": study.metric or ("ccc" if study.target == "traces" else "ua"),
        "margin": 0.02,
        "level": 0.95,
        "base": next(iter(study.skill)),
        "command": f"serlab run {study.name}",
        "created": "2026-01-01T00:00:00+00:00",
        "arms": arms,
        "corpora": corpora,
        "seeds": list(study.seeds),
        "trials": trials,
        "study": {
            "name": study.name,
            "search": {"cost": "parameters"} if study.costs else None,
            "meters": {
                "devices": [""],
                "dtypes": ["fp32"],
                "batches": list(study.batches),
                "seconds": [3.0],
                "threads": 1,
            },
        },
        "skipped": [{"arm": "egemaps", "reason": "needs the extra opensmile"}],
        "best": study.history[0][0] if study.history else None,
        "history": [
            {"number": i, "arm": arm, "validation": value, "state": state}
            | ({"cost": study.costs.get(arm)} if study.costs else {})
            for i, (arm, value, state) in enumerate(study.history)
        ],
        **({"front": _front(study)} if study.costs else {}),
    }


def _front(study: FakeStudy) -> list[str]:
    """The variants that no other beats in score and cost, the cheapest first."""
    values = {a: v for a, v, _ in study.history if v is not None and a in study.costs}
    front = [
        arm
        for arm, value in values.items()
        if all(value >= values[other] or study.costs[arm] < study.costs[other] for other in values)
    ]
    return sorted(front, key=lambda arm: study.costs[arm])


def _result(
    study: FakeStudy, arm: str, corpus: str, fold: str, seed: int, environment: str
) -> FoldResult | None:
    status = study.lost.get((arm, fold, seed), Status.COMPLETED)
    if status is None:
        return None
    rng = np.random.default_rng([abs(hash_of(x)) for x in (arm, fold, str(seed))])
    done = status is Status.COMPLETED
    epochs = np.arange(1, study.epochs + 1)
    loss = 1.4 * np.exp(-epochs / 4) + rng.normal(0, 0.02, len(epochs))
    curves = {
        "train_loss": tuple(loss.tolist()),
        "validation_loss": tuple((loss + 0.2 + 0.01 * epochs).tolist()),
        "validation_ccc" if study.target == "traces" else "validation_ua": tuple(
            np.clip(study.skill[arm] * (1 - np.exp(-epochs / 2)), 0, 1).tolist()
        ),
    }
    return FoldResult(
        trial=_key(arm, corpus, seed, study),
        arm=arm,
        corpus=corpus,
        split=study.split,
        fold=fold,
        seed=seed,
        status=status,
        reason="" if done else "loss is nan in epoch 3 <b>$x_1$</b>",
        chosen_epoch=6 if done else None,
        curves=curves if done and arm != "svm" else {},
        measurements=_measurements(rng) | _probe(study, arm, rng) if done else {},
        predictions=_predictions(study, arm, fold, rng) if done else None,
        environment=environment,
    )


def hash_of(text: str) -> int:
    """A number for a text that is the same in every process."""
    return int.from_bytes(text.encode()[:8].ljust(8, b"\0"), "big") + len(text)


def _measurements(rng: np.random.Generator) -> dict[str, Measurement]:
    return {
        "train_wall": Measurement(value=float(rng.uniform(1, 2)), unit="s"),
        "train_cpu": Measurement(value=float(rng.uniform(1, 2)), unit="s"),
        "peak_memory": Measurement(value=3e8, unit="bytes"),
        "cuda_allocated": Measurement(value=None, unit="bytes", reason="no CUDA device"),
    }


def _probe(study: FakeStudy, arm: str, rng: np.random.Generator) -> dict[str, Measurement]:
    if arm not in study.probes:
        return {}
    found = float(np.clip(study.probes[arm] + rng.normal(0, 0.05), 0, 1))
    chance = 1 / max(2, len(study.speakers) - 2)
    return {
        "speaker_probe": Measurement(value=found, unit="share"),
        "speaker_probe_chance": Measurement(value=chance, unit="share"),
    }


def n_utterances(study: FakeStudy) -> int:
    """Utterances of the whole corpus."""
    cells = 1 if study.target == "traces" else len(study.labels)
    return len(study.speakers) * cells * study.per_cell


def _traces(study: FakeStudy, arm: str, fold: str, rng: np.random.Generator) -> Predictions:
    """As `_predictions`, frame by frame; a truth is the utterance's own, whatever the arm."""
    place = study.folds.index(fold)
    tested = study.speakers[place]
    following = study.speakers[(place + 1) % len(study.speakers)]
    rows, truths = [], []
    for speaker, part in ((tested, "test"), (following, "validation")):
        for i in range(study.per_cell):
            own = np.random.default_rng([abs(hash_of(speaker)), i])
            steps = own.normal(0, 0.15, (study.n_frames, len(study.labels)))
            truths.append(own.normal(0, 0.4, len(study.labels)) + steps.cumsum(axis=0))
            rows += [(f"{speaker}-{i}", speaker, part, frame) for frame in range(study.n_frames)]
    truth = np.concatenate(truths).astype(np.float32)
    noise = rng.normal(0, 0.05, truth.shape).cumsum(axis=0)
    noise -= noise.mean(axis=0)
    moved = study.skill[arm] > 0
    scores = study.skill[arm] * truth + moved * 0.3 * np.clip(noise, -2, 2) + 0.01
    return Predictions(
        ids=tuple(row[0] for row in rows),
        speakers=tuple(row[1] for row in rows),
        parts=tuple(row[2] for row in rows),
        truth=truth,
        scores=scores.astype(np.float32),
        frames=tuple(row[3] for row in rows),
    )


def _groups(study: FakeStudy) -> Groups:
    """The groups of every utterance, the last one first."""
    ids = [
        (f"{speaker}-{c}-{i}", speaker)
        for speaker in reversed(study.speakers)
        for c in range(len(study.labels))
        for i in range(study.per_cell)
    ]
    speakers = tuple(speaker for _, speaker in ids)
    return Groups(
        ids=tuple(name for name, _ in ids),
        speakers=speakers,
        values={g: tuple(of[s] for s in speakers) for g, of in study.groups.items()},
    )


def _under_conditions(study: FakeStudy, held: Predictions) -> Predictions:
    """With the test part again, as each condition spoils it."""
    rows = [i for i, part in enumerate(held.parts) if part == "test"]
    ids, speakers, parts = list(held.ids), list(held.speakers), list(held.parts)
    scores = [held.scores]
    for name, share in study.conditions.items():
        ids += [held.ids[i] for i in rows]
        speakers += [held.speakers[i] for i in rows]
        parts += [f"test:{name}"] * len(rows)
        spoilt = held.scores[rows]
        if share:
            spoilt[:: round(1 / share)] = np.eye(len(study.labels), dtype=np.float32)[0]
        scores.append(spoilt)
    times = [np.arange(len(held.ids)), *[np.array(rows)] * len(study.conditions)]
    return Predictions(
        ids=tuple(ids),
        speakers=tuple(speakers),
        parts=tuple(parts),
        truth=held.truth[np.concatenate(times)],
        scores=np.concatenate(scores),
    )


def _predictions(study: FakeStudy, arm: str, fold: str, rng: np.random.Generator) -> Predictions:
    """Test predictions of the fold's speaker, and validation ones of the next speaker."""
    if study.target == "traces":
        return _traces(study, arm, fold, rng)
    n_classes = len(study.labels)
    place = study.folds.index(fold)
    tested = study.speakers[place]
    following = study.speakers[(place + 1) % len(study.speakers)]
    rows = [
        (f"{speaker}-{c}-{i}", speaker, part, c)
        for speaker, part in ((tested, "test"), (following, "validation"))
        for c in range(n_classes)
        for i in range(study.per_cell)
    ]
    truth = np.array([row[3] for row in rows])
    right = rng.random(len(rows)) < study.skill[arm]
    said = np.where(right, truth, (truth + rng.integers(1, n_classes, len(rows))) % n_classes)
    scores = np.full((len(rows), n_classes), 0.3 / n_classes, dtype=np.float32)
    scores[np.arange(len(rows)), said] += 0.7
    held = Predictions(
        ids=tuple(row[0] for row in rows),
        speakers=tuple(row[1] for row in rows),
        parts=tuple(row[2] for row in rows),
        truth=truth.astype(np.int64),
        scores=scores,
    )
    return _under_conditions(study, held)


def _meter(
    study: FakeStudy, number: int, variant: dict[str, Any], name: str, process: int, batch: int
) -> Measured:
    """One process; the second is slower by a tenth than the first, and the third by a fifth."""
    slower = 1 + 0.1 * process
    cell = Cell(
        variant=Variant(**variant), n_classes=len(study.labels), target=study.target, batch=batch
    )
    latency = (2.0 + number * 0.7) * batch**0.8 * slower
    samples = tuple(round(latency * 1e6) + i for i in range(100))
    values = {
        "latency_p50": (latency, "ms"),
        "latency_p90": (latency * 1.5, "ms"),
        "throughput": (batch / latency * 1e3, "1/s"),
        "rtf": (latency / 3e3 / batch, "s/s"),
        "rtf_with_features": (latency / 1e3 / batch, "s/s"),
        "feature_p50": (2 * latency, "ms"),
        "train_p50": (5 * latency, "ms"),
        "parameters": (93_573 + 5000 * number**2, "parameters"),
        "trainable_parameters": (93_573 + 5000 * number**2, "parameters"),
        "checkpoint": (400_000, "bytes"),
        "macs": (1_000_000 * batch * (1 + number), "MAC"),
        "flops": (2_000_000 * batch * (1 + number), "FLOP"),
        "peak_memory": (3e8 + 1e6 * process, "bytes"),
    }
    found = {k: Measurement(value=float(v), unit=unit) for k, (v, unit) in values.items()}
    none = {"latency_p99": ("ms", "needs 662 calls, there are 100"), **NO_CUDA}
    found |= {k: Measurement(value=None, unit=u, reason=why) for k, (u, why) in none.items()}
    environment = {
        "cpu": "fake CPU <model>",
        "cores": 2,
        "load_before": {"load_1m": study.load, "load_per_core": study.load / 2},
        "load_after": {"load_1m": 1.0, "load_per_core": 0.5},
    }
    if (name, batch) in study.unmetered:
        reason = study.unmetered[name, batch]
        return Measured(cell=cell, label=name, process=process, status="failed", reason=reason)
    return Measured(
        cell=cell,
        label=name,
        process=process,
        phases={"build": Measurement(value=0.02, unit="s")},
        samples_ns=samples,
        measurements=found,
        environment=environment,
    )


NO_CUDA = {"cuda_allocated": ("bytes", "the section ran on the CPU")}


# --- a look inside of trainings --------------------------------------------------------------


def add_insight(folder: Path, study: FakeStudy, *kinds: str) -> Path:
    """Adds a look inside the first training of each arm but "svm" to a run that is written.

    ``kinds`` are of "embeddings", "maps" and "weights"; why the others are missing is told.
    """
    store = Store.open(folder)
    resolved = store.resolved()
    resolved["study"]["insight"] = {"embeddings": True, "utterances": 4}
    store.write_json("resolved.json", resolved)
    for record in store.records():
        if (record.fold, record.seed) == (study.folds[0], study.seeds[0]) and record.arm != "svm":
            write_insight(store.insight_path(record.cell), insight_of(study, record.arm, kinds))
    return folder


def insight_of(study: FakeStudy, arm: str, kinds: Sequence[str]) -> Insight:
    """What is kept of an arm; the more skill, the farther apart are its emotions."""
    rng = np.random.default_rng([abs(hash_of(arm)), 7])
    n = len(study.labels) if study.target == "emotion" else 2
    shown = [f"{study.speakers[0]}-{c}-0" for c in range(n)]
    return Insight(
        embeddings=_embeddings(study, arm, rng) if "embeddings" in kinds else None,
        maps=tuple(_map(study, c, rng) for c in range(n)) if "maps" in kinds else (),
        weights=tuple(_weights(study, i, rng) for i in shown) if "weights" in kinds else (),
        absent={k: f"has no {k}" for k in ("embeddings", "maps", "weights") if k not in kinds},
    )


def _embeddings(study: FakeStudy, arm: str, rng: np.random.Generator) -> Embeddings:
    classes = range(len(study.labels) if study.target == "emotion" else 1)
    rows = [(s, c, i) for s in study.speakers for c in classes for i in range(study.per_cell)]
    speakers = {s: rng.normal(0, 0.8, 6) for s in study.speakers}
    emotions = rng.normal(0, 3 * study.skill[arm], (len(classes), 6))
    part = dict(zip(study.speakers, ("test", "validation"), strict=False))
    values = [speakers[s] + emotions[c] + rng.normal(0, 1, 6) for s, c, _ in rows]
    return Embeddings(
        ids=tuple(f"{s}-{c}-{i}" for s, c, i in rows),
        speakers=tuple(s for s, _, _ in rows),
        emotions=tuple(study.labels[c] if study.target == "emotion" else "" for _, c, _ in rows),
        parts=tuple(part.get(s, "train") for s, _, _ in rows),
        values=np.array(values, np.float32),
    )


def _map(study: FakeStudy, c: int, rng: np.random.Generator) -> AttentionMap:
    """Attention on what is loud, and a control that does not look at anything."""
    frames, bins = np.mgrid[0 : 90 + 20 * c, 0:40]
    seen = np.sin(frames / (5 + c)) + np.cos(bins / 3) + rng.normal(0, 0.3, frames.shape)
    trained = np.exp(0.6 * seen + rng.normal(0, 0.3, frames.shape))
    control = 1 + 0.1 * rng.random(frames.shape)
    return AttentionMap(
        id=f"{study.speakers[0]}-{c}-0",
        speaker=study.speakers[0],
        emotion=study.labels[c],
        said=study.labels[c and c - 1],
        input="image",
        hop_s=0.01,
        seen=seen.astype(np.float32),
        trained=(trained / trained.sum()).astype(np.float32),
        random=(control / control.sum()).astype(np.float32),
    )


def _weights(study: FakeStudy, utterance: str, rng: np.random.Generator) -> StreamWeights:
    share = 0.7 + 0.2 * np.sin(np.arange(study.n_frames) / 6) + rng.normal(0, 0.02, study.n_frames)
    flat = 0.5 + rng.normal(0, 0.02, study.n_frames)
    return StreamWeights(
        id=utterance,
        speaker=study.speakers[0],
        streams=("semantic", "paralinguistic"),
        hop_s=1 / study.rate_hz,
        trained=np.stack([share, 1 - share], axis=1).astype(np.float32),
        random=np.stack([flat, 1 - flat], axis=1).astype(np.float32),
    )
