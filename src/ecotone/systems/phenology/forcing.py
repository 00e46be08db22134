"""Forcing per day from hourly temperatures: degree days, degree hours, sigmoids; `FORCING` lists them all.

As in `chill`: (..., S, 24) degC in, (..., S) out; arrays in float64, tensors as they are; a day with a NaN hour is NaN.
Letters: S days.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ecotone.systems.phenology.arrays import Unit, day_mean, day_sum, double, hours_of, of_kind, sigmoid
from ecotone.systems.phenology.chill import anti_chill_days


def gdd(hours: Any, base: Any = 5.0) -> Any:
    """Growing degree days: mean over the hours of max(0, T - base).

    Args:
        hours: (..., S, 24) degC.
        base: degC; a number or whatever broadcasts against `hours`, tensors with gradient included.
    """
    xp, x = hours_of(hours, "degree days")
    return day_mean((double(xp, x) - base).clip(0))


def gdd_of_means(tmean: Any, base: Any = 5.0) -> Any:
    """Growing degree days of daily means (..., S): max(0, T - base)."""
    xp, x = of_kind(tmean)
    return (double(xp, x) - base).clip(0)


def gdh_richardson(hours: Any, base: float = 4.5, top: float = 25.0) -> Any:
    """Growing degree hours, a straight line from base to top and level above (Richardson et al. 1975)."""
    xp, x = hours_of(hours, "degree hours")
    return day_sum(double(xp, x).clip(base, top) - base)


def gdh(hours: Any, base: float = 4.0, optimum: float = 25.0, critical: float = 36.0, stress: float = 1.0) -> Any:
    """Growing degree hours, ASYMCUR (Anderson, Richardson & Kesner 1986): cosines up to the optimum and down again.

    Args:
        hours: (..., S, 24) degC.
        base: Temperature below which nothing happens, degC.
        optimum: Where an hour counts most, (optimum - base) degree hours.
        critical: Temperature above which nothing happens, degC.
        stress: Factor for stress of the plant, 1 for none.
    """
    xp, x = hours_of(hours, "degree hours")
    x = double(xp, x)
    range_ = optimum - base
    rising = range_ / 2 * (1 - xp.cos(np.pi * (x.clip(base, optimum) - base) / range_))
    falling = range_ * (1 - xp.sin(np.pi / 2 * (x.clip(optimum, critical) - optimum) / (critical - optimum)))
    return stress * day_sum(xp.where(x <= optimum, rising, falling))


def sigmoid_sarvas(hours: Any, top: float = 28.4, steep: float = 0.185, middle: float = 18.4) -> Any:
    """Rate of forcing 28.4 / (1 + exp(-0.185 (T - 18.4))) above 0 degC, else 0; mean over the hours.

    Sarvas (1972) in the form of Hänninen (1990).
    """
    xp, x = hours_of(hours, "forcing")
    x = double(xp, x)
    return day_mean(xp.where(x <= 0, 0 * x, top * sigmoid(xp, steep * (x - middle))))


def sigmoid_chuine(hours: Any, b: float = -0.2, c: float = 15.0) -> Any:
    """Rate of forcing 1 / (1 + exp(b (T - c))) of Chuine (2000), b < 0; mean over the hours. Defaults only start a fit."""
    xp, x = hours_of(hours, "forcing")
    return day_mean(sigmoid(xp, -b * (double(xp, x) - c)))


FORCING: dict[str, Unit] = {
    "gdd": Unit(gdd, "degree days", "mean of hourly degrees above 5 degC"),
    "gdh": Unit(gdh, "degree hours", "Anderson et al. 1986: base 4, optimum 25, critical 36 degC"),
    "gdh_richardson": Unit(gdh_richardson, "degree hours", "Richardson et al. 1975: 4.5 to 25 degC"),
    "sigmoid_sarvas": Unit(sigmoid_sarvas, "forcing units", "Sarvas 1972, Hänninen 1990"),
    "sigmoid_chuine": Unit(sigmoid_chuine, "forcing units", "Chuine 2000"),
    "anti_chill_days": Unit(anti_chill_days, "degree days", "Cesaraccio et al. 2004, the forcing of chill days"),
}
