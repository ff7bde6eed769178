"""URDU-Dataset: a folder an emotion."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound


def build(root: Path) -> None:
    """Four speakers, four emotions."""
    for folder in ("Angry", "Happy", "Neutral", "Sad"):
        for index, speaker in enumerate(("SM1", "SM2", "SF1", "SF2"), 1):
            sound(root / folder / f"{speaker}_F{index}_{folder[0]}{index:03d}.wav")
