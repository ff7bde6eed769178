"""A plugin: a system as small as can be, with the troubles that a measurement can run into."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from serlab.bench.contracts import FeatureSpec, Sizes, TrainingSettings, setting
from serlab.bench.data import Batch
from serlab.bench.network import Output
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS

TROUBLES = ("none", "memory", "allocates", "killed", "exits", "hangs", "training", "singular")


def register() -> None:
    """Makes the system known in this process."""
    facts = {"slots": {}, "default_preset": "default", "presets": {"default": {}}}
    SYSTEMS.register("metered", inputs=("image",), **facts)(Metered)


@contextmanager
def registered() -> Iterator[None]:
    """The system is known in this process for as long as this lasts, and to no other test."""
    before = dict(SYSTEMS._added)
    register()
    try:
        yield
    finally:
        SYSTEMS._added.clear()
        SYSTEMS._added.update(before)


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    trouble: str = setting("none", "what goes wrong", choices=TROUBLES)
    from_batch: int = setting(1, "items from which it does", low=1)


class Metered(BaseSystem[Settings]):
    """The mean of log-mel frames through one linear map."""

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        return {"image": FeatureSpec(name="log_mel", settings={"n_mels": 16})}

    def build(self, sizes: Sizes) -> nn.Module:
        return Network(self.settings, sizes)


class Network(nn.Module):
    def __init__(self, settings: Settings, sizes: Sizes) -> None:
        super().__init__()
        self.settings = settings
        self.linear = nn.Linear(sizes.n_features["image"], sizes.n_classes)
        self.n_calls = 0

    def forward(self, batch: Batch) -> Output:
        self.n_calls += 1
        x = batch.inputs["image"].mean(dim=1)
        if len(x) >= self.settings.from_batch:
            _go_wrong(self.settings.trouble, self.training)
        return Output(scores=self.linear(x), embedding=x)

    def losses(self, output: Output, batch: Batch) -> dict[str, Tensor]:
        return {"emotion": nn.functional.cross_entropy(output.scores, batch.targets)}


def _go_wrong(trouble: str, training: bool) -> None:
    if trouble == "memory":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB.\nGPU 0 has 1.")
    if trouble == "allocates":
        torch.empty(2**55)
    if trouble == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if trouble == "exits":
        sys.stderr.write("first words\nlast words\n")
        sys.stderr.flush()
        os._exit(3)
    if trouble == "hangs":
        time.sleep(600)
    if trouble == "training" and training:
        raise ValueError("expected more than one item\nin training")
    if trouble == "singular":
        torch.linalg.svd(torch.eye(3))
