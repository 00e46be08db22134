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

from ecotone.data.seasons import TMEAN, Seasons
from ecotone.systems.phenology.baselines.day_model import DayModel, countries_of, site_levels

Array = np.ndarray


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
        self._known_rungs, self._known_held = self._rungs(train, train.year, new=False)
        self._new_rungs: list[tuple[int, Any]] | None = None

    def _year_residuals(self) -> Array:
        return self._kept.event - self._known_held

    def _site_residuals(self) -> Array:
        self._need_new()
        return self._kept.event - self._new_held

    def _need_new(self) -> None:
        if self._new_rungs is None:
            self._new_rungs, self._new_held = self._rungs(self._kept, self._kept.site, new=True)

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
            held = stage.fit(week_means(some, cut, self.weeks), some.event, some, groups[active])
            rungs.append((cut, stage))
            answer[active] = np.maximum(held, cut)
            active = active[answer[active] >= cut + self.step]
        return rungs, answer

    def _day(self, seasons: Seasons) -> Array:
        known = np.isin(seasons.site, self._kept.site)
        day = np.full(len(seasons), np.nan)
        if known.any():
            day[known] = self._roll(self._known_rungs, seasons.take(np.flatnonzero(known)))
        if not known.all():
            self._need_new()
            day[~known] = self._roll(self._new_rungs or [], seasons.take(np.flatnonzero(~known)))
        return day

    def _roll(self, rungs: list[tuple[int, Any]], seasons: Seasons) -> Array:
        day = np.full(len(seasons), np.nan)
        on = np.arange(len(seasons))
        for cut, stage in rungs:
            if not len(on):
                break
            some = seasons.take(on)
            day[on] = np.maximum(stage.day(week_means(some, cut, self.weeks), some), cut)
            on = on[day[on] >= cut + self.step]
        return day


def week_means(seasons: Seasons, cut: int, weeks: int) -> Array:
    """(N, W) mean temperatures of the weeks before day `cut`, the last one first, degC; NaN where a week has no day."""
    many = max(1, min(weeks, cut // 7))
    daily = seasons.daily[:, cut - 7 * many : cut, TMEAN].astype(np.float64) if cut >= 7 else np.empty((len(seasons), 0))
    blocks = daily.reshape(len(seasons), many, -1)
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
