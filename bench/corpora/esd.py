"""ESD: 350 sentences in five emotions by ten Mandarin and ten English speakers.

Zhou, Sisman, Liu, Li: "Seen and Unseen Emotional Style Transfer for Voice Conversion with a New
Emotional Speech Dataset", ICASSP 2021, pp. 920-924; the same: "Emotional voice conversion: Theory,
databases and ESD", Speech Communication 137, 2022. A name such as ``0001_000351`` is the speaker
(0001 to 0010 Mandarin, 0011 to 0020 English) and a number: 1 to 350 neutral, then angry, happy, sad
and surprised, the same 350 sentences each time. Files are in ``0001/Angry/train`` (or
``evaluation``, ``test``); later releases have no such parts: ``0001/Angry``. All speakers are in
all parts.

Texts are in ``0001/0001.txt``, a line such as ``0011_000351<tab>A text.<tab>Angry``. Every
speaker's file has an encoding of its own: UTF-8, UTF-16, GBK or a Western one; in a few lines the
tabs are missing. The speakers' sexes are those that most users' codes have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, agree, choice, corpus_of, named_files
from serlab.bench.corpora.tables import text_of
from serlab.bench.errors import BadFile

FOLDERS = {
    "neutral": "neutral",
    "angry": "anger",
    "happy": "happiness",
    "sad": "sadness",
    "surprise": "surprise",
}
EMOTIONS = tuple(FOLDERS.values())
"""In the order of the numbers."""
N_SENTENCES = 350
PARTS = {"train": "train", "evaluation": "validation", "test": "test"}
MALE = {4, 5, 6, 8, 10, 11, 12, 13, 14, 20}
LAST_MANDARIN = 10

SCHEME = Scheme(
    corpus="esd",
    pattern=re.compile(r"(000[1-9]|001\d|0020)_00(0\d{3}|1[0-6]\d\d|17[0-4]\d|1750)"),
    words="speaker (0001 to 0020) and number (000001 to 001750), such as 0001_000351.wav",
)
LINE = re.compile(
    r"(?P<id>\d{4}_\d{6})\s+(?P<text>[^\t]+?)\s*"
    r"(?:\t.*|(?:Neutral|Angry|Happy|Sad|Surprise|中立|生气|快乐|伤心|惊喜))?"
)


@CORPORA.register(
    "esd",
    title="Emotional Speech Dataset (ESD)",
    language="Mandarin and English",
    licence="research use only, after an agreement",
    source="Zhou et al., ICASSP 2021",
    needs_root=True,
    counts={
        "anger": 7000,
        "happiness": 7000,
        "neutral": 7000,
        "sadness": 7000,
        "surprise": 7000,
    },
    protocols=("leave-one-speaker-out", "speaker-groups", "fixed"),
    options={"language": "all", "unknown": "error"},
)
def esd(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted Mandarin and English speech, 5 emotions, 20 speakers, 350 sentences a language.

    The option ``language`` is "all", "english" or "mandarin".

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name, or in the
            folder of another emotion; a speaker's texts cannot be read.
    """
    assert root is not None
    language = choice(options, "language", ("all", "english", "mandarin"))
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    files = [(path, match) for path, match in files if language in ("all", _language(match[1]))]
    if not files:
        raise BadFile(root, f'has no file for the option language="{language}"')
    first = {match[1]: path for path, match in reversed(files)}
    texts: dict[str, str] = {}
    for speaker, path in first.items():
        texts |= _texts(root, path, speaker)
    utterances = (_utterance(path, match, texts) for path, match in files)
    return corpus_of("esd", utterances, EMOTIONS)


def _language(speaker: str) -> str:
    return "mandarin" if int(speaker) <= LAST_MANDARIN else "english"


def _utterance(path: Path, match: re.Match[str], texts: Mapping[str, str]) -> Utterance:
    speaker, number = match[1], int(match[2])
    if number == 0:
        raise BadFile(path, "has the number 0: expected 1 to 1750")
    emotion, sentence = (number - 1) // N_SENTENCES, (number - 1) % N_SENTENCES + 1
    agree(path, EMOTIONS[emotion], FOLDERS, depth=2)
    language = _language(speaker)
    return Utterance(
        id=path.stem,
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[emotion],
        sentence=f"{language}{sentence:03d}",
        text=texts.get(path.stem),
        partition=PARTS.get(path.parent.name.lower()),
        facts={"sex": "male" if int(speaker) in MALE else "female", "language": language},
    )


# --- texts ----------------------------------------------------------------------------------


def _texts(root: Path, path: Path, speaker: str) -> dict[str, str]:
    """What a speaker says by utterance, from the file in one of the folders above the audio."""
    above = [folder for folder in path.parents if folder == root or root in folder.parents]
    table = next((f for folder in above if (f := folder / f"{speaker}.txt").is_file()), None)
    if table is None:
        return {}
    lines = text_of(table, _encodings(table, speaker)).splitlines()
    found = [LINE.fullmatch(line.strip().removeprefix("\ufeff")) for line in lines]
    return {match["id"]: match["text"] for match in found if match}


def _encodings(table: Path, speaker: str) -> tuple[str, ...]:
    """The encodings that a file may have, likeliest first; nothing but UTF-16 has zero bytes."""
    try:
        with table.open("rb") as file:
            head = file.read(200)
    except OSError as error:
        raise BadFile(table, f"cannot be read: {error.strerror}") from None
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return ("utf-16",)
    if b"\0" in head:
        return ("utf-16-be" if head[0] == 0 else "utf-16-le",)
    if _language(speaker) == "mandarin":
        return ("utf-8-sig", "gb18030")
    return ("utf-8-sig", "cp1252", "latin-1")
