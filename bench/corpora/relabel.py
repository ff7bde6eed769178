"""Corpora that meet: labels brought to one set, names kept apart, several made one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from serlab.bench.contracts import Corpus
from serlab.bench.errors import SerlabError, UnknownName

EMOTIONS = (
    "amusement", "anger", "boredom", "calm", "contempt", "disgust", "disappointment", "excitement",
    "fear", "frustration", "happiness", "neutral", "other", "sadness", "sleepiness", "surprise",
)  # fmt: skip
"""The one word that every reader of a corpus has for an emotion, whatever the corpus calls it."""

NAMES: Mapping[str, str] = {
    "amused": "amusement",
    "ang": "anger",
    "angry": "anger",
    "bored": "boredom",
    "calmness": "calm",
    "contemptuous": "contempt",
    "dis": "disgust",
    "disgusted": "disgust",
    "disappointed": "disappointment",
    "exc": "excitement",
    "excited": "excitement",
    "fea": "fear",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "anxiety": "fear",
    "fru": "frustration",
    "frustrated": "frustration",
    "hap": "happiness",
    "happy": "happiness",
    "joy": "happiness",
    "joyful": "happiness",
    "neu": "neutral",
    "neutrality": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sleepy": "sleepiness",
    "sur": "surprise",
    "surprised": "surprise",
    "xxx": "",
    "no_agreement": "",
    "unknown": "",
}
"""What tables that anybody made call the emotions of `EMOTIONS`; empty where they name none.

Anxiety is fear, as in other corpora that had to choose (EmoDB's Angst) [I]."""


def canonical(word: str) -> str:
    """The word of `EMOTIONS` for a label; the label itself where none is known.

    Example:
        >>> canonical(" Happy"), canonical("xxx"), canonical("pensive")
        ('happiness', '', 'pensive')
    """
    plain = word.strip().lower()
    return plain if plain in EMOTIONS else NAMES.get(plain, word.strip())


FOUR = ("anger", "happiness", "neutral", "sadness")

SCHEMES: Mapping[str, Mapping[str, str]] = {
    "four": dict.fromkeys(EMOTIONS, "")
    | {label: label for label in FOUR}
    | {"excitement": "happiness"},
    "quadrants": {
        "happiness": "happiness",
        "excitement": "happiness",
        "amusement": "happiness",
        "surprise": "happiness",
        "neutral": "neutral",
        "calm": "neutral",
        "anger": "anger",
        "frustration": "anger",
        "contempt": "anger",
        "fear": "anger",
        "sadness": "sadness",
        "boredom": "sadness",
        "disappointment": "sadness",
        "sleepiness": "sadness",
        "disgust": "sadness",
        "other": "",
    },
}
"""What becomes of each emotion; an empty text leaves it out.

"four" are the classes of the usual IEMOCAP subset, excitement merged into happiness [X]; all else
is left out. "quadrants" unify corpora by valence and arousal as Gao et al. (ICASSP 2021) [N]:
positive and aroused is happiness, positive and calm neutral, negative and aroused anger, negative
and calm sadness. Which emotion lies where is [I]; surprise, contempt and disgust are the doubtful
ones."""


def relabelled(corpus: Corpus, scheme: str, changes: Mapping[str, str]) -> Corpus:
    """The corpus under a scheme's labels, then with some of these changed.

    Args:
        corpus: with its own labels.
        scheme: one of `SCHEMES`, or empty to begin with the corpus's own labels.
        changes: other labels for some of the corpus's own; an empty text leaves a class out.

    Raises:
        UnknownName: there is no such scheme, or the corpus no such label.
        SerlabError: the scheme does not know one of the labels, or no class is left.
    """
    if not scheme and not changes:
        return corpus
    if scheme and scheme not in SCHEMES:
        raise UnknownName("scheme of labels", scheme, SCHEMES, where=f"{corpus.name}.relabel")
    for label in changes:
        if label not in corpus.labels:
            where = f"{corpus.name}.classes"
            raise UnknownName(f"label of {corpus.name}", label, corpus.labels, where=where)
    known = SCHEMES[scheme] if scheme else {label: label for label in corpus.labels}
    table = {}
    for label in corpus.labels:
        if label not in changes and label not in known:
            raise SerlabError(
                f'{corpus.name}: the scheme {scheme} does not know the label "{label}"; say in '
                f'classes what it becomes, such as classes = {{ {label} = "neutral" }}'
            )
        table[label] = changes.get(label, known.get(label, ""))
    labels = tuple(sorted(set(table.values()) - {""}))
    if not labels:
        raise SerlabError(f"{corpus.name}: no class is left")
    utterances = tuple(
        replace(u, emotion=table.get(u.emotion or "", u.emotion) or None) for u in corpus.utterances
    )
    return replace(corpus, utterances=utterances, labels=labels)


def beside(corpus: Corpus, name: str) -> Corpus:
    """The corpus as an outside one: no id, speaker or dialogue of it is like any other's."""
    renamed = _named_apart(corpus, name)
    utterances = tuple(replace(u, corpus=name) for u in renamed.utterances)
    return replace(renamed, utterances=utterances)


def pooled(corpora: Mapping[str, Corpus]) -> Corpus:
    """Several corpora as one, to be cut into folds together; its classes are those all have.

    Args:
        corpora: by the name that each has in the pool.

    Raises:
        SerlabError: no class is in all of them.
    """
    named = [_named_apart(corpus, name) for name, corpus in corpora.items()]
    shared = set.intersection(*(set(corpus.labels) for corpus in named))
    if not shared:
        sets = "; ".join(f"{corpus.name}: {', '.join(corpus.labels)}" for corpus in named)
        raise SerlabError(f"no class is in every corpus ({sets}); bring them together by relabel")
    return Corpus(
        name="+".join(corpora),
        utterances=tuple(
            replace(u, origin=corpus.name) for corpus in named for u in corpus.utterances
        ),
        labels=tuple(sorted(shared)),
        licence="; ".join(dict.fromkeys(corpus.licence for corpus in named)),
        source="; ".join(dict.fromkeys(corpus.source for corpus in named)),
        version="+".join(corpus.version for corpus in named),
        synthetic=any(corpus.synthetic for corpus in named),
    )


def _named_apart(corpus: Corpus, name: str) -> Corpus:
    """The corpus under a name, which stands before the names of all that it has."""

    def own(text: str | None) -> str | None:
        return f"{name}:{text}" if text else text

    utterances = tuple(
        replace(
            u,
            id=f"{name}:{u.id}",
            speaker=f"{name}:{u.speaker}",
            session=own(u.session),
            dialogue=own(u.dialogue),
            source=own(u.source),
            sentence=own(u.sentence),
        )
        for u in corpus.utterances
    )
    return replace(corpus, name=name, utterances=utterances)
