"""TESS: two Canadian actresses, two hundred words in seven emotions.

Dupuis, Pichora-Fuller: "Toronto emotional speech set (TESS)", University of Toronto, 2010
(tspace.library.utoronto.ca/handle/1807/24487). A name such as ``OAF_back_angry`` is the actress
(OAF, the older, is 64 years old; YAF, the younger, 26), the word that ends "Say the word ...", and
the emotion ("ps" is pleasant surprise). All files are in one folder, or in folders such as
``OAF_angry`` and ``YAF_pleasant_surprised``; a much-used copy has these folders twice, one set in
the other, and the second set is left out. One file has lost a letter: ``OA_bite_neutral``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, agree, choice, corpus_of, named_files

EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happiness",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sadness",
}
AGES = {"OAF": "64", "YAF": "26"}
FOLDERS = {
    f"{speaker}_{word}".lower(): f"{speaker} {emotion}"
    for speaker in AGES
    for word, emotion in (
        *EMOTIONS.items(),
        ("pleasant_surprise", "surprise"),
        ("pleasant_surprised", "surprise"),
    )
}

SCHEME = Scheme(
    corpus="tess",
    pattern=re.compile(rf"([OY])AF?_([A-Za-z]+)_({'|'.join(EMOTIONS)})"),
    words="actress (OAF or YAF), word, emotion, such as OAF_back_angry.wav",
    folders=True,
)


@CORPORA.register(
    "tess",
    title="Toronto Emotional Speech Set (TESS)",
    language="English",
    licence="CC BY-NC-ND 4.0",
    source="Dupuis and Pichora-Fuller, University of Toronto, 2010",
    needs_root=True,
    counts={
        "anger": 400,
        "disgust": 400,
        "fear": 400,
        "happiness": 400,
        "neutral": 400,
        "sadness": 400,
        "surprise": 400,
    },
    protocols=("random-utterances",),
    options={"unknown": "error"},
)
def tess(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted English words, 7 emotions, 2 female speakers.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name, or in the
            folder of another emotion.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    return corpus_of("tess", (_utterance(*file) for file in files), EMOTIONS.values())


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    letter, word, code = match.groups()
    speaker, emotion = f"{letter}AF", EMOTIONS[code]
    agree(path, f"{speaker} {emotion}", FOLDERS)
    return Utterance(
        id=f"{speaker}_{word}_{code}",
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=emotion,
        sentence=word.lower(),
        text=f"Say the word {word.lower()}.",
        facts={"sex": "female", "age": AGES[speaker]},
    )
