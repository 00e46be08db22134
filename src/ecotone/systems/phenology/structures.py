"""How chill and forcing make a day of bloom: hard forward models on daily units.

All take daily chill units c and daily forcing units g, both (N, S) arrays, and answer with the index of the day of bloom,
(N,) float, NaN where the requirement is not met within the season (reason `distribution.NEVER`). Conventions shared by all:

- A requirement R is met on the first day on which the sum of the units up to and including that day is at least R. Daily
  chill may be negative (Utah): what was met once stays met, so it is the first crossing that counts.
- Forcing counts from the day on which the chill requirement is met, that day included.
- A day without a temperature (NaN) can be passed only by blooming before it: later days give no answer.

Letters: N seasons, S days.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def first_day(progress: Array, requirement: Array | float) -> Array:
    """(N,) first day on which (N, S) `progress` is at least the requirement (a number or (N,)); NaN if on none."""
    need = np.asarray(requirement, dtype=float).reshape(-1, 1)
    with np.errstate(invalid="ignore"):
        met = np.asarray(progress) >= need
    return np.where(met.any(axis=1), met.argmax(axis=1), np.nan)


def since(units: Array, start: Array | float) -> Array:
    """(N, S) sum of daily units from the start day on, that day included; -inf before it and where the start is NaN."""
    units = np.asarray(units, dtype=float)
    begin = np.broadcast_to(np.asarray(start, dtype=float), len(units))[:, None]
    with np.errstate(invalid="ignore"):
        counts = np.arange(units.shape[1]) >= begin
    return np.where(counts, np.cumsum(np.where(counts, units, 0.0), axis=1), -np.inf)


def thermal_time(forcing: Array, start: Array | float, requirement: Array | float) -> Array:
    """Forcing summed from a fixed day until a requirement (Reaumur's sum; Cannell & Smith 1983, "thermal time").

    Args:
        forcing: (N, S) daily forcing units, at least 0.
        start: First day that counts, day index; a number or (N,).
        requirement: Forcing units; a number or (N,).

    Returns:
        (N,) day index, not before `start`; NaN where the requirement is not met.
    """
    return first_day(since(forcing, start), requirement)


def sequential(chill: Array, forcing: Array, chill_requirement: Array | float, requirement: Array | float) -> Array:
    """Chill until its requirement, only then forcing (Sarvas 1974; Hanninen 1990; Kramer 1994).

    Args:
        chill: (N, S) daily chill units, of any sign.
        forcing: (N, S) daily forcing units, at least 0.
        chill_requirement: Chill units; a number or (N,).
        requirement: Forcing units; a number or (N,).

    Returns:
        (N,) day index; NaN where either requirement is not met.
    """
    released = first_day(np.cumsum(np.asarray(chill, dtype=float), axis=1), chill_requirement)
    return thermal_time(forcing, released, requirement)


def competence(chill: Array, chill_requirement: Array | float, least: float = 0.0) -> Array:
    """(N, S) part of a day's forcing that counts in the parallel model, in [least, 1].

    K(t) = least + (1 - least) C(t) / C*, and 1 once the chill sum C has reached C* (Hanninen 1990; Kramer 1994). C is the
    largest sum so far, at least 0: units lost to a warm spell take nothing back.
    """
    need = np.asarray(chill_requirement, dtype=float).reshape(-1, 1)
    total = np.maximum(np.maximum.accumulate(np.cumsum(np.asarray(chill, dtype=float), axis=1), axis=1), 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.where(need > 0, np.minimum(total / need, 1.0), 1.0)
    return least + (1.0 - least) * np.where(np.isnan(total), np.nan, part)


def parallel(
    chill: Array, forcing: Array, chill_requirement: Array | float, requirement: Array | float, least: float = 0.0
) -> Array:
    """Chill and forcing side by side: unchilled buds use only a part of the forcing (`competence`).

    Args:
        chill: (N, S) daily chill units.
        forcing: (N, S) daily forcing units, at least 0.
        chill_requirement: Chill sum at which forcing counts in full; a number or (N,).
        requirement: Sum of competence times forcing at bloom; a number or (N,).
        least: Competence without any chill, 0 to 1.

    Returns:
        (N,) day index; NaN where the requirement is not met.
    """
    return first_day(np.cumsum(competence(chill, chill_requirement, least) * forcing, axis=1), requirement)


def alternating_progress(
    chill_days: Array, forcing: Array, b: Array | float, c: Array | float, start: float = 0, chill_start: float = 0
) -> Array:
    """(N, S) forcing sum less b exp(c D), D the chill days so far; -inf before the start of forcing. b, c: (N, 1) or numbers."""
    return since(forcing, start) - b * np.exp(c * np.maximum(since(chill_days, chill_start), 0.0))


def alternating(
    chill_days: Array,
    forcing: Array,
    a: Array | float,
    b: float,
    c: float,
    start: float = 0,
    chill_start: float = 0,
) -> Array:
    """The forcing needed falls with the number of chill days (Cannell & Smith 1983): F(t) >= a + b exp(c D(t)).

    Args:
        chill_days: (N, S) 1 on a day that chills (mean below a threshold, 5 degC in the paper), else 0.
        forcing: (N, S) daily forcing units, at least 0.
        a: Forcing needed however long the winter; a number or (N,).
        b: Forcing saved by chill, at least 0.
        c: Rate per chill day, at most 0.
        start: First day whose forcing counts.
        chill_start: First day whose chill counts.

    Returns:
        (N,) first day on which the condition holds; NaN where it never does.
    """
    return first_day(alternating_progress(chill_days, forcing, b, c, start, chill_start), a)


def heat_efficiency(chill: Array, chill_requirement: Array | float, slope: float = 0.5) -> Array:
    """(N, S) part of a day's heat that counts in PhenoFlex, in [0, 1].

    S(y) = logistic(slope y* (y - y*) / y) of the chill portions y collected before the day: 0 without chill, 1/2 at the
    requirement y*. As in the published model, arguments up to -20 give 0 and from 17 on give 1.
    """
    need = np.asarray(chill_requirement, dtype=float).reshape(-1, 1)
    chill = np.asarray(chill, dtype=float)
    before = np.cumsum(chill, axis=1) - chill
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        x = slope * need * (before - need) / before
        middle = 1.0 / (1.0 + np.exp(-x))
    part = np.where(x >= 17, 1.0, np.where(x <= -20, 0.0, middle))
    return np.where(np.isnan(before), np.nan, np.where(before > 0, part, np.where(need > 0, 0.0, 1.0)))


def phenoflex(
    chill: Array, heat: Array, chill_requirement: Array | float, requirement: Array | float, slope: float = 0.5
) -> Array:
    """Heat counts more the more chill was had, by a smooth transition (Luedeling et al. 2021, on daily sums).

    The published model steps by the hour; here the chill before a day weighs the heat of all its hours.

    Args:
        chill: (N, S) chill portions per day, at least 0.
        heat: (N, S) growing degree hours (or other heat) per day, at least 0.
        chill_requirement: y*, chill portions at which half of the heat counts; a number or (N,).
        requirement: z*, effective heat at bloom; a number or (N,).
        slope: s1, steepness of the transition.

    Returns:
        (N,) day index; NaN where the requirement is not met.
    """
    return first_day(np.cumsum(heat_efficiency(chill, chill_requirement, slope) * heat, axis=1), requirement)


STRUCTURES: dict[str, Callable[..., Array]] = {
    "thermal time": thermal_time,
    "sequential": sequential,
    "parallel": parallel,
    "alternating": alternating,
    "phenoflex": phenoflex,
}
