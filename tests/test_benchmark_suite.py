"""The benchmarks' own tools: pairs of checkouts, and the guide."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

import pairs  # noqa: E402  # lies beside the benchmarks


def rounds(*ratios: float, twin: float = 1.01) -> list[dict[str, dict[str, float]]]:
    """Rounds of one benchmark that both codes have, and of one that only B has."""
    return [
        {
            "A": {"test_x.py::test_a": 0.01},
            "B": {"test_x.py::test_a": 0.01 * ratio, "test_x.py::test_new": 1.0},
            "twin": {"test_x.py::test_a": 0.01 * twin ** (-1) ** k},
        }
        for k, ratio in enumerate(ratios)
    ]


def test_table_of_pairs() -> None:
    """A ratio with its interval and verdict; what is not in all runs is named, not compared."""
    *_, row, lone = pairs.table(rounds(1.30, 1.31, 1.29, 1.30))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["test_x.py::test_a", "10", "1.3"]
    assert cells[3].startswith("1.29 to 1.31")
    assert cells[5] == "slower"
    assert lone == "\nNot in every run: test_x.py::test_new"
    assert "faster" in pairs.table(rounds(0.70, 0.71, 0.69, 0.70))[2]


def test_within_the_floor() -> None:
    """A difference that A shows to itself is none."""
    row = pairs.table(rounds(1.04, 1.041, 1.042, 1.04, twin=1.2))[2]
    assert row.endswith("no difference shown |")


def test_medians_of_a_file(tmp_path: Path) -> None:
    """By file and name, wherever the suite lies."""
    path = tmp_path / "benchmark.json"
    one = {"fullname": "tests/benchmarks/test_x.py::test_a[1]", "stats": {"median": 0.5}}
    path.write_text(json.dumps({"benchmarks": [one]}))
    assert pairs.medians(path) == {"test_x.py::test_a[1]": 0.5}


@pytest.fixture
def links(tmp_path: Path) -> Path:
    """This checkout as a tree, where the system lets us link."""
    try:
        found: Path = pairs.tree(ROOT, tmp_path.resolve() / "tree")
    except OSError as error:  # Windows without the privilege
        pytest.skip(f"no links here: {error}")
    return found


def test_a_tree_has_every_package(links: Path) -> None:
    """A process imports all of serlab from the links and nothing from where it is installed."""
    names = ["serlab.__main__", "serlab.bench.store", "serlab.models.variant",
             "serlab.studies.catalogue", "serlab.reports.report"]  # fmt: skip
    code = (
        f"import importlib; print(*[importlib.import_module(n).__file__ for n in {names}], sep='|')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=pairs.environment(links), capture_output=True, text=True,
        check=True, cwd=links,
    )  # fmt: skip
    files = done.stdout.strip().split("|")
    assert len(files) == len(names)
    assert all(Path(file).is_relative_to(links) for file in files)


def test_another_code_is_noticed(tmp_path: Path) -> None:
    """A folder that serlab does not come from would compare a code with itself."""
    with pytest.raises(SystemExit, match="serlab comes from"):
        pairs.environment(tmp_path / "nothing here")


def test_too_few_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    """Said before anything is run."""
    with pytest.raises(SystemExit):
        pairs.main([str(ROOT), str(ROOT), "--rounds", "2"])
    assert "needs 3 rounds" in capsys.readouterr().err


def test_the_guide_names_every_benchmark() -> None:
    """docs/BENCHMARKS.md has a row for each file."""
    text = (ROOT / "docs" / "BENCHMARKS.md").read_text(encoding="utf-8")
    names = {path.name for path in (ROOT / "tests" / "benchmarks").glob("test_*.py")}
    assert {name for name in names if f"`{name}`" not in text} == set()
