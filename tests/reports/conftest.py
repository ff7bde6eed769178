"""A fake run for the reports to read."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


def _load() -> ModuleType:
    path = Path(__file__).with_name("fake_run.py")
    spec = importlib.util.spec_from_file_location("serlab_fake_run", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["serlab_fake_run"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    """The module that writes fake runs."""
    return _load()


@pytest.fixture(scope="session")
def run(fake: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of the default fake study; tests only read it."""
    path: Path = fake.write_fake_run(tmp_path_factory.mktemp("run") / "run")
    return path
