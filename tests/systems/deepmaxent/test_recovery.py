"""Simulate, fit, compare with the truth; and the null: shuffled records teach nothing."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from ecotone.data.simulated.archipelago import archipelago
from ecotone.explain.effort import agreement
from ecotone.stats.ranking import auc
from ecotone.systems.deepmaxent.estimator import DeepMaxent

SMALL = {"width": 32, "blocks": 1, "members": 2, "epochs": 25, "background": "target_group"}


@pytest.fixture(scope="module")
def world():
    return archipelago(3, species=8, size=(80, 100), bias=1.0, records=(60, 400))


def learn(world, counts, **options):
    table = world.table()
    visited = np.flatnonzero(counts.sum(1) > 0)
    cells = np.random.default_rng(0).permutation(len(table))[:1500]
    names = list(world.names)
    levels = {"rock": tuple(int(v) for v in np.unique(table[:, names.index("rock")]))}
    model = DeepMaxent(**SMALL | options)
    model.fit(table[visited], counts[visited], background=table[cells], covariates=names, levels=levels)
    return model.decision_function(table)


def test_recovers_the_true_intensity(world):
    correlation = agreement(learn(world, world.counts), world.log_intensity)
    assert correlation.mean() > 0.6
    assert correlation.min() > 0.2


def test_shuffled_records_give_chance(world):
    """Sites and their effort stay; which species was seen where is shuffled."""
    rng = np.random.default_rng(1)
    sites, species = np.nonzero(world.counts)
    counts = np.zeros_like(world.counts)
    np.add.at(counts, (sites, rng.permutation(species)), 1)
    answer = learn(world, counts)
    visited = np.flatnonzero(world.counts.sum(1) > 0)
    held = rng.permutation(len(world.surveys))
    labels = world.found[held].astype(float)
    null = auc(answer[world.surveys[held]], labels)
    real = auc(learn(world, world.counts)[world.surveys[held]], labels)
    assert abs(np.nanmean(null) - 0.5) < 0.12
    assert np.nanmean(real) > np.nanmean(null) + 0.15
    among = auc(answer[visited], (world.counts[visited] > 0).astype(float))
    assert abs(np.nanmean(among) - 0.5) < 0.12


def simulated(seed, effort_strength, n=6000, species=6):
    """Cells with one covariate that draws observers and two that do not; records thinned by effort."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    log_intensity = x @ rng.normal(0, 1, (3, species))
    effort = np.exp(effort_strength * x[:, 0])
    rate = np.exp(log_intensity) * effort[:, None]
    y = rng.poisson(250 * rate / rate.sum(0))
    return x, y, log_intensity


@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_target_group_cancels_common_effort(strength):
    """y ~ s lambda against background ~ s: the optimum does not move with s, while a uniform background follows it."""
    x, y, truth = simulated(0, strength)
    visited = y.sum(1) > 0
    options = {"preset": "paper", "blocks": 0, "epochs": 60, "learning_rate": 0.02, "schedule": "cosine"}
    group = DeepMaxent(**options, background="target_group").fit(x[visited], y[visited])
    uniform = DeepMaxent(**options, background="uniform").fit(x[visited], y[visited], background=x)
    # among species, what matters is the slope along the covariate that draws observers, beyond the group's common part
    contrast = truth - truth.mean(1, keepdims=True)
    found = group.decision_function(x)
    found -= found.mean(1, keepdims=True)
    assert min(spearmanr(found[:, j], contrast[:, j])[0] for j in range(6)) > 0.9
    if strength:
        slope = np.polyfit(x[:, 0], uniform.decision_function(x).mean(1) - truth.mean(1), 1)[0]
        assert slope > 0.7 * strength  # takes effort for suitability
        slope = np.polyfit(x[:, 0], group.decision_function(x).mean(1) - truth.mean(1), 1)[0]
        assert abs(slope) < 0.5 * strength
