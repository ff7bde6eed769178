"""EmoDB: all files in one folder."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound


def build(root: Path) -> None:
    """Four speakers, two sentences, seven emotions."""
    for speaker in ("03", "08", "15", "16"):
        for sentence in ("a01", "b10"):
            for letter in "WLEAFNT":
                sound(root / "wav" / f"{speaker}{sentence}{letter}a.wav")
