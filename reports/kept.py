"""What a run keeps of a look inside one training of an arm, read when a figure asks for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from serlab.bench.insight import Insight, read_insight


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The file of one training: that of the first fold with the first seed of the study."""

    path: Path
    fold: str
    seed: int

    def read(self) -> Insight:
        """What it holds; the latest few files are kept in memory.

        Raises:
            BadFile: it is damaged.
        """
        return _read(self.path, self.path.stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> Insight:
    """The file as of the time when it was ``changed``."""
    return read_insight(path)
