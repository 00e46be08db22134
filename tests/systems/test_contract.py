"""Every system keeps the contract."""

from __future__ import annotations

import pytest

from contract_suite import Case, ContractSuite
from ecotone.registry import list_systems


@pytest.fixture(scope="module")
def deepmaxent(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A simulated archipelago of 40 x 50 cells with four species."""
    from ecotone.data.simulated.archipelago import archipelago

    folder = tmp_path_factory.mktemp("world")
    archipelago(size=(40, 50), species=4, surveys=60).write(folder)
    return Case(
        name="deepmaxent",
        config={"epochs": 2, "members": 2, "width": 16, "min_steps": 0},
        inputs={
            "occurrences": folder / "occurrences.csv",
            "covariates": [folder / "covariates"],
            "categorical": ["rock"],
            "background_cells": 400,
        },
        query={"points": folder / "surveys.csv"},
        rows=60,
        target="Simulata prima",
        asks=(
            {"output": "expected_count"},
            {"spread": True, "richness": True, "top": True, "thresholds": True, "extrapolation": True},
            {"species": ("Simulata tertia", "Simulata prima"), "output": "raw"},
        ),
    )


class TestDeepMaxent(ContractSuite):
    """DeepMaxent."""

    @pytest.fixture
    def case(self, deepmaxent: Case) -> Case:
        return deepmaxent


def test_no_system_is_left_out() -> None:
    assert set(list_systems()) == {"deepmaxent"}
