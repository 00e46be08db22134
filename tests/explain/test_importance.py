"""Permutation importance finds what the scores rest on, and nothing where they rest on nothing."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.explain.importance import importance_evidence, permutation_importance
from ecotone.stats.ranking import auc


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4))
    f = np.stack([3 * x[:, 0] + 0.7 * x[:, 1], -2 * x[:, 1]], axis=1)
    labels = (f + rng.logistic(size=f.shape) > 0).astype(float)
    return x, labels, lambda z: np.stack([3 * z[:, 0] + 0.7 * z[:, 1], -2 * z[:, 1]], axis=1)


def test_ranks_the_true_covariate_first_and_noise_at_zero(case):
    x, labels, predict = case
    mean, spread = permutation_importance(predict, x, labels, repeats=5)
    assert mean.shape == spread.shape == (4, 2)
    assert mean.argmax(0).tolist() == [0, 1]
    assert mean[0, 0] > 0.2
    assert 0 < mean[1, 0] < mean[0, 0]
    np.testing.assert_array_equal(mean[2:], 0)
    np.testing.assert_array_equal(spread[2:], 0)
    assert mean[0, 1] == 0


def test_is_the_drop_in_auc_by_hand(case):
    x, labels, predict = case
    mean, spread = permutation_importance(predict, x, labels, repeats=3, seed=4)
    rng = np.random.default_rng(4)
    drops = np.empty((3, 4, 2))
    for r in range(3):
        for p in range(4):
            moved = x.copy()
            moved[:, p] = rng.permutation(x[:, p])
            for j in range(2):
                drops[r, p, j] = auc(predict(x)[:, j], labels[:, j]) - auc(predict(moved)[:, j], labels[:, j])
    np.testing.assert_allclose(mean, drops.mean(0))
    np.testing.assert_allclose(spread, drops.std(0, ddof=1))


def test_a_useful_but_noisy_covariate_does_not_change_the_input(case):
    x, labels, predict = case
    before = x.copy()
    permutation_importance(predict, x, labels, repeats=1)
    np.testing.assert_array_equal(x, before)


def test_sites_left_out_have_no_say(case):
    x, labels, predict = case
    labels = labels.copy()
    labels[200:, 0] = np.nan
    half, _ = permutation_importance(lambda z: predict(z), x, labels, repeats=1, seed=1)
    assert half[0, 0] > 0.2
    _, none = permutation_importance(predict, x, labels, repeats=1)
    assert (none == 0).all()


def test_evidence_holds_two_standard_deviations():
    found = importance_evidence("what matters", ["a", "b"], np.array([0.2, 0.0]), np.array([0.05, 0.01]), target="fern")
    assert not found.additive
    assert not found.exact
    np.testing.assert_allclose(found.lower, [0.1, -0.02])
    np.testing.assert_allclose(found.upper, [0.3, 0.02])
    assert found.to_frame()["name"].tolist() == ["a", "b"]
