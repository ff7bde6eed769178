"""TESS: a folder an actress and emotion."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound

NAMES = {
    "angry": "angry",
    "disgust": "disgust",
    "Fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "Pleasant_surprise": "ps",
    "Sad": "sad",
}


def build(root: Path) -> None:
    """Two actresses, seven emotions, eight words, and the name that has lost a letter."""
    top = root / "TESS Toronto emotional speech set data"
    for folder, emotion in NAMES.items():
        for word in ("back", "bite", "date", "home", "long", "mill", "raid", "youth"):
            older = "OA" if (word, emotion) == ("bite", "neutral") else "OAF"
            sound(top / f"OAF_{folder}" / f"{older}_{word}_{emotion}.wav")
            younger = "pleasant_surprised" if emotion == "ps" else emotion
            sound(top / f"YAF_{younger}" / f"YAF_{word}_{emotion}.wav")
