"""Weighting: what counts of words become before a linear machine.

Every option gives a scikit-learn transformer, which is fitted to the training part's counts.
"""

from __future__ import annotations

from typing import Any

from serlab.models.variant import OPTIONS


@OPTIONS.register("weighting.tfidf", source="Salton and Buckley, IPM 24(5), 1988", tag="I")
def tfidf() -> Any:  # scikit-learn has no types
    """Counts times the inverse document frequency, to length 1."""
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer()


@OPTIONS.register("weighting.counts", source="ours: what the weights are worth", tag="I")
def counts() -> Any:  # scikit-learn has no types
    """Counts to length 1: every word weighs the same."""
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer(use_idf=False)
