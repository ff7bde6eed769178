"""Late fusion: how the maps' vectors and scores of two branches become an utterance's scores.

Every option takes ``(n_features, n_classes, settings)`` and gives a module ``(features (item, map,
value), scores (item, map, class), counted (item, map)) -> (scores (item, class), embedding (item,
value))``. ``features`` are those of both branches side by side, ``scores`` the larger of the two
branches' logits; maps that count come first.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from serlab.models.variant import OPTIONS

Fused = tuple[Tensor, Tensor]


class FusionSettings(Protocol):
    """The hyperparameters that are read here."""

    fusion_width: int
    score_share: float


class _Reader(nn.Module):
    """An LSTM over the maps, whose state after the last one that counts is classified."""

    def __init__(self, n_in: int, n_classes: int, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, width, batch_first=True)
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor, counted: Tensor) -> Fused:
        states, _ = self.lstm(x)
        last = states[torch.arange(len(x), device=x.device), counted.sum(dim=1) - 1]
        return self.head(last), last


@OPTIONS.register("late_fusion.feature_lstm", source="AV4SER, out1, the one reported", tag="C")
class FeatureLSTM(nn.Module):
    """Reads the branches' vectors."""

    def __init__(self, n_features: int, n_classes: int, settings: FusionSettings) -> None:
        super().__init__()
        self.reader = _Reader(n_features, n_classes, settings.fusion_width)

    def forward(self, features: Tensor, scores: Tensor, counted: Tensor) -> Fused:
        """Scores, and the LSTM's last state."""
        fused: Fused = self.reader(features, counted)
        return fused


@OPTIONS.register("late_fusion.score_lstm", source="AV4SER, out2", tag="C")
class ScoreLSTM(nn.Module):
    """Reads, class by class, the larger of the two branches' logits."""

    def __init__(self, n_features: int, n_classes: int, settings: FusionSettings) -> None:
        super().__init__()
        self.reader = _Reader(n_classes, n_classes, settings.fusion_width)

    def forward(self, features: Tensor, scores: Tensor, counted: Tensor) -> Fused:
        """Scores, and the LSTM's last state."""
        fused: Fused = self.reader(scores, counted)
        return fused


@OPTIONS.register("late_fusion.weighted_sum", source="AV4SER, 0.7 out1 + 0.3 out2", tag="C")
class WeightedSum(nn.Module):
    """The scores of both readers, added with fixed weights; trained on their sum [I]."""

    def __init__(self, n_features: int, n_classes: int, settings: FusionSettings) -> None:
        super().__init__()
        self.features = FeatureLSTM(n_features, n_classes, settings)
        self.scores = ScoreLSTM(n_features, n_classes, settings)
        self.share = settings.score_share

    def forward(self, features: Tensor, scores: Tensor, counted: Tensor) -> Fused:
        """Scores, and both last states side by side."""
        one, seen = self.features(features, scores, counted)
        two, read = self.scores(features, scores, counted)
        return (1 - self.share) * one + self.share * two, torch.cat([seen, read], dim=1)
