"""Chill per day from hourly temperatures: hours, chill units and their variants, daily rates; `CHILL` lists them all.

Every function takes (..., S, 24) degC and gives (..., S); numpy arrays are answered in float64, torch tensors in their own
dtype on their own device, with a gradient where the response is not a step. Steps are compared in the precision of the
input, so that a float32 reading of 2.4 counts as 2.4. A day with a NaN hour is NaN.
Letters: S days.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ecotone.errors import UsageError
from ecotone.systems.phenology.arrays import Unit, day_mean, day_sum, double, hours_of, of_kind, sigmoid
from ecotone.systems.phenology.dynamic import dynamic

# upper ends of the classes, closed, and one weight more than ends
UTAH = ((1.4, 2.4, 9.1, 12.4, 15.9, 18.0), (0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0))
NO_NEGATION = ((1.4, 2.4, 9.1, 12.4), (0.0, 0.5, 1.0, 0.5, 0.0))
NORTH_CAROLINA = (
    (-1.1, 1.6, 7.2, 13.0, 16.5, 19.0, 20.7, 22.1),
    (0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0, -1.5, -2.0),
)
LOW_CHILL = ((-1.0, 1.8, 8.0, 14.0, 17.0, 19.5), (0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0))


def chill_hours(hours: Any, low: float = 0.0, high: float = 7.2) -> Any:
    """Hours with low <= T <= high (Weinberger 1950; 0 to 7.2 degC is 32 to 45 degF)."""
    _, x = hours_of(hours, "chill hours")
    return day_sum(_attached((x >= low) & (x <= high), x))


def hours_below(hours: Any, high: float = 7.2) -> Any:
    """Hours at or below a temperature, freezing ones included (Hutchins 1932, 45 degF)."""
    return chill_hours(hours, low=-np.inf, high=high)


def steps(hours: Any, ends: Sequence[float], weights: Sequence[float]) -> Any:
    """Sum over the hours of a step function.

    Args:
        hours: (..., S, 24) degC.
        ends: Rising upper ends of the classes; a temperature equal to an end belongs to the class below it.
        weights: Weight of each class, one more than there are ends.

    Raises:
        UsageError: US104 when ends do not rise or weights do not fit.
    """
    if len(weights) != len(ends) + 1 or any(b <= a for a, b in pairwise(ends)):
        given = f"ends {list(ends)}, weights {list(weights)}"
        raise UsageError("US104", "chill steps", given, "give k rising ends and k + 1 weights")
    xp, x = hours_of(hours, "chill units")
    weight = double(xp, xp.zeros_like(x)) + weights[0]
    for end, value in zip(ends, weights[1:], strict=True):
        weight = xp.where(x > end, value, weight)
    return day_sum(_attached(weight, x))


def utah(hours: Any) -> Any:
    """Utah chill units (Richardson et al. 1974): warm hours take chill away; a day's sum may be negative."""
    return steps(hours, *UTAH)


def positive_utah(hours: Any) -> Any:
    """Utah units in which warm hours count nothing (Linsley-Noakes & Allan 1994)."""
    return steps(hours, *NO_NEGATION)


def daily_positive_utah(hours: Any) -> Any:
    """Positive chill units: Utah units, a negative sum of a day counted as nothing (Linsley-Noakes et al. 1995)."""
    units = utah(hours)
    return units.clip(0)


def north_carolina(hours: Any) -> Any:
    """North Carolina units (Shaltout & Unrath 1983), down to -2 above 22.1 degC.

    The paper gives temperatures with their units; as usual each is the upper end of its class.
    """
    return steps(hours, *NORTH_CAROLINA)


def low_chill(hours: Any) -> Any:
    """Units for low-chill cultivars (Gilreath & Buchanan 1981), with full effect from 1.8 to 8 degC."""
    return steps(hours, *LOW_CHILL)


def linvill_utah(hours: Any) -> Any:
    """Continuous Utah units (Linvill 1990): sin(2 pi T / 28) from 0 to 21 degC, -1 above, 0 below."""
    xp, x = hours_of(hours, "chill units")
    x = double(xp, x)
    return day_sum(xp.sin((2 * np.pi / 28) * x.clip(0, 21)))


def smooth_utah(hours: Any, low: float = 2.0, steep: float = 5.0, high: float = 14.0) -> Any:
    """Differentiable Utah units: sigmoid(steep (T - low)) - 2 sigmoid(T - high), summed over the hours."""
    xp, x = hours_of(hours, "chill units")
    x = double(xp, x)
    return day_sum(sigmoid(xp, steep * (x - low)) - 2 * sigmoid(xp, x - high))


def triangular(hours: Any, low: float = -3.4, peak: float = 3.5, high: float = 10.4) -> Any:
    """Share of full chilling, 1 at the peak and falling in straight lines to 0; mean over the hours.

    The corners are those of Sarvas (1974) in the form of Hänninen (1990).
    """
    xp, x = hours_of(hours, "triangular chill")
    x = double(xp, x)
    return day_mean(xp.minimum((x - low) / (peak - low), (high - x) / (high - peak)).clip(0))


def sarvas(hours: Any) -> Any:
    """Rate of chilling after Sarvas (1974) with the coefficients of Hänninen (1990); mean over the hours.

    0.159 T + 0.506 for -3.4 < T <= 3.5, 1.621 - 0.159 T for 3.5 < T < 10.4, else 0. The rounded coefficients leave small
    steps at the corners, which are kept.
    """
    xp, x = hours_of(hours, "chilling rate")
    y = double(xp, x)
    rate = xp.where(x <= 3.5, 0.159 * y + 0.506, 1.621 - 0.159 * y)
    return day_mean(xp.where((x <= -3.4) | (x >= 10.4), 0 * y, rate))


def unimodal(hours: Any, a: float = 0.1, b: float = -1.0, c: float = 0.0) -> Any:
    """Chuine's (2000) chilling rate 1 / (1 + exp(a (T - c)^2 + b (T - c))), mean over the hours.

    The peak lies at c - b / (2 a): 5 degC for the defaults, which are only a start for fitting.
    """
    xp, x = hours_of(hours, "unimodal chill")
    x = double(xp, x) - c
    return day_mean(sigmoid(xp, -(a * x * x + b * x)))


def chill_days(tmin: Any, tmax: Any, tmean: Any, threshold: float = 7.2) -> tuple[Any, Any]:
    """Chill days and anti-chill days (Cesaraccio et al. 2004) from daily extremes and mean.

    The paper counts chill downwards, as negative numbers; here chill is positive like every other unit. Both are degree
    days, of the part of the day between 0 degC (or the minimum) and the threshold, and of the part above it. A day without
    a range has no chill: the method counts degrees above the minimum.

    Args:
        tmin: (...) degC.
        tmax: (...) degC.
        tmean: (...) degC.
        threshold: Temperature below which a day chills and above which it forces; at least 0 degC.

    Returns:
        chill (...) and forcing (...), both at least 0 where tmin <= tmean <= tmax.

    Raises:
        UsageError: US104 for a threshold below zero.
    """
    if threshold < 0:
        raise UsageError("US104", "chill days", f"threshold {threshold} degC", "give 0 degC or more")
    xp, low = of_kind(tmin)
    (_, high), (_, mean) = of_kind(tmax), of_kind(tmean)
    low, high, mean = (double(xp, v) for v in (low, high, mean))
    span = high - low
    span = xp.where(span <= 0, xp.ones_like(span), span)  # NaN stays NaN

    def above(t: float) -> Any:
        over = (high - t).clip(0)
        return over * over / (2 * span)

    chill = xp.where(low >= 0, mean - low, above(0.0)) - above(threshold)
    nothing = 0 * (low + high + mean)
    warm = low >= threshold
    return xp.where(warm, nothing, chill + nothing), xp.where(
        warm, mean - threshold + nothing, above(threshold) + nothing
    )


def chill_days_of_hours(hours: Any, threshold: float = 7.2) -> Any:
    """Chill days (Cesaraccio et al. 2004, counted positive) with extremes and mean taken from the hours."""
    return chill_days(*_extremes(hours), threshold)[0]


def anti_chill_days(hours: Any, threshold: float = 7.2) -> Any:
    """The forcing that belongs to `chill_days_of_hours`."""
    return chill_days(*_extremes(hours), threshold)[1]


def _extremes(hours: Any) -> tuple[Any, Any, Any]:
    xp, x = hours_of(hours, "chill days")
    x = double(xp, x)
    if xp is np:
        return x.min(-1), x.max(-1), x.mean(-1)
    return x.amin(-1), x.amax(-1), x.mean(-1)


def _attached(weight: Any, x: Any) -> Any:
    """Weights as numbers that are NaN where x is, and (for tensors) part of the graph, with gradient zero."""
    return 0 * (x.astype(np.float64) if isinstance(x, np.ndarray) else x) + weight


CHILL: dict[str, Unit] = {
    "chill_hours": Unit(chill_hours, "chill hours", "hours from 0 to 7.2 degC (Weinberger 1950)"),
    "hours_below": Unit(hours_below, "chill hours", "hours at or below 7.2 degC (Hutchins 1932)"),
    "utah": Unit(utah, "Utah chill units", "Richardson et al. 1974"),
    "positive_utah": Unit(
        positive_utah, "positive chill units", "Utah, no hour negative (Linsley-Noakes & Allan 1994)"
    ),
    "daily_positive_utah": Unit(
        daily_positive_utah, "positive chill units", "Utah, no day negative (Linsley-Noakes et al. 1995)"
    ),
    "north_carolina": Unit(north_carolina, "North Carolina chill units", "Shaltout & Unrath 1983"),
    "low_chill": Unit(low_chill, "low-chill units", "Gilreath & Buchanan 1981"),
    "linvill_utah": Unit(linvill_utah, "Utah chill units", "continuous Utah (Linvill 1990)"),
    "smooth_utah": Unit(smooth_utah, "Utah chill units", "differentiable Utah"),
    "dynamic": Unit(dynamic, "chill portions", "Dynamic model (Fishman, Erez & Couvillon 1987)"),
    "chill_days": Unit(chill_days_of_hours, "chill days", "Cesaraccio et al. 2004, counted positive"),
    "triangular": Unit(triangular, "chilling units", "triangle -3.4, 3.5, 10.4 degC (Hänninen 1990)"),
    "sarvas": Unit(sarvas, "chilling units", "Sarvas 1974 with the coefficients of Hänninen 1990"),
    "unimodal": Unit(unimodal, "chilling units", "Chuine 2000, peak at 5 degC"),
}
