"""What several test files share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "reports")]  # tiny.py, fake_run.py


settings.register_profile("steady", derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
"""The same examples in every run; with HYPOTHESIS_PROFILE=default others each time."""


@pytest.fixture(scope="session")
def real_corpus() -> Callable[[str], Path]:
    """Gives the folder of a real corpus, or skips the test with the reason."""

    def find(name: str) -> Path:
        root = Path(os.environ.get("SERLAB_DATA") or ROOT.parent / "shared" / "data") / name
        if not root.is_dir():
            pytest.skip(f"the corpus {name} is not at hand (set SERLAB_DATA to a folder with it)")
        return root

    return find


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module that writes fake runs."""
    import fake_run

    return fake_run
