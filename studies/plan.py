"""From a study to everything that will run: corpora read, folds cut, trials keyed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serlab.bench.audit import Finding, audio_hashes, audit_outside, audit_split, readable
from serlab.bench.cache import Cache
from serlab.bench.contracts import (
    Corpus,
    FeatureSpec,
    Fold,
    Part,
    Perturbation,
    Split,
    System,
    TrialSpec,
    Utterance,
    Variant,
    digest,
)
from serlab.bench.corpora.base import corpus_digest, load_corpus
from serlab.bench.corpora.relabel import beside, pooled, relabelled
from serlab.bench.errors import BadValue, Leak, MissingExtra, SerlabError, UnknownName
from serlab.bench.features.base import feature
from serlab.bench.metrics.base import metric
from serlab.bench.perturb import copies_of, is_of_audio
from serlab.bench.protocols import SPLITS, make_split
from serlab.models.system import example_sizes
from serlab.models.variant import SYSTEMS, make
from serlab.studies.specification import Arm, CorpusSpec, Study


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

    def _copies(self, utterances: Sequence[Utterance], how: Perturbation) -> list[Utterance]:
        """The copies of those utterances that some fold trains on; those without audio have none.

        What lacks audio is told by the feature.
        """
        trained = {i for fold in self.split.folds for i in fold.train} if how.copies else set()
        heard = (u for u in utterances if u.id in trained and u.audio is not None)
        return [copy for u in heard for copy in copies_of(u, how)]


@dataclass(frozen=True, kw_only=True)
class Job:
    """The folds of one variant on one corpus with one seed: what a worker does in one go."""

    arm: str
    ground: Ground
    trial: TrialSpec

    def cells(self) -> dict[str, Fold]:
        """The folds by the names that the store knows them by."""
        return {f"{self.trial.key}-{fold.name}": fold for fold in self.ground.split.folds}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A study joined with its corpora."""

    study: Study
    grounds: tuple[Ground, ...]
    skipped: Mapping[str, str]
    """Arms that cannot run here, and why."""

    def jobs(self, arms: tuple[Arm, ...] | None = None) -> list[Job]:
        """All jobs of the arms, seed by seed, so that every arm has some results early."""
        chosen = self.study.arms if arms is None else arms
        return [
            Job(arm=arm.name, ground=ground, trial=self.trial(arm.variant, ground, seed))
            for ground in self.grounds
            for seed in self.study.seeds
            for arm in chosen
            if arm.name not in self.skipped
        ]

    def trial(self, variant: Variant, ground: Ground, seed: int) -> TrialSpec:
        """The spec whose key names the results."""
        system = make(variant)
        given = (system.inputs(), *(stream.inputs for stream in system.streams().values()))
        specs = [spec for inputs in given for spec in inputs.values()]
        files = sorted({h for spec in specs for h in feature(spec).files()})
        outside = [o for o in ground.outside if _takes(system, o.corpus.name)]
        return TrialSpec(
            variant=variant,
            corpus=ground.corpus.name,
            data=ground.data,
            protocol=ground.split.protocol,
            split=ground.split.hash,
            seed=seed,
            outside=(*(o.data for o in outside), *files),
            max_epochs=self.study.max_epochs,
        )

    @property
    def name(self) -> str:
        """Names the study in the Optuna storage; another space or design is another study."""
        asked = {
            "arms": self.study.arms,
            "space": self.study.search.space if self.study.search else None,
            "seeds": self.study.seeds,
            "splits": [ground.split.hash for ground in self.grounds],
        }
        return f"{self.study.name}-{digest(asked)[:8]}"

    def features(self, ground: Ground) -> list[tuple[FeatureSpec, list[Utterance]]]:
        """Every feature that some arm wants, spelled out, once, with whose it is wanted."""
        found: dict[str, tuple[FeatureSpec, dict[str, Utterance]]] = {}
        for arm in self.study.arms:
            if arm.name not in self.skipped:
                for _, spec, utterances in ground.wanted(make(arm.variant)):
                    full = feature(spec).spec
                    _, held = found.setdefault(digest(full), (full, {}))
                    held.update({u.id: u for u in utterances})
        return [(spec, list(held.values())) for spec, held in found.values()]


def _takes(system: System, corpus: str) -> bool:
    """Whether a system trains on an outside corpus."""
    return any(stream.takes(corpus) for stream in system.streams().values())


def make_plan(
    study: Study,
    roots: Mapping[str, Path],
    say: Callable[[str], None] = lambda text: None,
    *,
    audit: bool = True,
) -> Plan:
    """Reads the corpora, cuts and audits them, and finds what cannot run here.

    Workers leave the audit out: the process that started them has made it.

    Raises:
        SerlabError: a corpus, a protocol or a metric that does not fit.
    """
    _check_arms(study)
    outside = _outside(study, roots, say)
    grounds = _grounds(study, roots, outside, say, audit)
    skipped = _unavailable(study, grounds)
    if "base" in skipped:
        raise SerlabError(f"the base cannot run here: {skipped['base']}")
    plan = Plan(study=study, grounds=grounds, skipped=skipped)
    plan = replace(plan, grounds=tuple(_remarked(plan, ground) for ground in grounds))
    for ground in plan.grounds:
        for note in ground.notes:
            say(f"{ground.corpus.name}: {note}")
    return plan


def _remarked(plan: Plan, ground: Ground) -> Ground:
    """The ground with what its features remark on its utterances."""
    remarks = (feature(spec).remark(held) for spec, held in plan.features(ground))
    return replace(ground, notes=(*ground.notes, *filter(None, remarks)))


def _check_arms(study: Study) -> None:
    """What can be found wrong without a corpus: labels of the wrong kind, parts that clash."""
    target = study.protocol.target
    task = metric(study.metric, where="metric").task
    if (task == "continuous") != (target == "traces"):
        fitting = "ccc" if target == "traces" else "ua"
        raise BadValue("metric", study.metric, f"one for the target {target}, such as {fitting}")
    for arm in study.arms:
        try:
            system = make(arm.variant)
        except BadValue as error:
            raise SerlabError(f"{arm.name}: {error}") from None
        if target == "traces" and system.perturbation().speed:
            raise SerlabError(
                f"{arm.name}: a perturbation of the speed does not go with protocol.target = "
                '"traces": the traces follow the recording\'s own times'
            )
        known = SYSTEMS.entry(arm.variant.system).facts.get("targets", ("emotion",))
        if target not in known:
            raise SerlabError(
                f"{arm.name}: the system {arm.variant.system} recognises {' or '.join(known)}, "
                f"and protocol.target asks for {target}"
            )


def _unavailable(study: Study, grounds: Sequence[Ground]) -> dict[str, str]:
    """Arms that cannot run: a library is not installed, or a corpus lacks what they read."""
    found = {}
    for arm in study.arms:
        try:
            reason = next(filter(None, (_lacking(arm, ground) for ground in grounds)), "")
            if not reason:
                _try_build(arm, grounds[0])
        except MissingExtra as error:
            reason = str(error)
        except BadValue as error:
            raise SerlabError(f"{arm.name}: {error}") from None
        if reason:
            found[arm.name] = reason
    return found


def _lacking(arm: Arm, ground: Ground) -> str:
    """What an arm wants and a corpus, or the study, does not have; empty if nothing."""
    system = make(arm.variant)
    known = [o.corpus.name for o in ground.outside]
    for stream in system.streams().values():
        if stream.source == "outside" and not known:
            return "it trains on outside corpora, and the study names none ([[outside]])"
        for name in stream.corpora:
            if name not in known:
                raise UnknownName("outside corpus of the study", name, known, where=arm.name)
    for _, spec, utterances in ground.wanted(system):
        if lacking := feature(spec).lacking(utterances):
            return f"{ground.corpus.name}: {lacking}"
    return ""


def _try_build(arm: Arm, ground: Ground) -> None:
    """Builds an arm's network without memory for its weights, so that a clash is found now."""
    import torch

    system = make(arm.variant)
    sizes = example_sizes(
        system,
        len(ground.split.labels),
        n_corpora=1 + len(ground.outside),
        target=ground.split.protocol.target,
    )
    with torch.device("meta"):
        system.build(sizes)


@dataclass(frozen=True, kw_only=True)
class _Read:
    """A corpus of the study as it was read, and what must be told of it."""

    corpus: Corpus
    tested: bool
    notes: tuple[str, ...] = ()


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


def _grounds(
    study: Study,
    roots: Mapping[str, Path],
    outside: tuple[Outside, ...],
    say: Callable[[str], None],
    audit: bool,
) -> tuple[Ground, ...]:
    """Every tested corpus with its folds."""
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
    named: dict[str, _Read] = {}
    for index, one in enumerate(read):
        name = one.corpus.name
        named[f"{name}-{index + 1}" if name in named else name] = one
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


def refuse_leaks(plan: Plan, say: Callable[[str], None]) -> None:
    """Tells every leak, and stops at one that the split makes without declaring it.

    Recordings that a corpus holds twice are the corpus's doing: they are told, stand in the
    report, and stop nothing.

    Raises:
        Leak: a fold's parts share a speaker, a recording or an utterance, undeclared.
    """
    for ground in plan.grounds:
        for finding in ground.audit:
            if finding.severity == "leak":
                own = finding.kind == "audio"  # the corpus itself holds a recording twice
                if not own and (finding.kind == "outside" or not ground.split.leaks):
                    raise Leak(f"{ground.corpus.name}: {finding.text}")
                say(f"{ground.corpus.name}: LEAK: {finding.text}")
