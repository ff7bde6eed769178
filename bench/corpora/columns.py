"""Columns of tables that anybody made: found by the names that people give them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence

from serlab.bench.corpora.relabel import canonical
from serlab.bench.errors import BadValue, SerlabError, UnknownName

KNOWN: Mapping[str, tuple[str, ...]] = {
    "audio": ("audio", "speech", "file", "path", "wav", "filename", "file_name"),
    "id": ("id", "utterance", "utterance_id", "utt_id", "key"),
    "emotion": ("emotion", "label", "labels", "emotion_label", "emo", "class"),
    "speaker": ("speaker", "speaker_id", "spk", "spk_id", "speakerid", "actor", "actor_id"),
    "session": ("session", "session_id"),
    "dialogue": ("dialogue", "dialogue_id", "dialog", "dialog_id"),
    "turn": ("turn", "utterance_index"),
    "text": ("text", "transcription", "transcript"),
    "sentence": ("sentence", "sentence_id", "prompt"),
    "split": ("split", "partition"),
}
"""What each is called, the likeliest first; case does not count."""


def find_column(columns: Iterable[str], what: str, asked: str, *, table: str) -> str | None:
    """The column of that kind: the one asked for, else the first of its usual names.

    Raises:
        UnknownName: there is no column of the name that is asked for.
    """
    columns = list(columns)
    if asked:
        if asked not in columns:
            raise UnknownName("column", asked, columns, where=f"{table}: {what}")
        return asked
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in KNOWN[what] if name in lower), None)


def need_column(columns: Iterable[str], what: str, asked: str, *, table: str) -> str:
    """As `find_column`; raises SerlabError where there is none, and says why one is needed."""
    columns = list(columns)
    found = find_column(columns, what, asked, table=table)
    if found is None:
        why = ', without which no fold can be told to be speaker-independent; speaker = "none" '
        why += "takes all utterances for one speaker's, so that every split is marked as leaking"
        raise SerlabError(
            f"{table}: no column is called {' or '.join(KNOWN[what][:3])}"
            f"{why if what == 'speaker' else ''}. It has: {', '.join(columns)} (the option "
            f'{what}="column" says which it is)'
        )
    return found


def matching(columns: Sequence[str], patterns: str, *, key: str) -> list[str]:
    """The columns that one of the patterns, with commas between them, fits, in their order.

    Raises:
        BadValue: a pattern fits none.
    """
    wanted = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    for pattern in wanted:
        if not fnmatch.filter(columns, pattern):
            raise BadValue(key, pattern, f"a pattern of {', '.join(columns[:20])}")
    return [c for c in columns if any(fnmatch.fnmatchcase(c, pattern) for pattern in wanted)]


def renaming(text: str, *, key: str) -> dict[str, str]:
    """Labels as the table has them, and what they become: ``"lively=happiness, meh=boredom"``.

    Raises:
        BadValue: it is not of that form.
    """
    pairs = [pair.split("=") for pair in text.split(",") if pair.strip()]
    if any(len(pair) != 2 or not pair[0].strip() for pair in pairs):
        raise BadValue(key, text, 'pairs with commas between them, such as "lively=happiness"')
    return {old.strip(): new.strip() for old, new in pairs}


def class_of(label: str, renamed: Mapping[str, str]) -> str:
    """The emotion that a table's label means; empty for none."""
    return renamed[label] if label in renamed else canonical(label)
