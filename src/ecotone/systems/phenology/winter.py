"""Chill of each winter at a station, and the chill it can count on: what growers choose varieties by.

A winter runs between two days of the year (1 October to 31 March; 1 April to 30 September south of the equator) and is named
by the year it ends in. Chill is counted from its first day, portions with no product carried in. Few missing days are filled
between their neighbours, hour by hour; a winter with more of them has no value and says why.
Letters: W winters, D days of the longest winter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.day_curve import hourly
from ecotone.data.seasons import Seasons
from ecotone.errors import InputError, UsageError, suggest
from ecotone.stats.bootstrap import bootstrap
from ecotone.systems.phenology.arrays import HOURS
from ecotone.systems.phenology.chill import CHILL
from ecotone.systems.phenology.forcing import FORCING

Array = np.ndarray
NORTH, SOUTH = ("10-01", "03-31"), ("04-01", "09-30")
UNITS = ("dynamic", "chill_hours", "utah")
KEYS = ("site_id", "winter", "start", "end", "days", "complete", "reason")
FEW = 10  # winters below which a 10 % quantile is hardly more than the lowest one
_SHORT = 3  # hours in a row that are filled along the clock in hourly records


@dataclass(frozen=True)
class _Record:
    """Hours (T, 24) of consecutive days from `first`, NaN where unknown."""

    first: np.datetime64
    hours: Array
    south: bool


def winter_chill(
    temperature: pd.DataFrame | Seasons,
    latitude: float | None = None,
    *,
    start: str | None = None,
    end: str | None = None,
    units: Sequence[str] | Mapping[str, Callable[[Array], Array]] = UNITS,
    tolerance: float = 0.05,
    longest: int = 10,
) -> pd.DataFrame:
    """Chill per winter.

    Args:
        temperature: One station's table, daily (columns date, tmin_c, tmax_c) or hourly (datetime, temp_c, in local time), degC;
            or seasons that hold the winter.
        latitude: Degrees of the station; needed with a daily table. With an hourly one it only tells the hemisphere.
        start: First day of winter, "MM-DD"; by hemisphere if None.
        end: Last day of winter, "MM-DD".
        units: Names of `CHILL` or `FORCING`, or functions of one's own from (..., D, 24) to (..., D) by column name.
        tolerance: Largest share of days of a winter that may be missing.
        longest: Largest number of missing days in a row.

    Returns:
        One row per winter with any complete day: site_id (only for seasons), winter (year of the last day), start, end, days,
        complete (share of days), one column per unit, reason ("" where there is a value).

    Raises:
        UsageError: US101 for an unknown unit, US104 for dates or limits that are none.
        InputError: PH651 when a table cannot be read as temperatures of days or hours.
    """
    functions = _functions(units)
    if not 0 <= tolerance < 1 or longest < 0:
        raise UsageError(
            "US104", "winter chill", f"tolerance {tolerance}, longest {longest}", "give a share below 1 and days"
        )
    if isinstance(temperature, Seasons):
        return _of_seasons(temperature, start, end, functions, tolerance, longest)
    record = _record(temperature, latitude)
    last = record.first + np.timedelta64(len(record.hours) - 1, "D")
    years = np.arange(_year(record.first), _year(last) + 2)
    begins, ends = _window(years, start, end, record.south)
    offset = (begins - record.first).astype(int)
    lengths = (ends - begins).astype(int) + 1
    place = offset[:, None] + np.arange(lengths.max())
    inside = (place >= 0) & (place < len(record.hours))
    hours = np.where(inside[..., None], record.hours[np.clip(place, 0, len(record.hours) - 1)], np.nan)
    frame = pd.DataFrame({"winter": years, "start": begins, "end": ends})
    return _table(frame, hours, lengths, functions, tolerance, longest)


def safe_winter_chill(
    frame: pd.DataFrame,
    level: float = 0.1,
    *,
    quantiles: Sequence[float] = (),
    confidence: float = 0.9,
    n: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """The chill that is exceeded in all but a share of winters (Luedeling et al. 2009), with its bootstrap interval.

    Args:
        frame: From `winter_chill`; winters without a value are left out.
        level: Share of winters with less chill; 0.1 is what safe winter chill means.
        quantiles: Further levels to give beside, in columns q05, q50, ...
        confidence: Nominal coverage of the interval; winters are resampled.
        n: Resamples.
        seed: Of the resampling.

    Returns:
        One row per unit (and site_id, where the table has one): unit, winters, safe, low, high, further quantiles, note.

    Raises:
        UsageError: US104 for a level outside 0..1.
    """
    if any(not 0 <= q <= 1 for q in (level, *quantiles)):
        raise UsageError("US104", "safe winter chill", f"levels {[level, *quantiles]}", "give shares from 0 to 1")
    sites = frame.groupby("site_id", sort=False) if "site_id" in frame else [(None, frame)]
    rows = []
    for site, part in sites:
        for unit in (name for name in frame.columns if name not in KEYS):
            values = part[unit].to_numpy(dtype=float)
            values = values[np.isfinite(values)]
            statistic = partial(np.quantile, q=level)
            found = bootstrap(values, _over(statistic), n=n, seed=seed, level=confidence)
            row: dict[str, Any] = {} if site is None else {"site_id": site}
            row |= {"unit": unit, "winters": len(values), "safe": found.estimate, "low": found.low, "high": found.high}
            for q in quantiles:
                row[f"q{100 * q:02.0f}"] = float(np.quantile(values, q)) if len(values) else np.nan
            row["note"] = f"only {len(values)} winters" if len(values) < FEW else ""
            rows.append(row)
    return pd.DataFrame(rows)


def _over(statistic: Callable[..., Array]) -> Callable[..., Array]:
    return lambda values, axis: statistic(values, axis=axis)


def _functions(units: Sequence[str] | Mapping[str, Callable[[Array], Array]]) -> dict[str, Callable[[Array], Array]]:
    if isinstance(units, Mapping):
        return dict(units)
    known = CHILL | FORCING
    for name in units:
        if name not in known:
            raise UsageError("US101", "winter chill", f"unknown unit {name!r}", suggest(name, known))
    return {name: known[name].function for name in units}


def _year(day: Any) -> int:
    return int(np.datetime64(day, "Y").astype(int)) + 1970


def _window(years: Array, start: str | None, end: str | None, south: Array | bool) -> tuple[Array, Array]:
    """First and last day of the winters that end in these years."""
    south = np.broadcast_to(south, np.shape(years))
    months = (np.asarray(years, dtype=np.int64) - 1970) * 12
    (a, b), (c, d) = _month_day(start or NORTH[0]), _month_day(end or NORTH[1])
    (e, f), (g, h) = _month_day(start or SOUTH[0]), _month_day(end or SOUTH[1])
    first, first_day = np.where(south, e, a), np.where(south, f, b)
    last, last_day = np.where(south, g, c), np.where(south, h, d)
    crosses = first * 32 + first_day > last * 32 + last_day
    return _date(months + first - 1 - 12 * crosses, first_day), _date(months + last - 1, last_day)


def _month_day(text: str) -> tuple[int, int]:
    try:
        month, day = (int(part) for part in text.split("-"))
        np.datetime64(f"2000-{month:02d}-{day:02d}", "D")
    except ValueError:
        raise UsageError("US104", "winter", f"{text!r} is no month and day", "write MM-DD") from None
    return month, day


def _date(months: Array, day: Array) -> Array:
    """Days of months since 1970; 29 February is the last of February in other years."""
    month = months.astype("datetime64[M]")
    length = ((month + 1).astype("datetime64[D]") - month.astype("datetime64[D]")).astype(int)
    return month.astype("datetime64[D]") + np.minimum(day, length) - 1


def _record(table: pd.DataFrame, latitude: float | None) -> _Record:
    daily = {"date", "tmin_c", "tmax_c"} <= set(table.columns)
    if not daily and not {"datetime", "temp_c"} <= set(table.columns):
        columns = f"columns {list(table.columns)}"
        raise InputError("PH651", "temperature table", columns, "give date, tmin_c, tmax_c or datetime, temp_c")
    if daily and (latitude is None or not -90 <= latitude <= 90):
        raise UsageError("US104", "latitude", f"{latitude} with daily temperatures", "give -90 to 90 degrees")
    column = "date" if daily else "datetime"
    given = table[column]
    if pd.api.types.is_numeric_dtype(given):
        raise InputError("PH651", f"temperature table, {column}", "numbers", "write dates as YYYY-MM-DD")
    known = pd.api.types.is_datetime64_any_dtype(given)
    when: Any = pd.DatetimeIndex(given if known else pd.to_datetime(given, errors="coerce", format="ISO8601"))
    when = when.tz_localize(None).floor("D" if daily else "h")  # the local time as written
    bad = np.asarray(when.isna() | when.duplicated(), dtype=bool)
    if len(table) == 0 or bad.any():
        what = f"row {int(np.flatnonzero(bad)[0]) + 1} has no time or one that came before" if len(table) else "no rows"
        raise InputError("PH651", f"temperature table, {column}", what, "give each day or hour once")
    south = latitude is not None and latitude < 0
    values: Any = table[["tmin_c", "tmax_c"] if daily else ["temp_c"]].apply(pd.to_numeric, errors="coerce")
    values = values.set_axis(when).sort_index()
    first, last = when.min().floor("D"), when.max().floor("D")
    if daily:
        values = values.reindex(pd.date_range(first, last, freq="D"))
        low, high = values["tmin_c"].to_numpy(), values["tmax_c"].to_numpy()
        day = np.asarray(pd.DatetimeIndex(values.index).day_of_year)
        hours = hourly(low[None], high[None], float(latitude or 0), day[None])[0]
    else:
        values = values.reindex(pd.date_range(first, last + pd.Timedelta(hours=23), freq="h"))
        hours = _short_gaps(values["temp_c"].to_numpy(dtype=float)).reshape(-1, HOURS)
    return _Record(np.datetime64(first, "D"), hours.astype(float), south)


def _short_gaps(x: Array) -> Array:
    """Fills gaps of a few hours in a straight line."""
    good = np.isfinite(x)
    if good.all() or not good.any():
        return x
    places = np.flatnonzero(good)
    at = np.arange(len(x))
    after = np.searchsorted(places, at)
    before, after = places[np.clip(after - 1, 0, None)], places[np.clip(after, None, len(places) - 1)]
    short = (at > before) & (at < after) & (after - before - 1 <= _SHORT)
    return np.where(good, x, np.where(short, np.interp(at, places, x[places]), np.nan))


def _of_seasons(
    seasons: Seasons,
    start: str | None,
    end: str | None,
    functions: Mapping[str, Callable[[Array], Array]],
    tolerance: float,
    longest: int,
) -> pd.DataFrame:
    south = seasons.latitude < 0
    begins, ends = _window(seasons.year, start, end, south)
    earlier = _window(seasons.year - 1, start, end, south)
    late = begins >= seasons.first + np.timedelta64(seasons.length, "D")
    begins, ends = np.where(late, earlier[0], begins), np.where(late, earlier[1], ends)
    offset, lengths = seasons.index(begins).astype(int), (ends - begins).astype(int) + 1
    if len(seasons) and (offset.min() < 0 or (offset + lengths).max() > seasons.length):
        window = f"{start or NORTH[0]} to {end or NORTH[1]} is not within the season"
        raise UsageError("US104", "winter", window, "choose a shorter winter or longer seasons")
    place = np.clip(offset[:, None] + np.arange(lengths.max(initial=0)), 0, seasons.length - 1)
    rows = np.arange(len(seasons))[:, None]
    hours = np.where(seasons.known[rows, place][..., None], seasons.hourly()[rows, place].astype(float), np.nan)
    frame = pd.DataFrame({"site_id": seasons.site_id, "winter": ends.astype("datetime64[Y]").astype(int) + 1970})
    return _table(frame.assign(start=begins, end=ends), hours, lengths, functions, tolerance, longest)


def _table(
    frame: pd.DataFrame,
    hours: Array,
    lengths: Array,
    functions: Mapping[str, Callable[[Array], Array]],
    tolerance: float,
    longest: int,
) -> pd.DataFrame:
    """Adds the chill of (W, D, 24) hours; days at or beyond a winter's length do not count."""
    within = np.arange(hours.shape[1]) < lengths[:, None]
    complete = np.isfinite(hours).all(axis=2) & within
    some = complete.any(axis=1)
    frame = frame.loc[some].reset_index(drop=True)
    hours, within, complete = hours[some], within[some], complete[some]
    lengths = lengths[some]
    share = complete.sum(axis=1) / lengths
    gaps = np.array([_longest(~row[:size]) for row, size in zip(complete, lengths, strict=True)], dtype=int)
    reason = np.full(len(frame), "", dtype=object)
    for k in np.flatnonzero(gaps > longest):
        reason[k] = f"{gaps[k]} days in a row are missing (at most {longest})"
    for k in np.flatnonzero(share < 1 - tolerance):
        reason[k] = f"{100 * (1 - share[k]):.1f} % of days are missing (at most {100 * tolerance:g} %)"
    frame["days"], frame["complete"] = lengths, share
    use = reason == ""
    filled = _filled(hours[use], complete[use], within[use])
    for name, function in functions.items():
        frame[name] = np.nan
        if use.any():
            per_day = np.asarray(function(filled), dtype=float)
            frame.loc[use, name] = np.where(within[use], per_day, 0).sum(axis=1)
    frame["reason"] = reason
    return frame


def _longest(missing: Array) -> int:
    """Length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(int), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _filled(hours: Array, complete: Array, within: Array) -> Array:
    """Missing days by a straight line between the same hours of the days around; the nearest day at the ends."""
    hours = hours.copy()
    for k in np.flatnonzero((~complete & within).any(axis=1)):
        good, gap = np.flatnonzero(complete[k]), np.flatnonzero(~complete[k])
        for h in range(HOURS):
            hours[k, gap, h] = np.interp(gap, good, hours[k, good, h])
    return hours
