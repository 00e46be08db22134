from __future__ import annotations

import gzip
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from season_tables import daily

from ecotone.data.daily_series import Filled, climatology, from_rows, straight_lines
from ecotone.data.monthly_means import days_through, month_starts
from ecotone.data.temperature_tables import read_temperature, temperature_table
from ecotone.errors import InputError, UsageError


def told(warned):
    return {w.code for w in warned}


# ------------------------------------------------------------------------------------------------ forms
def test_forms_of_the_day_agree(tmp_path):
    frame = daily("2003-12-20", "2004-03-05")
    date = pd.to_datetime(frame["date"])
    values = frame[["tmin", "tmax"]]
    forms = {
        "iso": frame,
        "parts": values.assign(Year=date.dt.year, Month=date.dt.month, Day=date.dt.day),
        "doy": values.assign(year=2004, doy=np.arange(len(frame)) - 11),  # 0 and less lie in the year before
        "stamps": values.assign(date=date),
        "german": values.rename(columns={"tmin": "TNK", "tmax": "TXK"}).assign(Datum=date.dt.strftime("%d.%m.%Y")),
        "numbers": values.rename(columns={"tmin": "T min (°C)", "tmax": "T max (°C)"}).assign(
            date=date.dt.strftime("%Y%m%d")
        ),
    }
    want = temperature_table(frame)[0]
    assert str(want.first[0]) == "2003-12-20" and len(want.values) == len(frame) == 77
    np.testing.assert_allclose(want.values[:, 0], frame["tmin"], atol=1e-5)
    for name, form in forms.items():
        got, _ = temperature_table(form)
        assert got.first[0] == want.first[0], name
        np.testing.assert_array_equal(got.values, want.values, err_msg=name)
        for ending in (".csv.gz", ".parquet"):
            path = tmp_path / f"{name}{ending}"
            if ending == ".parquet":
                form.to_parquet(path)
            else:
                path.write_bytes(gzip.compress(form.to_csv(index=False, sep=";", decimal=",").encode()))
            np.testing.assert_allclose(read_temperature(path)[0].values, want.values, atol=1e-5)


def test_stations_are_laid_out_without_holes():
    both = pd.concat([daily("2001-01-01", "2001-01-10", "B"), daily("2000-06-01", "2000-06-05", "A", latitude=47.0)])
    both = both.sample(frac=1, random_state=0)
    both = both[~((both["station_id"] == "B") & (both["date"] == "2001-01-04"))]
    series, _ = temperature_table(both)
    assert series.stations["station_id"].tolist() == ["A", "B"]
    assert series.offset.tolist() == [0, 5, 15]
    assert np.isnan(series.values[8]).all() and str(series.day[8]) == "2001-01-04"
    at = series.window(np.array([1, 0]), np.array(["2000-12-30", "2000-06-04"], dtype="datetime64[D]"), 4)
    assert at.tolist() == [[-1, -1, 5, 6], [3, 4, -1, -1]]


def test_hourly_values_make_days():
    stamp = pd.date_range("2020-01-01", "2020-01-04 23:00", freq="h")
    value = np.arange(len(stamp)) % 24 * 1.0
    frame = pd.DataFrame({"datetime": stamp.astype(str), "temp": value})
    frame = frame.drop(index=[5, 6, *range(30, 40)])  # two hours are drawn, a long stretch leaves its day missing
    series, _ = temperature_table(frame)
    assert series.source == "hourly" and series.hours.shape == (4, 24)
    np.testing.assert_allclose(series.values[0], [0, 23, 11.5])
    np.testing.assert_allclose(series.hours[0], np.arange(24))
    assert np.isnan(series.values[1]).all()
    split = pd.DataFrame({"Year": 2020, "Month": 1, "Day": stamp.day, "Hour": stamp.hour, "Temp": value})
    np.testing.assert_allclose(temperature_table(split)[0].hours[2], np.arange(24))


def test_usual_exports():
    """Column names as NOAA, DWD, MeteoSwiss and Open-Meteo write them, and an hour in a column of its own."""
    frame = daily("2003-12-20", "2004-03-05")
    day = pd.to_datetime(frame["date"])
    low, high = frame["tmin"], frame["tmax"]
    noaa = pd.DataFrame({"STATION": "X", "NAME": "x", "DATE": frame["date"], "TMAX": high, "TMIN": low})
    dwd = pd.DataFrame({"STATIONS_ID": 3, "MESS_DATUM": day.dt.strftime("%Y%m%d"), "TXK": high, "TNK": low})
    swiss = pd.DataFrame(
        {"station/location": "BAS", "date": day.dt.strftime("%Y%m%d"), "tre200dn": low, "tre200dx": high}
    )
    meteo = pd.DataFrame({"time": frame["date"], "temperature_2m_max (°C)": high, "temperature_2m_min (°C)": low})
    want = temperature_table(frame)[0].values
    for table in (noaa, dwd, swiss, meteo):
        np.testing.assert_array_equal(temperature_table(table)[0].values, want)
    stamp = pd.date_range("2020-01-01", periods=72, freq="h")
    value = np.arange(72) % 24 * 1.0
    for clock in (stamp.strftime("%H:%M"), stamp.hour):
        table = pd.DataFrame({"date": stamp.strftime("%Y-%m-%d"), "time": clock, "temperature_2m (°C)": value})
        series, _ = temperature_table(table)
        assert series.source == "hourly"
        np.testing.assert_allclose(series.hours[1], np.arange(24))


def test_monthly_means_stay(tmp_path):
    rng = np.random.default_rng(0)
    long = pd.DataFrame(
        {"year": np.repeat([2003, 2004], 12), "month": list(range(1, 13)) * 2, "tmean": rng.normal(8, 6, 24)}
    )
    series, _ = temperature_table(long)
    assert series.source == "monthly" and len(series.values) == 365 + 366
    got = pd.Series(series.values[:, 2]).groupby(series.day.astype("datetime64[M]")).mean()
    np.testing.assert_allclose(got, long["tmean"], atol=1e-4)
    names = ["oct_prev", "nov_prev", "dec_prev", "jan", "feb", "mar", "apr", "may", "jun"]
    table = pd.DataFrame(rng.normal(8, 3, (2, 9)), columns=[f"t_{n}" for n in names]).assign(
        station=["A", "B"], year=2004
    )
    series, _ = temperature_table(table)
    assert str(series.first[0]) == "2003-10-01" and str(series.last[1]) == "2004-06-30"
    part = series.values[series.offset[1] :, 2]
    np.testing.assert_allclose(part[:31].mean(), table["t_oct_prev"][1], atol=1e-4)


def test_days_through_means_against_a_dense_solution():
    starts = month_starts(np.array(["2019-11", "2019-12", "2020-01", "2020-02"], dtype="datetime64[M]"))
    assert starts.tolist() == [0, 30, 61, 92, 121]
    means = np.array([[5.0, 1, -3, 2], [0, 0, 0, 0]])
    middle = (starts[:-1] + starts[1:] - 1) / 2
    days = np.arange(121)
    basis = np.stack([np.interp(days, middle, row) for row in np.eye(4)], axis=1)
    average = np.stack([basis[a:b].mean(axis=0) for a, b in pairwise(starts)])
    want = (basis @ np.linalg.solve(average, means.T)).T
    np.testing.assert_allclose(days_through(means, starts), want, atol=1e-10)
    np.testing.assert_allclose(days_through(np.array([4.0]), starts[:2]), 4.0)


# ------------------------------------------------------------------------------------------------ filling
def slow_lines(values, most):
    out = values.copy()
    known = [i for i in range(len(values)) if np.isfinite(values[i])]
    for a, b in pairwise(known):
        if b - a - 1 <= most:
            for i in range(a + 1, b):
                out[i] = values[a] + (values[b] - values[a]) * (i - a) / (b - a)
    return out


@pytest.mark.parametrize("most", [0, 2, 5])
def test_straight_lines_against_a_plain_loop(most):
    rng = np.random.default_rng(most)
    values = rng.normal(size=(60, 2))
    values[rng.random(values.shape) < 0.5] = np.nan
    offset = np.array([0, 25, 60])
    got, drawn = straight_lines(values, offset, most)
    for v in range(2):
        want = np.concatenate([slow_lines(values[a:b, v], most) for a, b in pairwise(offset)])
        np.testing.assert_allclose(got[:, v], want)
        np.testing.assert_array_equal(drawn[:, v], np.isfinite(want) & np.isnan(values[:, v]))


def test_climatology_against_a_plain_loop():
    rng = np.random.default_rng(1)
    n = 900
    values, station, doy = rng.normal(size=(n, 1)), rng.integers(0, 2, n), rng.integers(0, 366, n)
    values[rng.random(n) < 0.3] = np.nan
    got = climatology(values, station, doy, 2)
    for s, d in ((0, 0), (0, 3), (1, 200), (1, 365)):
        near = (station == s) & (np.minimum((doy - d) % 366, (d - doy) % 366) <= 7) & np.isfinite(values[:, 0])
        np.testing.assert_allclose(got[s, d, 0], values[near, 0].mean(), rtol=1e-5)


def test_days_with_a_mean_only_get_the_usual_range():
    frame = daily("2001-01-01", "2002-12-31").assign(tmean=lambda t: (t["tmin"] + t["tmax"]) / 2)
    frame.loc[400:405, ["tmin", "tmax"]] = np.nan
    filled = Filled.of(temperature_table(frame)[0], 5)
    assert filled.known.all() and filled.typical_extremes.sum() == 6
    np.testing.assert_allclose(filled.values[400:406, 1] - filled.values[400:406, 0], 8, atol=0.2)
    alone = Filled.of(temperature_table(frame[["date", "tmean"]])[0], 5)
    np.testing.assert_array_equal(alone.values[:, 0], alone.values[:, 2])
    assert temperature_table(frame[["date", "tmean"]])[0].source == "daily mean"


# ------------------------------------------------------------------------------------------------ bad values
@pytest.mark.parametrize("unit", ["F", "K", "0.1C"])
@pytest.mark.parametrize("level", [3.0, 10.0, 22.0])
def test_other_units_are_recognised_and_converted(unit, level):
    frame = daily(level=level)
    to = {"F": lambda t: t * 1.8 + 32, "K": lambda t: t + 273.15, "0.1C": lambda t: t * 10}[unit]
    other = frame.assign(tmin=to(frame["tmin"]), tmax=to(frame["tmax"]))
    with pytest.raises(InputError, match=f"--temperature-unit {unit}") as error:
        temperature_table(other)
    assert error.value.code == "PH608"
    got, _ = temperature_table(other, unit=unit)
    np.testing.assert_allclose(got.values[:, :2], frame[["tmin", "tmax"]], atol=1e-4)


def test_celsius_is_not_mistaken():
    for level, shift in ((-5.0, 0), (0.0, 0), (10.0, 183), (27.0, 0)):
        temperature_table(daily(level=level, shift=shift))
    with pytest.raises(InputError, match="warmest month") as error:
        temperature_table(daily(level=0), unit="F")
    assert error.value.code == "PH608"
    with pytest.raises(UsageError) as unknown:
        temperature_table(daily(), unit="G")
    assert unknown.value.code == "US101"
    odd = daily()
    odd.loc[::40, "tmax"] = 75.0
    with pytest.raises(InputError, match="impossible") as error:
        temperature_table(odd)
    assert error.value.code == "PH608"


def test_one_station_in_fahrenheit_is_named():
    good, bad = daily(station="A"), daily(station="B")
    bad[["tmin", "tmax"]] = bad[["tmin", "tmax"]] * 1.8 + 32
    with pytest.raises(InputError, match=r"at B.*only some stations"):
        temperature_table(pd.concat([good, bad]))


def test_codes_for_missing_values():
    frame = daily()
    frame.loc[[3, 4, 700], "tmin"] = [-999, -99.9, 9999]
    series, warned = temperature_table(frame)
    assert told(warned) == {"PH611"}
    assert np.isnan(series.values[[3, 4, 700], 0]).all() and np.nanmin(series.values) > -50
    assert "-999 (1 times)" in str(warned[0])


def test_crossed_and_swapped_extremes():
    frame = daily()
    frame.loc[[10, 20], "tmin"] = 45.0
    series, warned = temperature_table(frame)
    assert told(warned) == {"PH610"}
    assert np.isnan(series.values[[10, 20], :2]).all()
    with pytest.raises(InputError, match="swap the columns") as error:
        temperature_table(daily().rename(columns={"tmin": "tmax", "tmax": "tmin"}))
    assert error.value.code == "PH609"


def test_impossible_values_are_left_out():
    frame = daily()
    frame.loc[5, "tmax"] = 71.3
    series, warned = temperature_table(frame)
    assert told(warned) == {"PH620"} and np.isnan(series.values[5, 1])


def test_repeated_days():
    frame = daily()
    again = pd.concat([frame, frame.iloc[:4]])
    series, warned = temperature_table(again)
    assert told(warned) == {"PH607"} and len(series.values) == len(frame)
    mixed = pd.concat([frame, daily(seed=1)]).drop(columns="station_id")
    with pytest.raises(InputError, match="station=COLUMN") as error:
        temperature_table(mixed)
    assert error.value.code == "PH606"


def test_unreadable_days():
    frame = daily()
    frame.loc[3, "date"] = "2000-13-40"
    _, warned = temperature_table(frame)
    assert told(warned) == {"PH604"} and "2000-13-40" in str(warned[0])
    with pytest.raises(InputError) as error:
        temperature_table(frame.assign(date="yesterday"))
    assert error.value.code == "PH604"
    with pytest.raises(InputError) as error:
        temperature_table(frame.assign(date="03/04/2015"))
    assert error.value.code == "PH605"


def test_days_that_do_not_exist_are_left_out():
    def table(**last):
        frame = pd.DataFrame({"year": 2001, "doy": np.arange(1, 366), "tmin": 1.0, "tmax": 2.0})
        return temperature_table(pd.concat([frame, pd.DataFrame({"tmin": [9.0], "tmax": [9.0], **last})]))

    for year, doy in ((2001, 366), (2002, -365), (2001.5, 1)):
        series, warned = table(year=[year], doy=[doy])
        assert told(warned) == {"PH604"} and f"doy {doy}" in str(warned[0]), (year, doy)
        assert str(series.last[0]) == "2001-12-31" and series.values[0, 0] == 1.0
    for year, doy, day in ((2000, 366, "2000-12-31"), (2001, -365, "2000-01-01"), (2001, 0, "2000-12-31")):
        series, warned = table(year=[year], doy=[doy])
        assert not warned and str(series.first[0]) == day


@pytest.mark.parametrize(
    ("columns", "code", "words"),
    [
        (["date", "rain"], "PH601", "no column for tmin or tmax or a temperature"),
        (["date", "temprature"], "PH601", "did you mean 'temprature'"),
        (["week", "tmean"], "PH619", "days cannot be told"),
    ],
)
def test_tables_of_another_kind(columns, code, words):
    with pytest.raises(InputError, match=words) as error:
        temperature_table(pd.DataFrame([[1, 2]], columns=columns))
    assert error.value.code == code
    with pytest.raises(InputError) as empty:
        temperature_table(daily().iloc[:0])
    assert empty.value.code == "IO102"


def test_rows_given_twice_and_unsorted():
    day = np.array(["2001-01-03", "2001-01-01", "2001-01-03"], dtype="datetime64[D]")
    series = from_rows(
        np.zeros(3, int),
        np.array(["A"]),
        day,
        np.array([[1.0] * 3, [2.0] * 3, [9.0] * 3]),
        np.array(["x", "observed", "x"]),
    )
    np.testing.assert_array_equal(series.values[:, 0], [2, np.nan, 1])
    assert series.quality_names == ("observed", "x") and series.quality.tolist() == [0, -1, 1]


@pytest.mark.realdata
def test_hourly_table_at_hand(data_folder):
    series, _ = read_temperature(data_folder / "phenology" / "basel_hourly.csv.gz")
    raw = pd.read_csv(data_folder / "phenology" / "basel_hourly.csv.gz", parse_dates=["datetime_utc"])
    mean = raw.groupby(raw["datetime_utc"].dt.date)["tmean_c"].agg(["mean", "count"])
    full = mean[mean["count"] == 24]
    at = (full.index.to_numpy().astype("datetime64[D]") - series.first[0]).astype(int)
    np.testing.assert_allclose(series.values[at, 2], full["mean"], atol=1e-3)
