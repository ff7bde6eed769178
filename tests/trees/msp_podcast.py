"""MSP-Podcast: a release of three podcasts and a half."""

from __future__ import annotations

import csv
from pathlib import Path

from trees.sounds import sound

HEADER = (
    "FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set",
)  # fmt: skip
SPEAKERS = (
    ("0001", "Speaker 12", "Male", "Train"),
    ("0001", "Speaker 13", "Female", "Train"),
    ("0002", "Unknown", "Unknown", "Train"),
    ("0002", "Speaker 7", "Female", "Development"),
    ("0003", "Speaker 99", "Male", "Test1"),
    ("0004", "Unknown", "Male", "Test2"),
)
LETTERS = "ASHUFDCNOX"

GRID = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 0.3
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "phones"
        xmin = 0
        xmax = 0.3
        intervals: size = 1
        intervals [1]:
            xmin = 0
            xmax = 0.3
            text = "OW1"
    item [2]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = 0.3
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 0.05
            text = ""
        intervals [2]:
            xmin = 0.05
            xmax = 0.2
            text = "oh"
        intervals [3]:
            xmin = 0.2
            xmax = 0.3
            text = "say ""no"" now"
"""


def rows() -> list[tuple[str, ...]]:
    """The table's rows: each speaker in every class."""
    return [
        (
            f"MSP-PODCAST_{podcast}_{100 * place + number:04d}.wav",
            letter, "4.6", "3.25", "5.0", speaker, sex, part,
        )
        for place, (podcast, speaker, sex, part) in enumerate(SPEAKERS)
        for number, letter in enumerate(LETTERS)
    ]  # fmt: skip


def build(root: Path) -> None:
    """As release 1.12, the third test set without labels."""
    for name, *_ in (*rows(), ("MSP-PODCAST_0005_0001.wav",)):
        sound(root / "Audios" / name, 0.3)
        for folder, suffix, text in (
            ("Transcripts", ".txt", "Oh, say\n no?\n"),
            ("ForceAligned", ".TextGrid", GRID),
        ):
            path = root / folder / name.replace(".wav", suffix)
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    table = root / "Labels" / "labels_consensus.csv"
    table.parent.mkdir()
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows()])
