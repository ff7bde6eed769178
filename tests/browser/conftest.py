"""A headless Chromium, the accessibility checker axe-core, and reports for both to look at."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from serlab.bench.contracts import Audio, Status, Utterance
from serlab.reports.recordings import Listening, Recordings
from serlab.reports.report import Way, write_report

AXE = "axe-core@4.14.1"
HOSTILE = (
    "<script>alert('arm')</script>",
    "a \"quoted\" $x_1$ 100% & <img src='http://example.invalid/x.png'>",
    "情感 \u202eenola",
    "מודל עם קשב",
    "n" * 300,
)


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"there is no {name} (Debian: apt-get install chromium chromium-driver)")
    return found


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that resolves no host name."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the group `browser`")
    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium")
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        f"--user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.ChromeService(executable_path=_program("chromedriver"))
    held = webdriver.Chrome(options=options, service=service)
    yield held
    held.quit()


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text of axe.min.js: the file that SERLAB_AXE names, or npm's package."""
    named = os.environ.get("SERLAB_AXE")
    if named:
        return Path(named).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm to fetch axe-core with (or set SERLAB_AXE to axe.min.js)")
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        [npm, "pack", "--silent", AXE], cwd=folder, capture_output=True, text=True, timeout=120
    )
    if packed.returncode != 0:
        pytest.skip(f"npm cannot fetch {AXE} (or set SERLAB_AXE to axe.min.js): {packed.stderr}")
    shutil.unpack_archive(folder / packed.stdout.split()[-1], folder, filter="data")
    return (folder / "package" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def plain(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the default fake run's page."""
    folder = tmp_path_factory.mktemp("plain")
    return write_report(fake.write_fake_run(folder / "run")).as_uri()


@pytest.fixture(scope="session")
def hostile(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page all of whose names are hostile."""
    study = fake.FakeStudy(
        name=f"study {HOSTILE[0]} $\\frac",
        skill={"base": 0.7, **dict.fromkeys(HOSTILE, 0.5)},
        labels=(f"a{HOSTILE[0]}", "b$_%\\", "c&#", "怒り"),
        speakers=(HOSTILE[0], "s_2$", "דובר", "p\x1b4"),
        leaks=(f"leak {HOSTILE[0]}",),
        lost={(HOSTILE[4], "fold0", 0): Status.FAILED},
        seeds=(0, 1),
    )
    folder = tmp_path_factory.mktemp("hostile")
    return write_report(fake.write_fake_run(folder / "run", study)).as_uri()


@pytest.fixture(scope="session")
def traced(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with a wide table: traces, probes, meters, and two corpora."""
    study = fake.FakeStudy(
        target="traces",
        labels=("arousal", "valence", "liking"),
        skill={"base": 0.6, "levels=one": 0.35, "streams=aligned": 0.8, "weight=0.3": 0.6},
        corpora=("sewa", "recola"),
        per_cell=4,
        n_frames=30,
        seeds=(0, 1),
        transductive={"streams=aligned": "it trains on the test speakers' utterances"},
        probes={"base": 0.9, "streams=aligned": 0.5},
    )
    folder = tmp_path_factory.mktemp("traced")
    return write_report(fake.write_fake_run(folder / "run", study)).as_uri()


class Hum:
    """A source of half a second of a tone."""

    def read(self) -> Audio:
        """The tone, at a rate that few devices have."""
        at = np.arange(5512) / 11025
        return Audio(samples=np.sin(2 * np.pi * 220 * at).astype(np.float32) / 2, rate_hz=11025)

    def name(self) -> str:
        """What it is."""
        return "a tone"


@pytest.fixture(scope="session")
def spoken(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page with pictures and sound of hostile speakers, two of them broken."""
    study = fake.FakeStudy(
        skill={"base": 0.4, "pooling=max": 0.6, "filters=time": 0.5, "svm": 0.3},
        speakers=(HOSTILE[0], HOSTILE[1], "דובר"),
        per_cell=4,
        meters=False,
        synthetic=False,
    )
    known = {
        f"{speaker}-{c}-{i}": Utterance(
            id=f"{speaker}-{c}-{i}",
            speaker=speaker,
            audio=Hum() if c or i else None,
            emotion=label,
            sentence=HOSTILE[2],
        )
        for speaker in study.speakers
        for c, label in enumerate(study.labels)
        for i in range(study.per_cell)
    }
    held = Recordings(utterances=known, note=f"a note {HOSTILE[0]}")
    listening = Listening(source=lambda corpus: held, with_audio=True)
    run = fake.write_fake_run(tmp_path_factory.mktemp("spoken") / "run", study)
    return write_report(run, way=Way(listening=listening)).as_uri()


@pytest.fixture(params=["plain", "hostile", "traced", "spoken"])
def address(request: pytest.FixtureRequest) -> str:
    """Each page in turn."""
    return str(request.getfixturevalue(request.param))
