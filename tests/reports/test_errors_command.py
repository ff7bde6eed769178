"""The error browser of a report that the command writes: corpora found, read, shown and played."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from serlab.__main__ import main
from serlab.bench.contracts import Audio
from serlab.bench.corpora.base import corpus_digest, load_corpus
from serlab.reports.error_cards import N_CARDS, errors_of
from serlab.reports.frame import load_frame
from serlab.reports.join import join
from serlab.reports.recordings import Listening, flac_uri

RATE = 16000
LABELS = ("anger", "joy", "neutral", "sadness")
FOLDER = "speech"


@pytest.fixture(scope="module")
def heard(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, and beside it its corpus: parts of one long stereo file a speaker."""
    home = tmp_path_factory.mktemp("heard")
    study = fake.FakeStudy(
        skill={"base": 0.4, "b": 0.6}, per_cell=2, seeds=(0, 1), meters=False, synthetic=False,
        groups={"accent": dict.fromkeys(("s1", "s2", "s3", "s4", "s5"), "northern")},
    )  # fmt: skip
    run: Path = fake.write_fake_run(home / "run", study)
    (home / FOLDER).mkdir()
    lines = ["id,path,start,end,speaker,emotion"]
    for speaker in study.speakers:
        rng = np.random.default_rng(list(speaker.encode()))
        wave = rng.integers(-9000, 9000, (4 * RATE, 2)).astype(np.int16) // 2 * 2
        soundfile.write(home / FOLDER / f"{speaker}.wav", wave, RATE, subtype="PCM_16")
        for place in range(8):
            c, i = divmod(place, 2)
            start = f"{place / 2},{place / 2 + 0.5}"
            lines.append(f"{speaker}-{c}-{i},{speaker}.wav,{start},{speaker},{LABELS[c]}")
    (home / FOLDER / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    corpus = load_corpus("manifest", roots={"manifest": home / FOLDER})
    tell(run, data=corpus_digest(corpus), name="manifest")
    return run


def decoded(uri: str) -> tuple[Any, int]:  # an array of 16-bit samples
    """The samples that an address holds, and their rate."""
    head, _, text = uri.partition(",")
    assert head == "data:audio/flac;base64"
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(text)), dtype="int16")
    return samples, rate


def tell(run: Path, *, data: str, name: str) -> None:
    """Writes into a fake run what its corpus was read from."""
    path = run / "resolved.json"
    held = json.loads(path.read_text())
    held["study"]["corpora"] = [{"name": name, "options": {}}]
    held["corpora"][0]["data"] = data
    path.write_text(json.dumps(held))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without figures, and no corpora that the machine has."""
    monkeypatch.setattr("serlab.reports.figure.FIGURES.entries", dict)
    monkeypatch.delenv("SERLAB_DATA", raising=False)


Command = Callable[..., tuple[str, str]]


@pytest.fixture
def page(quick: None, heard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Writes a report and returns its page and what was said."""

    def made(*words: str, run: Path = heard) -> tuple[str, str]:
        assert main(["report", str(run), *words, "--out", str(tmp_path / "out")]) == 0
        text = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
        return text, capsys.readouterr().err

    return made


def policy(text: str) -> str:
    """The page's policy."""
    found = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert found
    return unescape(found[1])


def test_page_plays_parts_of_long_files(page: Command, heard: Path) -> None:
    """What the page holds is the mean of the channels of the part, bit by bit; the rest agrees."""
    text, said = page("--root", f"manifest={heard.parent / FOLDER}", "--with-audio")
    sounds = re.findall(
        r'<audio controls preload="metadata" src="([^"]+)" aria-label="([^"]+)"', text
    )
    assert len(sounds) == N_CARDS
    for uri, words in sounds:
        name = words.removeprefix("Recording of ")
        speaker, c, i = name.split("-")
        first = (int(c) * 2 + int(i)) * RATE // 2
        whole, _ = soundfile.read(heard.parent / FOLDER / f"{speaker}.wav", dtype="int16")
        samples, rate = decoded(uri)
        assert rate == RATE
        assert np.array_equal(samples, whole[first : first + RATE // 2].mean(axis=1))
    assert "media-src data:;" in policy(text)
    told = "This page holds recordings of speakers: 12 recordings of synth"
    assert told in text
    assert told in said
    assert "Licence of the corpus: Apache-2.0." in said
    assert "is not the very one" not in text
    assert "accent <bdi>northern</bdi>" in text


def test_page_without_sound(page: Command, heard: Path) -> None:
    """Pictures alone; nothing may be played, and nothing but the page's own data be loaded."""
    text, said = page("--root", f"manifest={heard.parent / FOLDER}")
    assert text.count("data:image/png;base64,") == N_CARDS
    assert "<audio" not in text
    assert "data:audio" not in text
    assert "media-src" not in policy(text)
    assert "default-src 'none'" in policy(text)
    assert said == ""
    alts = re.findall(r'alt="(Spectrogram of [^"]+)"', text)
    assert len(alts) == N_CARDS
    assert all("0.50 s, loudest at" in alt for alt in alts)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    listed = data["corpora"][0]["errors"]
    assert [one["id"] for one in listed] == [alt.split()[2].rstrip(":") for alt in alts]
    assert listed[0]["groups"] == {"accent": "northern"}
    assert 'href="tables/errors.csv"' in text


def test_two_pages_have_the_same_bytes(page: Command, heard: Path) -> None:
    """Pictures and sound depend on nothing but the recordings."""
    words = "--root", f"manifest={heard.parent / FOLDER}", "--with-audio"
    assert page(*words)[0] == page(*words)[0]


def test_corpus_that_is_not_at_hand(page: Command) -> None:
    """The report is written, and says what is missing and how to give it."""
    text, _ = page()
    assert "No spectrograms: the corpus synth cannot be read here" in text
    assert "--root manifest=DIR" in text
    assert text.count('<ul class="bars"') == N_CARDS


def test_sound_of_a_corpus_that_is_not_at_hand(
    quick: None, heard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is refused before anything is written, and the text names the corpus and the option."""
    out = tmp_path / "out"
    assert main(["report", str(heard), "--out", str(out), "--with-audio"]) == 2
    told = capsys.readouterr().err
    assert "--with-audio" in told
    assert "--root manifest=DIR" in told
    assert not out.exists()


def test_changed_corpus_is_told(page: Command, heard: Path, tmp_path: Path) -> None:
    """Where the hash is another, page and command say that it is not what was tested."""
    run = tmp_path / "run"
    run.mkdir()
    for path in heard.rglob("*"):
        target = run / path.relative_to(heard)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(path.read_bytes())
    tell(run, data="0" * 64, name="manifest")
    text, said = page("--root", f"manifest={heard.parent / FOLDER}", run=run)
    told = "is not the very one that was tested"
    assert told in text
    assert told in said
    assert text.count("data:image/png;base64,") == N_CARDS


def test_joined_runs_find_their_corpus(
    page: Command, fake: ModuleType, heard: Path, tmp_path: Path
) -> None:
    """In a report of two runs of one corpus the first one's base has pictures."""
    study = fake.FakeStudy(
        name="second", skill={"base": 0.9, "c": 0.8}, per_cell=2, seeds=(0, 1), meters=False,
        synthetic=False,
    )  # fmt: skip
    second = fake.write_fake_run(tmp_path / "second", study)
    tell(second, data=json.loads((heard / "resolved.json").read_text())["corpora"][0]["data"],
         name="manifest")  # fmt: skip
    text, _ = page(str(second), "--root", f"manifest={heard.parent / FOLDER}")
    assert text.count("data:image/png;base64,") == N_CARDS
    (block,) = join([load_frame(heard), load_frame(second)]).blocks
    found = errors_of(block, Listening(), 0)
    assert found.n_others == 3
    first = found.cards[0]
    assert f"<bdi>{first.id}</bdi>" in text
    assert first.also in text


def test_a_report_with_sound_loads_no_torch(heard: Path, tmp_path: Path) -> None:
    """Corpora of files and the embedded one are read and drawn without it, ray or optuna."""
    words = ["report", str(heard), "--out", str(tmp_path / "out"), "--with-audio"]
    words += ["--root", f"manifest={heard.parent / FOLDER}"]
    code = (
        "import sys\nfrom serlab.__main__ import main\nfrom serlab.reports.figure import FIGURES\n"
        "FIGURES.entries = dict\n"
        f"assert main({words!r}) == 0\n"
        "from pathlib import Path\nfrom serlab.bench.corpora.base import load_corpus\n"
        "from serlab.reports.spectrogram import spectrogram\n"
        "assert spectrogram(load_corpus('synth', roots={}).utterances[0].audio.read()).png()\n"
        "assert not {'torch', 'ray', 'optuna'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_samples_are_rounded_and_cut() -> None:
    """Sixteen bits, full scale at most, at a rate that no device has."""
    held = np.array([0, 0.25, 1.5, -1.5, 1.4 / 32768, 1.6 / 32768], np.float32)
    samples, rate = decoded(flac_uri(Audio(samples=held, rate_hz=11025)))
    assert (samples.tolist(), rate) == ([0, 8192, 32767, -32768, 1, 2], 11025)
