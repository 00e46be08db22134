"""How fast grid search is: per combination beside a plain loop, and a whole thermal-time fit beside pyPhenology's.

One thread, both sides in one run; equal answers are checked before a ratio is given. Letters: n seasons, S days, H hours.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.bench.phenology_plain import plain_days, stacked_days
from ecotone.systems.phenology.grid_axes import published
from ecotone.systems.phenology.grid_search import add_losses, choose, exact
from ecotone.systems.phenology.grid_units import degree_days
from ecotone.systems.phenology.thermal_search import ThermalSearch, ThermalTime, fit_thermal_time

Array = np.ndarray
PHASES = {"budburst": 371, "flowers": 501}


def winters(seasons: int, seed: int = 0, length: int = 274) -> Array:
    """(n, S, 24) float32 made-up hourly temperatures of a mild temperate site from 1 October on, degC."""
    rng = np.random.default_rng(seed)
    day = np.arange(length)
    year = 10 - 9 * np.sin(2 * np.pi * (day - 18) / 365)  # coldest at the end of January
    weather = np.zeros((seasons, length))
    noise = rng.normal(0, 2, (seasons, length))
    for t in range(1, length):
        weather[:, t] = 0.75 * weather[:, t - 1] + noise[:, t]
    swing = -4 * np.cos(2 * np.pi * (np.arange(24) - 3) / 24)
    return (year + weather + rng.normal(0, 1, (seasons, 1)))[..., None].astype(np.float32) + swing.astype(np.float32)


def utah_units(hours: Array) -> Array:
    """(n, S) Utah units of the day (Richardson et al. 1974)."""
    ends, weights = (1.4, 2.4, 9.1, 12.4, 15.9, 18.0), np.array([0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0])
    return weights[np.searchsorted(np.array(ends, dtype=np.float32), hours)].sum(axis=-1)


def grid_rows(
    seasons: int = 70, sample: int = 200, rounds: int = 3, seed: int = 0, every: int = 1
) -> list[dict[str, Any]]:
    """The published Utah grid, 204,800 combinations, beside the two plain loops on a random part of them.

    Daily units at every base are made beforehand for all sides; what is timed is sums, scans, errors, and for ours also the
    choice of the best cell.

    Args:
        seasons: Winters.
        sample: Combinations the plain loops are timed on.
        rounds: How often all are timed, in turn; medians count.
        seed: Of winters and sample.
        every: Take every so many-th value of each axis only (tests).
    """
    axes = published("utah")
    axes = type(axes)(axes.base[::every], axes.outer[::every], axes.requirement[::every, ::every])
    hours = winters(seasons, seed)
    chill = exact(utah_units(hours))
    forcing = {float(b): exact(degree_days(hours, float(b))) for b in axes.base}
    rng = np.random.default_rng(seed)
    event = plain_days(chill, forcing[float(axes.base[len(axes.base) // 4])], 900.0, 180.0) + rng.integers(
        -4, 5, seasons
    )
    length = chill.shape[1]
    cost = (np.arange(length + 1.0) - event[:, None]) ** 2
    picked = rng.choice(axes.size, min(sample, axes.size), replace=False)
    cells = np.stack(np.unravel_index(picked, axes.shape), axis=1)
    loss = np.zeros((1, *axes.shape))

    def ours() -> None:
        loss[:] = 0
        add_losses(loss, np.zeros(seasons, dtype=int), cost, "sequential", lambda _: chill, forcing.__getitem__, axes)
        choose(loss[0])

    def plain(days: Callable[..., Array]) -> Callable[[], Array]:
        def run() -> Array:
            return np.array(
                [
                    (
                        (days(chill, forcing[float(axes.base[b])], axes.outer[c, 0], axes.requirement[b, k]) - event)
                        ** 2
                    ).sum()
                    for b, c, k in cells
                ]
            )

        return run

    sides: dict[str, tuple[Callable[[], Any], int]] = {
        "ecotone": (ours, axes.size),
        "loop over combinations and seasons": (plain(plain_days), len(cells)),
        "loop over combinations, seasons at once": (plain(stacked_days), len(cells)),
    }
    wall: dict[str, list[float]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (run, _count) in sides.items():
            answer, a, b = clocked(run)
            wall[name].append(a)
            cpu[name].append(b)
            if answer is not None and not np.array_equal(answer, loss[0][tuple(cells.T)]):
                raise ValueError(f"{name} disagrees with the table")
    rows = []
    for name, (_, count) in sides.items():
        seconds, used = statistics.median(wall[name]), statistics.median(cpu[name])
        rows.append(
            {
                "race": "grid",
                "side": name,
                "data": f"{seasons} winters",
                "combinations": count,
                "seconds": seconds,
                "cpu_seconds": used,
                "per_second": count / used,
            }
        )
    for row in rows[1:]:
        row["ratio"] = rows[0]["per_second"] / row["per_second"]
    return rows


def aspen(folder: Path) -> tuple[Any, Any]:
    """Tables of pyPhenology's aspen data: observations and daily means."""
    import pandas as pd

    return pd.read_csv(folder / "aspen_obs.csv"), pd.read_csv(folder / "aspen_temperature.csv.gz")


def season_matrix(observations: Any, temperature: Any) -> tuple[Array, Array, Array, int]:
    """Tables (site_id, year, doy, and temperature by day) to arrays for `fit_thermal_time`.

    Returns:
        (U, S) daily means of the seasons with observations, (N,) season and (N,) day index of each observation, and the doy of
        day 0. Days that lack a temperature in some season are cut off at both ends.
    """
    import pandas as pd

    def key(table: Any) -> Array:
        return table["site_id"].to_numpy(np.int64) * 10_000 + table["year"].to_numpy(np.int64)

    season, names = pd.factorize(key(observations))
    place = pd.Index(names).get_indexer(pd.Index(key(temperature)))
    doy = temperature["doy"].to_numpy(np.int64)
    first = int(doy.min())
    table = np.full((len(names), int(doy.max()) - first + 1), np.nan)
    here = place >= 0
    table[place[here], doy[here] - first] = temperature["temperature"].to_numpy(float)[here]
    whole = np.flatnonzero(~np.isnan(table).any(axis=0))
    table = table[:, whole[0] : whole[-1] + 1]
    first += int(whole[0])
    return table, season, observations["doy"].to_numpy(np.int64) - first, first


def thermal_row(observations: Any, temperature: Any, kind: str, rounds: int = 5) -> dict[str, Any]:
    """Our fit of one phenophase, timed with and without the making of arrays; the RMSE is computed anew from its days.

    The base is searched between 0 and 15 degC, the start day over the same days as pyPhenology's up to where 60 % have bloomed.
    """
    wall, cpu, whole = [], [], []
    table, season, event, first = season_matrix(observations, temperature)
    fit = ThermalTime(0, 0.0, 0.0, float("inf"), 0)
    for _ in range(rounds):
        _, before, _ = clocked(lambda: season_matrix(observations, temperature))
        fit, seconds, used = clocked(lambda: fit_thermal_time(table, season, event, kind=kind))
        wall.append(seconds)
        cpu.append(used)
        whole.append(before + seconds)
    days = ThermalSearch(table, season, event, kind).days(fit.start, fit.base, fit.requirement)[season]
    return {
        "race": "thermal time",
        "side": f"ecotone, {kind}",
        "seconds": statistics.median(wall),
        "cpu_seconds": statistics.median(cpu),
        "seconds_with_tables": statistics.median(whole),
        "rmse": float(np.sqrt(np.mean((days - event) ** 2.0))),
        "n": len(event),
        "start_doy": fit.start + first,
        "base": fit.base,
        "requirement": fit.requirement,
    }


def clocked(run: Callable[[], Any]) -> tuple[Any, float, float]:
    """Answer, wall seconds and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = run()
    return answer, time.perf_counter() - wall, time.process_time() - cpu
