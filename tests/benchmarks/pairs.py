"""The benchmarks of two checkouts in turn: ratios of medians, with intervals and an A/A floor.

::

    git worktree add ../before HEAD~1
    python tests/benchmarks/pairs.py ../before . -k "store or statistics" --rounds 5

Each round runs this checkout's benchmarks three times, in fresh processes: with the code of A, of
B, and of A again; every other round backwards. A round counts as one pair. What cannot be run
with both codes is named at the end. Nothing is installed: both use this Python's libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from serlab.bench.statistics.ratios import FEWEST, judge, ratio_of
from serlab.bench.statistics.records import Floats

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
Medians = Mapping[str, float]
"""Seconds by benchmark."""


def tree(checkout: Path, folder: Path) -> Path:
    """A folder from which Python imports a checkout's packages, by links to them."""
    with (checkout / "pyproject.toml").open("rb") as file:
        packages = tomllib.load(file)["tool"]["setuptools"]["package-dir"]
    home = folder / "serlab"
    home.mkdir(parents=True)
    for name, place in packages.items():
        source = (checkout / place).resolve()
        for path in source.iterdir() if name == "serlab" else [source]:
            (home / path.name).symlink_to(path)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """That of a process that imports from a tree, checked."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    held = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", "import serlab; print(serlab.__file__)"]
    found = subprocess.run(command, env=held, capture_output=True, text=True, check=True, cwd=ROOT)
    if not Path(found.stdout.strip()).is_relative_to(folder):
        raise SystemExit(f"serlab comes from {found.stdout.strip()}, not from {folder}")
    return held


def run(held: Mapping[str, str], chosen: argparse.Namespace, folder: Path) -> Medians:
    """One run of the benchmarks."""
    path = folder / "benchmark.json"
    path.unlink(missing_ok=True)
    timer = "time.process_time" if chosen.cpu else "time.perf_counter"
    command = [sys.executable, "-m", "pytest", str(HERE), "-q", "-p", "no:cacheprovider",
               "--benchmark-enable", "--benchmark-only", "--benchmark-disable-gc",
               f"--benchmark-timer={timer}", f"--benchmark-json={path}",
               "--continue-on-collection-errors", "-k", chosen.expression]  # fmt: skip
    done = subprocess.run(command, env=held, capture_output=True, text=True, check=False, cwd=ROOT)
    if not path.exists() or not path.stat().st_size:
        raise SystemExit(f"no benchmark was run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return medians(path)


def medians(path: Path) -> Medians:
    """The medians of a file of pytest-benchmark."""
    found = json.loads(path.read_text(encoding="utf-8"))["benchmarks"]
    return {one["fullname"].rpartition("/")[2]: one["stats"]["median"] for one in found}


def rounds(sides: Mapping[str, Mapping[str, str]], chosen: argparse.Namespace, folder: Path
           ) -> Iterator[Mapping[str, Medians]]:  # fmt: skip
    """Every round's medians of A, B and A's twin."""
    order = [("A", "A"), ("B", "B"), ("twin", "A")]
    for number in range(chosen.rounds):
        print(f"round {number + 1} of {chosen.rounds}", file=sys.stderr, flush=True)
        turn = order if number % 2 == 0 else order[::-1]
        yield {name: run(sides[side], chosen, folder) for name, side in turn}


def table(found: Sequence[Mapping[str, Medians]]) -> list[str]:
    """Markdown, one row a benchmark that every run has, and a line on the others."""
    runs = [medians for one in found for medians in one.values()]
    known = sorted({name for one in runs for name in one})
    lines = [
        "| benchmark | A, ms | B / A | 95 % | A / A within | B is |",
        "|---|---|---|---|---|---|",
    ]
    shared = [name for name in known if all(name in one for one in runs)]
    for name in shared:
        ratio, twin = (ratio_of([_log(one, side, name) for one in found]) for side in ("B", "twin"))
        held = judge(ratio, twin)
        assert ratio.interval is not None  # there are rounds enough
        low, high = ratio.interval
        median = float(np.median([one["A"][name] for one in found])) * 1e3
        lines.append(
            f"| {name} | {median:.4g} | {ratio.ratio:.3g} | {low:.3g} to {high:.3g} "
            f"| {held.floor:.1%} | {held.verdict} |"
        )
    lone = [name for name in known if name not in shared]
    return [*lines, *([f"\nNot in every run: {', '.join(lone)}"] if lone else [])]


def _log(one: Mapping[str, Medians], side: str, name: str) -> Floats:
    """The log ratio of a round; twice, since `ratio_of` wants more than one of each."""
    return np.full(2, np.log(one[side][name] / one["A"][name]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the rounds and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a", type=Path, metavar="A", help="a checkout")
    parser.add_argument("b", type=Path, metavar="B", help="another")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of runs (5)")
    parser.add_argument("-k", dest="expression", default="", help="which benchmarks, as pytest's")
    parser.add_argument("--cpu", action="store_true", help="CPU time: less noise beside others' "
                        "work; for what waits for files or processes it tells nothing")  # fmt: skip
    chosen = parser.parse_args(arguments)
    if chosen.rounds < FEWEST:
        parser.error(f"an interval needs {FEWEST} rounds")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        sides = {
            side: environment(tree(checkout, folder / side))
            for side, checkout in (("A", chosen.a), ("B", chosen.b))
        }
        print("\n".join(table(list(rounds(sides, chosen, folder)))))


if __name__ == "__main__":
    main()
