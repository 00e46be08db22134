"""Small made-up bloom and temperature tables for the tests of seasons."""

from __future__ import annotations

import numpy as np
import pandas as pd


def daily(start="2000-01-01", end="2006-12-31", station="A", *, seed=0, level=10.0, shift=0, **columns):
    """Daily extremes with a yearly wave; `shift` moves the wave by days, 183 for the south."""
    date = np.arange(np.datetime64(start), np.datetime64(end) + 1)
    rng = np.random.default_rng(seed)
    doy = (date - date.astype("datetime64[Y]")).astype(int)
    mean = level - 10 * np.cos(2 * np.pi * (doy - 15 - shift) / 365.25) + rng.normal(0, 2, len(date))
    frame = pd.DataFrame({"station_id": station, "date": date.astype(str), "tmin": mean - 4, "tmax": mean + 4})
    return frame.assign(**columns).round(1)


def bloom(site="A", years=range(2001, 2007), doy=100, **columns):
    """One row per year."""
    years = list(years)
    days = [doy + i for i in range(len(years))] if isinstance(doy, int) else list(doy)
    return pd.DataFrame({"site_id": site, "year": years, "doy": days, **columns})
