"""MELD: dialogues from the television series Friends, 7 emotions, with video and text.

Poria, Hazarika, Majumder, Naik, Cambria, Mihalcea: "MELD: A Multimodal Multi-Party Dataset for
Emotion Recognition in Conversations", ACL 2019. The release has a table for each part
(``train_sent_emo.csv`` ...) and the clips in ``train_splits``, ``dev_splits_complete`` and
``output_repeated_splits_test``, as ``dia0_utt0.mp4``; the folders of the three archives
(``train/train_splits``), a suffix ``_wav`` and plain ``train``, ``dev`` and ``test`` are found
too. Dialogues are numbered anew in every part. A tree of sound files is read in the same way, and
where a clip is there as sound and as video each is taken for what it is.

What the release is known for, and what is done about it:

- The parts share speakers: the six friends are in all of them. It is the partition that
  everybody reports on, and no speaker-independent one.
- Speakers are the names of characters; unlike people such as two waiters may have one name, and
  ``All`` or ``Joey and Phoebe`` are several people.
- Apostrophes and the like are left from Windows-1252 as control characters; they are mended.
- ``dia125_utt3`` of train cannot be decoded and ``dia110_utt7`` of dev is not there. Both stay as
  turns without sound and class, unless the files are there in working order.
- Clips without a row in the tables are left out. A test clip named ``final_videos_test...`` is
  taken only where the plain name is missing. One public note has 132 of them as corrections of
  the plain ones; most code that reads the release takes the plain ones, as here.
- Some clips are cut wrongly and last minutes; nothing is done about these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from serlab.bench.audio import SUFFIXES as SOUNDS
from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, choice, corpus_of, files_below
from serlab.bench.corpora.tables import csv_rows
from serlab.bench.errors import BadFile, UnknownName
from serlab.bench.media import SUFFIXES, AudioTrack, VideoFile

EMOTIONS = {
    "anger": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "joy": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprise": "surprise",
}
PARTS = {"train": "train", "dev": "validation", "test": "test"}
BROKEN = {("train", 125, 3): "cannot be decoded", ("dev", 110, 7): "is not in the release"}

COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
FACTS = {
    "Sentiment": "sentiment",
    "Season": "season",
    "Episode": "episode",
    "StartTime": "start",
    "EndTime": "end",
}

_CLIP = re.compile(r"(final_videos_test)?dia(\d+)_utt(\d+)", re.IGNORECASE)
_FOLDER = re.compile(r"(train|dev|output_repeated_splits_test|test)(?:_.*)?", re.IGNORECASE)
_Key = tuple[str, int, int]


@dataclass(kw_only=True)
class _Files:
    """Where a clip is, as sound and as video."""

    sound: Path | None = None
    video: Path | None = None


@CORPORA.register(
    "meld",
    title="Multimodal EmotionLines Dataset",
    language="English",
    licence="GPL-3.0 for the annotations; the series belongs to its owners",
    source="Poria et al., ACL 2019",
    needs_root=True,
    counts={
        "anger": 1607,
        "disgust": 361,
        "fear": 358,
        "happiness": 2308,
        "neutral": 6436,
        "sadness": 1002,
        "surprise": 1636,
    },
    protocols=("fixed",),
    options={"crop": "face"},
)
def meld(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted English dialogues, 7 emotions, 13,708 utterances in 1,432 dialogues, three parts.

    The option ``crop`` is "face" or "none": what is seen of the pictures.

    Raises:
        BadFile: a table is missing or malformed, or an utterance has no clip; names the line.
        UnknownName: an emotion is none of the seven.
    """
    assert root is not None
    face = choice(options, "crop", ("face", "none")) == "face"
    tables, clips = _found(root)
    utterances = [u for part in PARTS for u in _part(part, tables[part], clips, face)]
    return corpus_of("meld", utterances, EMOTIONS.values())


def _found(root: Path) -> tuple[dict[str, Path], dict[_Key, _Files]]:
    """The tables by part, and the clips."""
    tables: dict[str, Path] = {}
    clips: dict[_Key, _Files] = {}
    plain: set[Path] = set()
    for path in sorted(files_below(root)):
        table = re.fullmatch(r"(train|dev|test)_sent_emo\.csv", path.name, re.IGNORECASE)
        if table:
            tables.setdefault(table[1].lower(), path)
        elif path.suffix.lower() in (*SOUNDS, *SUFFIXES):
            _keep(path, root, clips, plain)
    for part in PARTS:
        if part not in tables:
            raise BadFile(root, f"holds no table {part}_sent_emo.csv, at any depth")
    return tables, clips


def _keep(path: Path, root: Path, clips: dict[_Key, _Files], plain: set[Path]) -> None:
    """Enters a clip; a plainly named one stands before its twin, and two plain ones clash."""
    name, part = _CLIP.fullmatch(path.stem), _part_of(path.relative_to(root))
    if not name or not part:
        return
    files = clips.setdefault((part, int(name[2]), int(name[3])), _Files())
    kind = "video" if path.suffix.lower() in SUFFIXES else "sound"
    other: Path | None = getattr(files, kind)
    if name[1] and other:
        return
    if other in plain:
        raise BadFile(path, f"is the same utterance as {other}; keep one of them")
    setattr(files, kind, path)
    if not name[1]:
        plain.add(path)


def _part_of(below: Path) -> str:
    """The part that the nearest folder with the name of one tells."""
    for folder in reversed(below.parts[:-1]):
        if match := _FOLDER.fullmatch(folder):
            return match[1].lower().removeprefix("output_repeated_splits_")
    return ""


# --- one part -------------------------------------------------------------------------------


def _part(part: str, table: Path, clips: Mapping[_Key, _Files], face: bool) -> Iterator[Utterance]:
    first: dict[_Key, int] = {}
    for line, cells in csv_rows(table, delimiter=",", required=COLUMNS):
        where = f"{table}:{line}"
        numbers = [_whole(where, cells, name) for name in ("Dialogue_ID", "Utterance_ID")]
        key = (part, numbers[0], numbers[1])
        if key in first:
            raise BadFile(where, f"dia{key[1]}_utt{key[2]} stands on line {first[key]} already")
        first[key] = line
        files = clips.get(key, _Files())
        broken = BROKEN.get(key, "") if not _works(key, files) else ""
        if not (files.sound or files.video or broken):
            raise BadFile(where, f"there is no clip dia{key[1]}_utt{key[2]} of {part}")
        yield _utterance(where, key, cells, _Files() if broken else files, broken, face)


def _works(key: _Key, files: _Files) -> bool:
    """Whether a clip known as broken is there after all; the released one has no index."""
    if key not in BROKEN or files.sound:
        return True
    return files.video is not None and b"moov" in files.video.read_bytes()


def _whole(where: str, cells: Mapping[str, str], name: str) -> int:
    if not re.fullmatch(r"\s*\d{1,9}\s*", cells[name]):
        raise BadFile(where, f'column "{name}" is {cells[name]!r}: expected a whole number')
    return int(cells[name])


def _utterance(
    where: str, key: _Key, cells: Mapping[str, str], files: _Files, broken: str, face: bool
) -> Utterance:
    part, dialogue, turn = key
    written = cells["Emotion"].strip().lower()
    if written not in EMOTIONS:
        raise UnknownName("emotion of MELD", written, EMOTIONS, where=where)
    facts = {to: cells[name].strip() for name, to in FACTS.items() if cells.get(name, "").strip()}
    if broken:
        facts |= {"label": EMOTIONS[written], "clip": broken}
    episode = "".join(f"{n[0]}{facts[n]}" for n in ("season", "episode") if n in facts)
    sound = AudioFile(path=files.sound) if files.sound else None
    track = AudioTrack(path=files.video) if files.video else None
    crop = VideoFile(path=files.video, crop="face" if face else "none") if files.video else None
    return Utterance(
        id=f"{part}_dia{dialogue}_utt{turn}",
        speaker=_mended(cells["Speaker"]) or "(nobody named)",
        audio=sound or track,
        emotion=None if broken else EMOTIONS[written],
        session=episode or None,
        dialogue=f"{part}_dia{dialogue}",
        turn=turn,
        text=_mended(cells["Utterance"]) or None,
        partition=PARTS[part],
        video=crop,
        facts=facts,
    )


def _mended(text: str) -> str:
    """The text with the characters of Windows-1252 that were taken for control characters."""
    mended = re.sub(
        "[\x80-\x9f]", lambda m: m[0].encode("latin-1").decode("cp1252", "ignore"), text
    )
    return " ".join(mended.split())
