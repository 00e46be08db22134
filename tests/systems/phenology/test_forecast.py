"""Incomplete seasons, warming and the range of training, against plain rewrites and models of known answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ecotone.data.seasons import Seasons
from ecotone.data.simulated.trees import trees
from ecotone.systems.phenology.climate import Climate, part_means
from ecotone.systems.phenology.distribution import BloomDays
from ecotone.systems.phenology.forecast import (
    ALL_BUT_CERTAIN,
    NO_PAST,
    NO_WEATHER,
    answer,
    day_in_season,
    donors,
    hidden,
    joined,
    last_known,
    spliced,
)
from ecotone.systems.phenology.warming import warming


@pytest.fixture(scope="module")
def seasons() -> Seasons:
    """2 sites x 9 years."""
    return trees(3, sites=2, years=9).seasons


def by_heat(seasons: Seasons) -> BloomDays:
    """Bloom when degree days since day 0 reach 3000, softly."""
    grown = np.clip(seasons.daily[..., 2], 0, None).cumsum(axis=1, dtype=float)
    return BloomDays.from_cdf(1 / (1 + np.exp(-np.clip((grown - 3000) / 30, -50, 50))))


def test_days_of_a_season_by_name(seasons: Seasons) -> None:
    assert (seasons.dates(day_in_season(seasons, "03-15")).astype(str) == [f"{y}-03-15" for y in seasons.year]).all()
    assert (day_in_season(seasons, "10-01") == 0).all()
    assert np.isnan(day_in_season(seasons, "08-01")).all()
    leap = (seasons.year % 4) == 0
    assert (
        seasons.dates(day_in_season(seasons, "02-29"))[~leap].astype(str) == [f"{y}-02-28" for y in seasons.year[~leap]]
    ).all()
    one = day_in_season(seasons, "1995-02-01")
    assert (seasons.first + one.astype("timedelta64[D]") == np.datetime64("1995-02-01")).all()


def test_days_of_southern_seasons(seasons: Seasons) -> None:
    south = replace(seasons, first=seasons.first + np.timedelta64(182, "D"))
    assert (south.dates(day_in_season(south, "09-15")).astype(str) == [f"{y}-09-15" for y in seasons.year]).all()
    assert np.isnan(day_in_season(south, "02-15")).all()


def test_hiding_leaves_what_came_before(seasons: Seasons) -> None:
    seen = hidden(seasons, "02-01")
    assert (last_known(seen) == day_in_season(seasons, "02-01")).all()
    assert (last_known(hidden(seasons, "1993-02-01"))[seasons.year > 1993] == -1).all()
    assert (last_known(hidden(seasons, "1993-02-01"))[seasons.year < 1993] == seasons.length - 1).all()


def test_completed_answers_equal_a_plain_rewrite(seasons: Seasons) -> None:
    known = hidden(seasons, "02-01")
    climate = Climate.of(seasons)
    found = answer(by_heat, known, seasons, climate, completions=4)
    for i in (0, 7, 8, 13):
        end = int(last_known(known)[i])
        same = np.flatnonzero((seasons.site == seasons.site[i]) & (seasons.year != seasons.year[i]))
        earlier = same[seasons.year[same] < seasons.year[i]]
        if len(earlier) >= 5:
            given = earlier[-4:]
        else:
            given = same[np.argsort(np.abs(seasons.year[same] - seasons.year[i]), kind="stable")[:4]]
        cdfs = []
        for d in given:
            daily = seasons.daily[i].copy()
            daily[end + 1 :] = seasons.daily[d, end + 1 :]
            cdfs.append(by_heat(replace(seasons.take([i]), daily=daily[None])).cdf[0])
        np.testing.assert_allclose(found.bloom.cdf[i], np.mean(cdfs, axis=0), atol=1e-12)
        assert found.completions[i] == 4 and found.forecast[i]


def test_nothing_of_the_hidden_weather_is_used(seasons: Seasons) -> None:
    known = hidden(seasons, "02-01")
    daily = seasons.daily.copy()
    daily[~known.known] = 99.0
    climate = Climate.of(seasons)
    one = answer(by_heat, known, seasons, climate)
    # each season's own hidden weather is no donor to itself, so a pool with the truth changes nothing
    other = answer(by_heat, replace(known, daily=daily), seasons, climate)
    np.testing.assert_array_equal(one.bloom.cdf, other.bloom.cdf)


def test_what_cannot_be_answered_says_why(seasons: Seasons) -> None:
    alone = hidden(seasons.take([0]), "02-01")
    climate = Climate.of(seasons)
    found = answer(by_heat, alone, alone, climate)
    assert np.isnan(found.bloom.day[0]) and found.bloom.reason[0] == NO_PAST
    found = answer(by_heat, alone, seasons, climate, dropped=np.array([NO_WEATHER], dtype=object))
    assert np.isnan(found.bloom.day[0]) and found.bloom.reason[0] == NO_WEATHER
    late = hidden(seasons.take([0]), "06-25")
    found = answer(by_heat, late, seasons, climate, not_yet=True)
    assert np.isnan(found.bloom.day[0]) and found.bloom.reason[0] == ALL_BUT_CERTAIN
    assert not answer(by_heat, late, seasons, climate).forecast[0]


def test_no_bloom_so_far_moves_the_answer_later(seasons: Seasons) -> None:
    day = seasons.dates(by_heat(seasons).day)[4]
    known = hidden(seasons.take([4]), str(day))
    climate = Climate.of(seasons)
    free, told = (answer(by_heat, known, seasons, climate, not_yet=flag).bloom for flag in (False, True))
    end = last_known(known)[0]
    assert (told.cdf[0, : end + 1] == 0).all() and told.day[0] > max(free.day[0], end)
    np.testing.assert_allclose(
        told.cdf[0, end + 1 :], (free.cdf[0, end + 1 :] - free.cdf[0, end]) / (1 - free.cdf[0, end])
    )


def test_no_bloom_by_a_day_after_the_last_temperature(seasons: Seasons) -> None:
    day = by_heat(seasons).day[4]
    known = hidden(seasons.take([4]), "02-01")
    climate = Climate.of(seasons)
    free = answer(by_heat, known, seasons, climate).bloom.cdf[0]
    end, until = int(last_known(known)[0]), int(day)
    assert end < until

    def told(index: float) -> BloomDays:
        return answer(by_heat, known, seasons, climate, not_yet=True, until=np.array([index])).bloom

    cdf = told(until).cdf[0]
    assert (cdf[: until + 1] == 0).all() and free[until] > 0.05
    np.testing.assert_allclose(cdf[until + 1 :], (free[until + 1 :] - free[until]) / (1 - free[until]))
    for index in (np.nan, -40.0, end - 5.0):  # the last temperature lies later
        np.testing.assert_array_equal(told(index).cdf[0], told(end).cdf[0])
    over = told(500.0)
    assert np.isnan(over.day[0]) and over.reason[0]


def test_measured_hours_are_completed_too(seasons: Seasons) -> None:
    hourly = replace(seasons, hours=seasons.hourly())
    known = hidden(seasons, "02-01")
    given = donors(known, 8, int(last_known(known)[8]), hourly, 2)
    whole = spliced(known, np.array([8, 8]), last_known(known)[[8, 8]], hourly, given)
    end = int(last_known(known)[8])
    assert whole.hours is not None
    np.testing.assert_array_equal(whole.hours[0, end + 1 :], hourly.hours[given[0], end + 1 :])
    np.testing.assert_array_equal(whole.hours[1, : end + 1], seasons.hourly([8])[0, : end + 1])


def test_joining_knows_sites_by_name(seasons: Seasons) -> None:
    turned = replace(seasons, sites=seasons.sites.iloc[::-1].reset_index(drop=True), site=1 - seasons.site)
    both = joined([seasons, turned])
    assert len(both.sites) == 2 and (both.site_id == np.tile(seasons.site_id, 2)).all()


def test_range_of_training(seasons: Seasons) -> None:
    climate = Climate.of(seasons)
    assert (np.concatenate(climate.beyond(seasons)) == 0).all()
    mine, shared = climate.beyond(seasons.warmed(20.0))
    assert (mine >= shared).all() and (shared > 0).all()
    means = part_means(seasons, climate.end)
    own = seasons.site == 0
    expected = (means[own] + 20 - means[own].max(axis=0)).max(axis=1)
    np.testing.assert_allclose(mine[own], expected, atol=1e-4)


def test_warming_against_a_model_of_known_shift(seasons: Seasons) -> None:
    def steady(some: Seasons) -> BloomDays:
        warm = some.daily[:, 0, 2] - np.tile(seasons.daily[:, 0, 2], len(some) // len(seasons))  # the warming itself
        day = 180 - 4.0 * warm.astype(float)
        day[warm > 2.5] = np.nan
        return BloomDays.from_day(day, np.zeros(1), some.length)

    found = warming(steady, seasons, Climate.of(seasons), (1, 2, 3))
    table = found.to_frame()
    assert list(table["warm"]) == [0, 1, 2, 3] * 2 and (table["years"] == 9).all()
    np.testing.assert_allclose(table["shift"].to_numpy()[:3], [0, -4, -8], atol=1e-4)
    np.testing.assert_allclose(table["days_per_degree"].to_numpy()[1:3], -4, atol=1e-4)
    assert np.isnan(table["shift"].iloc[3]) and table["no_bloom"].iloc[3] == 1
    assert table["extrapolates"].iloc[0] == 0 and table["extrapolates"].iloc[3] > 0.5
