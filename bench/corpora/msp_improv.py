"""MSP-IMPROV: twelve actors in six sessions of two, leading each other to say target sentences.

Busso, Parthasarathy, Burmania, AbdelWahab, Sadoughi, Mower Provost: "MSP-IMPROV: An acted corpus
of dyadic interactions to study emotion perception", IEEE Transactions on Affective Computing
8(1), 2017. A name such as ``MSP-IMPROV-S01A-F02-S-MF03`` is target sentence and the emotion that
it was to be said in, speaker (their number is the session's), kind of turn (T the target
sentence improvised, R the same read alone, S other turns of the improvisation, P talk between
the recordings), whose target sentence the recording led to, the other actor, and the turn's
number among the speaker's. The sound lies in ``session2/S01A/S/``, in the release that has sound
alone below ``Audio``; the labels in ``Evalution.txt`` (so spelt; some copies have
``Evaluation.txt``), which calls the files ``UTD-IMPROV-....avi``; the text in a folder such as
``All_human_transcriptions``, one file a turn.

What the names mean is not in the paper. That the third part is the speaker is how public code
and published folds take it; that the first of the last letters names the recording follows from
the turns' numbers, which agree between the two actors that way alone. How both speakers' turns
follow each other is not told, so there are no dialogues; a recording of both is a fact.

The file's activation falls with arousal (1 is the most active), as public code of the corpus's
own authors takes it and angry turns show; the fact "arousal" is 6 less that figure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, choice, corpus_of, named_files
from serlab.bench.corpora.tables import tally, text_of
from serlab.bench.errors import BadFile

EMOTIONS = {"A": "anger", "H": "happiness", "N": "neutral", "S": "sadness"}
UNCLASSED = {"O": "other", "X": "no agreement"}
SCENARIOS = {
    "P": "natural interaction",
    "R": "target read",
    "S": "other improvised",
    "T": "target improvised",
}
SEXES = {"F": "female", "M": "male"}
VOTES = {"angry": "anger", "happy": "happiness", "sad": "sadness"}
"""Annotators' words that are not the field's."""
TABLES = ("Evalution.txt", "Evaluation.txt")
ENCODINGS = ("utf-8-sig", "latin-1")
AROUSAL_SUM = 6.0
"""Of a figure of the file, from 1 to 5, and the arousal that it stands for."""

SCHEME = Scheme(
    corpus="msp_improv",
    pattern=re.compile(r"MSP-IMPROV-(S\d\d)([AHNS])-([FM])(\d\d)-([PRST])-([FM])([FM])(\d+)"),
    words=(
        "sentence and emotion, speaker, scenario (one of P R S T), the two actors and the turn, "
        "such as MSP-IMPROV-S01A-F01-S-FM01.wav"
    ),
)
_RATING = r"([\d.]+|NaN)\s*;\s*"
_LABEL = re.compile(
    rf"UTD-(IMPROV-[A-Z0-9-]+)\.avi\s*;\s*([A-Z])\s*;\s*A:{_RATING}V:{_RATING}D:{_RATING}"
    rf"(?:N:{_RATING})?"
)


@dataclass(frozen=True, kw_only=True)
class _Label:
    """What the label file says of one turn."""

    where: str
    letter: str
    ratings: tuple[str, ...]
    votes: dict[str, str] = field(default_factory=dict)
    """The first emotion that each annotator names; some stand there twice."""


@CORPORA.register(
    "msp_improv",
    title="MSP-IMPROV",
    language="English",
    licence="on request from the MSP laboratory, for research",
    source="Busso et al., IEEE Transactions on Affective Computing 8(1), 2017",
    needs_root=True,
    counts={"anger": 792, "happiness": 2644, "neutral": 3477, "sadness": 885},
    protocols=("leave-one-session-out", "leave-one-speaker-out"),
    options={"unknown": "error"},
)
def msp_improv(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted and natural English, 8,438 turns, 4 emotions, 12 speakers, 6 sessions.

    Turns labelled as another emotion or without agreement stay, without emotion.

    Raises:
        BadFile: a file has another name, the label file is missing or wrong, or it and the sound
            files are not of the same turns.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    table = _table(root)
    labels = _labels(table)
    texts = {path.stem: path for path in root.rglob("MSP-IMPROV-*.txt")}
    utterances = []
    for path, match in files:
        label = labels.pop(path.stem, None)
        if label is None:
            raise BadFile(path, f"has no label in {table}")
        utterances.append(_utterance(path, match, label, texts.get(path.stem)))
    for name, label in labels.items():
        raise BadFile(label.where, f"names {name}, and there is no such sound file below {root}")
    return corpus_of("msp_improv", utterances, EMOTIONS.values())


def _table(root: Path) -> Path:
    places = [folder / name for folder in (root, *sorted(root.iterdir())) for name in TABLES]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise BadFile(root, f"holds no label file {TABLES[0]}")
    return found


def _labels(table: Path) -> dict[str, _Label]:
    """The labels by the sound files' names."""
    labels: dict[str, _Label] = {}
    label = None
    for number, line in enumerate(text_of(table, ENCODINGS).splitlines(), 1):
        cells = [cell.strip() for cell in line.split(";")]
        if cells[0].endswith(".avi"):
            name, label = _label(line.strip(), f"{table}:{number}")
            if name in labels:
                raise BadFile(label.where, f"{name} stands here a second time")
            labels[name] = label
        elif label is not None and len(cells) > 2:
            label.votes.setdefault(cells[0], cells[1].lower())
    if not labels:
        raise BadFile(
            table, "holds no label, such as UTD-IMPROV-S01A-F01-P-FM01.avi; N; A:2.5; ..."
        )
    return labels


def _label(line: str, where: str) -> tuple[str, _Label]:
    match = _LABEL.fullmatch(line)
    if not match:
        wanted = "UTD-IMPROV-...avi; letter; A:number; V:number; D:number; N:number;"
        raise BadFile(where, f"is no label: expected {wanted}")
    name, letter, *ratings = match.groups(default="NaN")
    if letter not in (*EMOTIONS, *UNCLASSED):
        known = ", ".join((*EMOTIONS, *UNCLASSED))
        raise BadFile(where, f'the label "{letter}" is none of {known}')
    try:
        figures = tuple("" if rating == "NaN" else f"{float(rating):g}" for rating in ratings)
    except ValueError as error:
        raise BadFile(where, f"is no label: {error}") from None
    return f"MSP-{name}", _Label(where=where, letter=letter, ratings=figures)


def _utterance(path: Path, match: re.Match[str], label: _Label, text: Path | None) -> Utterance:
    sentence, emotion, sex, session, scenario, target, _, turn = match.groups()
    facts = {
        "sex": SEXES[sex],
        "scenario": SCENARIOS[scenario],
        "intended": EMOTIONS[emotion],
        "target_sex": SEXES[target],
        "number": turn,
        "label": label.letter,
        **_ratings(label),
    }
    if label.votes:
        facts["votes"] = tally(VOTES.get(vote, vote) for vote in label.votes.values())
    if scenario != "R":
        take = f"session{int(session)}-{sentence}{emotion}-{target}"
        facts["recording"] = f"{take}-P" if scenario == "P" else take
    return Utterance(
        id=path.stem,
        speaker=sex + session,
        audio=AudioFile(path=path),
        emotion=EMOTIONS.get(label.letter),
        session=f"session{int(session)}",
        sentence=sentence if scenario in "RT" else None,
        text=" ".join(text_of(text, ENCODINGS).split()) if text else None,
        facts=facts,
    )


def _ratings(label: _Label) -> dict[str, str]:
    activation, *others = label.ratings
    facts = {"arousal": f"{AROUSAL_SUM - float(activation):g}"} if activation else {}
    named = zip(("valence", "dominance", "naturalness"), others, strict=True)
    return facts | {name: rating for name, rating in named if rating}
