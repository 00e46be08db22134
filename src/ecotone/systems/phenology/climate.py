"""Which seasons lie beyond the weather a model was trained on: mean temperatures of three parts of the season.

The time from day 0 to the usual last day of bloom is parted into three: dormancy setting in, deep winter, spring. A season
extrapolates as far as one of its means lies outside the range of those of training, first those of the site itself.
Letters: N seasons, G sites.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ecotone.data.seasons import TMEAN, Seasons

Array = np.ndarray
PARTS = 3
LEAST = 8  # seasons of a site that make a range of its own


@dataclass(frozen=True)
class Climate:
    """Ranges of training.

    Attributes:
        end: Day index by which 95 % of the training blooms have come.
        low: (3,) smallest means of all sites, degC.
        high: (3,) largest ones.
        own: Site -> ((3,), (3,)) its own ranges, where it has enough seasons.
    """

    end: int
    low: Array
    high: Array
    own: dict[str, tuple[Array, Array]]

    @classmethod
    def of(cls, seasons: Seasons) -> Climate:
        """Of the seasons a model was trained on."""
        event = seasons.event[seasons.observed]
        end = int(np.quantile(event, 0.95)) if len(event) else seasons.length - 1
        end = max(end, PARTS)
        means = part_means(seasons, end)
        good = np.isfinite(means).all(axis=1)
        own = {}
        for name in dict.fromkeys(seasons.site_id[good]):
            rows = means[good & (seasons.site_id == name)]
            if len(rows) >= LEAST:
                own[str(name)] = rows.min(axis=0), rows.max(axis=0)
        some = means[good] if good.any() else np.zeros((1, PARTS))
        return cls(end, some.min(axis=0), some.max(axis=0), own)

    def beyond(self, seasons: Seasons) -> tuple[Array, Array]:
        """(N,) degC beyond the site's own range (of all sites where it has none), and beyond that of all sites."""
        means = part_means(seasons, self.end)
        shared = _outside(means, self.low, self.high)
        mine = shared.copy()
        for name, (low, high) in self.own.items():
            rows = seasons.site_id == name
            mine[rows] = _outside(means[rows], low, high)
        return mine, shared


def part_means(seasons: Seasons, end: int) -> Array:
    """(N, 3) mean temperature of the parts of the time from day 0 to `end`; NaN where less than half is there."""
    edges = np.linspace(0, min(end, seasons.length), PARTS + 1).astype(int)
    found = np.full((len(seasons), PARTS), np.nan)
    for k, (a, b) in enumerate(pairwise(edges)):
        part = seasons.daily[:, a:b, TMEAN].astype(float)
        there = np.isfinite(part)
        count = there.sum(axis=1)
        total = np.where(there, part, 0).sum(axis=1)
        found[:, k] = np.where(2 * count >= b - a, total / np.maximum(count, 1), np.nan)
    return found


def _outside(means: Array, low: Array, high: Array) -> Array:
    """(N,) largest distance to the ranges; 0 inside, NaN where nothing is known."""
    away = np.maximum(np.maximum(low - means, means - high), 0.0)
    known = np.isfinite(away)
    return np.where(known.any(axis=1), np.where(known, away, 0.0).max(axis=1), np.nan)
