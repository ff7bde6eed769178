"""The URDU-Dataset: Urdu speech cut from talk shows.

Latif, Qayyum, Usman, Qadir: "Cross Lingual Speech Emotion Recognition: Urdu vs. Western
Languages", FIT 2018. The official tree has a folder for each emotion. A name such as
``SM1_F10_A010`` is speaker (M male, F female), file, and emotion with a number. Most speakers
speak one emotion only, so a speaker-independent score of this corpus says little.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, choice, corpus_of, named_files
from serlab.bench.errors import BadFile

EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}
FOLDERS = {"angry": "A", "happy": "H", "neutral": "N", "sad": "S"}

SCHEME = Scheme(
    corpus="urdu",
    pattern=re.compile(r"(S([MF])\d+)_F(\d+)_([AHNS])\d+"),
    words="speaker, file, emotion (one of A H N S) with a number, such as SM1_F10_A010.wav",
)


@CORPORA.register(
    "urdu",
    title="URDU-Dataset",
    language="Urdu",
    licence="research use only",
    source="Latif et al., FIT 2018",
    needs_root=True,
    counts={"anger": 100, "happiness": 100, "neutral": 100, "sadness": 100},
    protocols=("speaker-groups",),
    options={"unknown": "error"},
)
def urdu(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Urdu talk shows, 4 emotions, 29 speakers, most of them in one emotion only.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    utterances = (_utterance(path, match) for path, match in files)
    return corpus_of("urdu", utterances, EMOTIONS.values())


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    speaker, sex, number, letter = match.groups()
    if FOLDERS.get(path.parent.name.lower(), letter) != letter:
        what = f"its name says {EMOTIONS[letter]} and its folder {path.parent.name}"
        raise BadFile(path, f"{what}; it is not known which is right")
    return Utterance(
        id=path.stem,
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[letter],
        facts={"sex": "male" if sex == "M" else "female", "file": number},
    )
