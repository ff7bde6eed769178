"""MSP-Podcast: turns of natural speech from podcasts, with an official partition.

Lotfian, Busso: "Building naturalistic emotionally balanced speech corpus by retrieving emotional
speech from existing podcast recordings", IEEE Transactions on Affective Computing 10(4), 2019.
A release (1.12 says so in its readme) has ``Audios/``, ``Labels/labels_consensus.csv`` (up to
1.8 ``labels_concensus.csv``), one file of text a turn in ``Transcripts/`` and word times as Praat
TextGrids in ``ForceAligned/``; some copies have ``Audio/``, or a folder in one of its own name.
The partition is in the table's column Split_Set: Train, Development (in old releases
Validation), Test1, Test2 and Test3. The labels of Test3 are withheld; sound that the table does
not name, such as its, is not of the corpus.

A speaker "Unknown" is nobody: all such turns of one podcast are taken for one speaker of their
own, as ``unknown-MSP-PODCAST_0001``. Nobody unknown is then on two sides of a fold, unless in
two podcasts.

Not verified: which tiers the TextGrids have. The one named "words" is read, else the first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance, Word
from serlab.bench.corpora.base import CORPORA, choice, corpus_of
from serlab.bench.corpora.tables import csv_rows, text_of
from serlab.bench.errors import BadFile

EMOTIONS = {
    "A": "anger",
    "C": "contempt",
    "D": "disgust",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
    "U": "surprise",
}
UNCLASSED = {"O": "other", "X": "no agreement"}
PARTS = {"Train": "train", "Development": "validation", "Validation": "validation"}
TESTS = ("Test1", "Test2", "Test3")
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
RATINGS = {"EmoAct": "arousal", "EmoVal": "valence", "EmoDom": "dominance"}
TABLES = ("labels_consensus.csv", "labels_concensus.csv")
ENCODINGS = ("utf-8-sig", "latin-1")

_PODCAST = re.compile(r"(MSP-PODCAST_\d+)_.+")
_TIER = re.compile(r'name = "([^"]*)"')
_INTERVAL = re.compile(
    r'intervals \[\d+\]:?\s+xmin = (\d+\.?\d*)\s+xmax = (\d+\.?\d*)\s+text = "((?:[^"]|"")*)"'
)


@dataclass(frozen=True, kw_only=True)
class _Release:
    """Where a release's files lie."""

    sounds: Path
    there: frozenset[str]
    """Names of the sound files."""
    texts: Path | None
    grids: Path | None


@CORPORA.register(
    "msp_podcast",
    title="MSP-Podcast",
    language="English",
    licence="on request from the MSP laboratory, for research",
    source="Lotfian and Busso, IEEE Transactions on Affective Computing 10(4), 2019",
    needs_root=True,
    counts={},
    protocols=("fixed", "speaker-groups"),
    options={"test": "Test1", "words": False},
)
def msp_podcast(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Natural English of podcasts, 8 emotions, an official partition.

    Options: ``test`` names the test set ("Test1", "Test2" or "Test3"; turns of the others are
    left out); ``words`` reads the words' times. Turns labelled as another emotion or without
    agreement stay, without emotion.

    Raises:
        BadFile: the table of labels is missing or wrong, or names a file that is not there.
    """
    assert root is not None
    test = choice(options, "test", TESTS)
    table, release = _table(root), _release(root, words=bool(options["words"]))
    found: dict[str, Utterance] = {}
    for line, row in csv_rows(table, required=COLUMNS):
        where = f"{table}:{line}"
        partition = _partition(row["Split_Set"].strip(), test, where)
        if partition is None:
            continue
        utterance = replace(_utterance(row, where, release), partition=partition)
        if utterance.id in found:
            raise BadFile(where, f"{utterance.id} stands here a second time")
        found[utterance.id] = utterance
    return corpus_of("msp_podcast", found.values(), EMOTIONS.values())


def _table(root: Path) -> Path:
    folders = (root / "Labels", root / "Labels" / "Labels", root)
    places = [folder / name for folder in folders for name in TABLES]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise BadFile(root, f"holds no table of labels, Labels/{TABLES[0]}")
    return found


def _release(root: Path, *, words: bool) -> _Release:
    sounds = _folder(root, "Audios") or _folder(root, "Audio")
    if sounds is None:
        raise BadFile(root, "has no folder Audios")
    grids = _folder(root, "ForceAligned") if words else None
    if words and grids is None:
        raise BadFile(root, 'has no folder ForceAligned, and the option "words" asks for it')
    there = frozenset(path.name for path in sounds.iterdir())
    return _Release(sounds=sounds, there=there, texts=_folder(root, "Transcripts"), grids=grids)


def _folder(root: Path, name: str) -> Path | None:
    """A release's folder, or the one of the same name that unpacking put into it."""
    places = (root / name / name, root / name)
    return next((path for path in places if path.is_dir()), None)


def _partition(written: str, test: str, where: str) -> str | None:
    """The part of the fold; None in a test set that is not the chosen one."""
    if written in TESTS:
        return "test" if written == test else None
    if written not in PARTS:
        raise BadFile(where, f'Split_Set is "{written}": expected {", ".join((*PARTS, *TESTS))}')
    return PARTS[written]


def _utterance(row: Mapping[str, str], where: str, release: _Release) -> Utterance:
    name = PurePosixPath(row["FileName"].strip().replace("\\", "/")).name
    if name not in release.there:
        raise BadFile(release.sounds / name, f"there is no such file; {where} names it")
    letter = row["EmoClass"].strip()
    if letter not in (*EMOTIONS, *UNCLASSED):
        known = ", ".join((*EMOTIONS, *UNCLASSED))
        raise BadFile(where, f'EmoClass is "{letter}": expected one of {known}')
    stem = PurePosixPath(name).stem
    podcast = _PODCAST.fullmatch(stem)
    recording = podcast[1] if podcast else stem
    speaker, sex = row["SpkrID"].strip(), row["Gender"].strip().lower()
    facts = {fact: row[column].strip() for column, fact in RATINGS.items()}
    facts |= {"label": letter, "sex": "" if sex == "unknown" else sex, "recording": recording}
    return Utterance(
        id=stem,
        speaker=f"unknown-{recording}" if speaker.lower() in ("", "unknown") else speaker,
        audio=AudioFile(path=release.sounds / name),
        emotion=EMOTIONS.get(letter),
        text=_text(release.texts, stem),
        words=_words(release.grids, stem),
        facts={name: value for name, value in facts.items() if value},
    )


def _text(folder: Path | None, stem: str) -> str | None:
    """Some turns have none."""
    path = folder / f"{stem}.txt" if folder else None
    return " ".join(text_of(path, ENCODINGS).split()) if path and path.is_file() else None


def _words(folder: Path | None, stem: str) -> tuple[Word, ...]:
    path = folder / f"{stem}.TextGrid" if folder else None
    if path is None or not path.is_file():
        return ()
    tiers = _TIER.split(text_of(path, ENCODINGS))[1:]  # name, contents, name, contents ...
    if not tiers:
        raise BadFile(path, "is no TextGrid with named tiers")
    named = dict(zip(tiers[::2], tiers[1::2], strict=True))
    intervals = _INTERVAL.findall(named.get("words", tiers[1]))
    return tuple(
        Word(text=text.strip().replace('""', '"'), start_s=float(start), end_s=float(end))
        for start, end, text in intervals
        if text.strip() and not text.startswith("<")
    )
