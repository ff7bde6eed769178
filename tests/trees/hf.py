"""A dataset of two splits, laid out as ``DatasetDict.save_to_disk`` writes it."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from trees.sounds import sound

NAMES = ["angry", "happy", "neutral"]
FEATURES = {
    "audio": {"sampling_rate": 16000, "_type": "Audio"},
    "label": {"names": NAMES, "_type": "ClassLabel"},
    "speaker_id": {"dtype": "int64", "_type": "Value"},
    "transcription": {"dtype": "string", "_type": "Value"},
}


def build(root: Path) -> None:
    """Six speakers; the first row names a sound file, all others hold their audio."""
    sound(root / "train" / "clips" / "first.wav")
    for split, speakers in (("train", range(4)), ("test", range(4, 6))):
        save(root / split, rows(speakers, external="train/clips/first.wav"))
    splits = {"splits": ["train", "test"]}
    (root / "dataset_dict.json").write_text(json.dumps(splits), encoding="utf-8")


def rows(speakers: range, external: str = "") -> pa.Table:
    """Three utterances of each speaker, and one of no class."""
    found: dict[str, list[Any]] = {name: [] for name in FEATURES}
    for speaker in speakers:
        for label in (0, 1, 2, -1) if speaker == 1 else (0, 1, 2):
            seed = 10 * speaker + label + 1
            outside = external if speaker + label == 0 else ""
            found["audio"].append(
                {"bytes": None if outside else wave(seed), "path": outside or f"{seed}.wav"}
            )
            found["label"].append(label)
            found["speaker_id"].append(speaker)
            found["transcription"].append("it's eleven o'clock")
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({**found, "audio": pa.array(found["audio"], kind)})
    told = json.dumps({"info": {"features": FEATURES}})
    return table.replace_schema_metadata({"huggingface": told})


def wave(seed: int) -> bytes:
    """A short WAV file of noise."""
    file = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, 4800)
    soundfile.write(file, noise, 16000, format="WAV")
    return file.getvalue()


def save(folder: Path, table: pa.Table) -> None:
    """One split: two files of rows, and the list of them."""
    folder.mkdir(parents=True, exist_ok=True)
    half = table.num_rows // 2
    names = [f"data-{n:05}-of-00002.arrow" for n in range(2)]
    for name, part in zip(names, (table[:half], table[half:]), strict=True):
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(part)
    state = {"_data_files": [{"filename": name} for name in names], "_split": folder.name}
    (folder / "state.json").write_text(json.dumps(state), encoding="utf-8")


def save_parquet(folder: Path, split: str, table: pa.Table) -> None:
    """The same as shards of Parquet, of several row groups."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    half = table.num_rows // 2
    for n, part in enumerate((table[:half], table[half:])):
        path = folder / "data" / f"{split}-{n:05}-of-00002.parquet"
        pq.write_table(part, path, row_group_size=4)
