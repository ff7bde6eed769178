"""What a check of the gate came to, in frozen records: the source of all its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

Number = float | int | str | bool | None
Policy = Literal["fail", "warn"]
Kind = Literal["accuracy", "slice", "robustness", "fairness", "checkpoint", "control"]


class Outcome(StrEnum):
    """How a check ended."""

    PASS = "pass"
    WARN = "warn"
    """A slice that has lost; it does not fail the gate."""
    NOT_JUDGED = "not judged"
    """A slice that tells nothing, such as one of a single speaker; it does not fail the gate."""
    UNCLEAR = "unclear"
    """A slice whose loss is neither shown nor ruled out; it does not fail the gate."""
    INCONCLUSIVE = "inconclusive"
    NOT_COMPARABLE = "not comparable"
    FAIL = "fail"


QUIET = (Outcome.PASS, Outcome.NOT_JUDGED, Outcome.UNCLEAR)
"""What is counted rather than told."""

EXIT_CODES: Mapping[Outcome, int] = {
    Outcome.FAIL: 1,
    Outcome.NOT_COMPARABLE: 4,
    Outcome.INCONCLUSIVE: 3,
}
"""Worst first: where several hold, the first of them is the exit code. Usage errors, which end
a check before it has a result, are 2; where none of these holds it is 0."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was held against the baseline."""

    name: str
    """Such as "accuracy", "slice emotion=anger", "robustness noise_20db", "fairness sex"."""
    kind: Kind
    outcome: Outcome
    sentence: str
    """What was found, for people, in one line; does not repeat the name."""
    numbers: Mapping[str, Number] = field(default_factory=dict)
    """What the sentence rests on, unrounded; none is nan or infinite.

    Where there is an interval, it is ``difference``, ``low`` and ``high`` in the
    result's metric, more being better, with ``margin``, ``power``, ``n_seeds``, ``n_speakers``.
    """


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that a run of the gate found."""

    command: Literal["check", "selfcheck"]
    baseline: str
    """The baseline's folder."""
    candidate: str
    """What was held against it."""
    study: str
    arm: str
    metric: str
    margin: float
    checks: tuple[Check, ...]
    """The gating ones first."""
    notes: tuple[str, ...] = ()
    """What a reader must know: unlike environments, synthetic speech, leaks of the split."""
    inconclusive: Policy = "fail"
    """What an inconclusive check does to the exit code."""
    serlab: str = ""
    created: str = ""
    """When it was judged, ISO 8601 in UTC."""
    seconds: float = 0.0
    """What it took, training included."""

    @property
    def outcome(self) -> Outcome:
        """The worst of the checks; slices that have lost make it a warning at most.

        Where nothing was judged, nothing was compared: that is no pass.
        """
        found = {check.outcome for check in self.checks}
        if found <= {Outcome.NOT_JUDGED, Outcome.UNCLEAR}:
            return Outcome.NOT_COMPARABLE
        order = (*EXIT_CODES, Outcome.WARN)
        return next((worst for worst in order if worst in found), Outcome.PASS)

    @property
    def exit_code(self) -> int:
        """0 all passed, 1 regression, 3 inconclusive, 4 not comparable."""
        if self.outcome is Outcome.INCONCLUSIVE and self.inconclusive == "warn":
            return 0
        return EXIT_CODES.get(self.outcome, 0)

    @property
    def sentence(self) -> str:
        """The verdict, in one line."""
        worst = [check for check in self.checks if check.outcome is self.outcome] or self.checks
        if not worst:
            return "nothing was checked"
        name = "" if worst[0].name == "accuracy" else f"{worst[0].name}: "
        return f"{self.outcome.value.upper()}: {name}{worst[0].sentence}"
