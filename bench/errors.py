"""Every error that a user's input can cause; the command line prints them in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

_LONGEST = 1500
"""Characters of a message; what a damaged file holds may be of any length."""


class SerlabError(Exception):
    r"""A mistake that the user can mend; its text says where it is and what was expected.

    It is one line: control characters, as names of files may have them, are written out.

    Example:
        >>> print(SerlabError("a" + chr(10) + "b.wav: is empty"))
        a\nb.wav: is empty
    """

    def __init__(self, text: str) -> None:
        if not text.isprintable():
            text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
        if len(text) > _LONGEST:
            text = f"{text[: _LONGEST - 300]} ... {text[-295:]}"
        super().__init__(text)


class UnknownName(SerlabError):
    """A name that nothing has, with the nearest one that something has.

    Example:
        >>> print(UnknownName("pooling", "atention", ["attention", "max"]))
        "atention" is no pooling; did you mean "attention"? Known: attention, max
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], *, where: str = "") -> None:
        self.kind, self.name, self.known = kind, str(name), tuple(sorted(known))
        near = difflib.get_close_matches(self.name.lower(), self.known, n=1, cutoff=0.5)
        hint = f' did you mean "{near[0]}"?' if near else ""
        shown = ", ".join(self.known[:30]) + (", ..." if len(self.known) > 30 else "")
        prefix = f"{where}: " if where else ""
        super().__init__(f'{prefix}"{self.name}" is no {kind};{hint} Known: {shown or "none"}')


class DuplicateName(SerlabError):
    """Two things of one kind under one name."""

    def __init__(self, kind: str, name: str, first: str, second: str) -> None:
        super().__init__(f'{kind} "{name}" is registered twice: in {first} and in {second}')


class BadValue(SerlabError):
    """A value that its key cannot take.

    Example:
        >>> print(BadValue("base.settings.epochs", "many", "an integer of at least 1"))
        base.settings.epochs = 'many': expected an integer of at least 1
    """

    def __init__(self, key: str, value: object, expected: str) -> None:
        text = repr(value)
        text = text if len(text) <= 200 else text[:197] + "..."
        super().__init__(f"{key} = {text}: expected {expected}")


class BadFile(SerlabError):
    """A file that cannot be read as what it should be."""

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path, self.problem = str(path), problem
        super().__init__(f"{path}: {problem}")


class Leak(SerlabError):
    """Test data would reach training or selection."""


class NotComparable(SerlabError):
    """Results of unlike protocols were about to be compared."""


class MissingExtra(SerlabError):
    """An optional library that is asked for and not installed.

    Example:
        >>> print(MissingExtra("egemaps", "opensmile"))
        egemaps needs opensmile, which is not installed: pip install "serlab[opensmile]"
    """

    def __init__(self, what: str, library: str, extra: str = "") -> None:
        wanted = f'pip install "serlab[{extra or library}]"'
        super().__init__(f"{what} needs {library}, which is not installed: {wanted}")
