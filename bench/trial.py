"""One training: a variant on a fold with a seed, from features to a fold result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from serlab.bench.checkpoint import Keep, Kept, save
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
    Unlabelled,
    Utterance,
)
from serlab.bench.data import Arrays, Items, Normaliser, Rated, class_weights
from serlab.bench.errors import BadValue
from serlab.bench.insight import write_insight
from serlab.bench.looks import Look, insight_of
from serlab.bench.meters.memory import peak_memory
from serlab.bench.perturb import copy_ids
from serlab.bench.predict import embed, predict
from serlab.bench.probe import speaker_probe
from serlab.bench.seeds import seed_of, torch_seeded
from serlab.bench.train import Diverged, Trainer

TRAINING_COST = {
    "train_wall": "s",
    "train_cpu": "s",
    **dict.fromkeys(("peak_memory", "cuda_allocated", "cuda_reserved", "cuda_process"), "bytes"),
}
"""What is measured of every training, however it ends."""


class Estimator(Kept, Protocol):
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
    """What all folds of a corpus share: its utterances, its split and its features.

    Args:
        corpus: the one that is tested.
        split: its folds.
        arrays: by input, by utterance id, of all utterances that the system uses.
        rates: frames per second of every input.
        outside: utterances of other corpora, whose ids and speakers are like no other's.
        rated: the continuous labels, where the split asks for traces.
        unscaled: inputs that no normalisation touches, such as counts.
        conditioned: by audio condition, what gives the inputs made from sound, by utterance id,
            of utterances heard under it. Nothing but the prediction of a test part asks for it.
    """

    corpus: Corpus
    split: Split
    arrays: Arrays
    rates: Mapping[str, float]
    outside: tuple[Utterance, ...] = ()
    rated: Rated | None = None
    unscaled: frozenset[str] = frozenset()
    conditioned: Mapping[str, Callable[[Sequence[Utterance]], Arrays]] = field(default_factory=dict)

    @cached_property
    def known(self) -> dict[str, Utterance]:
        """The corpus's utterances by id."""
        return self.corpus.by_id()

    def utterances(self, ids: Sequence[str]) -> list[Utterance]:
        """The utterances of these ids, in order."""
        return [self.known[i] for i in ids]

    def without_class(self, speakers: Collection[str]) -> list[Utterance]:
        """The speakers' utterances whose emotion is none of the classes."""
        return [
            u
            for u in self.corpus.utterances
            if u.speaker in speakers and u.emotion not in self.split.labels
        ]

    def sizes(self, n_speakers: int, n_corpora: int) -> Sizes:
        """What a network must know to be built."""
        first = {name: next(iter(found.values())) for name, found in self.arrays.items()}
        return Sizes(
            n_classes=len(self.split.labels),
            n_speakers=n_speakers,
            n_features={name: values.shape[1] for name, values in first.items()},
            rate_hz=self.rates,
            n_corpora=n_corpora,
            target=self.split.protocol.target,
        )


def run_fold(
    spec: TrialSpec,
    arm: str,
    fold: Fold,
    system: System,
    bench: Bench,
    device: str = "cpu",
    keep: Keep | None = None,
    look: Look | None = None,
) -> FoldResult:
    """Trains and tests one fold; whatever goes wrong becomes a result that says so.

    What it has trained is kept where ``keep`` says so, and a look inside it where ``look`` does.
    A look changes no result, is no part of what training cost, and loses nothing where it fails.
    """
    blank = FoldResult(
        trial=spec.key,
        arm=arm,
        corpus=bench.corpus.name,
        split=bench.split.hash,
        fold=fold.name,
        seed=spec.seed,
        status=Status.FAILED,
    )
    fitted = None
    wall, cpu = time.perf_counter(), time.process_time()
    with peak_memory(device) as measurements:
        try:
            fitted = _fit(spec, fold, system, bench, torch.device(device))
            result, found = _tested(blank, fitted, bench, torch.device(device))
            measurements.update(found)
            if keep is not None:
                save(keep, fitted.built, fitted.sizes, fitted.normaliser)
        except Diverged as error:
            result = replace(blank, status=Status.DIVERGED, reason=str(error))
        except Exception as error:
            result = replace(blank, reason=_told(error))
        took = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    for name, spent in took.items():
        apart = measurements.get(f"conditions_{name}")
        rest = spent - (apart.value or 0.0 if apart else 0.0)
        measurements[f"train_{name}"] = Measurement(value=rest, unit="s")
    if look is not None and fitted is not None and result.status is Status.COMPLETED:
        result = replace(result, reason=_looked(look, fitted, system, torch.device(device)))
    return replace(result, measurements=measurements)


def _told(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.name}, line {last.lineno})"


def untrained(blank: FoldResult, reason: str) -> FoldResult:
    """The result of a training that did not take place, or whose process is gone."""
    nothing = {
        name: Measurement(value=None, unit=unit, reason=reason)
        for name, unit in TRAINING_COST.items()
    }
    return replace(blank, status=Status.FAILED, reason=reason, measurements=nothing)


@dataclass(frozen=True, kw_only=True)
class _Fitted:
    """What a training came to, before it is tested."""

    built: Any  # as System.build
    sizes: Sizes
    parts: Mapping[Part, Items]
    normaliser: Normaliser
    seed: int
    epoch: int | None = None
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def judged(self) -> dict[str, Items]:
        """The parts that are predicted, by name."""
        return {p: self.parts[p] for p in (Part.TEST, Part.VALIDATION) if self.parts[p].scored}


def _fit(
    spec: TrialSpec, fold: Fold, system: System, bench: Bench, device: torch.device
) -> _Fitted:
    """What is built for a fold, trained on it."""
    parts, streams = fold_items(fold, system, bench)
    train = streams["train"]
    seed = seed_of(spec.seed, bench.corpus.name, fold.name)
    sizes = bench.sizes(len(train.speakers), len(train.corpora))
    with torch_seeded(seed, "weights"):
        built = system.build(sizes)
    fitted = _Fitted(built=built, sizes=sizes, parts=parts, normaliser=train.normaliser, seed=seed)
    stages = tuple(_shortened(stage, spec.max_epochs) for stage in system.stages())
    if not stages:
        inputs, truth = vectors(parts[Part.TRAIN])
        built.fit(inputs, truth, seed % 2**31)
        return fitted
    trainer = Trainer(
        streams=streams,
        validation=fitted.judged().get(Part.VALIDATION),
        augmentation=system.augmentation(),
        selection=bench.split.protocol.selection,
        seed=seed,
        device=device,
    )
    trained = trainer.run(built.to(device), stages)
    return replace(fitted, epoch=trained.chosen_epoch, curves=trained.curves)


def _tested(
    blank: FoldResult, fitted: _Fitted, bench: Bench, device: torch.device
) -> tuple[FoldResult, dict[str, Measurement]]:
    """The result with its status, curves and predictions, and what was measured on the way."""
    built, tested = fitted.built, fitted.parts[Part.TEST]
    measured = _probed(fitted, bench, device)
    judged = fitted.judged()
    scores = {part: scores_of(built, items, device) for part, items in judged.items()}
    asked = time.perf_counter(), time.process_time()
    for part, items in _under_conditions(tested, bench):
        judged[part], scores[part] = tested, scores_of(built, items, device)
    if bench.conditioned:
        measured["conditions_wall"] = Measurement(value=time.perf_counter() - asked[0], unit="s")
        measured["conditions_cpu"] = Measurement(value=time.process_time() - asked[1], unit="s")
    result = replace(
        blank,
        status=Status.COMPLETED,
        chosen_epoch=fitted.epoch,
        curves=fitted.curves,
        predictions=predictions(judged, scores),
    )
    return result, measured


def _probed(fitted: _Fitted, bench: Bench, device: torch.device) -> dict[str, Measurement]:
    """How much of the speakers a network's embeddings hold, where the protocol asks for that."""
    if not (bench.split.protocol.speaker_probe and isinstance(fitted.built, nn.Module)):
        return {}
    labelled = fitted.parts[Part.TRAIN]
    speakers = [u.speaker for u in labelled.scored]
    return speaker_probe(embed(fitted.built, labelled, device), speakers)


def _looked(look: Look, fitted: _Fitted, system: System, device: torch.device) -> str:
    """Keeps a look inside a training beside its untrained control; why not, where it cannot."""

    def control() -> nn.Module:
        with torch_seeded(fitted.seed, "control"):
            built: nn.Module = system.build(fitted.sizes)
        return built.to(device)

    try:
        found = insight_of(look, fitted.built, control, fitted.parts, device)
        write_insight(look.path, found)
    except Exception as error:
        return f"no look inside it was kept: {_told(error)}"
    return ""


def fold_items(
    fold: Fold, system: System, bench: Bench
) -> tuple[dict[Part, Items], dict[str, Items]]:
    """The items of a fold's parts, and those that training draws from, by stream.

    Only training utterances (and outside corpora) decide on normalisation and class weights.
    Utterances that join unlabelled have their label taken away before anything sees them.
    """
    parts = {part: bench.utterances(fold.part(part)) for part in Part}
    train = parts[Part.TRAIN]
    wanted, wants = system.streams(), system.unlabelled()
    outside = [u for u in bench.outside if any(s.takes(u.corpus) for s in wanted.values())]
    context = {part: _context(parts[part], wants, bench) for part in Part}
    joined = [replace(u, emotion=None, traces=None) for u in parts[Part.TEST]]
    more = joined if "test-speakers" in wants else []
    speakers = {u.speaker for u in (*train, *more, *outside)}
    everyone = [u for part in Part for u in (*parts[part], *context[part])]
    mode = bench.split.protocol.normalisation
    scaled = {name: held for name, held in bench.arrays.items() if name not in bench.unscaled}
    blank = Items(
        utterances=(),
        arrays=bench.arrays,
        rates={name: bench.rates[name] for name in system.inputs()},
        normaliser=Normaliser.fit(mode, scaled, train, everyone, outside),
        segments=system.segments(),
        labels=bench.split.labels,
        speakers=sorted(speakers),
        class_weights=class_weights(_weighting(system, bench), train, bench.split.labels),
        corpora=("", *sorted({u.corpus for u in outside})),
        rated=bench.rated,
    )
    items = {
        part: replace(blank, utterances=(*parts[part], *context[part]),
                      n_context=len(context[part]))
        for part in Part
    }  # fmt: skip
    drawn = replace(blank, copies=_copies(train, system, bench))
    whole = (*items[Part.TRAIN].utterances, *more)
    streams = {"train": replace(drawn, utterances=whole, n_context=len(whole) - len(train))}
    for name, stream in wanted.items():
        mine = [u for u in outside if stream.takes(u.corpus)]
        streams[name] = replace(
            drawn,
            utterances=train if stream.source == "training" else mine,
            rates={input_: bench.rates[input_] for input_ in stream.inputs},
            name=name,
        )
    return items, streams


def _weighting(system: System, bench: Bench) -> str:
    """How the last stage weighs classes; traces and estimators have none."""
    stages = system.stages()
    if not stages or bench.split.protocol.target == "traces":
        return "none"
    return stages[-1].training.class_weights


def _copies(train: Sequence[Utterance], system: System, bench: Bench) -> dict[str, tuple[str, ...]]:
    """The ids of the perturbed copies of this fold's training utterances, and of no others."""
    how = system.perturbation()
    found = {u.id: copy_ids(u.id, how) for u in train if how.copies}
    names = {name for ids in found.values() for name in ids}
    if found and not any(names <= bench.arrays[name].keys() for name in system.inputs()):
        raise BadValue("perturbation", how, "one whose copies have been computed")
    return found


def _context(
    part: Sequence[Utterance], wants: Collection[Unlabelled], bench: Bench
) -> list[Utterance]:
    """What joins a part without being scored: its speakers' utterances out of all classes."""
    if "out-of-class" not in wants:
        return []
    found = bench.without_class({u.speaker for u in part})
    return [replace(u, emotion=None, traces=None) for u in found]


def vectors(items: Items) -> tuple[dict[str, FloatArray], npt.NDArray[np.int64]]:
    """Normalised inputs (utterance, value), the mean over frames where there are several."""
    inputs = {
        name: np.stack(
            [items.normaliser(name, u, items.arrays[name][u.id]).mean(axis=0) for u in items.scored]
        )
        for name in items.rates
    }
    return inputs, items.truth()


def scores_of(built: Any, items: Items, device: torch.device) -> FloatArray:  # as System.build
    """What a trained network or a fitted estimator says of the scored utterances."""
    if isinstance(built, nn.Module):
        return predict(built, items, device)
    scores: FloatArray = built.predict(vectors(items)[0])
    return scores


def _under_conditions(tested: Items, bench: Bench) -> Iterator[tuple[str, Items]]:
    """The test part under each audio condition, by the name of its rows.

    Only the inputs made from sound are other ones. The normaliser is that of the clean audio,
    also where it is transductive.
    """
    for name, heard in bench.conditioned.items() if tested.scored else ():
        arrays = {**tested.arrays, **heard(tested.utterances)}
        yield f"{Part.TEST}:{name}", replace(tested, arrays=arrays)


def _shortened(stage: Stage, max_epochs: int) -> Stage:
    if not max_epochs or stage.training.epochs <= max_epochs:
        return stage
    return replace(stage, training=replace(stage.training, epochs=max_epochs))


def predictions(judged: Mapping[str, Items], scores: Mapping[str, FloatArray]) -> Predictions:
    """The scores of the judged parts, one row an utterance or a frame.

    Raises:
        Diverged: a score is not finite.
    """
    for part in judged:
        if not np.isfinite(scores[part]).all():
            raise Diverged(f"a predicted score is not finite ({part})")
    joined = np.concatenate([scores[part] for part in judged])
    rows = [
        (u, part, frame)
        for part, items in judged.items()
        for u in items.scored
        for frame in range(len(items.rated.traces[u.id]) if items.rated else 1)
    ]
    rated = any(items.rated for items in judged.values())
    return Predictions(
        ids=tuple(u.id for u, _, _ in rows),
        speakers=tuple(u.speaker for u, _, _ in rows),
        parts=tuple(str(part) for _, part, _ in rows),
        truth=np.concatenate([items.truth() for items in judged.values()]),
        scores=joined,
        frames=tuple(frame for _, _, frame in rows) if rated else (),
    )
