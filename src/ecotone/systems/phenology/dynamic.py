"""Dynamic model of dormancy (Fishman, Erez & Couvillon 1987): chill portions, hour by hour, exact.

Chill is made in two steps. An intermediate product x forms and is destroyed again by warmth, both by Arrhenius laws: within
an hour it relaxes to x_s = (A0 / A1) exp((E1 - E0) / T) at the rate k1 = A1 exp(-E1 / T). When x reaches 1, the share xi of
it is fixed for good as a portion, xi being a sigmoid of the temperature about Tf. T is in kelvin, degC + 273 as in the
published tables. Seasons are vectorised, hours are not: each needs the one before.
Letters: N seasons, S days.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ecotone.systems.phenology.arrays import HOURS, hours_of, sigmoid

ZERO = 273.0  # kelvin of 0 degC in the published model


@dataclass(frozen=True)
class Constants:
    """Constants of the model (Fishman et al. 1987; Erez et al. 1990).

    Attributes:
        e0: Activation energy of forming, over the gas constant, kelvin.
        e1: Of destroying, kelvin.
        a0: Rate of forming, 1/h.
        a1: Rate of destroying, 1/h.
        slope: Steepness of the fixing.
        tf: Temperature at which half is fixed, kelvin.
    """

    e0: float = 4153.5
    e1: float = 12888.8
    a0: float = 139_500.0
    a1: float = 2.567e18
    slope: float = 1.6
    tf: float = 277.0


PUBLISHED = Constants()


def dynamic(hours: Any, constants: Constants = PUBLISHED) -> Any:
    """Chill portions fixed on each day, beginning the first day with no intermediate product.

    Args:
        hours: (..., S, 24) degC, days in order.
        constants: Of the model.

    Returns:
        (..., S) portions; sum over days for a winter. A day with a NaN hour is NaN; the product is held over it.
    """
    return dynamic_from(hours, None, constants)[0]


def dynamic_from(hours: Any, state: Any = None, constants: Constants = PUBLISHED) -> tuple[Any, Any]:
    """As `dynamic`, going on from the intermediate product of an earlier day.

    Args:
        hours: (..., S, 24) degC.
        state: (...) intermediate product before the first hour; None for 0.
        constants: Of the model.

    Returns:
        (..., S) portions and (...) the intermediate product after the last hour. The computation is in float64; arrays
        are answered so, tensors in their own dtype (the state in float64).
    """
    xp, given = hours_of(hours, "dynamic model", axes=2)
    lead, days = tuple(given.shape[:-2]), given.shape[-2]
    t = given.astype(np.float64) if xp is np else given.to(xp.float64)
    t = t.reshape(math.prod(lead), days, HOURS)
    x = xp.zeros_like(t.sum((1, 2)))
    if state is not None:
        x = x + state.reshape(-1)
    portions = []
    for day in range(days):
        made, x = _day(xp, t[:, day].T, x, constants)
        portions.append(made)
    out = xp.stack(portions, -1) if portions else t.sum(-1)
    out = out.reshape(*lead, days)
    return (out if xp is np else out.to(given.dtype)), x.reshape(lead)


def _day(xp: Any, t: Any, x: Any, c: Constants) -> tuple[Any, Any]:
    """Portions (N,) of one day of hours (24, N), and the product after it."""
    if xp is np:
        t = np.ascontiguousarray(t)
    bad = ~xp.isfinite(t)
    gaps = bool(bad.any())
    kelvin = (xp.where(bad, xp.zeros_like(t), t) if gaps else t) + ZERO
    inverse = 1 / kelvin
    keep = xp.exp(-c.a1 * xp.exp(-c.e1 * inverse))
    add = (c.a0 / c.a1) * xp.exp((c.e1 - c.e0) * inverse) * (1 - keep)
    fixed = sigmoid(xp, c.slope * c.tf * (1 - c.tf * inverse))
    if gaps:  # an unknown hour changes nothing
        one, none = xp.ones_like(t), xp.zeros_like(t)
        keep, add, fixed = xp.where(bad, one, keep), xp.where(bad, none, add), xp.where(bad, none, fixed)
    total = xp.zeros_like(x)
    for hour in range(HOURS):
        x = keep[hour] * x + add[hour]
        portion = fixed[hour] * x * (x >= 1)
        x = x - portion
        total = total + portion
    return (xp.where(bad.any(0), np.nan, total) if gaps else total), x
