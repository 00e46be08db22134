"""A plain fit for the recovery benchmark: triangular chill, one requirement for all sites, then degree days.

Every triangle of a grid is tried with every requirement and base temperature. The forcing requirement of a site is the mean
of what its seasons had gathered at bloom, and an error in degree days is turned into days by the forcing of that time, so
that a combination costs a few operations per season. Bands come from drawing years anew. It is quick and believable, and
wrong where the truth is no triangle. Letters: N seasons, S days, B bins, R responses, C combinations.
"""

from __future__ import annotations

import numpy as np

from ecotone.data.seasons import Seasons, Status
from ecotone.errors import InputError
from ecotone.systems.phenology.recovery import FittedResponse

Array = np.ndarray
_EDGES = np.arange(-15.0, 36.0)  # degC: bins of hours
_PEAKS, _REACHES = np.arange(0.0, 12.0), np.array([3.0, 4.0, 5.0, 6.5, 8.0, 10.0])
_SHARES = np.linspace(0.08, 0.92, 43)  # of the chill usually gathered by bloom: the requirements tried
_BASES = np.array([0.0, 1.5, 3.0, 4.5])
_STARTS = np.arange(30, 170, 3)  # days of a clock without chill
_DRAWS = 60
_GAIN = 0.8  # a response is believed when it leaves at most this share of a clock's squared error


def fit_triangle(seasons: Seasons, seed: int = 0) -> FittedResponse:
    """Fits and bands the triangle.

    Args:
        seasons: Of which those with a known bloom are used.
        seed: Of the years drawn.

    Returns:
        The median over draws with its 5 and 95 % quantiles, identified when chill explains clearly more than a clock.

    Raises:
        InputError: OC205 when fewer than ten blooms are known.
    """
    known = np.flatnonzero(seasons.status == Status.OBSERVED)
    if len(known) < 10:
        raise InputError("OC205", "triangular chill", f"{len(known)} known blooms", "give at least ten")
    seasons = seasons.take(known)
    event = seasons.event.astype(int)
    counts, warmth = _daily(seasons)
    centres = (_EDGES[:-1] + _EDGES[1:]) / 2
    curves = np.stack([np.maximum(1 - np.abs(centres - p) / w, 0) for p in _PEAKS for w in _REACHES])
    started = [_chilled(counts, curve, event) for curve in curves]  # R x (requirements, N) days
    weights = _draws(seasons.year, seed)
    losses = weights @ (_residuals(np.concatenate(started), warmth, event, seasons.site) ** 2).T
    clock = weights @ (_residuals(np.repeat(_STARTS[:, None], len(event), 1), warmth, event, seasons.site) ** 2).T
    best = losses.argmin(axis=1) // (len(_SHARES) * len(_BASES))
    gain = losses.min(axis=1) / np.maximum(clock.min(axis=1), 1e-12)

    fine = np.arange(-15.0, 35.5, 0.5)
    drawn = np.stack([np.maximum(1 - np.abs(fine - p) / w, 0) for p in _PEAKS for w in _REACHES])[best[1:]]
    lower, middle, upper = np.quantile(drawn, [0.05, 0.5, 0.95], axis=0)
    return FittedResponse(fine, middle, lower, upper, bool(np.quantile(gain[1:], 0.95) < _GAIN))


def _daily(seasons: Seasons) -> tuple[Array, Array]:
    """(N, S, B) hours of each day by temperature, and (bases, N, S) degree days gathered by the end of each day."""
    hours = seasons.hourly()
    n, s, _ = hours.shape
    bins = len(_EDGES) - 1
    place = np.clip(np.nan_to_num(hours, nan=99) - _EDGES[0], 0, bins - 1).astype(np.int64)
    flat = place + bins * np.arange(n * s).reshape(n, s, 1)
    counts = np.bincount(flat.ravel(), minlength=n * s * bins).reshape(n, s, bins).astype(np.float32)
    warmth = [
        np.nan_to_num(np.maximum(hours - np.float32(b), 0)).mean(axis=2, dtype=float).cumsum(axis=1) for b in _BASES
    ]
    return counts, np.stack(warmth)


def _chilled(counts: Array, curve: Array, event: Array) -> Array:
    """(requirements, N) days on which chill is met, at the latest on the day of bloom."""
    gathered = (counts @ curve.astype(np.float32)).cumsum(axis=1, dtype=float)
    need = _SHARES * np.median(gathered[np.arange(len(event)), event])
    days = np.stack([np.searchsorted(row, need) for row in gathered], axis=1)
    return np.minimum(days, event)


def _residuals(start: Array, warmth: Array, event: Array, site: Array) -> Array:
    """(C x bases, N) days by which seasons bloom off the mean forcing of their site, forcing from the days (C, N) on."""
    rows = np.arange(len(event))
    found = []
    member = (site == np.unique(site)[:, None]).astype(float)
    member /= member.sum(axis=1, keepdims=True)
    for gathered in warmth:
        rate = (gathered[rows, event] - gathered[rows, np.maximum(event - 7, 0)]) / 7
        before = np.where(start > 0, gathered[rows, np.maximum(start - 1, 0)], 0)
        need = gathered[rows, event] - before
        found.append((need - (need @ member.T) @ (member > 0)) / np.maximum(rate, 0.5))
    return np.stack(found, axis=1).reshape(-1, len(event))


def _draws(year: Array, seed: int) -> Array:
    """(draws + 1, N) weights of seasons: all alike, then of years drawn with replacement."""
    years, place = np.unique(year, return_inverse=True)
    times = np.random.default_rng([205, seed]).multinomial(len(years), np.full(len(years), 1 / len(years)), _DRAWS)
    return np.concatenate((np.ones((1, len(year))), times[:, place]))
