from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from season_tables import bloom

from ecotone.data.bloom_tables import bloom_table, read_bloom, season_of
from ecotone.data.season_columns import days_of, leap, read_days
from ecotone.data.seasons import Calendar, Status
from ecotone.errors import InputError, UsageError


def dates(table):
    return table.frame["date"].to_numpy().astype("datetime64[D]").astype(str).tolist()


def codes(table):
    return table.frame["code"].tolist()


def test_plain_table_in_odd_spelling(tmp_path):
    path = tmp_path / "b.csv"
    path.write_text("Station;Jahr;DOY;Breite;Alt (m)\nA;2015;91;47,5;400\nB;2016;91;46,25;500\n", encoding="utf-8")
    table = read_bloom(path)
    assert dates(table) == ["2015-04-01", "2016-03-31"]
    assert table.frame["latitude"].tolist() == [47.5, 46.25]
    assert table.frame["altitude"].tolist() == [400, 500]
    assert codes(table) == ["", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2015-04-03", "2015-04-03"), ("2015/4/3", "2015-04-03"), ("20150403", "2015-04-03"), ("03.04.2015", "2015-04-03"),
        ("2015-04-03 13:30:00", "2015-04-03"), ("2015-04-03T00:00:00Z", "2015-04-03"), ("3 Apr 2015", "2015-04-03"),
        ("2015-02-29", "NaT"), ("0", "NaT"), ("soon", "NaT"),
    ],
)  # fmt: skip
def test_dates_in_any_usual_form(text, expected):
    day, hour = read_days(pd.Series([text, None]), "t")
    assert str(day[0]) == expected and np.isnat(day[1])
    assert (hour[0] == 13) if "13:30" in text else not hour[0] > 0


def test_day_and_month_order():
    day, _ = read_days(pd.Series(["13/04/2015", "03/04/2015"]), "t")
    assert day.astype(str).tolist() == ["2015-04-13", "2015-04-03"]
    day, _ = read_days(pd.Series(["04/13/2015", "03/04/2015"]), "t")
    assert day.astype(str).tolist() == ["2015-04-13", "2015-03-04"]
    for cells, words in ((["03/04/2015"], "day first or month first"), (["13/04/2015", "04/13/2015"], "mixed up")):
        with pytest.raises(InputError, match=words) as error:
            bloom_table(pd.DataFrame({"site": "A", "date": cells}))
        assert error.value.code == "PH605"
    table = bloom_table(pd.DataFrame({"site": "A", "date": ["03/04/2015"]}), date_order="mdy")
    assert dates(table) == ["2015-03-04"]


def test_days_that_do_not_exist_are_listed():
    frame = pd.DataFrame(
        {"site": list("ABCDEFGHI"), "year": [2015, 2016, 2015, 2015, 20230, "x", None, 1066, 2015],
         "doy": [366, 366, 0, 400, 100, 100, 100, 100, "soon"]}
    )  # fmt: skip
    table = bloom_table(frame)
    assert codes(table) == ["PH604", "", "PH604", "PH604", "PH604", "PH604", "PH604", "", "PH604"]
    assert table.frame["reason"].tolist()[0] == "day 366 of 2015 does not exist"
    assert "20230 is out of range" in table.frame["reason"][4]
    assert dates(table)[7] == "1066-04-10"


def test_what_cannot_be_read_is_shown_as_written():
    dates = ["1992-02-30", "30/02/1992", "Not yet", "-", "1992-04-01"]
    table = bloom_table(pd.DataFrame({"site": list("ABCDE"), "year": 1992, "date": dates}))
    assert codes(table) == ["PH604", "PH604", "", "PH618", ""]
    assert table.frame["reason"].tolist()[:2] == [f"day {text!r} cannot be read" for text in dates[:2]]
    table = bloom_table(pd.DataFrame({"site": ["A"], "year": ["in 1992"], "doy": ["c. 100"]}))
    assert table.frame["reason"][0] == "year 'in 1992' is no number"


def test_dates_beside_days_must_agree():
    frame = pd.DataFrame({"site": "A", "year": [2015, 2016], "doy": [91, 91], "date": ["2015-04-01", "2016-04-01"]})
    assert codes(bloom_table(frame)) == ["", "PH604"]
    frame = pd.DataFrame({"site": "A", "year": [2015, 2019], "date": ["2015-04-01", "2016-04-01"]})
    assert codes(bloom_table(frame)) == ["", "PH604"]


def test_never_censored_and_unknown():
    frame = pd.DataFrame(
        {"site": "A", "year": range(2001, 2010), "doy": [100, None, "never", 120, 90, None, 100, None, 100],
         "status": ["", "never", "", "not yet", "before", "", "no", "unknown", "odd word"]}
    )  # fmt: skip
    table = bloom_table(frame)
    assert codes(table) == ["", "", "", "", "", "PH618", "", "PH618", ""]
    assert table.frame["status"].tolist()[:5] == [
        Status.OBSERVED, Status.AFTER, Status.AFTER, Status.AFTER, Status.BEFORE]  # fmt: skip
    assert table.frame["status"][6] == Status.AFTER
    assert "odd word" in table.notes[0]


def test_pep725_export():
    frame = pd.DataFrame(
        {"s_id": [1, 1, 2], "lon": 8.0, "lat": 47.0, "alt": 400, "genus_id": 6, "species_id": 222, "phase_id": [60, 65, 60],
         "year": 2015, "day": [100, 105, 101]}
    )  # fmt: skip
    with pytest.raises(InputError, match="60, 65") as error:
        bloom_table(frame)
    assert error.value.code == "PH602"
    table = bloom_table(frame, phenophase="60")
    assert table.frame["site_id"].tolist() == ["1", "2"]
    assert dates(table) == ["2015-04-10", "2015-04-11"]
    other = frame.rename(columns={"s_id": "PEP_ID", "phase_id": "BBCH", "day": "DAY", "year": "YEAR"})
    assert dates(bloom_table(other, phenophase="65")) == ["2015-04-15"]
    with pytest.raises(UsageError, match="did you mean") as unknown:
        bloom_table(frame, phenophase="6")
    assert unknown.value.code == "US101"


def test_several_species_at_a_site():
    frame = bloom(["A", "A"], [2001, 2001], [100, 110], species=["avium", "cerasus"])
    with pytest.raises(InputError, match="avium, cerasus") as error:
        bloom_table(frame)
    assert error.value.code == "PH603"
    assert len(bloom_table(frame, species="Cerasus")) == 1
    assert bloom_table(frame, species="all").frame["group"].tolist() == ["avium", "cerasus"]
    apart = frame.assign(site_id=["A", "B"])  # one species per site is no choice to make
    assert bloom_table(apart).frame["group"].tolist() == ["avium", "cerasus"]


def test_npn_phenometrics():
    frame = pd.DataFrame(
        {"Site_ID": [1, 1, 2, 3], "Latitude": 40.0, "Longitude": -90.0, "Genus": "Prunus", "Species": "avium",
         "Individual_ID": [1, 2, 3, 4], "Phenophase_Description": "Open flowers", "Phenophase_ID": 501,
         "First_Yes_Year": 2015, "First_Yes_DOY": [100, 101, 102, -9999], "NumDays_Since_Prior_No": [5, 60, -9999, -9999]}
    )  # fmt: skip
    table = bloom_table(frame, phenophase="501")
    assert table.frame["status"].tolist()[:3] == [Status.OBSERVED, Status.BEFORE, Status.BEFORE]
    assert codes(table) == ["", "", "", "PH618"]
    last = table.frame["last_no"].to_numpy().astype("datetime64[D]")
    assert str(last[0]) == "2015-04-05" and str(last[1]) == "2015-02-10" and np.isnat(last[2])
    assert set(table.frame["group"]) == {""}
    wide = bloom_table(frame, phenophase="Open flowers", prior_no_days=90)
    assert wide.frame["status"].tolist()[:3] == [Status.OBSERVED, Status.OBSERVED, Status.BEFORE]


def test_npn_status_records_become_first_days():
    visits = [("2015-03-01", 0), ("2015-03-20", 0), ("2015-03-27", 1), ("2015-04-02", 1), ("2015-04-20", 0),
              ("2016-03-25", 1), ("2017-03-20", 0), ("2017-05-20", 0), ("2018-03-01", -1)]  # fmt: skip
    frame = pd.DataFrame(
        {"Site_ID": 7, "Latitude": 40.0, "Individual_ID": 1, "Phenophase_Description": "Open flowers",
         "Observation_Date": [v[0] for v in visits], "Phenophase_Status": [v[1] for v in visits]}
    )  # fmt: skip
    table = bloom_table(frame)
    good = table.frame[table.frame["code"] == ""]
    assert good["year"].tolist() == [2015, 2016, 2017]
    assert good["status"].tolist() == [Status.OBSERVED, Status.BEFORE, Status.AFTER]
    assert good["date"].astype(str).tolist() == ["2015-03-27", "2016-03-25", "2017-05-20"]
    assert str(good["last_no"].iloc[0])[:10] == "2015-03-20"


def test_missing_columns_name_the_closest():
    for frame, words in (
        (pd.DataFrame({"site": ["A"], "year": [2001], "floweringday": [3]}), "doy"),
        (pd.DataFrame({"site": ["A"], "doy": [3]}), "year"),
        (pd.DataFrame({"a": [1]}), "only one column"),
    ):
        with pytest.raises(InputError, match=words) as error:
            bloom_table(frame)
        assert error.value.code == "PH601"
    named = bloom_table(pd.DataFrame({"when": [3], "site": "A", "year": 2001}), columns={"doy": "when"})
    assert dates(named) == ["2001-01-03"]
    with pytest.raises(InputError, match="did you mean 'when'") as error:
        bloom_table(pd.DataFrame({"when": [3], "year": 2001}), columns={"doy": "whem"})
    assert error.value.code == "PH601"
    with pytest.raises(InputError) as empty:
        bloom_table(bloom(years=[]))
    assert empty.value.code == "IO102"


def test_coordinates_out_of_range():
    table = bloom_table(bloom(["A", "B"], [2001, 2001], [100, 100], latitude=[47, 147]))
    assert codes(table) == ["", "PH613"]
    with pytest.raises(InputError, match="swapped") as error:
        bloom_table(bloom(latitude=139.7, longitude=35.7))
    assert error.value.code == "PH613"


# ------------------------------------------------------------------------------------------------ calendar
def slow_season(date, latitude, calendar):
    for year in range(date.astype("datetime64[Y]").astype(int) + 1969, date.astype("datetime64[Y]").astype(int) + 1973):
        first = calendar.first_day(year, latitude)
        if first <= date < first + calendar.length:
            return year
    return np.nan


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-200_000, 40_000),
    st.sampled_from([-35.0, 0.0, 50.0, np.nan]),
    st.sampled_from([Calendar(), Calendar("09-21", 365), Calendar("07-01", 200), Calendar("10-01", 274, 0)]),
)
def test_season_of_a_day(day, latitude, calendar):
    date = np.datetime64(day, "D")
    year = season_of(np.array([date]), np.array([latitude]), calendar)[0]
    np.testing.assert_equal(year, slow_season(date, latitude, calendar))
    if np.isfinite(year):
        first = calendar.first_day(int(year), latitude)
        assert (first + calendar.length - 1).astype("datetime64[Y]").astype(int) + 1970 == year


@settings(max_examples=60, deadline=None)
@given(st.integers(800, 2200), st.integers(1, 366))
def test_days_of_years(year, doy):
    date = days_of(np.array([float(year)]), np.array([float(doy)]))[0]
    exists = doy <= 365 or bool(leap(np.array([year]))[0])
    assert (date.astype("datetime64[Y]").astype(int) + 1970 == year) == exists
    assert (date - np.datetime64(f"{year:04d}-01-01")).astype(int) + 1 == doy


def test_seasons_start_where_they_should():
    calendar = Calendar()
    assert str(calendar.first_day(2016, 50.0)) == "2015-10-01"
    assert str(calendar.first_day(2016, 50.0) + 273) == "2016-06-30"  # leap
    assert str(calendar.first_day(2015, 50.0) + 273) == "2015-07-01"
    assert str(calendar.first_day(2016, -37.0)) == "2016-04-01"
    assert str(calendar.first_day(2016, -37.0) + 273) == "2016-12-30"


@pytest.mark.realdata
def test_bloom_table_at_hand(data_folder):
    table = read_bloom(data_folder / "phenology" / "bloom.csv")
    raw = pd.read_csv(data_folder / "phenology" / "bloom.csv")
    assert len(table) == len(raw)
    assert dates(table) == raw["date"].str.zfill(10).tolist()
    assert set(codes(table)) == {"", "PH607"}
    assert (table.frame["code"] == "PH607").sum() == raw["same_record_as"].notna().sum()
