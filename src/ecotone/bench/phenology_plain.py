"""Grid search as anyone would write it: for every combination, sum anew and scan. What the fast search is held against.

Letters: n seasons, S days.
"""

from __future__ import annotations

from itertools import product

import numpy as np

Array = np.ndarray


def plain_days(chill: Array, forcing: Array, chill_requirement: float, requirement: float) -> Array:
    """(n,) days of bloom, S for never; season by season, the running sums are made again for every combination."""
    n, length = forcing.shape
    days = np.full(n, length)
    for i in range(n):
        met = np.flatnonzero(np.cumsum(chill[i]) >= chill_requirement)
        if len(met) == 0:
            continue
        warm = np.flatnonzero(np.cumsum(forcing[i, met[0] :]) >= requirement)
        if len(warm):
            days[i] = met[0] + warm[0]
    return days


def stacked_days(chill: Array, forcing: Array, chill_requirement: float, requirement: float) -> Array:
    """The same with all seasons in one numpy call: the loop over seasons is gone, the repeated sums are not."""
    length = forcing.shape[1]
    met = np.cumsum(chill, axis=1) >= chill_requirement
    start = np.where(met.any(axis=1), met.argmax(axis=1), length)
    counts = np.where(np.arange(length) >= start[:, None], forcing, 0.0)
    warm = (np.cumsum(counts, axis=1) >= requirement) & (np.arange(length) >= start[:, None])
    return np.where(warm.any(axis=1), warm.argmax(axis=1), length)


def scalar_days(chill: Array, forcing: Array, chill_requirement: float, requirement: float) -> Array:
    """The same day by day, without numpy's sums: the reference of the tests."""
    days = []
    for c, g in zip(chill.tolist(), forcing.tolist(), strict=True):
        had, warmth, released, bloom = 0.0, 0.0, False, len(g)
        for t in range(len(g)):
            had += c[t]
            released = released or had >= chill_requirement
            if released:
                warmth += g[t]
                if warmth >= requirement:
                    bloom = t
                    break
        days.append(bloom)
    return np.array(days)


def plain_search(
    chill: Array, forcing: dict[float, Array], event: Array, chill_axis: Array, requirement_axis: Array
) -> tuple[tuple[float, float, float], float]:
    """Best (base, chill requirement, requirement) and its mean squared error; the first of equals."""
    best, least = (np.nan, np.nan, np.nan), np.inf
    for base, need_chill, need in product(forcing, chill_axis, requirement_axis):
        loss = float(np.mean((plain_days(chill, forcing[base], need_chill, need) - event) ** 2.0))
        if loss < least:
            best, least = (float(base), float(need_chill), float(need)), loss
    return best, least
