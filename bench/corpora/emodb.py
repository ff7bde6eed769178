"""The Berlin Database of Emotional Speech (EmoDB): ten German actors, ten sentences.

Burkhardt, Paeschke, Rolfes, Sendlmeier, Weiss: "A Database of German Emotional Speech",
Interspeech 2005, pp. 1517-1520. The official archive has its files in ``wav/``. A name such as
``03a01Fa`` is speaker, sentence, emotion (first letter of the German word) and take.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, choice, corpus_of, named_files

EMOTIONS = {
    "W": "anger",  # Wut, Ärger
    "L": "boredom",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happiness",  # Freude
    "N": "neutral",
    "T": "sadness",  # Trauer
}

SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}

SPEAKERS = {
    "03": ("male", "31"),
    "08": ("female", "34"),
    "09": ("female", "21"),
    "10": ("male", "32"),
    "11": ("male", "26"),
    "12": ("male", "30"),
    "13": ("female", "32"),
    "14": ("female", "35"),
    "15": ("male", "25"),
    "16": ("female", "31"),
}

SCHEME = Scheme(
    corpus="emodb",
    pattern=re.compile(rf"({'|'.join(SPEAKERS)})({'|'.join(SENTENCES)})([WLEAFNT])([a-z])"),
    words="speaker, sentence, emotion (one of W L E A F N T), take, such as 03a01Fa.wav",
)


@CORPORA.register(
    "emodb",
    title="Berlin Database of Emotional Speech",
    language="German",
    licence="free for research use",
    source="Burkhardt et al., Interspeech 2005",
    needs_root=True,
    counts={
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    },
    protocols=("leave-one-speaker-out", "speaker-and-sentence-groups"),
    options={"unknown": "error"},
)
def emodb(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted German speech, 7 emotions, 10 speakers, 10 sentences.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    utterances = (_utterance(path, match) for path, match in files)
    return corpus_of("emodb", utterances, EMOTIONS.values())


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    speaker, sentence, emotion, take = match.groups()
    sex, age = SPEAKERS[speaker]
    return Utterance(
        id=path.stem,
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[emotion],
        sentence=sentence,
        text=SENTENCES[sentence],
        facts={"sex": sex, "age": age, "take": take},
    )
