"""EMOVO: fourteen Italian sentences by six actors.

Costantini, Iaderola, Paoloni, Todisco: "EMOVO Corpus: an Italian Emotional Speech Database",
LREC 2014, pp. 3501-3504. The official archive has a folder for each actor (f1 f2 f3 m1 m2 m3). A
name such as ``dis-f1-b1`` is the emotion, the actor and the sentence: short (b), long (l),
nonsense (n) or question (d).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, agree, choice, corpus_of, named_files

EMOTIONS = {
    "dis": "disgust",  # disgusto
    "gio": "happiness",  # gioia
    "neu": "neutral",
    "pau": "fear",  # paura
    "rab": "anger",  # rabbia
    "sor": "surprise",  # sorpresa
    "tri": "sadness",  # tristezza
}
SPEAKERS = ("f1", "f2", "f3", "m1", "m2", "m3")
SENTENCES = {
    "b1": "Gli operai si alzano presto.",
    "b2": "I vigili sono muniti di pistola.",
    "b3": "La cascata fa molto rumore.",
    "l1": "L'autunno prossimo Tony partirà per la Spagna nella prima metà di ottobre.",
    "l2": "Ora prendo la felpa di là ed esco per fare una passeggiata.",
    "l3": "Un attimo dopo s'è incamminato ... ed è inciampato.",
    "l4": "Vorrei il numero telefonico del Signor Piatti.",
    "n1": "La casa forte vuole col pane.",
    "n2": "La forza trova il passo e l'aglio rosso.",
    "n3": "Il gatto sta scorrendo nella pera.",
    "n4": "Insalata pastasciutta coscia d'agnello limoncello.",
    "n5": "Uno quarantatré dieci mille cinquantasette venti.",
    "d1": "Sabato sera cosa farà?",
    "d2": "Porti con te quella cosa?",
}

SCHEME = Scheme(
    corpus="emovo",
    pattern=re.compile(rf"({'|'.join(EMOTIONS)})-([fm][123])-({'|'.join(SENTENCES)})"),
    words="emotion (one of dis gio neu pau rab sor tri), actor, sentence, such as dis-f1-b1.wav",
)


@CORPORA.register(
    "emovo",
    title="EMOVO",
    language="Italian",
    licence="free for research use",
    source="Costantini et al., LREC 2014",
    needs_root=True,
    counts={
        "anger": 84,
        "disgust": 84,
        "fear": 84,
        "happiness": 84,
        "neutral": 84,
        "sadness": 84,
        "surprise": 84,
    },
    protocols=("leave-one-speaker-out", "speaker-and-sentence-groups"),
    options={"unknown": "error"},
)
def emovo(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Acted Italian speech, 7 emotions, 6 speakers, 14 sentences.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name, or in the
            folder of another actor.
    """
    assert root is not None
    files = named_files(root, SCHEME, unknown=choice(options, "unknown", ("error", "skip")))
    return corpus_of("emovo", (_utterance(*file) for file in files), EMOTIONS.values())


def _utterance(path: Path, match: re.Match[str]) -> Utterance:
    emotion, speaker, sentence = match.groups()
    agree(path, speaker, {name: name for name in SPEAKERS})
    return Utterance(
        id=path.stem,
        speaker=speaker,
        audio=AudioFile(path=path),
        emotion=EMOTIONS[emotion],
        sentence=sentence,
        text=SENTENCES[sentence],
        facts={"sex": "female" if speaker[0] == "f" else "male"},
    )
