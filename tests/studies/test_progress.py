"""What a person reads while a study runs."""

from __future__ import annotations

import io

from serlab.studies.progress import Progress, telling


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_counts_best_and_time_left_on_a_terminal() -> None:
    """One line is written over; it ends with a new line when all is done."""
    out = Terminal()
    progress = Progress(3, 1, out)
    progress.fold("base", "completed", "")
    progress.variant("base", 0.5)
    progress.variant("other", float("nan"))
    assert "2/3 folds" in progress.text()
    assert "best validation 0.500 (base)" in progress.text()
    progress.fold("base", "completed", "")
    assert out.getvalue().count("\r") == 2
    assert out.getvalue().endswith("\n")


def test_problems_are_told_at_once() -> None:
    """A diverged fold has a line with its reason, and is counted."""
    out = io.StringIO()
    progress = Progress(2, 0, out)
    progress.fold("pooling=max", "diverged", "loss is nan")
    assert "pooling=max: diverged: loss is nan" in out.getvalue()
    assert "1 failed or diverged" in progress.text()
    progress.fold("base", "completed", "no look inside it was kept: no room")
    assert "base: no look inside it was kept: no room" in out.getvalue()
    assert "1 failed or diverged" in progress.text()


def test_time_left_is_estimated() -> None:
    """From the folds of this run alone, not those that were there."""
    progress = Progress(10, 5, io.StringIO())
    progress.started -= 100
    progress.fold("base", "completed", "")
    assert "left" in progress.text()
    assert "6 min" in progress.text() or "7 min" in progress.text()


def test_telling_reckons_from_the_last_half_minute() -> None:
    """What was done already does not flatter the time left; nothing is said too often."""
    clock_s, lines = [0.0], list[str]()
    tell = telling("features", lines.append, lambda: clock_s[0])
    for second in range(1, 61):  # 900 found at once, then one a second
        clock_s[0] = float(second)
        tell(900 + second, 1000)
    assert len(lines) == 6
    assert lines[0] == "features: 910/1000 utterances, about 1 s left"
    assert lines[-1] == "features: 960/1000 utterances, about 40 s left"


def test_telling_says_nothing_of_what_does_not_move() -> None:
    """Where nothing was done, no time left is made up."""
    clock_s, lines = [0.0], list[str]()
    tell = telling("features", lines.append, lambda: clock_s[0])
    for second in (11.0, 22.0):
        clock_s[0] = second
        tell(0, 5)
    assert lines == ["features: 0/5 utterances"] * 2


def test_telling_names_what_is_counted() -> None:
    """Utterances, unless something else is."""
    clock_s, lines = [0.0], list[str]()
    tell = telling("reading the run", lines.append, lambda: clock_s[0], unit="arms")
    clock_s[0] = 11.0
    tell(3, 9)
    assert lines == ["reading the run: 3/9 arms, about 22 s left"]
