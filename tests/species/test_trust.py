"""What is said of extrapolation depends on what was sampled."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ecotone.explain.extrapolation import SampledConditions
from ecotone.species.trust import extrapolation

NAMES = ("heat", "rain", "slope")


@pytest.fixture
def picture():
    cells = np.random.default_rng(0).normal(size=(60, 3))
    return SimpleNamespace(
        covariates=cells, paint=lambda v: v.T.reshape(-1, 6, 10), extent=(0.0, 10.0, 0.0, 6.0)
    )  # what `Picture` gives


def system_of(sampled, share):
    return SimpleNamespace(
        sampled=SampledConditions.fit(sampled, NAMES),
        covariates=NAMES,
        estimator=SimpleNamespace(background_=SimpleNamespace(uniform_share=share)),
    )


def test_a_background_of_the_map_itself_proves_nothing(picture):
    check, similarity = extrapolation(system_of(picture.covariates, 1.0), None, picture)
    assert check.measured == 0 and check.verdict == "note" and np.isnan(check.bound)
    assert "drawn from this map" in check.note and "sampled" not in check.claim
    assert "background cells and records" in similarity.note


def test_visited_sites_are_a_test_and_colours_mean_the_same_on_every_map(picture):
    visited = np.clip(picture.covariates, [-9, -9, -0.5], [9, 9, 0.5])  # steep and flat places never
    check, _, by = extrapolation(system_of(visited, 0.0), None, picture)
    assert check.verdict == "note" and check.bound == 5 and check.measured > 5
    assert by.legend == {0: "inside", 1: "heat", 2: "rain", 3: "slope"}
    assert set(np.unique(by.weights)) == {0.0, 3.0}
    assert extrapolation(system_of(picture.covariates, 0.0), None, picture)[0].verdict == "pass"
