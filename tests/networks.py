"""Networks of every system of the registry, at sizes that a test can afford."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import tiny_models
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from serlab.bench.contracts import Scalar, Sizes, Stage, System, Target
from serlab.bench.data import Batch
from serlab.bench.example import example_batch
from serlab.bench.features.base import feature
from serlab.bench.seeds import torch_seeded
from serlab.bench.shapes import STAND_IN, every_input
from serlab.models.variant import SYSTEMS, make, options_of, resolve

NETWORKS = [
    name for name, entry in SYSTEMS.entries().items() if "paper" in entry.facts["presets"]
] + ["crnn"]

SHRUNK: Mapping[str, Mapping[str, Scalar]] = {
    "crnn": {"n_bands": 16, "channels": 4, "units": 8},
    "gao2021": {},
    "li2018": {"width": 0.5, "n_bands": 40},
    "lian2019": {},
    "tzirakis2021": {},
    "wei2022": {"visual": "frames", "adversary": "modality"},
}
"""Differences from the small preset, for speed, and so that every slot has a part."""

BESIDE: Mapping[tuple[str, str], Mapping[str, Scalar]] = {
    ("li2018", "compression"): {"front_end": "spectrogram"},
    ("li2018", "reversal_schedule"): {"adversary": "speaker"},
    ("crnn", "reversal_schedule"): {"adversary": "speaker"},
    ("tzirakis2021", "reversal_schedule"): {"adversary": "speaker"},
}
"""What a slot needs beside itself to have a part in anything."""

MODELS = {
    ("functionals", "encoder"): ("encoder", "wav2vec2"),
    ("text", "sentence_encoder"): ("text_encoder", "text"),
}
"""Options that need a pretrained model: the setting that names it, and what kind it is."""


def with_models(changes: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """The changes, with tiny models for the options that need one."""
    named = {
        setting: tiny_models.shared(kind)
        for (slot, option), (setting, kind) in MODELS.items()
        if changes.get(slot) == option
    }
    return {**named, **changes}


SECONDS = (1.0, 1.6, 1.3, 0.9)


@dataclass(frozen=True, kw_only=True)
class Built:
    """A network with the system that made it."""

    system: System
    network: nn.Module
    sizes: Sizes

    def batch(
        self,
        seconds: Sequence[float] = SECONDS,
        *,
        stream: str = "train",
        stage: str = "",
        progress: float = 0.5,
        padded_s: float = 0.0,
    ) -> Batch:
        """Noise as a stage would give it."""
        streams = self.system.streams()
        inputs = self.system.inputs() if stream == "train" else streams[stream].inputs
        held = example_batch(
            self.sizes, seconds, inputs=tuple(inputs), stream=stream, padded_s=padded_s
        )
        return replace(held, stage=stage, progress=progress)

    def loss(
        self, stage: Stage, seconds: Sequence[float] = SECONDS, progress: float = 0.5
    ) -> Tensor:
        """A stage's whole loss over a batch of each of its streams."""
        total = torch.zeros(())
        for stream in stage.streams:
            batch = self.batch(seconds, stream=stream, stage=stage.name, progress=progress)
            terms = self.network.losses(self.network(batch), batch)  # type: ignore[operator]
            for name, weight in stage.losses.items():
                total = total + weight * terms[name] if name in terms else total
        return total


def build(
    system: str,
    changes: Mapping[str, Scalar] | None = None,
    *,
    preset: str = "small",
    seed: int = 0,
    target: Target = "emotion",
) -> Built:
    """A system's network for four classes, or three dimensions. Raises SerlabError."""
    made = make(resolve(system, preset, {**SHRUNK[system], **with_models(changes or {})}))
    inputs = {name: feature(spec) for name, spec in every_input(made).items()}
    sizes = Sizes(
        n_classes=4 if target == "emotion" else 3,
        n_speakers=5,
        n_features={name: one.n_values or STAND_IN for name, one in inputs.items()},
        rate_hz={name: one.rate_hz for name, one in inputs.items()},
        n_corpora=3,
        target=target,
    )
    with torch_seeded(seed, "weights"):
        network: nn.Module = made.build(sizes)
    return Built(system=made, network=network, sizes=sizes)


def every_option() -> Iterator[tuple[str, str, str]]:
    """Each system with each option of each of its slots."""
    for system in NETWORKS:
        for slot in SYSTEMS.entry(system).facts["slots"]:
            for option in options_of(slot):
                yield system, slot, option


def targets(system: str) -> tuple[Target, ...]:
    """What the system can recognise."""
    found: tuple[Target, ...] = SYSTEMS.entry(system).facts.get("targets", ("emotion",))
    return found


class NoReading(TorchDispatchMode):
    """Within it no tensor's value may be read into Python, where a GPU would have to be awaited."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:  # torch's own protocol
        if func is torch.ops.aten._local_scalar_dense.default:
            raise AssertionError("a tensor's value was read into Python")
        return func(*args, **(kwargs or {}))
