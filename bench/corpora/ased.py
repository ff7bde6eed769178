"""ASED: Amharic sentences by sixty-five speakers.

Retta, Almekhlafi, Sutcliffe, Mhamed, Ali, Feng: "A New Amharic Speech Emotion Dataset and
Classification Benchmark", ACM TALLIP 22(1), 2023 (arXiv 2201.02710). The repository
(github.com/wgwangang/ASED_V1) has the folders ``01Neutral`` ... ``05Angry``. A name such as
``a5-03-01-02-50`` is emotion with the folder's number, sentence, repetition, sex (01 female, 02
male) and speaker. One name begins with a capital letter (S4-04-02-01-29), and a few have the wrong
sex (s4-01-02-02-09); a speaker's sex is that of most of the files.

Of the seven sentences of an emotion, five are that emotion's own and two are common to all, and
nobody says which. So sentences of one number count as one, whatever the emotion: parts of a
sentence-disjoint split then share no text, if the common ones have the same numbers everywhere.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, agree, choice, corpus_of, named_files

EMOTIONS = {"a": "anger", "f": "fear", "h": "happiness", "n": "neutral", "s": "sadness"}
FOLDERS = {
    "01neutral": "neutral",
    "02fearful": "fear",
    "03happy": "happiness",
    "04sad": "sadness",
    "05angry": "anger",
}
SEXES = {"01": "female", "02": "male"}

SCHEME = Scheme(
    corpus="ased",
    pattern=re.compile(
        r"([afhns])[1-5]-(0[1-7])-(\d\d)-(0[12])-(0[1-9]|[1-5]\d|6[0-5])", re.IGNORECASE
    ),
    words="emotion, sentence, repetition, sex, speaker, such as a5-03-01-02-50.wav",
)


@CORPORA.register(
    "ased",
    title="Amharic Speech Emotion Dataset (ASED)",
    language="Amharic",
    licence="free for research use",
    source="Retta et al., ACM TALLIP 22(1), 2023",
    needs_root=True,
    counts={"anger": 486, "fear": 510, "happiness": 486, "neutral": 522, "sadness": 470},
    protocols=("speaker-groups",),
    options={"unknown": "error"},
)
def ased(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted Amharic speech, 5 emotions, 65 speakers.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name, or in the
            folder of another emotion.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    written: dict[str, Counter[str]] = defaultdict(Counter)
    for _, match in files:
        written[match[5]][match[4]] += 1
    sexes = {speaker: SEXES[count.most_common(1)[0][0]] for speaker, count in written.items()}
    utterances = (_utterance(path, match, sexes) for path, match in files)
    return corpus_of("ased", utterances, EMOTIONS.values())


def _utterance(path: Path, match: re.Match[str], sexes: Mapping[str, str]) -> Utterance:
    letter, sentence, repetition, _, speaker = match.groups()
    emotion = EMOTIONS[letter.lower()]
    agree(path, emotion, FOLDERS)
    return Utterance(
        id=path.stem.lower(),
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=emotion,
        sentence=sentence,
        facts={"sex": sexes[speaker], "repetition": repetition},
    )
