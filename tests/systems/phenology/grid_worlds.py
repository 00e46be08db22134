"""Small random worlds for the tests of grid search."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecotone.data.seasons import Calendar, Seasons, Status

Array = np.ndarray


def utah(hours: Array) -> Array:
    """(n, S) Utah units, by the published classes."""
    x = hours
    units = np.select([x <= 1.4, x <= 2.4, x <= 9.1, x <= 12.4, x <= 15.9, x <= 18], [0, 0.5, 1, 0.5, 0, -0.5], -1.0)
    return np.where(np.isnan(x), np.nan, units).sum(axis=-1)


def few_hours(seed: int, sites: int = 2, years: int = 6, length: int = 60, mean: float = 8.0) -> Seasons:
    """Random seasons of three-hourly steps of whole half degrees; bloom on random late days."""
    rng = np.random.default_rng(seed)
    n = sites * years
    drift = np.linspace(-6, 8, length)[None, :, None] + rng.normal(0, 2, (n, 1, 1))
    hours = (np.round(2 * (mean + drift + rng.normal(0, 4, (n, length, 8)))) / 2).astype(np.float32)
    return of_hours(hours, np.repeat(np.arange(sites), years), np.tile(2000 + np.arange(years), sites),
                    rng.integers(int(length * 0.6), length, n).astype(float))  # fmt: skip


def of_hours(hours: Array, site: Array, year: Array, event: Array) -> Seasons:
    """Seasons from hours (n, S, H)."""
    n, length, _ = hours.shape
    daily = np.stack([hours.min(-1), hours.max(-1), hours.mean(-1)], axis=-1)
    count = int(site.max()) + 1
    sites = pd.DataFrame(
        {
            "site_id": [f"s{g}" for g in range(count)],
            "latitude": 45.0,
            "longitude": 8.0,
            "altitude": 300.0,
            "country": "X",
            "group": "",
            "station": [f"t{g // 2}" for g in range(count)],
        }
    )
    return Seasons(
        daily=daily,
        known=np.ones((n, length), dtype=bool),
        year=year,
        first=Calendar(length=length).first_day(year, np.full(n, 45.0)),
        site=site,
        sites=sites,
        status=np.full(n, Status.OBSERVED, dtype=np.int8),
        event=event,
        quality=np.full(n, "observed", dtype=object),
        hours=hours,
        source="hourly",
    )
