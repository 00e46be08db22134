"""Masks: the decision and its gradient belong together, and what is taken away is gone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecotone.nn.part_maps import gumbel_like, part_maps
from ecotone.nn.straight_mask import area_budget, foreground_mask, part_thresholds

SCORES = torch.randn(3, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_a_patch_is_seen_where_a_part_wins() -> None:
    mask = foreground_mask(SCORES)
    best = SCORES.argmax(1)
    assert torch.equal(mask.keep, best < 3) and torch.equal(mask.part, best)
    assert set(mask.gate.unique().tolist()) == {0.0, 1.0}
    maps = part_maps(SCORES)
    strongest = maps[:, :-1].amax(1)
    torch.testing.assert_close(mask.soft, strongest / (strongest + maps[:, -1]))
    assert torch.equal(mask.soft > 0.5, mask.keep)


def test_one_noise_draw_serves_maps_and_mask() -> None:
    noise = gumbel_like(SCORES, torch.Generator().manual_seed(1))
    assert torch.equal(foreground_mask(SCORES, noise=noise).part, part_maps(SCORES, noise=noise).argmax(1))


def test_the_gradient_pushes_the_winner_up_and_the_background_down_and_nothing_else() -> None:
    scores = SCORES.clone().requires_grad_()
    foreground_mask(scores).gate.sum().backward()
    grad, winner = scores.grad, SCORES[:, :-1].argmax(1)
    assert grad is not None and (grad[:, -1] < 0).all()
    front = grad[:, :-1]
    assert (front.gather(1, winner[:, None]) > 0).all()
    assert not front.scatter(1, winner[:, None], 0.0).any()
    plain = SCORES.clone().requires_grad_()
    foreground_mask(plain).soft.sum().backward()
    torch.testing.assert_close(grad, plain.grad)


def test_dropped_removed_and_uncertain_parts() -> None:
    best = SCORES.argmax(1)
    drop = torch.zeros(3, 3, dtype=torch.bool)
    drop[0, 1] = True
    mask = foreground_mask(SCORES, drop=drop)
    assert not (mask.part[0] == 1).any() and torch.equal(mask.part[1:], best[1:])
    second = SCORES[0].clone()
    second[1] = -torch.inf
    assert torch.equal(mask.part[0], second.argmax(0))  # another part may win
    removed = foreground_mask(SCORES, remove=(1,))
    assert torch.equal(removed.part, torch.where(best == 1, 3, best))  # nobody takes its place
    low = torch.tensor([-torch.inf, 1.0, -torch.inf], dtype=torch.float64)
    thresholded = foreground_mask(SCORES, thresholds=low)
    assert (SCORES[:, 1][thresholded.part == 1] >= 1).all()
    nothing = foreground_mask(SCORES, remove=(0, 1, 2))
    assert not nothing.keep.any() and (nothing.part == 3).all() and torch.isfinite(nothing.gate).all()


def test_thresholds_are_quantiles_of_a_parts_own_patches() -> None:
    found = part_thresholds(SCORES, 0.05)
    best = SCORES.argmax(1)
    for k in range(3):
        assert float(found[k]) == pytest.approx(np.quantile(SCORES[:, k][best == k].numpy(), 0.05))
    unused = torch.cat([SCORES, SCORES[:, :1]], 1)
    unused[:, 0] = -50
    assert float(part_thresholds(unused, 0.1)[0]) == -torch.inf


def test_the_budget_costs_only_above_it() -> None:
    soft = torch.full((2, 4, 4), 0.5, dtype=torch.float64).requires_grad_()
    assert float(area_budget(soft, 0.6).detach()) == 0
    loss = area_budget(soft, 0.3)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.04) and (soft.grad > 0).all()  # type: ignore[operator]
