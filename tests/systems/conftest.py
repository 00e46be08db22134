"""Makes the shared contract suite importable; a stand-in for the hybrid until it can be stored."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).parent / "phenology"))


@pytest.fixture(scope="session")
def stand_in() -> Any:
    """Makes sure that there is a hybrid."""
    import hybrid_stub

    hybrid_stub.install()
    return hybrid_stub
