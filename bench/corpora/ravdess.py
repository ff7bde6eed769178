"""The Ryerson Audio-Visual Database of Emotional Speech and Song (RAVDESS), its speech.

Livingstone, Russo: "The Ryerson Audio-Visual Database of Emotional Speech and Song", PLoS ONE
13(5), 2018. The official tree has a folder ``Actor_01`` ... for each of 24 actors. A name is
seven numbers: modality, vocal channel, emotion, intensity, statement, repetition, actor; actors
with an odd number are male.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, choice, corpus_of, files_below, named_files
from serlab.bench.errors import BadFile
from serlab.bench.media import SUFFIXES, VideoFile

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
SENTENCES = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
INTENSITIES = {"01": "normal", "02": "strong"}

SCHEME = Scheme(
    corpus="ravdess",
    pattern=re.compile(r"03-01-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])"),
    words=(
        "modality (03, audio alone), channel (01, speech), emotion, intensity, statement, "
        "repetition, actor, such as 03-01-05-01-02-01-12.wav"
    ),
)


@CORPORA.register(
    "ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song",
    language="English",
    licence="CC BY-NC-SA 4.0",
    source="Livingstone and Russo, PLoS ONE 13(5), 2018",
    needs_root=True,
    counts={
        "anger": 192,
        "calm": 192,
        "disgust": 192,
        "fear": 192,
        "happiness": 192,
        "neutral": 96,
        "sadness": 192,
        "surprise": 192,
    },
    protocols=("speaker-groups", "speaker-and-sentence-groups"),
    options={"unknown": "error", "faces": "", "video": "none"},
)
def ravdess(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted English speech, 8 emotions, 24 speakers, 2 sentences.

    The option ``faces`` is the path, from the folder, of a table of face features (CSV, or CSV
    compressed by gzip): only the clips in its column ``audio_file`` are taken, and the columns
    ``..._mean`` and ``..._std`` that follow its column ``file`` are supplied as "face".

    The option ``video`` is "none", "face" or "whole": what is seen of the video files that lie
    below the folder (``Video_Speech_Actor_01`` ... as distributed), whose names begin with 02
    (pictures alone) or 01 (with sound) in place of 03.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name; the table
            cannot be read, or names a clip that is not there; a clip has no video.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    utterances = tuple(_utterance(path, match) for path, match in files)
    if options["faces"]:
        utterances = _with_faces(utterances, root / str(options["faces"]))
    video = choice(options, "video", ("none", "face", "whole"))
    if video != "none":
        utterances = _with_video(utterances, root, face=video == "face")
    return corpus_of("ravdess", utterances, EMOTIONS.values())


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    emotion, intensity, sentence, repetition, actor = match.groups()
    folder = re.fullmatch(r"Actor_(\d\d)", path.parent.name)
    if folder and folder[1] != actor:
        raise BadFile(path, f"its name says actor {actor} and its folder {path.parent.name}")
    return Utterance(
        id=path.stem,
        speaker=actor,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[emotion],
        sentence=sentence,
        text=SENTENCES[sentence],
        facts={
            "sex": "male" if int(actor) % 2 else "female",
            "intensity": INTENSITIES[intensity],
            "repetition": repetition,
        },
    )


def _with_video(
    utterances: tuple[Utterance, ...], root: Path, *, face: bool
) -> tuple[Utterance, ...]:
    """The utterances with their pictures, from the files without sound where there are both."""
    films = {p.stem: p for p in sorted(files_below(root)) if p.suffix.lower() in SUFFIXES}
    found = []
    for u in utterances:
        path = films.get(f"02{u.id[2:]}", films.get(f"01{u.id[2:]}"))
        if path is None:
            raise BadFile(root, f"holds no video 02{u.id[2:]}.mp4 or 01{u.id[2:]}.mp4")
        found.append(replace(u, video=VideoFile(path=path, crop="face" if face else "none")))
    return tuple(found)


def _with_faces(utterances: tuple[Utterance, ...], table: Path) -> tuple[Utterance, ...]:
    """The utterances of the table, in their order, with their face features."""
    faces = _faces(table)
    known = {u.id for u in utterances}
    for clip in faces:
        if clip not in known:
            raise BadFile(table, f"names the clip {clip}, which is not in the corpus's folder")
    return tuple(replace(u, supplied={"face": faces[u.id]}) for u in utterances if u.id in faces)


def _faces(table: Path) -> dict[str, tuple[float, ...]]:
    """The face features of each clip."""
    opened = gzip.open if table.suffix == ".gz" else open
    found: dict[str, tuple[float, ...]] = {}
    try:
        with opened(table, "rt", encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            header = list(rows.fieldnames or ())
            missing = [name for name in ("audio_file", "file") if name not in header]
            if missing:
                raise BadFile(table, f"has no column {missing[0]}")
            columns = [c for c in header[header.index("file") :] if c.endswith(("_mean", "_std"))]
            for row in rows:
                found[Path(row["audio_file"]).stem] = tuple(float(row[c]) for c in columns)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadFile(table, f"cannot be read as a table: {error}") from None
    except ValueError as error:
        raise BadFile(table, f"clip {len(found) + 1}: {error}") from None
    if not found or not columns:
        raise BadFile(table, "has no clip, or no column of face features")
    return found
