"""The leak check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from serlab.bench.audit import Finding, audio_hashes, audit_split
from serlab.bench.cache import Cache
from serlab.bench.contracts import (
    Audio,
    Corpus,
    Fold,
    ProtocolSpec,
    Split,
    Utterance,
    plain,
)
from serlab.bench.corpora.base import load_corpus
from serlab.bench.errors import BadValue
from serlab.bench.protocols import make_split


class Silent:
    """Audio that the audit must not ask for."""

    def read(self) -> Audio:
        raise AssertionError("the audit reads no audio by itself")

    def name(self) -> str:
        return "silent"


def utterance(name: str, speaker: str, emotion: str, **more: str) -> Utterance:
    """One without audio."""
    return Utterance(id=name, speaker=speaker, emotion=emotion, audio=Silent(), **more)  # type: ignore[arg-type]


def corpus(*changes: Utterance) -> Corpus:
    """Three speakers, two classes each; ``changes`` replace utterances by id."""
    held = {
        f"{speaker}-{emotion}": utterance(f"{speaker}-{emotion}", speaker, emotion)
        for speaker in "abc"
        for emotion in ("joy", "rage")
    }
    held |= {u.id: u for u in changes}
    return Corpus(
        name="small",
        utterances=tuple(held.values()),
        labels=("joy", "rage"),
        licence="none",
        source="test",
    )


def split(*folds: Fold) -> Split:
    """A split of these folds; by default trains on a, validates on b, tests on c."""
    fold = Fold(
        name="one",
        train=("a-joy", "a-rage"),
        validation=("b-joy", "b-rage"),
        test=("c-joy", "c-rage"),
    )
    return Split(
        protocol=ProtocolSpec(),
        corpus="small",
        synthetic=False,
        labels=("joy", "rage"),
        folds=folds or (fold,),
    )


FOLD = split().folds[0]


def only(findings: tuple[Finding, ...]) -> Finding:
    """The one finding there is."""
    assert len(findings) == 1
    return findings[0]


def test_clean_split() -> None:
    """Parts that share nothing give no finding."""
    assert audit_split(corpus(), split(), {u.id: u.id for u in corpus().utterances}) == ()


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (("a-joy", "a-rage", "c-joy"), FOLD.validation),
        (FOLD.train, ("c-joy", "b-rage", "b-joy")),
    ],
)
def test_shared_utterance(train: tuple[str, ...], validation: tuple[str, ...]) -> None:
    """An utterance in two parts is a leak, and so is its speaker."""
    findings = audit_split(corpus(), split(replace(FOLD, train=train, validation=validation)))
    assert [(f.kind, f.severity, f.count) for f in findings] == [
        ("utterance", "leak", 1),
        ("speaker", "leak", 1),
    ]
    assert "1 utterances stand in more than one part of 1 of 1 folds (c-joy)" in findings[0].text


def test_shared_speaker() -> None:
    """A speaker on two sides is a leak that names the speaker and the folds touched."""
    mixed = replace(FOLD, name="two", validation=("b-joy", "b-rage", "c-rage"), test=("c-joy",))
    findings = audit_split(corpus(), split(FOLD, mixed))
    leak = next(f for f in findings if f.severity == "leak")
    assert (leak.kind, leak.count, leak.folds) == ("speaker", 1, ("two",))
    assert "1 of 2 folds (c)" in leak.text


def test_shared_recording() -> None:
    """Segments of one recording on two sides are a leak."""
    held = corpus(
        utterance("a-joy", "a", "joy", source="tape"),
        utterance("c-joy", "c", "joy", source="tape"),
    )
    finding = only(audit_split(held, split()))
    assert (finding.kind, finding.severity, finding.count) == ("recording", "leak", 1)
    assert "tape" in finding.text


def test_shared_dialogue_is_a_warning() -> None:
    """The other speaker of a dialogue may be trained on, and the reader is told."""
    held = corpus(
        utterance("a-joy", "a", "joy", dialogue="talk"),
        utterance("c-joy", "c", "joy", dialogue="talk"),
    )
    finding = only(audit_split(held, split()))
    assert (finding.kind, finding.severity, finding.count) == ("dialogue", "warning", 1)
    assert "talk" in finding.text


def test_segments_in_one_part_are_no_leak() -> None:
    """Within one part they may be."""
    held = corpus(
        utterance("a-joy", "a", "joy", source="tape"),
        utterance("a-rage", "a", "rage", source="tape"),
    )
    assert audit_split(held, split()) == ()


def test_shared_sentence_is_a_note() -> None:
    """A prompt that several speakers read is noted, as corpora of read speech have it so."""
    held = corpus(
        utterance("a-joy", "a", "joy", sentence="p1", text="one"),
        utterance("c-joy", "c", "joy", sentence="p1", text="another"),
    )
    finding = only(audit_split(held, split()))
    assert (finding.kind, finding.severity) == ("sentence", "note")


@pytest.mark.parametrize(
    ("one", "two", "n"),
    [("Oh, go away!", "oh go  away", 1), ("Oh, go away!", "oh go", 0), ("...", "?!", 0)],
)
def test_texts_are_compared_as_spoken(one: str, two: str, n: int) -> None:
    """Where no prompt is named, equal words are one sentence whatever their punctuation."""
    held = corpus(
        utterance("a-joy", "a", "joy", text=one), utterance("c-joy", "c", "joy", text=two)
    )
    assert len(audit_split(held, split())) == n


def test_equal_audio() -> None:
    """Equal audio under two names on two sides is a leak that names both."""
    hashes = {u.id: u.id for u in corpus().utterances} | {"a-joy": "h", "c-rage": "h"}
    finding = only(audit_split(corpus(), split(), hashes))
    assert (finding.kind, finding.severity, finding.count) == ("audio", "leak", 1)
    assert "(a-joy = c-rage)" in finding.text
    inside = {u.id: u.id for u in corpus().utterances} | {"a-joy": "h", "a-rage": "h"}
    assert audit_split(corpus(), split(), inside) == ()


def test_one_class_speakers() -> None:
    """Speakers of one class are a warning: telling them apart tells classes apart."""
    held = corpus(utterance("a-joy", "a", "rage"))
    findings = audit_split(held, split())
    warning = next(f for f in findings if f.kind == "one-class speaker")
    assert (warning.severity, warning.count) == ("warning", 1)
    assert "1 of 3 speakers have one class only (a)" in warning.text


@pytest.mark.parametrize(
    ("part", "severity"), [("train", "warning"), ("validation", "warning"), ("test", "note")]
)
def test_absent_classes(part: str, severity: str) -> None:
    """A part without some class is told, with the fold and the class."""
    one = getattr(FOLD, part)[0]
    findings = audit_split(corpus(), split(replace(FOLD, **{part: (one,)})))
    absent = next(f for f in findings if f.kind == "absent class")
    assert absent.severity == severity
    assert f"1 folds have a {part} part without some class (one: rage)" in absent.text


def test_no_validation_part() -> None:
    """A fold without a validation part lacks no class there."""
    assert audit_split(corpus(), split(replace(FOLD, validation=()))) == ()


def test_worst_first_and_plain() -> None:
    """Findings come in order of severity and have a plain form."""
    held = corpus(
        utterance("a-joy", "a", "rage", sentence="p"),
        utterance("c-joy", "c", "joy", sentence="p"),
    )
    mixed = replace(FOLD, test=("c-joy", "b-rage", "c-rage"))
    findings = audit_split(held, split(mixed))
    order = ("leak", "warning", "note")
    ranks = [order.index(f.severity) for f in findings]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}
    assert set(plain(findings)[0]) == {"severity", "kind", "count", "folds", "text"}


def test_stranger_in_a_fold() -> None:
    """An utterance that the corpus lacks is an error that names it."""
    with pytest.raises(BadValue, match="'nobody': expected an utterance of the corpus small"):
        audit_split(corpus(), split(replace(FOLD, test=("nobody",))))


@pytest.mark.parametrize("kind", ["leave-one-speaker-out", "leave-one-session-out"])
def test_speaker_independent_protocols_leak_nothing(kind: str) -> None:
    """The embedded corpus under speaker-disjoint protocols has no leak."""
    held = load_corpus("synth", roots={}, options={"utterances": 60})
    cut = make_split(held, ProtocolSpec(split=kind, validation=1))
    assert [f for f in audit_split(held, cut) if f.severity == "leak"] == []


def test_random_split_leaks_speakers() -> None:
    """The split that papers use is found out: every speaker is on both sides."""
    held = load_corpus("synth", roots={}, options={"utterances": 60})
    cut = make_split(held, ProtocolSpec(split="random-utterances", groups=5))
    leak = next(f for f in audit_split(held, cut) if f.severity == "leak")
    assert (leak.kind, leak.count, len(leak.folds)) == ("speaker", 6, 5)


# --- the real corpora ---


def audited(
    name: str, root: Path, protocol: ProtocolSpec, hashes: Mapping[str, str] | None = None
) -> dict[str, Finding]:
    """The findings on a real corpus by kind."""
    held = load_corpus(name, roots={name: root})
    return {f.kind: f for f in audit_split(held, make_split(held, protocol), hashes)}


def test_emodb_shares_its_sentences(real_corpus: Callable[[str], Path]) -> None:
    """Leave-one-speaker-out leaks nothing; all ten sentences are shared; 08 has no disgust."""
    found = audited("emodb", real_corpus("emodb"), ProtocolSpec())
    assert all(f.severity != "leak" for f in found.values())
    assert found["sentence"].count == 10
    assert "08: disgust" in found["absent class"].text


def test_urdu_speakers_have_one_class(real_corpus: Callable[[str], Path]) -> None:
    """26 of 29 speakers are found to have one emotion only."""
    protocol = ProtocolSpec(split="speaker-groups", groups=3, validation=2)
    found = audited("urdu", real_corpus("urdu"), protocol)
    assert found["one-class speaker"].count == 26


def test_ravdess_duplicate_across_parts(real_corpus: Callable[[str], Path], tmp_path: Path) -> None:
    """The two equal files of actor 07 leak under a random split, and not by speakers."""
    root = real_corpus("ravdess")
    held = load_corpus("ravdess", roots={"ravdess": root})
    actor = [u for u in held.utterances if u.speaker == "07"]
    hashes = audio_hashes(actor, Cache(tmp_path))
    random = ProtocolSpec(split="random-utterances", groups=60)
    leak = audited("ravdess", root, random, hashes)["audio"]
    assert "(03-01-03-01-02-01-07 = 03-01-03-01-02-02-07)" in leak.text
    assert "audio" not in audited("ravdess", root, ProtocolSpec(), hashes)
