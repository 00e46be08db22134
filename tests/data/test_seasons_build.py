from __future__ import annotations

import time
import warnings

import numpy as np
import pandas as pd
import pytest
from season_tables import bloom, daily

from ecotone.data.daily_series import Filled
from ecotone.data.seasons import Calendar, Status
from ecotone.data.seasons_build import build_seasons
from ecotone.data.temperature_tables import temperature_table
from ecotone.errors import CODES, InputError, UsageError


def by_code(report):
    return report.records.loc[~report.records["kept"], "code"].value_counts().to_dict()


def told(report):
    return {w.code for w in report.warnings}


def slow_season(frame, first, length):
    """Means of a season day by day, NaN where the table has none."""
    table = {d: (a + b) / 2 for d, a, b in zip(frame["date"], frame["tmin"], frame["tmax"], strict=True)}
    return np.array([table.get(str(first + i), np.nan) for i in range(length)])


# ------------------------------------------------------------------------------------------------ whole tables
@pytest.mark.parametrize("latitude", [47.0, -37.0])
def test_seasons_against_a_plain_loop(latitude):
    south = latitude < 0
    frame = daily("2000-01-01", "2005-06-01", shift=183 if south else 0)
    seasons, report = build_seasons(bloom(doy=265 if south else 100, latitude=latitude), frame)
    kept = [2001, 2002, 2003, 2004] if south else [2001, 2002, 2003, 2004, 2005]
    assert seasons.year.tolist() == kept
    assert str(seasons.first[0]) == ("2001-04-01" if south else "2000-10-01")
    assert seasons.doy(seasons.event).tolist() == [(265 if south else 100) + y - 2001 for y in kept]
    assert [str(d)[:4] for d in seasons.dates(seasons.event)] == [str(y) for y in kept]
    for i in range(len(seasons)):
        want = slow_season(frame, seasons.first[i], 274)
        np.testing.assert_array_equal(seasons.known[i], np.isfinite(want))
        np.testing.assert_allclose(seasons.daily[i, seasons.known[i], 2], want[seasons.known[i]], atol=1e-5)
    assert np.isfinite(seasons.daily).all() and seasons.daily.flags.c_contiguous and seasons.daily.dtype == np.float32
    np.testing.assert_array_equal(seasons.index(seasons.dates(seasons.event)), seasons.event)
    assert report.records["kept"].sum() == len(kept) and len(report.records) == 6
    assert by_code(report) == {"PH614": 6 - len(kept)}
    assert report.sites["kept"].tolist() == [len(kept)]


def test_gaps():
    frame = daily("2000-09-01", "2006-12-31").set_index("date")
    frame.loc["2001-01-10":"2001-01-13"] = np.nan  # short: a straight line
    frame.loc["2002-01-10":"2002-01-16"] = np.nan  # long
    for month in range(1, 5):  # many short ones
        frame.loc[f"2003-0{month}-01" : f"2003-0{month}-04"] = np.nan
    frame.loc["2004-05-01":"2004-06-15"] = np.nan  # after bloom
    frame = frame.reset_index().dropna(subset=["tmin"])
    seasons, report = build_seasons(bloom(doy=[100] * 6, latitude=47.0), frame, max_missing=0.05)
    assert seasons.year.tolist() == [2001, 2004, 2005, 2006]
    out = report.records.set_index("year")
    assert out.loc[2002, "reason"] == "a gap of 7 days before bloom at station A"
    assert out.loc[2003, "reason"] == "16 of 192 days before bloom are missing at station A (8.3%)"
    assert (out["missing"][2001], out["longest_gap"][2001], out["days"][2001]) == (4, 4, 192)
    day = int(seasons.index(np.array(["2001-01-10"] * 4, dtype="datetime64[D]"))[0])
    line = seasons.daily[0, day - 1 : day + 5, 0]
    np.testing.assert_allclose(np.diff(line), np.diff(line)[0], atol=1e-5)
    assert not seasons.known[0, day : day + 4].any() and seasons.known[0].sum() == 270
    may = seasons.dates(np.tile(np.arange(274.0), (4, 1)))[1] == np.datetime64("2004-05-20")
    near = frame[frame["date"].str[5:7].eq("05") & frame["date"].str[8:].astype(int).between(13, 27)]["tmin"].mean()
    np.testing.assert_allclose(seasons.daily[1, may, 0], near, atol=0.3)
    with pytest.raises(InputError) as error:
        build_seasons(bloom(years=[2002], latitude=47.0), frame)
    assert error.value.code == "PH616" and "[PH614]" in str(error.value)


def test_censored_never_and_unlabelled():
    records = pd.DataFrame(
        {"site": "A", "latitude": 47.0, "year": [2001, 2002, 2003, 2004], "doy": [100, None, 120, 95],
         "status": ["", "never", "not yet", "already"]}
    )  # fmt: skip
    seasons, report = build_seasons(records, daily("2000-01-01", "2006-03-15"), all_years=True)
    assert seasons.year.tolist() == [2001, 2002, 2003, 2004, 2005, 2006]
    assert seasons.status.tolist() == [
        Status.OBSERVED, Status.AFTER, Status.AFTER, Status.BEFORE, Status.UNKNOWN, Status.UNKNOWN]  # fmt: skip
    assert seasons.event[1] == 273 and np.isnan(seasons.event[4:]).all()
    assert seasons.known[4].all() and seasons.known[5].sum() == 166 and np.isfinite(seasons.daily).all()
    assert report.unlabelled == 2 and "2 seasons without a record" in report.summary()
    alone, _ = build_seasons(None, daily("2000-01-01", "2006-03-15", latitude=47.0), all_years=True)
    assert alone.year.tolist() == [2001, 2002, 2003, 2004, 2005, 2006] and not alone.observed.any()


def test_seasons_left_out_are_told_with_their_reasons():
    frame = daily("2000-01-01", "2006-03-15", latitude=47.0).set_index("date")
    frame.loc["2003-01-10":"2003-01-20", ["tmin"]] = np.nan
    frame.loc["2005-01-10":"2005-01-20", ["tmin"]] = np.nan
    frame.loc["2006-03-01":, ["tmin"]] = np.nan  # not measured yet
    frame = frame.reset_index()
    seasons, report = build_seasons(bloom(years=[2001, 2003], latitude=47.0), frame, all_years=True, max_missing=0.2)
    assert seasons.year.tolist() == [2001, 2002, 2004, 2006] and seasons.known[-1].sum() == 151
    lost = report.lost.set_index("year")  # 2000 began before the table did
    assert lost["record"].to_dict() == {2003: True, 2005: False} and set(lost["site_id"]) == {"A"}
    assert lost.loc[2003, "reason"] == "a gap of 11 days before bloom at station A"
    assert lost.loc[2005, "reason"] == "a gap of 11 days from 2004-10-01 on at station A"
    late = frame[frame["date"] >= "2005-11-01"]
    with pytest.raises(
        InputError, match=r"no season has usable temperatures; A 2006: 31 of 151 days from 2005-10-01 on"
    ):
        build_seasons(None, late, all_years=True)


def test_days_with_a_mean_span_a_station():
    frame = pd.concat([daily("2001-01-01", "2001-01-09"), daily("2001-01-01", "2001-01-03", "B")])
    frame.loc[(frame["station_id"] == "B") | (frame["date"].str[-2:].isin(["01", "05", "08", "09"])), "tmin"] = np.nan
    filled = Filled.of(temperature_table(frame)[0], 3)
    first, last = filled.span()
    assert str(first[0]) == "2001-01-02" and str(last[0]) == "2001-01-07"
    assert np.isnat(first[1]) and np.isnat(last[1])


def test_outside_the_season_and_years_without_temperatures():
    records = bloom(years=[1066, 2001, 2002, 2003], doy=[100, 250, 100, 182], latitude=47.0)
    seasons, report = build_seasons(records, daily("2000-01-01", "2006-12-31"))
    assert seasons.year.tolist() == [2002, 2003] and seasons.event[1] == 273
    out = report.records.set_index("year")
    assert (
        out.loc[2001, "code"] == "PH615"
        and "after the season ends (2000-10-01 to 2001-07-01)" in out.loc[2001, "reason"]
    )
    assert out.loc[1066, "code"] == "PH614" and "has no temperatures in this season" in out.loc[1066, "reason"]
    early = bloom(years=[2001, 2002], doy=[10, 100], latitude=47.0)
    _, report = build_seasons(early, daily(), Calendar("02-01", 200))
    assert "before the season starts" in report.records["reason"][0]
    between = pd.DataFrame({"site": "A", "date": ["2001-08-20", "2001-12-20"], "latitude": 47.0})
    seasons, report = build_seasons(between, daily())
    assert seasons.year.tolist() == [2002] and "between two seasons" in report.records["reason"][0]


# ------------------------------------------------------------------------------------------------ twice
def test_duplicates():
    records = bloom(years=[2001, 2001, 2002, 2002, 2002, 2003], doy=[100, 100, 100, 104, 110, 99], latitude=47.0)
    frame = daily()
    with pytest.raises(InputError, match="A 2002 has contradicting records") as error:
        build_seasons(records, frame)
    assert error.value.code == "PH606"
    for how, days in (("first", [100, 100, 99]), ("median", [100, 104, 99]), ("mask", [100, 99])):
        seasons, report = build_seasons(records, frame, duplicates=how)
        assert seasons.doy(seasons.event).tolist() == days, how
        assert told(report) == {"PH606", "PH607"}
        assert by_code(report)["PH607"] == 1
    seasons, _ = build_seasons(records, frame, duplicates="keep")
    assert len(seasons) == 6
    trees = records.assign(tree=range(6))
    assert len(build_seasons(trees, frame)[0]) == 6
    with pytest.raises(UsageError, match="median"):
        build_seasons(records, frame, duplicates="medain")


def test_groups_at_one_site_are_sites_of_their_own():
    records = bloom("A", [2001, 2001, 2002], [100, 110, 101], variety=["early", "late", "early"], latitude=47.0)
    seasons, report = build_seasons(records, daily())
    assert seasons.sites["site_id"].tolist() == ["A / early", "A / late"]
    assert seasons.site.tolist() == [0, 0, 1] and seasons.sites["group"].tolist() == ["early", "late"]
    assert told(report) == {"PH617"} and report.sites["thin"].tolist() == [False, True]


# ------------------------------------------------------------------------------------------------ stations
def test_how_sites_find_stations():
    frame = pd.concat([daily(station=s, seed=i, level=8 + i) for i, s in enumerate(["P", "Q"])])
    places = pd.DataFrame({"station_id": ["P", "Q"], "lat": [47.0, 47.5], "lon": [8.0, 8.0]})
    records = pd.concat(
        [bloom(s, [2001, 2002], latitude=y, longitude=8.0) for s, y in (("x", 47.05), ("P", 60.0), ("z", 10.0))]
    )
    seasons, report = build_seasons(records, frame, stations=places)
    assert set(seasons.site_id) == {"P"} and by_code(report) == {"PH612": 4}
    assert "the nearest is P, 5.6 km away" in report.records["reason"][0]
    seasons, report = build_seasons(records, frame, stations=places, within_km=10)
    assert set(seasons.site_id) == {"P", "x"} and set(seasons.extra["station"]) == {"P"}
    high = records.assign(altitude=900)
    seasons, report = build_seasons(high, frame, stations=places.assign(alt=100), within_km=10)
    assert set(seasons.site_id) == {"P"}
    seasons, _ = build_seasons(high, frame, stations=places.assign(alt=100), within_km=10, within_m=1000)
    assert set(seasons.site_id) == {"P", "x"}
    pairs = pd.DataFrame({"site_id": ["z", "x", "x"], "station_id": ["nowhere", "Q", "P"], "distance_km": [1, 9, 3]})
    seasons, report = build_seasons(records, frame, stations=[pairs, places])
    station = dict(zip(seasons.site_id, seasons.extra["station"], strict=True))
    assert station == {"P": "P", "x": "P"}
    assert "not in the temperature table" in report.records["reason"].iloc[-1]
    one, _ = build_seasons(records, frame[frame["station_id"] == "Q"])
    assert set(one.site_id) == {"P", "x", "z"} and set(one.extra["station"]) == {"Q"}
    with pytest.raises(InputError) as error:
        build_seasons(records, frame, stations=pd.DataFrame({"a": [1]}))
    assert error.value.code == "PH601"


def test_the_better_station_of_each_year():
    good = daily("2000-01-01", "2003-12-31", "good", quality="observed")
    good.loc[good["date"].between("2002-12-01", "2002-12-31"), ["tmin", "tmax"]] = np.nan
    model = daily("2000-01-01", "2005-12-31", "model", seed=1, quality="reanalysis")
    pairs = pd.DataFrame({"site_id": "A", "station_id": ["model", "good"]})
    seasons, _ = build_seasons(bloom(latitude=47.0), pd.concat([good, model]), stations=pairs)
    assert seasons.extra["station"].tolist() == ["good", "good", "model", "model", "model"][: len(seasons)]
    assert seasons.quality.tolist() == ["observed", "observed", "reanalysis", "reanalysis", "reanalysis"]
    mixed = good.assign(quality=np.where(good["date"] < "2001-01-15", "observed", "possibly_imputed"))
    seasons, _ = build_seasons(bloom(years=[2001, 2002], latitude=47.0), mixed)
    assert seasons.quality.tolist() == ["possibly_imputed", "possibly_imputed"]


def test_places_of_sites_come_from_a_table():
    homes = pd.DataFrame({"site_id": ["A", "A", "Z"], "lat": [46.5, 1.0, 2.0], "lon": 8.0, "alt": 700})
    seasons, report = build_seasons(bloom(years=[2001, 2002]), daily(), stations=homes)
    assert told(report) == set() and seasons.latitude.tolist() == [46.5, 46.5]
    assert seasons.sites["altitude"].tolist() == [700]
    stated, _ = build_seasons(bloom(latitude=47.0), daily(), stations=homes)
    assert stated.latitude[0] == 47.0 and stated.sites["altitude"].tolist() == [700]
    with pytest.raises(InputError, match="latitude 120 in row 2 is out of range"):
        build_seasons(bloom(), daily(), stations=homes.assign(lat=120.0))
    with pytest.raises(InputError, match="one of them with latitude"):
        build_seasons(bloom(), daily(), stations=homes[["site_id", "alt"]])


def test_the_last_table_that_names_a_site_decides_on_its_station():
    frame = pd.concat([daily(), daily()]).assign(station_id=lambda d: np.repeat(["P", "Q"], len(d) // 2))
    frame = frame.drop(columns=[c for c in ("site_id",) if c in frame])
    first = pd.DataFrame({"site_id": ["A", "B"], "station_id": "P"})
    records = pd.concat([bloom(latitude=47.0), bloom(latitude=47.0).assign(site_id="B")])
    seasons, _ = build_seasons(records, frame, stations=[first, pd.DataFrame({"site_id": ["B"], "station_id": ["Q"]})])
    used = dict(zip(seasons.site_id, seasons.extra["station"], strict=True))
    assert used == {"A": "P", "B": "Q"}


def test_without_latitude():
    seasons, report = build_seasons(bloom(years=[2001, 2002]), daily())
    assert told(report) == {"PH613"} and len(seasons) == 2
    seasons, report = build_seasons(bloom(years=[2001, 2002]), daily(), latitude=47.0)
    assert told(report) == set() and seasons.latitude.tolist() == [47, 47]
    seasons, report = build_seasons(bloom(years=[2001, 2002], doy=265), daily(latitude=-37.0), years=(2002, 2002))
    assert str(seasons.first[0]) == "2002-04-01" and len(report.records) == 1
    dated = pd.DataFrame({"site": "A", "latitude": 47.0, "date": ["2001-12-20", "2003-04-01", "2005-04-01"]})
    seasons, report = build_seasons(dated, daily(), years=(2002, 2004), all_years=True)
    assert seasons.year.tolist() == [2002, 2003, 2004] and seasons.observed.tolist() == [True, True, False]


def test_hours_and_visits_come_along():
    stamp = pd.date_range("2000-09-01", "2002-07-05 23:00", freq="h")
    value = 10 + 5 * np.sin(np.arange(len(stamp)) / 24 * 2 * np.pi)
    hourly = pd.DataFrame({"datetime": stamp, "temp": value, "latitude": 47.0})
    records = bloom("A", [2001, 2002], [100, 100], numdays_since_prior_no=[3, 90])
    seasons, _ = build_seasons(records, hourly)
    assert seasons.source == "hourly" and seasons.hours.shape == (2, 274, 24)
    np.testing.assert_allclose(seasons.hourly()[0, 3], value[:24], atol=1e-4)
    np.testing.assert_allclose(seasons.daily[1, 5, 2], 10, atol=1e-4)
    assert seasons.status.tolist() == [Status.OBSERVED, Status.BEFORE]
    np.testing.assert_array_equal(seasons.event - seasons.extra["last_no"], [3, 90])
    part = seasons.take(seasons.year == 2002)
    assert part.extra["last_no"].shape == (1,) and part.hours.shape == (1, 274, 24)


def test_report_in_words():
    records = pd.concat([bloom(latitude=47.0), bloom("B", [2001]), bloom("A", [2007], [400])])
    _, report = build_seasons(records, pd.concat([daily(station="A"), daily(station="C")]))
    assert report.summary() == (
        "6 of 8 bloom records at 1 sites have temperatures; left out: 1 a year, date or day of the year is out of range or "
        "cannot be read [PH604], 1 a site has no temperature station [PH612]"
    )
    assert len(report.to_frame()) == 8 and set(report.reasons()["code"]) == {"PH604", "PH612"}
    assert report.records["season"].tolist() == [0, 1, 2, 3, 4, 5, -1, -1]
    warned = report.left_out("bloom.csv")
    assert warned.code == "PH621" and "\n" not in str(warned)
    assert str(warned).startswith("bloom.csv: 6 of 8 bloom records") and "no season is left at B - tables/" in str(
        warned
    )
    records = pd.concat([bloom(latitude=47.0), *(bloom(f"far-{k}", [2001]) for k in range(7))])
    _, report = build_seasons(records, daily(station="A").assign(station_id="A"), stations=pd.DataFrame(
        {"site_id": ["A"], "station_id": ["A"]}))  # fmt: skip
    assert "at far-0, far-1, far-2, far-3, far-4 and 2 more -" in str(report.left_out("bloom.csv"))
    assert build_seasons(bloom(latitude=47.0), daily(station="A"))[1].left_out("bloom.csv") is None


# ------------------------------------------------------------------------------------------------ anything at all
_ODD = (None, "", "never", "abc", -9999, 1e300, np.inf, "2015-02-30", "31/12/2015", 0, 366, 20230, True, b"x", -1, 3.7,
        "100,5", "=1+1", pd.Timestamp("2015-03-01"))  # fmt: skip


@pytest.mark.parametrize("seed", range(16))
def test_odd_cells_end_in_one_line_or_a_mask(seed):
    rng = np.random.default_rng(seed)
    days = daily("2000-09-01", "2002-07-01")
    records = bloom(years=[2001, 2002], latitude=47.0, status="", date="2001-04-10", phenophase=60).astype(object)
    other = days.assign(latitude=47.0, year=2001, month=3, day=5, hour=4).astype(object)
    for frame in (records, other):
        for _ in range(3):
            row = slice(None) if rng.random() < 0.3 else int(rng.integers(len(frame)))
            frame.iloc[row, int(rng.integers(frame.shape[1]))] = _ODD[rng.integers(len(_ODD))]
    other = other.drop(columns=list(rng.choice(other.columns, 4, replace=False)))
    for pair in ((records, days), (bloom(years=[2001], latitude=47.0), other)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                seasons, report = build_seasons(*pair)
            except InputError as error:
                assert "\n" not in str(error) and error.code in CODES
                continue
        assert np.isfinite(seasons.daily).all() and len(seasons) == report.records["kept"].sum()
        assert (report.records["kept"] == (report.records["code"] == "")).all()


# ------------------------------------------------------------------------------------------------ real data
@pytest.fixture(scope="module")
def at_hand(data_folder):
    from ecotone.data.temperature_tables import read_temperature

    folder = data_folder / "phenology"
    return folder, pd.read_csv(folder / "usable_seasons.csv"), read_temperature(folder / "temperature_daily.csv.gz")[0]


@pytest.mark.realdata
def test_usable_seasons_are_found_again(at_hand):
    folder, usable, series = at_hand
    pairs = usable[["site_id", "station_id", "distance_km"]].drop_duplicates()
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seasons, report = build_seasons(folder / "bloom.csv", series, stations=pairs)
    assert time.perf_counter() - start < 10
    got = pd.DataFrame({"site_id": seasons.site_id, "year": seasons.year, "quality": seasons.quality})
    got = got.assign(station=seasons.extra["station"], doy=seasons.doy(seasons.event))
    both = usable.merge(got, on=["site_id", "year"], how="outer", indicator=True, suffixes=("", "_got"))
    assert (both["_merge"] == "both").all()
    assert (both["doy"] == both["doy_got"]).all()
    assert (both["quality"] == both["quality_got"]).all()
    assert (both["station_id"] == both["station"]).all()
    out = report.records[report.records["kept"]]
    missing = out.set_index(["site_id", "year"])["missing"]
    want = usable.set_index(["site_id", "year"])
    same = both.set_index(["site_id", "year"]).query("station_id == station").index
    np.testing.assert_array_equal(missing[same], np.rint(want["missing_pct"] * want["days"] / 100)[same])


@pytest.mark.realdata
def test_near_stations_at_hand(at_hand):
    """By coordinates and altitude alone, the same seasons at temperatures of the same quality."""
    folder, usable, series = at_hand
    seasons, _ = build_seasons(folder / "bloom.csv", series, stations=folder / "stations.csv", within_km=20)
    got = dict(zip(zip(seasons.site_id, seasons.year, strict=True), seasons.quality, strict=True))
    want = dict(zip(zip(usable["site_id"], usable["year"], strict=True), usable["quality"], strict=True))
    assert got == want


@pytest.mark.realdata
def test_the_link_table_at_hand(at_hand):
    """It names one station per site: the Basel sites get a series of lesser quality than the seasons table uses."""
    folder, usable, series = at_hand
    seasons, report = build_seasons(
        folder / "bloom.csv", series, stations=[folder / "site_station.csv", folder / "stations.csv"]
    )
    keys = set(zip(seasons.site_id, seasons.year, strict=True))
    lost = set(zip(usable["site_id"], usable["year"], strict=True)) - keys
    assert lost == {("JP_sapporo", 2021)} and len(seasons) == len(usable) - 1
    other = usable.merge(report.records[report.records["kept"]], on=["site_id", "year"]).query("station_id != station")
    assert set(other["station"]) == {"KD_liestal"} and set(other["quality_y"]) == {"gap_filled"}
