"""Baselines without weather: the mean of a site, and its trend over the years."""

from __future__ import annotations

import numpy as np

from ecotone.data.seasons import Seasons
from ecotone.systems.phenology.baselines.day_model import DayModel, countries_of, site_levels, site_slopes

Array = np.ndarray


class SiteMean(DayModel):
    """The mean day of bloom of a site, shrunk where it has few seasons; a new site gets that of its country's sites."""

    def _learn(self, train: Seasons) -> None:
        self._level = site_levels(train.event, train.site, countries_of(train))

    def _day(self, seasons: Seasons) -> Array:
        return self._level[seasons.site]


class SiteTrend(DayModel):
    """A straight line over the years per site, its slope shrunk towards the slope common to all sites."""

    def _learn(self, train: Seasons) -> None:
        year, g = train.year.astype(float), len(train.sites)
        self._level = site_levels(train.event, train.site, countries_of(train))
        count = np.bincount(train.site, minlength=g)
        centre = np.bincount(train.site, weights=year, minlength=g) / np.maximum(count, 1)
        self._centre = np.where(count > 0, centre, year.mean())
        slopes, common = site_slopes(year, train.event, train.site, g)
        self._slope = np.where(count > 0, slopes, common)

    def _day(self, seasons: Seasons) -> Array:
        at = seasons.site
        return self._level[at] + self._slope[at] * (seasons.year - self._centre[at])
