"""Groups of sites (variety, species, country), and one model per group: what is pooled is then pooled within the group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np

from ecotone.data.seasons import Seasons
from ecotone.systems.phenology.distribution import BloomDays, BloomModel

Array = np.ndarray


def group_labels(seasons: Seasons) -> Array:
    """(rows of sites,) group names: the column `group`, and the country where it says nothing."""
    n = len(seasons.sites)
    label = np.full(n, "", dtype=object)
    for name in ("country", "group"):
        if name in seasons.sites:
            column = seasons.sites[name]
            there = column.notna().to_numpy() & (column.astype(str) != "").to_numpy()
            label[there] = column.astype(str).to_numpy()[there]
    return label


class ByGroup:
    """Fits a model of its own for every group, and one of all seasons that answers for groups it has not seen.

    Args:
        make: Makes an unfitted model.
    """

    def __init__(self, make: Callable[[], BloomModel]) -> None:
        self.make = make

    def fit(self, seasons: Seasons) -> Self:
        """Fits every group that has a season with a known bloom."""
        groups = _groups(seasons)
        known = groups[seasons.observed]
        self.models_: dict[str, BloomModel] = {
            str(g): self.make().fit(seasons.take(groups == g)) for g in np.unique(known)
        }
        self.any_: BloomModel = self.make().fit(seasons)
        return self

    def predict(self, seasons: Seasons) -> BloomDays:
        """Answers of each group's model; of the model of all for other groups."""
        groups = _groups(seasons)
        cdf = np.full((len(seasons), seasons.length), np.nan)
        day, reason = np.full(len(seasons), np.nan), np.full(len(seasons), "", dtype=object)
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            answer = self.models_.get(str(group), self.any_).predict(seasons.take(rows))
            cdf[rows], day[rows], reason[rows] = answer.cdf, answer.day, answer.reason
        return BloomDays(cdf, day, reason)


def _groups(seasons: Seasons) -> Array:
    return group_labels(seasons)[seasons.site].astype(str)
