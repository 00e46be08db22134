"""The doctor's look at bloom, temperature and station tables: what they are, what is wrong, and whether they fit together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.data.doctor_findings import Finding, problem
from ecotone.data.occurrence_columns import plain
from ecotone.data.season_columns import BLOOM, TEMPERATURE, find
from ecotone.errors import CODES, EcotoneError, EcotoneWarning

_VAGUE = {"day", "tag", "jd", "bloom", "pheno", "date", "datum", "eventdate", "observationdate"}
_FIXES = {
    "PH601": "name the site in every row",
    "PH604": "mend or drop these rows; dates are safest as 2015-04-01",
    "PH606": "mend them, or pass --duplicates keep, median, first or mask",
    "PH607": "nothing needed, they count once",
    "PH612": "pass --stations TABLE with site_id and station_id, or --within-km 20",
    "PH613": "give degrees, latitude from -90 to 90",
    "PH614": "fill the gaps from another station, or leave these seasons out",
    "PH615": "check the day; --season-start MM-DD and --season-length DAYS move the season",
    "PH618": "leave out such rows, or write status never where the tree did not bloom",
}


def recognise(names: Sequence[str]) -> str:
    """Kind of a table by its column names: "bloom", "temperature", "stations" or ""."""
    from ecotone.data.temperature_tables import kind_of

    columns = [str(name) for name in names]
    spelled = {plain(name) for name in columns}
    role = find(columns, BLOOM, None, "")
    day = {plain(role[r]) for r in ("doy", "date") if r in role}
    dated = "year" in role or "date" in role
    visits = "prior_no" in role or "phenophasestatus" in spelled
    few = len(columns) <= 4 and "doy" in role and not set(find(columns, TEMPERATURE, None, "")) & {"tmin", "tmax"}
    if dated and day and (visits or "phenophase" in role or bool(day - _VAGUE) or few) and not _temperatures(columns):
        return "bloom"
    if kind_of(columns) and not {"species", "scientificname"} & spelled:
        return "temperature"
    if dated or "stationid" not in spelled:
        return ""
    return "stations" if "siteid" in spelled or {"latitude", "longitude"} <= set(role) else ""


def _temperatures(columns: list[str]) -> bool:
    return bool({"tmin", "tmax", "tmean"} & set(find(columns, TEMPERATURE, None, "")))


def header(path: Path) -> tuple[str, ...]:
    """Column names of a text or Parquet table; none when it cannot be read."""
    from ecotone.data.point_files import is_vector_file
    from ecotone.data.tables import read_table

    try:
        with path.open("rb") as handle:
            if is_vector_file(path, handle.read(1 << 12)):
                return ()
        return read_table(path, columns=lambda names: list(names[:1])).names
    except (EcotoneError, OSError):
        return ()


def examine_one(path: Path, kind: str) -> list[Finding]:
    """Findings about one table of a known kind."""
    try:
        return {"bloom": _bloom, "temperature": _temperature, "stations": _stations}[kind](path)
    except EcotoneError as error:
        return [problem(path, error)]


def examine_together(bloom: Path, temperature: Path, stations: Sequence[Path]) -> list[Finding]:
    """Whether the records of a bloom table find temperatures."""
    from ecotone.data.seasons_build import build_seasons

    try:
        _, report = build_seasons(bloom, temperature, stations=list(stations))
    except EcotoneError as error:
        return [problem(f"{bloom} with {temperature}", error)]
    where = f"{bloom} with {temperature}"
    found = [Finding("ok", where, report.summary())]
    for row in report.reasons().to_dict("records"):
        code = str(row["code"])
        if code in ("PH612", "PH614", "PH615", "PH606"):
            found.append(Finding("warning", where, f"{row['records']} records: {row['example']}", _FIXES[code], code))
    return found + [_heard(where, w) for w in report.warnings if w.code in ("PH613", "PH617")]


def _heard(where: object, warning: EcotoneWarning) -> Finding:
    return Finding("warning", str(where), warning.what, warning.fix, warning.code)


def _named(role: Mapping[str, str]) -> str:
    return "columns " + ", ".join(f"{name}: {column}" for name, column in role.items())


def _bloom(path: Path) -> list[Finding]:
    from ecotone.data.bloom_tables import read_bloom
    from ecotone.data.tables import read_table

    table = read_bloom(path)
    names = list(read_table(path, columns=lambda names: list(names[:1])).names)
    frame: Any = table.frame
    good = frame[frame["code"] == ""]
    text = f"bloom table: {len(good)} usable records of {good['site_id'].nunique()} sites"
    if len(good):
        year = np.where(good["year"].isna(), good["date"].dt.year, good["year"])
        text += f", {np.nanmin(year):.0f} to {np.nanmax(year):.0f}"
    found = [Finding("ok" if len(good) else "error", str(path), f"{text}; {_named(find(names, BLOOM, None, path))}")]
    found += [Finding("note", str(path), note) for note in table.notes]
    for code, rows in frame[frame["code"] != ""].groupby("code", sort=True):
        first = rows.iloc[0]
        text = f"{len(rows)} records set aside ({CODES[str(code)].split(' (')[0]}), such as row {first['row']}: {first['reason']}"
        found.append(Finding("warning", str(path), text, _FIXES.get(str(code), "see the report"), str(code)))
    return found + _twice(path, table)


def _twice(path: Path, table: object) -> list[Finding]:
    from ecotone.data.bloom_tables import BloomTable, with_places
    from ecotone.data.season_records import place, settle_duplicates, sites_of
    from ecotone.data.seasons import Calendar

    if not isinstance(table, BloomTable):
        return []
    table = with_places(table, None)
    sites, site = sites_of(table.frame)
    records = place(table, sites["latitude"].to_numpy(dtype=float)[site], Calendar())
    late: Any = records[records["code"] == "PH615"]
    found = []
    if len(late):
        text = (
            f"{len(late)} records lie outside the season, such as row {late['row'].iloc[0]}: {late['reason'].iloc[0]}"
        )
        found.append(Finding("warning", str(path), text, _FIXES["PH615"], "PH615"))
    try:
        _, warned = settle_duplicates(records, site, str(path), "error")
    except EcotoneError as error:
        return [*found, problem(path, error)]
    return found + [_heard(path, w) for w in warned]


def _temperature(path: Path) -> list[Finding]:
    from ecotone.data.tables import read_table
    from ecotone.data.temperature_tables import read_temperature

    series, warned = read_temperature(path)
    names = list(read_table(path, columns=lambda names: list(names[:1])).names)
    mean = np.where(np.isnan(series.values[:, 2]), series.values[:, :2].mean(axis=1), series.values[:, 2])
    missing = np.isnan(mean)
    low, middle, high = np.nanpercentile(mean, [1, 50, 99]) if not missing.all() else (np.nan,) * 3
    text = f"temperature table ({series.source}): {len(mean) - missing.sum()} days of {len(series.stations)} stations, "
    text += f"{series.first.min()} to {series.last.max()}, mean temperatures {low:.1f} to {high:.1f}, median {middle:.1f} degC"
    role = find(names, TEMPERATURE, None, path)
    found = [Finding("ok", str(path), f"{text}; {_named(role)}")]
    if missing.any():
        share = np.bincount(series.station, weights=missing) / np.diff(series.offset)
        worst = int(share.argmax())
        name = series.stations["station_id"].iloc[worst] or "the station"
        what = (
            f"{missing.mean():.1%} of the days between first and last are missing; most at {name}, {share[worst]:.1%}"
        )
        found.append(Finding("note", str(path), what, "seasons with long gaps before bloom are left out"))
    return found + [_heard(path, w) for w in warned]


def _stations(path: Path) -> list[Finding]:
    from ecotone.data.season_stations import read_stations

    table = read_stations(path)
    if table.pairs is None:
        what = "stations" if table.sites is None else f"{len(table.sites)} sites"
        return [Finding("ok", str(path), f"station table: coordinates of {what}")]
    text = f"links {table.pairs['site_id'].nunique()} sites to {table.pairs['station_id'].nunique()} stations"
    return [Finding("ok", str(path), f"station table: {text}")]
