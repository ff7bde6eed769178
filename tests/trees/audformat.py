"""A database in audformat, laid out as that of EmoDB in the public catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest
from trees.sounds import sound

EMOTIONS = ("happy", "anger", "neutral", "sadness")
SPEAKERS = {
    3: {"gender": "male", "age": 31},
    8: {"gender": "female", "age": 34},
    9: {"gender": "female", "age": None},
    10: {"gender": "male", "age": 32},
}
SENTENCES = {"a01": "Der Lappen liegt auf dem Eisschrank.", "a02": "Das will sie abgeben."}


def build(root: Path) -> None:
    """A table of all emotions, one of each part, and one of files with speakers and texts."""
    audformat = pytest.importorskip("audformat")
    clips = [(s, t, e) for s in SPEAKERS for t in SENTENCES for e in EMOTIONS]
    files = [f"wav/{s:02}{t}{e[0]}.wav" for s, t, e in clips]
    for file in files:
        sound(root / file)
    db = audformat.Database("emodb", source="http://emodb.bilderbar.info", license="CC0-1.0")
    db.schemes["emotion"] = audformat.Scheme("str", labels=list(EMOTIONS))
    db.schemes["confidence"] = audformat.Scheme("float", minimum=0, maximum=1)
    db.schemes["speaker"] = audformat.Scheme("int", labels=SPEAKERS)
    db.schemes["transcription"] = audformat.Scheme("str", labels=SENTENCES)
    for part in ("train", "test"):
        db.splits[part] = audformat.Split(part)
    table(db, "emotion", files, {"emotion": [e for _, _, e in clips]})
    table(db, "files", files, {"speaker": [s for s, _, _ in clips],
                               "transcription": [t for _, t, _ in clips]})  # fmt: skip
    for part, speakers in (("train", (3, 8)), ("test", (9, 10))):
        mine = [i for i, (s, _, _) in enumerate(clips) if s in speakers]
        name = f"emotion.categories.{part}.gold_standard"
        emotions = [clips[i][2] for i in mine]
        table(db, name, [files[i] for i in mine], {"emotion": emotions}, split=part)
    db.save(str(root), storage_format="csv")


def table(db: object, name: str, files: list[str], columns: dict, split: str | None = None) -> None:  # type: ignore[type-arg]
    """Adds a table of whole files whose columns have the schemes of their names."""
    import audformat

    index = audformat.filewise_index(files)
    db[name] = audformat.Table(index, split_id=split)  # type: ignore[index]
    for column, values in columns.items():
        db[name][column] = audformat.Column(scheme_id=column)  # type: ignore[index]
        db[name][column].set(values)  # type: ignore[index]
