"""The course of a season against slow plain rewrites, of ours and of the published form."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.hybrid import network
from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import KNOTS, Features, Places, features
from ecotone.systems.phenology.hybrid.model import Hybrid
from ecotone.systems.phenology.hybrid.paper import SCALARS, Published
from ecotone.systems.phenology.hybrid.release import Released, released
from ecotone.systems.phenology.hybrid.uncertainty import take

SEASONS = trees(4, sites=3, years=2).seasons
SEASONS = replace(SEASONS, sites=SEASONS.sites.assign(group=["a", "a", "b"]))
PLACES = Places.of(SEASONS)


def made(**options: Any) -> tuple[Hybrid | Published, dict[str, torch.Tensor], Features]:
    """A model with parameters that are nowhere at their start."""
    config = HybridConfig.parse({"width": 5, "start": "random", **options})
    day = config.network == "day"
    f = features(SEASONS, PLACES, whole_days=day)
    core = Published(config, PLACES) if day else Hybrid(config, PLACES)
    generator = torch.Generator().manual_seed(2)
    p = core.initial(2, generator, f)
    shaken = ("_site", "_group", "_place", "base", "th_c", "th_g")
    p = {k: v + 0.1 * torch.randn(v.shape, generator=generator) if k.endswith(shaken) else v for k, v in p.items()}
    if day:
        p |= {"th_c": p["th_c"].abs() * 0.5, "th_g": p["th_g"].abs() * 20, "s_c": p["s_c"] * 0.4, "s_g": p["s_g"] * 0.3}
    return core, p, f


def soft(x: float) -> float:
    return math.log1p(math.exp(x)) if x < 30 else x


def logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def test_course_equals_a_plain_loop_over_days_and_hours() -> None:
    core, p, f = made()
    course = core.course(p, f)
    q = {k: v.double().numpy() for k, v in p.items()}
    curves = network.response(p, "free").double().numpy()
    hours = SEASONS.hourly().astype(float)
    for m, n in ((0, 0), (1, 3), (1, 5)):
        site, group = int(f.site[n]), int(f.group[n])
        place = f.place[n].double().numpy()
        chill = q["chill"][m, 0] + q["chill_group"][m, group] + q["chill_site"][m, site] + q["chill_place"][m] @ place
        need = soft(4 * chill) / 4 * 10
        year = (int(SEASONS.year[n]) - 1990) / 20
        heat = q["heat"][m, 0] + q["heat_group"][m, group] + q["heat_site"][m, site] + q["drift_site"][m, site] * year
        heat += q["heat_place"][m] @ place
        base = q["base"][m, 0] + q["base_group"][m, group] + q["base_site"][m, site]
        bend = math.exp(q["bend"][m, 0])
        warmth = [soft((k - base) / bend) * bend for k in KNOTS]
        chill = grown = 0.0
        for s in range(SEASONS.length):
            chill += sum(float(np.interp(t, KNOTS, curves[m])) for t in hours[n, s]) / 24
            release = logistic(math.exp(q["release"][m, 0]) * (chill / need - 1))
            grown += release * sum(float(np.interp(t, KNOTS, warmth)) for t in hours[n, s]) / 24
            z = math.exp(q["bloom"][m, 0] + q["bloom_group"][m, group]) * (grown / (100 * math.exp(heat)) - 1)
            if s % 30 == 0 or s == SEASONS.length - 1:
                found = [float(v[m, n, s]) for v in course]
                np.testing.assert_allclose(found, [chill, release, grown, z], rtol=2e-4, atol=2e-4)


def test_published_form_equals_the_published_equations() -> None:
    core, p, f = made(network="day", scalars="site")
    course = core.course(p, f)
    q = {k: v.double().numpy() for k, v in p.items()}
    hours = SEASONS.hourly().astype(float)
    days = SEASONS.length
    for m, n in ((0, 0), (1, 4)):
        one = {k: float(q[k][m, int(f.site[n])]) for k in SCALARS}
        x = (hours[n] - 6.65) / 9.09
        hidden = np.maximum(x @ q["w1"][m] + q["b1"][m], 0)
        hidden = np.maximum(hidden @ q["w2"][m] + q["b2"][m], 0)
        units = 1 / (1 + np.exp(-(hidden @ q["w3"][m] + q["b3"][m])[:, 0]))
        chill = np.cumsum(units) / 274
        release = 1 / (1 + np.exp(-(chill - one["th_c"]) / (one["s_c"] ** 2 + 0.01)))
        grown = np.cumsum(np.maximum(hours[n] - one["base"], 0).mean(1) / 274 * release)
        z = (grown - one["th_g"]) / (one["s_g"] ** 2 + 0.01)
        expected = (chill * 274, release, grown * 274, z)
        for a, b in zip(course, expected, strict=True):
            np.testing.assert_allclose(a[m, n].numpy(), b, rtol=1e-3, atol=1e-3)
        # the day before the first is a day without forcing, not the last of the season
        first = replace(take(f, torch.tensor([n])), event=torch.tensor([0]))
        _, before = core.event(p, first)
        assert float(before[m, 0]) == pytest.approx(-one["th_g"] / (one["s_g"] ** 2 + 0.01), rel=1e-4)
        assert days == 274


@pytest.mark.parametrize("options", [{}, {"base": "group"}, {"base": "global", "scalars": "group"}, {"network": "day"}])
def test_progress_at_the_event_is_that_of_the_course(options: dict[str, Any]) -> None:
    core, p, f = made(**options)
    z, before = core.event(p, f)
    course = core.course(p, f).progress
    at = f.event.view(1, -1, 1).expand(2, -1, 1)
    np.testing.assert_allclose(z.numpy(), course.gather(2, at)[..., 0].numpy(), rtol=1e-4, atol=2e-4)
    np.testing.assert_allclose(before.numpy(), course.gather(2, at - 1)[..., 0].numpy(), rtol=1e-4, atol=2e-4)
    for a, b in zip((z, before), core.event(p, f, plain=True), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-4)


def test_written_out_derivative_is_that_of_the_plain_form() -> None:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    event = torch.tensor([0, 6, 3])
    parts = (draw(2, 3, 7), draw(2, 3), draw(2, 1), draw(2, 3, 7))
    late = torch.arange(7)[None] > event[:, None]
    parts = (*parts[:3], (parts[3].detach() * ~late).requires_grad_())
    for a, b in zip(released(*parts, event), Released.apply(*parts, event), strict=True):  # type: ignore[arg-type]
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
    weight = torch.rand(2, 2, 3, generator=generator, dtype=torch.float64)

    def of(inner: Any) -> Any:
        total, last = inner(*parts, event)
        return torch.autograd.grad((total * weight[0] + last * weight[1]).sum(), parts)

    for a, b in zip(of(released), of(Released.apply), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("options", [{}, {"response": "unimodal"}, {"response": "monotone"}, {"network": "day"}])
def test_data_reach_every_parameter(options: dict[str, Any]) -> None:
    core, p, f = made(**options)
    p = {k: v.requires_grad_() for k, v in p.items()}
    z, before = core.event(p, f)
    (z - 0.3 * before).sum().backward()
    unused = {"negation"} if options.get("response") else set()
    assert all(k in unused or (v.grad is not None and bool((v.grad != 0).any())) for k, v in p.items())


def test_order_and_company_of_seasons_change_nothing() -> None:
    core, p, f = made()
    # sites that are not known, of both groups and of none
    f = replace(f, site=torch.full_like(f.site, 3), group=torch.tensor([0, 1, 2, 0, 1, 2]))
    z = core.course(p, f).progress
    mixed = torch.tensor([4, 0, 5, 2, 1, 3])
    np.testing.assert_allclose(
        core.course(p, take(f, mixed)).progress.numpy(), z[:, mixed].numpy(), rtol=1e-4, atol=1e-4
    )
    for n in range(6):
        alone = core.course(p, take(f, torch.tensor([n]))).progress[:, 0]
        np.testing.assert_allclose(alone.numpy(), z[:, n].numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("options", [{}, {"network": "day"}])
def test_weather_after_a_day_does_not_reach_it(options: dict[str, Any]) -> None:
    core, p, f = made(**options)
    changed = replace(SEASONS, daily=SEASONS.daily.copy())
    changed.daily[:, 151:] += 9  # hours of a day may lean on the extremes of the next
    later = features(changed, PLACES, whole_days="network" in options)
    a, b = core.course(p, f), core.course(p, later)
    for one, other in zip(a, b, strict=True):
        assert bool((one[..., :150] == other[..., :150]).all())
    assert bool((a.forcing[..., -1] != b.forcing[..., -1]).all())
    early = replace(f, event=torch.full_like(f.event, 120))
    early = replace(early, until_event=f.share * (torch.arange(f.days) <= 120)[None, :, None])
    short = features(SEASONS, PLACES, whole_days="network" in options, days=125)
    short = replace(short, event=early.event, until_event=short.share * (torch.arange(125) <= 120)[None, :, None])
    for one, other in zip(core.event(p, early), core.event(p, short), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-5, atol=1e-4)
