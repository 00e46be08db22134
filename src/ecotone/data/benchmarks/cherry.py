"""Cherry blossom of Japan and Switzerland with station temperatures: the benchmark of bloom models.

Bloom days are those of public providers (JMA, MeteoSwiss and others), temperatures those of nearby stations or of a
reanalysis; which temperatures a season rests on, and how far they can be trusted, is said by a table beside them. None of
it travels with the package: see `ecotone data get cherry`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.daily_series import DailySeries, Filled, from_rows
from ecotone.data.seasons import Calendar, Seasons, Status
from ecotone.data.seasons_build import build_seasons
from ecotone.errors import InputError, UsageError, suggest

Array = np.ndarray
SEASONS, BLOOM, TEMPERATURE, STATIONS = "usable_seasons.csv", "bloom.csv", "temperature_daily.csv.gz", "stations.csv"
MONTHLY = "japan_monthly.csv"
EVENTS = ("full_bloom", "first_flower")
SOUTH_ISLANDS = ("Iriomotejima", "Ishigakijima", "Kumejima", "Miyakojima", "Nago", "Naha", "Naze", "Yonagunijima")
_SOURCE = "see `ecotone data get cherry`"
_SAME_PLACE_KM = 2.0


def read_cherry(
    folder: str | Path,
    qualities: Sequence[str] | None = ("observed",),
    least_seasons: int = 8,
    *,
    calendar: Calendar | None = None,
) -> Seasons:
    """The seasons of the benchmark: site, year, station and quality exactly as its table lists them.

    Args:
        folder: Where the files lie.
        qualities: Qualities of the temperatures that count; None for all.
        least_seasons: Sites with fewer seasons, counted after `qualities`, are left out.
        calendar: When a season begins; 1 October by default.

    Returns:
        Seasons sorted by site and year. `sites` has `station` (the one most seasons of the site use) and `block`: sites
        that share a station, or whose stations stand within 2 km, have the same number and must be left out together.
        `extra["station"]` is (N,) the station of each season.

    Raises:
        InputError: IO101 a file is missing, OC201 a column is missing, PH616 when no season is left.
    """
    folder, calendar = Path(folder), calendar or Calendar()
    table = _csv(folder / SEASONS, ("country", "site_id", "year", "doy", "station_id", "quality"))
    if qualities is not None:
        table = table[table["quality"].isin(list(qualities))]
    table = table[table.groupby("site_id")["year"].transform("size") >= least_seasons]
    if table.empty:
        what = f"no site has {least_seasons} seasons of quality {', '.join(qualities) if qualities else 'any'}"
        raise InputError("PH616", folder / SEASONS, what, "ask for fewer seasons or other qualities")
    table = table.sort_values(["site_id", "year"], kind="stable").reset_index(drop=True)
    series = read_series(folder, table["station_id"].unique())
    return _seasons(table, series, _sites(folder, table, series), calendar)


def read_series(folder: str | Path, stations: Sequence[str] | Array | None = None) -> DailySeries:
    """Temperatures of the benchmark's stations; None for all of them."""
    path = Path(folder) / TEMPERATURE
    table = _csv(path, ("station_id", "date", "tmin_c", "tmax_c", "tmean_c", "quality"))
    if stations is not None:
        table = table[table["station_id"].isin(list(stations))]
    codes, names = pd.factorize(table["station_id"], sort=True)
    where = _csv(Path(folder) / STATIONS, ("station_id", "lat", "lon", "alt_m"))
    where = where.drop_duplicates("station_id").set_index("station_id").reindex(names).reset_index(names="station_id")
    where = where.rename(columns={"lat": "latitude", "lon": "longitude", "alt_m": "altitude"})
    values = table[["tmin_c", "tmax_c", "tmean_c"]].to_numpy(dtype=np.float32)
    days = table["date"].to_numpy().astype("datetime64[D]")
    quality = table["quality"].to_numpy(dtype=object)
    return from_rows(codes, np.asarray(names), days, values, quality, stations=where)


def read_monthly(
    folder: str | Path, event: str = "full_bloom", least_seasons: int = 1, *, calendar: Calendar | None = None
) -> Seasons:
    """A hundred Japanese stations with monthly mean temperatures, October to June, and days drawn through them.

    Daily values keep every monthly mean, but hold no weather of single days, so results are labelled `source="monthly"`.

    Args:
        folder: Where japan_monthly.csv lies.
        event: "full_bloom" or "first_flower".
        least_seasons: Stations with fewer records of the event are left out.
        calendar: When a season begins; 1 October by default.

    Returns:
        Seasons whose sites are station names; `group` is "south islands" for the stations of Amami and Okinawa, where
        another cherry is observed that blooms in January, and "cherry" for the others.

    Raises:
        UsageError: US101 for another event.
        InputError: IO101 the file is missing, OC201 a column is missing, PH616 when no season is left.
    """
    from ecotone.data.temperature_tables import temperature_table

    if event not in EVENTS:
        raise UsageError("US101", event, "no such event", suggest(event, EVENTS))
    path = Path(folder) / MONTHLY
    table = _csv(path, ("station_name", "lat", "lon", "year", f"{event}_doy", "t_oct_prev", "t_jun"))
    months = [name for name in table.columns if name.startswith("t_")]
    plain = table[["station_name", "lat", "lon", "year", *months]]
    series, _ = temperature_table(plain, where=str(path), columns={"station": "station_name"})
    bloom = table[["station_name", "lat", "lon", "year"]].rename(columns={"station_name": "site_id"})
    bloom = bloom.assign(doy=table[f"{event}_doy"], group="cherry", country="Japan").dropna(subset=["doy"])
    bloom["group"] = np.where(bloom["site_id"].isin(SOUTH_ISLANDS), "south islands", "cherry")
    bloom = bloom[bloom.groupby("site_id")["year"].transform("size") >= least_seasons]
    return build_seasons(bloom, series, calendar, bloom_options={"where": str(path)})[0]


def _seasons(table: Any, series: DailySeries, sites: Any, calendar: Calendar) -> Seasons:
    site = pd.Index(sites["site_id"]).get_indexer(pd.Index(table["site_id"]))
    station = pd.Index(series.stations["station_id"]).get_indexer(pd.Index(table["station_id"]))
    if (station < 0).any():
        lost = sorted(set(table["station_id"][station < 0]))
        raise InputError("IO102", TEMPERATURE, f"has no days of {', '.join(lost[:5])}", _SOURCE)
    year = table["year"].to_numpy(dtype=np.int64)
    first = calendar.first_day(year, sites["latitude"].to_numpy(dtype=float)[site])
    daily, known, _ = Filled.of(series, max_gap=10).cut(station, first, calendar.length)
    bloom = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]") + (table["doy"].to_numpy(dtype=np.int64) - 1)
    return Seasons(
        daily=np.ascontiguousarray(daily),
        known=known,
        year=year,
        first=first,
        site=site,
        sites=sites,
        status=np.full(len(table), Status.OBSERVED, dtype=np.int8),
        event=(bloom - first).astype(float),
        quality=table["quality"].to_numpy(dtype=object),
        source="daily",
        extra={"station": table["station_id"].to_numpy(dtype=object)},
    )


def _sites(folder: Path, table: Any, series: DailySeries) -> pd.DataFrame:
    bloom = _csv(folder / BLOOM, ("site_id", "lat", "lon", "alt_m", "species_or_variety"))
    bloom = bloom.drop_duplicates("site_id").set_index("site_id")
    by_site = table.groupby("site_id", sort=True)
    names = pd.Index(by_site.size().index)
    place = bloom.reindex(names)
    if place["lat"].isna().any():
        lost = list(names[place["lat"].isna()])
        raise InputError("IO102", folder / BLOOM, f"has no coordinates of {', '.join(lost[:5])}", _SOURCE)
    used = by_site["station_id"].agg(lambda s: s.value_counts().index[0])
    return pd.DataFrame(
        {
            "site_id": names.to_numpy(dtype=object),
            "latitude": place["lat"].to_numpy(dtype=float),
            "longitude": place["lon"].to_numpy(dtype=float),
            "altitude": place["alt_m"].to_numpy(dtype=float),
            "country": by_site["country"].first().to_numpy(dtype=object),
            "group": place["species_or_variety"].fillna("").to_numpy(dtype=object),
            "station": used.to_numpy(dtype=object),
            "block": station_blocks(table["site_id"], table["station_id"], series.stations, names),
        }
    )


def station_blocks(site: pd.Series, station: pd.Series, stations: pd.DataFrame, names: pd.Index) -> Array:
    """(G,) numbers of groups of sites whose temperatures come from the same places.

    Args:
        site: (N,) site of each season.
        station: (N,) station of each season.
        stations: station_id, latitude and longitude.
        names: G sites.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    from ecotone.data.places import distance_km

    pairs = pd.DataFrame({"site": site, "station": station}).drop_duplicates()
    s = names.get_indexer(pd.Index(pairs["site"]))
    t = pd.Index(stations["station_id"]).get_indexer(pd.Index(pairs["station"])) + len(names)
    lat, lon = stations["latitude"].to_numpy(dtype=float), stations["longitude"].to_numpy(dtype=float)
    near = distance_km(lat[:, None], lon[:, None], lat, lon) < _SAME_PLACE_KM
    a, b = np.nonzero(near)
    rows, columns = np.r_[s, a + len(names)], np.r_[t, b + len(names)]
    size = len(names) + len(stations)
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    _, label = connected_components(graph, directed=False)
    return np.unique(label[: len(names)], return_inverse=True)[1]


def _csv(path: Path, columns: Sequence[str]) -> Any:
    if not path.is_file():
        raise InputError("IO101", path, "not found", _SOURCE)
    from ecotone.data.tables import read_table

    frame = read_table(path).frame
    if lacking := [name for name in columns if name not in frame.columns]:
        raise InputError("OC201", path, f"no column {', '.join(lacking)}", _SOURCE)
    return frame
