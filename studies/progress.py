"""What a person sees while a study runs: counts, the best so far, and the time left."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

_EVERY_S = 10.0
"""How often a long piece of work tells how far it is."""


class Progress:
    """One line that is written over on a terminal, and a line now and then elsewhere.

    Args:
        total: folds that are planned.
        done: folds that an earlier run left finished.
    """

    def __init__(self, total: int, done: int, out: TextIO | None = None) -> None:
        self._out = out
        self.total, self.done, self.before = total, done, done
        self.problems = 0
        self.best: tuple[float, str] | None = None
        self.started = time.monotonic()
        self.shown = 0.0

    @property
    def out(self) -> TextIO:
        """Looked up when needed: Ray pickles this, and what stands there in a test cannot be."""
        return self._out or sys.stderr

    def fold(self, arm: str, status: str, reason: str) -> None:
        """Counts one fold, and says at once what went wrong with it or beside it."""
        self.done += 1
        if status != "completed":
            self.problems += 1
            self.line(f"{arm}: {status}: {reason}")
        elif reason:
            self.line(f"{arm}: {reason}")
        self.show()

    def variant(self, arm: str, score: float) -> None:
        """Remembers the best validation score of a whole trial."""
        if score == score and (self.best is None or score > self.best[0]):
            self.best = (score, arm)

    def line(self, text: str) -> None:
        """A line of its own."""
        self.out.write(("\r\x1b[K" if self.out.isatty() else "") + text + "\n")
        self.out.flush()

    def show(self) -> None:
        """The line of counts; off a terminal at most every ten seconds, and at the end."""
        now, last = time.monotonic(), self.done >= self.total
        if self.out.isatty():
            self.out.write("\r\x1b[K" + self.text() + ("\n" if last else ""))
            self.out.flush()
        elif last or now - self.shown > 10:
            self.shown = now
            self.line(self.text())

    def text(self) -> str:
        """Counts, problems, the best so far, the time taken and left."""
        spent = time.monotonic() - self.started
        ran = self.done - self.before
        left = spent / ran * (self.total - self.done) if ran else 0.0
        parts = [f"{self.done}/{self.total} folds"]
        if self.problems:
            parts.append(f"{self.problems} failed or diverged")
        if self.best:
            parts.append(f"best validation {self.best[0]:.3f} ({self.best[1]})")
        parts.append(f"{clock(spent)} taken")
        if ran and left:
            parts.append(f"about {clock(left)} left")
        return ", ".join(parts)


def telling(
    what: str,
    say: Callable[[str], None],
    now: Callable[[], float] = time.monotonic,
    *,
    unit: str = "utterances",
) -> Callable[[int, int], None]:
    """What is to be told how many of how many are done; it says so every ten seconds.

    The time left is reckoned from the last half minute: work that was found done already went
    quicker than what is to come.

    Args:
        what: names the work.
        say: takes a line of text for people.
        now: seconds of a clock.
        unit: what is counted.
    """
    marks = deque([(now(), 0)], maxlen=4)

    def tell(done: int, total: int) -> None:
        time_s = now()
        if time_s - marks[-1][0] < _EVERY_S:
            return
        since_s, before = marks[0]
        marks.append((time_s, done))
        left = ""
        if done > before:
            left = f", about {clock((time_s - since_s) / (done - before) * (total - done))} left"
        say(f"{what}: {done}/{total} {unit}{left}")

    return tell


def clock(seconds: float) -> str:
    """A duration for people.

    Example:
        >>> clock(59), clock(61), clock(3700)
        ('59 s', '1 min 01 s', '1 h 01 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
