"""Seasons: daily temperatures from dormancy to summer in one contiguous tensor, with the day of bloom where it is known.

A season begins at a calendar day (day 0, 1 October in the north, 1 April in the south) and is named by its bloom year, the
calendar year in which it ends. Days are counted as whole calendar days from day 0, so a leap year shifts nothing: the date
of day k is the start plus k days. Letters: N seasons, S days, H = 24 hours, G sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd

from ecotone.errors import InputError, UsageError

Array = np.ndarray
TMIN, TMAX, TMEAN = 0, 1, 2
MIDDLE = 45.0
"""Degrees for the length of days where no latitude is told; the hours of a day differ little between latitudes."""


class Status(IntEnum):
    """What is known of the bloom of a season."""

    UNKNOWN = 0  # no record: a season to predict
    OBSERVED = 1  # bloomed on the day `event`
    AFTER = 2  # not bloomed by the day `event` (right-censored); `event` = S - 1 when it never bloomed in the season
    BEFORE = 3  # already bloomed by the day `event` (left-censored)


@dataclass(frozen=True)
class Calendar:
    """When a season begins and how long it is.

    Attributes:
        start: Month and day of day 0 in the northern hemisphere, "MM-DD".
        length: S, days of a season.
        south: Months by which seasons of the southern hemisphere begin later; 0 for the same calendar everywhere.
    """

    start: str = "10-01"
    length: int = 274
    south: int = 6

    def __post_init__(self) -> None:
        try:
            month, day = (int(part) for part in self.start.split("-"))
            np.datetime64(f"2001-{month:02d}-{day:02d}", "D")
        except ValueError:
            raise UsageError("US104", "season start", f"{self.start!r} is no month and day", "write MM-DD") from None
        if not 30 <= self.length <= 366:
            raise UsageError("US104", "season length", f"{self.length} days", "give 30 to 366 days")

    def first_day(self, year: Array | int, latitude: Array | float) -> Array:
        """datetime64[D] of day 0 of the seasons that end in these years; a season belongs to the year of its last day."""
        month, day = (int(part) for part in self.start.split("-"))
        year, latitude = np.broadcast_arrays(np.asarray(year, dtype=np.int64), np.asarray(latitude, dtype=float))
        moved = month - 1 + np.where(latitude < 0, self.south, 0)  # months since January of the northern start's year
        months = ((year - 1970) * 12 + moved % 12).astype("datetime64[M]")
        first = months.astype("datetime64[D]") + np.timedelta64(day - 1, "D")
        last = first + np.timedelta64(self.length - 1, "D")
        early = last.astype("datetime64[Y]").astype(np.int64) + 1970 > year
        before = (months - np.timedelta64(12, "M")).astype("datetime64[D]") + np.timedelta64(day - 1, "D")
        return np.where(early, before, first)


@dataclass(frozen=True)
class Seasons:
    """N seasons of S days.

    Attributes:
        daily: (N, S, 3) float32 minimum, maximum and mean temperature, degC; NaN where a day has none.
        known: (N, S) False for days that were filled (interpolated, climatology) or have no temperature.
        year: (N,) bloom year.
        first: (N,) datetime64[D] of day 0.
        site: (N,) row of `sites`.
        sites: G rows: site_id, latitude, longitude (degrees), altitude (m), country, group (variety, species, ...), station.
        status: (N,) `Status`.
        event: (N,) day index of bloom, or of the censoring; NaN when unknown.
        quality: (N,) how the temperatures came about ("observed", "reanalysis", ..., "" if not said).
        hours: (N, S, 24) float32 measured hourly temperatures, or None to draw them from the daily extremes.
        source: "daily", "hourly", "monthly" (interpolated) or "daily mean" (no extremes are known, they equal the mean).
        extra: Whatever else belongs to the seasons; arrays of N rows follow `take`.
    """

    daily: Array
    known: Array
    year: Array
    first: Array
    site: Array
    sites: pd.DataFrame
    status: Array
    event: Array
    quality: Array
    hours: Array | None = None
    source: str = "daily"
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.year)
        sizes = {k: len(getattr(self, k)) for k in ("daily", "known", "first", "site", "status", "event", "quality")}
        if any(size != n for size in sizes.values()) or self.daily.shape != (*self.known.shape, 3):
            raise InputError("DA404", "Seasons", f"parts of {sizes} rows for {n} seasons", "give equally long parts")

    def __len__(self) -> int:
        return len(self.year)

    @property
    def length(self) -> int:
        """S."""
        return self.daily.shape[1]

    @property
    def observed(self) -> Array:
        """(N,) whether the day of bloom is known."""
        return self.status == Status.OBSERVED

    @property
    def latitude(self) -> Array:
        """(N,) degrees; NaN where not told."""
        return self.sites["latitude"].to_numpy(dtype=float)[self.site]

    @property
    def site_id(self) -> Array:
        """(N,) names."""
        return self.sites["site_id"].to_numpy(dtype=object)[self.site]

    @property
    def day_of_year(self) -> Array:
        """(N, S) 1..366 of every day."""
        days = self.first[:, None] + np.arange(self.length)
        return (days - days.astype("datetime64[Y]")).astype(int) + 1

    def dates(self, index: Array) -> Array:
        """datetime64[D] of day indices (N, ...), rounded to the nearest day; NaT for NaN."""
        index = np.asarray(index, dtype=float)
        first = self.first.reshape(-1, *[1] * (index.ndim - 1))
        days = np.where(np.isnan(index), 0, np.rint(index)).astype("timedelta64[D]")
        return np.where(np.isnan(index), np.datetime64("NaT", "D"), first + days)

    def doy(self, index: Array) -> Array:
        """Day of the bloom year (1 = 1 January; 0 and less in the year before) of day indices (N, ...); keeps fractions."""
        index = np.asarray(index, dtype=float)
        january = (self.year - 1970).astype("datetime64[Y]").astype("datetime64[D]")
        shift = (self.first - january).astype(int).reshape(-1, *[1] * (index.ndim - 1))
        return index + shift + 1

    def index(self, dates: Array) -> Array:
        """Day index of datetime64 dates (N,); NaN for NaT."""
        dates = np.asarray(dates, dtype="datetime64[D]")
        return np.where(np.isnat(dates), np.nan, (dates - self.first).astype(float))

    def hourly(self, rows: Array | slice = slice(None)) -> Array:
        """(n, S, 24) float32 hourly temperatures: measured, or drawn from the daily extremes with the sun at the latitude.

        Where no latitude is told the sun is that of 45 degrees.
        """
        if self.hours is not None:
            return self.hours[rows]
        from ecotone.data.day_curve import hourly

        daily = self.daily[rows]
        latitude = np.nan_to_num(self.latitude[rows], nan=MIDDLE)
        return hourly(daily[..., TMIN], daily[..., TMAX], latitude, self.day_of_year[rows])

    def take(self, rows: Array | Sequence[int] | slice) -> Seasons:
        """Some seasons (positions or a mask); sites are kept all, so that `site` means the same."""
        rows = np.arange(len(self))[rows] if not isinstance(rows, list | tuple) else np.asarray(rows, dtype=int)
        return replace(
            self,
            daily=self.daily[rows],
            known=self.known[rows],
            year=self.year[rows],
            first=self.first[rows],
            site=self.site[rows],
            status=self.status[rows],
            event=self.event[rows],
            quality=self.quality[rows],
            hours=None if self.hours is None else self.hours[rows],
            extra={k: v[rows] if _per_season(v, len(self)) else v for k, v in self.extra.items()},
        )

    def warmed(self, degrees: float) -> Seasons:
        """The same seasons, every hour warmer by some degrees."""
        hours = None if self.hours is None else self.hours + np.float32(degrees)
        return replace(self, daily=self.daily + np.float32(degrees), hours=hours)

    def unlabelled(self) -> Seasons:
        """Without the bloom days: what a prediction may see."""
        nothing = np.full(len(self), np.nan)
        return replace(self, event=nothing, status=np.full(len(self), Status.UNKNOWN, dtype=np.int8))


def _per_season(value: object, n: int) -> bool:
    return isinstance(value, np.ndarray) and value.ndim > 0 and len(value) == n
