"""What the benchmarks share: one thread, and sizes that a plain run of the tests can afford."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

Size = Callable[[int, int], int]
"""The first number where benchmarks are timed, the second where each runs once as a test."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Torch computes in one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def size(request: pytest.FixtureRequest) -> Size:
    """How large a benchmark's data are."""
    option = request.config.getoption
    timed = option("benchmark_enable") or not option("benchmark_disable")
    return lambda large, small: large if timed else small
