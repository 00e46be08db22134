"""Simulated trees of known chill response: bloom days of many sites and years under simulated weather.

A tree gathers chill from day 0 of the season, hour by hour, until its requirement is met; from that day on it gathers
forcing, and it blooms on the day on which the forcing requirement is met. All sites share the response and the kind of
forcing; their two requirements scatter around common means. The record of a bloom is off by a normal number of whole days.

In mild winters chill is met between December and February and its day decides on the bloom. In cold winters it is met early,
while it is too cold for forcing: whatever the response, the bloom is the same, and nothing can be learned about it.

The world is an exam as much as a demo: its defaults were settled before any method was tuned on it and are not changed
afterwards; ``benchmarks/trees_card.py`` measures how hard it is. It knows nothing of the chill models the methods use.
Letters: N seasons, S days, G sites.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ecotone.data.seasons import Calendar, Seasons, Status
from ecotone.data.simulated.tree_rules import SHAPES, ChillResponse, Forcing, draw_forcing, draw_response
from ecotone.data.simulated.weather import WINTERS, Climates, Weather, draw_climates, draw_weather
from ecotone.errors import UsageError, suggest
from ecotone.files.fingerprint import cache_key

Array = np.ndarray

FIRST_YEAR = 1991


@dataclass(frozen=True)
class _Kind:
    """What trees of a region are like: every pair is drawn between its two numbers."""

    chilled: tuple[int, int]  # day index by which the share of seasons below has its chill
    share: float
    bloomed: tuple[int, int]  # day index by which half of the seasons bloom
    peaks: tuple[float, float]  # degC, of the chill response
    bases: tuple[float, float]  # degC, of degree days
    widths: tuple[float, float] = (2.5, 3.5)  # degC, of a sigmoid of forcing


_KINDS = {
    "mild": _Kind((85, 115), 0.5, (172, 195), (3.0, 9.0), (0.0, 5.0)),
    # chill is taken up close to freezing and forcing begins above that: when one is met, the other does not gather yet
    "cold": _Kind((72, 78), 0.8, (228, 238), (3.0, 4.0), (4.5, 5.0), (1.2, 1.6)),
    "mixed": _Kind((85, 105), 0.5, (180, 205), (3.0, 9.0), (0.0, 5.0)),
}
_CHILL_SCATTER, _FORCING_SCATTER = 0.08, 0.06  # of the logarithm of the requirements over sites
_CHUNK = 128  # seasons at a time


@dataclass(frozen=True, eq=False)
class TreeWorld:
    """One simulated world.

    Attributes:
        seed: What it was drawn with.
        winters: "mild", "cold" or "mixed".
        noise: Standard deviation of the recorded day around the true one, days.
        softness: Hours of chill over which forcing sets in around the requirement; 0 for all at once.
        climates: Of the G sites.
        weather: Daily extremes of all years, without gaps.
        response: Chill of an hour, 0 to 1: call it with degC.
        forcing: Forcing of an hour: call it with degC.
        chill_requirement: (G,) hours at the peak of the response.
        forcing_requirement: (G,) degree days, or days at full forcing for a sigmoid.
        seasons: N = G x years seasons with the recorded days, site by site.
        fulfilled: (N,) day index on which chill was met, NaN if never.
        true_day: (N,) day index of bloom before noise, NaN if never.
    """

    seed: int
    winters: str
    noise: float
    softness: float
    climates: Climates = field(repr=False)
    weather: Weather = field(repr=False)
    response: ChillResponse
    forcing: Forcing
    chill_requirement: Array = field(repr=False)
    forcing_requirement: Array = field(repr=False)
    seasons: Seasons = field(repr=False)
    fulfilled: Array = field(repr=False)
    true_day: Array = field(repr=False)

    @property
    def base(self) -> float:
        """Base temperature of forcing, degC; where the sigmoid is a half."""
        return self.forcing.base

    def bloom(self, seasons: Seasons, *, chill: float = 1.0) -> tuple[Array, Array]:
        """What these trees would do in any seasons of the same sites, such as warmer ones.

        Args:
            seasons: With rows of `site` that mean this world's sites.
            chill: The chill requirement as a multiple of the true one.

        Returns:
            (N,) day index on which chill is met, (N,) day index of bloom; NaN if never.
        """
        units, forcing = daily_units(seasons, self.response, self.forcing)
        return self._days(units, forcing, seasons.site, chill)

    def _days(self, units: Array, forcing: Array, site: Array, chill: float) -> tuple[Array, Array]:
        met = first_day(units.cumsum(axis=1), chill * self.chill_requirement[site][:, None])
        return met, first_day(self._forced(units, forcing, site, chill), self.forcing_requirement[site][:, None])

    def _forced(self, units: Array, forcing: Array, site: Array, chill: float) -> Array:
        """(N, S) forcing gathered by the end of each day."""
        gathered, needed = units.cumsum(axis=1), chill * self.chill_requirement[site][:, None]
        awake = gathered >= needed
        if self.softness:
            awake = 1 / (1 + np.exp(np.clip((needed - gathered) / self.softness, -50, 50)))
        return (forcing * awake).cumsum(axis=1)

    @cached_property
    def _units(self) -> tuple[Array, Array]:
        return daily_units(self.seasons, self.response, self.forcing)

    @cached_property
    def chill_delay(self) -> Array:
        """(N,) days by which bloom is later than without a chill requirement; NaN where it never blooms.

        Without it forcing is counted from 1 January, as thermal time does. Within days bloom is interpolated.
        """
        day_zero = self.seasons.doy(np.zeros(len(self.seasons)))[:, None]  # negative: in the year before
        from_january = day_zero + np.arange(self.seasons.length) >= 1
        _, forcing = self._units
        need = self.forcing_requirement[self.seasons.site][:, None]
        with_chill = moment(self._forced(*self._units, self.seasons.site, 1.0), need)
        return with_chill - moment((forcing * from_january).cumsum(axis=1), need)

    @property
    def limited(self) -> Array:
        """(N,) whether chill decides: without a chill requirement bloom moves by a day or more, or comes at all."""
        return ~(np.abs(self.chill_delay) < 1)

    @property
    def signal(self) -> float:
        """Spread of `chill_delay` within sites, days.

        This is what a clock from 1 January cannot explain. Beside `noise` it says how much can be learned about the
        chill response; in cold worlds it is near 0.
        """
        site, delay = self.seasons.site, self.chill_delay
        within = [np.nanvar(delay[site == g]) for g in np.unique(site[np.isfinite(delay)])]
        return float(np.sqrt(np.mean(within)))

    def recorded(self, seasons: Seasons, seed: int = 0) -> Seasons:
        """Seasons of this world's sites with the days an observer would write down, noise drawn anew.

        Args:
            seasons: As for `bloom`.
            seed: Of the noise.
        """
        rng = np.random.default_rng([20250128, self.seed, 1 + seed])
        return _record(seasons, self.bloom(seasons)[1], self.noise, rng)

    def fingerprint(self) -> str:
        """sha256 over temperatures and recorded days."""
        return cache_key(tmin=self.weather.tmin, tmax=self.weather.tmax, event=self.seasons.event)

    def write(self, folder: str | Path) -> Path:
        """Writes bloom.csv and temperature.csv as a user would have them, and truth.json.

        Args:
            folder: Made when missing.

        Returns:
            The folder.

        Raises:
            InputError: IO104 when it cannot be written.
        """
        from ecotone.data.simulated.tree_files import write_trees

        return write_trees(self, Path(folder))


def trees(
    seed: int = 0,
    *,
    sites: int = 10,
    years: int = 20,
    winters: str = "mild",
    noise: float = 1.0,
    shape: str | None = None,
    forcing: str = "gdd",
    softness: float = 0.0,
    trend: float = 0.03,
) -> TreeWorld:
    """Draws a world.

    Args:
        seed: Of everything. Weather and trees of a seed are the same whatever `noise`; more years leave the weather of
            the first ones as it is.
        sites: G.
        years: Seasons per site; the first one ends in 1991.
        winters: "mild" (chill decides on the bloom), "cold" (chill is met early everywhere) or "mixed".
        noise: Standard deviation of the recorded day around the true one, days.
        shape: Of the chill response, one of `SHAPES`; None draws it.
        forcing: "gdd" (degrees above a base) or "sigmoid".
        softness: Hours of chill over which forcing sets in around the requirement; 0 for all at once.
        trend: Warming, degC per year.

    Returns:
        The world.

    Raises:
        UsageError: US101 for an unknown name, US104 when a number is out of range.
    """
    _check(sites=sites, years=years, winters=winters, noise=noise, shape=shape, forcing=forcing, softness=softness)
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence([20250128, seed]).spawn(7)]
    climates = draw_climates(streams[0], sites, winters)
    weather = draw_weather(streams[1:3], climates, FIRST_YEAR - 1, FIRST_YEAR + years - 1, trend=trend)
    seasons = _seasons(climates, weather, years)
    kind = _KINDS[winters]
    response = draw_response(streams[3], kind.peaks, shape)
    rule = draw_forcing(streams[4], forcing, kind.bases, kind.widths)

    units, warmth = daily_units(seasons, response, rule)
    # the trees suit the climate: requirements are what most seasons have gathered by a drawn day
    chilled, bloomed = (int(streams[5].integers(low, high + 1)) for low, high in (kind.chilled, kind.bloomed))
    scatter = streams[6].standard_normal((sites, 2)) * (_CHILL_SCATTER, _FORCING_SCATTER)
    chill = np.quantile(units[:, : chilled + 1].sum(axis=1), 1 - kind.share) * np.exp(scatter[:, 0])
    met = first_day(units.cumsum(axis=1), chill[seasons.site][:, None])
    after = np.arange(seasons.length) >= np.where(np.isnan(met), seasons.length, met)[:, None]
    need = np.median((warmth * after)[:, : bloomed + 1].sum(axis=1)) * np.exp(scatter[:, 1])
    world = TreeWorld(
        seed=seed,
        winters=winters,
        noise=float(noise),
        softness=float(softness),
        climates=climates,
        weather=weather,
        response=response,
        forcing=rule,
        chill_requirement=np.round(chill, 1),
        forcing_requirement=np.round(need, 2),
        seasons=seasons,
        fulfilled=met,
        true_day=met,
    )
    fulfilled, day = world._days(units, warmth, seasons.site, 1.0)
    recorded = _record(seasons, day, noise, np.random.default_rng([20250128, seed, 0]))
    return replace(world, fulfilled=fulfilled, true_day=day, seasons=recorded)


def daily_units(seasons: Seasons, response: ChillResponse, forcing: Forcing) -> tuple[Array, Array]:
    """(N, S) chill hours at the peak and (N, S) mean forcing of each day."""
    chill = np.empty((len(seasons), seasons.length))
    warmth = np.empty_like(chill)
    for start in range(0, len(seasons), _CHUNK):
        rows = slice(start, start + _CHUNK)
        hours = seasons.hourly(rows)
        chill[rows] = response(hours).sum(axis=2)
        warmth[rows] = forcing(hours).mean(axis=2)
    return chill, warmth


def first_day(gathered: Array, needed: Array) -> Array:
    """(N,) first day on which (N, S) non-decreasing `gathered` has reached (N, 1) `needed`; NaN if it never does."""
    reached = gathered >= needed
    return np.where(reached[:, -1], reached.argmax(axis=1), np.nan)


def moment(gathered: Array, needed: Array) -> Array:
    """(N,) like `first_day`, with the part of the day after which it is reached, counted from the end of the day before."""
    day = first_day(gathered, needed)
    k, rows = np.where(np.isnan(day), 0, day).astype(int), np.arange(len(day))
    before = np.where(k > 0, gathered[rows, np.maximum(k - 1, 0)], 0.0)
    return day - 1 + (needed[:, 0] - before) / np.maximum(gathered[rows, k] - before, 1e-12)


def _seasons(climates: Climates, weather: Weather, years: int) -> Seasons:
    g, calendar = len(climates), Calendar()
    site, year = np.repeat(np.arange(g), years), np.tile(FIRST_YEAR + np.arange(years), g)
    first = calendar.first_day(year, climates.latitude[site])
    days = (first - weather.dates[0]).astype(int)[:, None] + np.arange(calendar.length)
    low, high = weather.tmin[site[:, None], days], weather.tmax[site[:, None], days]
    names = [f"site-{k + 1:02d}" for k in range(g)]
    table = pd.DataFrame(
        {
            "site_id": names,
            "latitude": climates.latitude,
            "longitude": climates.longitude,
            "altitude": climates.altitude,
            "country": "Simulated",
            "group": "simulated",
            "station": names,
        }
    )
    n = len(site)
    return Seasons(
        daily=np.stack((low, high, (low + high) / 2), axis=2),
        known=np.ones((n, calendar.length), dtype=bool),
        year=year,
        first=first,
        site=site,
        sites=table,
        status=np.full(n, Status.UNKNOWN, dtype=np.int8),
        event=np.full(n, np.nan),
        quality=np.full(n, "simulated", dtype=object),
    )


def _record(seasons: Seasons, day: Array, noise: float, rng: np.random.Generator) -> Seasons:
    """Bloom days with noise; trees that do not bloom in time are censored at the last day."""
    last = seasons.length - 1
    event = np.clip(day + np.rint(noise * rng.standard_normal(len(day))), 0, None)
    never = ~(event <= last)
    status = np.where(never, Status.AFTER, Status.OBSERVED).astype(np.int8)
    return replace(seasons, event=np.where(never, last, event), status=status)


def _check(
    *, sites: int, years: int, winters: str, noise: float, shape: str | None, forcing: str, softness: float
) -> None:
    names = (("winters", winters, WINTERS), ("forcing", forcing, ("gdd", "sigmoid")), ("shape", shape, SHAPES))
    for name, value, known in names:
        if value is not None and value not in known:
            raise UsageError("US101", name, f"{value!r} is not known", suggest(value, known))
    limits = {
        "sites": (sites, 1, 1000),
        "years": (years, 1, 500),
        "noise": (noise, 0, 30),
        "softness": (softness, 0, 500),
    }
    for name, (value, low, high) in limits.items():
        if not low <= value <= high:
            raise UsageError("US104", name, f"out of range, got {value!r}", f"use {low} to {high}")
