"""The published form against its equations written out day by day, and what it does with sites it does not know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.systems.phenology.hybrid.worlds import made, ready, uneven

from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import Places, features
from ecotone.systems.phenology.hybrid.paper import SCALARS, WEIGHTS, Published


@pytest.fixture(scope="module")
def seasons():
    return made(8, sites=2)


def build(seasons, places=None, members=2, **settings):
    """Model, parameters near a trained state, features."""
    places = places or Places.of(seasons)
    core = Published(HybridConfig(**{"preset": "paper", "width": 5, **settings}), places)
    f = ready(seasons, places, whole_days=True)
    p = uneven(core.initial(members, torch.Generator().manual_seed(2), f), 1)
    for name, level, spread in (
        ("th_c", 0.2, 0.1),
        ("th_g", 0.8, 0.4),
        ("base", 3.0, 5.0),
        ("s_c", -0.7, 1),
        ("s_g", -0.6, 1),
    ):
        p[name] = level + spread * (p[name] - SCALARS[name])
    return core, p, f


def logistic(x):
    return 1 / (1 + np.exp(-x))


def slow_course(p, seasons, kind):
    """(M, N, S) chill, release, forcing, progress; `kind` says which scalars a season uses, None for their mean."""
    value = {k: v.numpy() for k, v in p.items()}
    members = len(value["w1"])
    found = np.zeros((4, members, len(seasons), seasons.length))
    hours = seasons.hours.astype(float)
    for m in range(members):
        for n in range(len(seasons)):
            own = {k: value[k][m].mean() if kind[n] is None else value[k][m, kind[n]] for k in SCALARS}
            a_c, a_g = (1 / (own[s] ** 2 + 0.01) for s in ("s_c", "s_g"))
            chill = gathered = 0.0
            for t in range(seasons.length):
                x = (hours[n, t] - 6.65) / 9.09
                x = np.maximum(x @ value["w1"][m] + value["b1"][m, 0], 0)
                x = np.maximum(x @ value["w2"][m] + value["b2"][m, 0], 0)
                chill += logistic(x @ value["w3"][m] + value["b3"][m, 0])[0] / 274
                release = logistic(a_c * (chill - own["th_c"]))
                gathered += release * np.maximum(hours[n, t] - own["base"], 0).mean() / 274
                found[:, m, n, t] = chill * 274, release, gathered * 274, a_g * (gathered - own["th_g"])
    return found


@pytest.mark.parametrize("scalars", ["site", "group", "global"])
def test_the_course_is_that_of_the_published_equations(seasons, scalars):
    core, p, f = build(seasons, scalars=scalars)
    rows = [0, 3, 4, 7]
    kind = [0] * 4 if scalars == "global" else seasons.site[rows].tolist()
    assert p["th_c"].shape == (2, 1 if scalars == "global" else 2)
    expected = slow_course(p, seasons.take(rows), kind)
    for name, plain in zip(("chill", "release", "forcing", "progress"), expected, strict=True):
        found = getattr(core.course(p, f), name)[:, rows]
        np.testing.assert_allclose(found, plain, rtol=1e-6, atol=1e-6, err_msg=name)


def test_unknown_sites_use_the_mean_of_the_known_ones(seasons):
    core, p, _ = build(seasons)
    strange = replace(seasons, sites=seasons.sites.assign(site_id=["new", "site-02"])).take([1, 5])
    f = ready(strange, core.places, whole_days=True)
    np.testing.assert_allclose(core.course(p, f).progress, slow_course(p, strange, [None, 1])[3], atol=1e-6)
    for name, unit in (("th_c", core.chill_requirement), ("th_g", core.forcing_requirement)):
        torch.testing.assert_close(unit(p, f)[:, 0], p[name].mean(1) * 274)
        torch.testing.assert_close(unit(p, f)[:, 1], p[name][:, 1] * 274)


def test_the_event_is_the_course_on_its_day_and_the_day_before(seasons):
    core, p, f = build(seasons)
    assert 0 in f.event.tolist()  # whose day before is not the last of the season
    course = core.course(p, f).progress
    z, before = core.event(p, f)
    start = -core.scalar(p, "th_g", f) / (core.scalar(p, "s_g", f) ** 2 + 0.01)
    for n in range(len(seasons)):
        day = int(f.event[n])
        torch.testing.assert_close(z[:, n], course[:, n, day], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(before[:, n], course[:, n, day - 1] if day else start[:, n], rtol=1e-9, atol=1e-9)


def test_every_parameter_but_idle_neurons_learns(seasons):
    core, p, f = build(seasons)
    p = {k: v.requires_grad_() for k, v in p.items()}
    z, before = core.event(p, f)
    (z.sum() + (z - before).log().sum()).backward()
    for name, value in p.items():
        assert value.grad is not None and bool(torch.isfinite(value.grad).all()), name
        assert bool((value.grad != 0).flatten(1).any(1).all()), name
        if name in SCALARS:
            assert bool((value.grad != 0).all()), name


def test_the_start_is_the_published_one(seasons):
    f = features(seasons, Places.of(seasons), whole_days=True)
    core = Published(HybridConfig(preset="paper"), Places.of(seasons))
    p = core.initial(3, torch.Generator().manual_seed(0), f)
    assert {k: tuple(p[k].shape[1:]) for k in WEIGHTS} == {
        "w1": (24, 64), "b1": (1, 64), "w2": (64, 64), "b2": (1, 64), "w3": (64, 1), "b3": (1, 1)
    }  # fmt: skip
    assert sum(p[k][0].numel() for k in WEIGHTS) == 5825
    for k, inputs in ((1, 24), (2, 64), (3, 64)):
        assert float(p[f"w{k}"].abs().max()) <= inputs**-0.5
    assert float(p["w2"].abs().max()) > 0.9 / 8
    for name, value in SCALARS.items():
        assert bool((p[name] == value).all()) and p[name].shape == (3, 2)
    assert core.residuals(p) == []


def test_whole_days_are_needed(seasons):
    core, p, f = build(seasons)
    with pytest.raises(ValueError, match="needs hours"):
        core.course(p, replace(f, hours=None))


def test_the_paper_preset_can_be_overridden():
    assert HybridConfig(preset="paper").steps == 20_000 and HybridConfig(preset="paper", steps=50).steps == 50
    assert HybridConfig(preset="paper").network == "day" and HybridConfig().network == "hourly"
