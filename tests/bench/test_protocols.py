"""Splits take whole speakers, say when they do not, and refuse what cannot be cut."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import corpus

from serlab.bench.contracts import Corpus, ProtocolSpec
from serlab.bench.errors import BadValue, SerlabError
from serlab.bench.protocols import SPLITS, make_split

WHOLE = sorted(set(SPLITS.entries()) - {"random-utterances", "fixed", "leave-one-corpus-out"})


def speakers(held: Corpus, ids: tuple[str, ...]) -> set[str]:
    known = held.by_id()
    return {known[i].speaker for i in ids}


@given(
    st.sampled_from(WHOLE),
    st.integers(6, 12),
    st.integers(1, 2),
    st.integers(2, 3),
)
def test_no_speaker_is_in_two_parts(split: str, n: int, validation: int, groups: int) -> None:
    """The parts of a fold share no speaker, and each utterance is tested once."""
    held = corpus(n, 1)
    validation = 1 if split == "leave-one-session-out" else validation
    protocol = ProtocolSpec(split=split, validation=validation, groups=groups)
    made = make_split(held, protocol)
    for fold in made.folds:
        parts = [speakers(held, ids) for ids in (fold.train, fold.validation, fold.test)]
        assert all(parts)
        assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])
    assert sorted(i for f in made.folds for i in f.test) == sorted(u.id for u in held.utterances)
    assert made.leaks == ()


def test_random_utterances_is_marked_as_leaking() -> None:
    """The split that papers use is available and says what is wrong with it."""
    made = make_split(corpus(), ProtocolSpec(split="random-utterances"))
    assert made.leaks == ("leaking: test speakers are also trained or validated on",)
    assert len({i for f in made.folds for i in f.test}) == 72


def test_speaker_normalisation_is_marked_as_transductive() -> None:
    """Normalising with the test speaker's audio is printed with every result."""
    made = make_split(corpus(), ProtocolSpec(normalisation="speaker"))
    assert "transductive" in made.leaks[0]


def test_fixed_uses_the_partitions_of_the_corpus() -> None:
    """Parts are the corpus's own; missing validation speakers are held out of training."""
    held = corpus()
    parted = tuple(
        replace(u, partition="test" if u.speaker == "s05" else "train") for u in held.utterances
    )
    made = make_split(replace(held, utterances=parted), ProtocolSpec(split="fixed", validation=1))
    (fold,) = made.folds
    assert speakers(held, fold.test) == {"s05"}
    assert speakers(held, fold.validation) == {"s00"}
    named = tuple(
        replace(u, partition="validation" if u.speaker == "s04" else u.partition) for u in parted
    )
    (fold,) = make_split(replace(held, utterances=named), ProtocolSpec(split="fixed")).folds
    assert speakers(held, fold.validation) == {"s04"}
    with pytest.raises(BadValue, match="partition of s00"):
        make_split(held, ProtocolSpec(split="fixed"))


def test_hash_tells_protocols_apart() -> None:
    """Any setting of the protocol, and any change to the folds, is another hash."""
    held = corpus()
    hashes = {
        make_split(held, p).hash
        for p in (
            ProtocolSpec(),
            ProtocolSpec(normalisation="none"),
            ProtocolSpec(validation=1),
            ProtocolSpec(selection="last-epoch"),
            ProtocolSpec(labels=("anger", "sadness")),
            ProtocolSpec(max_folds=2),
        )
    }
    assert len(hashes) == 6
    assert make_split(held, ProtocolSpec()).hash in hashes


def test_labels_choose_and_order_the_classes() -> None:
    """Utterances of other classes are left out of every part."""
    made = make_split(corpus(), ProtocolSpec(labels=("sadness", "anger")))
    assert made.labels == ("sadness", "anger")
    assert not any("neutral" in i for f in made.folds for i in (*f.train, *f.test))


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        (ProtocolSpec(split="leave-one-speakr-out"), 'did you mean "leave-one-speaker-out"'),
        (ProtocolSpec(labels=("joy",)), '"joy" is no label of tiny'),
        (ProtocolSpec(split="speaker-groups", groups=9), "at most the corpus's 6 speakers"),
        (ProtocolSpec(validation=5), "needs at least 7 speakers"),
        (ProtocolSpec(split="speaker-groups", groups=2, validation=3), "none is left to train on"),
        (ProtocolSpec(validation=0), "last-epoch"),
        (ProtocolSpec(split="random-utterances", groups=2), "at least 3"),
    ],
)
def test_what_cannot_be_cut_is_refused(protocol: ProtocolSpec, message: str) -> None:
    """Each mistake is one line with the key and what was expected."""
    with pytest.raises(SerlabError, match=message):
        make_split(corpus(), protocol)


def test_one_speaker_is_refused() -> None:
    """A corpus of one speaker cannot be cut without a leak."""
    with pytest.raises(SerlabError, match="the corpus has 1: s00"):
        make_split(corpus(1), ProtocolSpec())


def test_class_missing_from_a_training_part_is_refused() -> None:
    """A class that only the held-out speakers say cannot be learnt."""
    held = corpus()
    kept = tuple(u for u in held.utterances if u.emotion != "sadness" or u.speaker == "s00")
    with pytest.raises(SerlabError, match="training part has no utterance of sadness"):
        make_split(replace(held, utterances=kept), ProtocolSpec())


def test_sessions_are_needed_where_they_are_left_out() -> None:
    """A corpus without sessions cannot leave one out."""
    held = corpus()
    bare = tuple(replace(u, session=None) for u in held.utterances)
    protocol = ProtocolSpec(split="leave-one-session-out", validation=1)
    with pytest.raises(SerlabError, match="needs sessions"):
        make_split(replace(held, utterances=bare), protocol)


def test_no_utterance_of_the_labels_is_refused() -> None:
    """An empty selection is an error, not an empty study."""
    held = replace(corpus(), labels=("anger", "neutral", "sadness", "joy"))
    with pytest.raises(SerlabError, match="no utterance has one of the labels joy"):
        make_split(held, ProtocolSpec(labels=("joy",)))


@pytest.mark.parametrize(("name", "value"), [("validation", -1), ("groups", 1), ("max_folds", -1)])
def test_counts_are_checked(name: str, value: int) -> None:
    """A negative count is refused where the record is made."""
    with pytest.raises(BadValue, match=f"protocol.{name}"):
        ProtocolSpec(**{name: value})  # type: ignore[arg-type]
