"""From a study to everything that will run: corpora read, folds cut, trials keyed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from serlab.bench.audit import Finding, audio_hashes, audit_split
from serlab.bench.cache import Cache
from serlab.bench.contracts import (
    Corpus,
    FeatureSpec,
    Fold,
    Part,
    Split,
    TrialSpec,
    Utterance,
    Variant,
    digest,
    plain,
)
from serlab.bench.corpora.base import corpus_digest, load_corpus
from serlab.bench.errors import Leak, MissingExtra, SerlabError
from serlab.bench.features.base import feature
from serlab.bench.metrics.base import metric
from serlab.bench.protocols import make_split
from serlab.models.variant import make
from serlab.studies.specification import Arm, CorpusSpec, Study

SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A corpus of the study, cut into folds and audited."""

    spec: CorpusSpec
    corpus: Corpus
    data: str
    split: Split
    audit: tuple[Finding, ...]

    def utterances(self) -> list[Utterance]:
        """The utterances that some fold uses."""
        used = {i for fold in self.split.folds for part in Part for i in fold.part(part)}
        return [u for u in self.corpus.utterances if u.id in used]


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
        return TrialSpec(
            variant=variant,
            corpus=ground.corpus.name,
            data=ground.data,
            protocol=ground.split.protocol,
            split=ground.split.hash,
            seed=seed,
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

    def features(self, ground: Ground) -> list[FeatureSpec]:
        """Every feature that some arm wants, spelled out, each once."""
        found = {}
        for arm in self.study.arms:
            if arm.name not in self.skipped:
                for spec in make(arm.variant).inputs().values():
                    full = feature(spec).spec
                    found[digest(full)] = full
        return list(found.values())


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
    if metric(study.metric, where="metric").task != "categorical":
        raise SerlabError(f"metric {study.metric} judges continuous labels; the study has classes")
    skipped = _unavailable(study)
    if "base" in skipped:
        raise SerlabError(f"the base cannot run here: {skipped['base']}")
    grounds = tuple(_ground(spec, study, roots, say, audit) for spec in study.corpora)
    return Plan(study=study, grounds=grounds, skipped=skipped)


def _unavailable(study: Study) -> dict[str, str]:
    """Arms whose features need a library that is not installed."""
    found = {}
    for arm in study.arms:
        try:
            for spec in make(arm.variant).inputs().values():
                feature(spec)
        except MissingExtra as error:
            found[arm.name] = str(error)
    return found


def _ground(
    spec: CorpusSpec,
    study: Study,
    roots: Mapping[str, Path],
    say: Callable[[str], None],
    audit: bool,
) -> Ground:
    corpus = load_corpus(spec.name, roots=roots, options=spec.options)
    split = make_split(corpus, study.protocol)
    say(
        f"{corpus.name}: {len(corpus.utterances)} utterances, "
        f"{len({u.speaker for u in corpus.utterances})} speakers, {len(split.folds)} folds"
    )
    data = corpus_digest(corpus)
    ground = Ground(spec=spec, corpus=corpus, data=data, split=split, audit=())
    if not audit:
        return ground
    hashes = audio_hashes(ground.utterances(), Cache())
    return replace(ground, audit=audit_split(corpus, split, hashes))


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
                if finding.kind != "audio" and not ground.split.leaks:
                    raise Leak(f"{ground.corpus.name}: {finding.text}")
                say(f"{ground.corpus.name}: LEAK: {finding.text}")


def resolved(plan: Plan, *, command: str, created: str) -> dict[str, Any]:  # JSON values
    """What is written beside the results: everything that the study came to."""
    study = plan.study
    return {
        "schema": SCHEMA,
        "serlab": version("serlab"),
        "name": study.name,
        "question": study.question,
        "design": study.design,
        "synthetic": any(g.corpus.synthetic for g in plan.grounds),
        "metric": study.metric,
        "margin": study.margin,
        "level": study.level,
        "base": "base",
        "command": command,
        "created": created,
        "optuna": plan.name,
        "arms": [arm_facts(arm) for arm in study.arms],
        "skipped": [{"arm": a, "reason": r} for a, r in plan.skipped.items()],
        "corpora": [_corpus_facts(ground) for ground in plan.grounds],
        "seeds": list(study.seeds),
        "trials": [trial_facts(job) for job in plan.jobs()],
        "study": plain(study),
    }


def arm_facts(arm: Arm) -> dict[str, Any]:  # JSON values
    """An arm as the report reads it."""
    facts = {"name": arm.name, "kind": arm.kind, "is_base": arm.kind == "base"}
    return {**facts, "variant": plain(arm.variant)}


def trial_facts(job: Job) -> dict[str, Any]:  # JSON values
    """A planned trial as the report reads it."""
    return {
        "key": job.trial.key,
        "arm": job.arm,
        "corpus": job.ground.corpus.name,
        "seed": job.trial.seed,
    }


def _corpus_facts(ground: Ground) -> dict[str, Any]:  # JSON values
    corpus, split = ground.corpus, ground.split
    used = {i for fold in split.folds for i in fold.test}
    return {
        "name": corpus.name,
        "licence": corpus.licence,
        "source": corpus.source,
        "version": corpus.version,
        "synthetic": corpus.synthetic,
        "n_utterances": len(corpus.utterances),
        "n_tested": len(used),
        "n_speakers": len({u.speaker for u in corpus.utterances}),
        "labels": list(split.labels),
        "data": ground.data,
        "split": split.hash,
        "protocol": plain(split.protocol),
        "leaks": list(split.leaks),
        "audit": plain(ground.audit),
        "folds": [fold.name for fold in split.folds],
    }
