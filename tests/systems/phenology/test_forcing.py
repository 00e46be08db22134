"""Forcing units against their formulas written out, and temperatures computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ecotone.systems.phenology import forcing
from ecotone.systems.phenology.forcing import FORCING


def at(name, *temperatures, **options):
    """The unit of days at one temperature each."""
    hours = np.repeat(np.array(temperatures, dtype=float)[:, None], 24, axis=1)
    return FORCING[name].function(hours, **options).tolist()


def some():
    return np.random.default_rng(3).normal(12, 12, (3, 20, 24))


def plainly(hours, rate):
    return np.array([[math.fsum(rate(float(t)) for t in day) for day in season] for season in hours])


def anderson(t, base=4, optimum=25, critical=36):
    if base <= t <= optimum:
        return (optimum - base) / 2 * (1 + math.cos(math.pi + math.pi * (t - base) / (optimum - base)))
    if optimum < t <= critical:
        return (optimum - base) * (1 + math.cos(math.pi / 2 + math.pi / 2 * (t - optimum) / (critical - optimum)))
    return 0.0


def test_degree_days_by_hand() -> None:
    hours = np.array([[5.0] * 6 + [11.0] * 12 + [-3.0] * 6])
    assert forcing.gdd(hours) == pytest.approx(6 * 12 / 24)
    assert forcing.gdd(hours, base=0) == pytest.approx((5 * 6 + 11 * 12) / 24)
    assert forcing.gdd_of_means(np.array([4.0, 9.5, np.nan]), base=5)[:2].tolist() == [0, 4.5]
    assert at("gdd", 5, 6, 4, base=4.5) == [0.5, 1.5, 0]


def test_base_temperature_can_be_learned_and_differ_by_site() -> None:
    hours = torch.tensor(some())
    base = torch.tensor([3.0, 5.0, 7.0], dtype=torch.float64, requires_grad=True)
    total = forcing.gdd(hours, base[:, None, None]).sum()
    total.backward()
    warm = (hours > base.detach()[:, None, None]).double().sum(dim=(1, 2)) / 24
    assert torch.allclose(base.grad, -warm)
    for k in range(3):
        together = forcing.gdd(some(), np.array([3.0, 5.0, 7.0])[:, None, None])
        np.testing.assert_allclose(together[k], forcing.gdd(some()[k], 3.0 + 2 * k))


def test_degree_hours_by_hand() -> None:
    assert at("gdh", 3, 4, 14.5, 25, 30.5, 36, 40) == pytest.approx(
        [0, 0, 24 * 10.5, 24 * 21, 24 * 21 * (1 - math.sqrt(0.5)), 0, 0], abs=1e-9
    )
    assert at("gdh", 14.5, stress=0.5) == pytest.approx([126])
    assert at("gdh_richardson", 4, 4.5, 10, 25, 33) == pytest.approx([0, 0, 132, 492, 492])


def test_equal_their_formulas() -> None:
    hours = some()
    np.testing.assert_allclose(forcing.gdh(hours), plainly(hours, anderson), atol=1e-9)
    own = {"base": 2, "optimum": 20, "critical": 30}
    np.testing.assert_allclose(forcing.gdh(hours, **own), plainly(hours, lambda t: anderson(t, **own)), atol=1e-9)
    sarvas = plainly(hours, lambda t: 28.4 / (1 + math.exp(-0.185 * (t - 18.4))) if t > 0 else 0) / 24
    np.testing.assert_allclose(forcing.sigmoid_sarvas(hours), sarvas, atol=1e-12)
    chuine = plainly(hours, lambda t: 1 / (1 + math.exp(-0.3 * (t - 12)))) / 24
    np.testing.assert_allclose(forcing.sigmoid_chuine(hours, b=-0.3, c=12), chuine, atol=1e-12)
    np.testing.assert_allclose(forcing.gdd(hours, 3), plainly(hours, lambda t: max(0, t - 3)) / 24, atol=1e-12)


def test_sigmoids_at_their_middle() -> None:
    assert at("sigmoid_sarvas", 18.4, 0, -1) == pytest.approx([14.2, 0, 0])
    assert at("sigmoid_chuine", 15) == pytest.approx([0.5])
