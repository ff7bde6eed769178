"""One training: a variant on a fold with a seed, from features to a fold result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from serlab.bench.contracts import (
    Corpus,
    FloatArray,
    Fold,
    FoldResult,
    Measurement,
    Part,
    Predictions,
    Sizes,
    Split,
    Stage,
    Status,
    System,
    TrialSpec,
    Utterance,
)
from serlab.bench.data import Arrays, Items, Normaliser, class_weights
from serlab.bench.meters.memory import peak_memory
from serlab.bench.seeds import seed_of, torch_seeded
from serlab.bench.train import Diverged, Trained, Trainer, predict


class Estimator(Protocol):
    """What a system without training stages builds: fitted whole, on one vector an utterance."""

    def fit(
        self, inputs: Mapping[str, FloatArray], truth: npt.NDArray[np.int64], seed: int
    ) -> None:
        """Learns from (utterance, value) inputs and class indices."""
        ...

    def predict(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Probabilities (utterance, class)."""
        ...

    def n_parameters(self) -> int:
        """How many numbers it has learnt."""
        ...


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all folds of a corpus share: its utterances, its split and its features."""

    corpus: Corpus
    split: Split
    arrays: Arrays
    rates: Mapping[str, float]

    def utterances(self, ids: Sequence[str]) -> list[Utterance]:
        """The utterances of these ids, in order."""
        known = self.corpus.by_id()
        return [known[i] for i in ids]

    def sizes(self, n_speakers: int) -> Sizes:
        """What a network must know to be built."""
        first = {name: next(iter(found.values())) for name, found in self.arrays.items()}
        return Sizes(
            n_classes=len(self.split.labels),
            n_speakers=n_speakers,
            n_features={name: values.shape[1] for name, values in first.items()},
            rate_hz=self.rates,
        )


def run_fold(
    spec: TrialSpec, arm: str, fold: Fold, system: System, bench: Bench, device: str = "cpu"
) -> FoldResult:
    """Trains and tests one fold; whatever goes wrong becomes a result that says so."""
    blank = FoldResult(
        trial=spec.key,
        arm=arm,
        corpus=bench.corpus.name,
        split=bench.split.hash,
        fold=fold.name,
        seed=spec.seed,
        status=Status.FAILED,
    )
    wall, cpu = time.perf_counter(), time.process_time()
    with peak_memory(device) as measurements:
        try:
            result = _fit(blank, fold, system, bench, torch.device(device), spec.max_epochs)
        except Diverged as error:
            result = replace(blank, status=Status.DIVERGED, reason=str(error))
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__}: {error} ({where.name}, line {where.lineno})"
            result = replace(blank, reason=reason)
    measurements["train_wall"] = Measurement(value=time.perf_counter() - wall, unit="s")
    measurements["train_cpu"] = Measurement(value=time.process_time() - cpu, unit="s")
    return replace(result, measurements=measurements)


def _fit(
    blank: FoldResult,
    fold: Fold,
    system: System,
    bench: Bench,
    device: torch.device,
    max_epochs: int,
) -> FoldResult:
    """The result with its status, curves and predictions filled in."""
    parts = {part: bench.utterances(fold.part(part)) for part in Part}
    items = _items(parts, system, bench)
    judged = [part for part in (Part.TEST, Part.VALIDATION) if parts[part]]
    seed = seed_of(blank.seed, bench.corpus.name, fold.name)
    with torch_seeded(seed, "weights"):
        built = system.build(bench.sizes(len(items[Part.TRAIN].speakers)))
    stages = tuple(_shortened(stage, max_epochs) for stage in system.stages())
    curves: Mapping[str, tuple[float, ...]] = {}
    epoch = None
    if stages:
        trained = _train(built.to(device), stages, items, system, bench, device, seed)
        curves, epoch = trained.curves, trained.chosen_epoch
        scores = {part: predict(built, items[part], device)[0] for part in judged}
    else:
        inputs, truth = vectors(items[Part.TRAIN])
        built.fit(inputs, truth, seed % 2**31)
        scores = {part: built.predict(vectors(items[part])[0]) for part in judged}
    return replace(
        blank,
        status=Status.COMPLETED,
        chosen_epoch=epoch,
        curves=curves,
        predictions=_predictions(parts, judged, scores, bench.split.labels),
    )


def _items(
    parts: Mapping[Part, Sequence[Utterance]], system: System, bench: Bench
) -> dict[Part, Items]:
    """The parts' items; only training utterances decide on normalisation and class weights."""
    train = parts[Part.TRAIN]
    everyone = [u for part in Part for u in parts[part]]
    mode = bench.split.protocol.normalisation
    normaliser = Normaliser.fit(mode, bench.arrays, train, everyone)
    stages = system.stages()
    kind = stages[-1].training.class_weights if stages else "none"
    weights = class_weights(kind, train, bench.split.labels)
    speakers = sorted({u.speaker for u in train})
    return {
        part: Items(
            utterances=parts[part],
            arrays=bench.arrays,
            rates=bench.rates,
            normaliser=normaliser,
            segments=system.segments(),
            labels=bench.split.labels,
            speakers=speakers,
            class_weights=weights,
        )
        for part in Part
    }


def _train(
    network: torch.nn.Module,
    stages: Sequence[Stage],
    items: Mapping[Part, Items],
    system: System,
    bench: Bench,
    device: torch.device,
    seed: int,
) -> Trained:
    trainer = Trainer(
        train=items[Part.TRAIN],
        validation=items[Part.VALIDATION] if items[Part.VALIDATION].utterances else None,
        augmentation=system.augmentation(),
        selection=bench.split.protocol.selection,
        seed=seed,
        device=device,
    )
    return trainer.run(network, stages)


def vectors(items: Items) -> tuple[dict[str, FloatArray], npt.NDArray[np.int64]]:
    """Normalised inputs (utterance, value), the mean over frames where there are several."""
    inputs = {
        name: np.stack(
            [
                items.normaliser(name, u.speaker, items.arrays[name][u.id]).mean(axis=0)
                for u in items.utterances
            ]
        )
        for name in items.rates
    }
    truth = np.array([items.labels.index(u.emotion or "") for u in items.utterances])
    return inputs, truth


def _shortened(stage: Stage, max_epochs: int) -> Stage:
    if not max_epochs or stage.training.epochs <= max_epochs:
        return stage
    return replace(stage, training=replace(stage.training, epochs=max_epochs))


def _predictions(
    parts: Mapping[Part, Sequence[Utterance]],
    judged: Sequence[Part],
    scores: Mapping[Part, FloatArray],
    labels: Sequence[str],
) -> Predictions:
    utterances = [(part, u) for part in judged for u in parts[part]]
    joined = np.concatenate([scores[part] for part in judged])
    if not np.isfinite(joined).all():
        raise Diverged("a predicted score is not finite")
    return Predictions(
        ids=tuple(u.id for _, u in utterances),
        speakers=tuple(u.speaker for _, u in utterances),
        parts=tuple(part.value for part, _ in utterances),
        truth=np.array([labels.index(u.emotion or "") for _, u in utterances]),
        scores=joined,
    )
