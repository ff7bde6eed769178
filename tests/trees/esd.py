"""ESD: a folder a speaker, emotion and part, and texts in an encoding for each speaker."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound

FOLDERS = ("Neutral", "Angry", "Happy", "Sad", "Surprise")
CHINESE = ("中立", "生气", "快乐", "伤心", "惊喜")
PARTS = {1: "evaluation", 21: "test", 51: "train"}
ENCODINGS = {"0001": "gb2312", "0003": "utf-16", "0011": "utf-8", "0016": "cp1252"}


def build(root: Path) -> None:
    """Two speakers a language, five emotions, a file a part; lines with and without tabs."""
    for speaker, encoding in ENCODINGS.items():
        mandarin = int(speaker) <= 10
        lines = []
        for index, folder in enumerate(FOLDERS):
            for first, part in PARTS.items():
                name = f"{speaker}_{index * 350 + first:06d}"
                sound(root / speaker / folder / part / f"{name}.wav")
                text = f"打远一看，它们的确很是美丽。{first}" if mandarin else f"It’s Tom, {first}."
                gap = " " if (folder, part) == ("Happy", "train") else "\t"
                lines.append(gap.join((name, text, (CHINESE if mandarin else FOLDERS)[index])))
        text = "\r\n".join(lines) + "\r\n\r\n"
        (root / speaker / f"{speaker}.txt").write_bytes(text.encode(encoding))
    (root / "ReadMe.txt").write_text("ESD\n", encoding="utf-8")
