"""Simulated daily minimum and maximum temperatures of a region: climates of its sites and many years of weather.

A day is the seasonal cycle of its site, a slow anomaly of the year (a mild winter, a late spring), a first-order
autoregressive anomaly of the day and a warming trend; both anomalies are mostly shared by the region. The spreads were
set beside the long series of Kyoto, Geneva, Basel and Sapporo (daily spread in winter 2.4 to 4.4 degC, lag-one correlation
0.5 to 0.8, spread of winter means 1.0 to 1.7 degC, of March and April 0.9 to 1.1 degC, daily range 6 to 12 degC).
Letters: G sites, D days.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecotone.errors import UsageError, suggest

Array = np.ndarray


@dataclass(frozen=True)
class Winter:
    """Kind of region.

    Attributes:
        january: degC: the mean January temperature of the region is drawn between the two.
        half: degC: how far sites reach to each side of it.
        amplitude: degC: half the difference between the coldest and the warmest time at the coast.
        spread: degC: daily anomalies in winter at the coast.
        diurnal: degC: mean daily range at the coast.
    """

    january: tuple[float, float]
    half: float
    amplitude: float
    spread: float
    diurnal: float


WINTERS: dict[str, Winter] = {
    "mild": Winter((5.0, 8.0), 1.5, 8.5, 2.4, 7.5),
    # even, overcast winters, without the warm spells in which forcing would gather in December
    "cold": Winter((-6.0, -4.0), 1.0, 10.5, 2.3, 4.8),
    "mixed": Winter((2.0, 4.0), 5.0, 9.0, 2.8, 7.0),
}
_DAILY = 0.72  # correlation of the anomaly with that of the day before
_RANGE = 0.3  # the same of the daily range
_REGION = np.sqrt(0.8), np.sqrt(0.2)  # weights of what the region shares and what is the site's own
_KNOT = 61  # days between knots of the slow anomaly
_SKEW = 0.33  # spread of the logarithm of the daily range


@dataclass(frozen=True, eq=False)
class Climates:
    """Normal climate of G sites.

    Attributes:
        latitude: (G,) degrees north.
        longitude: (G,) degrees east.
        altitude: (G,) m.
        january: (G,) mean of the coldest time of the year, degC.
        amplitude: (G,) half the difference between the coldest and the warmest time, degC.
        coldest: (G,) day of the year of the coldest time.
        spread: (G,) standard deviation of daily anomalies in winter, degC.
        slow: Standard deviation of the slow anomaly at its knots, degC.
        diurnal: (G,) mean daily range, degC.
    """

    latitude: Array
    longitude: Array
    altitude: Array
    january: Array
    amplitude: Array
    coldest: Array
    spread: Array
    slow: float
    diurnal: Array

    def __len__(self) -> int:
        return len(self.latitude)


@dataclass(frozen=True, eq=False)
class Weather:
    """Daily extremes.

    Attributes:
        dates: (D,) datetime64[D], without gaps.
        tmin: (G, D) float32 degC, to one decimal as thermometers are read.
        tmax: (G, D) float32 degC.
    """

    dates: Array
    tmin: Array
    tmax: Array


def draw_climates(rng: np.random.Generator, sites: int, winters: str) -> Climates:
    """Draws the climates of a region.

    Args:
        rng: Random numbers.
        sites: G.
        winters: "mild" (January means around 6.5 degC), "cold" (around -5 degC) or "mixed" (from -2 to 8 degC).

    Returns:
        The climates, January means spread evenly over the region in random order.

    Raises:
        UsageError: US101 for winters of another name.
    """
    if winters not in WINTERS:
        raise UsageError("US101", "winters", f"{winters!r} is not known", suggest(winters, WINTERS))
    kind = WINTERS[winters]
    centre, continental = rng.uniform(*kind.january), rng.uniform()
    steps = (rng.permutation(sites) + rng.uniform(size=sites)) / sites
    january = centre + kind.half * (2 * steps - 1)
    inland = np.clip(continental + rng.normal(0, 0.15, sites), 0, 1)
    latitude = np.clip(46 - 1.2 * centre + rng.uniform(-1.5, 1.5, sites), 28, 60)
    return Climates(
        latitude=np.round(latitude, 3),
        longitude=np.round(rng.uniform(0, 4, sites), 3),
        altitude=np.round(np.clip(350 - 60 * (january - centre) + rng.normal(0, 60, sites), 5, None)),
        january=january,
        amplitude=kind.amplitude + 2 * inland,
        coldest=25 - 7 * inland,
        spread=kind.spread + 0.8 * inland,
        slow=1.0,
        diurnal=kind.diurnal + 1.5 * inland + rng.normal(0, 0.4, sites),
    )


def draw_weather(
    rngs: list[np.random.Generator], climates: Climates, first: int, last: int, *, trend: float = 0.03
) -> Weather:
    """Draws whole calendar years.

    Args:
        rngs: Two streams of random numbers; days already drawn stay the same when later years are added.
        climates: Of G sites.
        first: First calendar year.
        last: Last calendar year.
        trend: Warming, degC per year, counted from the first year.

    Returns:
        The weather.
    """
    dates = np.arange(np.datetime64(f"{first}-01-01", "D"), np.datetime64(f"{last + 1}-01-01", "D"))
    n, g = len(dates), len(climates)
    day = (dates - dates.astype("datetime64[Y]")).astype(int) + 1
    fast = _autoregressive(rngs[0].standard_normal((n, 2, g + 1)), np.array([_DAILY, _RANGE])[:, None])
    fast = _REGION[0] * fast[..., :1] + _REGION[1] * fast[..., 1:]  # (D, 2, G)
    knots = rngs[1].standard_normal((n // _KNOT + 2, g + 1))
    knots = np.sqrt(0.9) * knots[:, :1] + np.sqrt(0.1) * knots[:, 1:]

    turn = 2 * np.pi * (day[:, None] - climates.coldest) / 365.25  # 0 at the coldest day
    winter = (1 + np.cos(turn)) / 2
    mean = climates.january + climates.amplitude * (1 - np.cos(turn))
    mean = mean + climates.slow * _between(knots, n) + climates.spread * (0.7 + 0.3 * winter) * fast[:, 0]
    mean = mean + trend * (np.arange(n) / 365.25)[:, None]
    # the range is widest in late April and narrowest in midwinter
    season = 1 + 0.2 * np.cos(2 * np.pi * (day - 118) / 365.25)[:, None]
    width = climates.diurnal * season * np.exp(_SKEW * fast[:, 1] - _SKEW**2 / 2)
    tmin = np.round(mean - width / 2, 1).astype(np.float32)
    tmax = np.round(mean + width / 2, 1).astype(np.float32)
    return Weather(dates, np.ascontiguousarray(tmin.T), np.ascontiguousarray(tmax.T))


def _autoregressive(noise: Array, correlation: Array) -> Array:
    """First-order autoregressive series along axis 0 with variance 1; `noise` is used up."""
    noise[1:] *= np.sqrt(1 - correlation**2)
    for k in range(1, len(noise)):
        noise[k] += correlation * noise[k - 1]
    return noise


def _between(knots: Array, n: int) -> Array:
    """(n, G) values on every day between knots (K, G) that lie 61 days apart."""
    place = np.arange(n) / _KNOT
    k = place.astype(int)
    part = (place - k)[:, None]
    return (1 - part) * knots[k] + part * knots[k + 1]
