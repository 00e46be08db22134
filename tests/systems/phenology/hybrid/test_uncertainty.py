"""Bands against exact Hessians, how sites differ, and what a fit says it does not know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ecotone.data.simulated.trees import trees
from ecotone.losses.bloom_day import log_likelihood, with_outliers
from ecotone.systems.phenology.hybrid.estimator import HybridPhenology
from ecotone.systems.phenology.hybrid.features import Features, Places, features
from ecotone.systems.phenology.hybrid.uncertainty import curvature, derivatives, posterior

SEASONS = trees(6, sites=2, years=3).seasons
F = features(SEASONS, Places.of(SEASONS))


def with_kinds(n: int) -> Features:
    zero = torch.zeros(n, dtype=torch.bool)
    f = Features(**{**vars(F), "after": zero.clone(), "before": zero.clone()})
    f.after[0], f.before[1] = True, True
    return f


def test_curvature_is_the_hessian_of_the_loss() -> None:
    f = with_kinds(6)
    u = torch.tensor([0.5, -1.0, 2.0, -3.0, 0.1, 7.0], dtype=torch.float64)
    v = u - torch.tensor([0.2, 0.4, 1.0, 2.0, 0.05, 3.0], dtype=torch.float64)
    found = curvature(torch.stack([u, v]), f, 0.0)
    for k in range(6):

        def loss(z: torch.Tensor, k: int = k) -> torch.Tensor:
            return -log_likelihood(z[:1], z[1:], f.after[k : k + 1], f.before[k : k + 1])[0]

        exact = torch.autograd.functional.hessian(loss, torch.stack([u[k], v[k]]))
        np.testing.assert_allclose(found[..., k].numpy(), exact.numpy(), rtol=1e-8, atol=1e-10)


def test_likely_strays_count_for_less() -> None:
    f = with_kinds(6)
    z = torch.tensor([[0.5, 0.5, 0.0, -30.0, 30.0, 0.1]], dtype=torch.float64)
    z = torch.cat([z, z - 0.5])
    plain, mixed = curvature(z, f, 0.0), curvature(z, f, 0.01)
    value = log_likelihood(z[0], z[1], f.after, f.before)
    share = torch.exp(value + np.log(0.99) - with_outliers(value, 0.01, f.days, f.after | f.before))
    np.testing.assert_allclose(mixed.numpy(), (plain * share).numpy(), rtol=1e-5, atol=1e-12)
    assert float(share[3]) < 1e-8 and float(share[2]) > 0.99


def test_derivatives_are_the_jacobian() -> None:
    mix = torch.randn(5, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def of(x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(mix @ x) + (x[:5] ** 2)

    at = torch.linspace(-1, 1, 40, dtype=torch.float64)
    exact = torch.autograd.functional.jacobian(of, at)
    np.testing.assert_allclose(derivatives(of, at).numpy(), exact.numpy(), rtol=1e-12, atol=1e-14)


class Line:
    """Progress that is linear in two parameters, with a prior on each."""

    slope = torch.tensor([0.4, -0.2, 1.0, 0.7, -1.1, 0.3])

    def event(self, p: dict[str, torch.Tensor], f: Features, plain: bool = False) -> Any:
        z = p["a"] + p["b"] * f.year
        return z, z - 0.8

    def residuals(self, p: dict[str, torch.Tensor]) -> list[torch.Tensor]:
        return [p["a"] / 2.0, (p["b"] - 1) / 0.5]


def test_posterior_is_the_inverse_hessian_where_progress_is_linear() -> None:
    core = Line()
    f = replace(with_kinds(6), year=core.slope)
    p = {"a": torch.tensor([[9.0], [0.3]]), "b": torch.tensor([[9.0], [-0.4]])}
    weight = torch.tensor([1.0, 1, 1, 1, 1, 0])
    found = posterior(core, p, 1, f, weight, 0.0)  # type: ignore[arg-type]

    def loss(v: torch.Tensor) -> torch.Tensor:
        z = v[0] + v[1] * core.slope.double()
        fit = -(log_likelihood(z, z - 0.8, f.after, f.before) * weight).sum()
        return fit + 0.5 * ((v[0] / 2) ** 2 + ((v[1] - 1) / 0.5) ** 2)

    exact = torch.linalg.inv(torch.autograd.functional.hessian(loss, torch.tensor([0.3, -0.4], dtype=torch.float64)))
    np.testing.assert_allclose(found.covariance.numpy(), exact.numpy(), rtol=1e-4)
    np.testing.assert_allclose(found.prior.numpy(), np.diag([0.25, 4.0]), rtol=1e-5, atol=1e-5)
    assert found.part("b") == slice(1, 2)
    sd = found.spread(lambda q: q["a"] + 2 * q["b"])
    direction = np.array([1.0, 2.0])
    assert float(sd[0]) == pytest.approx(float(direction @ exact.numpy() @ direction) ** 0.5, rel=1e-4)


def test_warm_winters_tell_of_chill_and_cold_ones_do_not() -> None:
    found = {}
    for winters in ("mild", "cold"):
        world = trees(1, sites=3, years=12, winters=winters)
        model = HybridPhenology(members=1, steps=150, width=6, held_out=0.0, start="utah").fit(world.seasons)
        found[winters] = model.learned()
        checks = {c.title: c for c in model.identifiability()}
        assert (checks["Is the chill response identified?"].verdict == "pass") == found[winters].identified
        assert 0 < found[winters].effective < found[winters].total and found[winters].seasons == 36
        assert found[winters].station_years == 36 and abs(found[winters].correlated[2]) <= 1
    mild, cold = found["mild"], found["cold"]
    assert mild.identified and not cold.identified
    assert mild.limited > cold.limited and mild.width < cold.width


def test_members_in_which_warm_hours_undo_chill_have_a_band_around_them() -> None:
    world = trees(1, sites=2, years=6)
    model = HybridPhenology(members=1, steps=2, held_out=0.0, start="negating").fit(world.seasons)
    found = model.response(np.arange(-10, 31.0))
    assert found.response.min() < 0
    assert (found.lower <= found.response).all() and (found.response <= found.upper).all()


def test_requirements_are_in_the_chill_days_of_the_curve() -> None:
    world = trees(1, sites=2, years=6)
    model = HybridPhenology(members=2, steps=5, width=4, held_out=0.0, start="random").fit(world.seasons)
    model.usual_ = (8.0, 12.0)  # the best usual temperature is far from the best of all
    own = model.core.chill_requirement(model.parameters_, model._features(world.seasons))
    whole = model.members_response(np.arange(-18.0, 39.0))
    best = whole.max(1)  # of all knots, in units of the best usual one
    expected = own.numpy() * best[:, None]
    grown = model.accumulation(world.seasons)
    np.testing.assert_allclose(grown.chill_requirement, expected.mean(0), rtol=1e-4)
    table = model.parameters().set_index("site_id")["chill_requirement"]
    np.testing.assert_allclose(table[world.seasons.site_id].to_numpy(), expected.mean(0), rtol=1e-4)
    # a day at the constant best usual temperature is one chill day
    warm = replace(world.seasons.take([0]), hours=np.full((1, world.seasons.length, 24), 8.0, dtype=np.float32))
    days = model.accumulation(warm).chill[0]
    assert days[99] == pytest.approx(100 * float(model.members_response(np.array([8.0])).mean()), rel=1e-4)
