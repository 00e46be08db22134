"""The fast table against plain loops over every combination, season and day."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from grid_worlds import few_hours, utah

from ecotone.bench.phenology_plain import plain_days, plain_search, scalar_days, stacked_days
from ecotone.data.seasons import Status
from ecotone.errors import UsageError
from ecotone.systems.phenology import structures
from ecotone.systems.phenology.grid_search import Axes, add_losses, choose, costs, exact, season_days
from ecotone.systems.phenology.grid_units import cold_days, degree_days

AXES = Axes.of(np.array([0, 2.5, 5]), np.array([0, 10, 33, 60, 61, 1000.0]), np.array([0, 1, 12.5, 20, 40, 80, 9000]))


def table(structure, seasons, axes, chill, settings=None):
    """(B, n, C, K) days by the fast path."""
    c = None if chill is None else chill(seasons.hours)
    out = np.full((len(axes.base), len(seasons), *axes.shape[1:]), seasons.length)
    for b, base in enumerate(axes.base):
        g = degree_days(seasons.hours, base)
        for i, days in season_days(structure, c, g, axes, b, settings=settings):
            out[b, i, : len(days)] = days
    return out


@pytest.mark.parametrize("seed", range(4))
def test_sequential_equals_day_by_day(seed):
    seasons = few_hours(seed)
    chill = exact(utah(seasons.hours))
    assert (chill < 0).any()
    fast = table("sequential", seasons, AXES, utah)
    for (b, base), (c, need_chill), (k, need) in product(
        enumerate(AXES.base), enumerate(AXES.outer[:, 0]), enumerate(AXES.requirement[0])
    ):
        g = exact(degree_days(seasons.hours, base))
        slow = scalar_days(chill, g, need_chill, need)
        np.testing.assert_array_equal(fast[b, :, c, k], slow)
        np.testing.assert_array_equal(plain_days(chill, g, need_chill, need), slow)
        np.testing.assert_array_equal(stacked_days(chill, g, need_chill, need), slow)
        hard = structures.sequential(chill, g, need_chill, need)
        np.testing.assert_array_equal(np.where(np.isnan(hard), seasons.length, hard), slow)


@pytest.mark.parametrize(
    ("structure", "outer", "chill", "settings", "plain"),
    [
        ("thermal time", [[0], [7], [31]], None, {}, lambda c, g, o, r: structures.thermal_time(g, o[0], r)),
        ("parallel", [[0], [20], [70]], utah, {"least": 0.1},
         lambda c, g, o, r: structures.parallel(c, g, o[0], r, 0.1)),
        ("phenoflex", [[5], [20], [70]], lambda h: np.maximum(utah(h), 0), {"slope": 0.3},
         lambda c, g, o, r: structures.phenoflex(c, g, o[0], r, 0.3)),
        ("alternating", [[0, 0], [50, -0.1], [20, -0.02]], lambda h: cold_days(h, 5.0), {"start": 4, "chill_start": 2},
         lambda c, g, o, r: structures.alternating(c, g, r, *o, 4, 2)),
    ],
)  # fmt: skip
def test_other_structures_equal_their_forward_model(structure, outer, chill, settings, plain):
    seasons = few_hours(11, sites=1)
    # off the multiples that sums of half degrees can hit, as products are rounded on the fast path only
    axes = Axes.of([0, 4], outer, np.array([0.013, 1.37, 20.003, 55.001, 150.7, 9000]))
    fast = table(structure, seasons, axes, chill, settings)
    for b, c, k in product(*map(range, axes.shape)):
        g = degree_days(seasons.hours, axes.base[b])
        day = plain(None if chill is None else chill(seasons.hours), g, axes.outer[c], axes.requirement[b, k])
        np.testing.assert_array_equal(fast[b, :, c, k], np.where(np.isnan(day), seasons.length, day))
    assert len(np.unique(fast)) > 5


@pytest.mark.parametrize("seed", range(3))
def test_losses_and_choice_equal_plain_search(seed):
    seasons = few_hours(seed, sites=1, years=7)
    chill = exact(utah(seasons.hours))
    forcing = {float(b): exact(degree_days(seasons.hours, b)) for b in AXES.base}
    loss = np.zeros((3, *AXES.shape))
    fold = np.arange(len(seasons)) % 3
    cost = costs(seasons, np.full(len(seasons), seasons.length))
    add_losses(loss, fold, cost, "sequential", lambda b: chill, forcing.__getitem__, AXES)
    for f, b, c, k in product(range(3), *map(range, AXES.shape)):
        rows = fold == f
        g = forcing[float(AXES.base[b])][rows]
        slow = scalar_days(chill[rows], g, AXES.outer[c, 0], AXES.requirement[b, k])
        assert loss[f, b, c, k] == ((slow - seasons.event[rows]) ** 2).sum()
    best, least = plain_search(chill, forcing, seasons.event, AXES.outer[:, 0], AXES.requirement[0])
    total = loss.sum(axis=0)
    assert total.min() / len(seasons) == pytest.approx(least, rel=1e-14)
    if (total == total.min()).sum() == 1:
        b, c, k = choose(total)
        assert best == (AXES.base[b], AXES.outer[c, 0], AXES.requirement[b, k])


def test_ties_go_to_the_middle():
    loss = np.ones((3, 4, 9))
    loss[1, 2, 3:8] = 0
    assert choose(loss) == (1, 2, 5)
    loss[1, 2, 3] = 1  # four left, the first of the two middle ones
    assert choose(loss) == (1, 2, 5)
    assert choose(np.array([[1.0, 0, 0], [0, 0, 1]])) == (0, 1)


def test_costs_of_censored_and_short_seasons():
    seasons = few_hours(0, sites=1, years=3, length=40)
    seasons.status[:] = [Status.OBSERVED, Status.AFTER, Status.BEFORE]
    seasons.event[:] = [20, 25, 10]
    cost = costs(seasons, np.array([40, 40, 30]))
    np.testing.assert_array_equal(cost[0, [18, 20, 23, 40]], [4, 0, 9, 400])
    np.testing.assert_array_equal(cost[1, [20, 25, 26, 40]], [36, 1, 0, 0])
    np.testing.assert_array_equal(cost[2, [5, 10, 12, 30, 40]], [0, 0, 4, 400, 400])
    np.testing.assert_array_equal(costs(seasons, np.full(3, 40), "mae")[0, [18, 23]], [2, 3])


def test_bad_grids_and_names():
    with pytest.raises(UsageError, match="axis falls"):
        Axes.of([0], [3, 2, 1], [1, 2])
    with pytest.raises(UsageError, match="criterion"):
        costs(few_hours(0), np.full(12, 60), "rmse")
    with pytest.raises(UsageError, match="needs chill"):
        next(season_days("sequential", None, np.ones((1, 60)), AXES, 0))
