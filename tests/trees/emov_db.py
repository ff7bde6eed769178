"""EmoV-DB: a folder a speaker and style, as OpenSLR's archives are unpacked."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound

STYLES = {
    "Amused": "amused",
    "Angry": "anger",
    "Disgusted": "disgust",
    "Neutral": "neutral",
    "Sleepy": "sleepiness",
}


def build(root: Path) -> None:
    """Four speakers, five styles (Josh: three), a sentence in two ranges, a range of bad form."""
    for speaker in ("bea", "jenie", "josh", "sam"):
        for folder, style in STYLES.items():
            if speaker == "josh" and style in ("anger", "disgust"):
                continue
            for name in ("1-28_0001", "1-28_0028", "85-94_0094"):
                sound(root / f"{speaker}_{folder}" / f"{style}_{name}.wav")
    sound(root / "jenie_Amused" / "amused_94-112_0094.wav")
    sound(root / "sam_Angry" / "anger_225_252_0239.wav")
    (root / "cmuarctic.data").write_text(
        '( arctic_a0001 "Author of the danger trail, Philip Steels, etc." )\n'
        '( arctic_a0028 "Gad, your letter came just in time." )\n'
        '( arctic_b0001 "Another text." )\n',
        encoding="utf-8",
    )
