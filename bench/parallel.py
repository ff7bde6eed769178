"""Work on many items in threads, for what waits on files or lets other threads run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from serlab.bench.meters.environment import cores

T = TypeVar("T")
R = TypeVar("R")

_AHEAD = 16
"""Items for each thread that are taken before their turn; bounds the memory of a million."""


def in_threads(
    function: Callable[[T], R], items: Iterable[T], threads: int | None = None
) -> Iterator[R]:
    """What the function gives for each item, in their order.

    Decoding audio and hashing bytes go on side by side (libsndfile and hashlib let other
    threads run); arithmetic in Python does not.

    Args:
        function: called from several threads at once.
        items: taken as the work goes on.
        threads: None means one for each core that may be used.
    """
    n_threads, left = threads or cores(), iter(items)
    with ThreadPoolExecutor(n_threads) as pool:
        asked: deque[Future[R]] = deque()
        try:
            for item in left:
                asked.append(pool.submit(function, item))
                if len(asked) >= n_threads * _AHEAD:
                    yield asked.popleft().result()
            while asked:
                yield asked.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
