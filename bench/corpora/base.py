"""How a corpus is found on the disk, read and hashed; the readers are the files beside this one.

A reader is ``(root, options) -> Corpus``: the folder (None for a corpus that needs none) and every
option of its registration, spelled out. Its registration tells, in literals, ``title``,
``language``, ``licence``, ``source``, ``needs_root``, ``counts`` (utterances of each class, where
they are published), ``options`` (their defaults) and, where a file will do as root,
``root_may_be_file``.
"""

from __future__ import annotations

import filecmp
import gc
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from serlab.bench.audio import SUFFIXES, AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance, canonical
from serlab.bench.errors import BadFile, BadValue, SerlabError, UnknownName
from serlab.bench.identity import file_hashes, source_files, source_identity, vector_hash
from serlab.bench.registry import Registry

CORPORA = Registry("corpus", "serlab.bench.corpora")

Reader = Callable[[Path | None, Mapping[str, Scalar]], Corpus]


def load_corpus(
    name: str,
    *,
    roots: Mapping[str, Path],
    options: Mapping[str, Scalar] | None = None,
) -> Corpus:
    """The corpus of that name.

    Args:
        name: a registered corpus.
        roots: folders by corpus; a corpus that is not among them is looked for in the folder
            that the environment variable ``SERLAB_DATA`` names.
        options: what differs from the reader's defaults.

    Raises:
        SerlabError: the name, an option or the folder is wrong, or a file is.
    """
    entry = CORPORA.entry(name)
    for given in roots:
        CORPORA.entry(given, where="--root")
    resolved = _options(name, entry.facts.get("options", {}), options or {})
    root = find_root(name, roots) if entry.facts.get("needs_root", True) else None
    reader: Reader = entry.load()
    with _no_collection():
        corpus = reader(root, resolved)
    if not corpus.utterances:
        raise BadFile(root or name, "holds no utterance")
    return corpus


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keeps Python from looking for garbage among utterances, a third of the time of a million."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def find_root(name: str, roots: Mapping[str, Path]) -> Path:
    """The folder of a corpus: the one given, else that of its name in ``SERLAB_DATA``.

    Raises:
        SerlabError: none is given, or it is no folder.
    """
    data = os.environ.get("SERLAB_DATA")
    if name not in roots and not data:
        raise SerlabError(
            f"where is the corpus {name}? Give its folder (--root {name}=DIR), or set the "
            f"environment variable SERLAB_DATA to a folder that has a folder {name}"
        )
    root = Path(roots[name]) if name in roots else Path(str(data)) / name
    file_too = CORPORA.entry(name).facts.get("root_may_be_file", False)
    if not root.is_dir() and not (file_too and root.is_file()):
        origin = f"--root {name}=DIR" if name in roots else "SERLAB_DATA"
        problem = "is a file, not a folder" if root.exists() else "there is no such folder"
        raise BadFile(root, f"{problem} (the folder of the corpus {name}, from {origin})")
    return root


def _options(
    name: str, defaults: Mapping[str, Scalar], given: Mapping[str, Scalar]
) -> dict[str, Scalar]:
    resolved = dict(defaults)
    for key, value in given.items():
        if key not in defaults:
            raise UnknownName(f"option of the corpus {name}", key, defaults)
        resolved[key] = _like(defaults[key], value, f"{name}.{key}")
    return resolved


def _like(default: Scalar, value: Scalar, key: str) -> Scalar:
    """The value, if it is of the default's type; an integer serves where a float is asked."""
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        names = {str: "a text", bool: "true or false", int: "an integer", float: "a number"}
        raise BadValue(key, value, f"{names[type(default)]}, such as {default!r}")
    return value


def corpus_of(name: str, utterances: Iterable[Utterance], labels: Iterable[str]) -> Corpus:
    """The corpus with the licence and the source that its registration tells."""
    facts = CORPORA.entry(name).facts
    return Corpus(
        name=name,
        utterances=tuple(utterances),
        labels=tuple(sorted(set(labels))),
        licence=facts["licence"],
        source=facts["source"],
    )


def choice(options: Mapping[str, Scalar], name: str, known: tuple[str, ...]) -> str:
    """An option's value, if it is one of the known ones. Raises UnknownName."""
    value = str(options[name])
    if value not in known:
        raise UnknownName(f"value of the option {name}", value, known)
    return value


# --- files whose names tell everything ------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How a corpus names its files, without the suffix."""

    corpus: str
    pattern: re.Pattern[str]
    words: str
    """The scheme for people, with an example."""
    folders: bool = False
    """Whether folders tell something too: the pattern, whose groups then name the utterance, is
    matched with the end of the path below the root, such as ``AudioData/DC/a01``."""

    def match(self, path: Path, root: Path) -> re.Match[str] | None:
        """What the name of a file below the root says; None where it is not named so."""
        if not self.folders:
            return self.pattern.fullmatch(path.stem)
        below = path.relative_to(root).with_suffix("").as_posix()
        return re.fullmatch(rf"(?:.*/)?{self.pattern.pattern}", below, self.pattern.flags)

    def key(self, path: Path, match: re.Match[str]) -> object:
        """What no two utterances have in common."""
        return match.groups() if self.folders else path.stem


def audio_files(root: Path) -> tuple[list[Path], int]:
    """Audio files at any depth in order of path, and the number of files of other kinds."""
    found, n_others = [], 0
    for path in files_below(root):
        if path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            n_others += 1
    return sorted(found), n_others


def files_below(root: Path) -> Iterator[Path]:
    """Files at any depth.

    Hidden files and folders (a name with a dot first) are not looked at; a folder that links
    lead to more than once is read once.
    """
    seen: set[str] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (Path(folder) / name for name in names if not name.startswith("."))


def named_files(root: Path, scheme: Scheme, *, unknown: str) -> list[tuple[Path, re.Match[str]]]:
    """The corpus's files with what their names say; of a folder's copies one is taken.

    Args:
        root: the corpus's folder.
        scheme: how its files are named.
        unknown: ``"skip"`` leaves out audio files with other names, ``"error"`` refuses them.

    Raises:
        BadFile: no file follows the scheme, one does not, or one utterance is there twice with
            unlike contents or in unlike folders.
    """
    paths, n_others = audio_files(root)
    named = [(path, scheme.match(path, root)) for path in paths]
    found = [(path, match) for path, match in named if match]
    if not found:
        raise BadFile(
            root,
            f"holds no file of the corpus {scheme.corpus}: expected {scheme.words}; found "
            f"audio files of other names: {len(paths)}, files of other kinds: {n_others}",
        )
    strange = [path for path, match in named if not match]
    if strange and unknown == "error":
        raise BadFile(
            strange[0],
            f"is not named as {scheme.corpus} names its files: expected {scheme.words} "
            f"({len(strange)} of {len(paths)} audio files; "
            'the option unknown="skip" leaves them out)',
        )
    return _without_copies(found, scheme)


def _without_copies(
    found: list[tuple[Path, re.Match[str]]], scheme: Scheme
) -> list[tuple[Path, re.Match[str]]]:
    """Some archives hold their folders twice, one in the other; two unlike files are refused."""
    first: dict[object, Path] = {}
    kept = []
    for path, match in found:
        other = first.setdefault(scheme.key(path, match), path)
        if other is path:
            kept.append((path, match))
        elif not _copies(path, other):
            raise BadFile(path, f"is the same utterance as {other}; keep one of them")
    return kept


def _copies(one: Path, other: Path) -> bool:
    named_alike = (one.parent.name, one.name) == (other.parent.name, other.name)
    try:
        return named_alike and filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False


def agree(path: Path, by_name: str, folders: Mapping[str, str], *, depth: int = 1) -> None:
    """Raises BadFile where a folder that means something means other than the file's name.

    Args:
        path: the audio file.
        by_name: what its name says.
        folders: what names of folders, in small letters, say.
        depth: how many folders above the file are looked at.
    """
    for folder in path.parents[:depth]:
        if folders.get(folder.name.lower(), by_name) != by_name:
            what = f"its name says {by_name} and its folder {folder.name}"
            raise BadFile(path, f"{what}; it is not known which is right")


# --- what a corpus holds, as a hash ---------------------------------------------------------


def corpus_digest(corpus: Corpus) -> str:
    """Hash of all that a training could depend on: labels, groups, text, and the audio itself.

    Audio files count by their bytes, wherever they lie; a synthesised source by its settings.

    Raises:
        BadFile: a file is missing or unreadable.
    """
    sources = [s for u in corpus.utterances for s in (u.audio, u.video, u.traces) if s is not None]
    hashes = file_hashes(sorted({path for s in sources for path in source_files(s)}))
    head = (corpus.name, corpus.version, corpus.labels, corpus.dimensions)
    rows = (_row(u, hashes) for u in sorted(corpus.utterances, key=lambda u: u.id))
    # The canonical text of {"head": head, "rows": rows}, which for a million rows is long.
    whole = hashlib.sha256(f'{{"head":{canonical(head)},"rows":['.encode())
    for index, row in enumerate(rows):
        whole.update(f"{',' if index else ''}{canonical(row)}".encode())
    whole.update(b"]}")
    return whole.hexdigest()


def _row(utterance: Utterance, hashes: Mapping[Path, str]) -> dict[str, Any]:
    row = {f.name: getattr(utterance, f.name) for f in fields(utterance) if f.name != "facts"}
    row["supplied"] = {name: vector_hash(v) for name, v in utterance.supplied.items()}
    for key in ("audio", "video", "traces"):
        row[key] = _identity(row[key], hashes)
    return row


def _identity(source: Any, hashes: Mapping[Path, str]) -> object:  # an audio or array source
    if isinstance(source, AudioFile):
        return (hashes[source.path], source.start_s, source.end_s)
    return None if source is None else source_identity(source, hashes)
