"""The corpora of a study: read, brought to one set of labels, cut into folds and audited."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serlab.bench.audit import Finding, audio_hashes, audit_outside, audit_split, readable
from serlab.bench.cache import Cache
from serlab.bench.conditions import condition, under
from serlab.bench.contracts import (
    Corpus,
    FeatureSpec,
    Part,
    Perturbation,
    Split,
    System,
    Utterance,
)
from serlab.bench.corpora.base import corpus_digest, load_corpus
from serlab.bench.corpora.relabel import beside, pooled, relabelled
from serlab.bench.errors import BadValue, SerlabError
from serlab.bench.perturb import copies_of, is_of_audio
from serlab.bench.protocols import SPLITS, make_split
from serlab.models.variant import make
from serlab.studies.specification import CorpusSpec, Study


@dataclass(frozen=True, kw_only=True)
class Outside:
    """A corpus that is trained on beside the tested one, and the hash of what it holds."""

    corpus: Corpus
    data: str


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A corpus of the study, cut into folds and audited."""

    corpus: Corpus
    data: str
    split: Split
    audit: tuple[Finding, ...]
    outside: tuple[Outside, ...] = ()
    notes: tuple[str, ...] = ()
    """What else a reader must be told of the corpus in this study."""

    @property
    def used(self) -> set[str]:
        """Ids of the utterances that some fold uses."""
        return {i for fold in self.split.folds for part in Part for i in fold.part(part)}

    def utterances(self) -> list[Utterance]:
        """The utterances that some fold uses."""
        used = self.used
        return [u for u in self.corpus.utterances if u.id in used]

    def wanted(self, system: System) -> list[tuple[str, FeatureSpec, list[Utterance]]]:
        """Every input of a system with the utterances that it is wanted of.

        Utterances out of all classes are wanted where the system takes them unlabelled, of the
        speakers whom some fold uses. What is perturbed is wanted of copies too, where it is made
        from sound: of utterances that some fold trains on, and of no others.
        """
        mine = self.utterances()
        if "out-of-class" in system.unlabelled():
            speakers, used = {u.speaker for u in mine}, self.used
            mine += [
                u for u in self.corpus.utterances if u.speaker in speakers and u.id not in used
            ]
        found = [(name, spec, mine) for name, spec in system.inputs().items()]
        for stream in system.streams().values():
            others = [o for o in self.outside if stream.takes(o.corpus.name)]
            outside = [u for o in others for u in o.corpus.utterances]
            whose = outside if stream.source == "outside" else mine
            found += [(name, spec, whose) for name, spec in stream.inputs.items()]
        how = system.perturbation()
        return [
            (name, spec, [*whose, *self._copies(whose, how)] if is_of_audio(spec) else whose)
            for name, spec, whose in found
        ]

    def tested(self) -> list[Utterance]:
        """The utterances that some fold tests."""
        tested = {i for fold in self.split.folds for i in fold.test}
        return [u for u in self.corpus.utterances if u.id in tested]

    def conditioned(
        self, system: System, conditions: Sequence[str]
    ) -> list[tuple[FeatureSpec, list[Utterance]]]:
        """Every input that is made from sound, with what a test part holds under each condition.

        That is what some fold tests and, where the system takes utterances out of all classes as
        context, those of the tested speakers.
        """
        mine = self.tested()
        if "out-of-class" in system.unlabelled():
            speakers, used = {u.speaker for u in mine}, self.used
            others = (u for u in self.corpus.utterances if u.id not in used)
            mine += [u for u in others if u.speaker in speakers]
        heard = [u for name in conditions for u in under(mine, condition(name))]
        return [(spec, heard) for spec in system.inputs().values() if is_of_audio(spec)]

    def _copies(self, utterances: Sequence[Utterance], how: Perturbation) -> list[Utterance]:
        """The copies of those utterances that some fold trains on; those without audio have none.

        What lacks audio is told by the feature.
        """
        trained = {i for fold in self.split.folds for i in fold.train} if how.copies else set()
        heard = (u for u in utterances if u.id in trained and u.audio is not None)
        return [copy for u in heard for copy in copies_of(u, how)]


def supplied_sizes(corpus: Corpus) -> dict[str, int]:
    """How many values the vectors have that the corpus itself supplies, by name."""
    return {name: len(v) for u in corpus.utterances for name, v in u.supplied.items()}


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A corpus of the study as it was read, and what must be told of it."""

    corpus: Corpus
    tested: bool
    notes: tuple[str, ...] = ()


def read_grounds(
    study: Study, roots: Mapping[str, Path], say: Callable[[str], None], *, audit: bool
) -> tuple[Ground, ...]:
    """Every tested corpus of a study with its folds and its outside corpora.

    Raises:
        SerlabError: a corpus cannot be read, or not be cut as the protocol says.
    """
    outside = _outside(study, roots, say)
    read = [_read(spec, roots) for spec in study.corpora]
    pools = SPLITS.entry(study.protocol.split, where="protocol.split").facts.get("pools", False)
    if not pools and not all(one.tested for one in read):
        raise BadValue("corpora.tested", False, 'true, but for split = "leave-one-corpus-out"')
    found = _unseen(study, read) if pools else [_alone(study, one) for one in read]
    if not found:
        raise BadValue("corpora.tested", False, "true for one corpus at least")
    grounds = []
    for ground in found:
        _tell(say, ground.corpus.name, ground.corpus, f", {len(ground.split.folds)} folds")
        ground = replace(ground, outside=outside)
        grounds.append(_audited(ground) if audit else ground)
    return tuple(grounds)


def _read(spec: CorpusSpec, roots: Mapping[str, Path]) -> _Read:
    corpus = load_corpus(spec.name, roots=roots, options=spec.options)
    notes: tuple[str, ...] = ()
    if spec.broken == "exclude":
        _, problems = readable(corpus.utterances, Cache())
        kept = tuple(u for u in corpus.utterances if u.id not in problems)
        if not kept:
            raise SerlabError(f"{corpus.name}: not one file can be read")
        corpus = replace(corpus, utterances=kept)
        notes = _excluded(problems)
    corpus = relabelled(corpus, spec.relabel, spec.classes)
    return _Read(corpus=corpus, tested=spec.tested, notes=notes)


def read_again(
    specs: Sequence[CorpusSpec], split: str, number: int, roots: Mapping[str, Path]
) -> Corpus:
    """The corpus of one ground of a study, without its folds.

    Args:
        specs: the corpora of the study.
        split: name of its split; where that pools corpora, the pool is given.
        number: the ground's place among those of the study.
        roots: folders by corpus.

    Raises:
        SerlabError: a corpus cannot be read.
    """
    if SPLITS.entry(split, where="protocol.split").facts.get("pools", False):
        read = _by_name([_read(spec, roots) for spec in specs])
        return pooled({name: one.corpus for name, one in read.items()})
    return _read(specs[number], roots).corpus


def _excluded(problems: Mapping[str, str]) -> tuple[str, ...]:
    """What is told of the utterances that are left out."""
    if not problems:
        return ()
    shown = "; ".join(list(problems.values())[:3]) + ("; ..." if len(problems) > 3 else "")
    return (f"left out as broken: {len(problems)} utterances ({shown})",)


def _outside(
    study: Study, roots: Mapping[str, Path], say: Callable[[str], None]
) -> tuple[Outside, ...]:
    found = []
    taken = {spec.name for spec in study.corpora}
    for index, spec in enumerate(study.outside):
        read = _read(spec, roots)
        name = f"{spec.name}-outside-{index + 1}" if spec.name in taken else spec.name
        taken.add(spec.name)
        _tell(say, f"{name} (outside)", read.corpus)
        for note in read.notes:
            say(f"{name}: {note}")
        found.append(Outside(corpus=beside(read.corpus, name), data=corpus_digest(read.corpus)))
    return tuple(found)


def _tell(say: Callable[[str], None], name: str, corpus: Corpus, more: str = "") -> None:
    n_speakers = len({u.speaker for u in corpus.utterances})
    say(f"{name}: {len(corpus.utterances)} utterances, {n_speakers} speakers{more}")


def _alone(study: Study, read: _Read) -> Ground:
    """A corpus cut into folds by itself."""
    split = make_split(read.corpus, study.protocol)
    return Ground(
        corpus=read.corpus,
        data=corpus_digest(read.corpus),
        split=split,
        audit=(),
        notes=(*read.notes, *_notes(study, read.corpus), *_in_no_fold(read.corpus, split)),
    )


def _in_no_fold(corpus: Corpus, split: Split) -> tuple[str, ...]:
    """Labelled utterances that files of folds leave out."""
    if split.protocol.split != "file" or split.protocol.max_folds:
        return ()
    used = {i for fold in split.folds for part in Part for i in fold.part(part)}
    left = [u.id for u in corpus.utterances if u.emotion in split.labels and u.id not in used]
    if not left:
        return ()
    shown = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
    return (f"in no fold of the files: {len(left)} utterances ({shown})",)


def _unseen(study: Study, read: Sequence[_Read]) -> list[Ground]:
    """Each tested corpus with the one fold that trains on all the others."""
    named = _by_name(read)
    pool = pooled({name: one.corpus for name, one in named.items()})
    split, data = make_split(pool, study.protocol), corpus_digest(pool)
    notes = [f"{name}: {note}" for name, one in named.items() for note in one.notes]
    notes += _left_out(pool, named)
    found = []
    for fold in split.folds:
        if named[fold.name].tested:
            corpus = replace(pool, name=f"{fold.name} (unseen)")
            mine = replace(split, corpus=corpus.name, folds=(fold,))
            others = ", ".join(name for name in named if name != fold.name)
            told = (f"trained on {others} alone", *notes, *_notes(study, corpus))
            found.append(Ground(corpus=corpus, data=data, split=mine, audit=(), notes=told))
    return found


def _by_name(read: Sequence[_Read]) -> dict[str, _Read]:
    """Corpora by name, numbered where one is there before."""
    named: dict[str, _Read] = {}
    for index, one in enumerate(read):
        name = one.corpus.name
        named[f"{name}-{index + 1}" if name in named else name] = one
    return named


def _left_out(pool: Corpus, named: Mapping[str, _Read]) -> list[str]:
    """The classes that not every corpus has."""
    found = []
    for name, one in named.items():
        missing = [label for label in one.corpus.labels if label not in pool.labels]
        if missing:
            found.append(f"{name}: left out, as not every corpus has them: {', '.join(missing)}")
    return found


def _audited(ground: Ground) -> Ground:
    """The ground with what its folds share."""
    hashes = audio_hashes(ground.utterances(), Cache())
    findings = audit_split(ground.corpus, ground.split, hashes)
    for other in ground.outside:
        theirs = audio_hashes(other.corpus.utterances, Cache())
        findings = (*audit_outside(other.corpus, ground.split, hashes, theirs), *findings)
    return replace(ground, audit=findings)


def _notes(study: Study, corpus: Corpus) -> tuple[str, ...]:
    """What the corpus lacks that some arm makes do without."""
    dialogues = any(make(arm.variant).segments().dialogues for arm in study.arms)
    if dialogues and not any(u.dialogue for u in corpus.utterances):
        return ("it has no dialogues; every utterance is taken as a dialogue of its own",)
    return ()
