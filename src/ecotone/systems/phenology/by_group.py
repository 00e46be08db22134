"""One model per group of sites (country, variety, species): what is pooled is then pooled within the group."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import numpy as np

from ecotone.data.seasons import Seasons
from ecotone.errors import UsageError, suggest
from ecotone.systems.phenology.distribution import BloomDays, BloomModel

Array = np.ndarray
NO_GROUP = "no tree of this group was trained on"


class ByGroup:
    """Fits a model of its own for every value of a column of `Seasons.sites`.

    Args:
        make: Makes an unfitted model.
        column: "country", "group" or another column of the sites.
    """

    def __init__(self, make: Callable[[], BloomModel], column: str = "group") -> None:
        self.make, self.column = make, column

    def fit(self, seasons: Seasons) -> Self:
        """Fits every group that has a season with a known or censored bloom."""
        groups = self._groups(seasons)
        known = groups[np.isfinite(seasons.event)]
        self.models_: dict[str, BloomModel] = {
            str(g): self.make().fit(seasons.take(groups == g)) for g in np.unique(known)
        }
        return self

    def predict(self, seasons: Seasons) -> BloomDays:
        """Answers of each group's model; NaN with a reason for groups without one."""
        groups = self._groups(seasons)
        cdf = np.full((len(seasons), seasons.length), np.nan)
        day, reason = np.full(len(seasons), np.nan), np.full(len(seasons), NO_GROUP, dtype=object)
        for group, model in self.models_.items():
            rows = np.flatnonzero(groups == group)
            if len(rows):
                answer = model.predict(seasons.take(rows))
                cdf[rows], day[rows], reason[rows] = answer.cdf, answer.day, answer.reason
        return BloomDays(cdf, day, reason)

    def _groups(self, seasons: Seasons) -> Array:
        if self.column not in seasons.sites:
            known = [str(name) for name in seasons.sites.columns]
            raise UsageError(
                "US101", "group column", f"{self.column!r} is not in the sites", suggest(self.column, known)
            )
        return seasons.sites[self.column].fillna("").astype(str).to_numpy(dtype=object)[seasons.site].astype(str)
