"""RAVDESS, speech: a folder an actor."""

from __future__ import annotations

from pathlib import Path

from trees.sounds import sound


def build(root: Path) -> None:
    """Four actors, two statements, eight emotions."""
    for actor in ("01", "02", "23", "24"):
        for emotion in range(1, 9):
            for statement in ("01", "02"):
                name = f"03-01-{emotion:02d}-01-{statement}-01-{actor}.wav"
                sound(root / f"Actor_{actor}" / name)


def build_video(root: Path) -> None:
    """The clips of the same four actors, as the archives of video unpack."""
    from trees.clips import clip  # needs the extra "video"

    for path in sorted(root.glob("Actor_*/03-*.wav")):
        folder = root / f"Video_Speech_{path.parent.name}" / path.parent.name
        clip(folder / f"01{path.stem[2:]}.mp4", 0.2)
        clip(folder / f"02{path.stem[2:]}.mp4", 0.2, audio="none")
