"""Counts of words: text as the classical methods read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from serlab.bench.contracts import FloatArray, Utterance, digest, setting
from serlab.bench.features.base import FEATURES, Reader


def text_of(utterance: Utterance) -> str | None:
    """What is said, as the corpus writes it; else its timed words; nothing where it has neither."""
    if utterance.words and not utterance.text:
        return " ".join(word.text for word in utterance.words)
    return utterance.text


@FEATURES.register(
    "bag_of_words",
    title="counts of words or of runs of characters",
    source="feature hashing: Weinberger et al., ICML 2009; scikit-learn HashingVectorizer",
    dimension="(1, bucket)",
)
@dataclass(frozen=True, kw_only=True)
class BagOfWords(Reader):
    """How often each word, or run of words, is said; words share buckets where hashes meet.

    Nothing is learnt, so no utterance has a part in another's counts. They are never normalised:
    what weighs them (tf-idf) learns from the training part, in the system. An empty text is all
    zeros; an utterance without any text is lacking.
    """

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "scikit-learn")
    unscaled: ClassVar[bool] = True

    size: int = setting(4096, "buckets", low=2)
    ngrams: int = setting(1, "units of the longest run that is counted", low=1, high=6)
    unit: str = setting(
        "words", "what a run is made of; characters within words", choices=("words", "characters")
    )

    @property
    def n_values(self) -> int:
        """Buckets."""
        return self.size

    def lacks(self, utterance: Utterance) -> str:
        """A text."""
        return "words or a text" if text_of(utterance) is None else ""

    def identity(self, utterance: Utterance) -> str:
        """Hash of the text."""
        return digest({"text": text_of(utterance)})

    def read(self, utterance: Utterance) -> FloatArray:
        """The counts, shape (1, bucket)."""
        text = text_of(utterance)
        assert text is not None
        counts: FloatArray = _vectoriser(self).transform([text]).toarray().astype(np.float32)
        return counts


@lru_cache(maxsize=8)
def _vectoriser(settings: BagOfWords) -> Any:  # scikit-learn has no types
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(
        n_features=settings.size,
        ngram_range=(1, settings.ngrams),
        analyzer="word" if settings.unit == "words" else "char_wb",
        token_pattern=r"(?u)\b\w+\b",  # words of one letter too, unlike the default
        alternate_sign=False,
        norm=None,
    )
