"""Which column of a bloom or temperature table is what, in any usual spelling; and days written in any usual way."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.occurrence_columns import plain
from ecotone.errors import InputError

Array = np.ndarray
DEGREES = {"latitude": 90.0, "longitude": 360.0}
"""Largest absolute values."""
Aliases = Mapping[str, tuple[str, ...]]
_PLACE: dict[str, tuple[str, ...]] = {
    "latitude": ("latitude", "lat", "latdd", "decimallatitude", "latitud", "breite"),
    "longitude": ("longitude", "lon", "long", "lng", "londd", "decimallongitude", "longitud"),
    "altitude": (
        *("altitude", "alt", "altm", "altitudem", "elevation", "elev", "elevationm", "elevationinmeters", "elevm"),
        *("height", "heightm"),
    ),
    "country": ("country", "countryname", "countrycode", "land", "pays"),
}
BLOOM: dict[str, tuple[str, ...]] = {
    "site": (
        *("siteid", "site", "sid", "pepid", "pep725id", "stationid", "station", "locationid", "location", "sitename"),
        *("stationname", "place", "orchard", "plot", "standort", "id"),
    ),
    "year": ("year", "yr", "jahr", "annee", "bloomyear", "firstyesyear", "meanfirstyesyear", "season"),
    "doy": (
        *("doy", "dayofyear", "bloomdoy", "firstyesdoy", "meanfirstyesdoy", "transitiondates", "transitiondate"),
        *("julianday", "yday", "jday", "jd", "fullbloomdoy", "firstflowerdoy", "pheno", "day", "bloom", "tag"),
    ),
    "date": (
        "date",
        "bloomdate",
        "observationdate",
        "eventdate",
        "datum",
        "fullbloomdate",
        "datebloom",
        "floweringdate",
    ),
    **_PLACE,
    "group": ("group", "variety", "cultivar", "speciesorvariety", "varietyname", "sorte", "clone", "provenance"),
    "species": ("scientificname", "speciesname", "species", "commonname", "taxon", "speciesid"),
    "genus": ("genus",),
    "phenophase": (
        *("phenophasedescription", "phenophase", "phenophasename", "bbch", "phaseid", "phase", "phenophaseid"),
        *("stage", "phenologicalphase"),
    ),
    "phenophase_id": ("phenophaseid",),
    "status": ("phenophasestatus", "status", "bloomed", "bloomstatus", "flowered", "censored", "censoring"),
    "individual": ("individualid", "individual", "treeid", "tree", "plantid", "plant"),
    "prior_no": ("numdayssincepriorno", "meannumdayssincepriorno", "dayssincepriorno"),
    "prior_no_doy": ("priornodoy", "lastnodoy"),
    "same_as": ("samerecordas",),
    "source": ("source", "dataset", "provider", "quality"),
}
_T = ("temperature", "temp", "airtemp", "airtemperature", "t", "ta", "tair")
TEMPERATURE: dict[str, tuple[str, ...]] = {
    "station": (
        *("stationid", "station", "siteid", "site", "sid", "locationid", "location", "stationname", "sitename"),
        *("name", "id", "ghcnid", "wban", "stationsid"),
    ),
    "date": (
        *("datetime", "datetimeutc", "timestamp", "date", "time", "datum", "datetimelocal", "dateutc", "localtime"),
        *("dt", "valid", "measurementdate", "messdatum"),
    ),
    "year": ("year", "yr", "jahr", "annee"),
    "month": ("month", "mo", "mon", "monat", "mois", "mm"),
    "day": ("day", "dayofmonth", "dd", "tag", "jour"),
    "doy": ("doy", "dayofyear", "yday", "jday", "julianday"),
    "hour": ("hour", "hr", "stunde", "heure"),
    "clock": ("time", "timeofday", "uhrzeit", "clock"),
    "tmin": (
        *("tmin", "tminc", "tmn", "tn", "mint", "tmind", "tempmin", "mintemp", "temperaturemin", "mintemperature"),
        *("minimumtemperature", "temperature2mmin", "airtempmin", "minairtemp", "tminf", "tmink", "tasmin", "tmini"),
        *("minimumairtemperature", "lowtemp", "tminimum", "tempminc", "mintempc", "tnk", "tre200dn", "low"),
    ),
    "tmax": (
        *("tmax", "tmaxc", "tmx", "tx", "maxt", "tmaxd", "tempmax", "maxtemp", "temperaturemax", "maxtemperature"),
        *("maximumtemperature", "temperature2mmax", "airtempmax", "maxairtemp", "tmaxf", "tmaxk", "tasmax", "tmaxi"),
        *("maximumairtemperature", "hightemp", "tmaximum", "tempmaxc", "maxtempc", "txk", "tre200dx", "high"),
    ),
    "tmean": (
        *("tmean", "tmeanc", "tavg", "tavgc", "tmid", "meantemp", "tempmean", "tempavg", "avgtemp", "temperaturemean"),
        *(
            "meantemperature",
            "averagetemperature",
            "temperature2mmean",
            "temperature2m",
            "tas",
            "tg",
            "tm",
            "tmk",
            "tre200d0",
        ),
        *("tempc", "temperaturec", "tmeanf", "tmeank", "tempf", "tempk", "temperaturef", "temperaturek", *_T),
    ),
    **_PLACE,
    "quality": ("quality",),
}
_WORDS = {"site": "the site", "doy": "the day of bloom (doy)", "tmean": "a temperature"}


def find(
    names: Sequence[str], aliases: Aliases, given: Mapping[str, str | None] | None, where: object
) -> dict[str, str]:
    """Role -> column name, for the roles that have one; a column serves one role, the first that asks for it.

    Args:
        names: Columns of the table.
        aliases: Role -> plain spellings, the likeliest first.
        given: Role -> column set by the user.
        where: What to name in messages.

    Raises:
        InputError: PH601 for a column or role set by the user that is not there.
    """
    by_plain: dict[str, str] = {}
    for name in names:
        by_plain.setdefault(plain(name), str(name))
    for name in names:  # a unit in brackets is no part of the name
        by_plain.setdefault(plain(re.sub(r"[(\[].*?[)\]]", "", str(name))), str(name))
    found: dict[str, str] = {}
    for role, name in (given or {}).items():
        if name is None:
            continue
        match = name if name in names else by_plain.get(plain(name))
        if role not in aliases or match is None:
            what = f"no column {name!r} for {role}" if role in aliases else f"no such role as {role!r}"
            raise InputError("PH601", where, what, _closest(name, names) if role in aliases else _listed(list(aliases)))
        found[role] = match
    free = {key: name for key, name in by_plain.items() if key and name not in found.values()}
    for role, spellings in aliases.items():
        if role in found:
            continue
        match = next((s for s in spellings if s in free), None)
        if match is not None:
            found[role] = free[match]
            free = {key: name for key, name in free.items() if name != found[role]}
    return found


def lacking(roles: Sequence[str], names: Sequence[str], aliases: Aliases, where: object, option: str) -> InputError:
    """The PH601 error for roles without a column, naming the closest ones.

    Args:
        roles: What is lacking, as words for the message; the first is looked up in `aliases`.
        names: Columns of the table.
        aliases: Role -> plain spellings.
        where: What to name in messages.
        option: Option that names columns, such as "--bloom-columns".
    """
    role = roles[0]
    best, score = "", 0.6
    for name in names:
        for alias in aliases.get(role, ()):
            now = difflib.SequenceMatcher(None, plain(name), alias).ratio() if len(alias) > 2 else 0.0
            if now > score:
                best, score = str(name), now
    word = " or ".join(_WORDS.get(r, r) for r in roles)
    what = f"no column for {word}; its columns are {', '.join(map(str, names[:30])) or 'none'}"
    if len(names) == 1:
        what += "; only one column was found: separate them by comma, semicolon, tab or |"
    if any(re.fullmatch(r"[+-]?\d+([.,]\d+)?", str(name).strip()) for name in names):
        what += "; its first row looks like data, not like a header"
    hint = f"did you mean {best!r}? " if best else ""
    return InputError("PH601", where, what, f"{hint}name it with {option} {role}={best or 'COLUMN'}")


def _closest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, list(map(str, names)), n=1, cutoff=0.5)
    return (f"did you mean {close[0]!r}? " if close else "") + _listed(names)


def _listed(names: Sequence[str]) -> str:
    return f"there are {', '.join(map(str, names[:30]))}"


# ------------------------------------------------------------------------------------------------ days
_TIME = r"(?:[T ]+(\d{1,2})(?::(\d{2}))?(?::\d{2}(?:\.\d+)?)?)?\s*(?:Z|UTC|[+-]\d{2}:?\d{2})?$"
_YEAR_FIRST = re.compile(r"^\s*(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})" + _TIME)
_COMPACT = re.compile(r"^\s*(\d{4})(\d{2})(\d{2})(?:(\d{2})(\d{2})?)?()$")
_YEAR_LAST = re.compile(r"^\s*(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4})" + _TIME)


def read_days(column: Any, where: object, order: str | None = None) -> tuple[Array, Array]:
    """Days and hours of a column of dates.

    Args:
        column: Dates as text, numbers such as 20150401, or datetime values.
        where: What to name in messages.
        order: "dmy" or "mdy" for dates that end in the year; None to find out.

    Returns:
        (R,) datetime64[D], NaT where nothing can be read, and (R,) hour, NaN where none is written.

    Raises:
        InputError: PH605 when day and month cannot be told apart.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        stamps = column.dt.tz_localize(None).to_numpy() if column.dt.tz is not None else column.to_numpy()
        hours = np.asarray(column.dt.hour, dtype=float)
        return stamps.astype("datetime64[D]"), np.full(len(column), np.nan) if not np.nansum(hours) else hours
    codes, found = pd.factorize(column, use_na_sentinel=True)
    text = [f"{int(x)}" if isinstance(x, float) and x.is_integer() else str(x).strip() for x in found]
    parts = np.full((len(text) + 1, 4), -1, dtype=np.int64)  # year, month, day, hour; last row for missing cells
    last = []
    for i, word in enumerate(text):
        if hit := _YEAR_FIRST.match(word) or _COMPACT.match(word):
            parts[i] = [int(hit[1]), int(hit[2]), int(hit[3]), int(hit[4]) if hit[4] else -1]
        elif hit := _YEAR_LAST.match(word):
            last.append((i, int(hit[1]), int(hit[3]), hit[2]))
            parts[i] = [int(hit[4]), 0, 0, int(hit[5]) if hit[5] else -1]
        else:
            stamp = pd.to_datetime(word, errors="coerce", dayfirst=False) if re.search("[A-Za-z]{3}", word) else pd.NaT
            if not pd.isna(stamp):
                parts[i] = [stamp.year, stamp.month, stamp.day, stamp.hour if stamp.hour else -1]
    if last:
        day_first = _day_first(last, where, order)
        for i, a, b, _ in last:
            parts[i, 1:3] = (b, a) if day_first else (a, b)
    year, month, day, hour = parts.T
    good = (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)
    months = np.where(good, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    days[~good | (days.astype("datetime64[M]") != months)] = np.datetime64("NaT")
    return days[codes], np.where(hour >= 0, hour, np.nan)[codes]


def _day_first(last: Sequence[tuple[int, int, int, str]], where: object, order: str | None) -> bool:
    if order in ("dmy", "mdy"):
        return order == "dmy"
    first, second = max(a for _, a, _, _ in last), max(b for _, _, b, _ in last)
    if first > 12 and second > 12:
        what = f"some dates have {first} first, others {second} second: day and month are mixed up"
        raise InputError("PH605", where, what, "write dates as 2015-04-01")
    if first <= 12 and second <= 12:
        if all(sign == "." for *_, sign in last):
            return True  # dots are written day first everywhere
        what = "dates such as 03/04/2015 can be read day first or month first"
        raise InputError("PH605", where, what, "say which with --date-order dmy or mdy, or write 2015-04-03")
    return first > 12


def days_of(year: Array, doy: Array) -> Array:
    """datetime64[D] of days of years (1 = 1 January, 0 and less in the year before); NaT where either is NaN."""
    good = np.isfinite(year) & np.isfinite(doy) & (np.abs(year) < 1e5) & (np.abs(doy) < 1e5)
    january = (np.where(good, year, 1970).astype(np.int64) - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    days = january + (np.rint(np.where(good, doy, 1)).astype(np.int64) - 1)
    days[~good] = np.datetime64("NaT")
    return days


def leap(year: Array) -> Array:
    """Whether Gregorian years are leap years; False for NaN."""
    year = np.where(np.isfinite(year), year, 1)
    return (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))


def misplaced(place: str, value: float, where: str, row: int | None = None) -> InputError:
    """PH613 for a latitude or longitude that is none."""
    at = "" if row is None else f" in row {row}"
    swapped = " (swapped with longitude?)" if place == "latitude" else ""
    what = f"{place} {value:g}{at} is out of range{swapped}"
    return InputError("PH613", where, what, "give degrees, and check which column is which")


def as_names(column: Any) -> Array:
    """(R,) text of a column of labels; 12.0 is written 12, missing cells are ""."""
    if pd.api.types.is_float_dtype(column):
        whole = column.dropna()
        if ((whole == np.rint(whole)) & (whole.abs() < 1e15)).all():
            column = column.astype("Int64")
    codes, found = pd.factorize(column)
    words = np.array([*(str(x).strip() for x in found), ""], dtype=object)
    return words[codes]


def as_numbers(column: Any) -> Array:
    """(R,) float64 of a column, NaN where a cell is no finite number."""
    found: Any = pd.to_numeric(column, errors="coerce")
    values = found.to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)
