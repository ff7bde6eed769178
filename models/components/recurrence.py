"""Recurrence: what stands between the frames of a convolutional network and their pooling.

Every option takes ``(n_in, n_units)`` and gives a module ``(frames (item, frame, value), mask
(item, frame)) -> (item, frame, n_out)`` with ``n_out`` as attribute. Padding changes nothing.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from serlab.models.components.masks import fit_frames
from serlab.models.variant import OPTIONS


@OPTIONS.register("recurrence.none", source="a plain CNN", tag="I")
class NoRecurrence(nn.Module):
    """Frames as they are."""

    def __init__(self, n_in: int, n_units: int) -> None:
        super().__init__()
        self.n_out = n_in

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """The frames themselves."""
        return frames


@OPTIONS.register("recurrence.blstm", source="Chen et al., IEEE SPL 2018", tag="A")
class BLSTM(nn.Module):
    """One bidirectional LSTM layer over the real frames."""

    def __init__(self, n_in: int, n_units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(n_in, n_units, batch_first=True, bidirectional=True)
        self.n_out = 2 * n_units

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Both directions' states; masked frames are 0."""
        lengths = mask.sum(dim=1).clamp(min=1).cpu()
        packed = pack_padded_sequence(frames, lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        return fit_frames(states, frames.shape[1]) * mask.unsqueeze(-1)
