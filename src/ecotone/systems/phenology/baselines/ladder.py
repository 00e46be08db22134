"""A rolling answer: models at a ladder of cut-off days, each seeing the weather before its day only.

A season starts at the first cut-off and goes on to the next while its answer lies at or after that next cut-off; the
answer of the last model used counts, and is never set before that model's own cut-off. So the answer of day d rests on
weather up to day d alone, as for a model that accumulates chill and heat: changing the weather from the predicted day on
changes nothing. Each model is fitted to the seasons that reach it in this way, judged by answers for held-out years (for
new sites: held-out sites), so that it meets in use what it was fitted to.

Letters: N seasons, W weeks, G sites.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from ecotone.data.seasons import TMAX, TMEAN, Seasons
from ecotone.systems.phenology.baselines.day_model import DayModel, countries_of, site_levels

Array = np.ndarray
WARM = 5.0  # degC


class Stage(Protocol):
    """A model of one cut-off."""

    def fit(self, x: Array, y: Array, seasons: Seasons, groups: Array) -> Array:
        """Learns days y (N,) from weeks x (N, W); gives (N,) answers for seasons held out with their group."""
        ...

    def day(self, x: Array, seasons: Seasons) -> Array:
        """(N,) answers."""
        ...


class Ladder(DayModel):
    """The rolling answer over stages of one kind.

    Args:
        stage: Makes the unfitted model of a cut-off; its argument says whether it is for new sites.
        step: Days between cut-offs.
        weeks: How many weeks before a cut-off are used.
        least: A cut-off that fewer seasons reach is not used.
    """

    def __init__(self, stage: Callable[[bool], Stage], *, step: int = 7, weeks: int = 26, least: int = 20) -> None:
        self.stage, self.step, self.weeks, self.least = stage, step, weeks, least

    def _learn(self, train: Seasons) -> None:
        self._kept = train
        self._made: dict[bool, tuple[list[tuple[int, Any]], Array]] = {}

    def _year_residuals(self) -> Array:
        return self._kept.event - self._ladder(new=False)[1]

    def _site_residuals(self) -> Array:
        return self._kept.event - self._ladder(new=True)[1]

    def _ladder(self, *, new: bool) -> tuple[list[tuple[int, Any]], Array]:
        """The ladder for known or new sites, fitted when first asked for."""
        if new not in self._made:
            groups = self._kept.site if new else self._kept.year
            self._made[new] = self._rungs(self._kept, groups, new=new)
        return self._made[new]

    def _rungs(self, train: Seasons, groups: Array, *, new: bool) -> tuple[list[tuple[int, Any]], Array]:
        """(cut-off, fitted stage) up to the last that enough seasons reach; (N,) rolling answers with groups held out."""
        first = max(int(np.floor(train.event.min())) - self.step, 7)
        rungs: list[tuple[int, Any]] = []
        active = np.arange(len(train))
        answer = np.full(len(train), np.nan)
        for cut in range(first, train.length, self.step):
            if rungs and len(active) < self.least:
                break
            stage = self.stage(new)
            some = train.take(active)
            held = stage.fit(weekly_columns(some, cut, self.weeks), some.event, some, groups[active])
            rungs.append((cut, stage))
            answer[active] = np.maximum(held, cut)
            active = active[answer[active] >= cut + self.step]
        return rungs, answer

    def _day(self, seasons: Seasons) -> Array:
        known = np.isin(seasons.site, self._kept.site)
        day = np.full(len(seasons), np.nan)
        for new in (False, True):
            rows = np.flatnonzero(known != new)
            if len(rows):
                day[rows] = self._roll(self._ladder(new=new)[0], seasons.take(rows))
        return day

    def _roll(self, rungs: list[tuple[int, Any]], seasons: Seasons) -> Array:
        day = np.full(len(seasons), np.nan)
        on = np.arange(len(seasons))
        for cut, stage in rungs:
            if not len(on):
                break
            some = seasons.take(on)
            day[on] = np.maximum(stage.day(weekly_columns(some, cut, self.weeks), some), cut)
            on = on[day[on] >= cut + self.step]
        return day


def weekly_columns(seasons: Seasons, cut: int, weeks: int) -> Array:
    """(N, 3 W) of the weeks before day `cut`: mean temperature, and means of daily mean and maximum above 5 degC.

    The warm parts let a linear model count warmth as degree days do, which mean temperature alone does not.
    """
    mean, top = (seasons.daily[..., k].astype(np.float64) for k in (TMEAN, TMAX))
    top = np.where(np.isfinite(top), top, mean)
    parts = (mean, np.maximum(mean - WARM, 0), np.maximum(top - WARM, 0))
    return np.concatenate([week_means(part, cut, weeks) for part in parts], axis=1)


def week_means(daily: Array, cut: int, weeks: int) -> Array:
    """(N, W) means of daily values (N, S) over the weeks before day `cut`, the last first; NaN for a week without days."""
    many = max(1, min(weeks, cut // 7))
    blocks = daily[:, cut - 7 * many : cut].reshape(len(daily), many, 7)
    count = np.isfinite(blocks).sum(axis=2)
    mean = np.nansum(blocks, axis=2) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.nan)[:, ::-1]


def places(seasons: Seasons) -> Array:
    """(N, 3) latitude, longitude, altitude of each season's site; NaN where unknown."""
    columns = [
        seasons.sites[name].to_numpy(dtype=float) if name in seasons.sites else np.full(len(seasons.sites), np.nan)
        for name in ("latitude", "longitude", "altitude")
    ]
    return np.stack(columns, axis=1)[seasons.site]


def levels_of(seasons: Seasons, y: Array) -> Array:
    """(G,) shrunken mean day of each site."""
    return site_levels(y, seasons.site, countries_of(seasons))
