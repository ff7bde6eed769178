"""SEWA in the form of AVEC 2017; `build_2019` makes the form of AVEC 2019."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from trees.sounds import sound

N_FRAMES = 30
COUNTS = {"Train": 4, "Devel": 2, "Test": 2}


def label_rows(name: str) -> list[str]:
    """Name, time and three values, every 0.1 s."""
    values = np.random.default_rng(list(name.encode())).normal(0, 0.05, (N_FRAMES, 3)).cumsum(0)
    return [f"'{name}';{i / 10:.1f};{a:.4f};{v:.4f};{q:.4f}" for i, (a, v, q) in enumerate(values)]


def build(root: Path) -> None:
    """Four, two and two recordings of 3 s, with turns and transcripts, and no headers."""
    for part, count in COUNTS.items():
        for number in range(1, count + 1):
            name = f"{part}_{number:02}"
            _recording(root, name)
            write(root / "labels" / f"{name}.csv", label_rows(name))


def build_2019(root: Path) -> None:
    """Germans and Hungarians with labels under a header, and Chinese to test without labels."""
    for name in ("Train_DE_01", "Train_HU_01", "Devel_DE_01", "Devel_HU_01", "Test_CN_01"):
        sound(root / "audio" / f"{name}.wav", N_FRAMES / 10)
        if not name.startswith("Test"):
            head = "name;timestamp;arousal;valence;liking"
            write(root / "labels" / f"{name}.csv", [head, *label_rows(name)])


def write(path: Path, lines: list[str]) -> None:
    """A table with Windows line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\r\n" for line in lines), encoding="utf-8", newline="")


def _recording(root: Path, name: str) -> None:
    sound(root / "audio" / f"{name}.wav", N_FRAMES / 10)
    write(root / "turns" / f"{name}.csv", ["0.50;1.20", "2.00;2.60"])
    said = ["0.50;1.20;'Ja, <laughter> schön; genau'", "2.00;2.60;<filler>"]
    write(root / "transcriptions" / f"{name}.csv", said)
