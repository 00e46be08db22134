"""Warming experiments: the same seasons with every hour warmer, and by how many days bloom moves.

Warmer hours speed up forcing and may cost chill, so that a shift need not be even. Seasons beyond the weather of training
are counted: there the answer is a guess of the model's form. Letters: N seasons, W warmings, G sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ecotone.data.seasons import Seasons
from ecotone.stats.bootstrap import bootstrap
from ecotone.systems.phenology.climate import Climate
from ecotone.systems.phenology.forecast import Predict, last_known, stacked

Array = np.ndarray
YEARS = 30  # latest seasons of a site that are warmed
DEGREES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0)


@dataclass(frozen=True)
class Warming:
    """Answers for warmed seasons.

    Attributes:
        degrees: (W,) degC, rising, 0 among them.
        site_id: (N,) names.
        year: (N,) bloom years.
        day: (W, N) median days of the bloom year; NaN where bloom does not come.
        end: (N,) last day of the season, day of the bloom year.
        beyond: (W, N) degC beyond the weather of training at the site.
    """

    degrees: Array
    site_id: Array
    year: Array
    day: Array
    end: Array
    beyond: Array

    @property
    def bounded(self) -> Array:
        """(W, N) days, the end of the season standing for later or never."""
        return np.where(np.isnan(self.day), self.end, self.day)

    def shifts(self, site: str) -> pd.DataFrame:
        """One row per warming: what it does at a site, with intervals over its years.

        A year that does not bloom counts as later than all others, so that it cannot make the rest look early; the middle
        year is therefore given, not the mean.

        Returns:
            site_id, warm (degC), doy (median of the years), shift (median of the years' shifts against no warming, days,
            negative is earlier), low, high (95 % interval of that, years drawn with replacement), days_per_degree, years,
            no_bloom (share of years without an answer), extrapolates (share of years beyond the weather of training). Where
            half of the years or more do not bloom there is no shift.
        """
        mine = self.site_id == site
        day = self.bounded[:, mine]
        moved = day - day[int(np.flatnonzero(self.degrees == 0)[0])]
        never = np.isnan(self.day[:, mine]).mean(axis=1)
        rows = []
        for k, degrees in enumerate(self.degrees):
            interval = bootstrap(moved[k], np.median, n=500)
            known = never[k] < 0.5
            shift, low, high, doy = (interval.estimate, interval.low, interval.high, float(np.median(day[k])))
            rows.append(
                {
                    "site_id": site,
                    "warm": float(degrees),
                    "doy": doy if known else np.nan,
                    "shift": shift if known else np.nan,
                    "low": low if known else np.nan,
                    "high": high if known else np.nan,
                    "days_per_degree": shift / float(degrees) if known and degrees else np.nan,
                    "years": int(mine.sum()),
                    "no_bloom": float(never[k]),
                    "extrapolates": float((self.beyond[k, mine] > 0).mean()),
                }
            )
        return pd.DataFrame(rows)

    def to_frame(self) -> pd.DataFrame:
        """The shifts of all sites."""
        return pd.concat([self.shifts(str(name)) for name in dict.fromkeys(self.site_id)], ignore_index=True)


def warming(
    predict: Predict, seasons: Seasons, climate: Climate, degrees: Sequence[float] = DEGREES, *, years: int = YEARS
) -> Warming:
    """Answers for warmed seasons.

    Args:
        predict: The model.
        seasons: Of which the latest complete ones of each site are warmed.
        climate: Of training.
        degrees: degC; 0 is added.
        years: Most seasons of a site.
    """
    seasons = complete_seasons(seasons, years)
    every = np.unique([0.0, *degrees])
    end = seasons.doy(np.full(len(seasons), seasons.length - 1.0))
    warm = stacked([seasons.warmed(float(d)).unlabelled() for d in every])
    day, beyond = warm.doy(predict(warm).day), climate.beyond(warm)[0]
    shape = len(every), len(seasons)
    return Warming(every, seasons.site_id, seasons.year, day.reshape(shape), end, beyond.reshape(shape))


def complete_seasons(seasons: Seasons, most: int) -> Seasons:
    """The latest seasons of each site with temperatures to the end, one a year."""
    end = last_known(seasons)
    whole = (end >= seasons.length - 1) & np.isfinite(seasons.daily).all(axis=(1, 2))
    kept: list[int] = []
    for name in dict.fromkeys(seasons.site_id):
        mine = np.flatnonzero(whole & (seasons.site_id == name))
        _, once = np.unique(seasons.year[mine], return_index=True)
        kept += mine[once][-most:].tolist()
    chosen = seasons.take(np.array(sorted(kept), dtype=int))
    return replace(chosen, extra={})
