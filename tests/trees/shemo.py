"""ShEMO: a folder a sex, with a list of transcripts."""

from __future__ import annotations

import json
from pathlib import Path

from trees.sounds import sound

WORDS = {
    "A": "angry",
    "F": "fearful",
    "H": "happy",
    "N": "neutral",
    "S": "sad",
    "W": "surprised",
}


def build(root: Path) -> None:
    """Three speakers a sex, six emotions; two speakers have fear."""
    entries = []
    for sex in ("female", "male"):
        for speaker in ("01", "02", "21"):
            for letter, word in WORDS.items():
                if letter == "F" and speaker != "02":
                    continue
                name = f"{sex[0].upper()}{speaker}{letter}01"
                sound(root / sex / f"{name}.wav")
                entry = {"id": name, "gender": sex, "emotion": word, "ipa": "ki"}
                entries.append(entry | {"transcript": f"\ufeffکی این حرفو زده؟ {name}"})
    entries.pop()  # not all have a text
    (root / "shemo.json").write_text(json.dumps(entries, indent=4), encoding="utf-8")
