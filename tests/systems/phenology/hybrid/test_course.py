"""Dormancy and growth of the hybrid against a plain rewrite, day by day and hour by hour."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.systems.phenology.hybrid.worlds import made, ready, uneven

from ecotone.systems.phenology.hybrid.config import HybridConfig
from ecotone.systems.phenology.hybrid.features import KNOTS, Places
from ecotone.systems.phenology.hybrid.model import BASE, BEND, BLOOM, RELEASE, SPREAD, Hybrid, pick, start_of
from ecotone.systems.phenology.hybrid.network import response
from ecotone.systems.phenology.hybrid.release import released


@pytest.fixture(scope="module")
def seasons():
    return made()


def build(seasons, places=None, members=2, seed=0, **settings):
    """Model, uneven parameters and features, all in double precision."""
    places = places or Places.of(seasons)
    core = Hybrid(HybridConfig(**{"start": "random", "width": 4, **settings}), places)
    known = ready(seasons, places)
    p = core.initial(members, torch.Generator().manual_seed(seed), ready_single(known))
    return core, uneven(p, seed), known


def ready_single(f):
    names = ("share", "summed", "until_event", "year", "place", "beyond")
    return replace(f, **{name: getattr(f, name).float() for name in names})


def slow_terms(places, row, group):
    """Ten degrees, their square, ten degrees and kilometres from the middle of a group, within its edges."""
    if group is None:
        return np.zeros(4)
    away = []
    for k, (name, unit) in enumerate((("latitude", 10), ("longitude", 10), ("altitude", 1000))):
        low, high = places.low[group][k], places.high[group][k]
        away.append(min(max(row[name] - places.centre[group][k], low), high) / unit)
    return np.array([away[0], away[0] ** 2, away[1], away[2]])


def slow_softplus(x):
    return np.logaddexp(0, x)


def slow_course(core, p, seasons, ease=1.0):
    """(M, N, S) chill, release, forcing and progress: one tree, one day after the other."""
    cfg, places = core.config, core.places
    curves = response(p, cfg.response).numpy()
    value = {k: v.numpy() for k, v in p.items()}
    found = np.zeros((4, len(curves), len(seasons), seasons.length))
    hours = seasons.hours.astype(float)
    for m, curve in enumerate(curves):
        for n in range(len(seasons)):
            name, kind = seasons.site_id[n], seasons.sites["group"][seasons.site[n]]
            site = places.sites.index(name) if name in places.sites else None
            group = places.groups.index(kind) if kind in places.groups else None

            def own(what, level, k, m=m):
                return 0.0 if k is None else value[f"{what}_{level}"][m, k]

            chill, heat, base = (value[what][m, 0] for what in ("chill", "heat", "base"))
            if cfg.scalars in ("site", "group"):
                chill, heat = chill + own("chill", "group", group), heat + own("heat", "group", group)
            if cfg.scalars == "site":
                chill, heat = chill + own("chill", "site", site), heat + own("heat", "site", site)
            if cfg.place:
                terms = slow_terms(places, seasons.sites.iloc[seasons.site[n]], group)
                chill, heat = (v + value[f"{k}_place"][m] @ terms for k, v in (("chill", chill), ("heat", heat)))
            if cfg.drift:
                heat += own("drift", "site", site) * (seasons.year[n] - 1990) / 20
            if cfg.base in ("site", "group"):
                base += own("base", "group", group)
            if cfg.base == "site":
                base += own("base", "site", site)
            chill_need, heat_need = slow_softplus(4 * chill) / 4 * 10 * ease, np.exp(heat) * 100
            bend = np.exp(value["bend"][m, 0])
            warm = slow_softplus((KNOTS - base) / bend) * bend
            slope, steep = np.exp(value["release"][m, 0]), np.exp(value["bloom"][m, 0] + own("bloom", "group", group))
            chilled = gathered = 0.0
            for t in range(seasons.length):
                day = np.clip(hours[n, t], KNOTS[0], KNOTS[-1])
                chilled += np.interp(day, KNOTS, curve).mean()
                awake = 1 / (1 + np.exp(-slope * (chilled / chill_need - 1)))
                gathered += awake * np.interp(day, KNOTS, warm).mean()
                found[:, m, n, t] = chilled, awake, gathered, steep * (gathered / heat_need - 1)
    return found


CASES = [
    {},
    {"scalars": "group", "base": "global", "response": "unimodal"},
    {"scalars": "global", "base": "group", "response": "monotone", "drift": False},
    {"place": False},
]


@pytest.mark.parametrize("settings", CASES)
def test_the_course_is_that_of_a_plain_rewrite(seasons, settings):
    core, p, f = build(seasons, **settings)
    if not settings:
        p["negation"][1] = 1.0  # a member whose warm hours undo chill
    rows = [0, 3, 5, 8, 11]
    few = seasons.take(rows)
    expected = slow_course(core, p, few)
    for name, plain in zip(("chill", "release", "forcing", "progress"), expected, strict=True):
        found = getattr(core.course(p, f), name)[:, rows]
        np.testing.assert_allclose(found, plain, rtol=1e-5, atol=1e-4, err_msg=name)


def test_an_eased_chill_requirement(seasons):
    core, p, f = build(seasons)
    few = seasons.take([2, 9])
    np.testing.assert_allclose(
        core.course(p, f, ease=0.7).progress[:, [2, 9]], slow_course(core, p, few, 0.7)[3], atol=1e-4
    )


def test_unknown_sites_and_groups_count_as_average_ones(seasons):
    places = Places.of(seasons.take(seasons.site == 0))
    core, p, _ = build(seasons.take(seasons.site == 0), places)
    few = seasons.take([0, 4, 8])  # known; unknown site and group; unknown site of a known group
    np.testing.assert_allclose(core.course(p, ready(few, places)).progress, slow_course(core, p, few)[3], atol=1e-4)


def test_unknown_sites_of_several_groups_answer_side_by_side(seasons):
    """Each keeps the base temperature of its own group, whichever site comes first."""
    places = Places.of(seasons)
    core, p, _ = build(seasons)
    strange = replace(seasons, sites=seasons.sites.assign(site_id=["new-1", "new-2", "new-3"])).take([0, 4, 8])
    together = core.course(p, ready(strange, places)).progress
    for k in range(3):
        alone = core.course(p, ready(strange.take([k]), places)).progress
        torch.testing.assert_close(together[:, k], alone[:, 0])
    np.testing.assert_allclose(together, slow_course(core, p, strange)[3], atol=1e-4)


@pytest.mark.parametrize("plain", [False, True])
def test_the_event_is_the_course_on_its_day_and_the_day_before(seasons, plain):
    core, p, f = build(seasons)
    course = core.course(p, f).progress
    z, before = core.event(p, f, plain=plain)
    for n in range(len(seasons)):
        day = int(f.event[n])
        torch.testing.assert_close(z[:, n], course[:, n, day], rtol=1e-9, atol=1e-9)
        start = -torch.exp(p["bloom"] + p["bloom_group"])[:, int(f.group[n])]  # nothing gathered before the first day
        torch.testing.assert_close(before[:, n], course[:, n, day - 1] if day else start, rtol=1e-9, atol=1e-9)
    assert 0 in f.event.tolist()


def test_single_precision_stays_close(seasons):
    core, p, f = build(seasons)
    z, _ = core.event(p, f)
    single, _ = core.event({k: v.float() for k, v in p.items()}, ready_single(f))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), z, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shape", ["free", "unimodal", "monotone"])
def test_every_parameter_learns(seasons, shape):
    core, p, f = build(seasons, response=shape)
    p = {k: v.requires_grad_() for k, v in p.items()}
    z, before = core.event(p, f)
    (z.sum() + (z - before).log().sum()).backward()
    for name, value in p.items():
        if name != "negation":
            assert value.grad is not None, name
            assert bool(torch.isfinite(value.grad).all()) and bool((value.grad != 0).all()), name


def test_own_and_plain_gradients_agree(seasons):
    core, p, f = build(seasons)
    grads = []
    for plain in (False, True):
        own = {k: v.clone().requires_grad_() for k, v in p.items()}
        z, before = core.event(own, f, plain=plain)
        grads.append(torch.autograd.grad((z.sin() + before.cos()).sum(), list(own.values())))
    for mine, theirs in zip(*grads, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("base", ["site", "group", "global"])
def test_permuted_seasons_have_permuted_answers(seasons, base):
    core, p, f = build(seasons, base=base)
    order = np.random.default_rng(3).permutation(len(seasons))
    turned = ready(seasons.take(order), core.places)
    for own, other in zip(core.event(p, f), core.event(p, turned), strict=True):
        torch.testing.assert_close(own[:, order], other)
    torch.testing.assert_close(core.course(p, f).progress[:, order], core.course(p, turned).progress)


def test_weather_after_the_event_changes_nothing(seasons):
    core, p, f = build(seasons)
    hours = seasons.hours.copy()
    for n in range(len(seasons)):
        hours[n, int(f.event[n]) + 1 :] += np.random.default_rng(n).normal(3, 5)
    other = ready(replace(seasons, hours=hours), core.places)
    assert not torch.equal(other.summed, f.summed)
    answers = []
    for known in (f, other):
        own = {k: v.clone().requires_grad_() for k, v in p.items()}
        z, before = core.event(own, known)
        answers.append((z, before, *torch.autograd.grad((z.sin() + before.cos()).sum(), list(own.values()))))
    for mine, theirs in zip(*answers, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_members_do_not_touch_each_other(seasons):
    core, p, f = build(seasons, members=3)
    alone = {k: v[1:2] for k, v in p.items()}
    torch.testing.assert_close(core.event(p, f)[0][1:2], core.event(alone, f)[0])


def test_the_start_fits_the_level_of_each_group(seasons):
    core = Hybrid(HybridConfig(start="random", width=4), Places.of(seasons))
    f = ready_single(ready(seasons))
    p = core.initial(2, torch.Generator().manual_seed(1), f)
    seen = torch.nonzero(f.usable & ~f.after & ~f.before)[:, 0]
    assert len(seen) == len(seasons) - 3
    at_bloom = core.course(p, f).chill[:, seen, f.event[seen]]
    expected = (0.3 * at_bloom.median(1).values / 10).clamp(min=0.1)
    torch.testing.assert_close(p["chill"][:, 0], expected)
    inner = core._chill(p, f), core.chill_requirement(p, f), p["release"].exp(), core._forcing(p, f, True), f.event
    off = (released(*inner)[0] / core.forcing_requirement(p, f)).log()
    for group in range(2):
        own = off[:, seen[f.group[seen] == group]]
        torch.testing.assert_close(own.median(1).values, torch.zeros(2), atol=1e-4, rtol=0)


def test_what_members_start_from(seasons):
    assert [start_of("mixed", k) for k in range(4)] == ["negating", "utah", "random", "negating"]
    assert start_of("falling", 5) == "falling"
    core = Hybrid(HybridConfig(start="mixed"), Places.of(seasons))
    p = core.initial(3, torch.Generator().manual_seed(1), ready_single(ready(seasons)))
    assert p["negation"][:, 0].tolist() == [1.0, 0.0, 0.0]
    shapes = response(p, "free")
    assert bool((shapes[0, KNOTS > 20] < 0).all()) and bool((shapes[1:] >= 0).all())


def test_the_penalty_is_that_of_the_priors(seasons):
    core, p, _ = build(seasons, shrinkage=2.0, weight_decay=0.3, smoothness=7.0)
    value = {k: v.numpy() for k, v in p.items()}
    curves = response(p, "free").numpy()
    for m in range(2):
        total = 0.3 * (value["net_in"][m] ** 2).sum() + 0.3 * (value["net_out"][m] ** 2).sum()
        total += ((value["base"][m, 0] - BASE) / 3) ** 2
        total += sum((value[k][m, 0] - v) ** 2 for k, v in (("bend", BEND), ("release", RELEASE), ("bloom", BLOOM)))
        for name, spread in SPREAD.items():
            total += (2.0 if name.endswith("_site") else 1.0) * ((value[name][m] / spread) ** 2).sum()
        total += 7.0 * (np.diff(np.diff(curves[m]) / np.diff(KNOTS)) ** 2).sum()
        assert sum(float((r[m] ** 2).sum()) for r in core.residuals(p)) == pytest.approx(total, rel=1e-5)


def test_unknown_positions_pick_nothing():
    values = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert pick(values, torch.tensor([1, 2, 0])).tolist() == [[2.0, 0.0, 1.0], [4.0, 0.0, 3.0]]
