"""Scores of a learned chill response, on fits that know the truth and fits that do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecotone.data.seasons import Seasons
from ecotone.data.simulated.trees import TreeWorld, trees
from ecotone.errors import InputError
from ecotone.systems.phenology.recovery import FittedResponse, normalised, recovery, score_response, winter_hours


@pytest.fixture(scope="module")
def world() -> TreeWorld:
    return trees(2, sites=3, years=6)


def told(world: TreeWorld, below: float = 0.1, above: float = 0.1, identified: bool = True) -> FittedResponse:
    """The truth, with a band around it."""
    hours = winter_hours(world.seasons)
    top = normalised(world.response, hours.temperature[hours.usual()]).max() / world.response(
        np.array(world.response.peak)
    )
    grid = np.arange(-20.0, 40.5, 0.5)
    curve = world.response(grid) * float(top)
    return FittedResponse(grid, curve, curve - below, curve + above, identified)


def test_winter_hours_equal_a_plain_count(world: TreeWorld) -> None:
    seasons = world.seasons.take([0, 7, 11])
    found = winter_hours(seasons)
    hours, plain = seasons.hourly(), {}
    for i in range(len(seasons)):
        for s in range(seasons.length):
            month = (seasons.first[i] + np.timedelta64(s, "D")).astype(object).month
            if month in (11, 12, 1, 2):
                for t in hours[i, s]:
                    degree = int(np.floor(float(t) + 0.5))
                    plain[degree] = plain.get(degree, 0) + 1
    total = sum(plain.values())
    assert total in {24 * 3 * 120, 24 * (3 * 120 + 1), 24 * (3 * 120 + 2)}
    for temperature, share in zip(found.temperature, found.share, strict=True):
        assert share == pytest.approx(plain.get(int(temperature), 0) / total, abs=1e-12)
    assert (found.usual() == (found.share >= 0.01)).all() and found.share.sum() == pytest.approx(1)


def test_southern_winter_is_half_a_year_later(world: TreeWorld) -> None:
    north = world.seasons.take([0])
    later = north.first + np.timedelta64(182, "D")
    south = replace(north, first=later, sites=north.sites.assign(latitude=-35.0), hours=north.hourly())
    same = replace(north, hours=north.hourly())
    a, b = winter_hours(same), winter_hours(south)
    overlap = np.intersect1d(a.temperature, b.temperature)
    assert np.abs(a.share[np.isin(a.temperature, overlap)] - b.share[np.isin(b.temperature, overlap)]).max() < 0.02


def test_days_without_temperature_are_passed_over(world: TreeWorld) -> None:
    daily = world.seasons.daily.copy()
    daily[:, ::2] = np.nan
    assert winter_hours(replace(world.seasons, daily=daily)).share.sum() == pytest.approx(1)
    with pytest.raises(InputError, match="no winter hour") as caught:
        winter_hours(replace(world.seasons, daily=np.full_like(daily, np.nan)))
    assert caught.value.code == "DA404"


def test_the_truth_is_covered_and_a_wrong_band_is_not(world: TreeWorld) -> None:
    good = score_response(told(world), world)
    assert good["coverage"] == 1 and good["width"] == pytest.approx(0.2, abs=1e-9)
    assert good["correlation"] > 0.999 and good["rmse"] < 0.02 and good["peak_error"] == 0 and good["identified"]
    off = score_response(told(world, below=-0.05, above=0.2), world)
    assert off["coverage"] == 0 and off["below"] == 1 and off["above"] == 0
    close = score_response(told(world, below=-0.015, above=0.2), world)
    assert close["coverage"] == 0 and close["coverage_near"] == 1


def test_only_temperatures_that_winters_hold_are_judged(world: TreeWorld) -> None:
    hours = winter_hours(world.seasons)
    judged = hours.temperature[hours.usual()]
    fitted = told(world)
    wild = np.where((fitted.temperature < judged[0] - 0.6) | (fitted.temperature > judged[-1] + 0.6), 50.0, 0.0)
    odd = replace(fitted, response=fitted.response + wild, lower=fitted.lower + wild, upper=fitted.upper + wild)
    found = score_response(odd, world)
    assert found["temperatures"] == len(judged) and found["coverage"] == 1


def test_a_response_that_does_not_reach_over_winter_is_refused(world: TreeWorld) -> None:
    short = FittedResponse(np.arange(3.0), np.ones(3), np.zeros(3), np.ones(3), True)
    with pytest.raises(InputError, match="over all usual winter") as caught:
        score_response(short, world)
    assert caught.value.code == "DA404"
    with pytest.raises(InputError, match="equally long"):
        FittedResponse(np.arange(3.0), np.ones(2), np.zeros(3), np.ones(3), True)
    with pytest.raises(InputError, match="rising"):
        FittedResponse(np.array([0.0, 2.0, 1.0]), np.ones(3), np.zeros(3), np.ones(3), True)


def test_rows_of_several_worlds_hand_the_fit_seasons_and_seed_only() -> None:
    seen: list[tuple[int, int]] = []

    def fit(seasons: Seasons, seed: int) -> FittedResponse:
        seen.append((len(seasons), seed))
        grid = np.arange(-30.0, 41.0)
        return FittedResponse(grid, np.ones(71), np.zeros(71), np.ones(71), identified=False)

    rows = list(recovery(fit, (trees(s, sites=2, years=4) for s in (5, 6))))
    assert seen == [(8, 5), (8, 6)]
    assert [r["seed"] for r in rows] == [5, 6] and all(r["coverage"] == 1 and not r["identified"] for r in rows)
    assert all(np.isnan(r["correlation"]) for r in rows)  # a flat response agrees with nothing
