"""Three smaller sets beside the cherries: aspen and blueberry of the pyPhenology package, green-up seen by PhenoCam.

See `ecotone data get cherry` for where they come from.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ecotone.data.daily_series import from_rows
from ecotone.data.seasons import Calendar, Seasons
from ecotone.data.seasons_build import build_seasons
from ecotone.errors import InputError, UsageError, suggest

Array = np.ndarray
KINDS = ("DB", "EN", "GR")
_SOURCE = "see `ecotone data get cherry`"
# their daily tables begin 65 days before 1 January, counted from 0
LATE_START = Calendar("10-27", 274)


def read_aspen(folder: str | Path, phenophase: str = "371", *, calendar: Calendar = LATE_START) -> Seasons:
    """Populus tremuloides of the USA (USA-NPN, PRISM daily means): one season per observed tree and year.

    Args:
        folder: Where aspen_obs.csv and aspen_temperature.csv.gz lie.
        phenophase: "371" breaking leaf buds, "498" coloured leaves, "501" open flowers.
        calendar: When a season begins; records after its end are left out.

    Raises:
        InputError: IO101 a file is missing, and as `build_seasons`.
        UsageError: US101 for another phenophase.
    """
    return _observed(folder, "aspen", phenophase, calendar)


def read_vaccinium(folder: str | Path, phenophase: str = "371", *, calendar: Calendar = LATE_START) -> Seasons:
    """Vaccinium corymbosum of Harvard Forest, 1990-2001, daily means: one season per observed shrub and year.

    Args:
        folder: Where vaccinium_obs.csv and vaccinium_temperature.csv.gz lie.
        phenophase: "371" breaking leaf buds, "501" open flowers.
        calendar: When a season begins.

    Raises:
        InputError: IO101 a file is missing, and as `build_seasons`.
        UsageError: US101 for another phenophase.
    """
    return _observed(folder, "vaccinium", phenophase, calendar)


def _observed(folder: str | Path, name: str, phenophase: str, calendar: Calendar) -> Seasons:
    bloom, temperature = Path(folder) / f"{name}_obs.csv", Path(folder) / f"{name}_temperature.csv.gz"
    for path in (bloom, temperature):
        if not path.is_file():
            raise InputError("IO101", path, "not found", _SOURCE)
    options = {"phenophase": phenophase}
    return build_seasons(bloom, temperature, calendar, duplicates="keep", bloom_options=options)[0]


def read_phenocam(folder: str | Path, kind: str = "DB", *, calendar: Calendar | None = None) -> Seasons:
    """Day of green-up of PhenoCam sites with Daymet temperatures.

    Args:
        folder: Where the folder phenocam, or its files, lie.
        kind: "DB" deciduous broadleaf, "EN" evergreen needleleaf, "GR" grassland.
        calendar: When a season begins; 1 October by default. The tables begin in late September.

    Raises:
        InputError: IO101 the file is missing, IO102 it is damaged.
        UsageError: US101 for another kind.
    """
    if kind not in KINDS:
        raise UsageError("US101", kind, "no such PhenoCam type", suggest(kind, KINDS))
    name = f"phenocam_{kind}.npz"
    path = next((p for p in (Path(folder) / "phenocam" / name, Path(folder) / name) if p.is_file()), None)
    if path is None:
        raise InputError("IO101", Path(folder) / "phenocam" / name, "not found", _SOURCE)
    try:
        with np.load(path, allow_pickle=False) as stored:
            part = {
                k: stored[k] for k in ("Ti", "Tmini", "Tmaxi", "transition_dates", "year", "lat", "lon", "site", "doy")
            }
    except (OSError, ValueError, KeyError) as error:
        raise InputError("IO102", path, f"cannot be read ({error})", _SOURCE) from None
    year = part["year"].astype(np.int64)
    day = _daymet_days(year, part["doy"].astype(np.int64))
    values = np.stack([part["Tmini"], part["Tmaxi"], part["Ti"]], axis=-1).reshape(-1, 3)
    station, names = pd.factorize(part["site"], sort=True)
    first = pd.Series(np.arange(len(station))).groupby(station).first().to_numpy()
    places = {"station_id": names.astype(object), "latitude": part["lat"][first], "longitude": part["lon"][first]}
    codes = np.repeat(station, day.shape[1])
    series = from_rows(codes, np.asarray(names), day.ravel(), values, stations=pd.DataFrame(places))
    bloom = pd.DataFrame({"site_id": part["site"].astype(object), "year": year, "doy": part["transition_dates"]})
    bloom = bloom.assign(latitude=part["lat"], longitude=part["lon"], group=kind)
    return build_seasons(bloom, series, calendar, bloom_options={"where": str(path)})[0]


def _daymet_days(year: Array, doy: Array) -> Array:
    """(N, D) dates of days counted from 1 = 1 January, with -1 the 365th day of the year before.

    Daymet years have 365 days: 31 December of leap years is not there.
    """
    january = (year - 1970).astype("datetime64[Y]").astype("datetime64[D]")
    before = (year - 1971).astype("datetime64[Y]").astype("datetime64[D]")
    own = january[:, None] + (doy - 1)
    past = before[:, None] + (365 + doy)
    return np.where(doy > 0, own, past)
