"""All combinations of a grid, exactly: prefix sums, one binary search per season and combination, no sampling.

A combination is (base temperature, outer parameter, requirement). The outer parameter is the chill requirement (sequential,
parallel, PhenoFlex), the first day that counts (thermal time) or the pair b, c (alternating). For one base and one outer
value, a season has a non-decreasing curve of progress, and the day of bloom for every requirement is one `searchsorted` in it.
For thermal time and the sequential structure all those curves are the same prefix sums, less their value before the start.

Daily units are rounded to multiples of 2^-16 (`exact`), so that sums and differences of sums carry no rounding error: a
requirement of 10 is met by 10.0 on every path, and the table equals a plain triple loop to the last bit.

Letters: n seasons, S days, B bases, C outer values, K requirements, F folds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ecotone.data.seasons import Seasons, Status
from ecotone.errors import UsageError, suggest
from ecotone.systems.phenology import structures

Array = np.ndarray
STEP = 2.0**-16
PREFIX = ("thermal time", "sequential")
OUTER = {
    "thermal time": ("start",),
    "sequential": ("chill",),
    "parallel": ("chill",),
    "alternating": ("b", "c"),
    "phenoflex": ("chill",),
}


def exact(units: Array | float) -> Array:
    """float64 units rounded to multiples of 2^-16; sums of up to 2^36 of them are then exact."""
    return np.rint(np.asarray(units, dtype=float) / STEP) * STEP


@dataclass(frozen=True)
class Axes:
    """The grid.

    Attributes:
        base: (B,) degC.
        outer: (C, 1) or (C, 2) values of the outer parameter(s); ascending where it is a chill requirement.
        requirement: (B, K) ascending requirements, one row per base as their scale falls with the base.
    """

    base: Array
    outer: Array
    requirement: Array

    @classmethod
    def of(cls, base: Array, outer: Array, requirement: Array) -> Axes:
        """From one-dimensional axes; `requirement` (K,) is the same for all bases."""
        base = np.atleast_1d(np.asarray(base, dtype=float))
        outer = np.asarray(outer, dtype=float)
        outer = outer.reshape(len(outer), -1)
        need = exact(np.atleast_1d(requirement))
        need = np.broadcast_to(need, (len(base), need.shape[-1]))
        if (np.diff(need, axis=1) < 0).any() or (outer.shape[1] == 1 and (np.diff(outer[:, 0]) < 0).any()):
            raise UsageError(
                "US104", "grid", "an axis falls", "give requirements, chill and start days in rising order"
            )
        return cls(base, outer, need)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B, C, K)."""
        return len(self.base), len(self.outer), self.requirement.shape[1]

    @property
    def size(self) -> int:
        """Combinations."""
        return int(np.prod(self.shape))


def check_structure(structure: str) -> None:
    """Raises US101 for an unknown structure."""
    if structure not in OUTER:
        raise UsageError("US101", "structure", f"{structure!r} is unknown", suggest(structure, OUTER))


def starts(structure: str, chill: Array | None, outer: Array, n: int) -> Array:
    """(n, C) first day on which forcing counts, S where the chill is never met; for the structures with prefix sums."""
    if structure == "thermal time":
        return np.broadcast_to(outer[:, 0].astype(np.intp), (n, len(outer)))
    # a running maximum, as negative units let the sum fall again after the requirement was met
    highest = np.maximum.accumulate(np.cumsum(exact(np.nan_to_num(given(chill))), axis=1), axis=1)
    need = exact(outer[:, 0])
    return np.stack([np.searchsorted(row, need) for row in highest]) if n else np.zeros((0, len(outer)), dtype=np.intp)


def progress(
    structure: str, chill: Array | None, forcing: Array, outer: Array, settings: dict[str, float] | None = None
) -> Array:
    """(n, S) progress of seasons towards their requirement for one outer value each.

    Args:
        structure: A key of `structures.STRUCTURES`.
        chill: (n, S) daily chill units (chill days for the alternating structure); unused by thermal time.
        forcing: (n, S) daily forcing units.
        outer: (n, 1) or (n, 2) outer parameters.
        settings: `least` (parallel), `slope` (PhenoFlex), `start` and `chill_start` (alternating).
    """
    settings = settings or {}
    g = exact(forcing)
    if structure == "thermal time":
        return structures.since(g, outer[:, 0])
    c = exact(given(chill))
    if structure == "sequential":
        return structures.since(g, structures.first_day(np.cumsum(c, axis=1), exact(outer[:, 0])))
    if structure == "alternating":
        begin = {name: settings.get(name, 0) for name in ("start", "chill_start")}
        return structures.alternating_progress(c, g, outer[:, :1], outer[:, 1:], **begin)
    return np.cumsum(exact(weights(structure, c, outer, settings) * g), axis=1)


def weights(structure: str, chill: Array, outer: Array, settings: dict[str, float]) -> Array:
    """(n, S) part of the forcing that counts, for the structures in which chill weighs it."""
    if structure == "parallel":
        return structures.competence(chill, outer[:, 0], settings.get("least", 0.0))
    return structures.heat_efficiency(chill, outer[:, 0], settings.get("slope", 0.5))


def costs(seasons: Seasons, end: Array, criterion: str = "mse") -> Array:
    """(n, S + 1) cost of every predicted day, the last column for a bloom that never comes.

    An observed bloom costs the (squared) distance in days; a censored one the distance to the nearest day that agrees with
    it; never counts as the day after the last. Days from `end` (n,) on, which have no temperature, cost what `end` costs.
    """
    if criterion not in ("mse", "mae"):
        raise UsageError("US101", "criterion", f"{criterion!r} is unknown", suggest(criterion, ("mse", "mae")))
    day = np.minimum(np.arange(seasons.length + 1.0), np.asarray(end)[:, None])
    event = seasons.event[:, None]
    late = np.where(np.isin(seasons.status, (Status.OBSERVED, Status.BEFORE))[:, None], day - event, -np.inf)
    early = np.where((seasons.status == Status.OBSERVED)[:, None], event - day, -np.inf)
    early = np.where((seasons.status == Status.AFTER)[:, None], np.minimum(event + 1, end[:, None]) - day, early)
    away = np.maximum(np.maximum(late, early), 0.0)
    return away**2 if criterion == "mse" else away


def first_missing(units: Array, start: int = 0) -> Array:
    """(n,) first day from `start` on without units, S if none."""
    gap = np.isnan(units)
    gap[:, :start] = False
    return np.where(gap.any(axis=1), gap.argmax(axis=1), units.shape[1])


def prepared(
    structure: str, chill: Array | None, outer: Array, n: int, settings: dict[str, float] | None = None
) -> Array | None:
    """What does not depend on the forcing: `starts` (n, C), or weights (n, C, S); None for the alternating structure."""
    if structure in PREFIX:
        return starts(structure, chill, outer, n)
    c = exact(np.nan_to_num(given(chill)))
    if structure == "alternating":
        return None
    every = [weights(structure, np.tile(row, (len(outer), 1)), outer, settings or {}) for row in c]
    return np.stack(every) if every else np.zeros((0, len(outer), c.shape[1]))


def season_days(
    structure: str,
    chill: Array | None,
    forcing: Array,
    axes: Axes,
    base: int,
    ready: Array | None = None,
    settings: dict[str, float] | None = None,
) -> Iterator[tuple[int, Array]]:
    """Days of bloom for all outer values and requirements of one base, season after season.

    Args:
        structure: A key of `structures.STRUCTURES`.
        chill: (n, S) daily chill units or None.
        forcing: (n, S) daily forcing units at this base.
        axes: The grid.
        base: Row of `axes.base`.
        ready: From `prepared`, if at hand already (it does not depend on the base).
        settings: See `progress`.

    Yields:
        Season i and its days: (c, K) int, S for never; rows after c, if any, never have their chill.
    """
    need = axes.requirement[base]
    n, length = forcing.shape
    ready = prepared(structure, chill, axes.outer, n, settings) if ready is None else ready
    if structure in PREFIX:
        begin = np.zeros((n, 0), dtype=np.intp) if ready is None else ready
        sums = np.zeros((n, length + 1))
        np.cumsum(exact(np.nan_to_num(forcing)), axis=1, out=sums[:, 1:])
        waits = need <= 0
        for i in range(n):
            known = begin[i][begin[i] < length]
            days = np.searchsorted(sums[i, 1:], (sums[i, known][:, None] + need).ravel()).reshape(len(known), len(need))
            if waits.any():
                days[:, waits] = known[:, None]
            yield i, days
        return
    g = exact(np.nan_to_num(forcing))
    for i in range(n):
        if ready is None:
            rows = np.full(len(axes.outer), i)
            curves = progress(structure, np.nan_to_num(given(chill))[rows], g[rows], axes.outer, settings)
            curves = np.maximum.accumulate(curves, axis=1)
        else:
            curves = np.cumsum(exact(ready[i] * g[i]), axis=1)
        yield i, np.stack([np.searchsorted(curve, need) for curve in curves])


def add_losses(
    loss: Array,
    fold: Array,
    cost: Array,
    structure: str,
    chill: Callable[[float], Array | None],
    forcing: Callable[[float], Array],
    axes: Axes,
    settings: dict[str, float] | None = None,
) -> None:
    """Adds the costs of n seasons to the table of losses, fold by fold.

    Args:
        loss: (F, B, C, K) float64, added to in place.
        fold: (n,) fold of every season.
        cost: (n, S + 1) from `costs`.
        structure: A key of `structures.STRUCTURES`.
        chill: Daily chill units (n, S) at a base; the same object for all bases if they do not depend on it.
        forcing: Daily forcing units (n, S) at a base.
        axes: The grid.
        settings: See `progress`.
    """
    before: Array | None = None
    ready: Array | None = None
    for b, base in enumerate(axes.base):
        units = chill(float(base))
        g = forcing(float(base))
        if b == 0 or units is not before:
            ready, before = prepared(structure, units, axes.outer, len(g), settings), units
        for i, days in season_days(structure, units, g, axes, b, ready, settings):
            here = loss[fold[i], b]
            here[: len(days)] += cost[i].take(days)
            here[len(days) :] += cost[i, -1]


def choose(loss: Array) -> tuple[int, ...]:
    """The cell of the smallest loss; among equals the one nearest to the middle of them, then the first.

    The middle is the mean index of all cells with the smallest loss, and distances count every axis by its length.
    """
    least = loss.min()
    ties = np.argwhere(loss <= least + 1e-9 * max(1.0, abs(float(least))))
    if len(ties) == 1:
        return tuple(int(k) for k in ties[0])
    place = ties / np.array(loss.shape)
    away = ((place - place.mean(axis=0)) ** 2).sum(axis=1)
    # rounding must not decide between cells that lie equally far
    return tuple(int(k) for k in ties[np.flatnonzero(away <= away.min() + 1e-12)[0]])


def given(chill: Array | None) -> Array:
    """The chill units, or US104 where there are none but the structure needs them."""
    if chill is None:
        raise UsageError("US104", "chill", "this structure needs chill units", "name a chill model")
    return chill
