"""From bloom records and daily temperatures to seasons, with a report that says what became of every record.

Each record takes the best station its site may use in that year. Gaps of a few days are bridged by straight lines; a
season with longer gaps, or too many missing days before bloom, is left out and listed. Missing days after bloom are
replaced by what is usual at the station, so that the tensor is whole; `known` says which days were measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.bloom_tables import BloomTable, bloom_table, read_bloom, season_of, with_places
from ecotone.data.daily_series import DailySeries, Filled
from ecotone.data.season_choice import Judged, Wanted, choose, unlabelled
from ecotone.data.season_records import Duplicates, place, settle_duplicates, sites_of
from ecotone.data.season_stations import StationTable, candidates, read_stations
from ecotone.data.seasons import Calendar, Seasons, Status
from ecotone.data.seasons_report import SeasonReport
from ecotone.data.temperature_tables import read_temperature, temperature_table
from ecotone.errors import EcotoneWarning, InputError, listed

Array = np.ndarray
_THIN = 2


def build_seasons(
    bloom: BloomTable | pd.DataFrame | str | Path | None,
    temperature: DailySeries | pd.DataFrame | str | Path,
    calendar: Calendar | None = None,
    *,
    stations: pd.DataFrame | str | Path | Sequence[pd.DataFrame | str | Path] | None = None,
    within_km: float | None = None,
    within_m: float = 150.0,
    max_missing: float = 0.03,
    max_gap: int = 5,
    years: tuple[int, int] | None = None,
    all_years: bool = False,
    duplicates: Duplicates = "error",
    latitude: float | None = None,
    bloom_options: Mapping[str, Any] | None = None,
    temperature_options: Mapping[str, Any] | None = None,
) -> tuple[Seasons, SeasonReport]:
    """Seasons of bloom records with temperatures.

    Args:
        bloom: Records, a data frame, or a file; None for the sites that `stations` names, else every station, for `all_years`.
        temperature: A series, a data frame, or a file.
        calendar: When seasons begin and how long they are.
        stations: Tables that link site_id to station_id (several rows per site are tried by quality, then order), or give
            coordinates of stations or sites.
        within_km: Greatest distance of a station found by coordinates; None to find none.
        within_m: Greatest difference in altitude of such a station, metres, where both altitudes are known.
        max_missing: Greatest share of days before bloom without a measured temperature.
        max_gap: Longest gap in days before bloom.
        years: First and last bloom year wanted, with a record or without.
        all_years: Also seasons without a record, with status UNKNOWN, wherever there are temperatures.
        duplicates: What happens to contradicting records of one site and year; see `settle_duplicates`.
        latitude: Degrees, for sites that state none.
        bloom_options: Options of `bloom_table`.
        temperature_options: Options of `temperature_table`.

    Returns:
        Seasons sorted by site and year, and the report. `extra` of the seasons holds (N,) station (name), row (of the bloom
        table, -1 without a record), last_no (day index of the last visit without bloom, NaN when unknown) and individual.

    Raises:
        InputError: As the readers; PH606 contradicting records, PH616 when no season is left.
    """
    calendar = calendar or Calendar()
    series, warned, where_t = _series(temperature, dict(temperature_options or {}))
    pairs: Any = None
    tables: list[StationTable] = []
    for source in [stations] if isinstance(stations, pd.DataFrame | str | Path) else list(stations or []):
        found = read_stations(source)
        if found.pairs is not None:  # the last table that names a site decides
            before = [] if pairs is None else [pairs[~pairs["site_id"].isin(found.pairs["site_id"])]]
            pairs = pd.concat([*before, found.pairs], ignore_index=True)
        series = _placed(series, found)
        tables.append(found)
    table = _bloom(bloom, series, tables, {"calendar": calendar} | dict(bloom_options or {}))
    table = with_places(_at_home(table, tables), latitude)
    warned += table.warnings
    if years is not None:
        table = _within(table, years, calendar)
    sites, site = sites_of(table.frame)
    options, why = candidates(sites.assign(site_id=sites["name"]), series.stations, pairs, within_km, within_m)
    _borrow_places(sites, series, options)
    if (far := sites["latitude"].isna().to_numpy()).any():
        some = listed([name for name in sites["name"][far] if name])
        what = f"no latitude of {some} ({far.sum()} of {len(sites)} sites), taken as northern"
        warned.append(
            EcotoneWarning(
                "PH613", table.where, what, "add a latitude column, give it with --stations, or pass --latitude"
            )
        )
    records = place(table, sites["latitude"].to_numpy(dtype=float)[site], calendar)
    records, more = settle_duplicates(records, site, table.where, duplicates)
    warned += more
    filled = Filled.of(series, max_gap)
    wanted = Wanted.of_records(records, site)
    added = unlabelled(records, site, sites, filled, options, calendar) if all_years else None
    if added is not None and years is not None:
        added = added.take((added.year >= years[0]) & (added.year <= years[1]))
    if added is not None:
        wanted = wanted.join(added)
    judged = choose(wanted, options, filled, calendar.length, max_missing, max_gap)
    ok, reasons = _mask_gaps(records, wanted, judged, site, why, series, max_missing, max_gap)
    lost = _lost(wanted, judged, reasons, sites, filled)
    if not ok.any():
        raise _nothing(records, lost, table.where, where_t)
    order = np.flatnonzero(ok)
    order = order[np.lexsort((wanted.row[order], wanted.year[order], wanted.site[order]))]
    seasons = _seasons(wanted, judged, order, filled, sites, records, calendar)
    report = replace(_report(records, sites, site, wanted, judged, order, series, warned, table.notes), lost=lost)
    return seasons, replace(report, records=report.records.iloc[:0]) if bloom is None else report


# ------------------------------------------------------------------------------------------------ reading
def _series(source: Any, options: dict[str, Any]) -> tuple[DailySeries, list[EcotoneWarning], str]:
    if isinstance(source, DailySeries):
        return source, [], "temperature table"
    if isinstance(source, pd.DataFrame):
        series, warned = temperature_table(source, **options)
        return series, warned, options.get("where", "temperature table")
    series, warned = read_temperature(source, **options)
    return series, warned, str(source)


def _bloom(source: Any, series: DailySeries, tables: Sequence[StationTable], options: dict[str, Any]) -> BloomTable:
    if isinstance(source, BloomTable):
        return source
    if isinstance(source, pd.DataFrame):
        return bloom_table(source, **options)
    if source is not None:
        return read_bloom(source, **options)
    # no records: sites that the tables name, else every station, with one unusable record so that it is known
    if names := list(dict.fromkeys(name for table in tables for name in table.names)):
        return bloom_table(pd.DataFrame({"site_id": names, "year": np.nan, "doy": np.nan}), where="stations")
    frame = series.stations.rename(columns={"station_id": "site_id"}).replace({"site_id": {"": "site"}})
    frame = frame.assign(year=np.nan, doy=np.nan)
    chosen: Any = frame[["site_id", "latitude", "longitude", "altitude", "year", "doy"]]
    return bloom_table(chosen, where="stations")


def _within(table: BloomTable, years: tuple[int, int], calendar: Calendar) -> BloomTable:
    frame: Any = table.frame
    dated = season_of(frame["date"].to_numpy(), frame["latitude"].to_numpy(dtype=float), calendar)
    year = np.where(np.isnan(frame["year"]), dated, frame["year"])
    with np.errstate(invalid="ignore"):
        outside = (year < years[0]) | (year > years[1])
    return BloomTable(frame[~outside].reset_index(drop=True), table.where, table.notes, table.warnings)


def _placed(series: DailySeries, found: StationTable) -> DailySeries:
    """The series with coordinates of a station table where it has none."""
    if found.places is None:
        return series
    places = found.places.set_index("station_id").reindex(series.stations["station_id"])
    stations = series.stations.copy()
    for column in ("latitude", "longitude", "altitude"):
        if column in places:
            stations[column] = stations[column].fillna(pd.Series(places[column].to_numpy()))
    return replace(series, stations=stations)


def _at_home(table: BloomTable, tables: Sequence[StationTable]) -> BloomTable:
    """Records with coordinates of a table of sites where they state none."""
    frame = table.frame.copy()
    for found in tables:
        if found.sites is None:
            continue
        home = found.sites.set_index("site_id").reindex(frame["site_id"])
        for column in home.columns:
            frame[column] = frame[column].fillna(pd.Series(home[column].to_numpy(), index=frame.index))
    return replace(table, frame=frame)


def _borrow_places(sites: Any, series: DailySeries, options: Array) -> None:
    """Sites without coordinates get those of their first station."""
    first = options[:, 0]
    for column in ("latitude", "longitude", "altitude"):
        value = series.stations[column].to_numpy(dtype=float)[np.maximum(first, 0)]
        own = sites[column].to_numpy(dtype=float)
        sites[column] = np.where(np.isnan(own) & (first >= 0), value, own)


# ------------------------------------------------------------------------------------------------ masks
def _mask_gaps(
    records: Any,
    wanted: Wanted,
    judged: Judged,
    site: Array,
    why: list[str],
    series: DailySeries,
    max_missing: float,
    max_gap: int,
) -> tuple[Array, Array]:
    """(N,) which seasons are kept, and (N,) why not, in words; writes codes and reasons into the records as well."""
    days = wanted.upto + 1
    none = judged.station < 0
    nothing = ~none & (judged.missing >= days)
    many = ~none & ~nothing & (judged.missing > max_missing * days)
    long = ~none & ~nothing & ~many & (judged.gap > max_gap)
    codes, told = (records[name].to_numpy(dtype=object, copy=True) for name in ("code", "reason"))
    names = series.stations["station_id"].to_numpy()
    reasons = np.full(len(days), "", dtype=object)
    for i in np.flatnonzero(none | nothing | many | long):
        r, station = wanted.row[i], judged.station[i]
        at = f"station {names[station]}" if not none[i] and names[station] else "the station"
        before = "before bloom" if r >= 0 else f"from {wanted.first[i]} on"
        if none[i]:
            reasons[i] = why[wanted.site[i]]
        elif nothing[i]:
            span = f"{series.first[station]} to {series.last[station]}"
            reasons[i] = f"{at} ({span}) has no temperatures in this season"
        elif many[i]:
            share = judged.missing[i] / days[i]
            reasons[i] = f"{judged.missing[i]} of {days[i]} days {before} are missing at {at} ({share:.1%})"
        else:
            reasons[i] = f"a gap of {judged.gap[i]} days {before} at {at}"
        if r >= 0:
            codes[r], told[r] = "PH612" if none[i] else "PH614", reasons[i]
    records["code"], records["reason"] = codes, told
    return ~(none | nothing | many | long), reasons


def _lost(wanted: Wanted, judged: Judged, reasons: Array, sites: Any, filled: Filled) -> pd.DataFrame:
    """Seasons left out: site_id, year, record (whether there is one), reason.

    A season without a record that began before the table did is told only where it is the last one of its site.
    """
    first, _ = filled.span()
    begins = first[np.maximum(judged.station, 0)]
    latest = np.full(len(sites), np.iinfo(np.int64).min)
    np.maximum.at(latest, wanted.site, wanted.year)
    told = (wanted.row >= 0) | (wanted.first >= begins) | (wanted.year == latest[wanted.site])
    some = np.flatnonzero((reasons != "") & told)
    name = sites["site_id"].to_numpy(dtype=object)[wanted.site[some]]
    return pd.DataFrame(
        {"site_id": name, "year": wanted.year[some], "record": wanted.row[some] >= 0, "reason": reasons[some]}
    )


def _nothing(records: Any, lost: pd.DataFrame, where: str, where_t: str) -> InputError:
    if len(lost) and not lost["record"].to_numpy(dtype=bool).any():
        one = lost.iloc[0]
        what = f"no season has usable temperatures; {one['site_id']} {one['year']}: {one['reason']}"
        return InputError("PH616", where_t, what, "give the days from the start of the season on, or raise --max-gap")
    left = records[records["code"] != ""]
    code = left["code"].value_counts().index[0] if len(left) else "PH612"
    example = left[left["code"] == code].iloc[0] if len(left) else None
    what = f"none of {len(records)} records has usable temperatures in {where_t}"
    if example is not None:
        what += f"; most often: row {example['row']} {example['reason']} [{code}]"
    return InputError("PH616", where, what, "`ecotone doctor` on both tables says what is wrong with them")


# ------------------------------------------------------------------------------------------------ results
def _seasons(
    wanted: Wanted,
    judged: Judged,
    order: Array,
    filled: Filled,
    sites: Any,
    records: Any,
    calendar: Calendar,
) -> Seasons:
    series = filled.series
    station, first, row = judged.station[order], wanted.first[order], wanted.row[order]
    values, known, _ = filled.cut(station, first, calendar.length)
    has = row >= 0
    status = np.where(has, records["status"].to_numpy()[row], Status.UNKNOWN).astype(np.int8)
    event = np.where(has, records["event"].to_numpy(dtype=float)[row], np.nan)
    last_no = records["last_no"].to_numpy().astype("datetime64[D]")[row]
    last_no = np.where(has & ~np.isnat(last_no), (last_no - first).astype(float), np.nan)
    words = np.array([*series.quality_names, ""], dtype=object)
    names = series.stations["station_id"].to_numpy(dtype=object)
    site = wanted.site[order]
    used = pd.Series(names[station]).groupby(site).agg(lambda s: s.value_counts().index[0])
    table: Any = sites.drop(columns="name").assign(
        station=used.reindex(range(len(sites)), fill_value="").to_numpy(dtype=object)
    )
    columns = ["site_id", "latitude", "longitude", "altitude", "country", "group", "station"]
    return Seasons(
        daily=np.ascontiguousarray(values[..., :3]),
        known=known,
        year=wanted.year[order],
        first=first,
        site=site,
        sites=table[columns],
        status=status,
        event=event,
        quality=words[judged.quality[order]],
        hours=np.ascontiguousarray(values[..., 3:]) if series.hours is not None else None,
        source=series.source,
        extra={
            "station": names[station],
            "row": np.where(has, records["row"].to_numpy()[row], -1),
            "last_no": last_no,
            "individual": np.where(has, records["individual"].to_numpy(dtype=object)[row], ""),
        },
    )


def _report(
    records: Any,
    sites: Any,
    site: Array,
    wanted: Wanted,
    judged: Judged,
    order: Array,
    series: DailySeries,
    warned: list[EcotoneWarning],
    notes: tuple[str, ...],
) -> SeasonReport:
    n = len(records)
    names = np.append(series.stations["station_id"].to_numpy(dtype=object), "")
    words = np.array([*series.quality_names, ""], dtype=object)
    season, station, missing, gap, days, quality = (
        np.full(n, v, dtype=np.float64) for v in (-1, -1, np.nan, np.nan, np.nan, -1)
    )
    has = wanted.row >= 0
    row = wanted.row[has]
    found = judged.station[has] >= 0
    station[row], quality[row] = judged.station[has], judged.quality[has]
    missing[row] = np.where(found, judged.missing[has], np.nan)
    gap[row] = np.where(found, judged.gap[has], np.nan)
    days[row] = wanted.upto[has] + 1
    kept = wanted.row[order]
    season[kept[kept >= 0]] = np.flatnonzero(kept >= 0)
    out: Any = records[["row", "site_id", "group", "year", "date", "status"]].copy()
    out["site_id"] = sites["site_id"].to_numpy(dtype=object)[site]
    out["station"], out["quality"] = names[station.astype(int)], words[quality.astype(int)]
    out["kept"], out["season"] = season >= 0, season.astype(np.int64)
    out["code"], out["reason"] = records["code"], records["reason"]
    out["missing"], out["longest_gap"], out["days"] = missing, gap, days
    by: Any = out.assign(site=site)
    good = by[by["kept"]].groupby("site")
    frame: Any = sites[["site_id", "group"]].copy()
    every = range(len(sites))
    frame["station"] = good["station"].agg(lambda s: s.value_counts().index[0]).reindex(every, fill_value="").to_numpy()
    frame["records"] = by.groupby("site").size().reindex(every, fill_value=0).to_numpy()
    frame["kept"] = good.size().reindex(every, fill_value=0).to_numpy()
    frame["first_year"] = good["year"].min().reindex(every).to_numpy()
    frame["last_year"] = good["year"].max().reindex(every).to_numpy()
    frame["missing"] = (good["missing"].sum() / good["days"].sum()).reindex(every).to_numpy()
    frame["longest_gap"] = good["longest_gap"].max().reindex(every).to_numpy()
    frame["thin"] = (frame["kept"] > 0) & (frame["kept"] < _THIN)
    if frame["thin"].any():
        some = list(frame["site_id"][frame["thin"]])
        listed = f"{', '.join(map(str, some[:5]))}{', ...' if len(some) > 5 else ''}"
        what = f"{len(some)} sites have a single season with temperatures: {listed}"
        warned = [*warned, EcotoneWarning("PH617", "seasons", what, "expect wide intervals there, or leave them out")]
    return SeasonReport(out, frame, int((kept < 0).sum()), tuple(warned), notes)
