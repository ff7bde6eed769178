"""From a study to everything that will run: what can run here, and trials keyed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from serlab.bench.conditions import condition
from serlab.bench.contracts import (
    FeatureSpec,
    Fold,
    System,
    TrialSpec,
    Utterance,
    Variant,
    digest,
)
from serlab.bench.errors import BadValue, Leak, MissingExtra, SerlabError, UnknownName
from serlab.bench.features.base import feature
from serlab.bench.groups import DEFAULT, known_groups
from serlab.bench.metrics.base import metric
from serlab.bench.perturb import is_of_audio
from serlab.bench.shapes import example_sizes
from serlab.models.variant import SYSTEMS, make
from serlab.studies.grounds import Ground, read_grounds
from serlab.studies.specification import Arm, Study


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
            conditions=tuple(sorted(condition(name).mark for name in self.conditions(system))),
        )

    def conditions(self, system: System) -> tuple[str, ...]:
        """The audio conditions that a system is tested under: none where it hears nothing."""
        return self.study.conditions if hears(system) else ()

    @property
    def name(self) -> str:
        """Names the study in the Optuna storage; another space or design is another study."""
        asked: dict[str, object] = {
            "arms": self.study.arms,
            "space": self.study.search.space if self.study.search else None,
            "seeds": self.study.seeds,
            "splits": [ground.split.hash for ground in self.grounds],
        }
        if self.study.conditions:  # a search starts anew: its trials' records lack them
            asked["conditions"] = self.study.conditions
        return f"{self.study.name}-{digest(asked)[:8]}"

    def groups(self, ground: Ground) -> tuple[str, ...]:
        """The groups whose results are told apart, of those that the corpus has."""
        known = known_groups(ground.tested())
        return tuple(name for name in self.study.groups or DEFAULT if name in known)

    def features(self, ground: Ground) -> list[tuple[FeatureSpec, list[Utterance]]]:
        """Every feature that some arm wants, spelled out, once, with whose it is wanted.

        What is tested is wanted under the study's audio conditions as well.
        """
        found: dict[str, tuple[FeatureSpec, dict[str, Utterance]]] = {}
        for arm in self.study.arms:
            if arm.name not in self.skipped:
                system = make(arm.variant)
                wanted = [(spec, whose) for _, spec, whose in ground.wanted(system)]
                for spec, utterances in (
                    *wanted,
                    *ground.conditioned(system, self.study.conditions),
                ):
                    full = feature(spec).spec
                    _, held = found.setdefault(digest(full), (full, {}))
                    held.update({u.id: u for u in utterances})
        return [(spec, list(held.values())) for spec, held in found.values()]


def hears(system: System) -> bool:
    """Whether one of its inputs is made from sound."""
    return any(is_of_audio(spec) for spec in system.inputs().values())


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
    _check_conditions(study, say)
    grounds = read_grounds(study, roots, say, audit=audit)
    skipped = _unavailable(study, grounds)
    if "base" in skipped:
        raise SerlabError(f"the base cannot run here: {skipped['base']}")
    plan = Plan(study=study, grounds=grounds, skipped=skipped)
    _check_groups(plan)
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


def _check_conditions(study: Study, say: Callable[[str], None]) -> None:
    """Tells which arms hear nothing, and refuses what moves the sound under timed inputs.

    Raises:
        SerlabError: no arm hears, or a cropping condition meets frames that stay where they are.
    """
    if not study.conditions:
        return
    deaf = [arm.name for arm in study.arms if not hears(make(arm.variant))]
    if len(deaf) == len(study.arms):
        raise SerlabError("robustness.conditions: no arm has an input that is made from sound")
    cropping = [name for name in study.conditions if not condition(name).keeps_length]
    if cropping:
        _check_cropping(study, ", ".join(cropping))
    if deaf:
        say(f"under no audio condition, as they hear nothing: {', '.join(deaf)}")


def _check_cropping(study: Study, cropping: str) -> None:
    """Raises SerlabError where frames follow the recording's own times."""
    if study.protocol.target == "traces":
        raise SerlabError(
            f'robustness.conditions: {cropping} does not go with protocol.target = "traces": the '
            "traces follow the recording's own times"
        )
    for arm in study.arms:
        system = make(arm.variant)
        for name, spec in system.inputs().items():
            if hears(system) and not is_of_audio(spec) and feature(spec).rate_hz:
                raise SerlabError(
                    f"robustness.conditions: {cropping} does not go with the arm {arm.name}: the "
                    f"frames of its input {name} follow the recording's own times"
                )


def _check_groups(plan: Plan) -> None:
    """Raises UnknownName where no corpus has a group that is asked for."""
    known = {name for ground in plan.grounds for name in known_groups(ground.tested())}
    for name in plan.study.groups:
        if name not in known:
            raise UnknownName("group of the tested utterances", name, known, where="groups")


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
