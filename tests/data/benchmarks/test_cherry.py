from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ecotone.data.benchmarks import cherry, leafing
from ecotone.errors import InputError, UsageError


@pytest.mark.realdata
def test_benchmark_seasons_follow_their_table(data_folder):
    folder = data_folder / "phenology"
    table = pd.read_csv(folder / cherry.SEASONS).sort_values(["site_id", "year"])
    seasons = cherry.read_cherry(folder, None, 1)
    assert len(seasons) == len(table)
    np.testing.assert_array_equal(seasons.doy(seasons.event), table["doy"])
    np.testing.assert_array_equal(seasons.extra["station"], table["station_id"])
    np.testing.assert_array_equal(seasons.quality, table["quality"])
    before = np.arange(seasons.length) <= seasons.event[:, None]
    missing = np.rint(table["missing_pct"] * table["days"] / 100)
    np.testing.assert_array_equal((before & ~seasons.known).sum(axis=1), missing)
    assert np.isfinite(seasons.daily).all() and seasons.daily.flags.c_contiguous
    assert (seasons.daily[..., 0] <= seasons.daily[..., 1]).mean() > 0.999


@pytest.mark.realdata
def test_sites_are_counted_after_the_quality(data_folder):
    seasons = cherry.read_cherry(data_folder / "phenology")
    assert set(seasons.quality) == {"observed"}
    assert np.unique(seasons.site_id, return_counts=True)[1].min() >= 8
    by_block = pd.Series(seasons.sites["block"].to_numpy(), index=seasons.sites["site_id"])
    assert by_block["CH_basel_binningen"] == by_block["CH_therwil"]  # two names of one station
    assert by_block["CH_basel_binningen"] != by_block["CH_moehlin"]
    some = seasons.take(seasons.year > 2000)
    assert len(some.extra["station"]) == len(some)


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="ecotone data get cherry") as error:
        cherry.read_cherry(tmp_path)
    assert error.value.code == "IO101"


def test_small_benchmark(tmp_path):
    days = pd.date_range("2000-09-01", "2004-06-20").astype(str)
    temperature = pd.DataFrame(
        {"station_id": "S", "date": days, "tmin_c": 1.0, "tmax_c": 9.0, "tmean_c": 5.0, "quality": "observed"}
    )
    temperature.drop(index=[60]).to_csv(tmp_path / cherry.TEMPERATURE, index=False)
    pd.DataFrame({"station_id": ["S"], "lat": 47.0, "lon": 8.0, "alt_m": 400}).to_csv(
        tmp_path / cherry.STATIONS, index=False
    )
    sites = pd.DataFrame(
        {"site_id": ["a", "b"], "lat": 47.0, "lon": 8.0, "alt_m": 1, "species_or_variety": ["x", None]}
    )
    sites.to_csv(tmp_path / cherry.BLOOM, index=False)
    table = pd.DataFrame(
        {"country": "L", "site_id": ["a", "a", "b", "b"], "year": [2002, 2001, 2001, 2004], "doy": [90, 100, 110, 120],
         "station_id": "S", "quality": ["observed", "observed", "observed", "reanalysis"]}
    )  # fmt: skip
    table.to_csv(tmp_path / cherry.SEASONS, index=False)
    seasons = cherry.read_cherry(tmp_path, ("observed",), 2)
    assert seasons.site_id.tolist() == ["a", "a"] and seasons.year.tolist() == [2001, 2002]
    assert seasons.doy(seasons.event).tolist() == [100, 90] and (~seasons.known).sum() == 1
    assert len(cherry.read_cherry(tmp_path, None, 1)) == 4
    with pytest.raises(InputError) as error:
        cherry.read_cherry(tmp_path, ("observed",), 3)
    assert error.value.code == "PH616"
    table.assign(station_id="T").to_csv(tmp_path / cherry.SEASONS, index=False)
    with pytest.raises(InputError, match="has no days of T") as error:
        cherry.read_cherry(tmp_path, None, 1)
    assert error.value.code == "IO102"
    table.drop(columns="doy").to_csv(tmp_path / cherry.SEASONS, index=False)
    with pytest.raises(InputError, match="no column doy") as error:
        cherry.read_cherry(tmp_path)
    assert error.value.code == "OC201"


@pytest.mark.realdata
def test_monthly_stations(data_folder):
    raw = pd.read_csv(data_folder / "phenology" / cherry.MONTHLY)
    seasons = cherry.read_monthly(data_folder / "phenology")
    assert (len(seasons), len(seasons.sites), seasons.source) == (raw["full_bloom_doy"].notna().sum(), 100, "monthly")
    assert np.isfinite(seasons.daily).all()
    groups = seasons.sites.set_index("site_id")["group"]
    assert groups["Naha"] == "south islands" == groups["Naze"] and groups["Kyoto"] == "cherry"
    south = groups[seasons.site_id].to_numpy() == "south islands"
    assert seasons.doy(seasons.event)[south].max() < 76 < seasons.doy(seasons.event)[~south].min()
    row = raw[(raw["station_name"] == "Kyoto") & (raw["year"] == 1990)].iloc[0]
    one = seasons.take((seasons.site_id == "Kyoto") & (seasons.year == 1990))
    assert one.doy(one.event)[0] == row["full_bloom_doy"]
    month = one.dates(np.arange(274.0)[None])[0].astype("datetime64[M]").astype(str)
    for name, key in (("t_oct_prev", "1989-10"), ("t_feb", "1990-02"), ("t_jun", "1990-06")):
        np.testing.assert_allclose(one.daily[0, month == key, 2].mean(), row[name], atol=1e-3)


def test_unknown_event_kind_and_missing_files(tmp_path):
    with pytest.raises(UsageError, match="full_bloom"):
        cherry.read_monthly(tmp_path, "full")
    with pytest.raises(UsageError, match="DB"):
        leafing.read_phenocam(tmp_path, "XX")
    for call in (cherry.read_monthly, leafing.read_aspen, leafing.read_vaccinium, leafing.read_phenocam):
        with pytest.raises(InputError) as error:
            call(tmp_path)
        assert error.value.code == "IO101"
    (tmp_path / "phenocam_DB.npz").write_bytes(b"PK")
    with pytest.raises(InputError) as error:
        leafing.read_phenocam(tmp_path)
    assert error.value.code == "IO102"


@pytest.mark.realdata
def test_aspen_and_blueberry(data_folder):
    folder = data_folder / "phenology"
    raw = pd.read_csv(folder / "aspen_obs.csv").query("phenophase == 371")
    aspen = leafing.read_aspen(folder)
    assert len(raw) - len(aspen) == (raw["doy"] > 210).sum() == 4  # leaf buds in autumn
    assert np.array_equal(np.sort(aspen.doy(aspen.event)), np.sort(raw["doy"][raw["doy"] <= 210]))
    table = pd.read_csv(folder / "aspen_temperature.csv.gz").astype({"site_id": str})
    one = table[(table["site_id"] == aspen.site_id[7]) & (table["year"] == aspen.year[7])].set_index("doy")[
        "temperature"
    ]
    np.testing.assert_allclose(aspen.daily[7, :, 2], one.loc[-65 : 274 - 66].to_numpy(), atol=1e-5)
    blueberry = leafing.read_vaccinium(folder, "501")
    assert len(blueberry) == 48 and blueberry.source == "daily mean"


@pytest.mark.realdata
def test_phenocam(data_folder):
    with np.load(data_folder / "phenology" / "phenocam" / "phenocam_DB.npz") as stored:
        site, year, days = stored["site"], stored["year"], stored["transition_dates"]
        tmin, doy = stored["Tmini"], stored["doy"]
    seasons = leafing.read_phenocam(data_folder / "phenology")
    assert len(seasons) == len(site) == 358
    order = np.lexsort((year, site))
    np.testing.assert_array_equal(seasons.site_id, site[order])
    np.testing.assert_array_equal(seasons.doy(seasons.event), np.rint(days[order]))
    spring = (doy >= 1) & (doy <= 180)
    column = int((1 - seasons.doy(np.zeros(len(seasons))))[3])  # day index of 1 January
    np.testing.assert_allclose(seasons.daily[3, column : column + 180, 0], tmin[order][3][spring])
