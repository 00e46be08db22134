"""Thermal time fitted fast: start day, base temperature and a requirement solved exactly for every pair of the two.

For one start day and base temperature the squared error is a step function of the requirement F: a season's predicted day
moves on when F passes one of its forcing sums. Sorting those sums gives the error for all F at once, so F needs no grid. Over
start days and bases a coarse net finds where to look, then steps are halved around the best pairs; `exhaustive` goes through
all pairs of a grid instead.

Letters: N observations, U distinct seasons (several trees may share one), S days.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ecotone.errors import InputError, UsageError, suggest
from ecotone.systems.phenology.grid_search import exact

Array = np.ndarray
RESPONSES = ("gdd", "above")
BINS = 256  # of the table that the coarse net reads days from


@dataclass(frozen=True)
class ThermalTime:
    """A fit.

    Attributes:
        start: First day that counts, day index.
        base: degC.
        requirement: Forcing units; the middle of the interval in which the error is the same.
        rmse: Of the N observations, days.
        pairs: Pairs of start day and base for which the best requirement was found.
    """

    start: int
    base: float
    requirement: float
    rmse: float
    pairs: int


def response(temperature: Array, base: float, kind: str = "gdd") -> Array:
    """Daily forcing of daily means of any shape.

    "gdd" counts the degrees above the base. "above" counts the whole mean where it reaches the base, which is what the thermal
    time of pyPhenology 0.7.1 computes; the base must not be negative then.
    """
    if kind == "gdd":
        return np.maximum(temperature - base, 0.0)
    return np.where(temperature >= base, temperature, 0.0)


class ThermalSearch:
    """The error of thermal time on fixed data, for any start day and base.

    Args:
        temperature: (U, S) daily means, degC, no NaN.
        season: (N,) row of `temperature` of every observation.
        event: (N,) observed day indices.
        kind: See `response`.
    """

    def __init__(self, temperature: Array, season: Array, event: Array, kind: str = "gdd") -> None:
        if kind not in RESPONSES:
            raise UsageError("US101", "response", f"{kind!r} is unknown", suggest(kind, RESPONSES))
        if np.isnan(temperature).any():
            raise InputError("DA403", "temperature", "holds NaN", "fill the gaps or leave the seasons out")
        self.temperature, self.kind = exact(temperature), kind
        self.count = len(event)
        rows, self.length = temperature.shape
        seen = np.bincount(season, minlength=rows)
        total = np.bincount(season, event, minlength=rows)
        squares = np.bincount(season, np.asarray(event, dtype=float) ** 2, minlength=rows)
        day = np.arange(self.length + 1.0)
        # summed over the observations of a season, so that trees which share one cost nothing more
        self.cost = seen[:, None] * day**2 - 2 * total[:, None] * day + squares[:, None]
        self.flat = self.cost.ravel()
        self.middle = np.rint(total / np.maximum(seen, 1)).astype(int)
        self.row = np.arange(rows)
        self.found: dict[tuple[int, float], tuple[float, float]] = {}
        self._base: float | None = None
        self.sums = np.zeros((rows, self.length + 1))

    def best(self, start: int, base: float, low: float, high: float) -> tuple[float, float]:
        """Smallest summed squared error over requirements in (low, high], and the middle of where it is reached."""
        self._sums_at(base)
        before = self.sums[:, start]
        first = self._first(before + low, start)
        last = self._first(before + high, start)
        count = last - first
        # event (u, t): a requirement above the sum up to day t moves the prediction of season u from t to t + 1
        u = np.repeat(self.row, count)
        t = np.arange(len(u)) - np.repeat(np.cumsum(count) - count, count) + first[u]
        values = self.sums[u, t + 1] - before[u]
        place = u * (self.length + 1) + t
        order = np.argsort(values)
        values = values[order]
        step = (self.flat[place + 1] - self.flat[place])[order]
        loss = self.flat[self.row * (self.length + 1) + first].sum() + np.r_[0.0, np.cumsum(step)]
        ends = np.r_[low, values, high]
        width = np.diff(ends)
        k = int(np.where(width > 0, loss, np.inf).argmin())
        return float(loss[k]), float((ends[k] + ends[k + 1]) / 2)

    def coarse(self, starts: Array, base: float, quantiles: int = 5) -> tuple[Array, Array]:
        """(J,) about the smallest error over a few requirements (quantiles of the sums at bloom), and which that was."""
        self._sums_at(base)
        before = self.sums[:, starts]  # (U, J)
        at_bloom = np.sort(self.sums[self.row, np.minimum(self.middle, self.length - 1) + 1][:, None] - before, axis=0)
        ranks = np.linspace(0.15, 0.7, quantiles) * (len(self.row) - 1)
        need = np.maximum(at_bloom[ranks.astype(int)].T, 1e-3)  # (J, Q)
        days = self._about((before[:, :, None] + need).reshape(len(self.row), -1))
        loss = self.flat.take(days + (self.row * (self.length + 1))[:, None]).sum(axis=0).reshape(need.shape)
        q = loss.argmin(axis=1)
        row = np.arange(len(starts))
        return loss[row, q], need[row, q]

    def days(self, start: int, base: float, requirement: float) -> Array:
        """(U,) predicted day indices, S for never."""
        self._sums_at(base)
        return self._first(self.sums[:, start] + requirement, start)

    def _sums_at(self, base: float) -> None:
        if base == self._base:
            return
        self._base = base
        # temperatures and base are rounded, so sums are exact without rounding the forcing
        np.cumsum(response(self.temperature, float(exact(base)), self.kind), axis=1, out=self.sums[:, 1:])

    def _first(self, target: Array, start: int) -> Array:
        """(U,) first day from the start on with a sum of at least the target (U,), S if on none."""
        day = start + (self.sums[:, start + 1 :] >= target[:, None]).argmax(axis=1)
        return np.where(self.sums[:, -1] < target, self.length, day)

    def _about(self, targets: Array) -> Array:
        """(U, M) about the first day on which the sum reaches each target, by a table over BINS steps of the sums."""
        rows = len(self.row)
        steps = BINS / (float(self.sums[:, -1].max()) + 1.0)
        shift = (self.row * (BINS + 1))[:, None]
        place = (self.sums[:, 1:] * steps).astype(np.intp)
        place += shift
        days = np.bincount(place.ravel(), minlength=rows * (BINS + 1)).reshape(rows, -1).cumsum(axis=1, dtype=np.int32)
        bins = (np.minimum(targets, self.sums[:, -1].max() + 1.0) * steps).astype(np.intp)
        bins += shift
        return days.ravel().take(bins)


def fit_thermal_time(
    temperature: Array,
    season: Array,
    event: Array,
    *,
    kind: str = "gdd",
    starts: tuple[int, int] | None = None,
    bases: tuple[float, float] = (0.0, 15.0),
    keep: int = 3,
    net: tuple[int, float] = (6, 1.0),
) -> ThermalTime:
    """Start day, base and requirement of least squares: a coarse net over all pairs, then halved steps around the best.

    Args:
        temperature: (U, S) daily means, degC, no NaN.
        season: (N,) row of every observation.
        event: (N,) observed day indices.
        kind: "gdd" or "above" (`response`).
        starts: First and last start day; by default from day 0 to the day by which 60 % of the events have come.
        bases: Lowest and highest base, degC.
        keep: Pairs that are refined.
        net: Days and degrees between the pairs of the net.

    Returns:
        The best pair seen, its requirement exact.
    """
    search = ThermalSearch(temperature, season, event, kind)
    low, high = starts or (0, int(np.quantile(event, 0.6)))
    days = np.arange(low, high + 1, net[0])
    pairs: list[tuple[float, int, float, float]] = []
    for base in np.arange(bases[0], bases[1] + 1e-9, net[1]):
        loss, need = search.coarse(days, float(base))
        pairs += [(float(loss[j]), int(days[j]), float(base), float(need[j])) for j in loss.argsort()[:keep]]
    pairs = sorted(pairs)[: 2 * keep]
    best = {(s, b): search.best(s, b, 0.6 * f, 1.5 * f) for _, s, b, f in sorted(pairs, key=lambda p: p[2])}
    day_step, base_step = net[0] // 2, net[1] / 2
    while base_step > 0.05:
        top = sorted(best, key=best.__getitem__)[:keep]
        new = {
            (s + i * day_step, b + j * base_step): best[s, b][1] for s, b in top for i in (-1, 0, 1) for j in (-1, 0, 1)
        }
        for s, b in sorted(new.keys() - best.keys(), key=lambda p: p[1]):
            if low <= s <= high and bases[0] <= b <= bases[1]:
                f = new[s, b]
                best[s, b] = search.best(s, b, 0.7 * f, 1.4 * f)
        day_step, base_step, keep = max(1, day_step // 2), base_step / 2, max(2, keep - 1)
    return _answer(search, best)


def exhaustive(
    temperature: Array, season: Array, event: Array, starts: Iterable[int], bases: Iterable[float], kind: str = "gdd"
) -> ThermalTime:
    """The same over all given pairs of start day and base, with the best of all requirements for each."""
    search = ThermalSearch(temperature, season, event, kind)
    best = {}
    days = [int(s) for s in starts]
    for base in bases:
        search._sums_at(float(base))
        top = float(search.sums[:, -1].max()) + 1.0
        for s in days:
            best[s, float(base)] = search.best(s, float(base), 0.0, top)
    return _answer(search, best)


def _answer(search: ThermalSearch, best: dict[tuple[int, float], tuple[float, float]]) -> ThermalTime:
    start, base = min(best, key=best.__getitem__)
    loss, need = best[start, base]
    return ThermalTime(start, base, need, float(np.sqrt(max(loss, 0.0) / search.count)), len(best))
