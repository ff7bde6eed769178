"""What a network says of some utterances and where it looks, on each utterance's own frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from serlab.bench.contracts import Utterance
from serlab.bench.data import Items
from serlab.bench.errors import BadValue
from serlab.bench.network import Attention, Output
from serlab.bench.predict import outputs

Floats = npt.NDArray[np.floating[Any]]
Frames = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class View:
    """One network on one utterance."""

    said: int
    """The class; 0 where traces are recognised."""
    maps: Mapping[str, Floats]
    """By input: (frame, bin), weights that sum to 1, or to 0 where it looks nowhere."""
    streams: tuple[str, ...] = ()
    hop_s: float = 0.0
    shares: Floats | None = None
    """(frame, stream), rows sum to 1."""


def views(network: nn.Module, items: Items, device: torch.device) -> dict[str, View]:
    """What a network says of every utterance, by id.

    Maps of overlapping segments are averaged where they meet, and each is of the class that the
    network says itself.

    Raises:
        BadValue: the network's weights are no weights of its input.
    """
    held = [_Utterance(u, items) for u in items.utterances]
    for places, output, batch in outputs(network, items, device):
        with torch.inference_mode():
            looks = {name: _numbers(one.weights()) for name, one in output.attention.items()}
        masks = {name: batch.masks[name].sum(dim=1).tolist() for name in looks}
        for row, (index, start) in enumerate(places):
            one = held[index]
            one.hear(output, row)
            for name, weights in looks.items():
                one.look(output.attention[name], name, weights[row], start, masks[name][row])
            if output.streams is not None:
                one.weigh(output, row, start)
    return {one.utterance.id: one.view() for one in held}


def spread(weights: Floats, attention: Attention, n_frames: int, n_bins: int) -> Floats:
    """(frame, bin, class) of one item's weights; one class where they are the same for all.

    Args:
        weights: (step,), (step, band) or (class, step, band).
        attention: how many frames and bins a step and a band have.
        n_frames: frames to be covered; those behind the last step have 0.
        n_bins: values to be covered, likewise.
    """
    if weights.ndim not in (1, 2, 3) or not (weights >= 0).all():
        expected = "(item, step), (item, step, band) or (item, class, step, band), all from 0"
        raise BadValue("attention", ("item", *weights.shape), expected)
    bins = attention.bins if weights.ndim > 1 else n_bins
    steps = weights[:, None] if weights.ndim == 1 else weights
    grid = steps.reshape(-1, *steps.shape[-2:]).repeat(attention.frames, 1).repeat(bins, 2)
    grid = grid[:, :n_frames, :n_bins]
    missing = (n_frames - grid.shape[1], n_bins - grid.shape[2])
    whole: Floats = np.pad(grid, ((0, 0), (0, missing[0]), (0, missing[1])))
    return np.moveaxis(whole, 0, 2)


class _Laid:
    """Values of overlapping segments on their utterance's frames."""

    def __init__(self, n_frames: int) -> None:
        self.count = np.zeros(n_frames)
        self.total: Floats = np.zeros((n_frames, 1))

    def add(self, places: Frames, values: Floats) -> None:
        """Values (frame, ...) of a segment whose frames are at these places."""
        if not self.count.any():
            self.total = np.zeros((len(self.count), *values.shape[1:]))
        np.add.at(self.total, places, values)
        np.add.at(self.count, places, 1)

    def mean(self) -> Floats:
        """(frame, ...), 0 where no segment is."""
        count = self.count.reshape(-1, *(1,) * (self.total.ndim - 1))
        means: Floats = self.total / np.maximum(count, 1)
        return means


@dataclass
class _Utterance:
    """An utterance while its segments come in."""

    utterance: Utterance
    items: Items
    scores: Floats | float = 0.0
    maps: dict[str, _Laid] = field(default_factory=dict)
    streams: tuple[str, ...] = ()
    hop_s: float = 0.0
    shares: _Laid | None = None

    def hear(self, output: Output, row: int) -> None:
        """Adds the probabilities of a segment."""
        if not self.items.rated:
            self.scores = self.scores + _numbers(output.scores[row].float().softmax(dim=0))

    def look(
        self, attention: Attention, name: str, weights: Floats, start: float, n_frames: int
    ) -> None:
        """Adds where the network looks in a segment of so many frames."""
        n_all, n_bins = self.items.arrays[name][self.utterance.id].shape
        laid = self.maps.setdefault(name, _Laid(n_all))
        places = self._places(start, self.items.rates[name], n_frames, n_all)
        laid.add(places, spread(weights, attention, n_frames, n_bins)[: len(places)])

    def weigh(self, output: Output, row: int, start: float) -> None:
        """Adds the streams' weights of a segment."""
        assert output.streams is not None
        self.streams, rate = output.streams.names, output.streams.rate_hz
        weights = _numbers(output.streams.weights[row])
        weights = weights[weights.sum(axis=1) > 0.5]  # other rows are no frames
        n_all = max(1, int(np.ceil(self.items.duration_s(self.utterance) * rate - 1e-6)))
        self.shares, self.hop_s = self.shares or _Laid(n_all), 1 / rate
        places = self._places(start, rate, len(weights), n_all)
        self.shares.add(places, weights[: len(places)])

    def _places(self, start: float, rate: float, n_frames: int, n_all: int) -> Frames:
        """Where the frames of a segment are, in an utterance that may be repeated to fill it."""
        places: Frames = round(start * rate) + np.arange(n_frames)
        repeated = self.items.segments.short == "tile"
        return places % n_all if repeated else places[places < n_all]

    def view(self) -> View:
        """All segments together."""
        said = int(np.argmax(self.scores))
        found = {}
        for name, laid in self.maps.items():
            means = laid.mean()
            one = means[..., said if means.shape[2] > 1 else 0]
            found[name] = one / (one.sum() or 1.0)
        shares = None if self.shares is None else self.shares.mean()[self.shares.count > 0]
        return View(said=said, maps=found, streams=self.streams, hop_s=self.hop_s, shares=shares)


def _numbers(values: Tensor) -> Floats:
    found: Floats = values.detach().float().cpu().numpy()
    return found
