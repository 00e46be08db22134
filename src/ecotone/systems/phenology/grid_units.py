"""Daily units by name: chill and forcing of seasons as (n, S) arrays, for grids of base temperatures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecotone.data.seasons import TMAX, TMEAN, TMIN, Seasons
from ecotone.errors import UsageError, suggest

Array = np.ndarray
Chill = str | Callable[..., Array]
Forcing = str | Callable[..., Array]
OF_BASE = ("chill_days", "cold_days")  # chill whose threshold is the base temperature of the forcing too
# which argument of the named units is the axis of base temperatures
BASE_NAME = {
    "chill_days": "threshold",
    "anti_chill_days": "threshold",
    "sigmoid_sarvas": "middle",
    "sigmoid_chuine": "c",
}


def hours(seasons: Seasons) -> Array:
    """(n, S, H) temperatures of the day, degC: 24 hours, or the mean alone where nothing else is known."""
    if seasons.hours is None and seasons.source == "daily mean":
        return seasons.daily[..., TMEAN : TMEAN + 1]
    return seasons.hourly()


def temperatures(seasons: Seasons) -> Array:
    """(n, S) NaN on the days whose hours are not known; no hours are drawn for it."""
    if seasons.hours is not None:
        return seasons.hours.sum(axis=-1)
    if seasons.source == "daily mean":
        return seasons.daily[..., TMEAN]
    return seasons.daily[..., TMIN] + seasons.daily[..., TMAX]


def degree_days(temperature: Array, base: float) -> Array:
    """(n, S) mean over the hours (n, S, H) of the degrees above the base temperature, degC day."""
    return np.maximum(temperature - np.float32(base), 0).mean(axis=-1, dtype=np.float64)


def above(temperature: Array, base: float) -> Array:
    """(n, S) daily mean where it is at least the base temperature, else 0: the thermal time that pyPhenology computes."""
    mean = temperature.mean(axis=-1, dtype=np.float64)
    return np.where(np.isnan(mean), np.nan, np.where(mean >= base, mean, 0.0))


def cold_days(temperature: Array, base: float) -> Array:
    """(n, S) 1 on days with a mean below the base temperature (Cannell & Smith 1983), else 0."""
    mean = temperature.mean(axis=-1, dtype=np.float64)
    return np.where(np.isnan(mean), np.nan, (mean < base).astype(float))


@dataclass
class DailyUnits:
    """Daily units of some seasons, computed when asked for; hours are drawn once.

    Attributes:
        seasons: n seasons.
        chill: Name in `chill.CHILL`, "cold_days", a function of hours (n, S, H), or None where the structure needs none.
        forcing: "gdd", "above", a name in `forcing.FORCING`, or a function of hours and a base.
        ready: (n, S) daily chill units where they are known already.
    """

    seasons: Seasons
    chill: Chill | None
    forcing: Forcing
    ready: Array | None = None

    def __post_init__(self) -> None:
        self._hours: Array | None = None
        self._chill = self.ready

    @property
    def hours(self) -> Array:
        """(n, S, H) temperatures, degC."""
        if self._hours is None:
            self._hours = hours(self.seasons)
        return self._hours

    def chill_at(self, base: float) -> Array | None:
        """(n, S) daily chill units; the same array for every base unless the chill model takes the base."""
        if self.chill is None:
            return None
        if self.chill in OF_BASE:
            return cold_days(self.hours, base) if self.chill == "cold_days" else _chill(self.chill)(self._day(), base)
        if self._chill is None:
            self._chill = np.asarray(_chill(self.chill)(self._day()), dtype=float)
        return self._chill

    def forcing_at(self, base: float) -> Array:
        """(n, S) daily forcing units."""
        plain = callable(self.forcing) or self.forcing in ("gdd", "above")
        return np.asarray(_forcing(self.forcing)(self.hours if plain else self._day(), base), dtype=float)

    def _day(self) -> Array:
        """(n, S, 24): chill counts hours, also where only the mean is known."""
        return np.repeat(self.hours, 24, axis=-1) if self.hours.shape[-1] == 1 else self.hours


def chill_once(seasons: Seasons, chill: Chill | None, rows: int = 256) -> Array | None:
    """(n, S) daily chill units of all seasons, some rows at a time; None where chill depends on the base or is not needed."""
    if chill is None or chill in OF_BASE or len(seasons) == 0:
        return None
    parts = [DailyUnits(seasons.take(slice(i, i + rows)), chill, "gdd") for i in range(0, len(seasons), rows)]
    return np.concatenate([np.zeros((0, seasons.length)) if p is None else p for p in (u.chill_at(0.0) for u in parts)])


def _chill(chill: Chill) -> Callable[..., Array]:
    if callable(chill):
        return chill
    from ecotone.systems.phenology.chill import CHILL  # pyright: ignore[reportMissingImports]

    return _named(chill, CHILL, "chill")


def _forcing(forcing: Forcing) -> Callable[..., Array]:
    if callable(forcing):
        return forcing
    if forcing in ("gdd", "above"):
        return degree_days if forcing == "gdd" else above
    from ecotone.systems.phenology.forcing import FORCING  # pyright: ignore[reportMissingImports]

    return _named(forcing, FORCING, "forcing")


def _named(name: str, known: dict[str, Any], what: str) -> Callable[..., Array]:
    if name not in known:
        raise UsageError("US101", what, f"{name!r} is unknown", suggest(name, known))
    unit = getattr(known[name], "function", known[name])

    def at(hours: Array, *base: float) -> Array:
        return unit(hours, **{BASE_NAME.get(name, "base"): base[0]}) if base else unit(hours)

    return at
