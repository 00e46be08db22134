"""Writes a world of simulated trees the way a user's folder looks: a bloom table and daily temperatures, and the truth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ecotone.data.seasons import Status
from ecotone.files.atomic import make_folder, write_json, write_text

if TYPE_CHECKING:
    from ecotone.data.simulated.trees import TreeWorld


def bloom_frame(world: TreeWorld) -> pd.DataFrame:
    """One row per site and year: where, the day of the year and the date; both empty where a tree did not bloom."""
    seasons = world.seasons
    sites = seasons.sites.iloc[seasons.site].reset_index(drop=True)
    bloomed = seasons.status == Status.OBSERVED
    event = np.where(bloomed, seasons.event, np.nan)
    return pd.DataFrame(
        {
            "site_id": sites["site_id"],
            "latitude": sites["latitude"],
            "longitude": sites["longitude"],
            "altitude_m": sites["altitude"].astype(int),
            "year": seasons.year,
            "doy": pd.array(np.where(bloomed, seasons.doy(np.where(bloomed, event, 0)), np.nan)).astype("Int64"),
            "date": pd.Series(seasons.dates(event)).dt.strftime("%Y-%m-%d"),
            "status": np.where(bloomed, "bloomed", "never"),
        }
    )


def temperature_frame(world: TreeWorld) -> pd.DataFrame:
    """One row per site and day."""
    weather, names = world.weather, world.seasons.sites["site_id"].to_numpy(dtype=object)
    days = np.datetime_as_string(weather.dates, unit="D")
    return pd.DataFrame(
        {
            "site_id": np.repeat(names, len(days)),
            "date": np.tile(days, len(names)),
            "tmin_c": np.round(weather.tmin.ravel().astype(float), 1),
            "tmax_c": np.round(weather.tmax.ravel().astype(float), 1),
        }
    )


def truth(world: TreeWorld) -> dict[str, object]:
    """What the simulator knows and a method does not; days are day indices, counted from 1 October."""
    seasons, temperature = world.seasons, np.round(np.arange(-10, 30.1, 0.5), 1)
    forcing = {"kind": world.forcing.kind, "base_degC": world.base}
    if world.forcing.kind == "sigmoid":
        forcing["width_degC"] = world.forcing.width
    return {
        "seed": world.seed,
        "winters": world.winters,
        "noise_days": world.noise,
        "softness_hours": world.softness,
        "chill_response": {
            **asdict(world.response),
            "temperature_degC": temperature,
            "units_per_hour": np.round(world.response(temperature), 5),
        },
        "forcing": forcing,
        "sites": {
            "site_id": list(seasons.sites["site_id"]),
            "chill_requirement_hours": world.chill_requirement,
            "forcing_requirement": world.forcing_requirement,
        },
        "seasons": {
            "site_id": list(seasons.site_id),
            "year": seasons.year,
            "chill_met_day": _days(world.fulfilled),
            "bloom_day": _days(world.true_day),
            "chill_limits": [bool(x) for x in world.limited],
        },
        "share_of_seasons_in_which_chill_limits": round(float(world.limited.mean()), 4),
        "signal_days": round(world.signal, 3),
        "sha256": world.fingerprint(),
    }


def write_trees(world: TreeWorld, folder: Path) -> Path:
    """See `TreeWorld.write`."""
    make_folder(folder)
    write_text(folder / "bloom.csv", bloom_frame(world).to_csv(index=False, lineterminator="\n"))
    write_text(folder / "temperature.csv", temperature_frame(world).to_csv(index=False, lineterminator="\n"))
    write_json(folder / "truth.json", truth(world))
    return folder


def _days(day: np.ndarray) -> list[int | None]:
    return [None if np.isnan(x) else int(x) for x in day]
