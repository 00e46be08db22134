"""Every system keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from contract_suite import Case, ContractSuite
from ecotone.registry import list_systems
from image_models import SMALL


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated archipelago of 40 x 50 cells with four species."""
    from ecotone.data.simulated.archipelago import archipelago

    folder = tmp_path_factory.mktemp("world")
    archipelago(size=(40, 50), species=4, surveys=60).write(folder)
    return folder


def species_case(name: str, folder: Path, config: dict[str, Any]) -> Case:
    """What all species systems are asked."""
    return Case(
        name=name,
        config=config,
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
            {"output": "cumulative", "spread": True},
            {
                "spread": True,
                "richness": True,
                "top": True,
                "thresholds": True,
                "extrapolation": True,
                "applicability": True,
            },
            {"species": ("Simulata tertia", "Simulata prima"), "output": "raw", "precision": "bfloat16"},
        ),
    )


@pytest.fixture(scope="module")
def deepmaxent(world: Path) -> Case:
    """Two small networks."""
    return species_case("deepmaxent", world, {"epochs": 2, "members": 2, "width": 16, "min_steps": 0})


@pytest.fixture(scope="module")
def maxent(world: Path) -> Case:
    """Two bootstrap replicates with tuned options."""
    return species_case("maxent", world, {"members": 2, "hinges": 5, "tune": True})


class TestDeepMaxent(ContractSuite):
    """DeepMaxent."""

    @pytest.fixture
    def case(self, deepmaxent: Case) -> Case:
        return deepmaxent


class TestMaxent(ContractSuite):
    """Maxent."""

    @pytest.fixture
    def case(self, maxent: Case) -> Case:
        return maxent


@pytest.fixture(scope="module")
def phenology(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Two small networks of simulated trees."""
    from ecotone.data.simulated.trees import trees

    folder = trees(1, sites=3, years=10).write(tmp_path_factory.mktemp("trees"))
    return Case(
        name="phenology",
        config={"members": 2, "steps": 40},
        inputs={"bloom": folder / "bloom.csv", "temperature": folder / "temperature.csv"},
        query={"temperature": folder / "temperature.csv", "bloom": folder / "bloom.csv"},
        rows=33,  # 10 years and the one that has begun, at 3 sites
        target="site-02",
        asks=(
            {"warm": (2.0,), "by": ("04-01", "04-15")},
            {"as_of": "02-01", "not_yet": True, "completions": 3},
            {"as_of": "1995-03-01", "level": 0.5},
        ),
    )


class TestPhenology(ContractSuite):
    """Bloom dates."""

    @pytest.fixture
    def case(self, phenology: Case) -> Case:
        return phenology


@pytest.fixture(scope="module")
def creatures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of 48 small creatures of two classes."""
    from ecotone.data.simulated.creature_files import write_creatures
    from ecotone.data.simulated.creatures import CreatureWorld

    return write_creatures(CreatureWorld(seed=1, size=32, classes=2).draw(48), tmp_path_factory.mktemp("creatures"))


def image_case(name: str, folder: Path, asks: tuple[dict[str, Any], ...], **config: Any) -> Case:
    """What image systems are asked."""
    return Case(
        name=name,
        config=SMALL | config,
        inputs={"images": folder},
        query={"images": folder},
        rows=48,
        target="creature-01/00000.png",
        asks=asks,
    )


@pytest.fixture(scope="module")
def pdiscoformer(creatures: Path) -> Case:
    """Three parts."""
    return image_case("pdiscoformer", creatures, ({"remove": (1, 3)},))


@pytest.fixture(scope="module")
def ifam(creatures: Path) -> Case:
    """Three parts, two stages."""
    return image_case("ifam", creatures, ({"remove": (2,)}, {"min_confidence": 0.05}))


class TestPDiscoFormer(ContractSuite):
    """Parts from class labels."""

    @pytest.fixture
    def case(self, pdiscoformer: Case) -> Case:
        return pdiscoformer


class TestIfam(ContractSuite):
    """Two stages."""

    @pytest.fixture
    def case(self, ifam: Case) -> Case:
        return ifam


def test_no_system_is_left_out() -> None:
    assert set(list_systems()) == {"deepmaxent", "maxent", "phenology", "pdiscoformer", "ifam"}


def test_what_tuning_chose_is_stored_shown_and_used_again(maxent: Case, tmp_path: Path) -> None:
    from ecotone.systems.maxent.system import MaxentSystem

    fitted = MaxentSystem(**maxent.config).fit(maxent.inputs)
    fitted.save(tmp_path / "model")
    again = MaxentSystem.load(tmp_path / "model")
    assert again.estimator.tuning_ == fitted.estimator.tuning_
    assert again.estimator.config_ == fitted.estimator.config_
    shown = [e for e in fitted.own_evidence(fitted.training_data(), []) if e.title == "Tuned options"]
    assert len(shown) == 1
    assert dict(shown[0].details)["reason"] == fitted.estimator.tuning_.reason
    assert len(shown[0].details) == 1 + len(fitted.estimator.tuning_.features)
