"""Hours of a day from its lowest and highest temperature: a sine while the sun is up, a decay through the night.

From the time of the minimum (sunrise, moved by `dawn` hours) the temperature follows a sine that peaks `afternoon` hours
after solar noon; from sunset on it falls, by an exponential (Parton & Logan 1981) or a logarithm (Linvill 1990), to the
minimum of the next morning. Hours are of local solar time; hour h is taken at its middle, h + 0.5, as a mean over the hour.
Letters: N seasons, S days.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ecotone.errors import InputError, UsageError, suggest

Array = np.ndarray
SHORTEST, LONGEST = (
    4.0,
    20.0,
)  # hours of sun the curve is drawn with: polar nights and days still have one low, one high
_CHUNK = 1 << 15  # days at a time: keeps the intermediate arrays in the cache


@dataclass(frozen=True)
class DayCurve:
    """Shape of a day.

    Attributes:
        afternoon: Hours from solar noon to the maximum (a of Parton & Logan; 2 in Linvill).
        dawn: Hours from sunrise to the minimum (c of Parton & Logan).
        decay: How far the night's exponential falls (b of Parton & Logan); 0 for the logarithm of Linvill.
    """

    afternoon: float
    dawn: float
    decay: float


METHODS: dict[str, DayCurve] = {
    # form of Parton & Logan; numbers rounded from fits to hours measured at Basel in 2021 and at Winters, California, 2008
    # (benchmarks/phenology_units.py): nearer to the hours than either published set
    "sine-exponential": DayCurve(afternoon=2.25, dawn=0.75, decay=2.0),
    "parton-logan": DayCurve(afternoon=1.86, dawn=-0.17, decay=2.20),  # Parton & Logan 1981, air at 1.5 m
    "sine-log": DayCurve(afternoon=2.0, dawn=0.0, decay=0.0),  # Linvill 1990
}
DEFAULT = "sine-exponential"


def declination(day_of_year: Any) -> Array:
    """Declination of the sun in radians for days 1..366, by the Fourier series of Spencer (1971)."""
    g = 2 * np.pi * (np.asarray(day_of_year, dtype=float) - 1) / 365
    first = 0.006918 - 0.399912 * np.cos(g) + 0.070257 * np.sin(g)
    return (
        first - 0.006758 * np.cos(2 * g) + 0.000907 * np.sin(2 * g) - 0.002697 * np.cos(3 * g) + 0.00148 * np.sin(3 * g)
    )


def daylength(latitude: Any, day_of_year: Any, sun_height: float = 0.0) -> Array:
    """Hours from sunrise to sunset, 0 in polar night and 24 in polar day.

    Args:
        latitude: Degrees, north positive; broadcast against `day_of_year`.
        day_of_year: 1..366.
        sun_height: Height of the sun's centre in degrees that counts as sunrise; -0.833 is what an almanac uses.

    Returns:
        float64 hours; NaN where latitude or day is NaN.
    """
    lat = np.deg2rad(np.asarray(latitude, dtype=float))
    sun = declination(day_of_year)
    # clipped away from the poles, where the tangent has no limit
    lat = np.clip(lat, -np.pi / 2 + 1e-9, np.pi / 2 - 1e-9)
    cosine = (np.sin(np.deg2rad(sun_height)) - np.sin(lat) * np.sin(sun)) / (np.cos(lat) * np.cos(sun))
    return 24 / np.pi * np.arccos(np.clip(cosine, -1, 1))


def hourly(
    tmin: Array,
    tmax: Array,
    latitude: Array | float,
    day_of_year: Array,
    *,
    method: str | DayCurve = DEFAULT,
    clock: Array | None = None,
) -> Array:
    """Hourly temperatures of consecutive days; every hour lies between the day's extremes.

    A day without both extremes has 24 NaN hours. Its neighbours are complete: a missing evening before is taken from the
    day's own extremes, a missing minimum after is the day's own. The same holds for the first and last day.

    Args:
        tmin: (N, S) lowest temperature of each day, degC.
        tmax: (N, S) highest.
        latitude: (N,) or one, degrees.
        day_of_year: (N, S) or (S,), 1..366.
        method: A name of `METHODS` or a curve of one's own.
        clock: (H,) solar hours at which the curve is read, rising, within 0..24; the middles of the hours if None.

    Returns:
        (N, S, 24) float32, degC; (N, S, H) with a clock of H hours.

    Raises:
        UsageError: US101 for an unknown method.
        InputError: DA404 when the shapes do not fit.
    """
    curve = _curve(method)
    low, high = np.asarray(tmin, dtype=np.float32), np.asarray(tmax, dtype=np.float32)
    if low.ndim != 2 or low.shape != high.shape:
        raise InputError("DA404", "day curve", f"tmin {low.shape}, tmax {high.shape}", "give two equal (N, S) arrays")
    n, s = low.shape
    try:
        lat = np.broadcast_to(np.asarray(latitude, dtype=float), (n,))
        doy = np.broadcast_to(np.asarray(day_of_year), (n, s))
    except ValueError:
        shapes = f"latitude {np.shape(latitude)}, day of year {np.shape(day_of_year)} for days {low.shape}"
        raise InputError("DA404", "day curve", shapes, "give (N,) and (N, S)") from None
    at = np.arange(24) + 0.5 if clock is None else np.asarray(clock, dtype=float)
    out = np.empty((n, s, len(at)), dtype=np.float32)
    rows = max(1, _CHUNK // max(s, 1))
    for i in range(0, n if s else 0, rows):
        part = slice(i, i + rows)
        _draw(low[part], high[part], daylength(lat[part, None], doy[part]), curve, at.astype(np.float32), out[part])
    return out


def _curve(method: str | DayCurve) -> DayCurve:
    if isinstance(method, DayCurve):
        return method
    if method not in METHODS:
        raise UsageError("US101", "day curve", f"unknown method {method!r}", suggest(str(method), METHODS))
    return METHODS[method]


def _draw(low: Array, high: Array, sun: Array, curve: DayCurve, at: Array, out: Array) -> None:
    """Fills `out` (n, S, H) for n seasons with `sun` (n, S) hours of daylight."""
    sun = np.clip(sun, SHORTEST, LONGEST).astype(np.float32)
    start = 12 - sun / 2 + np.float32(curve.dawn)
    end = 12 + sun / 2
    peak = np.float32(12 + curve.afternoon)
    quarter = np.float32(np.pi / 2) / (peak - start)
    missing = np.isnan(low) | np.isnan(high)
    height = np.sin(quarter * (end - start))  # share of the daily range that is left at sunset
    dusk = low + (high - low) * height
    before = np.empty_like(dusk)
    before[:, 0], before[:, 1:] = dusk[:, 0], dusk[:, :-1]
    before = np.where(np.isnan(before), dusk, before)
    after = np.empty_like(low)
    after[:, -1], after[:, :-1] = low[:, -1], low[:, 1:]
    after[:, :-1][missing[:, 1:]] = low[:, :-1][missing[:, 1:]]

    t0, t1 = start[..., None], end[..., None]
    morning, evening = at < t0, at > t1
    night = morning | evening
    gone = np.where(morning, at + 24 - t1, at - t1) / (24 - (t1 - t0))  # share of the night, 0 at sunset, 1 at dawn
    gone = np.where(night, gone, 0)
    if curve.decay:
        floor = np.float32(np.exp(-curve.decay))
        left = (np.exp(np.float32(-curve.decay) * gone) - floor) / (1 - floor)
    else:
        length = 24 - (t1 - t0)
        left = 1 - np.log1p(gone * length) / np.log1p(length)
    share = np.where(night, left, np.sin(quarter[..., None] * (at - t0)))
    base = np.where(evening, after[..., None], low[..., None])
    top = np.where(morning, before[..., None], np.where(evening, dusk[..., None], high[..., None]))
    np.add(base, (top - base) * share, out=out)
    # a colder next morning must not pull the evening below the day's own minimum, nor a warmer one above its maximum
    np.clip(out, np.minimum(low, high)[..., None], np.maximum(low, high)[..., None], out=out)
    out[missing] = np.nan
