"""Seasons that are not over: weather up to today, then that of past years at the site, one completion each.

The answer is the mean of the distributions of all completions, so that it is as uncertain as the weather to come. A season
whose temperatures are complete is one completion of itself. Letters: N seasons, S days, E completions of a season.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.seasons import Calendar, Seasons, Status
from ecotone.systems.phenology.climate import Climate
from ecotone.systems.phenology.distribution import BloomDays
from ecotone.systems.phenology.options import is_month_day

Array = np.ndarray
Predict = Callable[[Seasons], BloomDays]
EARLIER = 5  # past years that are enough to leave out later ones
WHOLE = 0.9  # share of its remaining days that a past year must have measured
NO_PAST = "incomplete season, and no past year of the site to complete it with"
NO_WEATHER = "no temperatures of this season that can be used: none at all, or gaps in them"
ALL_BUT_CERTAIN = (
    "bloom by the day up to which there was none is certain for the model, so that none after it can be given"
)
_AT_ONCE = 1024  # completions predicted together


@dataclass(frozen=True)
class Answer:
    """What the model says of N seasons.

    Attributes:
        bloom: Distributions.
        end: (N,) day index of the last day with a measured temperature, -1 without any.
        completions: (N,) past years that stood for the days after it; 0 for a complete season.
        forecast: (N,) whether bloom may still come after the last known day.
        beyond_site: (N,) degC beyond the weather of training at the site, the median over completions; see `Climate`.
        beyond_all: (N,) degC beyond that of all sites.
    """

    bloom: BloomDays
    end: Array
    completions: Array
    forecast: Array
    beyond_site: Array
    beyond_all: Array


def last_known(seasons: Seasons) -> Array:
    """(N,) day index of the last measured day, -1 without any."""
    there = seasons.known & np.isfinite(seasons.daily[..., 2])
    return np.where(there.any(axis=1), seasons.length - 1 - there[:, ::-1].argmax(axis=1), -1)


def day_in_season(seasons: Seasons, text: str) -> Array:
    """(N,) day index of MM-DD in each season, or of a date YYYY-MM-DD; NaN where MM-DD lies outside the season.

    A date outside a season has an index below 0 or beyond the last day. 29 February is 28 February in other years.
    """
    if not is_month_day(text):
        return (np.datetime64(text, "D") - seasons.first).astype(float)
    month, day = (int(part) for part in text.split("-"))
    found = np.full(len(seasons), np.nan)
    year = seasons.first.astype("datetime64[Y]").astype(int)
    for later in (1, 0):
        begin = ((year + later) * 12 + month - 1).astype("datetime64[M]")
        size = ((begin + 1).astype("datetime64[D]") - begin.astype("datetime64[D]")).astype(int)
        index = (begin.astype("datetime64[D]") + np.minimum(day, size) - 1 - seasons.first).astype(float)
        found = np.where((index >= 0) & (index < seasons.length), index, found)
    return found


def hidden(seasons: Seasons, as_of: str) -> Seasons:
    """The seasons as they were known on a day: what came after it is unknown."""
    index = day_in_season(seasons, as_of)
    seen = np.arange(seasons.length) <= np.where(np.isnan(index), seasons.length, index)[:, None]
    return replace(seasons, known=seasons.known & seen)


def blank_seasons(sites: pd.DataFrame, site: Array, year: Array, like: Seasons, calendar: Calendar) -> Seasons:
    """Seasons without any temperature, to be completed from past years.

    Args:
        sites: G rows of sites.
        site: (N,) rows of them.
        year: (N,) bloom years.
        like: Gives length and kind of temperatures.
        calendar: When seasons begin.
    """
    n, length = len(site), like.length
    latitude = sites["latitude"].to_numpy(dtype=float)[site]
    return Seasons(
        daily=np.full((n, length, 3), np.nan, dtype=np.float32),
        known=np.zeros((n, length), dtype=bool),
        year=np.asarray(year, dtype=np.int64),
        first=calendar.first_day(year, latitude),
        site=np.asarray(site, dtype=np.int64),
        sites=sites,
        status=np.full(n, Status.UNKNOWN, dtype=np.int8),
        event=np.full(n, np.nan),
        quality=np.full(n, "", dtype=object),
        hours=None if like.hours is None else np.full((n, length, 24), np.nan, dtype=np.float32),
        source=like.source,
    )


def joined(parts: Sequence[Seasons]) -> Seasons:
    """Seasons of several sources one after the other; sites are told by their names, the first ones keep their rows."""
    parts = list(parts)
    sites = pd.concat([p.sites for p in parts]).drop_duplicates("site_id").reset_index(drop=True)
    place = {name: k for k, name in enumerate(sites["site_id"])}
    measured = any(p.hours is not None for p in parts)

    def stack(take: Callable[[Seasons], Array]) -> Array:
        return np.concatenate([take(p) for p in parts])

    return Seasons(
        daily=stack(lambda p: p.daily),
        known=stack(lambda p: p.known),
        year=stack(lambda p: p.year),
        first=stack(lambda p: p.first),
        site=stack(lambda p: np.array([place[name] for name in p.site_id], dtype=np.int64)),
        sites=sites,
        status=stack(lambda p: p.status),
        event=stack(lambda p: p.event),
        quality=stack(lambda p: np.asarray(p.quality, dtype=object)),
        hours=stack(lambda p: p.hourly()) if measured else None,
        source=parts[0].source,
    )


def stacked(parts: Sequence[Seasons]) -> Seasons:
    """Seasons of the same sites one after the other, to be answered at once."""
    names = ("daily", "known", "year", "first", "site", "status", "event", "quality")
    whole: dict[str, Any] = {k: np.concatenate([getattr(p, k) for p in parts]) for k in names}
    hours = None if parts[0].hours is None else np.concatenate([p.hourly() for p in parts])
    return replace(parts[0], **whole, hours=hours, extra={})


# ------------------------------------------------------------------------------------------------ completing
def donors(seasons: Seasons, row: int, end: int, pool: Seasons, most: int) -> Array:
    """(E,) rows of `pool` that can stand for the days after `end`: the latest earlier years of the site.

    With fewer than `EARLIER` earlier years the later ones count as well.
    """
    rest = slice(end + 1, None)
    own = np.flatnonzero((pool.site_id == seasons.site_id[row]) & (pool.year != seasons.year[row]))
    whole = np.isfinite(pool.daily[own, rest]).all(axis=(1, 2)) & (pool.known[own, rest].mean(axis=1) >= WHOLE)
    own = own[whole]
    _, kept = np.unique(pool.year[own], return_index=True)  # several trees of a year share its weather
    own = own[kept]
    earlier = own[pool.year[own] < seasons.year[row]]
    if len(earlier) >= EARLIER:
        return earlier[-most:]
    near = np.argsort(np.abs(pool.year[own] - seasons.year[row]), kind="stable")
    return np.sort(own[near[:most]])


def spliced(seasons: Seasons, rows: Array, ends: Array, pool: Seasons, given: Array) -> Seasons:
    """(E,) seasons: row `rows[i]` up to day `ends[i]`, then row `given[i]` of the pool."""
    whole = seasons.take(rows)
    after = np.arange(seasons.length) > ends[:, None]
    daily = np.where(after[..., None], pool.daily[given], whole.daily)
    hours = None
    if whole.hours is not None or pool.hours is not None:
        hours = np.where(after[..., None], pool.hourly(given), whole.hourly())
    return replace(whole, daily=daily, hours=hours)


def answer(
    predict: Predict,
    seasons: Seasons,
    pool: Seasons,
    climate: Climate,
    *,
    completions: int = 30,
    not_yet: bool = False,
    until: Array | None = None,
    warm: float = 0.0,
    dropped: Array | None = None,
) -> Answer:
    """Distributions of all seasons, incomplete ones completed.

    Args:
        predict: The model.
        seasons: N seasons; nothing is used of a day after the last one known.
        pool: Seasons of past years, by site name.
        climate: Of training.
        completions: Most of them for a season.
        not_yet: Whether bloom has not come by the last known day of the incomplete seasons.
        until: (N,) day index by which it has not come either, where that lies later; NaN outside the season.
        warm: Degrees that every hour is warmed by.
        dropped: (N,) why a season is not to be answered, "" where it is.
    """
    n, length = len(seasons), seasons.length
    beyond = np.full((n, 2), np.nan)
    end = last_known(seasons)
    cdf, day = np.full((n, length), np.nan), np.full(n, np.nan)
    reason, count = np.full(n, "", dtype=object) if dropped is None else dropped.copy(), np.zeros(n, dtype=int)
    asked = reason == ""
    open_: Array = (end < length - 1) & asked
    for rows in _chunks(np.flatnonzero(~open_ & asked)):
        part = seasons.take(rows).warmed(warm).unlabelled()
        found = predict(part)
        cdf[rows], day[rows], reason[rows] = found.cdf, found.day, found.reason
        beyond[rows] = np.stack(climate.beyond(part), axis=1)

    def complete(given: list[tuple[int, Array]]) -> None:
        rows = np.concatenate([np.full(len(g), i) for i, g in given])
        whole = spliced(seasons, rows, end[rows], pool, np.concatenate([g for _, g in given])).warmed(warm)
        found, away = predict(whole.unlabelled()), np.stack(climate.beyond(whole), axis=1)
        good = np.asarray(np.isfinite(found.cdf).all(axis=1))
        for i, _ in given:
            mine = np.flatnonzero(rows == i)
            answered = mine[good[mine]]
            beyond[i] = np.median(away[mine], axis=0)
            if len(answered):
                cdf[i] = found.cdf[answered].mean(axis=0)
            else:
                reason[i] = found.reason[mine[0]] or NO_PAST

    waiting: list[tuple[int, Array]] = []
    for i in np.flatnonzero(open_):
        given = donors(seasons, int(i), int(end[i]), pool, completions)
        count[i] = len(given)
        if not len(given):
            reason[i] = NO_PAST
            continue
        waiting.append((int(i), given))
        if sum(len(g) for _, g in waiting) >= _AT_ONCE:
            complete(waiting)
            waiting = []
    if waiting:
        complete(waiting)
    if not_yet:
        said = end if until is None else np.fmax(end, np.minimum(until, length - 1)).astype(int)
        _condition(cdf, reason, said, open_)
    some: Array = open_ & np.isfinite(cdf[:, -1])
    if some.any():
        found = BloomDays.from_cdf(cdf[some], reason[some])
        day[some], reason[some] = found.day, found.reason
    by_now = np.where(end >= 0, cdf[np.arange(n), np.maximum(end, 0)], 0.0)
    forecast = open_ & ~(by_now > 0.99)
    return Answer(BloomDays(cdf, day, reason), end, count, forecast, beyond[:, 0], beyond[:, 1])


def _chunks(rows: Array) -> list[Array]:
    return [rows[k : k + _AT_ONCE] for k in range(0, len(rows), _AT_ONCE)]


def _condition(cdf: Array, reason: Array, end: Array, open_: Array) -> None:
    """Given that bloom has not come by day `end`."""
    for i in np.flatnonzero(open_ & (end >= 0) & np.isfinite(cdf[:, -1])):
        before = cdf[i, end[i]]
        if before > 1 - 1e-6:
            cdf[i], reason[i] = np.nan, ALL_BUT_CERTAIN
            continue
        cdf[i] = np.clip((cdf[i] - before) / (1 - before), 0, 1)
        cdf[i, : end[i] + 1] = 0.0
