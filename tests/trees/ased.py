"""ASED: a folder an emotion."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound

FOLDERS = ("01Neutral", "02Fearful", "03Happy", "04Sad", "05Angry")


def build(root: Path) -> None:
    """Four speakers, five emotions, two sentences; a capital letter and a wrong sex among them."""
    for number, folder in enumerate(FOLDERS, 1):
        for sentence in ("01", "07"):
            for speaker in ("01-09", "01-29", "02-02", "02-50"):
                name = f"{folder[2].lower()}{number}-{sentence}-01-{speaker}"
                sound(root / folder / f"{name}.wav")
    sound(root / "04Sad" / "S4-04-02-01-29.wav")
    sound(root / "04Sad" / "s4-01-02-02-09.wav")
