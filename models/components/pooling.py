"""Pooling: how a map (item, channel, frequency, time) becomes class scores.

The attention of Li et al. (Interspeech 2018) is the rank-1 second-order pooling of Girdhar and
Ramanan (NeurIPS 2017): a bottom-up map says where to look, class-specific top-down maps say what
each place speaks for, and their product is averaged over places.

Every option takes ``(n_channels, n_classes)`` and gives ``(scores, embedding, look)`` for a map and
a mask (item, time), shapes (item, class) and (item, channel). Masked frames have no part in any of
them; ``n_embedding`` tells the embedding's values.

``look()`` gives the attention to be shown, numbers from 0: (item, frequency, time), or
(item, class, frequency, time) where it depends on the class. It is None where all places count
alike, and computes nothing before it is called.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from serlab.models.variant import OPTIONS

Look = Callable[[], Tensor] | None
Pooled = tuple[Tensor, Tensor, Look]
RANK = 3


class Pooling(nn.Module):
    """What the options share: class scores by a 1x1 convolution, that is, a linear map."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.n_embedding = n_channels
        self.top_down = nn.Conv2d(n_channels, n_classes, 1)

    def forward(self, x: Tensor, mask: Tensor) -> Pooled:
        """Scores, embedding and look."""
        weights = self.weigh(x.float(), _places(x, mask))
        embedding = torch.einsum("bcp,bp->bc", x.float().flatten(2), weights)
        scores = self.top_down(embedding[:, :, None, None])[:, :, 0, 0]
        return scores, embedding, self.look(x, weights)

    def weigh(self, x: Tensor, places: Tensor) -> Tensor:
        """Weight of each place, (item, place)."""
        raise NotImplementedError

    def look(self, x: Tensor, weights: Tensor) -> Look:
        """What makes the attention from the map and the weights of its places, if anything."""
        return None


class BottomUp(Pooling):
    """Pooling whose weights come from a second 1x1 convolution, one value a place."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__(n_channels, n_classes)
        self.bottom_up = nn.Conv2d(n_channels, 1, 1)

    def logits(self, x: Tensor, places: Tensor, fill: float) -> Tensor:
        """The bottom-up map, (item, place), with masked places filled."""
        values: Tensor = self.bottom_up(x).float().flatten(1).masked_fill(~places, fill)
        return values

    def look(self, x: Tensor, weights: Tensor) -> Look:
        """How much each place counts for each class."""
        return lambda: _evidence(self.product(x, weights), x)

    def product(self, x: Tensor, weights: Tensor) -> Tensor:
        """The bottom-up map times the top-down maps, without bias: (item, class, place)."""
        kernel = self.top_down.weight.flatten(1)
        return torch.einsum("kc,bcp,bp->bkp", kernel, x.float().flatten(2), weights)


@OPTIONS.register("pooling.attention", source="Li et al., Interspeech 2018", tag="N")
class Attention(BottomUp):
    """Softmaxed bottom-up map times top-down maps, then the mean over places, as described.

    The softmax over all places is [I]; with the mean after it the scores shrink by the number
    of places, which training has to undo. Since both maps are linear in the features, weighting
    the features first gives the same scores (but for the top-down bias, which is not shrunk).
    """

    def weigh(self, x: Tensor, places: Tensor) -> Tensor:
        """Softmax over places, divided by their number."""
        n_places = places.sum(dim=1, keepdim=True)
        return self.logits(x, places, -torch.inf).softmax(dim=1) / n_places


@OPTIONS.register("pooling.attention_sum", source="ours", tag="I")
class AttentionSum(BottomUp):
    """As `Attention`, with the sum over places: weights add up to 1."""

    def weigh(self, x: Tensor, places: Tensor) -> Tensor:
        """Softmax over places."""
        return self.logits(x, places, -torch.inf).softmax(dim=1)


@OPTIONS.register("pooling.attention_no_softmax", source="head_fusion; Girdhar 2017", tag="R")
class AttentionNoSoftmax(BottomUp):
    """The raw bottom-up map times top-down maps, then the mean over places."""

    def weigh(self, x: Tensor, places: Tensor) -> Tensor:
        """The raw map, divided by the number of places."""
        return self.logits(x, places, 0.0) / places.sum(dim=1, keepdim=True)


@OPTIONS.register("pooling.attention_class_softmax", source="GLAM", tag="R")
class AttentionClassSoftmax(BottomUp):
    """GLAM's reading: the top-down maps go through a softmax over classes, the other map raw.

    Their product is averaged over places. The top-down maps are not linear here, so the scores
    are those of the maps and not of a pooled vector.
    """

    def weigh(self, x: Tensor, places: Tensor) -> Tensor:
        """The raw map, divided by the number of places."""
        return self.logits(x, places, 0.0) / places.sum(dim=1, keepdim=True)

    def forward(self, x: Tensor, mask: Tensor) -> Pooled:
        """Scores of the product of the two maps."""
        weights = self.weigh(x.float(), _places(x, mask))
        maps = self.top_down(x).float().flatten(2).softmax(dim=1)
        embedding = torch.einsum("bcp,bp->bc", x.float().flatten(2), weights)
        scores = torch.einsum("bkp,bp->bk", maps, weights)
        return scores, embedding, lambda: _evidence(maps * weights[:, None], x)


@OPTIONS.register("pooling.attention_rank_3", source="Girdhar and Ramanan, NeurIPS 2017", tag="C")
class AttentionRank3(nn.Module):
    """Second-order pooling of rank 3: the sum of three pairs of raw maps, `attention_no_softmax`.

    The embedding is that of all pairs, and so is the attention.
    """

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.n_embedding = RANK * n_channels
        self.pairs = nn.ModuleList([AttentionNoSoftmax(n_channels, n_classes) for _ in range(RANK)])

    def forward(self, x: Tensor, mask: Tensor) -> Pooled:
        """Scores summed over the pairs."""
        found = [pair(x, mask) for pair in self.pairs]
        scores = torch.stack([one[0] for one in found]).sum(dim=0)
        embedding = torch.cat([one[1] for one in found], dim=1)
        return scores, embedding, lambda: _evidence(self.product(x, mask), x)

    def product(self, x: Tensor, mask: Tensor) -> Tensor:
        """The sum of the pairs' products, (item, class, place)."""
        places, values = _places(x, mask), x.float()
        each = [pair.product(x, pair.weigh(values, places)) for pair in self._each()]
        return torch.stack(each).sum(dim=0)

    def _each(self) -> list[AttentionNoSoftmax]:
        return [pair for pair in self.pairs if isinstance(pair, AttentionNoSoftmax)]


@OPTIONS.register("pooling.bottom_up", source="Li et al., Interspeech 2018", tag="I")
class BottomUpOnly(BottomUp):
    """Features weighted by the softmaxed bottom-up map, then a hidden layer and a linear map.

    No class-specific map: one attention serves all classes. Without the hidden layer this would
    be the function of `attention_sum`, both of whose maps are linear.
    """

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__(n_channels, n_classes)
        self.hidden = nn.Linear(n_channels, n_channels)

    def weigh(self, x: Tensor, places: Tensor) -> Tensor:
        """Softmax over places."""
        return self.logits(x, places, -torch.inf).softmax(dim=1)

    def forward(self, x: Tensor, mask: Tensor) -> Pooled:
        """The pooled vector goes through a hidden layer before the classes."""
        _, pooled, look = super().forward(x, mask)
        embedding = self.hidden(pooled).relu()
        return self.top_down(embedding[:, :, None, None])[:, :, 0, 0], embedding, look

    def look(self, x: Tensor, weights: Tensor) -> Look:
        """The bottom-up map."""
        return lambda: _map(weights, x)


@OPTIONS.register("pooling.top_down", source="Li et al., Interspeech 2018", tag="I")
class TopDownOnly(Pooling):
    """Each class's top-down map attends to itself: its softmax over places weighs its values.

    A plain mean of the top-down maps is the option `mean`, since both are linear.
    """

    def forward(self, x: Tensor, mask: Tensor) -> Pooled:
        """Scores by each class's own attention; the embedding is by their mean."""
        maps = self.top_down(x).float().flatten(2)
        weights = maps.masked_fill(~_places(x, mask)[:, None], -torch.inf).softmax(dim=2)
        mean = weights.mean(dim=1)
        embedding = torch.einsum("bcp,bp->bc", x.float().flatten(2), mean)
        return (weights * maps).sum(dim=2), embedding, lambda: _map(weights, x)


@OPTIONS.register("pooling.mean", source="Li et al., Interspeech 2018", tag="A")
class Mean(Pooling):
    """Global average pooling and a linear map."""

    def weigh(self, x: Tensor, places: Tensor) -> Tensor:
        """Equal weights."""
        return places.float() / places.sum(dim=1, keepdim=True)


@OPTIONS.register("pooling.mean_deviation", source="ours", tag="I")
class MeanDeviation(nn.Module):
    """Mean and standard deviation over places of every channel, and a linear map of both."""

    def __init__(self, n_channels: int, n_classes: int) -> None:
        super().__init__()
        self.n_embedding = 2 * n_channels
        self.classes = nn.Linear(2 * n_channels, n_classes)

    def forward(self, x: Tensor, mask: Tensor) -> Pooled:
        """Scores of the two moments; every place weighs the same."""
        places = _places(x, mask)
        weights = places.float() / places.sum(dim=1, keepdim=True)
        values = x.float().flatten(2)
        mean = torch.einsum("bcp,bp->bc", values, weights)
        square = torch.einsum("bcp,bp->bc", (values - mean.unsqueeze(2)) ** 2, weights)
        embedding = torch.cat([mean, (square + 1e-6).sqrt()], dim=1)
        return self.classes(embedding), embedding, None


@OPTIONS.register("pooling.max", source="Li et al., Interspeech 2018", tag="A")
class Max(Pooling):
    """Global max pooling and a linear map; the attention shown counts where the maxima are."""

    def forward(self, x: Tensor, mask: Tensor) -> Pooled:
        """Scores of the largest value of each channel."""
        values = x.float().flatten(2).masked_fill(~_places(x, mask)[:, None], -torch.inf)
        embedding, where = values.max(dim=2)
        scores = self.top_down(embedding[:, :, None, None])[:, :, 0, 0]
        return scores, embedding, lambda: _hits(where, x)


def _places(x: Tensor, mask: Tensor) -> Tensor:
    """(item, place), true where a place of the map is real."""
    return mask[:, None, :].expand(-1, x.shape[2], -1).flatten(1)


def _map(weights: Tensor, x: Tensor) -> Tensor:
    """Weights of places (item, ..., place) as maps (item, ..., frequency, time)."""
    return weights.reshape(*weights.shape[:-1], *x.shape[2:])


def _evidence(product: Tensor, x: Tensor) -> Tensor:
    """How much each place counts for or against each class.

    A class's score is the sum of its product (item, class, place). What all classes have in
    common changes no prediction, so that the classes' mean is taken away.
    """
    return _map((product - product.mean(dim=1, keepdim=True)).abs(), x)


def _hits(where: Tensor, x: Tensor) -> Tensor:
    """How many channels (item, channel) have their maximum in each place."""
    none = torch.zeros(len(x), x.shape[2:].numel(), device=x.device)
    return _map(none.scatter_add(1, where, torch.ones_like(where, dtype=none.dtype)), x)
