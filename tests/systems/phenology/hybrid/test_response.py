"""The learned response keeps its shape whatever its weights, and starts near the curve it is asked to resemble."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ecotone.systems.phenology.chill import smooth_utah
from ecotone.systems.phenology.hybrid.features import KNOTS
from ecotone.systems.phenology.hybrid.network import CENTRE, NAMES, SCALE, initial, raw, resembling, response

SHAPES = ("free", "unimodal", "monotone")


def weights(seed=0, members=40, width=6, scale=2.0):
    """Random weights, wilder than those training begins with."""
    g = torch.Generator().manual_seed(seed)
    p = initial(members, width, g)
    return {k: v if k == "negation" else v + scale * torch.randn(v.shape, generator=g) for k, v in p.items()}


def rises_then_falls(curve, slack=1e-6):
    """Whether no valley is deeper than rounding."""
    k = int(curve.argmax())
    return bool((curve[1 : k + 1] - curve[:k] >= -slack).all() and (curve[k + 1 :] - curve[k:-1] <= slack).all())


def test_initial_weights_have_their_shapes_and_follow_the_generator():
    p = initial(3, 5, torch.Generator().manual_seed(1))
    assert {k: tuple(v.shape) for k, v in p.items()} == {
        "net_in": (3, 5),
        "net_bias": (3, 5),
        "net_out": (3, 5),
        "net_level": (3, 1),
        "negation": (3, 1),
    }
    again = initial(3, 5, torch.Generator().manual_seed(1))
    assert all(torch.equal(p[k], again[k]) for k in p)
    assert not torch.equal(p["net_in"][0], p["net_in"][1])


@pytest.mark.parametrize("shape", SHAPES)
def test_the_response_of_each_member_is_that_of_a_plain_loop(shape):
    p = weights(1, members=3)
    found = raw(p, torch.as_tensor(KNOTS, dtype=torch.float32), shape)
    for m in range(3):
        a, b, c = (p[k][m].double().numpy() for k in ("net_in", "net_bias", "net_out"))
        level = float(p["net_level"][m, 0])
        for k, t in enumerate(KNOTS):
            x = (t - CENTRE) / SCALE
            if shape == "free":
                expected = 1 / (1 + np.exp(-(sum(c * np.tanh(a * x + b)) + level)))
            else:
                rising = sum(np.log1p(np.exp(c - 1)) * np.tanh(np.log1p(np.exp(a)) * x + b))
                bell = np.exp(-((rising + 0.3 * x + 0.3 * (level - 1)) ** 2))
                expected = bell if shape == "unimodal" else 1 / (1 + np.exp(rising - level))
            assert float(found[m, k]) == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_maximum_is_one_and_nothing_is_negative_without_negation(shape):
    found = response(weights(2), shape)
    assert found.shape == (40, len(KNOTS)) and bool(torch.isfinite(found).all())
    assert bool((found >= 0).all())
    raised = raw(weights(2), torch.as_tensor(KNOTS, dtype=torch.float32), shape).amax(-1) >= 0.02
    assert bool(raised.any()) and torch.allclose(found.amax(-1)[raised], torch.ones(int(raised.sum())))
    assert bool((found.amax(-1) <= 1 + 1e-6).all())


def test_a_unimodal_response_rises_then_falls():
    found = response(weights(3), "unimodal")
    assert all(rises_then_falls(curve) for curve in found)
    inner = (found.argmax(-1) > 0) & (found.argmax(-1) < len(KNOTS) - 1)
    assert bool(inner.any())  # some have their peak between the ends


def test_a_monotone_response_never_rises_with_temperature():
    found = response(weights(4), "monotone")
    assert bool((found[:, 1:] - found[:, :-1] <= 1e-6).all())


def test_a_free_response_may_do_either():
    found = response(weights(5), "free")
    assert not all(rises_then_falls(curve) for curve in found)
    assert any(bool((curve[1:] > curve[:-1]).any()) for curve in found)


def test_negation_takes_the_response_below_zero():
    p = weights(6)
    p["negation"][::2] = 1.0
    values = raw(p, torch.as_tensor(KNOTS, dtype=torch.float32), "free")
    assert bool((values[::2] >= -1).all()) and bool((values <= 1).all())
    assert bool((values[::2] < 0).any()) and bool((values[1::2] >= 0).all())
    without = raw(
        p | {"negation": torch.zeros_like(p["negation"])}, torch.as_tensor(KNOTS, dtype=torch.float32), "free"
    )
    assert torch.allclose(values[::2], 2 * without[::2] - 1, atol=1e-6)
    assert torch.equal(response(p, "monotone"), response(weights(6), "monotone"))


def test_a_response_that_is_never_positive_stays_small():
    p = weights(7, members=2)
    p["negation"][:] = 1.0
    p["net_out"][:], p["net_level"][:] = 0.0, -3.0
    found = response(p, "free")
    assert bool(torch.isfinite(found).all()) and bool((found < 0).all())


def test_other_temperatures_than_the_knots():
    p, t = weights(8, members=2), torch.tensor([0.0, 6.5])
    assert response(p, "free", t).shape == (2, 2)
    assert torch.allclose(response(p, "free", t).amax(-1), torch.ones(2))


def target(start):
    if start == "falling":
        return 1 / (1 + np.exp(-(8 - KNOTS) / 3))
    utah = smooth_utah(np.repeat(KNOTS[:, None], 24, axis=1))
    return np.clip(utah / utah.max(), -1 if start == "negating" else 0, None)


STARTS = [("free", "utah"), ("free", "falling"), ("unimodal", "utah"), ("monotone", "falling")]


@pytest.mark.parametrize(("shape", "start"), STARTS)
def test_a_start_resembles_its_curve_and_changes_nothing_else(shape, start):
    p = initial(2, 16, torch.Generator().manual_seed(2)) | {"heat": torch.tensor([[0.3], [0.4]])}
    if start == "negating":
        p["negation"][:] = 1.0
    before = {k: v.clone() for k, v in p.items()}
    found = resembling(p, shape, start)
    off = np.abs(response(found, shape).numpy() - target(start))
    first = np.abs(response(p, shape).numpy() - target(start))
    span = np.ptp(target(start))
    assert off.mean() < 0.05 * span and off.max() < 0.25 * span  # the edges of Utah are steeper than a small network
    assert off.mean() < first.mean() / 4
    assert set(found) == set(p)
    for name in p:
        assert torch.equal(p[name], before[name])  # what was handed in stays as it was
        assert not found[name].requires_grad
        assert torch.equal(found[name], p[name]) == (name not in NAMES)


def test_members_start_from_their_own_weights():
    found = resembling(initial(2, 8, torch.Generator().manual_seed(3)), "free", "utah", steps=20)
    alone = {k: v[1:] for k, v in initial(2, 8, torch.Generator().manual_seed(3)).items()}
    assert not torch.allclose(found["net_in"][0], found["net_in"][1], atol=0.1)
    torch.testing.assert_close(
        resembling(alone, "free", "utah", steps=20)["net_in"][0], found["net_in"][1], rtol=1e-3, atol=1e-4
    )
