"""eNTERFACE'05, with the slips of the release's names."""

from __future__ import annotations

from pathlib import Path

from trees.clips import clip

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise")
SLIPS = {"s16_su_1": "s16_su_1avi", "s3_ha_1": "s_3_ha_1"}


def build(root: Path) -> None:
    """Six people, two sentences an emotion; subject 6 in one recording, subject 11 misnamed."""
    for subject in (1, 3, 6, 11, 12, 16):
        for emotion in EMOTIONS:
            folder = root / f"subject {subject}" / emotion
            if subject == 6:
                clip(folder / f"s6_{emotion[:2]}.avi", 0.6)
                continue
            for sentence in (1, 2):
                name = f"s{12 if subject == 11 else subject}_{emotion[:2]}_{sentence}"
                file = folder / f"sentence {sentence}" / f"{SLIPS.get(name, name)}.avi"
                clip(file, seed=str(subject))
    (root / "subject 1" / "anger" / "Thumbs.db").write_bytes(b"thumbs")
