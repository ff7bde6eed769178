"""SAVEE: four English men, fifteen sentences an emotion.

Haq, Jackson: "Multimodal Emotion Recognition", in Wang (ed.), Machine Audition, IGI Global, 2010,
pp. 398-423. The official archive has a folder for each speaker, ``AudioData/DC/a01.wav``; copies
of it have all in one folder, ``DC_a01.wav``. A name is the emotion's first letters and the number
of the sentence in that emotion, 01 to 15 (neutral: 30).

Three sentences are common to all emotions and two belong to each; neutral has the common three
and the twelve of the others too. The archive does not say which numbers these are. As in lists of
the sentences made after its model, 01 to 03 are taken for the common ones, and 04 and 05 (neutral:
04 to 15) for the emotions' own. Which of neutral's twelve is whose is not known, so all of these
have one name of a sentence, "specific": no two parts of a sentence-disjoint split share a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, choice, corpus_of, named_files

EMOTIONS = {
    "a": "anger",
    "d": "disgust",
    "f": "fear",
    "h": "happiness",
    "n": "neutral",
    "sa": "sadness",
    "su": "surprise",
}
COMMON = 3
"""Sentences up to this number are the same in every emotion."""

SCHEME = Scheme(
    corpus="savee",
    pattern=re.compile(r"(DC|JE|JK|KL)[/_]?(a|d|f|h|n|sa|su)(\d\d)"),
    words="speaker, emotion (one of a d f h n sa su), sentence, such as DC/a01.wav or DC_a01.wav",
    folders=True,
)


@CORPORA.register(
    "savee",
    title="Surrey Audio-Visual Expressed Emotion Database (SAVEE)",
    language="English",
    licence="free for research use, after registration",
    source="Haq and Jackson, Machine Audition, IGI Global, 2010",
    needs_root=True,
    counts={
        "anger": 60,
        "disgust": 60,
        "fear": 60,
        "happiness": 60,
        "neutral": 120,
        "sadness": 60,
        "surprise": 60,
    },
    protocols=("leave-one-speaker-out",),
    options={"unknown": "error"},
)
def savee(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted English speech, 7 emotions, 4 male speakers.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    return corpus_of("savee", (_utterance(*file) for file in files), EMOTIONS.values())


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    speaker, emotion, number = match.groups()
    return Utterance(
        id=f"{speaker}_{emotion}{number}",
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[emotion],
        sentence=_sentence(emotion, int(number)),
        facts={"sex": "male"},
    )


def _sentence(emotion: str, number: int) -> str:
    if number <= COMMON:
        return f"common{number}"
    specific = number <= COMMON + (12 if emotion == "n" else 2)
    return "specific" if specific else f"{emotion}{number:02d}"
