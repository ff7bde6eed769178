"""The shape of the project: imports go one way, start-up is light, the package list is whole."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HOMES = {"bench": "bench", "models": "models", "studies": "studies", "reports": "reports"}
MAY_IMPORT = {
    "bench": set(),
    "models": {"bench"},
    "studies": {"bench", "models"},
    "reports": {"bench"},
}
READ_BY_REPORTS = (
    "store",
    "statistics",
    "metrics",
    "contracts",
    "errors",
    "registry",
    "meters",
    "seeds",
    "typed",
    "insight",
    "probe",
)
FORBIDDEN_IN_REPORTS = {"torch", "ray", "optuna"}


def modules() -> dict[str, Path]:
    """Every module of the four packages, by import name."""
    found = {}
    for folder in HOMES:
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(("serlab", *parts)).removesuffix(".__init__")
            found[name] = path
    return found


def imports(path: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_imports_go_one_way() -> None:
    """Bench knows none of the others, models know bench, studies both, reports the store."""
    for name, path in modules().items():
        home = name.split(".")[1]
        for target in imports(path):
            parts = target.split(".")
            if parts[0] != "serlab" or len(parts) < 2 or parts[1] == home:
                continue
            assert parts[1] in MAY_IMPORT[home], f"{name} imports {target}"
            if home == "reports" and len(parts) > 2:
                assert parts[2] in READ_BY_REPORTS, f"{name} imports {target}"


def test_reports_name_no_heavy_library() -> None:
    """A report is written without torch, ray or optuna."""
    for name, path in modules().items():
        if name.startswith("serlab.reports"):
            assert not {i.split(".")[0] for i in imports(path)} & FORBIDDEN_IN_REPORTS, name


def test_there_is_no_import_cycle() -> None:
    """Modules can be put in an order in which each imports only earlier ones."""
    known = modules()
    edges = {n: {t for t in imports(p) if t in known and t != n} for n, p in known.items()}
    done: set[str] = set()
    while ready := {n for n, targets in edges.items() if n not in done and targets <= done}:
        done |= ready
    assert done == set(known), f"in a cycle: {sorted(set(known) - done)}"


def test_packages_of_the_wheel_are_the_folders() -> None:
    """A folder that is forgotten in pyproject.toml would be missing from the wheel."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(table["tool"]["setuptools"]["packages"])
    folders = {n for n, p in modules().items() if p.name == "__init__.py"} | {"serlab"}
    assert listed == folders


@pytest.mark.parametrize(
    "words",
    [["--help"], *(["list", w] for w in ("systems", "slots", "corpora", "studies", "metrics"))],
)
def test_light_commands_load_nothing_heavy(words: list[str]) -> None:
    """Help and lists load neither torch nor ray nor matplotlib nor pandas."""
    code = (
        "import sys\nfrom serlab.__main__ import main\n"
        f"try:\n    code = main({words!r})\nexcept SystemExit as end:\n    code = end.code\n"
        "assert code == 0, code\n"
        "heavy = {'torch', 'ray', 'matplotlib', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_reports_load_without_torch() -> None:
    """In a fresh process the report writer brings in neither torch nor ray."""
    code = "import sys, serlab.reports.report; assert not {'torch', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def doctested() -> list[str]:
    """Modules with an example in a docstring."""
    return sorted(n for n, p in modules().items() if ">>> " in p.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", doctested())
def test_examples_in_docstrings_run(name: str) -> None:
    """What a docstring shows is what happens."""
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried
    assert not failed


def test_every_module_has_a_docstring_and_imports() -> None:
    """Importing does no work and needs nothing beyond the core dependencies."""
    import serlab.models

    assert [m.name for m in pkgutil.iter_modules(serlab.models.__path__)]
    for name, path in modules().items():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), name
        if not name.endswith("__main__"):
            importlib.import_module(name)


def test_no_path_of_a_machine_is_named() -> None:
    """No file holds a path of the machine that it was written on."""
    files = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.ini"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.split()  # fmt: skip
    for name in files:
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "/work" + "/" not in text, name
        assert "/root" + "/" not in text, name
