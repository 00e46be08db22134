"""Baseline: day of bloom on the mean temperature of a window in spring.

The window of a site ends before the earliest bloom it was trained on; its length is chosen on held-out years. An answer
is never earlier than the end of the window, so that no weather after the predicted day is used.
"""

from __future__ import annotations

import numpy as np

from ecotone.data.seasons import TMEAN, Seasons
from ecotone.stats.season_splits import year_folds
from ecotone.systems.phenology.baselines.day_model import DayModel, countries_of, site_levels, site_slopes

Array = np.ndarray
LENGTHS = (21, 30, 45, 60, 75, 90)


class SpringRegression(DayModel):
    """Within-site regression with slopes shrunk to a common one.

    A new site has no earliest bloom: a first line through all seasons, on the weather before the earliest bloom of all,
    says where its window ends (two standard errors before the day it gives), a second one uses that window.

    Args:
        lengths: Days of window to choose from.
    """

    def __init__(self, lengths: tuple[int, ...] = LENGTHS) -> None:
        self.lengths = lengths

    def _learn(self, train: Seasons) -> None:
        self._known = np.isin(np.arange(len(train.sites)), train.site)
        first = np.full(len(train.sites), np.floor(train.event.min()))
        for g in np.flatnonzero(self._known):
            first[g] = np.floor(train.event[train.site == g].min())
        self._end = first.astype(int)
        fold = year_folds(train.year, folds=5)
        best = (np.inf, self.lengths[0])
        for length in self.lengths:
            x = window_mean(train, self._end[train.site], length)
            off = np.zeros(len(train))
            for k in range(int(fold.max()) + 1):
                some = np.flatnonzero(fold != k) if fold.max() else np.arange(len(train))
                other = np.flatnonzero(fold == k)
                line = self._lines(train, x, some)
                off[other] = train.event[other] - line(train.site[other], x[other])
            best = min(best, (float(np.mean(off**2)), length))
        self._length = best[1]
        x = window_mean(train, self._end[train.site], self._length)
        self._line = self._lines(train, x, np.arange(len(train)))
        self._early = int(np.floor(train.event.min()))
        first = window_mean(train, np.full(len(train), self._early), self._length)
        enough = len(train) > 8
        self._first = np.polyfit(first, train.event, 1 if enough else 0)
        self._margin = 2 * float(np.std(train.event - np.polyval(self._first, first)))
        end = self._new_end(train)
        x = np.stack([np.ones(len(train)), window_mean(train, end, self._length), end], axis=1)
        self._second = np.linalg.lstsq(x[:, : 3 if enough else 1], train.event, rcond=None)[0]

    def _new_end(self, seasons: Seasons) -> Array:
        """(N,) ends of the windows of new sites."""
        x = window_mean(seasons, np.full(len(seasons), self._early), self._length)
        day = np.nan_to_num(np.polyval(self._first, x), nan=self._early)
        return np.clip(np.floor(day - self._margin), self._early, seasons.length - 1).astype(int)

    def _new_day(self, seasons: Seasons) -> Array:
        end = self._new_end(seasons)
        x = np.stack([np.ones(len(seasons)), window_mean(seasons, end, self._length), end], axis=1)
        return np.maximum(x[:, : len(self._second)] @ self._second, end)

    def _lines(self, train: Seasons, x: Array, rows: Array):
        y, site, g = train.event[rows], train.site[rows], len(train.sites)
        levels = site_levels(y, site, countries_of(train))
        count = np.bincount(site, minlength=g)
        centre = np.bincount(site, weights=x[rows], minlength=g) / np.maximum(count, 1)
        centre = np.where(count > 0, centre, x[rows].mean())
        slopes, common = site_slopes(x[rows], y, site, g)
        slopes = np.where(count > 0, slopes, common)
        return lambda at, value: levels[at] + slopes[at] * (value - centre[at])

    def _day(self, seasons: Seasons) -> Array:
        end = self._end[seasons.site]
        x = window_mean(seasons, end, self._length)
        day = np.maximum(self._line(seasons.site, x), end)
        return np.where(self._known[seasons.site], day, self._new_day(seasons))


def window_mean(seasons: Seasons, end: Array, length: int) -> Array:
    """(N,) mean temperature of the `length` days before day `end` (N,), degC; NaN where no day has one."""
    daily = seasons.daily[..., TMEAN].astype(np.float64)
    days = np.arange(seasons.length)
    inside = (days < end[:, None]) & (days >= end[:, None] - length) & np.isfinite(daily)
    count = inside.sum(axis=1)
    total = np.where(inside, daily, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
