"""EMOVO: a folder an actor."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound


def build(root: Path) -> None:
    """Six actors, seven emotions, two of the sentences."""
    for actor in ("f1", "f2", "f3", "m1", "m2", "m3"):
        for emotion in ("dis", "gio", "neu", "pau", "rab", "sor", "tri"):
            for sentence in ("b1", "n5"):
                sound(root / "EMOVO" / actor / f"{emotion}-{actor}-{sentence}.wav")
    (root / "EMOVO" / "documents").mkdir()
    (root / "EMOVO" / "documents" / "readme.pdf").write_bytes(b"%PDF")
