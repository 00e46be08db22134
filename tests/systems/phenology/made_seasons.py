"""Seasons drawn by a simple rule: blossom when degree days since 1 January reach a sum."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ecotone.data.seasons import Calendar, Seasons, Status


def seasons(years: int = 24, sites: int = 3, seed: int = 0, noise: float = 1.0, need: float = 180.0) -> Seasons:
    rng = np.random.default_rng(seed)
    year = np.tile(np.arange(1980, 1980 + years), sites)
    site = np.repeat(np.arange(sites), years)
    calendar = Calendar()
    latitude = 40.0 + np.arange(sites)
    first = calendar.first_day(year, latitude[site])
    days = np.arange(calendar.length)
    wave = 9 - 9 * np.cos(2 * np.pi * (days - 110) / 365)
    weather = rng.normal(0, 1, (years, calendar.length))
    for k in range(1, calendar.length):
        weather[:, k] += 0.85 * weather[:, k - 1]
    weather += rng.normal(0, 1.0, (years, 1))
    mean = wave + weather[np.tile(np.arange(years), sites)] - 1.5 * site[:, None] + rng.normal(0, 0.5, (len(year), 1))
    daily = np.stack([mean - 4, mean + 4, mean], axis=2).astype(np.float32)
    sums = np.cumsum(np.where(days >= 92, np.maximum(mean - 4, 0), 0), axis=1)
    event = np.clip(np.round((sums < need).sum(axis=1) + rng.normal(0, noise, len(year))), 100, calendar.length - 1)
    table = pd.DataFrame(
        {
            "site_id": [f"s{g}" for g in range(sites)],
            "latitude": latitude,
            "longitude": 8.0 + 0.1 * np.arange(sites),
            "altitude": 150.0 + 300 * np.arange(sites),
            "country": ["A" if g % 2 == 0 else "B" for g in range(sites)],
            "group": "",
            "station": [f"t{g}" for g in range(sites)],
        }
    )
    return Seasons(
        daily,
        np.ones(daily.shape[:2], dtype=bool),
        year,
        first,
        site,
        table,
        np.full(len(year), Status.OBSERVED, dtype=np.int8),
        event.astype(float),
        np.full(len(year), "observed", dtype=object),
    )
