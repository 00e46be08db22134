"""Losses for comparison against plain loops; none of them may change its targets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecotone.losses.binary import binary
from ecotone.losses.cross_entropy import cross_entropy
from ecotone.losses.poisson import poisson


def draw():
    rng = np.random.default_rng(1)
    f = torch.tensor(rng.normal(size=(2, 7, 3)) * 2, requires_grad=True)
    y = torch.tensor(rng.poisson(0.8, size=(2, 7, 3)).astype(float))
    y[:, 3] = 0  # a site without records
    return f, y, rng


def slow_poisson(f, y, w=None):
    total = 0.0
    for m, i, j in np.ndindex(*f.shape):
        total += (1.0 if w is None else w[m][i]) * math.exp(f[m, i, j]) - y[m, i, j] * f[m, i, j]
    return total / (f.shape[1] * f.shape[2])


def slow_cross_entropy(f, y):
    total = 0.0
    for m, i, j in np.ndindex(*f.shape):
        total -= y[m, i, j] * (f[m, i, j] - math.log(sum(math.exp(v) for v in f[m, i])))
    return total / f.shape[1]


def slow_binary(f, y):
    total = 0.0
    for m, i, j in np.ndindex(*f.shape):
        p = 1 / (1 + math.exp(-f[m, i, j]))
        total -= math.log(p) if y[m, i, j] > 0 else math.log(1 - p)
    return total / (f.shape[1] * f.shape[2])


@pytest.mark.parametrize(
    ("loss", "slow"), [(poisson, slow_poisson), (cross_entropy, slow_cross_entropy), (binary, slow_binary)]
)
def test_equals_a_slow_rewrite_and_leaves_the_counts_alone(loss, slow):
    f, y, _ = draw()
    before = y.clone()
    value = loss(f, y)
    assert value.item() == pytest.approx(slow(f.detach().numpy(), y.numpy()), rel=1e-12)
    assert torch.equal(y, before)
    value.backward()
    assert torch.isfinite(f.grad).all()
    alone = sum(loss(f[m], y[m]).item() for m in range(2))
    assert value.item() == pytest.approx(alone, rel=1e-12)


def test_weighted_poisson():
    f, y, rng = draw()
    w = rng.uniform(size=(2, 7))
    assert poisson(f, y, torch.tensor(w)).item() == pytest.approx(slow_poisson(f.detach().numpy(), y.numpy(), w))


def test_poisson_gradient_vanishes_at_the_counts_and_large_logits_stay_finite():
    _, y, _ = draw()
    f = (y + 1).log().requires_grad_()
    poisson(f, y + 1).backward()
    assert f.grad.abs().max() < 1e-15
    assert torch.isfinite(poisson(torch.full((1, 2, 2), 1e4), torch.ones(1, 2, 2)))


def test_cross_entropy_gives_nothing_for_a_site_without_records():
    f, y, _ = draw()
    cross_entropy(f, y).backward()
    assert (f.grad[:, 3] == 0).all()


def test_binary_sees_presence_only():
    f, y, _ = draw()
    assert binary(f, y).item() == binary(f, 5 * y).item()
