"""Zero maps: an utterance's frames cut into a fixed number of maps, and which of them count.

Every option takes the maps that are filled, (item, map), and gives those that count, in the same
shape. Filled maps come first, and there is at least one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from serlab.models.variant import OPTIONS


def cut_maps(x: Tensor, mask: Tensor, n_maps: int, map_frames: int) -> tuple[Tensor, Tensor]:
    """Frames (item, frame, value) cut into maps, as AV4SER does with 5 maps of 224 frames [C].

    Each item is cut by its own length T. One that is shorter than ``map_frames + n_maps`` gets
    ``map_frames / 2`` zero frames at either end. Maps begin every T // n_maps frames while they
    begin before T - map_frames; the others stay zero, and from 229 to 240 frames all but one do.

    Args:
        x: padded at the end.
        mask: (item, frame), true where a frame is real.
        n_maps: maps of every item.
        map_frames: frames of a map, an even number not below ``n_maps``.

    Returns:
        Maps (item, map, map_frames, value), and (item, map), true where a map is filled.
    """
    frame, real, filled = map_frames_of(mask, n_maps, map_frames)
    items = torch.arange(len(x), device=x.device)[:, None, None]
    maps = x[items, frame.clamp(0, x.shape[1] - 1)]
    return maps.masked_fill(~real.unsqueeze(3), 0.0), filled


def map_frames_of(mask: Tensor, n_maps: int, map_frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """Which frame of its item each frame of a map is, as `cut_maps` cuts them.

    Returns:
        (item, map, map_frames), the frame, and true where there is one; and (item, map), true
        where a map is filled.
    """
    length = mask.sum(dim=1)
    pad = (length < map_frames + n_maps) * (map_frames // 2)
    total = length + 2 * pad
    hop = torch.div(total, n_maps, rounding_mode="floor")
    start = torch.arange(n_maps, device=mask.device) * hop.unsqueeze(1)
    filled = start < (total - map_frames).unsqueeze(1)
    steps = torch.arange(map_frames, device=mask.device)
    frame = (start - pad.unsqueeze(1)).unsqueeze(2) + steps
    real = (frame >= 0) & (frame < length[:, None, None]) & filled.unsqueeze(2)
    return frame, real, filled


def lay_maps(maps: Tensor, mask: Tensor, counted: Tensor) -> Tensor:
    """Maps laid back on the frames that they were cut from, as means where they overlap.

    Args:
        maps: (item, map, map_frames, value).
        mask: (item, frame), true where a frame is real.
        counted: (item, map); the filled ones among these are laid.

    Returns:
        (item, frame, value), 0 where no map is.
    """
    b, n_maps, n_frames, n_values = maps.shape
    frame, real, _ = map_frames_of(mask, n_maps, n_frames)
    items, which, step = (real & counted.unsqueeze(2)).nonzero(as_tuple=True)
    place = items, frame[items, which, step]
    total = maps.new_zeros(b, mask.shape[1], n_values)
    total = total.index_put(place, maps[items, which, step], accumulate=True)
    count = maps.new_zeros(b, mask.shape[1])
    count = count.index_put(place, count.new_ones(len(items)), accumulate=True)
    return total / count.clamp(min=1).unsqueeze(2)


def share_empty(filled: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
    """Which maps to compute, and where each map finds its own among what is computed.

    Empty maps are alike, so one of the batch stands for all of them.

    Args:
        filled: (item, map), true where a map is unlike the empty one.
        counted: (item, map), the maps that are asked for.

    Returns:
        (item, map), true where a map is computed; (item, map), its row among those. What the
        row of a map that does not count says has no meaning.
    """
    empty = (counted & ~filled).flatten()
    first = empty & (empty.cumsum(dim=0) == 1)
    computed = (counted & filled).flatten() | first
    row = (computed.cumsum(dim=0) - 1).clamp(min=0)
    row = torch.where(empty, (row * first).sum(), row)
    return computed.reshape(counted.shape), row.reshape(counted.shape)


@OPTIONS.register("zero_maps.native", source="AV4SER", tag="C")
def native(filled: Tensor) -> Tensor:
    """All maps: the empty ones enter means and batch statistics, and the fusion's last step."""
    return torch.ones_like(filled)


@OPTIONS.register("zero_maps.masked", source="ours", tag="I")
def masked(filled: Tensor) -> Tensor:
    """Filled maps alone; the empty ones are not even computed."""
    return filled
