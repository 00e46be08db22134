"""Fixtures all tests share."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent))  # makes contract_suite and image_models importable


def pytest_configure() -> None:
    """A run started in the background ignores Ctrl-C, and its children inherit that; the tests send it on purpose."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real-data folder; without it the test is skipped, except in CI, where that is a failure."""
    named = os.environ.get("ECOTONE_DATA", "")
    folder = Path(named)
    if not named or not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail("ECOTONE_DATA names no data folder, and in CI real-data tests must run")
        pytest.skip("set ECOTONE_DATA to run the tests on real data")
    return folder


@pytest.fixture(autouse=True)
def _one_torch_thread():
    """Keeps tests repeatable and fair to xdist workers."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
