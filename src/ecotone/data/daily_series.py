"""Daily temperatures of many stations in one array, each station without holes between its first and last day.

A season is then a window of positions, so that thousands of seasons are cut out by one gather. Gaps are filled here too:
short ones by a straight line, the others by the station's mean of that time of the year. Letters: T stations, D days of
all stations together, V variables, N seasons, S days of a season.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ecotone.data.seasons import TMAX, TMEAN, TMIN

Array = np.ndarray
DAY = np.timedelta64(1, "D")
# from measured to guessed; words that are not listed rank after these
QUALITIES = ("observed", "probably_observed", "gap_filled", "possibly_imputed", "reanalysis")
_WINDOW = 7  # days to each side that the mean of a time of the year draws on


@dataclass(frozen=True)
class DailySeries:
    """Temperatures of T stations.

    Attributes:
        stations: T rows: station_id, latitude, longitude, altitude; NaN where not said.
        first: (T,) datetime64[D] of the first day of each station.
        offset: (T + 1,) where the days of each station begin in the arrays below.
        values: (D, 3) float32 minimum, maximum, mean, degC; NaN where missing.
        quality: (D,) positions in `quality_names`, -1 where not said.
        quality_names: Words of the table, best first.
        hours: (D, 24) float32 hourly temperatures, or None.
        source: "daily", "hourly", "monthly" or "daily mean".
    """

    stations: pd.DataFrame
    first: Array
    offset: Array
    values: Array
    quality: Array
    quality_names: tuple[str, ...] = ()
    hours: Array | None = None
    source: str = "daily"

    @property
    def last(self) -> Array:
        """(T,) datetime64[D] of the last day of each station."""
        return self.first + np.diff(self.offset) - DAY

    @property
    def station(self) -> Array:
        """(D,) station of each day."""
        return np.repeat(np.arange(len(self.first)), np.diff(self.offset))

    @property
    def day(self) -> Array:
        """(D,) datetime64[D]."""
        within = np.arange(self.offset[-1]) - np.repeat(self.offset[:-1], np.diff(self.offset))
        return self.first[self.station] + within

    def window(self, station: Array, first: Array, length: int) -> Array:
        """(N, S) positions of the days of seasons in the arrays of this series; -1 outside the station's span.

        Args:
            station: (N,) rows of `stations`.
            first: (N,) datetime64[D] of day 0.
            length: S.
        """
        shift = (first.astype("datetime64[D]") - self.first[station]).astype(np.int64)
        at = shift[:, None] + np.arange(length)
        outside = (at < 0) | (at >= np.diff(self.offset)[station][:, None])
        at += self.offset[station][:, None]
        at[outside] = -1
        return at


def from_rows(
    station: Array,
    names: Array,
    day: Array,
    values: Array,
    quality: Array | None = None,
    hours: Array | None = None,
    **more: object,
) -> DailySeries:
    """Lays rows of (station, day) out without holes; the first of repeated days counts.

    Args:
        station: (R,) positions in `names`.
        names: (T,) names of the stations.
        day: (R,) datetime64[D].
        values: (R, 3) minimum, maximum, mean, degC.
        quality: (R,) words, or None.
        hours: (R, 24), or None.
        **more: Further attributes of `DailySeries`; `stations` gets its names from `names` when left out.
    """
    number = day.astype("datetime64[D]").astype(np.int64)
    key = station.astype(np.int64) * (1 << 32) + (number + (1 << 30))
    if (np.diff(key) <= 0).any():
        _, keep = np.unique(key, return_index=True)
        station, number, values = station[keep], number[keep], values[keep]
        quality = None if quality is None else quality[keep]
        hours = None if hours is None else hours[keep]
    start = np.flatnonzero(np.r_[True, np.diff(station) > 0]) if len(station) else np.zeros(0, dtype=int)
    present = station[start]
    end = np.r_[start[1:], len(station)] - 1 if len(start) else start
    first = number[start]
    size = number[end] - first + 1 if len(start) else first
    offset = np.r_[0, np.cumsum(size)].astype(np.int64)
    at = number - np.repeat(first, np.diff(np.r_[start, len(station)])) if len(start) else number
    at = at + np.repeat(offset[:-1], np.diff(np.r_[start, len(station)])) if len(start) else at
    dense = np.full((offset[-1], 3), np.nan, dtype=np.float32)
    dense[at] = values
    codes = np.full(offset[-1], -1, dtype=np.int16)
    words: tuple[str, ...] = ()
    if quality is not None:
        words, rank = _ranked(quality)
        codes[at] = rank
    laid = None
    if hours is not None:
        laid = np.full((offset[-1], 24), np.nan, dtype=np.float32)
        laid[at] = hours
    stations = more.pop("stations", None)
    if stations is None:
        stations = pd.DataFrame({"station_id": np.asarray(names, dtype=object)})
    if not isinstance(stations, pd.DataFrame):
        raise TypeError("stations must be a data frame")
    for column in ("latitude", "longitude", "altitude"):
        if column not in stations:
            stations = stations.assign(**{column: np.nan})
    stations = stations.iloc[present].reset_index(drop=True)
    return DailySeries(stations, first.astype("datetime64[D]"), offset, dense, codes, words, laid, **more)  # type: ignore[arg-type]


def _ranked(quality: Array) -> tuple[tuple[str, ...], Array]:
    """Words from best to worst, and (R,) the position of each row's word."""
    codes, found = pd.factorize(pd.Series(quality, dtype=object))
    order = sorted(range(len(found)), key=lambda i: (QUALITIES.index(found[i]) if found[i] in QUALITIES else 99, i))
    place = np.empty(len(found) + 1, dtype=np.int16)
    place[order] = np.arange(len(found))
    place[-1] = -1  # the code of missing words
    return tuple(str(found[i]) for i in order), place[codes]


# ------------------------------------------------------------------------------------------------ completing
def complete_means(values: Array) -> Array:
    """(D, 3) with the mean drawn from the extremes where it alone is missing, and the other way round on flat days.

    Where a station has days with extremes elsewhere, `Filled` replaces the flat days by days of its usual range.
    """
    values = values.copy()
    bare = np.isnan(values[:, TMEAN])
    values[bare, TMEAN] = (values[bare, TMIN] + values[bare, TMAX]) / 2
    return values


def straight_lines(values: Array, offset: Array, max_gap: int) -> tuple[Array, Array]:
    """Gaps of at most `max_gap` days filled by straight lines within each station.

    Args:
        values: (D, V), NaN where missing.
        offset: (T + 1,) where stations begin.
        max_gap: Days.

    Returns:
        (D, V) filled values and (D, V) whether a value was filled.
    """
    filled, drawn = values.copy(), np.zeros(values.shape, dtype=bool)
    days = np.arange(len(values))
    begin = np.repeat(offset[:-1], np.diff(offset))
    stop = np.repeat(offset[1:], np.diff(offset))
    for v in range(values.shape[1]):
        there = np.isfinite(values[:, v])
        if there.all():
            continue
        before = np.maximum.accumulate(np.where(there, days, -1))
        after = np.minimum.accumulate(np.where(there, days, len(days))[::-1])[::-1]
        gap = np.flatnonzero(~there & (before >= begin) & (after < stop) & (after - before - 1 <= max_gap))
        left, right = before[gap], after[gap]
        part = (gap - left) / (right - left)
        filled[gap, v] = values[left, v] * (1 - part) + values[right, v] * part
        drawn[gap, v] = True
    return filled, drawn


def day_of_year(day: Array) -> Array:
    """0..365 of datetime64[D]; 29 February shares its place with 1 March of other years, which shifts means by little."""
    return (day - day.astype("datetime64[Y]")).astype(np.int64)


def climatology(values: Array, station: Array, doy: Array, stations: int) -> Array:
    """(T, 366, V) mean of each station around each day of the year; NaN where a station never has that time of the year.

    Args:
        values: (D, V).
        station: (D,).
        doy: (D,) 0..365.
        stations: T.
    """
    out = np.full((stations, 366, values.shape[1]), np.nan, dtype=np.float32)
    key = station * 366 + doy
    for v in range(values.shape[1]):
        there = np.isfinite(values[:, v])
        count = np.bincount(key[there], minlength=stations * 366).reshape(stations, 366)
        total = np.bincount(key[there], weights=values[there, v], minlength=stations * 366).reshape(stations, 366)
        count, total = _around(count), _around(total)
        with np.errstate(invalid="ignore", divide="ignore"):
            out[:, :, v] = total / np.where(count > 0, count, np.nan)
    return out


def _around(x: Array) -> Array:
    """Sums over the days within `_WINDOW` of each day of the year, around the new year."""
    wrapped = np.concatenate([x[:, -_WINDOW:], x, x[:, :_WINDOW]], axis=1)
    sums = np.concatenate([np.zeros((len(x), 1)), np.cumsum(wrapped, axis=1)], axis=1)
    return sums[:, 2 * _WINDOW + 1 :] - sums[:, : -2 * _WINDOW - 1]


@dataclass(frozen=True)
class Filled:
    """A series made ready for cutting seasons.

    Attributes:
        series: What it was made of.
        values: (D, V) with short gaps filled; V is 3, or 27 with hours.
        known: (D,) whether a day has a measured mean temperature.
        usual: (T, 366, V) mean of each time of the year.
        typical_extremes: (D,) whether the extremes of a day with a known mean were drawn from the station's usual range.
    """

    series: DailySeries
    values: Array
    known: Array
    usual: Array
    typical_extremes: Array

    @classmethod
    def of(cls, series: DailySeries, max_gap: int) -> Filled:
        """Fills gaps of at most `max_gap` days and works out the usual temperatures.

        Days whose mean alone is known get extremes from the station's usual range at that time of the year; where a
        station has no extremes at all they equal the mean.
        """
        values = complete_means(series.values)
        station, doy = series.station, day_of_year(series.day)
        known = np.isfinite(values[:, TMEAN])
        bare = known & np.isnan(values[:, :2]).any(axis=1)
        if bare.any():
            halves = np.stack([values[:, TMEAN] - values[:, TMIN], values[:, TMAX] - values[:, TMEAN]], axis=1)
            usual = climatology(halves, station, doy, len(series.first))[station[bare], doy[bare]]
            usual = np.where(np.isfinite(usual), usual, 0)
            mean = values[bare, TMEAN]
            low, high = values[bare, TMIN], values[bare, TMAX]
            values[bare, TMIN] = np.where(np.isnan(low), np.fmin(mean - usual[:, 0], high), low)
            values[bare, TMAX] = np.where(np.isnan(high), np.fmax(mean + usual[:, 1], values[bare, TMIN]), high)
        # extremes without their partner say nothing of the day
        values[~known] = np.nan
        if series.hours is not None:
            values = np.concatenate([values, series.hours], axis=1)
        usual = climatology(values, station, doy, len(series.first))
        values, _ = straight_lines(values, series.offset, max_gap)
        return cls(series, values, known, usual, bare)

    def span(self) -> tuple[Array, Array]:
        """(T,) datetime64[D] first and last day with a measured mean; NaT for stations without one."""
        offset, at = self.series.offset, np.flatnonzero(self.known)
        begin, stop = np.searchsorted(at, offset[:-1]), np.searchsorted(at, offset[1:])
        first = np.full(len(begin), np.datetime64("NaT"), dtype="datetime64[D]")
        last, has = first.copy(), stop > begin
        first[has] = self.series.first[has] + (at[begin[has]] - offset[:-1][has])
        last[has] = self.series.first[has] + (at[stop[has] - 1] - offset[:-1][has])
        return first, last

    def cut(self, station: Array, first: Array, length: int) -> tuple[Array, Array, Array]:
        """Seasons of stations.

        Returns:
            (N, S, V) values, days without any value replaced by what is usual; (N, S) whether the mean was measured;
            (N, S) whether there was nothing, not even a straight line.
        """
        at = self.series.window(station, first, length)
        values = self.values[at]
        values[at < 0] = np.nan
        known = self.known[at] & (at >= 0)
        bare = ~np.isfinite(values[..., TMEAN])
        doy = day_of_year(first[:, None] + np.arange(length))
        empty = ~np.isfinite(values)
        if empty.any():
            i, j, v = np.nonzero(empty)
            values[i, j, v] = self.usual[station[i], doy[i, j], v]
        return values, known, bare
