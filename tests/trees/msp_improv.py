"""MSP-IMPROV: three sessions, two sentences, all kinds of turns."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound

LETTERS = ("A", "H", "N", "S", "N", "X", "H", "A", "O", "S", "N")
ANGRY = "A:1.500000; V:2.000000; D:4.250000 ; N:NaN;"
CALM = "A:4.500000; V:3.000000; D:NaN ; N:4.000000;"


def names() -> list[str]:
    """The turns' names: six actors who improvise, read and talk."""
    found = []
    for session in ("01", "02", "03"):
        for prompt in ("S01A", "S07H"):
            for sex, other in ("FM", "MF"):
                speaker = f"{sex}{session}"
                for scenario, targets, turns in (
                    ("R", (sex * 2,), 1),
                    ("T", (sex + other,), 1),
                    ("S", (sex + other, other + sex), 2),
                    ("P", (sex + other, other + sex), 1),
                ):
                    found += [
                        f"MSP-IMPROV-{prompt}-{speaker}-{scenario}-{target}{turn:02d}"
                        for target in targets
                        for turn in range(1, turns + 1)
                    ]
    return found


def labels(found: list[str]) -> list[str]:
    """The label file's lines."""
    lines = []
    for place, name in enumerate(found):
        letter = LETTERS[place % len(LETTERS)]
        rating = ANGRY if letter == "A" else CALM
        lines += [
            f"{name.replace('MSP', 'UTD')}.avi; {letter}; {rating}",
            "WORKER-00000014; Angry; Angry,Frustrated; A:2.0; V:2.0; D:3.0; N:4.0;",
            "WORKER-00000014; Angry; Angry,Frustrated; A:2.0; V:2.0; D:3.0; N:4.0;",
            "student_7; Other; Other (tired; caf\xe9), Sad; A:NaN; V:2.0; D:NaN; N:NaN;",
            "WORKER-00000123; Neutral; ; A:4.0; V:3.0; D:3.0; N:4.0;",
            "",
        ]
    return lines


def build(root: Path) -> None:
    """The release of sound, with text for the turns that are not read."""
    found = names()
    for name in found:
        prompt, speaker, scenario = name.split("-")[2:5]
        folder = root / "Audio" / f"session{int(speaker[1:])}" / prompt / scenario
        sound(folder / f"{name}.wav")
        if scenario != "R":
            text = root / "All_human_transcriptions" / f"{name}.txt"
            text.parent.mkdir(parents=True, exist_ok=True)
            text.write_bytes(b"I don\x92t know,\r\n" + name.encode() + b"\r\n")
    (root / "Evalution.txt").write_bytes("\r\n".join(labels(found)).encode("latin-1"))
