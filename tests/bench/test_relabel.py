"""Labels of unlike corpora brought to one set, and corpora beside the tested one."""

from __future__ import annotations

import pytest
from tiny import corpus

from serlab.bench.audit import audit_outside
from serlab.bench.contracts import ProtocolSpec
from serlab.bench.corpora.base import CORPORA
from serlab.bench.corpora.relabel import SCHEMES, beside, pooled, relabelled
from serlab.bench.errors import SerlabError, UnknownName
from serlab.bench.protocols import make_split

HELD = corpus(2, 1, labels=("fear", "happiness", "boredom"))


def labels_of(held: object) -> set[str | None]:
    return {u.emotion for u in held.utterances}  # type: ignore[attr-defined]


def test_quadrants_bring_all_to_four_classes() -> None:
    """By valence and arousal: fear with anger, boredom with sadness."""
    found = relabelled(HELD, "quadrants", {})
    assert found.labels == ("anger", "happiness", "sadness") == tuple(sorted(labels_of(found)))  # type: ignore[arg-type, type-var]
    assert {u.emotion for u in found.utterances if "fear" in u.id} == {"anger"}


@pytest.mark.parametrize("name", ["emodb", "ravdess", "urdu"])
def test_quadrants_know_every_label_of_the_real_corpora(name: str) -> None:
    """All their published classes have a quadrant."""
    assert set(CORPORA.entry(name).facts["counts"]) <= set(SCHEMES["quadrants"])


def test_a_class_can_be_left_out_or_renamed() -> None:
    """What is left out stays in the corpus, out of all classes."""
    found = relabelled(HELD, "", {"boredom": "", "fear": "afraid"})
    assert found.labels == ("afraid", "happiness")
    assert len(found.utterances) == len(HELD.utterances)
    assert labels_of(found) == {"afraid", "happiness", None}


def test_changes_come_after_the_scheme() -> None:
    """A user may put a doubtful emotion elsewhere, and one that the scheme does not know."""
    assert relabelled(HELD, "quadrants", {"fear": "sadness"}).labels == ("happiness", "sadness")
    strange = corpus(2, 1, labels=("hunger", "neutral"))
    with pytest.raises(SerlabError, match='does not know the label "hunger"'):
        relabelled(strange, "quadrants", {})
    assert relabelled(strange, "quadrants", {"hunger": "anger"}).labels == ("anger", "neutral")


def test_mistakes_name_the_nearest() -> None:
    """Schemes and labels."""
    with pytest.raises(UnknownName, match='did you mean "quadrants"'):
        relabelled(HELD, "quadrant", {})
    with pytest.raises(UnknownName, match='did you mean "boredom"'):
        relabelled(HELD, "", {"bordom": ""})
    with pytest.raises(SerlabError, match="no class is left"):
        relabelled(HELD, "", {"boredom": "", "fear": "", "happiness": ""})
    assert relabelled(HELD, "", {}) is HELD


def test_an_outside_corpus_shares_no_name_with_another() -> None:
    """Ids, speakers and sessions carry the corpus's name."""
    found = beside(HELD, "other")
    for mine, theirs in zip(HELD.utterances, found.utterances, strict=True):
        assert (theirs.id, theirs.speaker) == (f"other:{mine.id}", f"other:{mine.speaker}")
        assert theirs.session == f"other:{mine.session}"
        assert theirs.dialogue is None
        assert theirs.corpus == "other"


def test_a_tested_recording_in_an_outside_corpus_is_a_leak() -> None:
    """Found by its samples, whatever it is called there."""
    held = corpus()
    split = make_split(held, ProtocolSpec(validation=1))
    hashes = {u.id: u.id for u in held.utterances}
    theirs = {"a": "unlike", "b": held.utterances[0].id}
    (finding,) = audit_outside(beside(HELD, "other"), split, hashes, theirs)
    assert (finding.severity, finding.kind, finding.count) == ("leak", "outside", 1)
    assert held.utterances[0].id in finding.text
    assert set(finding.folds) == {
        f.name for f in split.folds if held.utterances[0].id in (*f.test, *f.validation)
    }
    assert audit_outside(beside(HELD, "other"), split, hashes, {"a": "unlike"}) == ()


def test_pooled_corpora_share_no_name() -> None:
    """Ids, speakers, sessions and prompts of one are none of the other's; audio is as it was."""
    held = corpus(2, 1)
    pool = pooled({"near": held, "far": held})
    for of in ("id", "speaker", "session", "sentence"):
        names = {origin: {getattr(u, of) for u in pool.utterances if u.origin == origin}
                 for origin in ("near", "far")}  # fmt: skip
        assert names["near"]
        assert not names["near"] & names["far"], of
    assert pool.labels == held.labels
    assert {u.corpus for u in pool.utterances} == {""}
