"""The accuracy gate as functions: a run where one is needed, its judgement, one result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from serlab import __version__
from serlab.bench.errors import BadValue, NotComparable

if TYPE_CHECKING:
    from serlab.reports.gate.baseline import Baseline
    from serlab.reports.gate.judge import Extend
    from serlab.reports.gate.records import Check, Policy, Result
    from serlab.reports.gate.tested import Candidate

Found = tuple[tuple["Check", ...], tuple[str, ...]]
"""Checks and notes."""
SOURCES = ("run", "study", "predictions", "checkpoint")


def _silent(text: str) -> None:
    """Tells nobody."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A candidate, which is one of the first four, and how it is judged."""

    run: Path | None = None
    """A finished run."""
    study: str = ""
    """A study, of which the arm alone is trained with the baseline's seeds."""
    predictions: Path | None = None
    """A table of predictions, Parquet or CSV."""
    checkpoint: Path | None = None
    """A kept model, compared utterance by utterance with what was recorded."""
    arm: str = ""
    """Of the run or study; the baseline's if empty."""
    inconclusive: Policy = "fail"
    """Whether an inconclusive check fails."""
    tolerance: float = 0.0
    """The largest difference of a checkpoint's scores that is none."""
    changes: Sequence[str] = ()
    """``key=value`` changes of the study."""
    roots: Mapping[str, Path] = field(default_factory=dict)
    """Folders of the corpora, by name."""
    device: str = "cpu"
    """Where a study trains and a checkpoint predicts."""
    address: str = ""
    """An existing Ray cluster; empty starts one on this machine."""
    plugins: Sequence[str] = ()
    """Modules that workers import."""
    out: Path | None = None
    """Where a study's run is kept; a new folder under ``runs/gate`` if None."""
    command: str = ""
    """What was typed, kept in the run."""
    say: Callable[[str], None] = _silent
    """Takes a line for people."""

    @property
    def source(self) -> tuple[str, str]:
        """Which of the four is given, and its name.

        Raises:
            BadValue: none is, or several are.
        """
        given = {name: str(getattr(self, name)) for name in SOURCES if getattr(self, name)}
        if len(given) != 1:
            raise BadValue("candidate", list(given), f"one of {', '.join(SOURCES)}")
        return next(iter(given.items()))


def check(baseline: Path, asked: Asked) -> Result:
    """Holds one candidate against a baseline.

    Raises:
        SerlabError: it cannot be judged. What cannot be compared is a result that says so.
    """
    from serlab.reports.gate.baseline import read_baseline
    from serlab.reports.gate.judge import not_comparable

    started = time.monotonic()
    kind, name = asked.source
    result = _blank("check", baseline, name, asked.inconclusive)
    ways = {"run": _run, "study": _study, "predictions": _table, "checkpoint": _model}
    try:
        held = read_baseline(baseline)
        result = _of(result, held, asked.arm)
        checks, notes = ways[kind](held, result.arm, asked)
    except NotComparable as error:
        checks, notes = (not_comparable(str(error)),), ()
    return replace(result, checks=checks, notes=notes, seconds=time.monotonic() - started)


def selfcheck(baseline: Path) -> Result:
    """The baseline against itself, and controls that must fail.

    Raises:
        SerlabError: it is damaged, or of another schema.
    """
    from serlab.reports.gate.baseline import read_baseline
    from serlab.reports.gate.notes import corpora_notes
    from serlab.reports.gate.selfcheck import selfcheck as checks_of

    started, held = time.monotonic(), read_baseline(baseline)
    result = _of(_blank("selfcheck", baseline, str(baseline), "fail"), held, "")
    checks, notes = checks_of(held), tuple(corpora_notes(held))
    return replace(result, checks=checks, notes=notes, seconds=time.monotonic() - started)


def _blank(
    command: Literal["check", "selfcheck"], baseline: Path, name: str, policy: Policy
) -> Result:
    """What is known before anything was read."""
    from serlab.reports.gate.records import Result

    return Result(
        command=command,
        baseline=str(baseline),
        candidate=name,
        study="",
        arm="",
        metric="",
        margin=0.0,
        checks=(),
        inconclusive=policy,
        serlab=__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _of(result: Result, held: Baseline, arm: str) -> Result:
    terms = held.terms
    return replace(
        result, study=terms.study, arm=arm or terms.arm, metric=terms.metric, margin=terms.margin
    )


# --- candidates ------------------------------------------------------------------------------


def _run(held: Baseline, arm: str, asked: Asked) -> Found:
    from serlab.reports.gate.tested import of_run

    return _judged(held, of_run(str(asked.run), arm))


def _table(held: Baseline, arm: str, asked: Asked) -> Found:
    from serlab.reports.gate.files import of_file

    return _judged(held, of_file(Path(str(asked.predictions)), held.tested))


def _study(held: Baseline, arm: str, asked: Asked) -> Found:
    from serlab.reports.gate.judge import same_terms
    from serlab.reports.gate.tested import of_run
    from serlab.studies.gate import Trainer, candidate_study, new_folder

    study = candidate_study(asked.study, arm, asked.changes)
    trainer = Trainer(
        study=study,
        folder=new_folder(study, asked.out),
        roots=asked.roots,
        device=asked.device,
        address=asked.address,
        command=asked.command,
        plugins=tuple(asked.plugins),
        say=asked.say,
    )
    same_terms(held, asked.study, study.metric, trainer.terms())
    asked.say(f"the candidate is trained in {trainer.folder}")

    def extended(seeds: Sequence[int]) -> Candidate:
        asked.say(f"inconclusive; adding the seeds {', '.join(map(str, seeds))}")
        return of_run(trainer.train((*held.terms.seeds, *seeds)), arm)

    return _judged(held, of_run(trainer.train(held.terms.seeds), arm), extended)


def _model(held: Baseline, arm: str, asked: Asked) -> Found:
    from serlab.reports.gate.checkpoint import checkpoint_check
    from serlab.studies.checkpoints import predict_checkpoint

    now = predict_checkpoint(str(asked.checkpoint), roots=asked.roots, device=asked.device)
    return (checkpoint_check(held, now, asked.tolerance),), ()


def _judged(held: Baseline, candidate: Candidate, extend: Extend | None = None) -> Found:
    from serlab.reports.gate.judge import judge
    from serlab.reports.gate.notes import notes_of

    return judge(held, candidate, extend), notes_of(held, candidate)
