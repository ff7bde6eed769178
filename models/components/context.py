"""Context: what an utterance's vector learns from its neighbours in the dialogue.

Every option is made as ``option(n_in, units, heads=, residual=, dropout=)`` and called with the
utterances (dialogue, turn, value) and a mask (dialogue, turn) whose real turns come first. It
gives two tensors (dialogue, turn, value): what its recurrent part gives, and what its attention
gives for that; a part that an option lacks hands on what it is given. ``width`` counts the values
of the last. Masked turns have no influence on any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from serlab.bench.data import Batch
from serlab.bench.errors import BadValue
from serlab.models.components.masks import fit_frames
from serlab.models.variant import OPTIONS

Contexts = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Turns:
    """Where the items of a batch stand in its dialogues, their turns counted without gaps."""

    row: Tensor
    """(item,) the dialogue."""
    column: Tensor
    """(item,) how many of its turns in this batch come before."""
    mask: Tensor
    """(dialogue, turn), true where there is an item."""

    @classmethod
    def of(cls, batch: Batch) -> Turns:
        """By `Batch.dialogues` and `Batch.turns`, whatever the order of the items."""
        order = torch.argsort(batch.items.to(batch.turns.device), stable=True)  # of equal turns
        for key in (batch.turns, batch.dialogues):
            order = order[torch.argsort(key[order], stable=True)]
        _, dialogue, lengths = torch.unique_consecutive(
            batch.dialogues[order], return_inverse=True, return_counts=True
        )
        place = torch.arange(len(order), device=order.device)
        place = place - (lengths.cumsum(0) - lengths)[dialogue]
        row, column = torch.empty_like(order), torch.empty_like(order)
        row[order], column[order] = dialogue, place
        turn = torch.arange(int(lengths.max()), device=order.device)
        return cls(row=row, column=column, mask=turn < lengths[:, None])

    def grid(self, x: Tensor) -> Tensor:
        """(item, ...) to (dialogue, turn, ...), zero (False) where there is no item."""
        held = x.new_zeros(*self.mask.shape, *x.shape[1:])
        return held.index_put((self.row, self.column), x)

    def items(self, x: Tensor) -> Tensor:
        """(dialogue, turn, ...) to (item, ...), in the batch's order."""
        return x[self.row, self.column]


class Context(nn.Module):
    """What the options share: either part, or both.

    Args:
        n_in: values of an utterance.
        units: of the recurrent part, in each direction.
        heads: of the attention.
        residual: whether what the attention is given is added to what it gives.
        dropout: share of the attention's weights, and of what it gives, that is dropped.

    Raises:
        BadValue: the attention's width is no multiple of the heads.
    """

    recurs = False
    attends = False

    def __init__(
        self, n_in: int, units: int, *, heads: int = 1, residual: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = 2 * units if self.recurs else n_in
        if self.recurs:
            self.gru = nn.GRU(n_in, units, batch_first=True, bidirectional=True)
        if self.attends:
            if self.width % heads:
                raise BadValue("heads", heads, f"a divisor of the attention's width {self.width}")
            self.attention = nn.MultiheadAttention(
                self.width, heads, dropout=dropout, batch_first=True
            )
            self.dropout = nn.Dropout(dropout)
        self.residual = residual

    def forward(self, x: Tensor, mask: Tensor) -> Contexts:
        """What the recurrent part gives, and what the attention gives."""
        recurrent = self._recurrent(x, mask) if self.recurs else x
        return recurrent, self._attended(recurrent, mask) if self.attends else recurrent

    def _recurrent(self, x: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(dim=1).cpu()
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        return fit_frames(states, mask.shape[1])

    def _attended(self, x: Tensor, mask: Tensor) -> Tensor:
        given, _ = self.attention(x, x, x, key_padding_mask=~mask, need_weights=False)
        given = self.dropout(given)
        attended: Tensor = x + given if self.residual else given
        return attended


@OPTIONS.register("context.none", source="Lian et al. 2019 without its context", tag="I")
class NoContext(Context):
    """Every utterance by itself."""


@OPTIONS.register("context.gru", source="re-implementation of Lian et al. 2020", tag="R")
class Recurrent(Context):
    """A bidirectional GRU of one layer over the turns."""

    recurs = True


@OPTIONS.register("context.gru_attention", source="re-implementation of Lian et al. 2020", tag="R")
class RecurrentAttention(Context):
    """A bidirectional GRU, and self-attention over what it gives."""

    recurs = True
    attends = True


@OPTIONS.register("context.attention", source="Lian et al. 2020 without its GRU", tag="I")
class SelfAttention(Context):
    """Self-attention over the turns, which knows no order."""

    attends = True
