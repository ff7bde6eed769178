"""One run gives one report, to the last byte, on whatever day and in whatever country."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

WRITE = """
import locale, sys, time
from pathlib import Path
from serlab.reports.report import write_report
for name in ("de_DE.UTF-8", "fr_FR.UTF-8", ""):
    try:
        locale.setlocale(locale.LC_ALL, name)
        break
    except locale.Error:
        pass
write_report(Path(sys.argv[1]), Path(sys.argv[2]))
"""
WORLDS = (
    {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"},
    {
        "PYTHONHASHSEED": "2",
        "TZ": "America/St_Johns",
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
        "SOURCE_DATE_EPOCH": "1",
    },
)


def written(run: Path, out: Path, world: dict[str, str]) -> dict[str, bytes]:
    """Every file of the report, by its path, as a process of that world writes it."""
    subprocess.run(
        [sys.executable, "-c", WRITE, str(run), str(out)],
        env={key: value for key, value in os.environ.items() if key != "LANG"} | world,
        check=True,
        timeout=600,
    )
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_every_file_of_a_report_has_the_same_bytes(fake: ModuleType, tmp_path: Path) -> None:
    """Other hashes of text, another time zone, another language, another default encoding."""
    study = fake.FakeStudy(
        skill={"base": 0.8, "pooling=max": 0.7, "情感=é": 0.5},
        labels=("anger", "joy", "怒り"),
        corpora=("one", "two"),
        seeds=(0, 1),
        per_cell=5,
        transductive={"pooling=max": "it sees the test speakers"},
        probes={"base": 0.5},
    )
    run = fake.write_fake_run(tmp_path / "run", study)
    first, second = (written(run, tmp_path / f"{i}", world) for i, world in enumerate(WORLDS))
    assert {"index.html", "report.md", "tables.tex"} <= first.keys()
    assert {Path(name).suffix for name in first} >= {".pdf", ".svg", ".png", ".csv", ".txt", ".md"}
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
