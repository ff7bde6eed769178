"""How a corpus is found on the disk, read and hashed; the readers are the files beside this one.

A reader is ``(root, options) -> Corpus``: the folder (None for a corpus that needs none) and every
option of its registration, spelled out. Its registration tells, in literals, ``title``,
``language``, ``licence``, ``source``, ``needs_root``, ``counts`` (utterances of each class, where
they are published), ``options`` (their defaults) and, where a file will do as root,
``root_may_be_file``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serlab.bench.audio import SUFFIXES, AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance, digest
from serlab.bench.errors import BadFile, BadValue, SerlabError, UnknownName
from serlab.bench.identity import file_hashes, source_files, source_identity
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
    corpus = reader(root, resolved)
    if not corpus.utterances:
        raise BadFile(root or name, "holds no utterance")
    return corpus


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


def audio_files(root: Path) -> tuple[list[Path], int]:
    """Audio files at any depth in order of path, and the number of files of other kinds.

    Hidden files and folders (a name with a dot first) are not looked at; a folder that links
    lead to more than once is read once.
    """
    found, n_others = [], 0
    for path in _walk(root):
        if path.suffix.lower() in SUFFIXES:
            found.append(path)
        else:
            n_others += 1
    return sorted(found), n_others


def _walk(root: Path) -> Iterator[Path]:
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
    """The corpus's files with what their names say.

    Args:
        root: the corpus's folder.
        scheme: how its files are named.
        unknown: ``"skip"`` leaves out audio files with other names, ``"error"`` refuses them.

    Raises:
        BadFile: no file follows the scheme, one does not, or one utterance is there twice.
    """
    paths, n_others = audio_files(root)
    named = [(path, scheme.pattern.fullmatch(path.stem)) for path in paths]
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
    _refuse_twins([path for path, _ in found])
    return found


def _refuse_twins(paths: list[Path]) -> None:
    first: dict[str, Path] = {}
    for path in paths:
        if path.stem in first:
            raise BadFile(path, f"is the same utterance as {first[path.stem]}; keep one of them")
        first[path.stem] = path


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
    rows = sorted((_row(u, hashes) for u in corpus.utterances), key=lambda row: str(row["id"]))
    return digest({"head": head, "rows": rows})


def _row(utterance: Utterance, hashes: Mapping[Path, str]) -> dict[str, Any]:
    row = {key: value for key, value in vars(utterance).items() if key != "facts"}
    for key in ("audio", "video", "traces"):
        row[key] = _identity(row[key], hashes)
    return row


def _identity(source: Any, hashes: Mapping[Path, str]) -> object:  # an audio or array source
    if isinstance(source, AudioFile):
        return (hashes[source.path], source.start_s, source.end_s)
    return None if source is None else source_identity(source, hashes)
