"""Adversary: a domain head behind a gradient reversal (Ganin et al., JMLR 2016).

The head learns to tell the domain (speaker, corpus, modality) from an embedding; what made the
embedding is given its gradient reversed and scaled by lambda, and so unlearns the domain. The
option "auxiliary" of each domain leaves the sign as it is: the control that tells what the
reversal, not the second task, does.

Every option takes ``(n_in, sizes, settings, schedule)``, ``schedule`` an option of the slot
reversal_schedule, and gives a module ``(embedding (item, value), batch) -> named loss terms``.
Its terms are means over the items whose domain is known; a batch without any has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from serlab.bench.contracts import Sizes, TrainingSettings, setting
from serlab.bench.data import Batch
from serlab.models.variant import OPTIONS

Schedule = Callable[[float, float], float]
"""(progress, largest) -> lambda."""
MODALITY_WIDTH = 20
"""Units of the second hidden layer of the modality's head [C]."""


@dataclass(frozen=True, kw_only=True)
class AdversarialSettings(TrainingSettings):
    """Hyperparameters of training and of a domain head."""

    reversal: float = setting(1.0, "largest strength lambda of the gradient reversal", low=0.0)
    domain_width: int = setting(64, "hidden units of a domain head", low=1)
    domain_weight: float = setting(1.0, "weight of a domain head's loss", low=0.0)


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:  # torch's own context type
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def reverse_gradient(x: Tensor, strength: float) -> Tensor:
    """``x`` itself, whose gradient is multiplied by ``-strength`` on its way back."""
    reversed_: Tensor = _Reversal.apply(x, strength)  # type: ignore[no-untyped-call]
    return reversed_


def domain_head(n_in: int, width: int, n_domains: int) -> nn.Sequential:
    """One hidden layer with ReLU."""
    return nn.Sequential(nn.Linear(n_in, width), nn.ReLU(), nn.Linear(width, n_domains))


@OPTIONS.register("adversary.none", source="every system without its adversary", tag="A")
class NoAdversary(nn.Module):
    """No domain head."""

    terms: tuple[str, ...] = ()

    def __init__(
        self, n_in: int, sizes: Sizes, settings: AdversarialSettings, schedule: Schedule
    ) -> None:
        super().__init__()

    def forward(self, embedding: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """No terms."""
        return {}


@OPTIONS.register("adversary.speaker", source="Lian et al. 2019; Ganin et al. 2016", tag="A")
class SpeakerAdversary(nn.Module):
    """A softmax over the speakers that are trained on, behind a gradient reversal."""

    terms: tuple[str, ...] = ("speaker",)
    sign = 1.0

    def __init__(
        self, n_in: int, sizes: Sizes, settings: AdversarialSettings, schedule: Schedule
    ) -> None:
        super().__init__()
        self.head = domain_head(n_in, settings.domain_width, sizes.n_speakers)
        self.largest = settings.reversal
        self.schedule = schedule

    def forward(self, embedding: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropy of the speakers."""
        strength = self.sign * self.schedule(batch.progress, self.largest)
        return named("speaker", self.head(reverse_gradient(embedding, strength)), batch.speakers)


@OPTIONS.register("adversary.speaker_auxiliary", source="ours: the control", tag="I")
class SpeakerAuxiliary(SpeakerAdversary):
    """The same head and schedule without the reversal: the embedding learns the speaker."""

    sign = -1.0


@OPTIONS.register("adversary.speaker_and_corpus", source="Gao et al., ICASSP 2021", tag="N")
class SpeakerAndCorpusAdversary(SpeakerAdversary):
    """Two heads behind one reversal: the speakers, and the corpora where there are several."""

    terms: tuple[str, ...] = ("speaker", "corpus")

    def __init__(
        self, n_in: int, sizes: Sizes, settings: AdversarialSettings, schedule: Schedule
    ) -> None:
        super().__init__(n_in, sizes, settings, schedule)
        self.corpus = domain_head(n_in, settings.domain_width, sizes.n_corpora)

    def forward(self, embedding: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Cross-entropies of the speakers and of the corpora."""
        strength = self.sign * self.schedule(batch.progress, self.largest)
        reversed_ = reverse_gradient(embedding, strength)
        corpus = named("corpus", self.corpus(reversed_), batch.corpora)
        return {**named("speaker", self.head(reversed_), batch.speakers), **corpus}


@OPTIONS.register("adversary.modality", source="AV4SER (Wei et al., Interspeech 2022)", tag="C")
class ModalityAdversary(nn.Module):
    """Speech against faces: one logit by two hidden layers behind a gradient reversal.

    The items of the stream "train" are speech, those of any other stream faces. The authors'
    head averages its logit over an utterance's maps; here it sees the mean over them [I], as
    the other adversaries do.
    """

    terms: tuple[str, ...] = ("modality",)

    def __init__(
        self, n_in: int, sizes: Sizes, settings: AdversarialSettings, schedule: Schedule
    ) -> None:
        super().__init__()
        widths = (n_in, settings.domain_width, MODALITY_WIDTH)
        hidden = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.head = nn.Sequential(*hidden, nn.Linear(MODALITY_WIDTH, 1))
        self.largest = settings.reversal
        self.schedule = schedule

    def forward(self, embedding: Tensor, batch: Batch) -> Mapping[str, Tensor]:
        """Binary cross-entropy of the modality."""
        strength = self.schedule(batch.progress, self.largest)
        logits = self.head(reverse_gradient(embedding, strength)).squeeze(1).float()
        seen = torch.full_like(logits, float(batch.stream != "train"))
        return {"modality": F.binary_cross_entropy_with_logits(logits, seen)}


def named(name: str, scores: Tensor, domains: Tensor) -> dict[str, Tensor]:
    """The mean cross-entropy over the items whose domain is known (not negative)."""
    known = domains >= 0
    if not bool(known.any()):
        return {}
    return {name: F.cross_entropy(scores[known].float(), domains[known])}
