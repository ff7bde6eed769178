"""IEMOCAP: the full release, ten dialogues of ten turns; and all its labels on one sound."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from pathlib import Path

from trees.sounds import sound

LABELS = ("ang", "hap", "exc", "neu", "sad", "xxx", "fru", "neu", "ang", "sad", "hap")
RARE = ("sur", "fea", "dis", "oth")
HEAD = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A line of a label file."""

    name: str
    start_s: float
    end_s: float
    label: str

    @property
    def lines(self) -> tuple[str, ...]:
        """With three annotators' and an actor's own, as the release has them."""
        return (
            "",
            f"[{self.start_s:.4f} - {self.end_s:.4f}]\t{self.name}\t{self.label}\t"
            "[2.5000, 3.0000, 3.5000]",
            "C-E2:\tNeutral;\t()",
            "C-E3:\tNeutral; Excited;\t()",
            "C-E4:\tFrustration;\t(a bit, of everything)",
            "C-F1:\tHappiness;\t()",
            "A-E3:\tval 3; act 2; dom  2;\t()",
            "A-F1:\tval 1; act 2; dom  1;\t()",
        )


def write_labels(session: Path, dialogue: str, turns: Sequence[Turn], end: str = "\n") -> None:
    """A dialogue's label file."""
    folder = session / "dialog" / "EmoEvaluation"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [HEAD, *chain.from_iterable(turn.lines for turn in turns), ""]
    (folder / f"{dialogue}.txt").write_text(end.join(lines), encoding="utf-8", newline="")


def build(root: Path) -> None:
    """Five sessions, each an improvised and a scripted dialogue of ten turns."""
    numbers = count()
    for number in range(1, 6):
        session = root / f"Session{number}"
        last = "b" if number == 5 else ""
        for dialogue in (f"Ses0{number}F_impro01", f"Ses0{number}M_script01_1{last}"):
            turns = [_turn(dialogue, place, next(numbers)) for place in range(10)]
            write_labels(
                session, dialogue, turns[::2] + turns[1::2], "\r\n" if number == 2 else "\n"
            )
            for turn in turns:
                sound(session / "sentences" / "wav" / dialogue / f"{turn.name}.wav")
            _write_the_rest(session, dialogue, turns)


def _turn(dialogue: str, place: int, number: int) -> Turn:
    """Each begins before the one before ends."""
    label = RARE[number // 11 % 4] if number % 11 == 6 and number > 11 else LABELS[number % 11]
    name = f"{dialogue}_{'FM'[place % 2]}{place // 2:03d}"
    return Turn(name=name, start_s=6.25 + 2 * place, end_s=8.5 + 2 * place, label=label)


def _write_the_rest(session: Path, dialogue: str, turns: Sequence[Turn]) -> None:
    """Text, words, a video's place and what a Mac leaves behind."""
    said = [
        f"{turn.name} [{turn.start_s:08.4f}-{turn.end_s:08.4f}]: Excuse me, {turn.name[-4:]}."
        for turn in turns
    ]
    said.insert(3, "M: [BREATHING]")
    said.insert(5, f"{dialogue}_FXX0 [001.0000-002.0000]: Don\x92t count me.")
    files = {
        f"dialog/transcriptions/{dialogue}.txt": "\n".join(said).encode("latin-1"),
        f"dialog/avi/DivX/{dialogue}.avi": dialogue.encode(),
        f"dialog/EmoEvaluation/._{dialogue}.txt": b"\x00\x05\x16\x07Mac OS X",
        f"dialog/EmoEvaluation/Categorical/{dialogue}_e1_cat.txt": b"Ses01F_impro01_F000 :Anger;",
        f"sentences/wav/{dialogue}/._{turns[0].name}.wav": b"\x00\x05\x16\x07Mac OS X",
    }
    for turn in turns[1:]:  # as in the release, one has no words
        files[f"sentences/ForcedAlignment/{dialogue}/{turn.name}.wdseg"] = WORDS
    for name, data in files.items():
        path = session / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


WORDS = b"""\t SFrm  EFrm    SegAScr Word
\t    0     2     109204 <s>
\t    3    12     -60004 EXCUSE
\t   13    14      -1004 ++BREATHING++
\t   15    19     -60113 ME(2)
\t   20    21     -31230 <sil>
\t   22    23     -31230 </s>
 Total score:     -213456
"""


# --- all labels of the release ---------------------------------------------------------------

SPEAKERS = [f"Ses0{number}{sex}" for number in range(1, 6) for sex in "FM"]
PER_SPEAKER = dict(zip(SPEAKERS, (528, 557, 481, 542, 522, 629, 528, 503, 590, 651), strict=True))
"""Turns of the 5531."""
IMPROVISED = dict(zip(SPEAKERS, (217, 205, 185, 208, 264, 274, 149, 221, 298, 259), strict=True))
"""Turns of the 2280."""
OTHERS = {"xxx": 2507, "fru": 1849, "sur": 107, "fea": 40, "oth": 3, "dis": 2}

Cell = tuple[str, str]
"""Style and label."""


def build_all_labels(root: Path) -> None:
    """The 10,039 turns: as many of each label, style and speaker as published.

    Which label falls to which speaker within those sums is made up.
    """
    one = sound(root / "one.wav", 0.05)
    turns: dict[str, list[Turn]] = {}
    for speaker, cells in _cells().items():
        numbers = {"impro": count(), "script": count()}
        for (style, label), n in cells.items():
            for number in islice(numbers[style], n):
                place = number // 40
                kind = f"F_impro{place:02d}" if style == "impro" else f"M_script01_{place}"
                name = f"{speaker[:5]}{kind}_{speaker[5]}{number % 40:03d}"
                turn = Turn(name=name, start_s=number, end_s=number + 0.5, label=label)
                turns.setdefault(name[:-5], []).append(turn)
    for dialogue, held in turns.items():
        session = root / f"Session{dialogue[4]}"
        write_labels(session, dialogue, held)
        folder = session / "sentences" / "wav" / dialogue
        folder.mkdir(parents=True)
        for turn in held:
            os.link(one, folder / f"{turn.name}.wav")


def _cells() -> Mapping[str, dict[Cell, int]]:
    improvised = {"ang": 289, "hap": 284, "neu": 1099, "sad": 608}
    scripted = {"ang": 814, "hap": 311, "exc": 378, "neu": 609, "sad": 476}
    rest = {speaker: n - IMPROVISED[speaker] for speaker, n in PER_SPEAKER.items()}
    found: dict[str, dict[Cell, int]] = {speaker: {} for speaker in SPEAKERS}
    for rows, columns in (
        (IMPROVISED, {("impro", label): n for label, n in improvised.items()}),
        (rest, {("impro", "exc"): 663} | {("script", label): n for label, n in scripted.items()}),
        (dict.fromkeys(SPEAKERS, 451), {("script", label): n for label, n in OTHERS.items()}),
    ):
        for speaker, cell, n in _spread(rows, columns):
            found[speaker][cell] = n
    return found


def _spread(rows: Mapping[str, int], columns: Mapping[Cell, int]) -> list[tuple[str, Cell, int]]:
    """Numbers with these sums of rows and columns, near to their product."""
    total = sum(rows.values())
    found = {
        (row, column): r * c // total for row, r in rows.items() for column, c in columns.items()
    }
    below = {c: n - sum(found[row, c] for row in rows) for c, n in columns.items()}
    for row, wanted in rows.items():
        short = wanted - sum(found[row, column] for column in columns)
        for column in columns:
            more = min(short, below[column])
            found[row, column] += more
            below[column] -= more
            short -= more
    return [(row, column, n) for (row, column), n in found.items()]
