"""Intervals by resampling: over species, over sites in blocks, or over species within regions.

Values that are NaN (a species whose AUC is undefined, say) are left out and do not count in `n`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from ecotone.contract import Score
from ecotone.errors import InputError, UsageError

Array = np.ndarray
Statistic = Callable[..., Array]
_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval.

    Attributes:
        estimate: The statistic of the values themselves.
        low: Lower end.
        high: Upper end.
        n: How many values (or pairs) it rests on.
        level: Nominal coverage.
    """

    estimate: float
    low: float
    high: float
    n: int
    level: float = 0.95

    def to_score(self) -> Score:
        """The same as the contract's `Score`."""
        return Score(self.estimate, self.low, self.high, self.n)


class _Stratum(NamedTuple):
    values: Array
    starts: Array  # first value of each unit; units are laid end to end
    sizes: Array


def bootstrap(
    values: Array,
    statistic: Statistic = np.mean,
    *,
    n: int = 2000,
    seed: int = 0,
    clusters: Array | None = None,
    strata: Array | None = None,
    level: float = 0.95,
    across: Literal["equal", "pooled"] = "equal",
) -> Interval:
    """Percentile bootstrap interval of a statistic.

    Args:
        values: (V,) values; NaN is left out.
        statistic: Takes an array and `axis`; `np.mean` has a fast path.
        n: Resamples.
        seed: Of the resampling.
        clusters: (V,) labels, such as spatial block ids: whole clusters are drawn, so that the interval allows for
            likeness within them.
        strata: (V,) labels, such as regions: drawing happens within each, sizes fixed.
        level: Nominal coverage.
        across: With strata, "equal" averages the statistic of each stratum (mean of region means), "pooled" takes it
            over all values.

    Returns:
        The interval; all NaN with `n` 0 when no value is left.

    Raises:
        InputError: DA404 when lengths differ.
        UsageError: US104 on an impossible level, number of resamples or `across`.

    The interval is somewhat too short for fewer than about 20 values or clusters.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1:
        raise InputError("DA404", "values", f"shape {data.shape}", "pass a vector")
    if n < 1 or not 0 < level < 1 or across not in ("equal", "pooled"):
        raise UsageError("US104", "bootstrap", f"n={n}, level={level}, across={across!r}", "see the documented ranges")
    kept = ~np.isnan(data)
    parts = _strata(data[kept], _labels(clusters, kept, "clusters"), _labels(strata, kept, "strata"))
    count = int(kept.sum())
    if not count:
        return Interval(np.nan, np.nan, np.nan, 0, level)
    streams = np.random.default_rng(seed).spawn(len(parts))
    everything = [part.values for part in parts]
    if across == "equal":
        estimate = float(np.mean([statistic(v, axis=0) for v in everything]))
        draws = np.mean([_resample(part, statistic, n, rng) for part, rng in zip(parts, streams, strict=True)], axis=0)
    else:
        estimate = float(statistic(np.concatenate(everything), axis=0))
        draws = _pooled(parts, statistic, n, streams)
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high), count, level)


def paired_bootstrap(
    a: Array,
    b: Array,
    *,
    strata: Array | None = None,
    n: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    clusters: Array | None = None,
    across: Literal["equal", "pooled"] = "equal",
) -> Interval:
    """Interval of the mean difference ``a - b`` of two methods scored on the same species.

    Species are drawn in pairs, within regions when `strata` names them; the difference is averaged over the species
    of a region, then over regions. Both methods are better told apart if the interval leaves out zero.

    Args:
        a: (V,) scores of one method.
        b: (V,) scores of the other, in the same order; a pair with a NaN is left out.
        strata: (V,) region of each species.
        n: Resamples.
        seed: Of the resampling.
        level: Nominal coverage.
        clusters: (V,) labels drawn whole, as in `bootstrap`.
        across: As in `bootstrap`.

    Returns:
        The interval of the difference; `n` counts pairs.

    Raises:
        InputError: DA404 when lengths differ.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError("DA404", "a, b", f"shapes {first.shape} and {second.shape}", "pass two equally long vectors")
    return bootstrap(first - second, n=n, seed=seed, strata=strata, clusters=clusters, level=level, across=across)


def _labels(labels: Array | None, kept: Array, name: str) -> Array | None:
    if labels is None:
        return None
    codes = np.asarray(labels)
    if codes.shape != kept.shape:
        raise InputError("DA404", name, f"{codes.shape} labels for {kept.size} values", "pass one label per value")
    return np.unique(codes[kept], return_inverse=True)[1].reshape(-1)


def _strata(values: Array, clusters: Array | None, strata: Array | None) -> list[_Stratum]:
    stratum = np.zeros(values.size, dtype=np.int64) if strata is None else strata
    parts = []
    for k in np.unique(stratum):
        inside = stratum == k
        some = values[inside]
        if clusters is None:
            sizes = np.ones(some.size, dtype=np.int64)
        else:
            label = clusters[inside]
            some = some[np.argsort(label, kind="stable")]
            sizes = np.unique(label, return_counts=True)[1]
        parts.append(_Stratum(some, np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes))
    return parts


def _draw(part: _Stratum, n: int, rng: np.random.Generator) -> Iterator[Array]:
    """(n, units) drawn unit numbers, in slabs that bound the memory."""
    units = part.sizes.size
    rows = max(1, _AT_ONCE // units)
    for begin in range(0, n, rows):
        yield rng.integers(units, size=(min(rows, n - begin), units))


def _resample(part: _Stratum, statistic: Statistic, n: int, rng: np.random.Generator) -> Array:
    """(n,) statistics of resampled units."""
    slabs = _draw(part, n, rng)
    if statistic is np.mean:
        sums = np.add.reduceat(part.values, part.starts)
        return np.concatenate([sums[d].sum(axis=1) / part.sizes[d].sum(axis=1) for d in slabs])
    if (part.sizes == 1).all():
        return np.concatenate([statistic(part.values[d], axis=1) for d in slabs])
    return np.array([statistic(_gather(part, d), axis=0) for slab in slabs for d in slab])


def _pooled(parts: list[_Stratum], statistic: Statistic, n: int, streams: list[np.random.Generator]) -> Array:
    drawn = [(row for slab in _draw(p, n, rng) for row in slab) for p, rng in zip(parts, streams, strict=True)]
    out = np.empty(n)
    for k, rows in enumerate(zip(*drawn, strict=True)):
        out[k] = statistic(np.concatenate([_gather(p, d) for p, d in zip(parts, rows, strict=True)]), axis=0)
    return out


def _gather(part: _Stratum, units: Array) -> Array:
    """The values of the drawn units."""
    sizes = part.sizes[units]
    begin = np.repeat(part.starts[units] - np.concatenate(([0], np.cumsum(sizes)[:-1])), sizes)
    return part.values[begin + np.arange(begin.size)]
