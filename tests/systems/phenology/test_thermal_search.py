"""The fast thermal-time fit against all requirements, start days and bases one by one."""

from __future__ import annotations

import numpy as np
import pytest

from ecotone.bench.phenology_speed import PHASES, aspen, season_matrix
from ecotone.errors import InputError, UsageError
from ecotone.systems.phenology.grid_search import exact
from ecotone.systems.phenology.structures import thermal_time
from ecotone.systems.phenology.thermal_search import ThermalSearch, exhaustive, fit_thermal_time, response


def world(seed: int, seasons: int = 12, length: int = 70):
    rng = np.random.default_rng(seed)
    drift = np.linspace(-4, 14, length) + rng.normal(0, 2, (seasons, 1))
    temperature = np.round(drift + rng.normal(0, 3, (seasons, length)), 1)
    season = rng.integers(0, seasons, 2 * seasons)
    return temperature, season, rng.integers(35, length - 5, 2 * seasons)


@pytest.mark.parametrize("kind", ["gdd", "above"])
@pytest.mark.parametrize("seed", [0, 1])
def test_requirement_is_the_best_of_all(seed, kind):
    temperature, season, event = world(seed)
    search = ThermalSearch(temperature, season, event, kind)
    for start, base in ((0, 0.0), (10, 4.5), (30, 2.0)):
        loss, need = search.best(start, base, 0.0, 2000.0)
        g = response(exact(temperature), base, kind)
        sums = np.unique(np.cumsum(g[:, start:], axis=1))
        tried = np.r_[sums, sums + 2.0**-18]  # the error changes nowhere else
        found = [days_loss(g, start, f, season, event) for f in tried[tried > 0]]
        assert loss == pytest.approx(min(found))
        assert days_loss(g, start, need, season, event) == loss
        day = thermal_time(g, start, need)
        np.testing.assert_array_equal(search.days(start, base, need), np.where(np.isnan(day), g.shape[1], day))


def days_loss(g, start, need, season, event):
    day = thermal_time(g, start, need)
    return float(((np.where(np.isnan(day), g.shape[1], day)[season] - event) ** 2).sum())


def test_finds_the_tree_that_made_the_days():
    temperature, _, _ = world(3, seasons=40, length=150)
    season = np.arange(40)
    event = thermal_time(response(temperature, 3.0), 40, 120.0)
    fit = fit_thermal_time(temperature, season, event.astype(int), starts=(0, 80))
    assert fit.rmse <= 0.5
    assert abs(fit.base - 3) <= 1.5


@pytest.mark.parametrize("seed", range(3))
def test_fast_is_about_as_good_as_exhaustive(seed):
    temperature, season, event = world(seed)
    fast = fit_thermal_time(temperature, season, event, starts=(0, 36), bases=(0, 8))
    whole = exhaustive(temperature, season, event, range(0, 37, 2), np.arange(0, 8.1, 1))
    assert fast.rmse <= 1.02 * whole.rmse
    assert whole.pairs == 19 * 9


@pytest.mark.realdata
def test_aspen_is_fitted_better_than_by_differential_evolution(data_folder):
    observations, temperature = aspen(data_folder / "phenology")
    # least RMSE of pyPhenology 0.7.1 with seeds 0, 1, 2 (benchmarks/pyphenology_race.py)
    for phase, peer, count in (("budburst", 27.849, 289), ("flowers", 21.381, 122)):
        mine = observations[observations["phenophase"] == PHASES[phase]]
        table, season, event, first = season_matrix(mine, temperature)
        assert (len(event), first) == (count, -65)
        assert fit_thermal_time(table, season, event, kind="above").rmse < peer


def test_bad_input():
    temperature, season, event = world(0)
    with pytest.raises(UsageError, match="response"):
        ThermalSearch(temperature, season, event, "gddd")
    temperature[0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        ThermalSearch(temperature, season, event)
