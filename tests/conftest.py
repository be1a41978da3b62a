"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_output(tmp_path_factory: pytest.TempPathFactory):
    """No test writes into the checkout's results, figures or cache."""
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTMASK_OUTPUT", str(tmp_path_factory.mktemp("output")))
    patch.setenv("SOFTMASK_CACHE", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data (``SOFTMASK_DATA``); the test is skipped where there is none."""
    root = os.environ.get("SOFTMASK_DATA")
    if not root or not Path(root).is_dir():
        pytest.skip("SOFTMASK_DATA does not name a folder of real data")
    return Path(root).resolve()
