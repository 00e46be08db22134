"""Answers as distributions over the day of bloom: quantiles, dates, probability of bloom by a day.

Every model of this system answers with `BloomDays`, also those that give one day only (their spread is that of residuals).
Letters: N seasons, S days, Q quantiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from ecotone.data.seasons import Seasons

Array = np.ndarray
NEVER = "does not bloom within the season"


@dataclass(frozen=True)
class BloomDays:
    """Distributions over the day of bloom.

    Attributes:
        cdf: (N, S) probability that bloom has come by the end of day k, non-decreasing; below 1 at the end where it may
            not come in the season at all. NaN rows where there is no answer.
        day: (N,) the one answer scored by MAE, in day indices (fractions allowed); NaN where there is none.
        reason: (N,) why there is none, "" where there is one.
    """

    cdf: Array
    day: Array
    reason: Array

    @classmethod
    def from_cdf(cls, cdf: Array, reason: Array | None = None) -> Self:
        """Answers with the median; seasons that reach no half are NaN with a reason."""
        reason = np.full(len(cdf), "", dtype=object) if reason is None else np.array(reason, dtype=object)
        day = quantile(cdf, 0.5)
        reason[np.isnan(day) & (reason == "")] = NEVER
        return cls(cdf, day, reason)

    @classmethod
    def from_day(cls, day: Array, residuals: Array, length: int, reason: Array | None = None) -> Self:
        """One day per season, spread by residuals (observed - predicted days) of the model on seasons it was not fitted to.

        Args:
            day: (N,) day indices; NaN where there is no answer.
            residuals: (R,) days, shared by all seasons.
            length: S.
            reason: (N,) why an answer is missing.
        """
        day = np.asarray(day, dtype=float)
        reason = np.full(len(day), "", dtype=object) if reason is None else np.array(reason, dtype=object)
        reason[np.isnan(day) & (reason == "")] = NEVER
        spread = np.sort(residuals[np.isfinite(residuals)]) if np.isfinite(residuals).any() else np.zeros(1)
        end = np.arange(length) + 0.5
        cdf = np.full((len(day), length), np.nan)
        rows = np.flatnonzero(np.isfinite(day))
        # midpoints between residuals: an empirical distribution without steps, a little wider than the sample
        steps = (np.arange(len(spread)) + 0.5) / len(spread)
        for i in rows:
            cdf[i] = np.interp(end - day[i], spread, steps, left=0.0, right=1.0)
        return cls(cdf, day, reason)

    def quantiles(self, levels: Sequence[float]) -> Array:
        """(N, Q) day indices at which the probability of bloom reaches each level; NaN where it does not."""
        return np.stack([quantile(self.cdf, q) for q in levels], axis=1)

    def by(self, index: Array) -> Array:
        """(N,) probability of bloom by the end of a day index per season; 0 before the season, NaN without an answer."""
        index = np.asarray(index, dtype=float)
        place = np.clip(np.where(np.isnan(index), 0, index), 0, self.cdf.shape[1] - 1).astype(int)
        found = self.cdf[np.arange(len(self.cdf)), place]
        return np.where(np.isnan(index), np.nan, np.where(index < 0, np.where(np.isnan(found), np.nan, 0.0), found))

    @property
    def ever(self) -> Array:
        """(N,) probability of bloom within the season."""
        return self.cdf[:, -1]


def quantile(cdf: Array, level: float) -> Array:
    """(N,) day index where (N, S) `cdf` crosses a level, within the day by linear interpolation; NaN where it never does.

    The mass of day k lies between k - 0.5 and k + 0.5, so that a day known for sure has its own index as median.
    """
    with np.errstate(invalid="ignore"):
        reached = cdf >= level
    k = reached.argmax(axis=1)
    rows = np.arange(len(cdf))
    after = cdf[rows, k]
    before = np.where(k > 0, cdf[rows, np.maximum(k - 1, 0)], 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(after > before, (level - before) / (after - before), 1.0)
    return np.where(reached.any(axis=1), k - 0.5 + part, np.nan)


class BloomModel(Protocol):
    """What every model of bloom days does; `predict` must not read `status` or `event`."""

    def fit(self, seasons: Seasons) -> Self:
        """Learns from the seasons with a known or censored bloom; others are passed over."""
        ...

    def predict(self, seasons: Seasons) -> BloomDays:
        """Answers for every season."""
        ...
