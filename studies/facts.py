"""What is written beside the results: the plan as plain values, for reports to read."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from serlab.bench.conditions import condition
from serlab.bench.contracts import plain
from serlab.bench.groups import ABOUT
from serlab.models.variant import make
from serlab.studies.grounds import Ground, supplied_sizes
from serlab.studies.plan import Job, Plan, hears
from serlab.studies.specification import Arm

SCHEMA = 1


def resolved(plan: Plan, *, command: str, created: str) -> dict[str, Any]:  # JSON values
    """What is written beside the results: everything that the study came to."""
    study = plan.study
    groups = dict.fromkeys(name for ground in plan.grounds for name in plan.groups(ground))
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
        "corpora": [_corpus_facts(plan, ground) for ground in plan.grounds],
        "conditions": [plain(condition(name)) for name in study.conditions],
        "groups": [{"name": n, "about": ABOUT.get(n, "as the corpus tells it")} for n in groups],
        "seeds": list(study.seeds),
        "trials": [trial_facts(job) for job in plan.jobs()],
        "study": plain(study),
    }


def arm_facts(arm: Arm) -> dict[str, Any]:  # JSON values
    """An arm as the report reads it."""
    system = make(arm.variant)
    facts: dict[str, Any] = {
        "name": arm.name,
        "kind": arm.kind,
        "is_base": arm.kind == "base",
        "hears": hears(system),
    }
    if "test-speakers" in system.unlabelled():
        facts["transductive"] = "it trains on the test speakers' utterances, without their labels"
    return {**facts, "variant": plain(arm.variant)}


def trial_facts(job: Job) -> dict[str, Any]:  # JSON values
    """A planned trial as the report reads it."""
    return {
        "key": job.trial.key,
        "arm": job.arm,
        "corpus": job.ground.corpus.name,
        "seed": job.trial.seed,
    }


def _corpus_facts(plan: Plan, ground: Ground) -> dict[str, Any]:  # JSON values
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
        "n_test_speakers": len({u.speaker for u in corpus.utterances if u.id in used}),
        "n_speakers": len({u.speaker for u in corpus.utterances}),
        "labels": list(split.labels),
        "data": ground.data,
        "split": split.hash,
        "protocol": plain(split.protocol),
        "leaks": list(split.leaks),
        "notes": list(ground.notes),
        "supplied": supplied_sizes(corpus),
        "trace_rate_hz": next((u.traces.rate_hz for u in corpus.utterances if u.traces), None),
        "outside": [
            {
                "name": o.corpus.name,
                "licence": o.corpus.licence,
                "source": o.corpus.source,
                "n_utterances": len(o.corpus.utterances),
                "n_speakers": len({u.speaker for u in o.corpus.utterances}),
                "data": o.data,
            }
            for o in ground.outside
        ],
        "groups": list(plan.groups(ground)),
        "audit": plain(ground.audit),
        "folds": [fold.name for fold in split.folds],
    }
