"""How near drawn hours come to measured ones, and how fast chill portions are.

Run ``ECOTONE_DATA=FOLDER python benchmarks/phenology_units.py``. Two stations: Basel (2021-01 to 2023-07, daily extremes of ten
minutes, hourly means) and Winters, California (March to November 2008, a logger's hourly readings). The numbers of the
default curve were fitted on Basel 2021 and rounded as a compromise with Winters. Basel 2022-23 took no part in the fit, but its
errors were seen while choosing among close candidates: a check, not a blind test. The clock of Winters is an assumption.
``--fit`` prints the grid. Errors of units are per day; totals are relative to the total of the measured hours.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd

from ecotone.data.day_curve import METHODS, DayCurve, hourly
from ecotone.systems.phenology.chill import chill_hours, utah
from ecotone.systems.phenology.dynamic import PUBLISHED, dynamic
from ecotone.systems.phenology.forcing import gdd

UNITS = {"portions": dynamic, "chill hours": chill_hours, "Utah": utah, "GDD5": gdd}


def basel(folder: Path) -> dict:
    table = pd.read_csv(folder / "basel_hourly.csv.gz", parse_dates=["datetime_utc"]).set_index("datetime_utc")
    hours = table.asfreq("h").iloc[1:]  # stamps are the ends of the hours: a day runs from 1 to 24
    hours = hours[: len(hours) // 24 * 24]
    mean, low, high = (hours[c].to_numpy().reshape(-1, 24) for c in ("tmean_c", "tmin_c", "tmax_c"))
    clock = np.minimum(np.arange(24) + 0.5 + 7.58 / 15, 24)
    days = pd.DatetimeIndex(hours.index[::24])
    return {"hours": mean, "low": low.min(1), "high": high.max(1), "days": days, "latitude": 47.54, "clock": clock}


def winters(folder: Path) -> dict:
    table = pd.read_csv(folder / "winters_hourly_2008.csv.gz")
    when = pd.to_datetime(table[["Year", "Month", "Day"]]) + pd.to_timedelta(table["Hour"], "h")
    record = table["Temp"].set_axis(when).asfreq("h")["2008-03-04":"2008-11-10"]
    hours = record.to_numpy().reshape(-1, 24)
    clock = np.maximum(np.arange(24) + (120 - 121.97) / 15, 0)  # Pacific standard time to solar time
    days = pd.DatetimeIndex(record.index[::24])
    return {"hours": hours, "low": hours.min(1), "high": hours.max(1), "days": days, "latitude": 38.53, "clock": clock}


def compare(data: dict, curve: str | DayCurve, chosen: np.ndarray) -> dict[str, float]:
    doy = np.asarray(data["days"].day_of_year)
    drawn = hourly(data["low"][None], data["high"][None], data["latitude"], doy, method=curve, clock=data["clock"])[0]
    use = np.isfinite(data["hours"]).all(axis=1) & chosen
    error = (drawn - data["hours"])[use]
    row = {"mae": np.abs(error).mean(), "rmse": np.sqrt((error**2).mean()), "bias": error.mean()}
    for name, unit in UNITS.items():
        ours, theirs = unit(drawn.astype(float))[use], unit(data["hours"])[use]
        difference = ours - theirs
        row |= {f"{name} mae": np.abs(difference).mean(), f"{name} rmse": np.sqrt((difference**2).mean())}
        row[f"{name} total %"] = 100 * (ours.sum() / theirs.sum() - 1)
    return row


def plain_portions(hours: list[float]) -> float:
    """The published recursion, one hour after the other."""
    c, total, s = PUBLISHED, 0.0, 0.0
    for t in hours:
        tk = t + 273.0
        f = math.exp(c.slope * c.tf * (tk - c.tf) / tk)
        xs = c.a0 / c.a1 * math.exp((c.e1 - c.e0) / tk)
        s = xs - (xs - s) * math.exp(-c.a1 * math.exp(-c.e1 / tk))
        if s >= 1:
            total += s * f / (1 + f)
            s -= s * f / (1 + f)
    return total


def speed() -> None:
    rng = np.random.default_rng(0)
    low = rng.normal(3, 5, (712, 274))
    doy = (np.arange(274) + 273) % 365 + 1
    begin = time.perf_counter()
    hours = hourly(low, low + 9, rng.uniform(30, 48, 712), doy)
    drawn = time.perf_counter() - begin
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        fast = dynamic(hours)
        times.append(time.perf_counter() - begin)
    few = hours[:6].astype(float)
    begin = time.perf_counter()
    slow = [plain_portions(season.ravel().tolist()) for season in few]
    loop = (time.perf_counter() - begin) / len(few) * len(hours)
    print(f"day curve, 712 x 274 days: {drawn:.3f} s")
    print(f"portions, 712 seasons x 6576 hours: {min(times):.3f} s; plain loop {loop:.1f} s (6 seasons, scaled)")
    print(f"ratio {loop / min(times):.0f}; largest difference {np.abs(fast[:6].sum(axis=1) - slow).max():.1e} portions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="print the grid the default was chosen from")
    fit = parser.parse_args().fit
    folder = Path(os.environ["ECOTONE_DATA"]) / "phenology"
    north, west = basel(folder), winters(folder)
    season = np.asarray((north["days"].month >= 10) | (north["days"].month <= 5))
    sets = {
        "Basel 2021, October to May": (north, season & np.asarray(north["days"].year == 2021)),
        "Basel 2022-23, October to May": (north, season & np.asarray(north["days"].year > 2021)),
        "Winters 2008, March to November": (west, np.ones(len(west["days"]), bool)),
    }
    curves: dict[str, DayCurve] = dict(METHODS)
    if fit:
        del sets["Basel 2022-23, October to May"]
        grid = itertools.product((2.0, 2.25, 2.5), (0.5, 0.75, 1.0), (1.0, 1.5, 2.0))
        curves |= {f"{a} {c} {b}": DayCurve(a, c, b) for a, c, b in grid}
    for name, (data, chosen) in sets.items():
        rows = pd.DataFrame({label: compare(data, curve, chosen) for label, curve in curves.items()}).T
        print(
            f"\n{name}, {int((np.isfinite(data['hours']).all(axis=1) & chosen).sum())} days\n{rows.round(3).to_string()}"
        )
    print()
    speed()


if __name__ == "__main__":
    main()
