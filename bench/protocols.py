"""Protocols: how a corpus is cut into folds, and what must be said of each cut.

Every split here takes whole speakers (or sessions, or the corpus's own partitions), except the
random utterance split, which papers use and which is marked as leaking wherever it is printed.
Validation speakers are those that follow the test speakers in sorted order, cyclically: a fixed
rule, so that nothing about them can be picked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from serlab.bench.contracts import Corpus, Fold, Part, ProtocolSpec, Split, Utterance
from serlab.bench.errors import BadValue, SerlabError, UnknownName
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
    folds = tuple(entry.load()(used, protocol))
    folds = folds[: protocol.max_folds] if protocol.max_folds else folds
    _check(folds, {u.id: u for u in used}, labels, corpus.name, protocol)
    leaks = _leaks(folds, {u.id: u for u in used}, protocol)
    return Split(
        protocol=protocol,
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
    k = protocol.groups
    if k > len(speakers):
        raise BadValue("protocol.groups", k, f"at most the corpus's {len(speakers)} speakers")
    bounds = [round(i * len(speakers) / k) for i in range(k + 1)]
    for i in range(k):
        test = speakers[bounds[i] : bounds[i + 1]]
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
    others = [n for n in (*names[after:], *names[:after]) if n not in test]
    if len(others) <= protocol.validation:
        raise SerlabError(
            f"fold {name}: {len(others)} speakers remain beside the test part, and validation "
            f"takes {protocol.validation}; none is left to train on"
        )
    validation = others[: protocol.validation]
    parts = {
        "train": tuple(u.id for u in utterances if unit(u) in others[protocol.validation :]),
        "validation": tuple(u.id for u in utterances if unit(u) in validation),
        "test": tuple(u.id for u in utterances if unit(u) in test),
    }
    return Fold(name=name, **parts)


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
    if any(s[Part.TEST] & (s[Part.TRAIN] | s[Part.VALIDATION]) for s in speakers):
        found.append("leaking: test speakers are also trained or validated on")
    if protocol.normalisation == "speaker":
        found.append("transductive: features are normalised with each test speaker's own audio")
    if protocol.normalisation == "corpus":
        found.append("transductive: features are normalised with all audio of the tested corpus")
    return tuple(found)
