"""EmoV-DB: CMU Arctic sentences in five styles by two women and two men.

Adigwe, Tits, El Haddad, Ostadabbas, Dutoit: "The Emotional Voices Database: Towards Controlling
the Emotion Dimension in Voice Generation Systems", arXiv 1806.09514, 2018. A name such as
``anger_1-28_0011`` is the style, the range of sentences that were recorded together (now and then
``1_28``) and the sentence; sentence 0011 is ``arctic_a0011``. Who speaks is in the folders alone:
``bea_Angry/`` (OpenSLR 115, unpacked with a folder an archive), ``bea/Angry/`` (the sorted
release), ``bea/``, or 1 to 4 for bea, jenie, josh and sam (the authors' script of alignment). Josh
has neither anger nor disgust.

The release has no texts; where the file ``cmuarctic.data`` of the Festvox site is put beside the
folders, they are read from it.
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

STYLES = {
    "amused": "amusement",
    "anger": "anger",
    "angry": "anger",
    "disgust": "disgust",
    "disgusted": "disgust",
    "neutral": "neutral",
    "sleepiness": "sleepiness",
    "sleepy": "sleepiness",
}
SPEAKERS = {"bea": "female", "jenie": "female", "josh": "male", "sam": "male"}
NUMBERS = {"1": "bea", "2": "jenie", "3": "josh", "4": "sam"}
FOLDERS = STYLES | {
    f"{speaker}_{style}": emotion for style, emotion in STYLES.items() for speaker in SPEAKERS
}

SCHEME = Scheme(
    corpus="emov_db",
    pattern=re.compile(
        rf"({'|'.join(SPEAKERS)}|[1-4])(?:[_/](?:{'|'.join(STYLES)}))?/"
        rf"({'|'.join(STYLES)})_(\d+)[-_](\d+)_(\d{{4}})",
        re.IGNORECASE,
    ),
    words=(
        "speaker's folder, style, range, sentence, such as bea_Amused/amused_1-15_0001.wav or "
        "bea/Amused/amused_1-15_0001.wav"
    ),
    folders=True,
)
ARCTIC = re.compile(r'\(\s*arctic_a(\d{4})\s+"(.*)"\s*\)')


@CORPORA.register(
    "emov_db",
    title="Emotional Voices Database (EmoV-DB)",
    language="English",
    licence="non-commercial research use",
    source="Adigwe et al., arXiv 1806.09514, 2018",
    needs_root=True,
    counts={
        "amusement": 1330,
        "anger": 1308,
        "disgust": 1033,
        "neutral": 1585,
        "sleepiness": 1744,
    },
    protocols=("leave-one-speaker-out",),
    options={"unknown": "error"},
)
def emov_db(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted English speech, 5 styles, 4 speakers, CMU Arctic sentences.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name, in no
            speaker's folder or in that of another style; the texts cannot be read.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    texts = _texts(root / "cmuarctic.data")
    utterances = (_utterance(path, match, texts) for path, match in files)
    return corpus_of("emov_db", utterances, STYLES.values())


def _utterance(path: Path, match: re.Match[str], texts: Mapping[str, str]) -> Utterance:
    written, style, _, _, sentence = (group.lower() for group in match.groups())
    speaker, emotion = NUMBERS.get(written, written), STYLES[style]
    agree(path, emotion, FOLDERS)
    return Utterance(
        id=f"{speaker}_{path.stem}",
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=emotion,
        sentence=sentence,
        text=texts.get(sentence),
        facts={"sex": SPEAKERS[speaker]},
    )


def _texts(table: Path) -> dict[str, str]:
    """The first list of Arctic sentences by number; nothing where the file is not there."""
    if not table.is_file():
        return {}
    texts = dict(ARCTIC.findall(text_of(table, ("utf-8-sig", "latin-1"))))
    if not texts:
        raise BadFile(table, 'has no line such as ( arctic_a0001 "Author of the danger trail" )')
    return texts
