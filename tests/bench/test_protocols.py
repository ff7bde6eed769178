"""Splits take whole speakers, say when they do not, and refuse what cannot be cut."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import corpus

from serlab.bench.audio import AudioFile
from serlab.bench.contracts import Corpus, Part, ProtocolSpec, Utterance
from serlab.bench.errors import BadFile, BadValue, SerlabError, UnknownName
from serlab.bench.protocols import SPLITS, make_split

WHOLE = sorted(
    name
    for name, entry in SPLITS.entries().items()
    if name not in ("fixed", "file") and not {"leaks", "pools"} & set(entry.facts)
)


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
    held = corpus(n, 3)
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


# --- sentences ------------------------------------------------------------------------------


def sentences(held: Corpus, ids: tuple[str, ...]) -> set[str | None]:
    known = held.by_id()
    return {known[i].sentence for i in ids}


def test_sentence_groups_share_no_sentence_and_say_that_they_share_speakers() -> None:
    """Whole sentences are tested and validated; every speaker is on every side."""
    held = corpus()
    made = make_split(held, ProtocolSpec(split="sentence-groups", groups=4, validation=1))
    assert [sorted(sentences(held, f.test)) for f in made.folds] == [["t0"], ["t1"], ["t2"], ["t3"]]
    for fold in made.folds:
        parts = [sentences(held, fold.part(part)) for part in Part]
        assert parts[0] | parts[1] | parts[2] == {"t0", "t1", "t2", "t3"}
        assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])
        assert len(speakers(held, fold.test) & speakers(held, fold.train)) == 6
    assert made.leaks == ("leaking: test speakers are also trained or validated on",)


def test_groups_of_both_share_neither_speakers_nor_sentences() -> None:
    """A fold leaves out what only one of the two would allow; each utterance is tested once."""
    held = corpus()
    protocol = ProtocolSpec(split="speaker-and-sentence-groups", groups=3, validation=1)
    made = make_split(held, protocol)
    assert len(made.folds) == 9
    assert made.leaks == ()
    for fold in made.folds:
        for part in (Part.TRAIN, Part.VALIDATION):
            assert not sentences(held, fold.part(part)) & sentences(held, fold.test)
            assert not speakers(held, fold.part(part)) & speakers(held, fold.test)
        assert len(speakers(held, fold.validation)) == 1
        assert len(fold.train) + len(fold.validation) + len(fold.test) < len(held.utterances)
    assert sorted(i for f in made.folds for i in f.test) == sorted(u.id for u in held.utterances)


def test_fewer_sentences_than_groups_make_fewer_groups_of_them() -> None:
    """Two sentences (RAVDESS) cut in two, however many groups of speakers there are."""
    held = corpus(6, 2)
    made = make_split(held, ProtocolSpec(split="speaker-and-sentence-groups", validation=1))
    assert len(made.folds) == 10


@pytest.mark.parametrize("split", ["sentence-groups", "speaker-and-sentence-groups"])
def test_groups_of_sentences_need_sentences(split: str) -> None:
    """A corpus that does not tell what is read, or has one sentence only, cannot be cut so."""
    held = corpus()
    bare = replace(held, utterances=tuple(replace(u, sentence=None) for u in held.utterances))
    with pytest.raises(SerlabError, match="s00-anger-0 has none"):
        make_split(bare, ProtocolSpec(split=split))
    with pytest.raises(SerlabError, match="two sentences at least"):
        make_split(corpus(6, 1), ProtocolSpec(split=split))


# --- files of folds -------------------------------------------------------------------------


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def emobox(root: Path, held: Corpus, tested: Mapping[int, Sequence[str]], valid: str = "") -> Path:
    """Files as EmoBox distributes them: each fold tests some speakers."""
    for n, test in tested.items():
        parts: dict[str, list[Mapping[str, object]]] = {"train": [], "test": []}
        for u in held.utterances:
            part = "test" if u.speaker in test else "valid" if u.speaker == valid else "train"
            row = {"key": f"tiny-{u.id}", "dataset": "tiny", "wav": f"downloads/tiny/{u.id}.wav"}
            parts.setdefault(part, []).append(row)
        for part, rows in parts.items():
            write(root / f"fold_{n}" / f"tiny_{part}_fold_{n}.jsonl", rows)
    return root


def from_files(path: Path, **changes: object) -> ProtocolSpec:
    return ProtocolSpec(split="file", folds=str(path), **changes)  # type: ignore[arg-type]


def test_files_of_folds_are_taken_as_they_are(tmp_path: Path) -> None:
    """The tests of the folds are the files'; training speakers that follow them validate."""
    held = corpus()
    emobox(tmp_path, held, {1: ["s00", "s01"], 2: ["s04", "s05"], 10: ["s02"]})
    made = make_split(held, from_files(tmp_path))
    assert [fold.name for fold in made.folds] == ["fold1", "fold2", "fold10"]
    first, second, third = made.folds
    assert speakers(held, first.test) == {"s00", "s01"}
    assert speakers(held, first.validation) == {"s02", "s03"}
    assert speakers(held, second.validation) == {"s00", "s01"}
    assert speakers(held, second.train) == {"s02", "s03"}
    assert speakers(held, third.validation) == {"s03", "s04"}
    assert made.leaks == ()


def test_a_validation_file_is_the_validation_part(tmp_path: Path) -> None:
    """Where EmoBox has an official validation part, nothing else is held out."""
    held = corpus()
    made = make_split(held, from_files(emobox(tmp_path, held, {1: ["s00"]}, valid="s05")))
    (fold,) = made.folds
    assert speakers(held, fold.validation) == {"s05"}
    assert speakers(held, fold.train) == {"s01", "s02", "s03", "s04"}


def test_files_that_share_speakers_are_marked_as_leaking(tmp_path: Path) -> None:
    """How many test speakers are also trained on stands beside every result."""
    held = corpus()
    rows = [{"key": u.id} for u in held.utterances]
    write(tmp_path / "x_train_fold_1.jsonl", rows[1:])
    write(tmp_path / "x_test_fold_1.jsonl", rows[:1])
    made = make_split(held, from_files(tmp_path))
    assert made.leaks == (
        "leaking: the files of folds also train or validate on 1 of 1 test speakers",
    )
    write(tmp_path / "x_train_fold_1.jsonl", rows[12:-1])
    write(tmp_path / "x_valid_fold_1.jsonl", rows[-1:])
    made = make_split(held, from_files(tmp_path))
    assert made.leaks == ("the files of folds select on speakers that are also trained on",)


def test_where_the_files_lie_is_no_part_of_the_hash(tmp_path: Path) -> None:
    """Equal folds are one split wherever they were read from; other folds are another."""
    held = corpus()
    one = make_split(held, from_files(emobox(tmp_path / "a", held, {1: ["s00"]})))
    two = make_split(held, from_files(emobox(tmp_path / "b" / "c", held, {1: ["s00"]})))
    other = make_split(held, from_files(emobox(tmp_path / "d", held, {1: ["s01"]})))
    assert one.hash == two.hash != other.hash
    assert str(tmp_path) not in repr(one)


def test_one_file_names_fold_and_part_of_every_line(tmp_path: Path) -> None:
    """Folds that somebody made for themselves need one file only."""
    held = corpus()
    rows = [
        {"key": u.id, "fold": fold, "split": "test" if u.speaker == test else "train"}
        for fold, test in ((1, "s00"), ("later", "s03"))
        for u in held.utterances
    ]
    made = make_split(held, from_files(write(tmp_path / "folds.jsonl", rows)))
    assert [fold.name for fold in made.folds] == ["fold1", "later"]
    assert speakers(held, made.folds[1].test) == {"s03"}


def test_utterances_of_other_classes_are_left_out_of_the_files(tmp_path: Path) -> None:
    """A line of a class that the protocol leaves out is no mistake."""
    held = corpus()
    emobox(tmp_path, held, {1: ["s00"]})
    made = make_split(held, from_files(tmp_path, labels=("anger", "sadness")))
    (fold,) = made.folds
    assert not any("neutral" in i for part in Part for i in fold.part(part))


def test_lines_are_matched_by_the_audio_file_too(tmp_path: Path) -> None:
    """By its name, and by its folders where several files have one name."""
    utterances = tuple(
        Utterance(id=f"{speaker}_{emotion}", speaker=speaker, emotion=emotion,
                  audio=AudioFile(path=Path(f"/data/savee/{speaker}/{emotion}01.wav")))
        for speaker in ("DC", "JE", "JK", "KL") for emotion in ("anger", "sadness")
    )  # fmt: skip
    held = Corpus(
        name="s", utterances=utterances, labels=("anger", "sadness"), licence="", source=""
    )
    for part, names in (("train", ("JE", "JK", "KL")), ("test", ("DC",))):
        rows = [
            {"key": f"savee-{n}-{e}01", "wav": f"downloads\\savee\\AudioData\\{n}\\{e}01.wav"}
            for n in names
            for e in ("anger", "sadness")
        ]
        write(tmp_path / f"savee_{part}_fold_1.jsonl", rows)
    (fold,) = make_split(held, from_files(tmp_path, validation=1)).folds
    assert set(fold.test) == {"DC_anger", "DC_sadness"}
    write(tmp_path / "savee_test_fold_1.jsonl", [{"wav": "other/anger01.wav"}])
    with pytest.raises(BadFile, match=r"fold_1.jsonl:1: .*may be any of DC_anger, JE_anger, JK_an"):
        make_split(held, from_files(tmp_path, validation=1))


def test_the_older_names_beside_the_newer_are_not_read(tmp_path: Path) -> None:
    """EmoDB's folders have both in some versions; the loader of EmoBox reads those with _."""
    held = corpus()
    emobox(tmp_path, held, {1: ["s00"]})
    write(tmp_path / "fold_1" / "tiny_test_fold1.jsonl", [{"key": "s05-anger-0"}])
    (fold,) = make_split(held, from_files(tmp_path)).folds
    assert speakers(held, fold.test) == {"s00"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"key": "tiny-s00-angry-0"}', r'jsonl:2: "tiny-s00-angry-0" is no utterance.*"s00-anger'),
        ('{"key": "s00-anger-0"}', r"jsonl:2: s00-anger-0 stands in this fold already: line 1 of"),
        ('{"emo": "anger"}', r'jsonl:2: has neither "key" nor "wav"'),
        ("[1]", r"jsonl:2: expected an object"),
        ("{", r"jsonl:2: is no JSON"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    """File and line, and the nearest utterance."""
    file = tmp_path / "x_test_fold_1.jsonl"
    file.write_text(f'{{"key": "s00-anger-0"}}\n{line}\n', encoding="utf-8")
    with pytest.raises(BadFile, match=message):
        make_split(corpus(), from_files(tmp_path))


def test_wrong_places_of_folds_are_named(tmp_path: Path) -> None:
    """No folder, no folds in it, two corpora in it, or the setting where it means nothing."""
    held = corpus()
    with pytest.raises(BadFile, match="no such file or folder of folds"):
        make_split(held, from_files(tmp_path / "nowhere"))
    with pytest.raises(BadFile, match="has no fold: expected files such as"):
        make_split(held, from_files(tmp_path))
    with pytest.raises(BadValue, match=r"protocol\.folds = ''"):
        make_split(held, ProtocolSpec(split="file"))
    with pytest.raises(BadValue, match=r"protocol\.folds = 'x'"):
        make_split(held, ProtocolSpec(folds="x"))
    emobox(tmp_path / "tiny", held, {1: ["s00"]})
    emobox(tmp_path / "other", held, {1: ["s00"]})
    with pytest.raises(BadFile, match="is the same part of the same fold as"):
        make_split(held, from_files(tmp_path))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"key": "s00-anger-0", "split": "test"}, 'has no "fold"'),
        ({"key": "s00-anger-0", "fold": 1, "split": "tset"}, 'did you mean "test"'),
        ({"key": "s00-anger-0", "fold": "../x", "split": "test"}, "letters and digits"),
    ],
)
def test_a_single_file_says_where_each_line_belongs(
    tmp_path: Path, row: Mapping[str, object], message: str
) -> None:
    """Fold and part of every line are needed, and known."""
    file = write(tmp_path / "folds.jsonl", [row])
    with pytest.raises((BadFile, UnknownName), match=message):
        make_split(corpus(), from_files(file))


def test_too_few_training_speakers_to_validate_are_told(tmp_path: Path) -> None:
    """What can be done instead stands in the message."""
    held = corpus(2)
    emobox(tmp_path, held, {1: ["s00"]})
    with pytest.raises(BadValue, match="fewer than the 1 training speakers of fold1, or 0 with"):
        make_split(held, from_files(tmp_path, validation=1))
    made = make_split(held, from_files(tmp_path, validation=0, selection="last-epoch"))
    assert made.folds[0].validation == ()
