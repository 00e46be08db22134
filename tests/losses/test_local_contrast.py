"""Contrast of places: a plain loop, chance, and places that were not seen."""

from __future__ import annotations

import math

import pytest
import torch

from ecotone.losses.local_contrast import local_contrast

GENERATOR = torch.Generator().manual_seed(0)


def test_it_equals_a_plain_loop() -> None:
    one, other = torch.randn(2, 2, 5, 3, 4, dtype=torch.float64, generator=GENERATOR)
    valid = torch.rand(2, 1, 3, 4, generator=GENERATOR) < 0.7
    total = count = 0.0
    for n in range(2):
        places = [(i, j) for i in range(3) for j in range(4) if valid[n, 0, i, j]]
        for i, j in places:
            q = one[n, :, i, j]
            scores = [float(q @ other[n, :, a, b] / (q.norm() * other[n, :, a, b].norm())) / 0.1 for a, b in places]
            total += math.log(sum(map(math.exp, scores))) - scores[places.index((i, j))]
            count += 1
    assert float(local_contrast(one, other, valid)) == pytest.approx(total / count, abs=1e-10)


def test_chance_and_perfect_features() -> None:
    flat, valid = torch.ones(2, 4, 5, 5), torch.ones(2, 1, 5, 5, dtype=torch.bool)
    assert float(local_contrast(flat, flat, valid)) == pytest.approx(math.log(25), abs=1e-5)
    own = torch.eye(25).view(1, 25, 5, 5).expand(2, -1, -1, -1)
    assert float(local_contrast(own, own, valid)) < 0.01
    assert float(local_contrast(flat, flat, torch.zeros_like(valid))) == 0


def test_gradients_are_true() -> None:
    one = torch.randn(1, 3, 2, 3, dtype=torch.float64, generator=GENERATOR).requires_grad_()
    other = torch.randn(1, 3, 2, 3, dtype=torch.float64, generator=GENERATOR).requires_grad_()
    valid = torch.tensor([[[[True, True, False], [True, True, True]]]])
    assert torch.autograd.gradcheck(lambda a, b: local_contrast(a, b, valid), (one, other))
