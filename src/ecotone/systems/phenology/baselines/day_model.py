"""What all baselines share: one day per season, spread by residuals on seasons they were not fitted to.

Known sites get the spread of held-out years; sites without training seasons get that of held-out sites, which is wider.
Letters: N seasons, G sites.
"""

from __future__ import annotations

from copy import copy
from typing import Self

import numpy as np

from ecotone.data.seasons import Seasons
from ecotone.errors import InputError
from ecotone.stats.season_splits import year_folds
from ecotone.systems.phenology.distribution import BloomDays

Array = np.ndarray
UNFIT = "no answer from the training seasons"


class DayModel:
    """A model of one day per season; subclasses write `_learn` and `_day`.

    Censored seasons are passed over: a least-squares fit has no use for a bound.

    Attributes:
        folds: Groups of years (or sites) that are held out in turn for the residuals.
    """

    folds: int = 5
    _train: Seasons
    _years: Array | None
    _sites: Array | None

    def fit(self, seasons: Seasons) -> Self:
        """Learns from the seasons with a known day of bloom.

        Raises:
            InputError: PH655 when there are none.
        """
        train = seasons.take(np.flatnonzero(seasons.observed & np.isfinite(seasons.event)))
        if not len(train):
            raise InputError("PH655", "seasons", "none has a known day of bloom", "give observed seasons to learn from")
        self._train = train
        self._learn(train)
        self._years = self._sites = None  # residuals are computed when first asked for
        return self

    def predict(self, seasons: Seasons) -> BloomDays:
        """Answers for every season; known and new sites have their own spread."""
        day = self._day(seasons)
        new = ~np.isin(seasons.site, self._train.site)
        answers = BloomDays.from_day(day, np.zeros(1), seasons.length)
        cdf = answers.cdf
        if not new.all():
            self._years = self._year_residuals() if self._years is None else self._years
            cdf = BloomDays.from_day(day, self._years, seasons.length).cdf
        if new.any():
            self._sites = self._site_residuals() if self._sites is None else self._sites
            other = BloomDays.from_day(day[new], self._sites, seasons.length)
            cdf = cdf.copy()
            cdf[new] = other.cdf
        return BloomDays(cdf, day, answers.reason)

    def _year_residuals(self) -> Array:
        """(N,) observed - predicted for years held out."""
        return self._held_out(year_folds(self._train.year, folds=self.folds))

    def _site_residuals(self) -> Array:
        """(N,) observed - predicted for sites held out."""
        sites, place = np.unique(self._train.site, return_inverse=True)
        order = np.random.default_rng([0, 5]).permutation(len(sites))
        return self._held_out((order % max(1, min(self.folds, len(sites))))[place])

    def _held_out(self, fold: Array) -> Array:
        """(N,) observed - predicted of seasons left out fold by fold; fitted residuals where there is one fold only."""
        train, out = self._train, np.full(len(self._train), np.nan)
        if fold.max() == 0:
            return train.event - self._day(train)
        for k in range(int(fold.max()) + 1):
            other = copy(self)
            other._train = train.take(np.flatnonzero(fold != k))
            other._learn(other._train)
            out[fold == k] = train.event[fold == k] - other._day(train.take(np.flatnonzero(fold == k)))
        return out

    def _learn(self, train: Seasons) -> None:
        raise NotImplementedError

    def _day(self, seasons: Seasons) -> Array:
        """(N,) day indices."""
        raise NotImplementedError


def site_levels(y: Array, site: Array, countries: Array) -> Array:
    """(G,) mean of each site, shrunk towards the mean of sites where it has few seasons (empirical Bayes, by moments).

    A site without seasons gets the mean of the sites of its country, or of all sites where that has none either.

    Args:
        y: (N,) values.
        site: (N,) site numbers.
        countries: (G,) country of each site.
    """
    g = len(countries)
    count = np.bincount(site, minlength=g)
    mean = np.bincount(site, weights=y, minlength=g) / np.maximum(count, 1)
    seen = count > 0
    free = count.sum() - seen.sum()
    within = float(((y - mean[site]) ** 2).sum() / free) if free > 0 else 0.0
    middle = float(mean[seen].mean())
    levels = np.full(g, middle)
    for country in np.unique(countries[seen]):
        own = seen & (countries == country)
        levels[countries == country] = mean[own].mean()
    between = float(np.var(mean[seen], ddof=1)) - within * float(np.mean(1 / count[seen])) if seen.sum() > 1 else 1e6
    between = max(between, 1e-6)
    weight = count[seen] / (count[seen] + within / between)
    levels[seen] = middle + weight * (mean[seen] - middle)
    return levels


def site_slopes(x: Array, y: Array, site: Array, g: int) -> tuple[Array, float]:
    """(G,) slopes of y on x within sites, each shrunk towards the common slope (DerSimonian and Laird 1986), and the common one.

    Args:
        x: (N,) predictor.
        y: (N,) response.
        site: (N,) site numbers.
        g: How many sites.
    """
    count = np.maximum(np.bincount(site, minlength=g), 1)
    x = x - (np.bincount(site, weights=x, minlength=g) / count)[site]
    y = y - (np.bincount(site, weights=y, minlength=g) / count)[site]
    sxx, sxy = np.bincount(site, weights=x * x, minlength=g), np.bincount(site, weights=x * y, minlength=g)
    if sxx.sum() <= 0:
        return np.zeros(g), 0.0
    common = float(sxy.sum() / sxx.sum())
    own = sxx > 1e-12
    slope = np.full(g, common)
    slope[own] = sxy[own] / sxx[own]
    free = len(x) - own.sum() - np.bincount(site, minlength=g).astype(bool).sum()
    if own.sum() < 2 or free < 1:
        return np.full(g, common), common
    noise = float(((y - slope[site] * x) ** 2).sum() / free)
    spread = (sxx[own] * (slope[own] - common) ** 2).sum() / max(noise, 1e-12) - (own.sum() - 1)
    scale = (sxx[own].sum() - (sxx[own] ** 2).sum() / sxx[own].sum()) / max(noise, 1e-12)
    between = max(float(spread / scale), 0.0) if scale > 0 else 0.0
    keep = between / (between + noise / np.maximum(sxx, 1e-12)) if between > 0 else np.zeros(g)
    return common + keep * (slope - common), common


def countries_of(seasons: Seasons) -> Array:
    """(G,) country of each site, "" where none is said."""
    if "country" not in seasons.sites:
        return np.full(len(seasons.sites), "", dtype=object)
    return seasons.sites["country"].fillna("").to_numpy(dtype=object).astype(str).astype(object)
