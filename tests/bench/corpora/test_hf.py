"""Datasets of Hugging Face on disk: Arrow and Parquet, audio inside and beside."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trees.hf import NAMES, build, rows, save, save_parquet, wave
from trees.sounds import sound

from serlab.bench.audio import AudioFile
from serlab.bench.cache import Cache
from serlab.bench.contracts import Corpus, FeatureSpec, ProtocolSpec
from serlab.bench.corpora.base import corpus_digest, load_corpus
from serlab.bench.corpora.hf import AudioBytes
from serlab.bench.errors import BadFile, SerlabError
from serlab.bench.features.extraction import extract
from serlab.bench.protocols import make_split


def read(root: Path, **options: str) -> Corpus:
    return load_corpus("hf", roots={"hf": root}, options=options)


def test_splits_classes_and_speakers(tmp_path: Path) -> None:
    """Splits are partitions, indices of classes their names, -1 no class."""
    build(tmp_path)
    held = read(tmp_path)
    assert held.labels == ("anger", "happiness", "neutral")
    assert Counter(u.partition for u in held.utterances) == {"train": 13, "test": 6}
    assert len({u.speaker for u in held.utterances}) == 6
    first, second = held.utterances[:2]
    assert first.audio == AudioFile(path=tmp_path / "train/clips/first.wav")
    assert (first.id, first.emotion, first.speaker) == ("train-0", "anger", "0")
    assert second.text == "it's eleven o'clock"
    assert second.facts == {"split": "train"}
    (none,) = (u for u in held.utterances if u.emotion is None)
    assert none.facts["label"] == "none"
    made = make_split(held, ProtocolSpec(split="fixed", validation=1))
    assert {held.by_id()[i].speaker for i in made.folds[0].test} == {"4", "5"}


def test_audio_inside_is_what_was_put_in(tmp_path: Path) -> None:
    """Each row's own bytes, from every file and row group, also in a process of its own."""
    save(tmp_path / "arrow", rows(range(4)))
    save_parquet(tmp_path / "parquet", "train", rows(range(4)))
    for kind in ("arrow", "parquet"):
        held = read(tmp_path / kind)
        assert len(held.utterances) == 13
        for u in held.utterances:
            label = NAMES.index(
                {"anger": "angry", "happiness": "happy"}.get(u.emotion or "", "neutral")
            )
            seed = 10 * int(u.speaker) + (label if u.emotion else -1) + 1
            source = pickle.loads(pickle.dumps(u.audio))  # as worker processes get it
            assert isinstance(source, AudioBytes)
            rng = np.random.default_rng(seed)
            np.testing.assert_allclose(source.read().samples, rng.normal(0, 0.1, 4800), atol=1e-4)
            assert source.name().startswith(str(tmp_path))


def test_workers_extract_from_a_dataset(tmp_path: Path) -> None:
    """Features are those of the same audio in files, and cached."""
    save(tmp_path / "arrow", rows(range(2)))
    held = read(tmp_path / "arrow").utterances
    cache = Cache(tmp_path / "cache")
    spec = FeatureSpec(name="functionals")
    found = extract(spec, held, cache=cache)
    (tmp_path / "x.wav").write_bytes(wave(2))
    beside = AudioFile(path=tmp_path / "x.wav")
    np.testing.assert_array_equal(
        found["arrow-1"],
        extract(spec, [type(held[0])(id="x", speaker="s", audio=beside)])["x"],
    )


def test_what_it_holds_is_hashed(tmp_path: Path) -> None:
    """By the bytes of its files, wherever they lie."""
    for name in "ab":
        save(tmp_path / name / "train", rows(range(2)))
    save(tmp_path / "c" / "train", rows(range(1, 3)))
    one, two, other = (corpus_digest(read(tmp_path / name / "train")) for name in "abc")
    assert one == two != other


def test_as_the_library_writes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders of the library itself, of one split and of several, and its Parquet."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("datasets")
    audio = {"bytes": library.Value("binary"), "path": library.Value("string")}
    plain = library.Features(
        {
            "audio": audio,
            "emotion": library.ClassLabel(names=NAMES),
            "speaker": library.Value("string"),
        }
    )
    made = library.Dataset.from_dict(
        {
            "audio": [{"bytes": wave(n), "path": f"{n}.wav"} for n in range(4)],
            "emotion": [0, 1, 2, 0],
            "speaker": list("abab"),
        },
        features=plain,
    ).cast(library.Features({**plain, "audio": library.Audio(sampling_rate=16000)}))
    made.save_to_disk(str(tmp_path / "one"))
    library.DatasetDict({"train": made, "test": made}).save_to_disk(str(tmp_path / "two"))
    made.to_parquet(str(tmp_path / "three" / "test-00000-of-00001.parquet"))
    for name, parts in (("one", [None]), ("two", ["train", "test"]), ("three", ["test"])):
        held = read(tmp_path / name)
        assert list(dict.fromkeys(u.partition for u in held.utterances)) == parts
        assert [u.emotion for u in held.utterances[:4]] == [
            "anger",
            "happiness",
            "neutral",
            "anger",
        ]
        assert [u.speaker for u in held.utterances[:4]] == list("abab")
        for u in held.utterances:
            assert u.heard().read().duration_s == pytest.approx(0.3)


def parquet(root: Path, columns: dict[str, Any], name: str = "train.parquet") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), root / name)
    return root


def test_columns_of_other_names_and_kinds(tmp_path: Path) -> None:
    """Paths for audio, words for classes; ids where they tell all apart; renamed labels."""
    sound(tmp_path / "a.wav")
    columns = {
        "clip": ["a.wav", "a.wav"],
        "mood": ["lively", "HAPPY"],
        "who": ["x", "y"],
        "utt_id": ["u1", "u2"],
        "age": [30.0, None],
    }
    held = read(
        parquet(tmp_path, columns),
        audio="clip", emotion="mood", speaker="who", rename="lively=excitement",
    )  # fmt: skip
    assert [u.id for u in held.utterances] == ["u1", "u2"]
    assert [u.emotion for u in held.utterances] == ["excitement", "happiness"]
    assert [u.facts.get("age") for u in held.utterances] == ["30.0", None]
    parquet(tmp_path, columns, "test.parquet")
    held = read(tmp_path, audio="clip", emotion="mood", speaker="who")
    assert [u.id for u in held.utterances] == ["test-0", "test-1", "train-0", "train-1"]


def test_speakers_are_asked_for(tmp_path: Path) -> None:
    """Without them a split cannot be told to be independent, and is marked where forced."""
    cells = [wave(n) for n in range(12)]
    parquet(tmp_path, {"audio": cells, "label": ["sad", "happy"] * 6})
    with pytest.raises(SerlabError, match=r"no column is called speaker.*speaker-independent"):
        read(tmp_path)
    held = read(tmp_path, speaker="none")
    assert {u.speaker for u in held.utterances} == {"unknown"}
    assert make_split(held, ProtocolSpec(split="random-utterances")).leaks
    with pytest.raises(SerlabError, match="the corpus has 1: unknown"):
        make_split(held, ProtocolSpec())


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"audio": [b""], "label": ["sad"], "speaker": [None]}, r'row 1: column "speaker" is emp'),
        ({"audio": [None], "label": ["sad"], "speaker": ["a"]}, r'row 1: column "audio" has neit'),
        ({"audio": ["a.wav"], "label": ["sad"], "speaker": ["a"]}, r"row 1: .*there is no file"),
        ({"audio": [7], "label": ["sad"], "speaker": ["a"]}, r'column "audio" is int64: expected'),
        ({"audio": [b""], "label": [[1]], "speaker": ["a"]}, r'column "label" \(emotion\) is list'),
        ({"label": ["sad"], "speaker": ["a"]}, r"no column is called audio or speech or file"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    """File, row and column."""
    if columns.get("audio") == [None]:
        columns = {**columns, "audio": pa.array([None], pa.binary())}
    if columns["speaker"] == [None]:
        columns = {**columns, "speaker": pa.array([None], pa.string())}
    with pytest.raises(SerlabError, match=message):
        read(parquet(tmp_path, columns))


def test_broken_audio_and_files_are_named(tmp_path: Path) -> None:
    """Empty or cut audio when it is read; a file that is no table, or no list, at once."""
    data = wave(1)
    parquet(
        tmp_path / "a",
        {"audio": [b"", data[:100], b"noise"], "label": ["sad"] * 3, "speaker": ["a"] * 3},
    )
    empty, cut, noise = read(tmp_path / "a").utterances
    for u, message in ((empty, "row 1: is empty"), (cut, "row 2: is truncated"),
                       (noise, "row 3: is no audio")):  # fmt: skip
        with pytest.raises(BadFile, match=message):
            u.heard().read()
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "train.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(BadFile, match="cannot be read as a table"):
        read(tmp_path / "b")
    save(tmp_path / "c", rows(range(2)))
    (tmp_path / "c" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(BadFile, match=r"data-00001-of-00002\.arrow: cannot be read"):
        read(tmp_path / "c")
    (tmp_path / "c" / "state.json").write_text("[]", encoding="utf-8")
    with pytest.raises(BadFile, match=r"state\.json: expected an object"):
        read(tmp_path / "c")
    state = {"_data_files": [], "_indices_data_files": [{"filename": "i.arrow"}]}
    (tmp_path / "c" / "state.json").write_text(json.dumps(state), encoding="utf-8")
    with pytest.raises(BadFile, match="saved with a table of indices"):
        read(tmp_path / "c")
    (tmp_path / "c" / "state.json").unlink()
    with pytest.raises(BadFile, match=r"expected dataset_dict\.json"):
        read(tmp_path / "c")
