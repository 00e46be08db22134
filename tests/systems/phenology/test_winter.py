"""Winters: windows by hemisphere, completeness, filled days, sums against direct ones; safe winter chill."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecotone.data.day_curve import hourly
from ecotone.data.seasons import Calendar, Seasons
from ecotone.errors import InputError, UsageError
from ecotone.systems.phenology.chill import chill_hours, utah
from ecotone.systems.phenology.dynamic import dynamic
from ecotone.systems.phenology.winter import safe_winter_chill, winter_chill


def daily(first="2000-01-01", last="2004-12-31", seed=0, south=False):
    rng = np.random.default_rng(seed)
    dates = pd.date_range(first, last)
    wave = np.cos(2 * np.pi * (dates.day_of_year.to_numpy() - 20) / 365.25) * (-1 if south else 1)
    low = 7 - 9 * wave + rng.normal(0, 3, len(dates))
    return pd.DataFrame({"date": dates, "tmin_c": low, "tmax_c": low + rng.uniform(3, 12, len(dates))})


def seasons(n=4, length=274, latitude=47.0, seed=0):
    rng = np.random.default_rng(seed)
    year = 2001 + np.arange(n)
    low = rng.normal(3, 4, (n, length)).astype(np.float32)
    values = np.stack([low, low + 7, low + 3], axis=2)
    sites = pd.DataFrame({"site_id": ["a"], "latitude": [latitude], "longitude": [8.0]})
    nothing = np.full(n, np.nan)
    first = Calendar(length=length).first_day(year, np.full(n, latitude))
    site = np.zeros(n, int)
    return Seasons(
        values, np.ones((n, length), bool), year, first, site, sites, np.zeros(n, np.int8), nothing, np.full(n, "")
    )


# ------------------------------------------------------------------------------------------------ windows and sums
def test_winters_are_named_by_their_last_year_and_cross_it() -> None:
    found = winter_chill(daily(), 47.0)
    assert found["winter"].tolist() == [2000, 2001, 2002, 2003, 2004, 2005]
    assert found["start"].dt.strftime("%m-%d").unique().tolist() == ["10-01"]
    assert found["end"].dt.strftime("%Y-%m-%d").tolist()[1] == "2001-03-31"
    assert found["days"].tolist() == [183, 182, 182, 182, 183, 182]
    assert found["complete"].tolist()[1:5] == [1, 1, 1, 1]
    assert found["complete"].iloc[0] == pytest.approx(91 / 183)
    assert found.loc[[0, 5], ["dynamic", "chill_hours", "utah"]].isna().all(axis=None)
    assert found["reason"].tolist()[1:5] == [""] * 4 and "50.3 % of days are missing" in found["reason"].iloc[0]


def test_southern_winters_lie_within_a_year() -> None:
    found = winter_chill(daily(south=True), -33.0)
    assert found["winter"].tolist() == [2000, 2001, 2002, 2003, 2004]
    assert found["start"].dt.strftime("%m-%d").unique().tolist() == ["04-01"] and (found["days"] == 183).all()
    assert (found["dynamic"] > 10).all()


def test_sums_equal_direct_ones() -> None:
    table = daily()
    dates = table["date"]
    hours = hourly(*(table[c].to_numpy()[None] for c in ("tmin_c", "tmax_c")), 47.0, dates.dt.day_of_year.to_numpy())[0]
    found = winter_chill(table, 47.0, units={"portions": dynamic, "warm": lambda h: (h > 10).sum(-1)}).set_index(
        "winter"
    )
    for year in (2001, 2004):
        inside = ((dates >= f"{year - 1}-10-01") & (dates <= f"{year}-03-31")).to_numpy()
        assert found.loc[year, "portions"] == pytest.approx(dynamic(hours[inside].astype(float)).sum(), abs=1e-9)
        assert found.loc[year, "warm"] == (hours[inside] > 10).sum()


def test_windows_of_ones_own_and_the_29th_of_february() -> None:
    found = winter_chill(daily(), 47.0, start="11-15", end="02-29", units=["utah"])
    assert found["end"].dt.strftime("%m-%d").tolist() == ["02-29", "02-28", "02-28", "02-28", "02-29", "02-28"]
    same = winter_chill(daily(), 47.0, start="01-01", end="12-31", units=["utah"])
    assert same["days"].tolist() == [366, 365, 365, 365, 366] and (same["reason"] == "").all()
    assert "dynamic" not in same


def test_order_of_rows_does_not_matter_and_dates_may_be_text() -> None:
    table = daily()
    mixed = table.sample(frac=1, random_state=1).assign(date=lambda t: t["date"].dt.strftime("%Y-%m-%d"))
    pd.testing.assert_frame_equal(winter_chill(mixed, 47.0), winter_chill(table, 47.0))
    zone = table.assign(date=table["date"].dt.tz_localize("Asia/Tokyo"))
    pd.testing.assert_frame_equal(winter_chill(zone, 47.0), winter_chill(table, 47.0))


# ------------------------------------------------------------------------------------------------ missing days
def test_few_missing_days_are_filled_and_many_are_not() -> None:
    table = daily()
    whole = winter_chill(table, 47.0).set_index("winter")
    few = table.drop(table.index[(table["date"] >= "2001-12-01") & (table["date"] <= "2001-12-05")])
    found = winter_chill(few, 47.0).set_index("winter")
    assert found.loc[2002, "complete"] == pytest.approx(1 - 5 / 182)
    assert 0 < abs(found.loc[2002, "dynamic"] - whole.loc[2002, "dynamic"]) < 4
    assert found.loc[2003, "dynamic"] == whole.loc[2003, "dynamic"]
    strict = winter_chill(few, 47.0, tolerance=0.02).set_index("winter")
    assert strict.loc[2002, "reason"] == "2.7 % of days are missing (at most 2 %)" and np.isnan(
        strict.loc[2002, "utah"]
    )
    gap = winter_chill(few, 47.0, longest=4).set_index("winter")
    assert gap.loc[2002, "reason"] == "5 days in a row are missing (at most 4)" and np.isnan(gap.loc[2002, "dynamic"])


def test_a_level_record_is_filled_exactly() -> None:
    table = daily().assign(tmin_c=2.0, tmax_c=8.0)
    whole = winter_chill(table, 0.0)
    table.loc[(table["date"] >= "2001-12-01") & (table["date"] <= "2001-12-05"), "tmax_c"] = np.nan
    table.loc[table["date"] == "2003-10-01", "tmin_c"] = np.nan
    gaps = winter_chill(table, 0.0)
    # all days are nearly alike at the equator, so what was filled gives what was there
    np.testing.assert_allclose(gaps["dynamic"].to_numpy(), whole["dynamic"].to_numpy(), atol=0.02)
    np.testing.assert_allclose(gaps["utah"].to_numpy(), whole["utah"].to_numpy(), atol=2)


def test_hours_with_short_gaps() -> None:
    times = pd.date_range("2001-09-01", "2002-04-15 23:00", freq="h")
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"datetime": times, "temp_c": 6 + 5 * np.sin(np.arange(len(times)) / 24 * 2 * np.pi)})
    table["temp_c"] += rng.normal(0, 0.5, len(times))
    whole = winter_chill(table)
    inside = ((times >= "2001-10-01") & (times < "2002-04-01")).nonzero()[0]
    hours = table["temp_c"].to_numpy()[inside].reshape(-1, 24)
    assert whole["dynamic"].tolist() == pytest.approx([dynamic(hours).sum()])
    assert whole["chill_hours"].tolist() == [chill_hours(hours).sum()] and whole["utah"].tolist() == [utah(hours).sum()]
    short = winter_chill(table.drop(index=inside[[100, 101, 102, 500]]))
    assert short["complete"].tolist() == [1] and short["dynamic"].iloc[0] == pytest.approx(
        whole["dynamic"].iloc[0], abs=0.5
    )
    long = winter_chill(table.drop(index=inside[100:104]))
    assert long["complete"].tolist() == pytest.approx([181 / 182])
    south = winter_chill(table.assign(datetime=times + pd.Timedelta(days=181)), -40.0)
    assert south["start"].dt.strftime("%m-%d").tolist()[0] == "04-01"


# ------------------------------------------------------------------------------------------------ seasons
def test_winters_of_seasons() -> None:
    some = seasons()
    found = winter_chill(some)
    assert found["site_id"].tolist() == ["a"] * 4 and found["winter"].tolist() == some.year.tolist()
    lengths = found["days"].tolist()
    assert lengths == [182, 182, 182, 183]
    direct = dynamic(some.hourly().astype(float))
    assert found["dynamic"].tolist() == pytest.approx([direct[k, : lengths[k]].sum() for k in range(4)])
    gap = seasons()
    gap.known[1, 20:60] = False
    assert np.isnan(winter_chill(gap)["dynamic"].to_numpy()).tolist() == [False, True, False, False]


def test_seasons_that_do_not_hold_the_winter() -> None:
    assert len(winter_chill(seasons().take([]))) == 0
    with pytest.raises(UsageError, match="not within the season") as fault:
        winter_chill(seasons(length=120))
    assert fault.value.code == "US104"
    early = winter_chill(seasons(length=120), start="10-05", end="12-20", units=["utah"])
    assert early["winter"].tolist() == early["end"].dt.year.tolist() and (early["days"] == 77).all()
    southern = winter_chill(seasons(latitude=-35.0))
    assert southern["start"].dt.strftime("%m-%d").unique().tolist() == ["04-01"] and (southern["reason"] == "").all()


# ------------------------------------------------------------------------------------------------ safe winter chill
def test_safe_chill_is_the_tenth_percentile_with_an_interval() -> None:
    values = np.random.default_rng(0).normal(80, 8, 60)
    frame = pd.DataFrame({"winter": 1960 + np.arange(62), "dynamic": [*values, np.nan, np.nan], "reason": ""})
    safe = safe_winter_chill(frame, quantiles=(0.05, 0.5))
    row = safe.iloc[0]
    assert (row["unit"], row["winters"], row["note"]) == ("dynamic", 60, "")
    assert row["safe"] == pytest.approx(np.quantile(values, 0.1)) and row["q50"] == pytest.approx(np.median(values))
    assert row["q05"] < row["safe"] and row["low"] < row["safe"] < row["high"]
    draws = values[np.random.default_rng(9).integers(60, size=(4000, 60))]
    plain = np.quantile(np.quantile(draws, 0.1, axis=1), [0.05, 0.95])
    assert [row["low"], row["high"]] == pytest.approx(plain, abs=0.8)
    assert safe_winter_chill(frame, 0.5)["safe"].tolist() == pytest.approx([np.median(values)])


def test_safe_chill_by_site_with_few_winters_or_none() -> None:
    frame = pd.DataFrame({"site_id": ["b", "b", "a"], "winter": [2001, 2002, 2001], "utah": [900.0, 1000.0, np.nan]})
    safe = safe_winter_chill(frame)
    assert safe["site_id"].tolist() == ["b", "a"] and safe["note"].tolist() == ["only 2 winters", "only 0 winters"]
    assert safe["safe"].iloc[0] == pytest.approx(910) and np.isnan(safe["safe"].iloc[1])


# ------------------------------------------------------------------------------------------------ faults
def test_faults_are_named() -> None:
    table = daily()
    twice = pd.concat([table, table.iloc[[5]]])
    for wrong in (
        table.drop(columns="tmax_c"),
        twice,
        table.assign(date="soon"),
        table.assign(date=20010101),
        table.iloc[:0],
    ):
        with pytest.raises(InputError) as fault:
            winter_chill(wrong, 47.0)
        assert fault.value.code == "PH651"
    for options in (
        {"latitude": None},
        {"latitude": 95.0},
        {"start": "13-01"},
        {"end": "february"},
        {"start": "02-30"},
        {"tolerance": 1.5},
        {"longest": -1},
    ):
        with pytest.raises(UsageError) as usage:
            winter_chill(table, **{"latitude": 47.0, **options})
        assert usage.value.code == "US104"
    with pytest.raises(UsageError, match="dynamic") as unknown:
        winter_chill(table, 47.0, units=["dynamics"])
    assert unknown.value.code == "US101"
    with pytest.raises(UsageError):
        safe_winter_chill(winter_chill(table, 47.0), level=10)


@pytest.mark.realdata
def test_klein_altendorf(data_folder) -> None:
    """chillR's example station near Bonn, 12 whole winters."""
    table = pd.read_csv(data_folder / "phenology/ka_weather_daily.csv")
    table = table.assign(
        date=pd.to_datetime(table[["Year", "Month", "Day"]]), tmin_c=table["Tmin"], tmax_c=table["Tmax"]
    )
    found = winter_chill(table, 50.6)
    whole = found[found["reason"] == ""]
    assert whole["winter"].tolist() == list(range(1999, 2011)) and (whole["complete"] == 1).all()
    assert whole["dynamic"].between(100, 135).all()
    assert safe_winter_chill(found)["winters"].tolist() == [12, 12, 12]
