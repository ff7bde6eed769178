"""Fusion: how the vectors of several modalities become one.

Every option is made as ``option(widths, width, heads=, dropout=)``, one of ``widths`` for each
modality, and called with the vectors (item, step, value), a mask (item, step) of the real steps,
and, where a modality can be missing, one mask (item, step) for each that says where it is there.
It gives the fused vectors (item, step, width) and the weights of the modalities (item, step,
modality), which sum to 1; an option without weights tells equal shares, and ``weighs`` is false.

What is masked or missing has no influence on anything, and no weight; fused vectors are 0 at the
masked steps. ``uses`` says which of two modalities an option reads: a system need not ask for the
other, and may leave it out of widths, vectors and masks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from serlab.bench.errors import BadValue
from serlab.models.components.masks import masked_softmax
from serlab.models.variant import OPTIONS

Fused = tuple[Tensor, Tensor]


class Fusion(nn.Module):
    """What the options share: one linear map for each modality, and the masks.

    Args:
        widths: values of each modality.
        width: values of the fused vector.
        heads: of the option that has several.
        dropout: share of the projected values that is dropped.
    """

    uses: tuple[int, ...] = (0, 1)
    weighs = False
    rectified = False

    def __init__(
        self, widths: Sequence[int], width: int, *, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.projections = nn.ModuleList([nn.Linear(n, width) for n in widths])
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, vectors: Sequence[Tensor], mask: Tensor, present: Sequence[Tensor] | None = None
    ) -> Fused:
        """Fused vectors and the modalities' weights."""
        there = mask.unsqueeze(-1).expand(*mask.shape, len(vectors))
        if present is not None:
            there = there & torch.stack(list(present), dim=-1)
        held = [torch.where(there[..., i, None], x, 0.0) for i, x in enumerate(vectors)]
        fused, weights = self.fuse(held, there)
        return torch.where(mask.unsqueeze(-1), fused, 0.0), weights

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """The same from vectors that are 0 where ``there`` (item, step, modality) is false."""
        raise NotImplementedError

    def projected(self, vectors: Sequence[Tensor], there: Tensor) -> Tensor:
        """(item, step, modality, width), 0 where a modality is missing."""
        each = [p(x) for p, x in zip(self.projections, vectors, strict=True)]
        stacked = torch.stack(each, dim=2)
        if self.rectified:
            stacked = stacked.relu()
        dropped: Tensor = self.dropout(stacked)
        return torch.where(there.unsqueeze(-1), dropped, 0.0)


def _shares(there: Tensor) -> Tensor:
    """Equal weights of the modalities that are there."""
    return there / there.sum(dim=-1, keepdim=True).clamp(min=1)


def _weighted(x: Tensor, weights: Tensor) -> Tensor:
    """(item, step, modality, width) and (item, step, modality) to (item, step, width)."""
    return (x * weights.unsqueeze(-1)).sum(dim=2)


@OPTIONS.register("fusion.attention", source="re-implementation of Lian et al. 2020", tag="R")
class Attention(Fusion):
    """Weights by a shared u = Wx and w'tanh(u), softmax over modalities; the sum of weighted u."""

    weighs = True

    def __init__(
        self, widths: Sequence[int], width: int, *, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__(widths, width, heads=heads, dropout=dropout)
        self.shared = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above."""
        u = self.shared(self.projected(vectors, there))
        weights = masked_softmax(self.score(u.tanh()).squeeze(-1), there)
        return _weighted(u, weights), weights


@OPTIONS.register("fusion.score_attention", source="Tzirakis et al., ICASSP 2021, code", tag="C")
class ScoreAttention(Fusion):
    """Rectified projections weighed by one shared linear score over sqrt(width), softmaxed.

    The score has no bias: the softmax would cancel it.
    """

    weighs = True
    rectified = True

    def __init__(
        self, widths: Sequence[int], width: int, *, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__(widths, width, heads=heads, dropout=dropout)
        self.score = nn.Linear(width, 1, bias=False)
        self.scale = 1 / math.sqrt(width)

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above."""
        x = self.projected(vectors, there)
        weights = masked_softmax(self.score(x).squeeze(-1) * self.scale, there)
        return _weighted(x, weights), weights


@OPTIONS.register("fusion.concat", source="re-implementation of Lian et al. 2020", tag="R")
class Concat(Fusion):
    """One linear map of the vectors side by side; a missing one is 0."""

    def __init__(
        self, widths: Sequence[int], width: int, *, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__([sum(widths)], width, heads=heads, dropout=dropout)

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above."""
        fused: Tensor = self.dropout(self.projections[0](torch.cat(list(vectors), dim=-1)))
        return fused, _shares(there)


@OPTIONS.register("fusion.concat_deep", source="Tzirakis et al., ICASSP 2021, code", tag="C")
class ConcatDeep(Fusion):
    """Rectified projections side by side, and a linear map of them."""

    rectified = True

    def __init__(
        self, widths: Sequence[int], width: int, *, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__(widths, width, heads=heads, dropout=dropout)
        self.joint = nn.Linear(len(widths) * width, width)

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above."""
        return self.joint(self.projected(vectors, there).flatten(2)), _shares(there)


@OPTIONS.register("fusion.add", source="re-implementation of Lian et al. 2020", tag="R")
class Add(Fusion):
    """The sum of the projected vectors."""

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above."""
        return self.projected(vectors, there).sum(dim=2), _shares(there)


@OPTIONS.register("fusion.dot", source="re-implementation of Lian et al. 2020", tag="R")
class Dot(Fusion):
    """The product, value by value, of the projected vectors; a missing one multiplies by 1.

    Values of the product are dropped, since a dropped factor would take the others with it.
    """

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above."""
        each = [p(x) for p, x in zip(self.projections, vectors, strict=True)]
        product = torch.where(there.unsqueeze(-1), torch.stack(each, dim=2), 1.0).prod(dim=2)
        some = there.any(dim=-1, keepdim=True)
        return self.dropout(torch.where(some, product, 0.0)), _shares(there)


@OPTIONS.register("fusion.gated", source="Arevalo et al., gated multimodal units, 2017", tag="I")
class Gated(Fusion):
    """The sum of tanh(projected vector), each times its own sigmoid gates.

    A modality's gates, one a value, are a linear map of all projected vectors, where the source
    has all raw ones, which would triple the parameters. A modality's weight is its share of the
    gates' sum.
    """

    weighs = True

    def __init__(
        self, widths: Sequence[int], width: int, *, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__(widths, width, heads=heads, dropout=dropout)
        self.gates = nn.Linear(len(widths) * width, len(widths) * width)

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above."""
        x = self.projected(vectors, there)
        gates = self.gates(x.flatten(2)).reshape(x.shape).sigmoid() * there.unsqueeze(-1)
        opened = gates.float().mean(dim=-1)
        weights = opened / opened.sum(dim=-1, keepdim=True).clamp(min=1e-12)
        return (gates * x.tanh()).sum(dim=2), weights


@OPTIONS.register("fusion.multi_head", source="Gao et al., ICASSP 2021", tag="N")
class MultiHead(Fusion):
    """Attention over the steps: queries of the first vector, keys of the second, values of both.

    The values are a linear map of the two side by side. Query and key maps have the fused width,
    and an output map follows, as torch has it; all three are open in the paper.

    Raises:
        BadValue: there are not two vectors, or the width is no multiple of the heads.
    """

    def __init__(
        self, widths: Sequence[int], width: int, *, heads: int = 4, dropout: float = 0.0
    ) -> None:
        if len(widths) != 2:
            raise BadValue("fusion", "multi_head", f"two modalities, where there are {len(widths)}")
        if width % heads:
            raise BadValue("heads", heads, f"a divisor of the fused width {width}")
        super().__init__([sum(widths)], width, heads=heads, dropout=dropout)
        same = widths[0] == width
        self.query: nn.Module = nn.Identity() if same else nn.Linear(widths[0], width, bias=False)
        self.attention = nn.MultiheadAttention(
            width, heads, dropout=dropout, kdim=widths[1], vdim=width, batch_first=True
        )

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above; the softmax is over the steps at which any modality is there."""
        joint = self.projections[0](torch.cat(list(vectors), dim=-1))
        away = ~there.any(dim=-1)
        away = away & ~away.all(dim=1, keepdim=True)  # a softmax over nothing is not a number
        fused, _ = self.attention(
            self.query(vectors[0]), vectors[1], joint, key_padding_mask=away, need_weights=False
        )
        return fused, _shares(there)


@OPTIONS.register("fusion.first_only", source="every fusion without its second modality", tag="I")
class FirstOnly(Fusion):
    """The first modality's projected vector alone."""

    uses = (0,)

    def __init__(
        self, widths: Sequence[int], width: int, *, heads: int = 4, dropout: float = 0.0
    ) -> None:
        place = min(self.uses[0], len(widths) - 1)
        super().__init__([widths[place]], width, heads=heads, dropout=dropout)

    def fuse(self, vectors: Sequence[Tensor], there: Tensor) -> Fused:
        """As above; the modality that is left out has weight 0."""
        place = min(self.uses[0], len(vectors) - 1)
        kept = there & (torch.arange(len(vectors), device=there.device) == place)
        fused = self.projected([vectors[place]], there[..., place, None]).squeeze(2)
        return fused, _shares(kept)


@OPTIONS.register("fusion.second_only", source="every fusion without its first modality", tag="I")
class SecondOnly(FirstOnly):
    """The second modality's projected vector alone."""

    uses = (1,)
