"""Protocols: how a corpus is cut into folds, and what must be said of each cut.

Every split here takes whole speakers (or sessions, or the corpus's own partitions), except those
that papers use and that are marked as leaking wherever they are printed: random utterances, groups
of sentences, and files of folds that put a speaker on both sides.
Validation speakers are those that follow the test speakers in sorted order, cyclically: a fixed
rule, so that nothing about them can be picked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from serlab.bench.contracts import Corpus, Fold, Part, ProtocolSpec, Split, Utterance
from serlab.bench.errors import BadValue, SerlabError, UnknownName
from serlab.bench.folds import read_folds
from serlab.bench.registry import Registry
from serlab.bench.seeds import generator

SPLITS = Registry("split", "serlab.bench.protocols")

Splitter = Callable[[Sequence[Utterance], ProtocolSpec], Iterable[Fold]]


def make_split(corpus: Corpus, protocol: ProtocolSpec) -> Split:
    """Applies a protocol to a corpus.

    Raises:
        UnknownName: the split or a label is not known.
        SerlabError: the corpus cannot be cut that way, or a training part lacks a class.
    """
    entry = SPLITS.entry(protocol.split, where="protocol.split")
    traces = protocol.target == "traces"
    known = corpus.dimensions if traces else corpus.labels
    if traces and not known:
        raise SerlabError(f"{corpus.name}: has no traces, and protocol.target asks for them")
    labels = protocol.labels or known
    for label in labels:
        if label not in known:
            kind = f"{'dimension' if traces else 'label'} of {corpus.name}"
            raise UnknownName(kind, label, known, where="protocol.labels")
    used = [u for u in corpus.utterances if (u.traces if traces else u.emotion in labels)]
    if not used:
        raise SerlabError(f"{corpus.name}: no utterance has one of the labels {', '.join(labels)}")
    if bool(protocol.folds) != (protocol.split == "file"):
        wanted = 'a folder or file of folds with split = "file", and none with any other'
        raise BadValue("protocol.folds", protocol.folds, wanted)
    whole = (corpus.utterances,) if protocol.split == "file" else ()
    folds = tuple(entry.load()(used, protocol, *whole))
    folds = folds[: protocol.max_folds] if protocol.max_folds else folds
    _check(folds, {u.id: u for u in used}, labels, corpus.name, protocol)
    leaks = _leaks(folds, {u.id: u for u in used}, protocol)
    return Split(
        protocol=replace(protocol, folds=""),  # the folds themselves are below, wherever they were
        corpus=corpus.name,
        synthetic=corpus.synthetic,
        labels=tuple(labels),
        folds=folds,
        leaks=leaks,
    )


@SPLITS.register("leave-one-speaker-out", title="one fold a speaker")
def leave_one_speaker_out(
    utterances: Sequence[Utterance], protocol: ProtocolSpec
) -> Iterator[Fold]:
    """Each speaker is tested once, by a network that never heard them."""
    yield from _held_out(utterances, lambda u: u.speaker, "speakers", protocol.validation)


@SPLITS.register("leave-one-session-out", title="one fold a session")
def leave_one_session_out(
    utterances: Sequence[Utterance], protocol: ProtocolSpec
) -> Iterator[Fold]:
    """Each session is tested once; validation takes whole sessions too."""
    for u in utterances:
        if u.session is None:
            raise SerlabError(f"leave-one-session-out needs sessions, and {u.id} has none")
    yield from _held_out(utterances, lambda u: u.session or "", "sessions", protocol.validation)


@SPLITS.register("speaker-groups", title="k groups of speakers")
def speaker_groups(utterances: Sequence[Utterance], protocol: ProtocolSpec) -> Iterator[Fold]:
    """Sorted speakers are cut into `groups` runs of near-equal length, one fold each."""
    speakers = sorted({u.speaker for u in utterances})
    for i, test in enumerate(_runs(speakers, protocol.groups, "speakers")):
        yield _fold(f"group{i + 1}", utterances, lambda u: u.speaker, speakers, test, protocol)


@SPLITS.register("fixed", title="the corpus's own partitions")
def fixed(utterances: Sequence[Utterance], protocol: ProtocolSpec) -> Iterator[Fold]:
    """One fold; where the corpus names no validation part, training speakers are held out."""
    ids: dict[str, list[str]] = {part.value: [] for part in Part}
    for u in utterances:
        if u.partition not in ids:
            raise BadValue(f"partition of {u.id}", u.partition, f"one of {', '.join(ids)}")
        ids[u.partition].append(u.id)
    if ids["validation"] or not protocol.validation:
        parts = {name: tuple(found) for name, found in ids.items()}
        yield Fold(name="fixed", **parts)
        return
    test = set(ids["test"])
    training = [u for u in utterances if u.id not in test]
    speakers = sorted({u.speaker for u in training})
    chosen = set(speakers[: protocol.validation])
    yield Fold(
        name="fixed",
        train=tuple(u.id for u in training if u.speaker not in chosen),
        validation=tuple(u.id for u in training if u.speaker in chosen),
        test=tuple(ids["test"]),
    )


@SPLITS.register(
    "leave-one-corpus-out", title="train on all corpora but one, test on that one", pools=True
)
def leave_one_corpus_out(utterances: Sequence[Utterance], protocol: ProtocolSpec) -> Iterator[Fold]:
    """Each corpus is tested once; the first speakers of each of the others validate."""
    origins = list(dict.fromkeys(u.origin for u in utterances))
    if len(origins) < 2:
        raise SerlabError("leave-one-corpus-out needs two corpora at least, each a [[corpora]]")
    chosen: set[str] = set()
    for origin in origins:
        speakers = sorted({u.speaker for u in utterances if u.origin == origin})
        if len(speakers) <= protocol.validation:
            fewer = f"fewer than the {len(speakers)} speakers of {origin}"
            raise BadValue("protocol.validation", protocol.validation, fewer)
        chosen |= set(speakers[: protocol.validation])
    for origin in origins:
        others = [u for u in utterances if u.origin != origin]
        yield Fold(
            name=origin,
            train=tuple(u.id for u in others if u.speaker not in chosen),
            validation=tuple(u.id for u in others if u.speaker in chosen),
            test=tuple(u.id for u in utterances if u.origin == origin),
        )


@SPLITS.register("file", title="folds from files, such as EmoBox's")
def file(
    utterances: Sequence[Utterance], protocol: ProtocolSpec, whole: Sequence[Utterance]
) -> Iterator[Fold]:
    """Folds as `folds.read_folds` finds them; without a validation part, speakers are held out.

    These are the training speakers that follow the test speakers in sorted order, cyclically.
    Utterances of other classes are left out of every part.
    """
    known = {u.id: u for u in utterances}
    for fold in read_folds(Path(protocol.folds), whole):
        train, validation, test = (tuple(i for i in fold.part(p) if i in known) for p in Part)
        if not validation and protocol.validation:
            speakers = sorted({known[i].speaker for i in train})
            last = max((known[i].speaker for i in test), default="")
            after = [s for s in speakers if s > last]
            others = [*after, *(s for s in speakers if s not in after)]
            chosen = set(others[: protocol.validation])
            if len(chosen) == len(speakers):
                wanted = (
                    f"fewer than the {len(speakers)} training speakers of {fold.name}, or 0 "
                    'with protocol.selection = "last-epoch"'
                )
                raise BadValue("protocol.validation", protocol.validation, wanted)
            validation = tuple(i for i in train if known[i].speaker in chosen)
            train = tuple(i for i in train if known[i].speaker not in chosen)
        yield Fold(name=fold.name, train=train, validation=validation, test=test)


@SPLITS.register("sentence-groups", title="k groups of sentences (leaks speakers)", leaks=True)
def sentence_groups(utterances: Sequence[Utterance], protocol: ProtocolSpec) -> Iterator[Fold]:
    """Sorted sentences are cut into `groups` runs, one fold each; whole sentences validate too."""
    sentences = _sentences(utterances)
    for i, test in enumerate(_runs(sentences, protocol.groups, "sentences")):
        name = f"sentences{i + 1}"
        yield _fold(name, utterances, lambda u: u.sentence or "", sentences, test, protocol)


@SPLITS.register(
    "speaker-and-sentence-groups", title="groups of speakers by groups of sentences, both unseen"
)
def speaker_and_sentence_groups(
    utterances: Sequence[Utterance], protocol: ProtocolSpec
) -> Iterator[Fold]:
    """Neither the speakers nor the sentences that are tested are heard in training.

    Each of `groups` groups of speakers is tested on each of as many groups of sentences (fewer
    where there are fewer sentences). What a fold's test speakers say of other sentences, and other
    speakers of its sentences, has no part in that fold.
    """
    speakers = sorted({u.speaker for u in utterances})
    sentences = _sentences(utterances)
    runs = _runs(sentences, min(protocol.groups, len(sentences)), "sentences")
    for i, test in enumerate(_runs(speakers, protocol.groups, "speakers")):
        for j, said in enumerate(runs):
            name = f"speakers{i + 1}-sentences{j + 1}"
            fold = _fold(name, utterances, lambda u: u.speaker, speakers, test, protocol)
            mine = {u.id for u in utterances if u.sentence in said}
            yield Fold(
                name=name,
                train=tuple(k for k in fold.train if k not in mine),
                validation=tuple(k for k in fold.validation if k not in mine),
                test=tuple(k for k in fold.test if k in mine),
            )


def _sentences(utterances: Sequence[Utterance]) -> list[str]:
    for u in utterances:
        if u.sentence is None:
            raise SerlabError(f"groups of sentences need sentences, and {u.id} has none")
    found = sorted({u.sentence or "" for u in utterances})
    if len(found) < 2:
        raise SerlabError("groups of sentences need two sentences at least, and the corpus has one")
    return found


@SPLITS.register("random-utterances", title="random utterances (leaks speakers)", leaks=True)
def random_utterances(utterances: Sequence[Utterance], protocol: ProtocolSpec) -> Iterator[Fold]:
    """Utterances are dealt to `groups` folds at random; the same speakers are on every side."""
    if protocol.groups < 3:
        wanted = "at least 3 (one to test, one to validate, the rest to train)"
        raise BadValue("protocol.groups", protocol.groups, wanted)
    ids = [u.id for u in utterances]
    generator(protocol.seed, "random-utterances").shuffle(ids)
    k = protocol.groups
    for i in range(k):
        parts = {"test": ids[i::k], "validation": ids[(i + 1) % k :: k]}
        held = set(parts["test"]) | set(parts["validation"])
        train = tuple(u.id for u in utterances if u.id not in held)
        test, validation = tuple(parts["test"]), tuple(parts["validation"])
        yield Fold(name=f"random{i + 1}", train=train, validation=validation, test=test)


def _runs(names: Sequence[str], k: int, kind: str) -> list[Sequence[str]]:
    """The names in ``k`` runs of near-equal length."""
    if k > len(names):
        raise BadValue("protocol.groups", k, f"at most the corpus's {len(names)} {kind}")
    bounds = [round(i * len(names) / k) for i in range(k + 1)]
    return [names[bounds[i] : bounds[i + 1]] for i in range(k)]


def _held_out(
    utterances: Sequence[Utterance], unit: Callable[[Utterance], str], kind: str, validation: int
) -> Iterator[Fold]:
    names = sorted({unit(u) for u in utterances})
    if len(names) < validation + 2:
        raise SerlabError(
            f"the split needs at least {validation + 2} {kind} (one to test, {validation} to "
            f"validate, one to train) and the corpus has {len(names)}: {', '.join(names)}"
        )
    protocol = ProtocolSpec(validation=validation)
    for name in names:
        yield _fold(name, utterances, unit, names, [name], protocol)


def _fold(
    name: str,
    utterances: Sequence[Utterance],
    unit: Callable[[Utterance], str],
    names: Sequence[str],
    test: Sequence[str],
    protocol: ProtocolSpec,
) -> Fold:
    """The fold that tests on some units and validates on those that follow them."""
    after = names.index(test[-1]) + 1
    tested = set(test)
    others = [n for n in (*names[after:], *names[:after]) if n not in tested]
    if len(others) <= protocol.validation:
        raise SerlabError(
            f"fold {name}: {len(others)} of {len(names)} remain beside the test part, and "
            f"validation takes {protocol.validation}; none is left to train on"
        )
    where = dict.fromkeys(others, Part.TRAIN)
    where.update(dict.fromkeys(others[: protocol.validation], Part.VALIDATION))
    where.update(dict.fromkeys(test, Part.TEST))
    parts: dict[str, list[str]] = {part.value: [] for part in Part}
    for u in utterances:
        parts[where[unit(u)]].append(u.id)
    return Fold(name=name, **{part: tuple(ids) for part, ids in parts.items()})


def _check(
    folds: Sequence[Fold],
    utterances: dict[str, Utterance],
    labels: Sequence[str],
    corpus: str,
    protocol: ProtocolSpec,
) -> None:
    for fold in folds:
        for part in (Part.TRAIN, Part.TEST):
            if not fold.part(part):
                raise SerlabError(f"{corpus}, fold {fold.name}: the {part} part is empty")
        missing = set(labels) - {utterances[i].emotion for i in fold.train}
        if missing and protocol.target == "emotion":
            raise SerlabError(
                f"{corpus}, fold {fold.name}: the training part has no utterance of "
                f"{', '.join(sorted(missing))}; leave the class out (protocol.labels) or cut the "
                "corpus another way (protocol.split, protocol.validation)"
            )
        if not fold.validation and protocol.selection != "last-epoch":
            raise BadValue(
                "protocol.selection", protocol.selection, '"last-epoch" where none validate'
            )


def _leaks(
    folds: Sequence[Fold], utterances: dict[str, Utterance], protocol: ProtocolSpec
) -> tuple[str, ...]:
    found = []
    speakers = [{p: {utterances[i].speaker for i in fold.part(p)} for p in Part} for fold in folds]
    shared = set().union(*(s[Part.TEST] & (s[Part.TRAIN] | s[Part.VALIDATION]) for s in speakers))
    if shared and protocol.split == "file":
        n_tested = len(set().union(*(s[Part.TEST] for s in speakers)))
        found.append(
            f"leaking: the files of folds also train or validate on {len(shared)} of {n_tested} "
            "test speakers"
        )
    elif shared:
        found.append("leaking: test speakers are also trained or validated on")
    if protocol.split == "file" and any(s[Part.TRAIN] & s[Part.VALIDATION] for s in speakers):
        found.append("the files of folds select on speakers that are also trained on")
    if protocol.normalisation == "speaker":
        found.append("transductive: features are normalised with each test speaker's own audio")
    if protocol.normalisation == "corpus":
        found.append("transductive: features are normalised with all audio of the tested corpus")
    return tuple(found)
