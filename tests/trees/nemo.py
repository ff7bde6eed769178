"""nEMO: samples and a table."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound

ACTORS = {"EB0": ("female", 27), "IC0": ("female", 28), "KS0": ("male", 23), "WR0": ("male", 23)}
TEXTS = {
    "1": "Lubię czytać przed snem.",
    "38": "„Ród smoka” to serial telewizyjny.",
    "46": '"Żołwica" to dawne określenie na siostrę męża.',
}


def build(root: Path) -> None:
    """Four actors, six emotions, three sentences, some with quotation marks."""
    rows = ["file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"]
    for emotion in ("anger", "fear", "happiness", "neutral", "sadness", "surprised"):
        for actor, (sex, age) in ACTORS.items():
            for number, text in TEXTS.items():
                name = f"{actor}_{emotion}_{number}.wav"
                sound(root / "samples" / name)
                cells = (name, emotion, text, text.lower(), f"        {actor}", sex, str(age))
                rows.append("\t".join(cells))
    (root / "data.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
