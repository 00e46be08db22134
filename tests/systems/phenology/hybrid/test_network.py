"""Shapes of the learned response."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from ecotone.systems.phenology.chill import smooth_utah
from ecotone.systems.phenology.hybrid import network
from ecotone.systems.phenology.hybrid.features import KNOTS


def drawn(members: int = 20) -> network.Parameters:
    p = network.initial(members, 8, torch.Generator().manual_seed(1))
    return {k: v * 2 if k in network.NAMES else v for k, v in p.items()}


@pytest.mark.parametrize("shape", get_args(network.Shape))
def test_any_weights_keep_the_shape(shape: network.Shape) -> None:
    values = network.response(drawn(), shape).numpy()
    np.testing.assert_allclose(values.max(1), 1, rtol=1e-6)
    assert values.shape == (20, len(KNOTS)) and (values >= 0).all()
    steps = np.diff(values, axis=1)
    if shape == "monotone":
        assert (steps <= 1e-6).all()
    if shape == "unimodal":  # never falls before its peak, never rises after it
        for step, peak in zip(steps, values.argmax(1), strict=True):
            assert (step[:peak] >= -1e-6).all() and (step[peak:] <= 1e-6).all()


def test_only_members_that_may_undo_chill_are_negative() -> None:
    p = drawn() | {"negation": (torch.arange(20) % 2).float()[:, None]}
    values = network.response(p, "free").numpy()
    assert (values[1::2].min(1) < 0).any() and (values[::2] >= 0).all()


def test_starting_curves_are_resembled_and_nothing_else_moves() -> None:
    p = network.initial(2, 16, torch.Generator().manual_seed(0))
    before = {k: v.clone() for k, v in p.items()}
    goal = np.clip(np.asarray(smooth_utah(np.repeat(KNOTS[:, None], 24, 1))), 0, None)
    near = network.response(network.resembling(p, "free", "utah"), "free").numpy()
    assert np.sqrt(((near - goal / goal.max()) ** 2).mean(1)).max() < 0.1
    falling = network.response(network.resembling(p, "monotone", "falling"), "monotone").numpy()
    assert np.abs(falling - 1 / (1 + np.exp((KNOTS - 8) / 3))).max() < 0.15
    assert all(bool((p[k] == before[k]).all()) for k in p)
