"""MELD: three tables, clips of three parts, and what the release is known for."""

from __future__ import annotations

import csv
from pathlib import Path

from trees.clips import clip
from trees.sounds import sound

EMOTIONS = ("neutral", "joy", "sadness", "anger", "surprise", "fear", "disgust")
FRIENDS = ("Chandler", "Joey", "Monica", "Phoebe", "Rachel", "Ross")
FOLDERS = {
    "train": "train/train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
HEADER = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID",
    "Season", "Episode", "StartTime", "EndTime",
)  # fmt: skip
BROKEN = {"train": (125, 3), "dev": (110, 7)}


def build(root: Path, suffix: str = ".mp4") -> None:
    """Two dialogues of seven turns in every part, and the two utterances without a clip."""
    for part, folder in FOLDERS.items():
        rows = []
        for dialogue in (0, 1):
            for turn, emotion in enumerate(EMOTIONS):
                who = FRIENDS[(dialogue + turn) % 6]
                rows.append(_row(len(rows), who, emotion, dialogue, turn))
                _clip(root / folder / f"dia{dialogue}_utt{turn}{suffix}")
        if part in BROKEN:
            rows.append(_row(len(rows), "The Waiter", "neutral", *BROKEN[part]))
        write(root / f"{part}_sent_emo.csv", rows)
    broken = root / FOLDERS["train"] / f"dia125_utt3{suffix}"
    if suffix == ".mp4":
        broken.write_bytes(b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 400)
    _clip(root / FOLDERS["test"] / f"final_videos_testdia0_utt0{suffix}")
    _clip(root / FOLDERS["dev"] / f"dia66_utt9{suffix}")  # in no table
    (root / FOLDERS["test"] / f"._dia0_utt0{suffix}").write_bytes(b"Mac OS X")


def write(path: Path, rows: list[tuple[object, ...]]) -> None:
    """A table with the release's header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([HEADER, *rows])


def _row(number: int, who: str, emotion: str, dialogue: int, turn: int) -> tuple[object, ...]:
    said = 'Why do all you\x92re "coffee mugs", have numbers?'
    times = ("00:20:57,256", "00:21:00,049")
    return (number + 1, said, who, emotion, "neutral", dialogue, turn, 4, 7, *times)


def _clip(path: Path) -> None:
    if path.suffix == ".mp4":
        clip(path, audio="aac")
    else:
        sound(path)
