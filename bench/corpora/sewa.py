"""SEWA as the challenges AVEC 2017 and AVEC 2019 distribute it: video chats, rated continuously.

Ringeval et al.: "AVEC 2017: Real-life Depression, and Affect Recognition Workshop and Challenge",
2017; Ringeval et al.: "AVEC 2019 Workshop and Challenge", 2019; Kossaifi et al.: "SEWA DB", IEEE
TPAMI 2021. One recording is one subject's, with the chat partner audible. AVEC 2017 is German, with
34, 14 and 16 recordings in train, devel and test; AVEC 2019 has as many Germans, 34, 14 and 18
Hungarians, and 70 Chinese in test alone.

============================  =============================================================
file                          what is in it
============================  =============================================================
audio/Train_01.wav            the sound; AVEC 2019 names Train_DE_01, Devel_HU_01, Test_CN_01
labels/Train_01.csv           name;time;arousal;valence;liking every 0.1 s; 2019 has a header
turns/Train_01.csv            start;end of the subject's own speech; the partner has the rest
transcriptions/Train_01.csv   start;end;text of what the subject says
============================  =============================================================

Names, separators and columns are those that the baseline scripts of AVEC 2018 and 2019 and four
public codes for AVEC 2017 read; nobody shows the text of a label file, so a header is optional in
either form. The labels of the test part were kept back: without them its recordings have no
traces and are not scored. The release of SEWA on its own site has another layout and is not read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serlab.bench.audio import AudioFile, audio_facts
from serlab.bench.contracts import Corpus, FloatArray, Scalar, Utterance, Word
from serlab.bench.corpora.base import CORPORA, Scheme, choice, named_files
from serlab.bench.corpora.tables import text_of
from serlab.bench.errors import BadFile, BadValue

DIMENSIONS = ("arousal", "valence", "liking")
RATE_HZ = 10.0
PARTS = {"train": "train", "devel": "validation", "test": "test"}
TRANSCRIPTS = ("transcriptions", "transcripts")

SCHEME = Scheme(
    corpus="sewa",
    pattern=re.compile(r"(Train|Devel|Test)(?:_([A-Z]{2}))?_(\d{1,3})", re.IGNORECASE),
    words=(
        "part (Train, Devel or Test), for AVEC 2019 the culture (DE, HU, CN), number, such as "
        "audio/Train_01.wav or audio/Devel_HU_01.wav"
    ),
)


@CORPORA.register(
    "sewa",
    title="SEWA video chats, in the forms of AVEC 2017 and AVEC 2019",
    language="German (AVEC 2017); German, Hungarian and Chinese (AVEC 2019)",
    licence="by agreement with the owners, for research alone",
    source="Ringeval et al., AVEC 2017 and 2019; Kossaifi et al., IEEE TPAMI 43(3), 2021",
    needs_root=True,
    counts={},
    protocols=("fixed",),
    options={"delay_s": 0.0, "unknown": "error"},
)
def sewa(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Spontaneous speech of one subject a recording: traces of arousal, valence and liking.

    The option ``delay_s`` makes up for the time that raters need: every trace is shifted earlier
    by so many seconds, and its last value fills the end.

    Raises:
        BadFile: the folder has none of the corpus's files, one with another name, or a table
            that is missing or malformed.
        BadValue: the delay is negative or not finite.
    """
    assert root is not None
    delay_s = float(options["delay_s"])
    if not 0 <= delay_s < math.inf:
        raise BadValue("sewa.delay_s", delay_s, "seconds, 0 or more")
    unknown = choice(options, "unknown", ("error", "skip"))
    folder = root / "audio" if (root / "audio").is_dir() else root
    files = named_files(folder, SCHEME, unknown=unknown)
    if len({bool(match[2]) for _, match in files}) > 1:
        raise BadFile(folder, "mixes the names of AVEC 2017 (Train_01) and AVEC 2019 (Train_DE_01)")
    _refuse_strays(root, {path.stem for path, _ in files})
    utterances = tuple(_utterance(root, path, match, delay_s) for path, match in files)
    if not any(u.traces for u in utterances):
        raise BadFile(root / "labels", "holds no label file of these recordings")
    return Corpus(
        name="sewa",
        utterances=utterances,
        labels=(),
        licence="by agreement with the owners, for research alone",
        source="Ringeval et al., AVEC 2017 and 2019; Kossaifi et al., IEEE TPAMI 43(3), 2021",
        dimensions=DIMENSIONS,
    )


def _refuse_strays(root: Path, names: set[str]) -> None:
    for path in sorted((root / "labels").glob("*.csv")):
        if SCHEME.pattern.fullmatch(path.stem) and path.stem not in names:
            raise BadFile(path, f"has no audio: there is no audio/{path.stem}.wav")


def _utterance(root: Path, path: Path, match: re.Match[str], delay_s: float) -> Utterance:
    part, culture = match[1].lower(), (match[2] or "DE").upper()
    labels = root / "labels" / f"{path.stem}.csv"
    if part != "test" and not labels.is_file():
        raise BadFile(labels, f"there is no such file, and {path.name} needs its labels")
    said = _said(root, path)
    return Utterance(
        id=path.stem,
        speaker=path.stem,
        audio=AudioFile(path=path),
        text=" ".join(word.text for word in said) or None,
        words=said,
        partition=PARTS[part],
        partner=_partner(root, path),
        traces=Traces(path=labels, delay_s=delay_s) if labels.is_file() else None,
        facts={"culture": culture},
    )


# --- continuous labels ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Traces:
    """Arousal, valence and liking of one recording, ten values a second each."""

    path: Path
    delay_s: float = 0.0
    """By so much they are shifted earlier."""

    @property
    def rate_hz(self) -> float:
        """Ten."""
        return RATE_HZ

    def read(self) -> FloatArray:
        """The values, shape (frame, dimension).

        Raises:
            BadFile: no numbers, a missing column, times that do not go on in steps of 0.1 s, or
                less than the delay; names the line.
        """
        columns: Sequence[int] = (1, 2, 3, 4)  # after the recording's name
        rows, times = list[list[float]](), list[float]()
        for line, cells in _lines(self.path, -1):
            if not rows and not _number(cells[1] if len(cells) > 1 else ""):
                columns = self._columns(line, cells)
                continue
            time_s, *values = (_finite(self.path, line, cells, i) for i in columns)
            if times and abs((time_s - times[-1]) * RATE_HZ - 1) > 0.05:
                raise BadFile(f"{self.path}:{line}", "its times do not go on in steps of 0.1 s")
            times.append(time_s)
            rows.append(values)
        late = round(self.delay_s * RATE_HZ)
        if late >= len(rows):
            raise BadFile(self.path, f"has {len(rows)} rows, no more than the delay of {late}")
        return np.array(rows[late:] + rows[-1:] * late, np.float32)

    def _columns(self, line: int, cells: Sequence[str]) -> Sequence[int]:
        names = [cell.strip().lower() for cell in cells]
        for name in DIMENSIONS:
            if name not in names:
                raise BadFile(f"{self.path}:{line}", f'has no column "{name}"; it has {names}')
        return (1, *(names.index(name) for name in DIMENSIONS))


def _lines(path: Path, splits: int) -> Iterator[tuple[int, list[str]]]:
    """The lines that are not empty, cut at semicolons, so often at most."""
    for line, written in enumerate(text_of(path).split("\n"), 1):
        if written.strip():
            yield line, written.rstrip("\r").split(";", splits)


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _finite(path: Path, line: int, cells: Sequence[str], column: int) -> float:
    cell = cells[column] if column < len(cells) else ""
    if not _number(cell) or not math.isfinite(float(cell)):
        raise BadFile(f"{path}:{line}", f"cell {column + 1} is {cell!r}: expected a number")
    return float(cell)


# --- who speaks, and what -------------------------------------------------------------------


def _span(path: Path, line: int, cells: Sequence[str]) -> tuple[float, float]:
    start, end = _finite(path, line, cells, 0), _finite(path, line, cells, 1)
    if not 0 <= start <= end:
        raise BadFile(f"{path}:{line}", f"goes from {start:g} s to {end:g} s")
    return start, end


def _partner(root: Path, path: Path) -> tuple[tuple[float, float], ...]:
    """All that is not the subject's own turn; nothing where the release has no turns."""
    if not (root / "turns").is_dir():
        return ()
    table = root / "turns" / f"{path.stem}.csv"
    own = sorted(_span(table, line, cells) for line, cells in _lines(table, -1))
    found, last = [], 0.0
    length_s = round(audio_facts(path).duration_s, 3)
    for start, end in [*own, (length_s, length_s)]:
        if start > last:
            found.append((last, start))
        last = max(last, end)
    return tuple(found)


def _said(root: Path, path: Path) -> tuple[Word, ...]:
    """The transcript's words; each sentence's are spread over its time by their letters [I].

    Tags in angle brackets, such as <laughter>, are no words.
    """
    folders = [root / name for name in TRANSCRIPTS if (root / name).is_dir()]
    if not folders:
        return ()
    table, found = folders[0] / f"{path.stem}.csv", list[Word]()
    for line, cells in _lines(table, 2):
        start, end = _span(table, line, cells)
        text = re.sub(r"<[^>]*>", " ", cells[2] if len(cells) > 2 else "").strip().strip("'\"")
        words = [word for word in text.split() if re.search(r"\w", word)]
        total, here = sum(len(word) + 1 for word in words), start
        for word in words:
            until = min(here + (end - start) * (len(word) + 1) / total, end)
            found.append(Word(text=word, start_s=here, end_s=until))
            here = until
    return tuple(found)
