"""The tiny task, importable by tests and by the scripts they start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def outcome():
    """What must not depend on interruptions: last checkpoint, best models and metrics, as bytes."""

    def read(folder: Path) -> dict[str, bytes]:
        files = [folder / "metrics.csv", *sorted((folder / "checkpoints").glob("*.safetensors"))]
        return {path.name: path.read_bytes() for path in files}

    return read
