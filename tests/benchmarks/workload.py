"""A system and a corpus whose trial is about two seconds of plain training: a unit of work.

Registered as a plugin, so that the harness is measured with something that is not its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from serlab.bench.contracts import (
    Audio,
    Corpus,
    FeatureSpec,
    FloatArray,
    Scalar,
    Sizes,
    Utterance,
    setting,
)
from serlab.bench.corpora.base import CORPORA
from serlab.models.system import BaseSystem
from serlab.models.variant import SYSTEMS

STEPS = 3400
LABELS = ("high", "low")


@dataclass(frozen=True)
class Tone:
    """A quarter of a second of a tone."""

    pitch_hz: float

    def read(self) -> Audio:
        """The tone."""
        t = np.arange(4000, dtype=np.float32) / 16_000
        return Audio(samples=np.sin(2 * np.pi * self.pitch_hz * t), rate_hz=16_000)

    def identity(self) -> object:
        """What decides the samples."""
        return self.pitch_hz

    def name(self) -> str:
        """For messages."""
        return f"tone of {self.pitch_hz} Hz"


@CORPORA.register(
    "workload", title="Tones", licence="none", source="this benchmark", needs_root=False
)
def workload(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Tones by four speakers in two classes."""
    utterances = tuple(
        Utterance(
            id=f"{s}{label}{k}",
            speaker=f"s{s}",
            emotion=label,
            audio=Tone(200.0 + 20 * s + 7 * k + 300 * (label == "high")),
        )
        for s in range(4)
        for label in LABELS
        for k in range(4)
    )
    return Corpus(name="workload", utterances=utterances, labels=LABELS, licence="none",
                  source="this benchmark", synthetic=True)  # fmt: skip


class Mlp:
    """A perceptron trained for a fixed number of steps, whatever it learns."""

    def fit(
        self, inputs: Mapping[str, FloatArray], truth: npt.NDArray[np.int64], seed: int
    ) -> None:
        """The work."""
        train(seed)
        self.n_classes = int(truth.max()) + 1

    def predict(self, inputs: Mapping[str, FloatArray]) -> FloatArray:
        """Equal scores."""
        n = len(next(iter(inputs.values())))
        return np.full((n, self.n_classes), 1 / self.n_classes, np.float32)

    def n_parameters(self) -> int:
        """Of no interest here."""
        return 0


def train(seed: int) -> float:
    """The unit of work, harness or not: a small perceptron on noise; gives its last loss."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(256, 128, generator=generator)
    y = torch.randint(0, 2, (256,), generator=generator)
    layers = (torch.nn.Linear(128, 256), torch.nn.ReLU(), torch.nn.Linear(256, 2))
    network = torch.nn.Sequential(*layers)
    optimiser = torch.optim.Adam(network.parameters())
    for _ in range(STEPS):
        loss = torch.nn.functional.cross_entropy(network(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return float(loss.detach())


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One number, so that trials differ."""

    number: int = setting(0, "tells trials apart", low=0)


@SYSTEMS.register(
    "workload",
    title="Unit of work",
    source="this benchmark",
    inputs=("image",),
    slots={},
    default_preset="default",
    presets={"default": {}},
)
class Workload(BaseSystem[Settings]):
    """About two seconds of one core."""

    Settings = Settings

    def inputs(self) -> Mapping[str, FeatureSpec]:
        """A log-mel image, which the work does not look at."""
        return {"image": FeatureSpec(name="log_mel")}

    def build(self, sizes: Sizes) -> Mlp:
        """The perceptron."""
        return Mlp()
