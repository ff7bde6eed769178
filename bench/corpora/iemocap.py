"""IEMOCAP: ten actors in five sessions of two, improvising and playing scripts.

Busso, Bulut, Lee, Kazemzadeh, Mower, Kim, Chang, Lee, Narayanan: "IEMOCAP: interactive emotional
dyadic motion capture database", Language Resources and Evaluation 42(4), 2008. The full release
has for each ``SessionN`` the turns' times and labels in ``dialog/EmoEvaluation``, their text in
``dialog/transcriptions``, one sound file a turn in ``sentences/wav``, word times (Sphinx, 100
frames a second) in ``sentences/ForcedAlignment`` and the video in ``dialog/avi/DivX``. In
``Ses01F_impro01_M003`` the first letter says who wears the markers of motion capture, and the
last token's letter who speaks.

Both actors share each picture of the video, the one with markers in the left half. The release
does not say so; two independent public preparations of the corpus crop it that way, one of them
for all sessions.

The option ``happy`` says what becomes of happiness and excitement. The subsets of the literature:

======  =============================================================================
turns   options
======  =============================================================================
5531    the defaults
4490    ``happy = "happiness"``
2943    ``style = "improvised"``
2280    ``style = "improvised"``, ``happy = "happiness"`` (li2018)
2659    ``style = "improvised"``, ``happy = "excitement"`` (GLAM, head_fusion)
2588    ``style = "scripted"``
======  =============================================================================

The protocol of wei2022 and gao2021 is ``split = "random-utterances"``, ``groups = 5``: it leaks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance, Word
from serlab.bench.corpora.base import CORPORA, choice, corpus_of
from serlab.bench.corpora.tables import tally, text_of
from serlab.bench.errors import BadFile
from serlab.bench.media import VideoFile

EMOTIONS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excitement",
    "fea": "fear",
    "fru": "frustration",
    "hap": "happiness",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
}
NO_AGREEMENT = "xxx"

CLASSES = {"four": ("ang", "neu", "sad"), "all": tuple(EMOTIONS)}
"""Whether happiness and excitement are among them is for the option happy to say."""

HAPPY = {
    "merged": {"hap": "happiness", "exc": "happiness"},
    "happiness": {"hap": "happiness"},
    "excitement": {"exc": "excitement"},
    "both": {"hap": "happiness", "exc": "excitement"},
}
STYLES = {"impro": "improvised", "script": "scripted"}
VOTES = {"excited": "excitement", "neutral state": "neutral"}
"""Annotators' words that are not the field's."""

RELEASE = "IEMOCAP_full_release"
ENCODINGS = ("utf-8-sig", "latin-1")
WORDS_RATE_HZ = 100

_NAME = re.compile(r"Ses\d\d[FM]_(impro|script)\w+_[FM]\d+")
_TURN = re.compile(
    r"\[\s*([\d.]+)\s*-\s*([\d.]+)\s*\]\s+(\w+)\s+(\w+)\s+"
    r"\[\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*\]"
)
_VOTE = re.compile(r"C-E\d+:([^(]*)")
_SAID = re.compile(r"(\w+)\s*\[\s*[\d.]+\s*-\s*[\d.]+\s*\]\s*:(.*)")
_WORD = re.compile(r"\s*(\d{1,9})\s+(\d{1,9})\s+-?\d+\s+([^\s(<+]+)(?:\(\d+\))?\s*")


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """What a label file says of one turn."""

    name: str
    where: str
    start_s: float
    end_s: float
    label: str
    facts: Mapping[str, str]

    @property
    def sex(self) -> str:
        """The speaker's letter."""
        return self.name.rpartition("_")[2][0]


@CORPORA.register(
    "iemocap",
    title="Interactive Emotional Dyadic Motion Capture Database",
    language="English",
    licence="on request from USC SAIL, for research",
    source="Busso et al., Language Resources and Evaluation 42(4), 2008",
    needs_root=True,
    counts={"anger": 1103, "happiness": 1636, "neutral": 1708, "sadness": 1084},
    protocols=("leave-one-session-out", "leave-one-speaker-out", "random-utterances"),
    options={"classes": "four", "happy": "merged", "style": "all", "video": "none"},
)
def iemocap(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted English dialogues, 10,039 turns, 10 speakers, 5 sessions.

    Options: ``classes`` ("four" or "all"); ``happy`` ("merged": excitement counts as happiness;
    "happiness" or "excitement": the other one is no class; "both": each is a class); ``style``
    ("all", "improvised" or "scripted": the others are left out); ``video`` ("face" or "whole")
    adds the speaker's half of the picture, cut to the face or not. Turns of no chosen class stay,
    without emotion, as context.

    Votes are those of the annotators, not the actors' own ("C-F1", "C-M1").

    Raises:
        BadFile: the folder is no full release, or one of its files is missing or wrong.
    """
    assert root is not None
    base = CLASSES[choice(options, "classes", tuple(CLASSES))]
    wanted = {label: EMOTIONS[label] for label in base if label not in ("hap", "exc")}
    wanted |= HAPPY[choice(options, "happy", tuple(HAPPY))]
    style = choice(options, "style", ("all", *STYLES.values()))
    video = choice(options, "video", ("none", "face", "whole"))
    found = (u for dialogue in _dialogues(root) for u in _utterances(dialogue, wanted, video))
    utterances = (u for u in found if style in ("all", u.facts["style"]))
    return corpus_of("iemocap", utterances, wanted.values())


def _dialogues(root: Path) -> Iterator[Path]:
    """The label files of all sessions; the release's "._" files are none."""
    places = (sorted(place.glob("Session[1-5]")) for place in (root, root / RELEASE))
    sessions = next((found for found in places if found), [])
    if not sessions:
        raise BadFile(root, f"holds no folder Session1 to Session5, nor has it {RELEASE}")
    for session in sessions:
        folder = session / "dialog" / "EmoEvaluation"
        tables = sorted(folder.glob("Ses*.txt"))
        if not tables:
            raise BadFile(folder, "holds no label file, such as Ses01F_impro01.txt")
        yield from tables


def _utterances(table: Path, wanted: Mapping[str, str], video: str) -> Iterator[Utterance]:
    """The turns of one dialogue in order of their start, over both speakers."""
    dialogue, session = table.stem, table.parents[2]
    folder = session / "sentences" / "wav" / dialogue
    there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    texts = _texts(session / "dialog" / "transcriptions" / table.name)
    turns = sorted(_turns(table), key=lambda turn: (turn.start_s, turn.name))
    for place, turn in enumerate(turns):
        sound = folder / f"{turn.name}.wav"
        if sound.name not in there:
            raise BadFile(sound, f"there is no such file; {turn.where} names it")
        spoken = replace(
            _utterance(turn, sound, wanted.get(turn.label)),
            turn=place,
            text=texts.get(turn.name),
            words=_words(session / "sentences" / "ForcedAlignment" / dialogue, turn.name),
            partner=_partner(turn, turns),
        )
        if video != "none":
            spoken = replace(spoken, video=_video(session, turn, dialogue, face=video == "face"))
        yield spoken


def _utterance(turn: _Turn, sound: Path, emotion: str | None) -> Utterance:
    session = turn.name[:5]
    style = STYLES["impro" if "_impro" in turn.name else "script"]
    sex = {"F": "female", "M": "male"}[turn.sex]
    return Utterance(
        id=turn.name,
        speaker=session + turn.sex,
        audio=AudioFile(path=sound),
        emotion=emotion,
        session=session,
        dialogue=sound.parent.name,
        facts={"sex": sex, "style": style, "label": turn.label, **turn.facts},
    )


def _turns(table: Path) -> list[_Turn]:
    """What a label file says, each turn with the votes on the lines below it."""
    turns: list[_Turn] = []
    votes: list[list[str]] = []
    seen: set[str] = set()
    for number, line in enumerate(text_of(table, ENCODINGS).splitlines(), 1):
        if line.startswith("["):
            turn = _turn(line, f"{table}:{number}")
            if turn.name in seen:
                raise BadFile(turn.where, f"{turn.name} stands here a second time")
            seen.add(turn.name)
            turns.append(turn)
            votes.append([])
        elif turns and (vote := _VOTE.match(line)):
            words = (word.strip().lower() for word in vote[1].split(";"))
            votes[-1] += [VOTES.get(word, word) for word in words if word]
    if not turns:
        raise BadFile(table, "holds no turn, such as [6.2901 - 8.2357] Ses01F_impro01_F000 neu ...")
    return [
        replace(turn, facts={**turn.facts, "votes": tally(vote)}) if vote else turn
        for turn, vote in zip(turns, votes, strict=True)
    ]


def _turn(line: str, where: str) -> _Turn:
    match = _TURN.fullmatch(line.strip())
    if not match:
        wanted = "[start - end] name label [valence, activation, dominance]"
        raise BadFile(where, f"is no turn: expected {wanted}")
    start, end, name, label, *ratings = match.groups()
    try:
        start_s, end_s, _ = float(start), float(end), [float(rating) for rating in ratings]
    except ValueError as error:
        raise BadFile(where, f"is no turn: {error}") from None
    if not _NAME.fullmatch(name):
        raise BadFile(where, f"{name} is no turn's name, such as Ses01F_impro01_M003")
    if end_s <= start_s:
        raise BadFile(where, f"{name} ends at {end_s:g} s and starts at {start_s:g} s")
    if label not in (*EMOTIONS, NO_AGREEMENT):
        known = ", ".join((*EMOTIONS, NO_AGREEMENT))
        raise BadFile(where, f'the label "{label}" is none of {known}')
    facts = dict(zip(("valence", "arousal", "dominance"), ratings, strict=True))
    return _Turn(name=name, where=where, start_s=start_s, end_s=end_s, label=label, facts=facts)


def _texts(path: Path) -> dict[str, str]:
    """What is said in each turn; a release without transcriptions has none."""
    if not path.parent.is_dir():
        return {}
    lines = (_SAID.fullmatch(line.strip()) for line in text_of(path, ENCODINGS).splitlines())
    return {line[1]: line[2].strip() for line in lines if line}


def _words(folder: Path, name: str) -> tuple[Word, ...]:
    """A turn's words in small letters; noises, silence, head and total of the file are none."""
    path = folder / f"{name}.wdseg"
    if not path.is_file():
        return ()
    rows = (_WORD.fullmatch(line) for line in text_of(path, ENCODINGS).splitlines())
    return tuple(
        Word(
            text=row[3].lower(),
            start_s=int(row[1]) / WORDS_RATE_HZ,
            end_s=(int(row[2]) + 1) / WORDS_RATE_HZ,
        )
        for row in rows
        if row and int(row[2]) >= int(row[1])
    )


def _partner(turn: _Turn, turns: list[_Turn]) -> tuple[tuple[float, float], ...]:
    """Where turns of the other speaker overlap this one."""
    heard = (t for t in turns if t.sex != turn.sex)
    heard = (t for t in heard if t.start_s < turn.end_s and t.end_s > turn.start_s)
    spans = ((max(t.start_s, turn.start_s), min(t.end_s, turn.end_s)) for t in heard)
    return tuple((start - turn.start_s, end - turn.start_s) for start, end in spans)


def _video(session: Path, turn: _Turn, dialogue: str, *, face: bool) -> VideoFile:
    path = session / "dialog" / "avi" / "DivX" / f"{dialogue}.avi"
    if not path.is_file():
        raise BadFile(path, 'there is no such file, and the option "video" asks for it')
    return VideoFile(
        path=path,
        start_s=turn.start_s,
        end_s=turn.end_s,
        side="left" if turn.name[5] == turn.sex else "right",
        crop="face" if face else "none",
    )
