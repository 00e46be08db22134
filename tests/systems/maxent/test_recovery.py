"""Simulate, fit, compare with the truth: islands under effort bias, a log-linear world, and records without meaning."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.data.simulated.archipelago import archipelago
from ecotone.explain.effort import agreement
from ecotone.systems.maxent.estimator import Maxent


@pytest.fixture(scope="module")
def world():
    return archipelago(3, species=8, size=(80, 100), bias=1.0, records=(60, 400))


def learn(world, counts, background):
    table = world.table()
    visited = np.flatnonzero(counts.sum(1) > 0)
    cells = np.random.default_rng(0).permutation(len(table))[:1500]
    names = list(world.names)
    levels = {"rock": tuple(int(v) for v in np.unique(table[:, names.index("rock")]))}
    model = Maxent(hinges=9, background=background)
    model.fit(table[visited], counts[visited], background=table[cells], covariates=names, levels=levels)
    assert model.solution_.converged.all()
    return model.decision_function(table)


def test_recovers_the_true_intensity(world):
    found = agreement(learn(world, world.counts, "target_group"), world.log_intensity)
    assert found.mean() > 0.75
    assert found.min() > 0.4


def test_the_target_group_matters_where_observers_prefer_places():
    biased = archipelago(3, species=8, size=(80, 100), bias=2.0, records=(60, 400))
    group, uniform = (
        agreement(learn(biased, biased.counts, b), biased.log_intensity).mean() for b in ("target_group", "uniform")
    )
    assert group > uniform + 0.05


def test_shuffled_records_give_nothing(world):
    """Sites and their effort stay; which species was seen where is shuffled."""
    rng = np.random.default_rng(1)
    sites, species = np.nonzero(world.counts)
    counts = np.zeros_like(world.counts)
    np.add.at(counts, (sites, rng.permutation(species)), 1)
    shuffled = agreement(learn(world, counts, "target_group"), world.log_intensity)
    assert abs(np.nanmean(shuffled)) < 0.3


def test_coefficients_of_a_log_linear_world():
    """Many records and hardly a penalty: the slopes are those the records were drawn from."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 3))
    slopes = rng.normal(0, 0.8, (3, 4))
    rate = np.exp(x @ slopes)
    y = rng.poisson(5000 * rate / rate.sum(0))
    model = Maxent(features="l", multiplier=0.01, clamp=False, background="target_group").fit(x, y)
    found = model.beta_[0] / model.features_.scale  # per unit of the covariate
    np.testing.assert_allclose(found, slopes.T, atol=0.06)
