"""The grid-searched model: recovery, pooling, honest residuals, what it says of its own surface."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from grid_worlds import few_hours, of_hours, utah

from ecotone.data.seasons import Status
from ecotone.errors import InputError, UsageError
from ecotone.systems.phenology.by_group import ByGroup
from ecotone.systems.phenology.grid import MISSING, GridPhenology
from ecotone.systems.phenology.grid_axes import axes, published
from ecotone.systems.phenology.grid_search import Axes, exact
from ecotone.systems.phenology.grid_units import degree_days
from ecotone.systems.phenology.structures import sequential

Array = np.ndarray
SMALL = Axes.of(np.arange(0, 6, 1.0), np.arange(0, 161, 16.0), np.arange(10, 120, 5.0))


def grown(needs: list[float], years: int = 14, seed: int = 0, base: float = 3.0, chill: float = 96.0):
    """Seasons of trees that follow the sequential model, one requirement per site."""
    blank = few_hours(seed, sites=len(needs), years=years, length=110)
    g, c = exact(degree_days(blank.hours, base)), exact(utah(blank.hours))
    event = sequential(c, g, chill, np.array(needs)[blank.site])
    keep = np.isfinite(event)
    return of_hours(blank.hours[keep], blank.site[keep], blank.year[keep], event[keep])


def slow_best(seasons, grid: Axes) -> tuple[float, set[tuple[float, float, float]]]:
    """Smallest summed squared error and every cell that has it."""
    c = exact(utah(seasons.hours))
    found: dict[tuple[float, float, float], float] = {}
    for b, chill, need in product(grid.base, grid.outer[:, 0], grid.requirement[0]):
        day = sequential(c, exact(degree_days(seasons.hours, b)), chill, need)
        day = np.where(np.isnan(day), seasons.length, day)
        found[float(b), float(chill), float(need)] = float(((day - seasons.event) ** 2).sum())
    least = min(found.values())
    return least, {cell for cell, loss in found.items() if loss == least}


def model(**kwargs) -> GridPhenology:
    return GridPhenology(**{"chill": utah, "grid": SMALL, "folds": 4} | kwargs)


def test_finds_the_tree_that_made_the_days():
    seasons = grown([60.0, 60.0])
    fit = model(pooled=True).fit(seasons)
    assert fit.surfaces_[None].loss == 0
    cells = slow_best(seasons, SMALL)[1]
    assert (3.0, 96.0, 60.0) in cells
    assert tuple(fit.parameters().values()) in cells
    np.testing.assert_array_equal(fit.predict(seasons.unlabelled()).day, seasons.event)


@pytest.mark.parametrize("pooled", [True, False])
def test_equals_slow_search_and_leaves_years_out(pooled):
    seasons = few_hours(5, sites=2, years=8, length=70)
    small = Axes.of([0.0, 3], [0, 40, 80.0], np.arange(5, 100, 10.0))
    fit = model(pooled=pooled, grid=small).fit(seasons)
    groups = [np.arange(16)] if pooled else [np.arange(8), np.arange(8, 16)]
    for key, rows in zip([None] if pooled else ["s0", "s1"], groups, strict=True):
        least, cells = slow_best(seasons.take(rows), small)
        assert fit.surfaces_[key].loss == pytest.approx(least / len(rows))
        assert tuple(fit.parameters(key).values()) in cells
        # every residual comes from a search without the years of its fold
        fold = (seasons.year - 2000) % 4
        for f in range(4):
            others = seasons.take(rows[fold[rows] != f])
            left = rows[fold[rows] == f]
            possible = []
            for base, chill, need in slow_best(others, small)[1]:
                c, g = exact(utah(seasons.hours[left])), exact(degree_days(seasons.hours[left], base))
                possible.append(seasons.event[left] - sequential(c, g, chill, need))
            assert any(np.array_equal(fit.residuals_[None][left], one, equal_nan=True) for one in possible)


def test_requirement_per_site_shares_the_rest():
    needs = [40.0, 60.0, 85.0]
    seasons = grown(needs, years=12)
    fit = model(pooled="requirement").fit(seasons)
    found = [fit.parameters(f"s{g}") for g in range(3)]
    assert len({(p["base"], p["chill"]) for p in found}) == 1
    assert fit.surfaces_[None].loss == 0
    np.testing.assert_array_equal(fit.predict(seasons).day, seasons.event)
    assert not any("requirement" in ends for ends in fit.at_bound_.values())
    low = Axes.of(SMALL.base, SMALL.outer, np.arange(40, 90, 5.0))
    assert model(pooled="requirement", grid=low).fit(seasons).at_bound_ == {
        None: (),
        "s0": ("requirement",),
        "s2": ("requirement",),
    }
    single = model(pooled=True).fit(seasons)
    assert single.surfaces_[None].loss > 5
    assert found[0]["requirement"] < found[1]["requirement"] < found[2]["requirement"]


def test_sites_without_a_fit_of_their_own_use_the_pooled_one():
    seasons = grown([60.0, 60.0, 60.0], years=9)
    few = seasons.take((seasons.site < 2) | (seasons.year < 2003))
    for pooled in (False, "requirement"):
        fit = model(pooled=pooled, least=5).fit(few.take(few.site != 1))
        assert fit.parameters("s1") == fit.parameters() == fit.parameters("s2")
        assert np.isfinite(fit.predict(seasons.take(seasons.site == 1)).day).all()


def test_surface_of_a_cold_world_says_chill_never_limits():
    blank = few_hours(3, sites=1, years=16, length=110, mean=1.0)
    g = exact(degree_days(blank.hours, 3.0))
    event = sequential(exact(utah(blank.hours)), g, 32.0, 40.0)
    cold = of_hours(blank.hours - 0, blank.site, blank.year, np.where(np.isnan(event), 109, event))
    fit = model(pooled=True).fit(cold)
    found = fit.surfaces_[None]
    assert found.seasons == 16
    assert found.effective == 16
    values, loss = fit.profile("base")
    np.testing.assert_array_equal(values, SMALL.base)
    assert loss.min() == pytest.approx(found.loss)
    for name in ("chill", "requirement"):
        assert fit.profile(name)[1].min() == pytest.approx(found.loss)
    assert found.limited is not None
    assert found.unlimited == 16 - found.limited
    warm = model(pooled=True).fit(grown([60.0], years=16)).surfaces_[None]
    assert warm.limited is not None
    assert warm.limited > found.limited


def test_station_years_count_once_and_bounds_are_named():
    seasons = grown([60.0, 60.0])  # two sites, one station
    fit = GridPhenology(
        chill=utah, grid=Axes.of([3.0, 4.0], [96.0], np.arange(60, 90, 10.0)), pooled=True, folds=4
    ).fit(seasons)
    found = fit.surfaces_[None]
    assert found.effective * 2 >= found.seasons > found.effective
    assert found.at_bound == ("base", "requirement")
    assert set(found.width) == {"base", "chill", "requirement"}


def test_gaps_and_never():
    seasons = grown([60.0])
    hours = seasons.hours.copy()
    hours[0, 20, 3] = np.nan  # before bloom: no answer, and no part in the fit
    hours[1, -1] = np.nan  # after it: nothing changes
    hours[2] = -20  # never blooms
    holed = of_hours(hours, seasons.site, seasons.year, seasons.event)
    fit = model(pooled=True).fit(holed.take(np.arange(len(holed)) != 2))
    assert fit.surfaces_[None].seasons == len(seasons) - 2
    answer = fit.predict(holed)
    assert answer.reason[0] == MISSING
    assert np.isnan(answer.day[0])
    assert answer.day[1] == seasons.event[1]
    assert "not bloom" in answer.reason[2]
    assert np.isnan(answer.cdf[2]).all()


def test_own_and_published_grids():
    seasons = grown([60.0, 60.0])
    assert published("utah").shape == (32, 80, 80)
    assert published("chill_hours").size == published("chill_days").size == 512_000
    for structure in ("thermal time", "sequential", "parallel", "alternating", "phenoflex"):
        chill = "cold_days" if structure == "alternating" else lambda h: np.maximum(utah(h), 0)
        small = axes("own", structure, chill, "gdd", seasons)
        assert small.shape[0] == 33
        cut = Axes(small.base[::6], small.outer[::4], small.requirement[::6])
        settings = {"start": 20, "chill_start": 0} if structure == "alternating" else {}
        fit = GridPhenology(structure, chill, pooled=True, grid=cut, folds=3, settings=settings).fit(seasons)
        assert fit.surfaces_[None].loss < np.var(seasons.event) * 1.2
        day = fit.predict(seasons).day
        assert np.mean((day - seasons.event) ** 2) == pytest.approx(fit.surfaces_[None].loss)


def test_mean_absolute_error_and_censored_seasons():
    seasons = grown([60.0], years=20)
    seasons.status[:3] = Status.AFTER
    seasons.event[:3] -= 10
    fit = model(pooled=True, criterion="mae").fit(seasons)
    assert fit.surfaces_[None].loss == 0
    assert np.isnan(fit.residuals_[None][:3]).all()


def test_bad_use():
    with pytest.raises(UsageError, match="structure"):
        model(structure="serial").fit(grown([60.0]))
    with pytest.raises(UsageError, match="pooled"):
        model(pooled="site")
    with pytest.raises(UsageError, match="not fitted"):
        model().predict(few_hours(0))
    with pytest.raises(UsageError, match="no grid is published"):
        model(grid="paper").fit(grown([60.0]))
    blank = few_hours(0)
    after = grown([60.0])
    after.status[:] = Status.AFTER
    with pytest.raises(InputError, match="only bounds"):
        model(grid="own").fit(after)
    with pytest.raises(InputError, match="none has a bloom day"):
        model().fit(blank.unlabelled())
    fit = model(pooled=True).fit(grown([60.0]))
    with pytest.raises(UsageError, match="no surface"):
        fit.profile("base", "elsewhere")
    with pytest.raises(UsageError, match="parameter"):
        fit.profile("warmth")


def test_models_by_group_pool_within_the_group():
    seasons = grown([40.0, 40.0, 85.0, 85.0], years=10)
    seasons.sites["group"] = ["early", "early", "late", "late"]
    both = ByGroup(lambda: model(pooled=True)).fit(seasons)
    np.testing.assert_array_equal(both.predict(seasons).day, seasons.event)
    some = seasons.take(seasons.site < 2)
    early = ByGroup(lambda: model(pooled=True)).fit(some)
    late = seasons.take(seasons.site > 1)  # a group it has not seen: the model of all answers
    np.testing.assert_array_equal(early.predict(late).day, model(pooled=True).fit(some).predict(late).day)
    bound = seasons.take(np.arange(len(seasons)))
    bound.status[bound.site > 1] = Status.AFTER  # a group with bounds only has no model of its own
    assert set(ByGroup(lambda: model(pooled=True)).fit(bound).models_) == {"early"}


def test_requirement_per_site_equals_slow_search():
    seasons = few_hours(9, sites=3, years=6, length=70)
    small = Axes.of([0.0, 3], [0, 40, 80.0], np.arange(5, 100, 10.0))
    fit = model(pooled="requirement", grid=small).fit(seasons)
    c = exact(utah(seasons.hours))
    losses = {}
    for b, chill in product(small.base, small.outer[:, 0]):
        g = exact(degree_days(seasons.hours, b))
        day = np.stack([sequential(c, g, chill, need) for need in small.requirement[0]])
        error = (np.where(np.isnan(day), seasons.length, day) - seasons.event) ** 2
        losses[b, chill] = sum(error[:, seasons.site == s].sum(axis=1).min() for s in range(3))
    assert fit.surfaces_[None].loss == pytest.approx(min(losses.values()) / 18)
    found = fit.parameters("s1")
    assert losses[found["base"], found["chill"]] == min(losses.values())
    day = fit.predict(seasons).day
    assert ((np.where(np.isnan(day), 70, day) - seasons.event) ** 2).sum() == min(losses.values())
