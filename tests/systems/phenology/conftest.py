"""A small simulated world, a fitted system of it; makes the helpers of these tests importable."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def tree_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bloom days and temperatures of 3 sites x 10 years."""
    from ecotone.data.simulated.trees import trees

    return trees(1, sites=3, years=10).write(tmp_path_factory.mktemp("trees"))


@pytest.fixture(scope="session")
def fitted(tree_folder: Path) -> Any:
    """A system; tests must not change it."""
    from ecotone.systems.phenology.system import PhenologySystem

    inputs = {"bloom": tree_folder / "bloom.csv", "temperature": tree_folder / "temperature.csv"}
    return PhenologySystem(members=2, steps=40).fit(inputs)
