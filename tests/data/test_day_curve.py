"""The day curve against a plain rewrite hour by hour, its promises at the edges, and hours measured at Basel."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ecotone.data.day_curve import LONGEST, METHODS, SHORTEST, DayCurve, daylength, declination, hourly
from ecotone.errors import InputError, UsageError


def plain(tmin, tmax, latitude, doy, curve, clock):
    """One season, written out from the definition."""

    def sun(day):
        return min(max(float(daylength(latitude, doy[day])), SHORTEST), LONGEST)

    def rise(day, hour):
        start = 12 - sun(day) / 2 + curve.dawn
        return tmin[day] + (tmax[day] - tmin[day]) * math.sin(
            math.pi / 2 * (hour - start) / (12 + curve.afternoon - start)
        )

    def left(share, night):
        if curve.decay:
            return (math.exp(-curve.decay * share) - math.exp(-curve.decay)) / (1 - math.exp(-curve.decay))
        return 1 - math.log(1 + share * night) / math.log(1 + night)

    out = np.full((len(tmin), len(clock)), np.nan)
    for day in range(len(tmin)):
        if math.isnan(tmin[day]) or math.isnan(tmax[day]):
            continue
        start, end = 12 - sun(day) / 2 + curve.dawn, 12 + sun(day) / 2
        night = 24 - (end - start)
        for k, hour in enumerate(clock):
            if hour < start:
                before = day - 1 if day and not math.isnan(tmin[day - 1] + tmax[day - 1]) else day
                dusk = rise(before, 12 + sun(before) / 2)
                value = tmin[day] + (dusk - tmin[day]) * left((hour + 24 - end) / night, night)
            elif hour <= end:
                value = rise(day, hour)
            else:
                there = day + 1 < len(tmin) and not math.isnan(tmin[day + 1] + tmax[day + 1])
                low = tmin[day + 1] if there else tmin[day]
                value = low + (rise(day, end) - low) * left((hour - end) / night, night)
            out[day, k] = min(max(value, min(tmin[day], tmax[day])), max(tmin[day], tmax[day]))
    return out


def season(days=40, seed=0, first=300):
    rng = np.random.default_rng(seed)
    low = rng.normal(2, 4, days).astype(np.float32)
    return low, low + rng.uniform(0, 15, days).astype(np.float32), (first + np.arange(days)) % 365 + 1


# ------------------------------------------------------------------------------------------------ daylength
def test_daylength_follows_the_sun() -> None:
    assert daylength(0, [1, 80, 172]) == pytest.approx(12)
    assert daylength(45, 172) == pytest.approx(15.43, abs=0.03)  # 2 acos(-tan 45 tan 23.45) / 15
    assert daylength(45, 172) + daylength(-45, 172) == pytest.approx(24)
    assert daylength([70, 70, 90, -90], [172, 355, 172, 172]).tolist() == [24, 0, 24, 0]
    assert np.rad2deg(declination([80, 172, 355])) == pytest.approx([-0.2, 23.45, -23.42], abs=0.3)
    assert np.isnan(daylength(np.nan, 5))


def test_almanac_days_are_longer() -> None:
    assert daylength(47.5, 172, sun_height=-0.833) == pytest.approx(15.972, abs=0.01)  # acos(-0.4968) of 23.45 degrees
    assert (daylength(47.5, np.arange(1, 366), -0.833) > daylength(47.5, np.arange(1, 366))).all()


# ------------------------------------------------------------------------------------------------ curve
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("latitude", [47.5, 0.0, -33.0, 78.0, 89.9])
def test_equals_the_plain_rewrite(method: str, latitude: float) -> None:
    low, high, doy = season()
    low[7], high[20:22] = np.nan, np.nan
    fast = hourly(low[None], high[None], latitude, doy, method=method)[0]
    slow = plain(low.astype(float), high.astype(float), latitude, doy, METHODS[method], np.arange(24) + 0.5)
    assert fast.dtype == np.float32
    np.testing.assert_allclose(fast, slow, atol=2e-5)


def test_seasons_do_not_mix_and_chunks_do_not_show() -> None:
    parts = [season(274, seed) for seed in range(130)]
    low, high, doy = (np.stack(column) for column in zip(*parts, strict=True))
    latitude = np.linspace(-60, 60, 130)
    together = hourly(low, high, latitude, doy)
    for k in (0, 63, 118, 119, 120, 129):
        assert np.array_equal(together[k], hourly(low[k : k + 1], high[k : k + 1], latitude[k], doy[k])[0])


@pytest.mark.parametrize("method", METHODS)
def test_lowest_and_highest_hour_are_the_extremes(method: str) -> None:
    low, high, doy = season(200)
    hours = hourly(low[None], high[None], 50.0, doy, method=method)[0]
    spread = high - low
    assert (hours >= low[:, None]).all() and (hours <= high[:, None]).all()
    assert (high - hours.max(axis=1) <= 0.01 * spread + 1e-5).all()
    # a day whose evening before was no warmer than its minimum, or that warms at once, has its low between two hours
    assert np.median((hours.min(axis=1) - low) / spread) < 0.02
    fine = hourly(low[None], high[None], 50.0, doy, method=method, clock=np.linspace(0, 24, 24 * 60 + 1))[0]
    assert (fine.min(axis=1) - low <= 0.005 * spread + 1e-5).all()


@pytest.mark.parametrize("method", METHODS)
def test_no_jump_through_the_day(method: str) -> None:
    low, high = np.full((1, 5), 1.0), np.full((1, 5), 11.0)
    fine = hourly(low, high, 50.0, np.arange(100, 105), method=method, clock=np.linspace(0, 24, 2881))[0]
    assert np.abs(np.diff(fine, axis=1)).max() < 0.1
    assert np.abs(fine[1:, 0] - fine[:-1, -1]).max() < 0.05


def test_a_missing_day_has_24_missing_hours_and_spares_its_neighbours() -> None:
    low, high, doy = season(10)
    whole = hourly(low[None], high[None], 45.0, doy)[0]
    low[4] = np.nan
    gap = hourly(low[None], high[None], 45.0, doy)[0]
    assert np.isnan(gap).sum() == 24 and np.isnan(gap[4]).all()
    assert np.array_equal(gap[[0, 1, 2, 6, 7, 8, 9]], whole[[0, 1, 2, 6, 7, 8, 9]])
    assert np.array_equal(gap[3, 6:16], whole[3, 6:16]) and np.array_equal(gap[5, 10:], whole[5, 10:])


def test_first_and_last_day_stand_for_their_neighbours() -> None:
    alone = hourly(np.full((1, 1), -2.0), np.full((1, 1), 6.0), 45.0, [20])
    middle = hourly(np.full((1, 3), -2.0), np.full((1, 3), 6.0), 45.0, [20, 20, 20])
    np.testing.assert_allclose(alone[0, 0], middle[0, 1], atol=1e-6)


def test_no_range_is_a_level_day_and_no_seasons_no_hours() -> None:
    assert (hourly(np.full((1, 3), 5.0), np.full((1, 3), 5.0), 45.0, [1, 2, 3]) == 5).all()
    assert hourly(np.empty((0, 4)), np.empty((0, 4)), np.empty(0), np.arange(1, 5)).shape == (0, 4, 24)
    assert hourly(np.empty((2, 0)), np.empty((2, 0)), 4.0, np.empty(0)).shape == (2, 0, 24)


def test_an_unknown_latitude_gives_no_hours() -> None:
    hours = hourly(np.zeros((2, 3)), np.ones((2, 3)), np.array([45.0, np.nan]), [1, 2, 3])
    assert np.isfinite(hours[0]).all() and np.isnan(hours[1]).all()


def test_faults_are_named() -> None:
    low = np.zeros((2, 3))
    with pytest.raises(UsageError, match="sine-log") as fault:
        hourly(low, low, 45.0, [1, 2, 3], method="sinelog")
    assert fault.value.code == "US101"
    for args in (
        (low, low[:1], 45.0, [1, 2, 3]),
        (low[0], low[0], 45.0, [1, 2, 3]),
        (low, low, np.zeros(5), [1, 2, 3]),
    ):
        with pytest.raises(InputError) as wrong:
            hourly(*args)
        assert wrong.value.code == "DA404"


# ------------------------------------------------------------------------------------------------ measured hours
@pytest.mark.realdata
def test_hours_at_basel(data_folder) -> None:
    table = pd.read_csv(data_folder / "phenology/basel_hourly.csv.gz", parse_dates=["datetime_utc"])
    hours = (
        table.set_index("datetime_utc").asfreq("h").iloc[1:]
    )  # a stamp is the end of its hour: days run from 1 to 24
    hours = hours[: len(hours) // 24 * 24]
    mean, low, high = (hours[c].to_numpy().reshape(-1, 24) for c in ("tmean_c", "tmin_c", "tmax_c"))
    days = pd.DatetimeIndex(hours.index[::24])
    clock = np.minimum(np.arange(24) + 0.5 + 7.58 / 15, 24)  # UTC to solar time at 7.58 degrees east
    later = np.asarray((days.year > 2021) & ((days.month >= 10) | (days.month <= 5))) & np.isfinite(mean).all(axis=1)
    error = {}
    for name in METHODS:
        drawn = hourly(low.min(1)[None], high.max(1)[None], 47.54, days.day_of_year, method=name, clock=clock)[0]
        error[name] = np.abs(drawn - mean)[later].mean()
    assert error["sine-exponential"] < 1.15  # days after the year the curve was fitted on
    assert error["sine-exponential"] < min(error["parton-logan"], error["sine-log"]) - 0.05


def test_a_curve_of_ones_own() -> None:
    low, high, doy = season(5)
    own = hourly(low[None], high[None], 45.0, doy, method=DayCurve(2.25, 0.75, 2.0))
    assert np.array_equal(own, hourly(low[None], high[None], 45.0, doy))
