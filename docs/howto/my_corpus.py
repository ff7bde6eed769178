"""A corpus whose file names tell everything, such as ``anna_anger_03.wav``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Scalar, Utterance
from serlab.bench.corpora.base import CORPORA, Scheme, corpus_of, named_files

EMOTIONS = {"anger", "happiness", "neutral", "sadness"}
SCHEME = Scheme(
    corpus="our_calls",
    pattern=re.compile(r"([a-z]+)_([a-z]+)_(\d+)"),
    words="speaker, emotion, number, such as anna_anger_03.wav",
)


@CORPORA.register(
    "our_calls",
    title="Our calls",
    language="Italian",
    licence="internal",
    source="our call centre, 2026",
    needs_root=True,
    protocols=("speaker-groups",),
    options={},
)
def our_calls(root: Path | None, options: Mapping[str, Scalar]) -> Corpus:
    """Calls, 4 emotions.

    Raises:
        BadFile: the folder has none of the corpus's files, or one with another name.
    """
    assert root is not None
    utterances = [
        Utterance(
            id=path.stem,
            speaker=match[1],
            audio=AudioFile(path=path),
            emotion=match[2] if match[2] in EMOTIONS else None,
        )
        for path, match in named_files(root, SCHEME, unknown="error")
    ]
    return corpus_of("our_calls", utterances, EMOTIONS)
