"""Simulated trees: what the simulator says of itself holds, against plain rewrites, and the weather looks like weather."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from ecotone.data.seasons import TMAX, TMIN, Status
from ecotone.data.simulated.tree_rules import SHAPES, draw_response
from ecotone.data.simulated.trees import TreeWorld, moment, trees
from ecotone.data.simulated.weather import Weather, draw_climates, draw_weather
from ecotone.errors import UsageError


@pytest.fixture(scope="module")
def mild() -> TreeWorld:
    return trees(3, sites=4, years=12)


@pytest.fixture(scope="module")
def cold() -> TreeWorld:
    return trees(3, sites=4, years=12, winters="cold")


@pytest.mark.parametrize("shape", SHAPES)
def test_response_reaches_one_at_its_peak_and_is_never_negative(shape: str) -> None:
    temperature = np.linspace(-30, 45, 7501)
    for seed in range(5):
        response = draw_response(np.random.default_rng(seed), (3.0, 9.0), shape)
        curve = response(temperature)
        assert response.shape == shape and 3 <= response.peak <= 9
        assert float(response(np.array(response.peak))) == pytest.approx(1, abs=1e-12)
        assert curve.min() >= 0 and curve.max() <= 1 + 1e-12
        rising = np.diff(curve)
        assert (rising[temperature[1:] <= response.peak] >= -1e-9).all()
        assert (rising[temperature[:-1] >= response.peak] <= 1e-9).all()
        assert curve[0] < 0.01 and curve[-1] < 0.01


@pytest.mark.parametrize("options", [{}, {"winters": "cold"}, {"forcing": "sigmoid"}, {"softness": 40.0}])
def test_days_equal_a_plain_walk_through_the_hours(options: dict[str, object]) -> None:
    world = trees(11, sites=2, years=3, **options)  # type: ignore[arg-type]
    for i in range(len(world.seasons)):
        hours = world.seasons.hourly([i])[0]
        chill = forcing = 0.0
        met = bloomed = np.nan
        need = world.chill_requirement[world.seasons.site[i]]
        for day in range(world.seasons.length):
            chill += float(sum(world.response(hours[day])))
            if np.isnan(met) and chill >= need:
                met = day
            awake = float(chill >= need)
            if world.softness:
                awake = 1 / (1 + np.exp(min(max((need - chill) / world.softness, -50), 50)))
            forcing += awake * float(np.mean(world.forcing(hours[day])))
            if forcing >= world.forcing_requirement[world.seasons.site[i]]:
                bloomed = day
                break
        assert world.true_day[i] == bloomed
        if not np.isnan(met):
            assert world.fulfilled[i] == met
    found = world.bloom(world.seasons)
    np.testing.assert_array_equal(found[0], world.fulfilled)
    np.testing.assert_array_equal(found[1], world.true_day)


def test_chill_decides_in_mild_winters_and_not_in_cold_ones(mild: TreeWorld, cold: TreeWorld) -> None:
    assert mild.limited.mean() > 0.6 and mild.signal > 2.5
    assert cold.limited.mean() < 0.1 and cold.signal < 0.6
    # a tenth more chill delays bloom where it limits and is not felt where it does not
    assert np.nanmean(mild.bloom(mild.seasons, chill=1.1)[1] - mild.true_day) > 1
    assert np.nanmean(cold.bloom(cold.seasons, chill=1.1)[1] - cold.true_day) < 0.3


def test_warmth_delays_chill_and_can_prevent_bloom(mild: TreeWorld) -> None:
    met, _ = mild.bloom(mild.seasons.warmed(4))
    assert np.nanmedian(met) > np.nanmedian(mild.fulfilled) + 10 or np.isnan(met).any()
    hot = mild.recorded(mild.seasons.warmed(12))
    never = hot.status == Status.AFTER
    assert never.any() and (hot.event[never] == hot.length - 1).all()


def test_same_seed_same_world_and_noise_changes_records_only(mild: TreeWorld) -> None:
    again = trees(3, sites=4, years=12)
    assert again.fingerprint() == mild.fingerprint()
    assert trees(4, sites=4, years=12).fingerprint() != mild.fingerprint()
    exact = trees(3, sites=4, years=12, noise=0)
    np.testing.assert_array_equal(exact.true_day, mild.true_day)
    np.testing.assert_array_equal(exact.seasons.event, mild.true_day)
    off = mild.seasons.event - mild.true_day
    assert (off == np.rint(off)).all() and 0.6 < off.std() < 1.5
    longer = trees(3, sites=4, years=15)
    np.testing.assert_array_equal(longer.weather.tmin[:, :4000], mild.weather.tmin[:, :4000])


def test_days_within_a_day_agree_with_whole_days() -> None:
    gathered = np.array([[0.0, 1.0, 3.0, 3.0], [5.0, 6.0, 7.0, 8.0], [0.0, 0.0, 0.0, 0.5]])
    np.testing.assert_allclose(moment(gathered, np.full((3, 1), 2.0)), [1.5, -0.6, np.nan])


def test_seasons_are_windows_of_the_weather(mild: TreeWorld) -> None:
    seasons, weather = mild.seasons, mild.weather
    assert (seasons.daily[..., TMIN] <= seasons.daily[..., TMAX]).all()
    for i in (0, 17, 47):
        start = int((seasons.first[i] - weather.dates[0]).astype(int))
        assert str(seasons.first[i]) == f"{seasons.year[i] - 1}-10-01"
        np.testing.assert_array_equal(
            seasons.daily[i, :, TMIN], weather.tmin[seasons.site[i], start : start + seasons.length]
        )


def test_written_folder_reads_back(mild: TreeWorld, tmp_path) -> None:
    folder = mild.write(tmp_path / "demo")
    bloom = pd.read_csv(folder / "bloom.csv")
    temperature = pd.read_csv(folder / "temperature.csv", parse_dates=["date"])
    truth = json.loads((folder / "truth.json").read_text())
    assert len(bloom) == len(mild.seasons) and len(temperature) == mild.weather.tmin.size
    seen = bloom[bloom["status"] == "bloomed"]
    dates = pd.to_datetime(seen["date"])
    assert (dates.dt.day_of_year == seen["doy"]).all() and (dates.dt.year == seen["year"]).all()
    i = int(seen.index[0])
    assert mild.seasons.index(mild.seasons.dates(mild.seasons.event))[i] == mild.seasons.event[i]
    assert truth["chill_response"]["shape"] == mild.response.shape
    assert truth["seasons"]["bloom_day"][i] == mild.true_day[i]
    row = temperature.iloc[5000]
    assert row["tmin_c"] == pytest.approx(float(mild.weather.tmin.ravel()[5000]), abs=1e-5)


def test_names_and_numbers_out_of_range_are_refused() -> None:
    for bad in ({"winters": "warm"}, {"forcing": "gdh"}, {"shape": "square"}):
        with pytest.raises(UsageError, match="known") as caught:
            trees(0, **bad)
        assert caught.value.code == "US101"
    for wrong in ({"sites": 0}, {"years": 0}, {"noise": -1.0}, {"softness": -1.0}):
        with pytest.raises(UsageError) as caught:
            trees(0, **wrong)  # type: ignore[arg-type]
        assert caught.value.code == "US104"
    with pytest.raises(UsageError):
        draw_climates(np.random.default_rng(0), 3, "warm")


def figures(dates: np.ndarray, tmin: np.ndarray, tmax: np.ndarray) -> dict[str, float]:
    """Figures of a daily series by which weather is known."""
    good = np.isfinite(tmin) & np.isfinite(tmax)
    frame = pd.DataFrame(
        {"date": pd.to_datetime(dates[good]), "mean": (tmin + tmax)[good] / 2, "range": (tmax - tmin)[good]}
    )
    month = frame["date"].dt.month
    frame["odd"] = frame["mean"] - frame.groupby(frame["date"].dt.day_of_year)["mean"].transform("mean")
    winter, spring = month.isin([12, 1, 2]), month.isin([3, 4])
    year = frame["date"].dt.year + (month == 12)
    odd = frame["odd"].to_numpy()
    return {
        "amplitude": float(frame.groupby(month)["mean"].mean().max() - frame.groupby(month)["mean"].mean().min()) / 2,
        "winter days": float(frame["odd"][winter].std()),
        "memory": float(np.corrcoef(odd[1:], odd[:-1])[0, 1]),
        "winter means": float(frame[winter].groupby(year)["mean"].mean().std()),
        "spring means": float(frame[spring].groupby(year)["mean"].mean().std()),
        "winter range": float(frame["range"][winter].mean()),
        "spring range": float(frame["range"][spring].mean()),
    }


# what Kyoto, Geneva, Basel and Sapporo show over 1981-2010, with some room
LIMITS = {
    "amplitude": (8.0, 14.0),
    "winter days": (2.0, 5.0),
    "memory": (0.4, 0.88),
    "winter means": (0.6, 2.0),
    "spring means": (0.6, 1.8),
    "winter range": (4.0, 10.0),
    "spring range": (6.0, 13.0),
}


def simulated(winters: str, seed: int) -> Weather:
    streams = [np.random.default_rng([seed, k]) for k in range(3)]
    return draw_weather(streams[1:], draw_climates(streams[0], 3, winters), 1981, 2010)


@pytest.mark.parametrize("winters", ["mild", "cold", "mixed"])
def test_simulated_weather_lies_within_what_stations_show(winters: str) -> None:
    for seed in (0, 1):
        weather = simulated(winters, seed)
        assert (weather.tmax > weather.tmin).all()
        found = figures(weather.dates, weather.tmin[0].astype(float), weather.tmax[0].astype(float))
        assert [k for k, (low, high) in LIMITS.items() if not low <= found[k] <= high] == [], found


@pytest.mark.realdata
def test_stations_lie_within_the_same_limits(data_folder) -> None:
    table = pd.read_csv(
        data_folder / "phenology" / "temperature_daily.csv.gz", usecols=["station_id", "date", "tmin_c", "tmax_c"]
    )
    for station in ("JMA47759", "SZ000008440", "MCH_BAS", "JA000047412"):
        rows = table[(table["station_id"] == station) & table["date"].between("1981-01-01", "2010-12-31")]
        assert len(rows) > 9000
        found = figures(rows["date"].to_numpy(), rows["tmin_c"].to_numpy(), rows["tmax_c"].to_numpy())
        assert [k for k, (low, high) in LIMITS.items() if not low <= found[k] <= high] == [], (station, found)
