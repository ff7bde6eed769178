"""The command line: what a person types, what they read, and the exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serlab.__main__ import main
from serlab.bench.cache import Cache

STUDY = """
question = "Does it run?"
seeds = [0]
[base]
system = "li2018"
set = { epochs = 1 }
[[corpora]]
name = "manifest"
options = { file = "corpus.csv" }
[protocol]
validation = 1
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features go into a folder of the tests' own, and no corpus is at hand by accident."""
    monkeypatch.setenv("SERLAB_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("SERLAB_DATA", raising=False)


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("systems", "li2018"),
        ("slots", "pooling = attention"),
        ("corpora", "emodb"),
        ("features", "log_mel"),
        ("splits", "leave-one-speaker-out"),
        ("studies", "quick"),
        ("metrics", "ua"),
    ],
)
def test_lists_name_what_there_is(
    what: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As text and as JSON."""
    assert main(["list", what]) == 0
    assert expected in capsys.readouterr().out
    assert main(["list", what, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert expected in {row["name"] for row in rows}
    assert all(row["summary"] for row in rows)


def test_describe_tells_slots_and_size(capsys: pytest.CaptureFixture[str]) -> None:
    """Changes are shown; JSON has the same facts."""
    assert main(["describe", "li2018", "--preset", "paper", "--set", "pooling=max"]) == 0
    text = capsys.readouterr().out
    assert "* max" in text
    assert "93,492 parameters" in text
    assert main(["describe", "li2018", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slots"]["pooling"]["chosen"] == "attention_sum"


def test_plan_counts_without_running(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--plan` says how many folds there are and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    assert main(["run", "quick", "--plan"]) == 0
    assert "folds" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_audit_of_a_leaking_study(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and a line for each leak; 0 where there is none."""
    assert main(["data", "audit", "quick"]) == 0
    capsys.readouterr()
    words = ["data", "audit", "quick", "--set", "protocol.split=random-utterances"]
    assert main(words) == 1
    assert "leak" in capsys.readouterr().out
    assert main([*words, "--json"]) == 1
    assert any(row["severity"] == "leak" for row in json.loads(capsys.readouterr().out))


def test_check_of_the_embedded_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded corpus is clean, and the JSON says how much there is."""
    words = ["data", "check", "synth", "--option", "utterances=18"]
    assert main(words) == 0
    assert "18" in capsys.readouterr().out
    assert main([*words, "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_check_of_several_corpora(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Options name their corpus, JSON is a list, and the exit code is the worst."""
    table = recordings(tmp_path)
    words = ["data", "check", "synth", "manifest", "--root", f"manifest={tmp_path}"]
    words += ["--option", "synth.utterances=18", "--option", f"manifest.file={table.name}"]
    assert main(words) == 1
    assert "duplicate: s0-anger and s0-sadness" in capsys.readouterr().out
    assert main([*words, "--json"]) == 1
    reports = json.loads(capsys.readouterr().out)
    assert [(r["corpus"], r["exit_code"]) for r in reports] == [("synth", 0), ("manifest", 1)]
    assert "expected CORPUS.KEY=VALUE" in refused([*words, "--option", "file=x"], capsys)
    assert "no corpus that is checked" in refused([*words, "--option", "emodb.x=1"], capsys)


def test_cache_is_told_and_shrunk(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Info tells what there is; prune keeps what fits, of which the newest."""
    cache = Cache(tmp_path)
    for number in range(4):
        cache.put(f"{number:064x}", np.zeros((500, 1), np.float32))
        os.utime(cache.path(f"{number:064x}"), (number, number))
    words = ["--dir", str(tmp_path)]
    assert main(["cache", "info", *words]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path}: 8.5 KB" in told
    assert "4 arrays of features, 0 hashes of files" in told
    assert main(["cache", "prune", "--to", "4.3kB", *words]) == 0
    assert "2 files removed, 4.3 KB; 4.3 KB left" in capsys.readouterr().out
    assert main(["cache", "prune", "--to", "0", "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out)["bytes_left"] == 0
    assert main(["cache", "info", "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out)["n_arrays"] == 0
    for wrong in ("much", "-1GB", "1e3", "5 XB", ""):
        assert "such as 20GB" in refused(["cache", "prune", f"--to={wrong}", *words], capsys)


def recordings(folder: Path, speakers: int = 4) -> Path:
    """A manifest corpus of noise, two classes by every speaker."""
    rows = ["path,speaker,emotion"]
    for s in range(speakers):
        for emotion in ("anger", "sadness"):
            name = f"s{s}-{emotion}.wav"
            noise = np.random.default_rng(s).normal(0, 0.1, 16_000)
            soundfile.write(folder / name, noise, 16_000)
            rows.append(f"{name},s{s},{emotion}")
    path = folder / "corpus.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def study_of(folder: Path) -> list[str]:
    """The words that run a study on the recordings in a folder."""
    study = folder / "mine.toml"
    study.write_text(STUDY)
    return ["run", str(study), "--out", str(folder / "run"), "--root", f"manifest={folder}"]


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a mistake is answered with."""
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("serlab: ")
    assert "Traceback" not in error
    return error


def test_misspelt_slot(capsys: pytest.CaptureFixture[str]) -> None:
    """1. The nearest name is suggested."""
    error = refused(["run", "quick", "--set", "ablate.poolin=['max']"], capsys)
    assert 'did you mean "pooling"' in error


def test_wrong_type(capsys: pytest.CaptureFixture[str]) -> None:
    """2. The key, the value, and what was expected."""
    error = refused(["run", "quick", "--set", "base.set.epochs='ten'"], capsys)
    assert "epochs = 'ten': expected an integer" in error


def test_missing_corpus_folder(capsys: pytest.CaptureFixture[str]) -> None:
    """3. How a folder is given."""
    assert "--root emodb=DIR" in refused(["run", "li2018_emodb"], capsys)
    error = refused(["run", "li2018_emodb", "--root", "emodb=/nowhere"], capsys)
    assert "/nowhere" in error
    assert "NAME=DIR" in refused(["data", "check", "emodb", "--root", "emodb"], capsys)


def test_empty_corpus(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """4. What names were expected, in a folder that has none of them."""
    error = refused(["data", "check", "emodb", "--root", f"emodb={tmp_path}"], capsys)
    assert str(tmp_path) in error


def test_text_file_named_wav(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """5. The file is named before anything is trained."""
    recordings(tmp_path)
    (tmp_path / "s1-anger.wav").write_text("this is no audio")
    error = refused(study_of(tmp_path), capsys)
    assert "s1-anger.wav" in error


def test_one_speaker_only(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """6. How many speakers the split needs, and how many there are."""
    recordings(tmp_path, speakers=1)
    error = refused(study_of(tmp_path), capsys)
    assert "needs at least 3 speakers" in error


def test_class_missing_from_training(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """7. Which fold lacks which class."""
    manifest = recordings(tmp_path)
    lines = [x for x in manifest.read_text().splitlines() if "s0" in x or "sadness" not in x]
    manifest.write_text("\n".join(lines) + "\n")
    error = refused(study_of(tmp_path), capsys)
    assert "training part has no utterance of sadness" in error


def test_unwritable_output(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """8. The folder, before any work."""
    (tmp_path / "file").write_text("")
    error = refused(["run", "quick", "--out", str(tmp_path / "file" / "run")], capsys)
    assert "cannot write the run here" in error


def test_unknown_metric(capsys: pytest.CaptureFixture[str]) -> None:
    """9. The metrics that there are."""
    assert 'did you mean "ua"' in refused(["run", "quick", "--set", "metric=uar"], capsys)


def test_nan_in_audio(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """10. The file that holds it."""
    recordings(tmp_path)
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000)
    noise[100] = np.nan
    soundfile.write(tmp_path / "s2-anger.wav", noise, 16_000, subtype="FLOAT")
    error = refused(study_of(tmp_path), capsys)
    assert "s2-anger.wav" in error
    assert "NaN" in error


def test_other_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A report of nothing, a plugin that is none, a device that is not there."""
    assert "holds no run" in refused(["report", str(tmp_path)], capsys)
    assert "importable" in refused(["list", "systems", "--plugin", "no_such_module"], capsys)
    assert "cpu or cuda" in refused(["run", "quick", "--device", "tpu"], capsys)
    assert "no system" in refused(["describe", "li2O18"], capsys)


def test_usage_errors_exit_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    """Argparse's own mistakes have the same code."""
    with pytest.raises(SystemExit) as end:
        main(["rn"])
    assert end.value.code == 2
    assert "invalid choice" in capsys.readouterr().err
