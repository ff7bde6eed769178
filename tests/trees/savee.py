"""SAVEE: a folder a speaker."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound


def build(root: Path) -> None:
    """Four speakers, seven emotions, three sentences; neutral has more."""
    for speaker in ("DC", "JE", "JK", "KL"):
        for emotion in ("a", "d", "f", "h", "n", "sa", "su"):
            for number in ("01", "04", "15"):
                sound(root / "AudioData" / speaker / f"{emotion}{number}.wav")
        sound(root / "AudioData" / speaker / "n30.wav")
    (root / "AudioData" / "Info.txt").write_text("Speakers\n", encoding="utf-8")
