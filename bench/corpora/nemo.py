"""nEMO: ninety Polish sentences by nine actors.

Christop: "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024, pp. 12111-12116
(arXiv 2404.06292). The repository (github.com/amu-cai/nEMO) has the audio in ``samples/`` and a
table ``data.tsv``. A name such as ``WR0_surprised_64`` is actor, emotion and sentence; the table
tells the texts, sex and age.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, choice, corpus_of, named_files
from serlab.bench.corpora.tables import csv_rows
from serlab.bench.errors import BadFile

EMOTIONS = {
    "anger": "anger",
    "fear": "fear",
    "happiness": "happiness",
    "neutral": "neutral",
    "sadness": "sadness",
    "surprised": "surprise",
}
COLUMNS = ("file_id", "emotion", "raw_text", "speaker_id", "gender", "age")

SCHEME = Scheme(
    corpus="nemo",
    pattern=re.compile(rf"([A-Z]{{2}}\d)_({'|'.join(EMOTIONS)})_(\d{{1,2}})"),
    words="actor, emotion, sentence, such as WR0_surprised_64.wav",
)


@CORPORA.register(
    "nemo",
    title="nEMO: Dataset of Emotional Speech in Polish",
    language="Polish",
    licence="CC BY-NC-SA 4.0",
    source="Christop, LREC-COLING 2024",
    needs_root=True,
    counts={
        "anger": 749,
        "fear": 736,
        "happiness": 749,
        "neutral": 809,
        "sadness": 769,
        "surprise": 669,
    },
    protocols=("leave-one-speaker-out", "speaker-groups"),
    options={"unknown": "error"},
)
def nemo(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted Polish speech, 6 emotions, 9 speakers, 90 sentences.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name; the table
            is missing or wrong, names a file that is not there or leaves one out.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    known = {path.stem: (path, match) for path, match in files}
    utterances = list(_utterances(root / "data.tsv", known))
    return corpus_of("nemo", sorted(utterances, key=lambda u: u.id), EMOTIONS.values())


def _utterances(
    table: Path, files: Mapping[str, tuple[Path, re.Match[str]]]
) -> Iterator[Utterance]:
    """One for each row of the table."""
    lines: dict[str, int] = {}
    for line, row in csv_rows(table, delimiter="\t", required=COLUMNS, quoted=False):
        cells = {column: row[column].strip() for column in COLUMNS}
        name = cells["file_id"].removesuffix(".wav")
        if name in lines:
            raise BadFile(f"{table}:{line}", f"{name} stands on line {lines[name]} already")
        if name not in files:
            raise BadFile(f"{table}:{line}", f"there is no audio file {cells['file_id']}")
        lines[name] = line
        path, match = files[name]
        if (cells["speaker_id"], cells["emotion"]) != match.groups()[:2]:
            told = f"{cells['speaker_id']} and {cells['emotion']}"
            raise BadFile(f"{table}:{line}", f"says {told} of the file {path.name}")
        yield _utterance(path, match, cells)
    missing = sorted(files.keys() - lines.keys())
    if missing:
        raise BadFile(table, f"has no row of {missing[0]} ({len(missing)} files have none)")


def _utterance(path: Path, match: re.Match[str], cells: Mapping[str, str]) -> Utterance:
    speaker, emotion, sentence = match.groups()
    return Utterance(
        id=path.stem,
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[emotion],
        sentence=sentence,
        text=cells["raw_text"],
        facts={"sex": cells["gender"], "age": cells["age"]},
    )
