"""Which station's temperatures each season takes, and how complete they are before bloom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecotone.data.daily_series import Filled
from ecotone.data.seasons import Calendar

Array = np.ndarray
_NO_STATION = 1 << 20
_AT_ONCE = 20_000


@dataclass(frozen=True)
class Wanted:
    """Seasons asked for: (N,) row of the records (-1 without one), site, bloom year, day 0, and last day that matters."""

    row: Array
    site: Array
    year: Array
    first: Array
    upto: Array

    @classmethod
    def of_records(cls, records: Any, site: Array) -> Wanted:
        """The usable records."""
        row = np.flatnonzero((records["code"] == "").to_numpy())
        some = records.iloc[row]
        upto = np.floor(some["event"].to_numpy(dtype=float)).astype(np.int64)
        first = some["first"].to_numpy().astype("datetime64[D]")
        return cls(row, site[row], some["year"].to_numpy(dtype=float).astype(np.int64), first, upto)

    def take(self, rows: Array) -> Wanted:
        """Some of them."""
        return Wanted(*(getattr(self, k)[rows] for k in self.__dataclass_fields__))

    def join(self, other: Wanted) -> Wanted:
        """Both, one after the other."""
        return Wanted(*(np.concatenate([getattr(self, k), getattr(other, k)]) for k in self.__dataclass_fields__))


@dataclass
class Judged:
    """Temperatures of N seasons up to the last day that matters.

    Attributes:
        station: (N,) row of the stations, -1 without one.
        missing: (N,) days without a measured mean.
        gap: (N,) longest run of such days.
        quality: (N,) worst quality of the measured days, -1 where none is said.
    """

    station: Array
    missing: Array
    gap: Array
    quality: Array

    def sound(self, upto: Array, max_missing: float, max_gap: int) -> Array:
        """(N,) whether a season is complete enough."""
        return (self.missing <= max_missing * (upto + 1)) & (self.gap <= max_gap)


def choose(wanted: Wanted, options: Array, filled: Filled, length: int, max_missing: float, max_gap: int) -> Judged:
    """The best candidate of each season: one that is complete enough, of the best quality, the most preferred.

    Args:
        wanted: N seasons.
        options: (G, K) stations each site may use, -1 where there is none.
        filled: Temperatures.
        length: S.
        max_missing: Greatest share of days without a measured mean.
        max_gap: Longest run of such days.
    """
    n = len(wanted.row)
    best = Judged(np.full(n, -1), np.full(n, _NO_STATION), np.full(n, _NO_STATION), np.full(n, -1, dtype=np.int16))
    score = np.full(n, np.inf)
    for k in range(options.shape[1]):
        having = np.flatnonzero(options[wanted.site, k] >= 0)
        for rows in np.array_split(having, max(len(having) // _AT_ONCE, 1)):
            part = judge(filled, options[wanted.site[rows], k], wanted.first[rows], wanted.upto[rows], length)
            worst = np.where(part.quality < 0, 99, part.quality)
            sound = part.sound(wanted.upto[rows], max_missing, max_gap)
            now = np.where(sound, worst * 100.0, 1e6 + part.missing * 100.0) + k
            better = now < score[rows]
            at = rows[better]
            score[at] = now[better]
            for name in ("station", "missing", "gap", "quality"):
                getattr(best, name)[at] = getattr(part, name)[better]
    return best


def judge(filled: Filled, station: Array, first: Array, upto: Array, length: int) -> Judged:
    """How complete the temperatures of seasons at given stations are."""
    at = filled.series.window(station, first, length)
    day = np.arange(length)
    before = day <= upto[:, None]
    known = filled.known[at] & (at >= 0)
    lost = before & ~known
    run = np.cumsum(lost, axis=1, dtype=np.int16)
    since = np.maximum.accumulate(np.where(lost, 0, run), axis=1)  # losses up to the last day that was not lost
    quality = np.where(before & known, filled.series.quality[at], -1).max(axis=1, initial=-1)
    return Judged(station, lost.sum(axis=1), (run - since).max(axis=1, initial=0), quality)


def unlabelled(records: Any, site: Array, sites: Any, filled: Filled, options: Array, calendar: Calendar) -> Wanted:
    """Seasons of every site and year with temperatures and no usable record, up to the last day that was measured."""
    first, last = filled.span()
    years, places, days = [], [], []
    latitude = sites["latitude"].to_numpy(dtype=float)
    for g in range(len(sites)):
        own = options[g][options[g] >= 0]
        own = own[~np.isnat(first[own])]
        if not len(own):
            continue
        begin = int(first[own].min().astype("datetime64[Y]").astype(int)) + 1970
        end = int(last[own].max().astype("datetime64[Y]").astype(int)) + 1971
        year = np.arange(begin, end + 1)
        start = calendar.first_day(year, np.full(len(year), latitude[g]))
        seen = (last[own].max() - start).astype(int)  # day index of the last temperature
        good = (seen >= 0) & (start + calendar.length > first[own].min())
        years.append(year[good])
        places.append(np.full(good.sum(), g))
        days.append((start[good], np.minimum(seen[good], calendar.length - 1)))
    if not years:
        nothing = np.zeros(0, dtype=np.int64)
        return Wanted(nothing, nothing, nothing, nothing.astype("datetime64[D]"), nothing)
    year, place_, start, upto = (np.concatenate(x) for x in (years, places, [d[0] for d in days], [d[1] for d in days]))
    good = (records["code"] == "").to_numpy()
    taken = set(zip(site[good].tolist(), records["year"].to_numpy()[good].astype(int).tolist(), strict=True))
    free = np.array([(int(g), int(y)) not in taken for g, y in zip(place_, year, strict=True)], dtype=bool)
    row = np.full(int(free.sum()), -1)
    return Wanted(row, place_[free], year[free], start[free], upto[free])
