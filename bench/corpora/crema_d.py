"""CREMA-D: twelve English sentences by 91 actors, with votes of a crowd on voice, face and both.

Cao, Cooper, Keutmann, Gur, Nenkova, Verma: "CREMA-D: Crowd-sourced Emotional Multimodal Actors
Dataset", IEEE Transactions on Affective Computing 5(4), 2014, pp. 377-390. The repository
(github.com/CheyneyComputerScience/CREMA-D) has the audio in ``AudioWAV/`` and, of another
encoding, in ``AudioMP3/``. A name such as ``1001_IEO_HAP_LO`` is actor, sentence, intended emotion
and intensity; one name has the intensity ``X`` for ``XX`` (1040_ITH_SAD_X). The clip
1076_MTI_SAD_XX has no sound.

In ``processedResults/`` are ``tabulatedVotes.csv`` (counts; the first digit of a row's number is
the modality: 1 voice, 2 face, 3 both) and ``summaryTable.csv`` (the winners). A tie is written
``A:D``. The tables may have clips that a release has no audio of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, choice, corpus_of, named_files
from serlab.bench.corpora.tables import csv_rows
from serlab.bench.errors import BadFile

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happiness",
    "NEU": "neutral",
    "SAD": "sadness",
}
LETTERS = {code[0]: emotion for code, emotion in EMOTIONS.items()}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high"}
SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
MODALITIES = {"voice": "VoiceVote", "face": "FaceVote", "multimodal": "MultiModalVote"}
"""The options of votes in the order of their numbers, and their columns of the summary."""

SCHEME = Scheme(
    corpus="crema_d",
    pattern=re.compile(
        rf"(1\d{{3}})_({'|'.join(SENTENCES)})_({'|'.join(EMOTIONS)})_(LO|MD|HI|XX?)"
    ),
    words="actor, sentence, emotion, intensity (LO, MD, HI or XX), such as 1001_IEO_HAP_LO.wav",
)


@dataclass(frozen=True, kw_only=True)
class Vote:
    """What the crowd heard or saw: the winner, or several letters with colons between them."""

    winner: str
    counts: str = ""

    @property
    def emotion(self) -> str | None:
        """The class; None for a tie."""
        return LETTERS.get(self.winner)


@CORPORA.register(
    "crema_d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset (CREMA-D)",
    language="English",
    licence="Open Database License",
    source="Cao et al., IEEE Transactions on Affective Computing 5(4), 2014",
    needs_root=True,
    counts={
        "anger": 1271,
        "disgust": 1271,
        "fear": 1271,
        "happiness": 1271,
        "neutral": 1087,
        "sadness": 1271,
    },
    protocols=("speaker-groups",),
    options={"label": "intended", "unknown": "error"},
)
def crema_d(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted English speech, 6 emotions, 91 speakers, 12 sentences.

    The option ``label`` is "intended" (by the actor; the counts published are those) or the vote
    on "voice", "face" or "multimodal"; clips whose vote is a tie have no class.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name; a table is
            missing or wrong, or has no vote on a clip.
    """
    assert root is not None
    label = choice(options, "label", ("intended", *MODALITIES))
    unknown = choice(options, "unknown", ("error", "skip"))
    folder = root / "AudioWAV" if (root / "AudioWAV").is_dir() else root
    files = named_files(folder, SCHEME, unknown=unknown)
    actors = _actors(root / "VideoDemographics.csv")
    utterances = [_utterance(path, match, actors) for path, match in files]
    if label != "intended":
        utterances = _voted(utterances, root / "processedResults", label)
    return corpus_of("crema_d", utterances, EMOTIONS.values())


def _utterance(
    path: Path, match: re.Match[str], actors: Mapping[str, Mapping[str, str]]
) -> Utterance:
    actor, sentence, emotion, intensity = match.groups()
    facts = dict(actors.get(actor, {}))
    if intensity in INTENSITIES:
        facts["intensity"] = INTENSITIES[intensity]
    return Utterance(
        id=path.stem,
        speaker=actor,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[emotion],
        sentence=sentence,
        text=SENTENCES[sentence],
        facts=facts,
    )


def _actors(table: Path) -> dict[str, dict[str, str]]:
    """Sex and age of every actor; nothing where the table is not there."""
    if not table.is_file():
        return {}
    rows = csv_rows(table, required=("ActorID", "Age", "Sex"))
    return {
        row["ActorID"].strip(): {"sex": row["Sex"].strip().lower(), "age": row["Age"].strip()}
        for _, row in rows
    }


# --- votes ----------------------------------------------------------------------------------


def _voted(utterances: list[Utterance], folder: Path, modality: str) -> list[Utterance]:
    """The utterances with the crowd's label; the intended one becomes a fact."""
    table = folder / "tabulatedVotes.csv"
    if table.is_file():
        votes = _tabulated(table, list(MODALITIES).index(modality) + 1)
    else:
        table = folder / "summaryTable.csv"
        votes = _summarised(table, MODALITIES[modality])
    found = []
    for u in utterances:
        clip = u.id + "X" if u.id.endswith("_X") else u.id
        if clip not in votes:
            raise BadFile(table, f"has no vote ({modality}) on the clip {clip}")
        vote = votes[clip]
        names = ":".join(LETTERS[letter] for letter in vote.winner.split(":"))
        facts = {**u.facts, "intended": str(u.emotion), "label": names}
        if vote.counts:
            facts["votes"] = vote.counts
        found.append(replace(u, emotion=vote.emotion, facts=facts))
    return found


def _tabulated(table: Path, modality: int) -> dict[str, Vote]:
    votes = {}
    for line, row in csv_rows(table, required=("", "fileName", "emoVote", *LETTERS)):
        if not row[""].strip().isdigit():
            raise BadFile(f"{table}:{line}", f"the row's number is {row['']!r}: expected digits")
        if int(row[""]) // 100_000 == modality:
            counts = {LETTERS[letter]: row[letter].strip() for letter in LETTERS}
            shown = ", ".join(f"{emotion} {n}" for emotion, n in counts.items() if n != "0")
            winner = _winner(f"{table}:{line}", row["emoVote"])
            votes[row["fileName"].strip()] = Vote(winner=winner, counts=shown)
    return votes


def _summarised(table: Path, column: str) -> dict[str, Vote]:
    votes = {}
    for line, row in csv_rows(table, required=("FileName", column)):
        votes[row["FileName"].strip()] = Vote(winner=_winner(f"{table}:{line}", row[column]))
    return votes


def _winner(where: str, written: str) -> str:
    winner = written.strip()
    if not all(letter in LETTERS for letter in winner.split(":")):
        known = ", ".join(LETTERS)
        raise BadFile(where, f"the vote is {winner!r}: expected one of {known}, or a tie as A:D")
    return winner
