"""Temperature tables of every usual form as one `DailySeries`: daily extremes or means, hourly values, monthly means.

The day is written as a date, as year, month and day, or as year and day of the year (0 and less lie in the year before).
Monthly means come one per row, or twelve to a row; daily values are drawn through them so that their means stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.daily_series import DailySeries, from_rows, straight_lines
from ecotone.data.monthly_means import days_through, month_starts
from ecotone.data.occurrence_columns import plain
from ecotone.data.season_columns import TEMPERATURE, as_names, as_numbers, days_of, find, lacking, read_days
from ecotone.data.temperature_units import in_celsius
from ecotone.errors import EcotoneWarning, InputError

Array = np.ndarray
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WIDE = re.compile(rf"^(?:t|temp|tmean|tavg|mean)?({'|'.join(_MONTHS)})[a-z]*?(prev|previous|lastyear)?$")
_VALUES = ("tmin", "tmax", "tmean")
_OLDEST, _NEWEST = np.datetime64("1500-01-01", "D"), np.datetime64("2300-12-31", "D")
_MAX_HOURS = 3  # hours without a value that are drawn as a straight line


def read_temperature(path: str | Path, **options: object) -> tuple[DailySeries, list[EcotoneWarning]]:
    """Reads a temperature table from a file; see `temperature_table` for the options.

    Raises:
        InputError: As `read_table`, and as `temperature_table`.
    """
    from ecotone.data.tables import read_table

    return temperature_table(read_table(path).frame, where=str(path), **options)  # type: ignore[arg-type]


def kind_of(names: list[str], columns: Mapping[str, str | None] | None = None) -> str:
    """Kind of a table: "wide" (twelve months to a row), "monthly", "daily" (or hourly), or ""."""
    role = find(names, TEMPERATURE, columns, "")
    if len(_wide(names)) >= 6:
        return "wide" if "year" in role else ""
    if not set(_VALUES) & set(role):
        return ""
    if "date" in role or {"year", "month", "day"} <= set(role) or {"year", "doy"} <= set(role):
        return "daily"
    return "monthly" if {"year", "month"} <= set(role) else ""


def temperature_table(
    frame: pd.DataFrame,
    *,
    where: str = "temperature table",
    columns: Mapping[str, str | None] | None = None,
    unit: str | None = None,
    date_order: str | None = None,
) -> tuple[DailySeries, list[EcotoneWarning]]:
    """Daily temperatures from a data frame.

    Args:
        frame: The table.
        where: What to name in messages.
        columns: Role -> column, for columns that are not found by themselves; the roles are those of
            `season_columns.TEMPERATURE`.
        unit: "C", "F", "K" or "0.1C"; None for degrees Celsius, checked.
        date_order: "dmy" or "mdy".

    Returns:
        The series, and what was noticed and handled.

    Raises:
        InputError: PH601 a column is missing, PH604 dates that cannot be read, PH605 day and month cannot be told apart,
            PH606 repeated days that contradict each other, PH608 another unit, PH609 swapped extremes, PH619 a table of
            another kind, IO102 no rows.
    """
    names = [str(name) for name in frame.columns]
    data: Any = frame.set_axis(names, axis=1)
    kind = kind_of(names, columns)
    role = find(names, TEMPERATURE, columns, where)
    if not kind:
        if len(_wide(names)) < 6 and not set(_VALUES) & set(role):
            raise lacking(["tmin", "tmax", "tmean"], names, TEMPERATURE, where, "--temperature-columns")
        what = f"days cannot be told from its columns {', '.join(names[:30])}"
        fix = "give date, or year and doy, or year, month and day; for monthly means year and month"
        raise InputError("PH619", where, what, fix)
    if data.empty:
        raise InputError("IO102", where, "has no rows below its header", "pass a table with one row per day")
    stations, station = _stations(data, role)
    if kind == "wide":
        return _from_wide(data, role, names, stations, station, where, unit)
    warned: list[EcotoneWarning] = []
    values = np.stack([_column(data, role, v) for v in _VALUES], axis=1)
    if kind == "monthly":
        year, month = _column(data, role, "year"), _column(data, role, "month")
        return _from_months(station, stations, _month(year, month), values, where, unit)
    day, hour = _days(data, role, where, date_order)
    good = ~np.isnat(day)
    if not good.all():
        _unreadable(data, role, good, where, warned)
        data, station, day, hour, values = data[good], station[good], day[good], hour[good], values[good]
    month = day.astype("datetime64[M]").astype(np.int64)
    checked = in_celsius(values, station, month, stations["station_id"].to_numpy(), where, unit)
    warned += checked.warnings
    if np.isfinite(hour).any() and pd.Series(hour).nunique() > 1:
        return _from_hours(station, stations, day, hour, checked.values), warned
    quality = as_names(data[role["quality"]]) if "quality" in role else None
    if quality is not None:
        quality[quality == ""] = None
    _repeated(station, day, checked.values, where, warned)
    names_of = stations["station_id"].to_numpy()
    series = from_rows(station, names_of, day, checked.values, quality, stations=stations)
    extremes = np.isfinite(series.values[:, :2]).all(axis=1).any()
    return replace(series, source="daily" if extremes else "daily mean"), warned


# ------------------------------------------------------------------------------------------------ columns
def _column(frame: Any, role: Mapping[str, str], name: str) -> Array:
    if name not in role:
        return np.full(len(frame), np.nan)
    return as_numbers(frame[role[name]])


def _stations(frame: Any, role: Mapping[str, str]) -> tuple[pd.DataFrame, Array]:
    """Stations in order of name, and (R,) the station of each row."""
    label = frame[role["station"]] if "station" in role else pd.Series(np.zeros(len(frame)))
    codes, found = pd.factorize(label, use_na_sentinel=True)
    names = as_names(pd.Series(found)) if "station" in role else np.array([""], dtype=object)
    order = np.argsort(names.astype(str), kind="stable")
    place = np.append(np.argsort(order), -1)  # the last for rows that name no station
    names, codes = names[order], place[codes]
    if (codes < 0).any():  # rows that name no station
        codes = np.where(codes < 0, len(names), codes)
        names = np.append(names, "")
    stations = pd.DataFrame({"station_id": names.astype(object)})
    first = pd.Series(np.arange(len(codes))).groupby(codes).first()
    for place in ("latitude", "longitude", "altitude"):
        value = np.full(len(names), np.nan)
        value[first.index] = _column(frame.iloc[first.to_numpy()], role, place)
        stations[place] = value
    return stations, codes.astype(np.int64)


def _days(frame: Any, role: Mapping[str, str], where: str, order: str | None) -> tuple[Array, Array]:
    """(R,) day and (R,) hour, NaT and NaN where there is none."""
    hour = _column(frame, role, "hour")
    if {"year", "month", "day"} <= set(role):
        year, month, day = (_column(frame, role, name) for name in ("year", "month", "day"))
        months = _month(year, month)
        odd = ~((day >= 1) & (day <= 31))
        days = months.astype("datetime64[D]") + (np.where(odd, 1, day).astype(np.int64) - 1)
        days[odd | (days.astype("datetime64[M]") != months)] = np.datetime64("NaT")
    elif "date" in role:
        days, written = read_days(frame[role["date"]], where, order)
        hour = np.where(np.isnan(hour), written, hour)
        if "clock" in role and np.isnan(hour).all():
            hour = _clock(frame[role["clock"]])
    else:
        year, doy = _column(frame, role, "year"), _column(frame, role, "doy")
        days = days_of(year, doy)
        # day 366 of a common year is no 1 January, and counting back ends with the year before
        days[days.astype("datetime64[Y]").astype(float) + 1970 != year - (np.rint(doy) < 1)] = np.datetime64("NaT")
    days = np.where((days < _OLDEST) | (days > _NEWEST), np.datetime64("NaT", "D"), days)
    if np.isfinite(hour).any():
        late = hour == 24
        days, hour = np.where(late, days + 1, days), np.where(late, 0, hour)
        days = np.where((hour < 0) | (hour > 23), np.datetime64("NaT", "D"), days)
    return days, hour


def _clock(column: Any) -> Array:
    """(R,) hours of times such as 13:00 or 9."""
    return as_numbers(column.astype(str).str.extract(r"^\s*(\d{1,2})(?:[:h.].*)?$", expand=False))


def _month(year: Array, month: Array) -> Array:
    good = np.isfinite(year) & (month >= 1) & (month <= 12) & (np.abs(year) < 1e5)
    out = (np.where(good, (year - 1970) * 12 + month - 1, 0)).astype(np.int64).astype("datetime64[M]")
    out[~good] = np.datetime64("NaT")
    return out


def _unreadable(frame: Any, role: Mapping[str, str], good: Array, where: str, warned: list[EcotoneWarning]) -> None:
    bad = frame[~good].iloc[0]
    shown = [r for r in ("date", "year", "month", "day", "doy", "hour") if r in role]
    shown = ["date"] if "date" in role and not {"year", "month", "day"} <= set(role) else shown
    written = ", ".join(f"{role[r]} {bad[role[r]]}" for r in shown)
    count = int((~good).sum())
    what = f"{count} of {len(good)} rows have no day that can be read or is in range, such as {written}"
    if count > len(good) / 2:
        raise InputError("PH604", where, what, "write dates as 2015-04-01")
    warned.append(EcotoneWarning("PH604", where, what + "; they are left out", "mend these rows"))


def _repeated(station: Array, day: Array, values: Array, where: str, warned: list[EcotoneWarning]) -> None:
    order = np.lexsort((day.astype(np.int64), station))
    same = (np.diff(station[order]) == 0) & (np.diff(day[order].astype(np.int64)) == 0)
    if not same.any():
        return
    a, b = values[order[:-1][same]], values[order[1:][same]]
    with np.errstate(invalid="ignore"):
        differ = (np.abs(a - b) > 0.051).any(axis=1)
    if differ.sum() > max(3, 0.05 * len(day)):
        what = f"{differ.sum()} days occur twice with different temperatures"
        raise InputError("PH606", where, what, "name the station column with --temperature-columns station=COLUMN")
    what = f"{same.sum()} days occur twice, {differ.sum()} of them with different temperatures; the first counts"
    warned.append(EcotoneWarning("PH607", where, what, "keep one row per station and day"))


# ------------------------------------------------------------------------------------------------ hours
def _from_hours(station: Array, stations: pd.DataFrame, day: Array, hour: Array, values: Array) -> DailySeries:
    """Days of 24 hours; hours missing within a longer stretch leave the whole day missing."""
    value = values[:, 2]
    if np.isnan(value).all():  # a table of hourly extremes only
        value = values[:, :2].mean(axis=1)
    number = day.astype(np.int64)
    _, first, place = np.unique(station * (1 << 32) + number + (1 << 30), return_index=True, return_inverse=True)
    cell = place * 24 + np.nan_to_num(hour).astype(np.int64)
    there = np.isfinite(value)
    count = np.bincount(cell[there], minlength=len(first) * 24)
    total = np.bincount(cell[there], weights=value[there], minlength=len(first) * 24)
    with np.errstate(invalid="ignore"):
        hours = np.where(count > 0, total / np.maximum(count, 1), np.nan).reshape(-1, 24)
    nothing = np.full((len(first), 3), np.nan)
    series = from_rows(
        station[first], stations["station_id"].to_numpy(), day[first], nothing, None, hours, stations=stations
    )
    hours = series.hours if series.hours is not None else hours
    flat, _ = straight_lines(hours.reshape(-1, 1), series.offset * 24, _MAX_HOURS)
    hours = flat.reshape(-1, 24)
    hours[np.isnan(hours).any(axis=1)] = np.nan
    daily = np.stack([hours.min(axis=1), hours.max(axis=1), hours.mean(axis=1)], axis=1)
    return replace(series, values=daily.astype(np.float32), hours=hours, source="hourly")


# ------------------------------------------------------------------------------------------------ months
def _wide(names: list[str]) -> dict[str, tuple[int, int]]:
    """Column -> (month from 0, years to add) of columns that hold a month."""
    found = {}
    for name in names:
        if hit := _WIDE.match(plain(name)):
            found[name] = (_MONTHS.index(hit[1]), -1 if hit[2] else 0)
    return found


def _from_wide(
    frame: Any,
    role: Mapping[str, str],
    names: list[str],
    stations: pd.DataFrame,
    station: Array,
    where: str,
    unit: str | None,
) -> tuple[DailySeries, list[EcotoneWarning]]:
    year = _column(frame, role, "year")
    wide = _wide(names)
    months = np.concatenate([_month(year + shift, np.full(len(frame), month + 1.0)) for month, shift in wide.values()])
    means = np.concatenate([as_numbers(frame[name]) for name in wide])
    values = np.stack([np.full(len(means), np.nan), np.full(len(means), np.nan), means], axis=1)
    return _from_months(np.tile(station, len(wide)), stations, months, values, where, unit)


def _from_months(
    station: Array, stations: pd.DataFrame, months: Array, values: Array, where: str, unit: str | None
) -> tuple[DailySeries, list[EcotoneWarning]]:
    """Daily values through runs of consecutive months."""
    good = ~np.isnat(months)
    number = np.where(good, months, np.datetime64("1970-01", "M")).astype(np.int64)
    good &= (number >= _OLDEST.astype("datetime64[M]").astype(int)) & (
        number <= _NEWEST.astype("datetime64[M]").astype(int)
    )
    if not good.any():
        raise InputError("PH604", where, "no year and month can be read", "give year and month as numbers")
    checked = in_celsius(values[good], station[good], number[good], stations["station_id"].to_numpy(), where, unit)
    variables = [v for v in range(3) if np.isfinite(checked.values[:, v]).any()]
    key = station[good] * (1 << 32) + number[good] + (1 << 30)
    full = np.isfinite(checked.values[:, variables]).all(axis=1)
    _, at = np.unique(key[full], return_index=True)
    key, means, origin = key[full][at], checked.values[full][at][:, variables], station[good][full][at]
    number = number[good][full][at]
    runs: dict[bytes, list[Array]] = {}  # runs of months of the same lengths are solved together
    for piece in np.split(np.arange(len(key)), np.flatnonzero(np.diff(key) != 1) + 1):
        starts = month_starts(number[piece].astype("datetime64[M]"))
        runs.setdefault(starts.tobytes(), []).append(piece)
    parts_day, parts_value, parts_station = [], [], []
    for packed, pieces in runs.items():
        starts, at = np.frombuffer(packed, dtype=np.int64), np.stack(pieces)  # at: (runs, months)
        daily = np.full((len(at), starts[-1], 3), np.nan)
        daily[:, :, variables] = np.moveaxis(days_through(np.moveaxis(means[at], -1, 0), starts), 0, -1)
        first = number[at[:, 0]].astype("datetime64[M]").astype("datetime64[D]")
        parts_day.append((first[:, None] + np.arange(starts[-1])).ravel())
        parts_value.append(daily.reshape(-1, 3))
        parts_station.append(np.repeat(origin[at[:, 0]], starts[-1]))
    days, value, place = (np.concatenate(part) for part in (parts_day, parts_value, parts_station))
    series = from_rows(place, stations["station_id"].to_numpy(), days, value, stations=stations)
    return replace(series, source="monthly"), checked.warnings
