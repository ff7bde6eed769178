"""The studies that come with serlab, listed without loading what runs them."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path


def shipped() -> dict[str, Path]:
    """Their files, by name."""
    folder = Path(str(files("serlab.studies")))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def shipped_questions() -> dict[str, str]:
    """What each of them asks."""
    found = {}
    for name, path in shipped().items():
        found[name] = str(tomllib.loads(path.read_text(encoding="utf-8"))["question"])
    return found
