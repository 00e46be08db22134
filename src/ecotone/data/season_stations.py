"""Which temperature stations a site may use: named in a table, of the same name, the only one, or near enough."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.places import distance_km
from ecotone.data.season_columns import DEGREES, as_names, as_numbers, find, misplaced
from ecotone.errors import InputError

Array = np.ndarray
_NEAREST = 3
_LINK: dict[str, tuple[str, ...]] = {
    "site": ("siteid", "site", "sid", "pepid", "sitename"),
    "station": ("stationid", "station", "stationname", "weatherstation", "id", "name"),
    "distance": ("distancekm", "distance", "dist"),
    "latitude": ("latitude", "lat", "latdd"),
    "longitude": ("longitude", "lon", "long", "lng"),
    "altitude": ("altitude", "alt", "altm", "elevation", "elev", "elevationm"),
}


@dataclass(frozen=True)
class StationTable:
    """A table of the user about stations.

    Attributes:
        pairs: site_id and station_id, the preferred station of a site first; None when the table links nothing.
        places: station_id, latitude, longitude, altitude; None when the table has no coordinates of stations.
        sites: The same with site_id; None when the table has no coordinates of sites. Beside a site they are those of the site.
    """

    pairs: pd.DataFrame | None
    places: pd.DataFrame | None
    sites: pd.DataFrame | None = None

    @property
    def names(self) -> list[str]:
        """Sites that it names."""
        return list(dict.fromkeys(str(v) for t in (self.pairs, self.sites) if t is not None for v in t["site_id"] if v))


def read_stations(source: str | Path | pd.DataFrame) -> StationTable:
    """Reads site-station pairs, or coordinates of stations or sites.

    Raises:
        InputError: PH601 when it holds neither, PH613 for coordinates out of range.
    """
    if isinstance(source, pd.DataFrame):
        data: Any = source
        where, rows = "station table", np.arange(2, len(source) + 2)
    else:
        from ecotone.data.tables import read_table

        info = read_table(source)
        data, where, rows = info.frame, str(source), np.asarray(info.rows)
    names = [str(name) for name in data.columns]
    data = data.set_axis(names, axis=1)
    role = find(names, _LINK, None, where)
    placed = {"latitude", "longitude"} <= set(role)
    if len({"site", "station"} & set(role)) + placed < 2:
        what = f"links no sites to stations; its columns are {', '.join(names[:30]) or 'none'}"
        fix = "give site_id and station_id, or one of them with latitude and longitude"
        raise InputError("PH601", where, what, fix)
    columns = {p: as_numbers(data[role[p]]) for p in ("latitude", "longitude", "altitude") if p in role}
    for place, limit in DEGREES.items():
        bad = np.flatnonzero(np.abs(columns.get(place, np.zeros(0))) > limit)
        if len(bad):
            raise misplaced(place, float(columns[place][bad[0]]), where, int(rows[bad[0]]))
    if "site" not in role:
        station = as_names(data[role["station"]])
        return StationTable(None, pd.DataFrame({"station_id": station, **columns}).drop_duplicates("station_id"))
    site, pairs, sites = as_names(data[role["site"]]), None, None
    if "station" in role:
        pairs = pd.DataFrame({"site_id": site, "station_id": as_names(data[role["station"]])})
        if "distance" in role:
            pairs = pairs.iloc[np.argsort(as_numbers(data[role["distance"]]), kind="stable")]
        pairs = pairs.drop_duplicates()
    if placed:
        sites = pd.DataFrame({"site_id": site, **columns}).drop_duplicates("site_id")
    return StationTable(pairs, None, sites)


def candidates(
    sites: pd.DataFrame,
    stations: pd.DataFrame,
    pairs: pd.DataFrame | None,
    within_km: float | None,
    within_m: float = np.inf,
) -> tuple[Array, list[str]]:
    """Stations of each site, in order of preference.

    Pairs of a table come first; then a station of the site's name; then, without a table, the only station there is; then
    the nearest within the distance.

    Args:
        sites: G rows: site_id, latitude, longitude, altitude.
        stations: T rows: station_id, latitude, longitude, altitude.
        pairs: site_id and station_id, or None.
        within_km: Greatest distance of stations found by coordinates; None to find none.
        within_m: Greatest difference in altitude of such stations, where both altitudes are known.

    Returns:
        (G, K) rows of `stations`, -1 where there is none, and G reasons, "" for sites that have a station.
    """
    index = pd.Index(stations["station_id"])
    own = index.get_indexer(pd.Index(sites["site_id"]))
    lists: list[list[int]] = [[] for _ in range(len(sites))]
    named: set[str] = set()
    if pairs is not None:
        at = index.get_indexer(pd.Index(pairs["station_id"]))
        rows = pd.Index(pairs["site_id"])
        named = set(pairs["site_id"])
        by_site: dict[str, list[int]] = {}
        for site, station in zip(rows, at, strict=True):
            if station >= 0:
                by_site.setdefault(site, []).append(int(station))
        lists = [list(by_site.get(site, [])) for site in sites["site_id"]]
    for i, station in enumerate(own):
        if station >= 0 and int(station) not in lists[i]:
            lists[i].append(int(station))
    nearest, far = _near(sites, stations, lists, within_km, within_m)
    if pairs is None and len(stations) == 1:
        lists = [found or [0] for found in lists]
    reasons = [
        "" if found else _why(str(site), stations, named, near, km)
        for found, site, near, km in zip(lists, sites["site_id"], nearest, far, strict=True)
    ]
    width = max((len(found) for found in lists), default=0)
    table = np.full((len(sites), max(width, 1)), -1, dtype=np.int64)
    for i, found in enumerate(lists):
        table[i, : len(found)] = found
    return table, reasons


def _near(
    sites: pd.DataFrame, stations: pd.DataFrame, lists: list[list[int]], within_km: float | None, within_m: float
) -> tuple[Array, Array]:
    """Adds near stations to sites without any; (G,) the nearest station and its distance, -1 and NaN when unknown."""
    nearest, far = np.full(len(sites), -1), np.full(len(sites), np.nan)
    lat, lon = (stations[c].to_numpy(dtype=float) for c in ("latitude", "longitude"))
    placed = np.flatnonzero(np.isfinite(lat) & np.isfinite(lon))
    if not len(placed):
        return nearest, far
    height = stations["altitude"].to_numpy(dtype=float)
    for i, (y, x, z) in enumerate(sites[["latitude", "longitude", "altitude"]].to_numpy(dtype=float)):
        if lists[i] or not np.isfinite(y + x):
            continue
        km = distance_km(y, x, lat[placed], lon[placed])
        order = np.argsort(km, kind="stable")
        nearest[i], far[i] = placed[order[0]], km[order[0]]
        if within_km is not None:
            good = (km[order] <= within_km) & ~(np.abs(height[placed[order]] - z) > within_m)
            lists[i] = [int(k) for k in placed[order[good]][:_NEAREST]]
    return nearest, far


def _why(site: str, stations: pd.DataFrame, named: set[str], nearest: int, km: float) -> str:
    if site in named:
        return "the station named for it is not in the temperature table"
    if nearest >= 0:
        name = stations["station_id"].iloc[nearest]
        return f"no station of this name; the nearest is {name}, {km:.1f} km away (--within-km)"
    return "no station of this name, and no coordinates to find one by"
