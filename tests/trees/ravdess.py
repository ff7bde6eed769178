"""RAVDESS, speech: a folder an actor."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound


def build(root: Path) -> None:
    """Four actors, two statements, eight emotions."""
    for actor in ("01", "02", "23", "24"):
        for emotion in range(1, 9):
            for statement in ("01", "02"):
                name = f"03-01-{emotion:02d}-01-{statement}-01-{actor}.wav"
                sound(root / f"Actor_{actor}" / name)
