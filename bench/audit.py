"""The leak check: what the parts of a fold share, and what else would make a score lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Literal

from serlab.bench.cache import Cache, samples_hash
from serlab.bench.contracts import Corpus, Fold, Part, Split, Utterance
from serlab.bench.errors import BadFile, BadValue, SerlabError
from serlab.bench.parallel import in_threads

Severity = Literal["leak", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was found, over all folds."""

    severity: Severity
    kind: str
    count: int
    folds: tuple[str, ...]
    text: str


@dataclass(frozen=True, kw_only=True)
class _Check:
    """Something that two parts of a fold should not share."""

    kind: str
    severity: Severity
    what: str
    of: Callable[[Utterance], str | None]
    meaning: str = ""
    shows_ids: bool = False
    """Whether a message names the utterances, where the value itself tells people nothing."""


def readable(
    utterances: Sequence[Utterance],
    cache: Cache,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """Hash of each utterance's samples by id, and what is wrong with those that cannot be read.

    Files are read over all cores, those read before are remembered by the cache, and a broken
    one stops nothing. Utterances without audio are in neither.

    Args:
        utterances: with unlike ids.
        cache: remembers hashes.
        progress: told after every utterance how many are done, of how many.
    """
    heard = [u for u in utterances if u.audio is not None]
    hashes, problems = dict[str, str](), dict[str, str]()
    for index, found in enumerate(in_threads(partial(_content, cache=cache), heard)):
        if isinstance(found, BadFile):
            problems[heard[index].id] = str(found)
        else:
            hashes[heard[index].id] = found
        if progress:
            progress(index + 1, len(heard))
    cache.memo.flush()
    return hashes, problems


def _content(utterance: Utterance, cache: Cache) -> str | BadFile:
    source = utterance.heard()
    content = cache.memo.get(source)
    if content is None:
        try:
            content = samples_hash(source.read())
        except BadFile as error:
            return error
        cache.memo.put(source, content)
    return content


def audio_hashes(utterances: Iterable[Utterance], cache: Cache) -> dict[str, str]:
    """Hash of each utterance's samples by id, where it has any; the cache remembers them.

    Raises:
        BadFile: audio that cannot be read; names the file.
    """
    hashes, problems = readable(list(utterances), cache)
    for problem in problems.values():
        raise SerlabError(problem)
    return hashes


def audit_outside(
    outside: Corpus, split: Split, hashes: Mapping[str, str], theirs: Mapping[str, str]
) -> tuple[Finding, ...]:
    """Recordings of an outside corpus that some fold tests or validates on.

    Args:
        outside: the corpus that is trained on beside the tested one.
        split: the folds.
        hashes: content hash of the tested corpus's audio, by id.
        theirs: that of the outside corpus's.
    """
    held = {content: name for name, content in theirs.items()}
    found = {
        fold.name: [i for i in (*fold.test, *fold.validation) if hashes.get(i) in held]
        for fold in split.folds
    }
    folds = tuple(name for name, ids in found.items() if ids)
    shared = sorted({i for ids in found.values() for i in ids})
    if not shared:
        return ()
    text = (
        f"{len(shared)} tested or validating recordings are also in the outside corpus "
        f"{outside.name}, which is trained on, such as {shared[0]}"
    )
    return (Finding(severity="leak", kind="outside", count=len(shared), folds=folds, text=text),)


def audit_split(
    corpus: Corpus, split: Split, hashes: Mapping[str, str] | None = None
) -> tuple[Finding, ...]:
    """What is shared between the parts of every fold, worst first.

    Args:
        corpus: whose utterances the folds name.
        split: the folds.
        hashes: content hash of each utterance's audio by id, where they are known; without
            them, equal audio under two names is not looked for.

    A shared speaker, utterance, recording or audio is a leak. A shared dialogue (or what the fact
    "recording" names, with several speakers) is a warning: who leaves one of its speakers out
    cannot avoid it. A shared sentence is a note,
    since read-sentence corpora cannot avoid it without losing most of their data.

    Raises:
        BadValue: a fold names an utterance that the corpus lacks.
    """
    known = corpus.by_id()
    strangers = {i for fold in split.folds for p in Part for i in fold.part(p)} - set(known)
    if strangers:
        expected = f"an utterance of the corpus {corpus.name}"
        raise BadValue("split", sorted(strangers)[0], expected)
    checks = [
        _Check(kind="utterance", severity="leak", what="utterances", of=lambda u: u.id),
        _Check(kind="speaker", severity="leak", what="speakers", of=lambda u: u.speaker),
        _Check(kind="recording", severity="leak", what="recordings",
               of=lambda u: u.source, meaning=" (segments of one recording)"),
        _Check(kind="dialogue", severity="warning", what="dialogues",
               of=lambda u: u.dialogue or u.facts.get("recording"),
               meaning=": the room, the channel and other speakers of them are on both sides"),
        _Check(kind="sentence", severity="note", what="sentences", of=_sentence,
               meaning=": the text is no clue where every emotion says it"),
    ]  # fmt: skip
    if hashes is not None:
        checks.append(_Check(kind="audio", severity="leak", what="recordings under several names",
                             of=lambda u: hashes.get(u.id), shows_ids=True))  # fmt: skip
    shared = (_shared(check, split.folds, known) for check in checks)
    found = [finding for finding in shared if finding is not None]
    found += _one_class_speakers(split, known)
    found += _absent_classes(split, known)
    order = ("leak", "warning", "note")
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


def _sentence(utterance: Utterance) -> str | None:
    """The prompt that is read, else the text as it sounds: without case and punctuation."""
    if utterance.sentence is not None or utterance.text is None:
        return utterance.sentence
    letters = "".join(c if c.isalnum() else " " for c in utterance.text.casefold())
    return " ".join(letters.split()) or None


def _shared(check: _Check, folds: Sequence[Fold], known: Mapping[str, Utterance]) -> Finding | None:
    """What test parts share with what trains or selects, or training with validation."""
    values: set[str] = set()
    touched = []
    of = {i: value for i, u in known.items() if (value := check.of(u)) is not None}
    for fold in folds:
        parts = {part: {of[i] for i in fold.part(part) if i in of} for part in Part}
        both = set().union(*(parts[a] & parts[b] for a, b in combinations(Part, 2)))
        if both:
            values |= both
            touched.append(fold.name)
    if not values:
        return None
    names = _names(check, values, known) if check.shows_ids else sorted(values)
    shown = ", ".join(names[:3]) + (", ..." if len(values) > 3 else "")
    text = (
        f"{len(values)} {check.what} stand in more than one part of {len(touched)} of "
        f"{len(folds)} folds ({shown}){check.meaning}"
    )
    return Finding(
        severity=check.severity, kind=check.kind, count=len(values), folds=tuple(touched), text=text
    )


def _names(check: _Check, values: set[str], known: Mapping[str, Utterance]) -> list[str]:
    """The utterances of each value, such as "a = b"."""
    groups: dict[str, list[str]] = {value: [] for value in values}
    for u in known.values():
        value = check.of(u)
        if value in groups:
            groups[value].append(u.id)
    return sorted(" = ".join(ids) for ids in groups.values())


def _one_class_speakers(split: Split, known: Mapping[str, Utterance]) -> list[Finding]:
    """Speakers of whom only one class is heard: who speaks then tells what they feel."""
    classes: dict[str, set[str]] = {}
    for fold in split.folds:
        for part in Part:
            for i in fold.part(part):
                classes.setdefault(known[i].speaker, set()).add(known[i].emotion or "")
    single = sorted(speaker for speaker, found in classes.items() if len(found) == 1)
    if not single:
        return []
    shown = ", ".join(single[:3]) + (", ..." if len(single) > 3 else "")
    text = (
        f"{len(single)} of {len(classes)} speakers have one class only ({shown}): telling "
        "speakers apart tells emotions apart"
    )
    names = tuple(fold.name for fold in split.folds)
    return [
        Finding(severity="warning", kind="one-class speaker", count=len(single), folds=names,
                text=text)
    ]  # fmt: skip


def _absent_classes(split: Split, known: Mapping[str, Utterance]) -> list[Finding]:
    """Classes that a part lacks, which its mean over classes then leaves out."""
    found = []
    severities: dict[Part, Severity] = {
        Part.TRAIN: "warning",
        Part.VALIDATION: "warning",
        Part.TEST: "note",
    }
    for part, severity in severities.items():
        absent = {
            fold.name: set(split.labels) - {known[i].emotion for i in fold.part(part)}
            for fold in split.folds
            if fold.part(part)
        }
        touched = tuple(name for name, classes in absent.items() if classes)
        if touched:
            which = ", ".join(f"{name}: {' '.join(sorted(absent[name]))}" for name in touched[:3])
            text = (
                f"{len(touched)} folds have a {part} part without some class ({which}"
                f"{', ...' if len(touched) > 3 else ''})"
            )
            found.append(
                Finding(severity=severity,
                        kind="absent class", count=len(touched), folds=touched, text=text)
            )  # fmt: skip
    return found
