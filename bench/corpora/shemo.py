"""ShEMO: three thousand utterances from Persian radio plays by eighty-seven speakers.

Mohamad Nezami, Jamshid Lou, Karami: "ShEMO: a large-scale validated database for Persian speech
emotion detection", Language Resources and Evaluation 53, 2019, pp. 1-16. The archives have the
folders ``female/`` and ``male/``. A name such as ``F03S02`` is sex and speaker (F03), emotion (A
anger, F fear, H happiness, N neutral, S sadness, W surprise) and a number; fear is there for a few
speakers only. Nothing is said twice, so there are no sentences to be held out.

Texts are in JSON files of others, put beside the two folders: ``shemo.json`` (a list with "id" and
"transcript"; as in the corpus's own texts, some are those of another file) or, better,
``modified_shemo.json`` (Yazdani, Shekofteh, arXiv 2211.09956: by name, with "speech_name"), where
texts are put right, and the label of 163 files too. The label here is the name's, as in the
literature; where the second file has another, the fact "corrected" says it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, agree, choice, corpus_of, named_files
from serlab.bench.corpora.tables import text_of
from serlab.bench.errors import BadFile

EMOTIONS = {
    "A": "anger",
    "F": "fear",
    "H": "happiness",
    "N": "neutral",
    "S": "sadness",
    "W": "surprise",
}
WORDS = {
    "angry": "anger",
    "fearful": "fear",
    "happy": "happiness",
    "sad": "sadness",
    "surprised": "surprise",
} | {emotion: emotion for emotion in EMOTIONS.values()}
SEXES = {"F": "female", "M": "male"}

SCHEME = Scheme(
    corpus="shemo",
    pattern=re.compile(r"([FM])(\d\d)([AFHNSW])(\d{2,3})"),
    words="sex and speaker, emotion (one of A F H N S W), number, such as F03S02.wav",
)


@CORPORA.register(
    "shemo",
    title="Sharif Emotional Speech Database (ShEMO)",
    language="Persian",
    licence="free for research use",
    source="Mohamad Nezami et al., Language Resources and Evaluation 53, 2019",
    needs_root=True,
    counts={
        "anger": 1059,
        "fear": 38,
        "happiness": 201,
        "neutral": 1028,
        "sadness": 449,
        "surprise": 225,
    },
    protocols=("speaker-groups",),
    options={"unknown": "error"},
)
def shemo(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Persian radio plays, 6 emotions, 87 speakers.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name, or in the
            folder of the other sex; the texts cannot be read.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    texts = _texts(root)
    utterances = (_utterance(path, match, texts) for path, match in files)
    return corpus_of("shemo", utterances, EMOTIONS.values())


def _utterance(
    path: Path, match: re.Match[str], texts: Mapping[str, Mapping[str, str]]
) -> Utterance:
    sex, number, letter, _ = match.groups()
    agree(path, SEXES[sex], {word: word for word in SEXES.values()})
    told = texts.get(path.stem, {})
    facts = {"sex": SEXES[sex]}
    if told.get("emotion", EMOTIONS[letter]) != EMOTIONS[letter]:
        facts["corrected"] = told["emotion"]
    return Utterance(
        id=path.stem,
        speaker=sex + number,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[letter],
        text=told.get("transcript"),
        facts=facts,
    )


# --- texts ----------------------------------------------------------------------------------


def _texts(root: Path) -> dict[str, dict[str, str]]:
    """Transcript and emotion by utterance; nothing where there is no file of them."""
    for name in ("modified_shemo.json", "shemo.json"):
        if (root / name).is_file():
            return dict(_entry(root / name, *item) for item in _items(root / name))
    return {}


def _items(file: Path) -> list[tuple[str, object]]:
    try:
        found = json.loads(text_of(file))
    except (ValueError, RecursionError) as error:
        raise BadFile(file, f"is no JSON: {error}") from None
    if isinstance(found, list):
        return [(f"{number}", item) for number, item in enumerate(found, 1)]
    if not isinstance(found, dict):
        raise BadFile(file, "expected a list of objects, or an object of objects")
    return list(found.items())


def _entry(file: Path, key: str, item: object) -> tuple[str, dict[str, str]]:
    if not isinstance(item, dict) or not isinstance(item.get("transcript"), str):
        raise BadFile(file, f'entry {key}: expected an object with a text "transcript"')
    told = {"transcript": item["transcript"].removeprefix("\ufeff").strip()}
    if file.name == "modified_shemo.json":
        if str(item.get("emotion")) not in WORDS:
            raise BadFile(file, f"entry {key}: {item.get('emotion')!r} is no emotion of the corpus")
        told["emotion"] = WORDS[str(item["emotion"])]
    name = item.get("speech_name") or item.get("id") or key
    return str(name).removesuffix(".wav"), told
