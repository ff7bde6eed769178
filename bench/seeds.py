"""Randomness without a global seed: each consumer's generator is made from a seed and a word."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def seed_of(seed: int, *words: str) -> int:
    """A 63-bit seed for one consumer.

    Example:
        >>> seed_of(1, "weights") == seed_of(1, "weights") != seed_of(1, "batches")
        True
    """
    text = "/".join((str(seed), *words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *words: str) -> np.random.Generator:
    """A numpy generator for one consumer."""
    return np.random.default_rng(seed_of(seed, *words))


@contextmanager
def torch_seeded(seed: int, *words: str) -> Iterator[torch.Generator]:
    """Makes what torch draws inside (initial weights, dropout) depend on the seed and word only.

    Torch's own generator is put back afterwards, so nothing outside notices.
    """
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        yield torch.manual_seed(seed_of(seed, *words))
