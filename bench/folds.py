"""Folds from files: those that EmoBox distributes, or one file that names fold and part itself.

EmoBox (Ma et al., Interspeech 2024; github.com/emo-box/EmoBox) has for each corpus a folder
``data/<corpus>/fold_<n>`` with the JSON lines ``<corpus>_train_fold_<n>.jsonl``,
``<corpus>_test_fold_<n>.jsonl`` and, for a few corpora, ``<corpus>_valid_fold_<n>.jsonl``. A line
such as ``{"key": "emodb-03a02Wb", "wav": "downloads/emodb/wav/03a02Wb.wav", ...}`` is an utterance.
Where a folder also has names without the last underscore (``..._train_fold1.jsonl``, as EmoDB's in
some versions), they are not read: EmoBox's own loader reads the others.

In a single file every line says "fold" and "split" (train, validation, valid, dev or test) too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from serlab.bench.contracts import Fold, Part, Utterance
from serlab.bench.corpora.tables import json_objects
from serlab.bench.errors import BadFile, UnknownName

NAME = re.compile(r"(?:.+_)?(?P<part>train|valid|test)_fold(?P<mark>_?)(?P<fold>\d+)\.jsonl")
PARTS: Mapping[str, Part] = {
    "train": Part.TRAIN,
    "validation": Part.VALIDATION,
    "valid": Part.VALIDATION,
    "dev": Part.VALIDATION,
    "test": Part.TEST,
}


@dataclass(frozen=True, kw_only=True)
class Line:
    """One utterance of a part of a fold, as a file names it."""

    file: Path
    number: int
    part: Part
    key: str
    wav: str

    def bad(self, problem: str) -> BadFile:
        """The error for this line."""
        return BadFile(f"{self.file}:{self.number}", problem)


def read_folds(path: Path, utterances: Sequence[Utterance]) -> Iterator[Fold]:
    """The folds that a folder or a file describes; a part that no file gives is empty.

    Raises:
        BadFile: nothing is there, a line is wrong or names no utterance of the corpus, or an
            utterance stands twice in one fold; names file and line.
    """
    names = _Names.of(utterances)
    for name, lines in _lines(path).items():
        ids: dict[Part, list[str]] = {part: [] for part in Part}
        seen: dict[str, Line] = {}
        for line in lines:
            found = names.find(line)
            if found in seen:
                first = seen[found]
                where = f"line {first.number} of {first.file.name} ({first.part})"
                raise line.bad(f"{found} stands in this fold already: {where}")
            seen[found] = line
            ids[line.part].append(found)
        yield Fold(
            name=name,
            train=tuple(ids[Part.TRAIN]),
            validation=tuple(ids[Part.VALIDATION]),
            test=tuple(ids[Part.TEST]),
        )


# --- the files ------------------------------------------------------------------------------


def _lines(path: Path) -> dict[str, list[Line]]:
    """The lines of every fold, by its name, in order of its number."""
    folds: dict[str, list[Line]] = {}
    if path.is_file():
        for number, cells in json_objects(path):
            name, part = _placed(path, number, cells)
            folds.setdefault(name, []).append(_line(path, number, cells, part))
    elif path.is_dir():
        for (fold, part), file in sorted(_files(path).items()):
            lines = folds.setdefault(f"fold{fold}", [])
            lines += [_line(file, number, cells, part) for number, cells in json_objects(file)]
    else:
        raise BadFile(path, "there is no such file or folder of folds (protocol.folds)")
    if not folds:
        raise BadFile(path, "has no fold: expected files such as fold_1/emodb_train_fold_1.jsonl")
    return folds


def _files(folder: Path) -> dict[tuple[int, Part], Path]:
    """The file of every part of every fold, at any depth."""
    found: dict[tuple[int, Part], dict[str, list[Path]]] = {}
    for path in sorted(folder.rglob("*.jsonl")):
        if match := NAME.fullmatch(path.name):
            key = int(match["fold"]), PARTS[match["part"]]
            found.setdefault(key, {}).setdefault(match["mark"], []).append(path)
    chosen = {key: paths.get("_") or paths[""] for key, paths in found.items()}
    for first, *others in chosen.values():
        if others:
            raise BadFile(others[0], f"is the same part of the same fold as {first}")
    return {key: paths[0] for key, paths in chosen.items()}


def _placed(path: Path, number: int, cells: Mapping[str, object]) -> tuple[str, Part]:
    where = f"{path}:{number}"
    for column in ("fold", "split"):
        if column not in cells:
            raise BadFile(where, f'has no "{column}", which every line of a single file needs')
    fold, split = str(cells["fold"]), str(cells["split"])
    if split not in PARTS:
        raise UnknownName("part", split, PARTS, where=f"{where}: split")
    if not re.fullmatch(r"\w[\w.-]*", fold):
        raise BadFile(where, f'"fold" is {fold!r}: expected a number, or letters and digits')
    return f"fold{fold}" if fold.isdigit() else fold, PARTS[split]


def _line(path: Path, number: int, cells: Mapping[str, object], part: Part) -> Line:
    key, wav = (str(cells.get(name) or "").strip() for name in ("key", "wav"))
    line = Line(file=path, number=number, part=part, key=key, wav=wav)
    if not key and not wav:
        raise line.bad('has neither "key" nor "wav"')
    return line


# --- what a line means ----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Names:
    """How the utterances of a corpus may be called."""

    ids: frozenset[str]
    paths: Mapping[str, list[tuple[str, tuple[str, ...]]]] = field(default_factory=dict)
    """By the name of the audio file without its suffix: id and folders, the nearest first."""

    @classmethod
    def of(cls, utterances: Sequence[Utterance]) -> _Names:
        paths: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
        for u in utterances:
            file = getattr(u.audio, "path", None)
            if file is not None and getattr(u.audio, "start_s", None) is None:
                paths.setdefault(file.stem, []).append((u.id, _folders(file)))
        return cls(ids=frozenset(u.id for u in utterances), paths=paths)

    def find(self, line: Line) -> str:
        """The id: the key, the key without the corpus's name, or that of the audio file.

        Where several audio files have one name, the one whose folders agree the furthest.

        Raises:
            BadFile: no utterance has such a name, or several have; names the nearest id.
        """
        for key in (line.key, line.key.partition("-")[2]):
            if key in self.ids:
                return key
        wav = Path(line.wav.replace("\\", "/"))
        found = [(_agreement(_folders(wav), own), i) for i, own in self.paths.get(wav.stem, [])]
        best = [i for n, i in found if n == max(found)[0]]
        if len(best) == 1:
            return best[0]
        if wav.stem in self.ids and not best:
            return wav.stem
        name = line.key or line.wav
        if best:
            raise line.bad(f'"{name}" may be any of {", ".join(sorted(best)[:3])}')
        near = difflib.get_close_matches(wav.stem or name, self.ids, n=1, cutoff=0)
        hint = f'; the nearest is "{near[0]}"' if near else ""
        raise line.bad(f'"{name}" is no utterance of the corpus{hint}')


def _folders(path: Path) -> tuple[str, ...]:
    return tuple(part.casefold() for part in reversed(path.parent.parts))


def _agreement(first: Sequence[str], second: Sequence[str]) -> int:
    """How many folders are alike, from the file upwards."""
    n = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        n += 1
    return n
