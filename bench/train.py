"""The one training loop: for stage, for epoch, for batch, forward, loss, step, log.

It runs any list of stages over any network that keeps the contract of `network.Network`, and
knows no system by name.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from serlab.bench.augment import augment
from serlab.bench.contracts import Augmentation, FloatArray, Selection, Stage, TrainingSettings
from serlab.bench.data import Batch, Items, Place
from serlab.bench.metrics.base import evaluate
from serlab.bench.predict import predict
from serlab.bench.seeds import generator, torch_seeded


class Diverged(Exception):
    """A loss that is no number any more."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """How training went; the network holds the chosen weights."""

    curves: Mapping[str, tuple[float, ...]]
    chosen_epoch: int


@dataclass(kw_only=True)
class _Best:
    """The best epoch so far by the protocol's rule, and its weights."""

    rank: tuple[float, ...] = (-np.inf,)
    epoch: int = 0
    state: dict[str, Tensor] | None = None


@dataclass(kw_only=True)
class _Feed:
    """The mini-batches of a stream, drawn anew whenever they are used up."""

    items: Items
    size: int
    rng: np.random.Generator
    copies_rng: np.random.Generator
    n_batches: int
    left: Iterator[Sequence[Place]] = field(default_factory=lambda: iter(()))
    shown: Items = field(init=False)
    """The items with the copies that this pass shows."""

    def next(self) -> Sequence[Place]:
        """The segments of the next mini-batch, which are among the shown items."""
        found = next(self.left, None)
        if found is None:
            self.shown = self.items.with_copies(self.copies_rng)
            _, self.left = self.shown.training_batches(self.size, self.rng)
            found = next(self.left)
        return found


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains a network by its stages on one fold.

    Args:
        streams: items that gradients come from, by the names that stages ask for; "train" is
            the fold's training part.
        validation: items that choose the epoch; None where the protocol holds none out.
    """

    streams: Mapping[str, Items]
    validation: Items | None
    augmentation: Augmentation
    selection: Selection
    seed: int
    device: torch.device

    def run(self, network: nn.Module, stages: Sequence[Stage]) -> Trained:
        """Trains all stages in turn.

        Raises:
            Diverged: a loss is not finite; says where.
        """
        curves: dict[str, list[float]] = {}
        chosen = 0
        with torch_seeded(self.seed, "training"):
            for stage in stages:
                chosen = self._stage(network, stage, curves)
        return Trained(
            curves={name: tuple(values) for name, values in curves.items()}, chosen_epoch=chosen
        )

    def _stage(self, network: nn.Module, stage: Stage, curves: dict[str, list[float]]) -> int:
        settings = stage.training
        trained = select_parameters(network, stage.trains)
        optimiser = make_optimiser(trained, settings)
        feeds = [self._feed(stage, name) for name in stage.streams]
        n_batches = feeds[0].n_batches
        schedule = make_schedule(optimiser, settings, n_batches)
        averaged = _averaged(network, settings)
        best = _Best()
        for epoch in range(settings.epochs):
            training_mode(network)
            totals: dict[str, list[Tensor]] = {}
            for step in range(n_batches):
                progress = (epoch + step / n_batches) / settings.epochs
                batches = [self._batch(feed, stage, progress) for feed in feeds]
                terms = training_step(network, batches, stage, optimiser, trained)
                for name, value in terms.items():
                    totals.setdefault(name, []).append(value)
                schedule.step()
                if averaged is not None:
                    averaged.update_parameters(network)
            self._log(curves, totals, stage, epoch)
            judged = averaged.module if averaged is not None else network
            self._judge(judged, stage, epoch, curves, best)
            if settings.patience and epoch - best.epoch >= settings.patience:
                break
        final = averaged.module if averaged is not None else network
        network.load_state_dict(best.state if best.state is not None else final.state_dict())
        return best.epoch if best.state is not None else epoch

    def _feed(self, stage: Stage, name: str) -> _Feed:
        """The stream's batches; the first stream's numbers do not depend on what is beside it."""
        words = (stage.name,) + ((name,) if name != stage.streams[0] else ())
        items = self.streams[name]
        count, _ = items.training_batches(stage.training.batch_size, generator(0, "count"))
        return _Feed(
            items=items,
            size=stage.training.batch_size,
            rng=generator(self.seed, "batches", *words),
            copies_rng=generator(self.seed, "copies", *words),
            n_batches=count,
        )

    def _batch(self, feed: _Feed, stage: Stage, progress: float) -> Batch:
        chosen = feed.next()
        batch = feed.shown.batch(chosen, progress, stage.name)
        batch = augment(batch, self.augmentation, feed.items.rates, feed.rng)
        return _smooth(batch, stage.training.label_smoothing).to(self.device)

    def _log(
        self,
        curves: dict[str, list[float]],
        totals: Mapping[str, list[Tensor]],
        stage: Stage,
        epoch: int,
    ) -> None:
        for name, values in totals.items():
            mean = float(torch.stack(values).mean())
            if not np.isfinite(mean):
                raise Diverged(f'{name} of stage "{stage.name}" is {mean} in epoch {epoch + 1}')
            key = "train_loss" if name == "loss" else f"train_{name}"
            curves.setdefault(key, []).append(mean)

    def _judge(
        self,
        network: nn.Module,
        stage: Stage,
        epoch: int,
        curves: dict[str, list[float]],
        best: _Best,
    ) -> None:
        """Scores the validation part and keeps the weights of the best epoch so far."""
        if self.validation is None or not stage.selects:
            return
        bf16 = stage.training.precision == "bf16"
        scores = predict(network, self.validation, self.device, stage=stage.name, bf16=bf16)
        loss, score, name = _quality(self.validation, scores)
        curves.setdefault("validation_loss", []).append(loss)
        curves.setdefault(f"validation_{name}", []).append(score)
        ranks = {
            "validation-score": (score, -loss),
            "validation-loss": (-loss,),
            "last-epoch": (float(epoch),),
        }
        if ranks[self.selection] > best.rank:
            best.rank, best.epoch = ranks[self.selection], epoch
            if self.selection != "last-epoch":
                best.state = copy.deepcopy(network.state_dict())


def training_step(
    network: nn.Module,
    batches: Sequence[Batch],
    stage: Stage,
    optimiser: torch.optim.Optimizer,
    trained: Sequence[nn.Parameter],
) -> dict[str, Tensor]:
    """One update from a mini-batch of each of a stage's streams, all on the network's device.

    Gives "loss" and, where there are several, the stage's own terms.
    """
    bf16 = stage.training.precision == "bf16"
    terms: dict[str, Tensor] = {}
    for batch in batches:
        with torch.autocast(batch.targets.device.type, torch.bfloat16, enabled=bf16):
            output = network(batch)
        found: Mapping[str, Tensor] = network.losses(output.float(), batch)  # type: ignore[operator]
        for name in stage.losses:
            if name in found:
                terms[name] = terms[name] + found[name] if name in terms else found[name]
    loss = torch.stack([stage.losses[name] * term for name, term in terms.items()]).sum()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if stage.training.gradient_clip:
        nn.utils.clip_grad_norm_(trained, stage.training.gradient_clip)
    optimiser.step()
    parts = {n: term.detach() for n, term in terms.items()} if len(stage.losses) > 1 else {}
    return {"loss": loss.detach(), **parts}


def _quality(items: Items, scores: FloatArray) -> tuple[float, float, str]:
    """Loss, score and the score's name: cross-entropy and UA, or 1 - CCC and CCC."""
    truth = items.truth()
    if items.rated:
        score = evaluate("ccc", truth, scores)
        return 1 - score, score, "ccc"
    loss = float(-np.log(np.clip(scores[np.arange(len(truth)), truth], 1e-12, 1)).mean())
    return loss, evaluate("ua", truth, scores), "ua"


def _smooth(batch: Batch, share: float) -> Batch:
    """Targets with a share given to all classes; what has no label keeps none."""
    if not share or not batch.targets.shape[1]:
        return batch
    given = share * batch.targets.sum(dim=1, keepdim=True) / batch.targets.shape[1]
    return replace(batch, targets=batch.targets * (1 - share) + given)


def _averaged(network: nn.Module, settings: TrainingSettings) -> AveragedModel | None:
    if not settings.average:
        return None
    decay = get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=decay, use_buffers=True)


def select_parameters(network: nn.Module, prefixes: Sequence[str]) -> list[nn.Parameter]:
    """The parameters that a stage trains; gradients of the others are switched off."""
    chosen = []
    for name, parameter in network.named_parameters():
        wanted = name.startswith(tuple(prefixes))
        parameter.requires_grad_(wanted)
        if wanted:
            chosen.append(parameter)
    return chosen


def training_mode(network: nn.Module) -> None:
    """Training mode, but for modules all of whose parameters are frozen: they stay as they are."""
    network.train()
    for module in network.modules():
        held = list(module.parameters())
        if held and not any(p.requires_grad for p in held):
            module.eval()


def make_optimiser(
    parameters: Sequence[nn.Parameter], settings: TrainingSettings
) -> torch.optim.Optimizer:
    """The update rule that the settings name, all parameters in one kernel where there is one."""
    lr, decay = settings.learning_rate, settings.weight_decay
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(parameters, lr=lr, weight_decay=decay, fused=True),
        "adam": lambda: torch.optim.Adam(parameters, lr=lr, weight_decay=decay, fused=True),
        "adadelta": lambda: torch.optim.Adadelta(parameters, lr=lr, weight_decay=decay),
        "sgd": lambda: torch.optim.SGD(
            parameters, lr=lr, weight_decay=decay, momentum=settings.momentum,
            nesterov=settings.momentum > 0, fused=True,
        ),
    }  # fmt: skip
    return makers[settings.optimiser]()


def make_schedule(
    optimiser: torch.optim.Optimizer, settings: TrainingSettings, n_batches: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The course of the learning rate, one step a mini-batch.

    "step" multiplies by ``step_factor`` after ``step_share`` of the epochs and after every
    ``step_gap`` from there: a tenth at 20, 30 and 40 of 50 epochs by default, as Li et al. (2018).
    """
    steps = settings.epochs * n_batches
    if settings.schedule == "one-cycle":
        rise = max(0.2, 2 / (steps + 1))  # fewer than two steps of rise divide by zero
        return OneCycleLR(
            optimiser,
            settings.learning_rate,
            total_steps=steps + 1,
            pct_start=rise,
            cycle_momentum=False,
        )
    if settings.schedule == "cosine":
        return CosineAnnealingLR(optimiser, T_max=steps)
    if settings.schedule == "step":
        first, gap = settings.step_share, settings.step_gap
        drops = max(0, math.ceil((1 - first) / gap - 1e-9))
        epochs = [round((first + k * gap) * settings.epochs) for k in range(drops)]
        milestones = [epoch * n_batches for epoch in epochs]
        return MultiStepLR(optimiser, milestones, gamma=settings.step_factor)
    return LambdaLR(optimiser, lambda step: 1.0)
