"""The one training loop: for stage, for epoch, for batch, forward, loss, step, log.

It runs any list of stages over any network that keeps the contract of `Network`, and knows no
system by name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, MultiStepLR, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from serlab.bench.contracts import Augmentation, FloatArray, Selection, Stage, TrainingSettings
from serlab.bench.data import Batch, Items, augment
from serlab.bench.metrics.categorical import ua
from serlab.bench.seeds import generator, torch_seeded


@dataclass(frozen=True, kw_only=True)
class Output:
    """What a network gives for a batch."""

    scores: Tensor
    """(item, class), before the softmax."""
    embedding: Tensor
    """(item, dimension): what the scores are made from."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """Whatever else can be looked at, such as attention maps (item, frequency, time)."""


class Network(Protocol):
    """What the loop asks of an ``nn.Module``."""

    def __call__(self, batch: Batch) -> Output:
        """Scores and embedding of a batch."""
        ...

    def losses(self, output: Output, batch: Batch) -> Mapping[str, Tensor]:
        """The named loss terms of a batch, each a mean over its items."""
        ...


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


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains a network by its stages on one fold.

    Args:
        train: items that gradients come from.
        validation: items that choose the epoch; None where the protocol holds none out.
        streams: further items that stages may ask for by name.
    """

    train: Items
    validation: Items | None
    augmentation: Augmentation
    selection: Selection
    seed: int
    device: torch.device
    streams: Mapping[str, Items] = field(default_factory=dict)

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
        items = self.train if stage.stream == "train" else self.streams[stage.stream]
        settings = stage.training
        rng = generator(self.seed, "batches", stage.name)
        trained = _select_parameters(network, stage.trains)
        optimiser = make_optimiser(trained, settings)
        n_batches, _ = items.training_batches(settings.batch_size, generator(0, "count"))
        schedule = make_schedule(optimiser, settings, n_batches)
        averaged = _averaged(network, settings)
        best = _Best()
        for epoch in range(settings.epochs):
            network.train()
            totals: dict[str, list[Tensor]] = {}
            _, batches = items.training_batches(settings.batch_size, rng)
            for step, chosen in enumerate(batches):
                progress = (epoch + step / n_batches) / settings.epochs
                batch = items.batch(chosen, progress)
                batch = augment(batch, self.augmentation, items.rates, rng)
                batch = _smooth(batch, settings.label_smoothing).to(self.device)
                terms = self._step(network, batch, stage, optimiser, trained)
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

    def _step(
        self,
        network: nn.Module,
        batch: Batch,
        stage: Stage,
        optimiser: torch.optim.Optimizer,
        trained: Sequence[nn.Parameter],
    ) -> dict[str, Tensor]:
        bf16 = stage.training.precision == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            output = network(batch)
        terms: Mapping[str, Tensor] = network.losses(output, batch)  # type: ignore[operator]
        used = {name: terms[name] for name in stage.losses}
        loss = torch.stack([stage.losses[name] * term for name, term in used.items()]).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if stage.training.gradient_clip:
            nn.utils.clip_grad_norm_(trained, stage.training.gradient_clip)
        optimiser.step()
        parts = {name: term.detach() for name, term in used.items()} if len(used) > 1 else {}
        return {"loss": loss.detach(), **parts}

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
        scores, truth = predict(network, self.validation, self.device, bf16=bf16)
        loss = float(-np.log(np.clip(scores[np.arange(len(truth)), truth], 1e-12, 1)).mean())
        accuracy = ua(truth, scores)
        curves.setdefault("validation_loss", []).append(loss)
        curves.setdefault("validation_ua", []).append(accuracy)
        ranks = {
            "validation-ua": (accuracy, -loss),
            "validation-loss": (-loss,),
            "last-epoch": (float(epoch),),
        }
        if ranks[self.selection] > best.rank:
            best.rank, best.epoch = ranks[self.selection], epoch
            if self.selection != "last-epoch":
                best.state = copy.deepcopy(network.state_dict())


def predict(
    network: nn.Module,
    items: Items,
    device: torch.device,
    *,
    batch_size: int = 64,
    bf16: bool = False,
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Probabilities (utterance, class), means over segments, and the true classes."""
    network.eval()
    total = np.zeros((len(items.utterances), len(items.labels)))
    count = np.zeros((len(items.utterances), 1))
    for batch in _in_order(items, batch_size):
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            output = network(batch.to(device))
        scores = output.scores.float().softmax(dim=1).cpu().numpy()
        np.add.at(total, batch.items.numpy(), scores)
        np.add.at(count, batch.items.numpy(), 1)
    truth = np.array([items.labels.index(u.emotion or "") for u in items.utterances])
    return (total / count).astype(np.float32), truth


def _in_order(items: Items, size: int) -> Iterator[Batch]:
    """All segments, those of like utterance length together, so that little is padding."""
    chosen = items.starts(items.segments.test_hop_s)
    if not items.segments.length_s:
        chosen.sort(key=lambda pair: items.duration_s(items.utterances[pair[0]]))
    for start in range(0, len(chosen), size):
        yield items.batch(chosen[start : start + size])


def _smooth(batch: Batch, share: float) -> Batch:
    if not share:
        return batch
    return replace(batch, targets=batch.targets * (1 - share) + share / batch.targets.shape[1])


def _averaged(network: nn.Module, settings: TrainingSettings) -> AveragedModel | None:
    if not settings.average:
        return None
    decay = get_ema_multi_avg_fn(settings.average)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=decay, use_buffers=True)


def _select_parameters(network: nn.Module, prefixes: Sequence[str]) -> list[nn.Parameter]:
    """The parameters that a stage trains; gradients of the others are switched off."""
    chosen = []
    for name, parameter in network.named_parameters():
        wanted = name.startswith(tuple(prefixes))
        parameter.requires_grad_(wanted)
        if wanted:
            chosen.append(parameter)
    return chosen


def make_optimiser(
    parameters: Sequence[nn.Parameter], settings: TrainingSettings
) -> torch.optim.Optimizer:
    """The update rule that the settings name."""
    lr, decay = settings.learning_rate, settings.weight_decay
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "adamw": lambda: torch.optim.AdamW(parameters, lr=lr, weight_decay=decay),
        "adam": lambda: torch.optim.Adam(parameters, lr=lr, weight_decay=decay),
        "adadelta": lambda: torch.optim.Adadelta(parameters, lr=lr, weight_decay=decay),
        "sgd": lambda: torch.optim.SGD(
            parameters, lr=lr, weight_decay=decay, momentum=settings.momentum,
            nesterov=settings.momentum > 0,
        ),
    }  # fmt: skip
    return makers[settings.optimiser]()


def make_schedule(
    optimiser: torch.optim.Optimizer, settings: TrainingSettings, n_batches: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The course of the learning rate, one step a mini-batch.

    "step" divides by ten after ``step_share`` of the epochs and twice more, each half that share
    later: 20, 30 and 40 of 50 epochs at 0.4, as Li et al. (2018) do.
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
        first = round(settings.step_share * settings.epochs)
        later = round(settings.step_share * settings.epochs / 2)
        milestones = [(first + k * later) * n_batches for k in range(3)]
        return MultiStepLR(optimiser, milestones, gamma=0.1)
    return LambdaLR(optimiser, lambda step: 1.0)
