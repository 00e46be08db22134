"""Breaks in bloom records: another tree, another observer or another definition shows as a step or a change of scatter.

A record is compared with something that shares its weather but not its keeper: a regression on spring temperature, the
neighbours, or a model's answers. The residuals are cut into pieces of constant mean by exact dynamic programming (the
penalty per cut is that of BIC), and the whole gain over no cut is compared with that of the same residuals in shuffled
order, so that a clean record is suspected with the stated probability whatever the shape of its noise. The same is done
with the variance around the pieces for changes of scatter. Each of the two tests has half of the error probability.

Letters: n years of a site, K cuts, B permutations.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from ecotone.data.seasons import Seasons
from ecotone.errors import InputError
from ecotone.systems.phenology.baselines.spring import window_mean
from ecotone.systems.phenology.distribution import BloomDays

Array = np.ndarray
LEAST_YEARS = 15
SHORTEST = 5  # years of a piece
MOST = 3  # cuts
OUTLYING = 4.0  # robust standard deviations


@dataclass(frozen=True)
class Break:
    """One change in a record.

    Attributes:
        year: First year after it.
        kind: "level" or "scatter".
        size: Days by which the mean of the residuals rises, or the ratio of standard deviations after to before.
        p: Permutation p-value of this cut within the two pieces it parts.
    """

    year: int
    kind: str
    size: float
    p: float


@dataclass(frozen=True)
class Record:
    """What was found in the record of a site.

    Attributes:
        site: Name.
        years: (n,) years, ascending.
        residual: (n,) observed minus expected days.
        p_level: p-value of "the level changes somewhere".
        p_scatter: p-value of "the scatter changes somewhere".
        breaks: Breaks, those of level first; empty where the record is not suspected.
        outliers: Years far from the rest of their piece.
    """

    site: str
    years: Array
    residual: Array
    p_level: float
    p_scatter: float
    breaks: tuple[Break, ...]
    outliers: tuple[int, ...]

    @property
    def broken(self) -> bool:
        """Whether the record is suspected."""
        return bool(self.breaks)

    def row(self) -> dict[str, Any]:
        """For a table."""
        words = "; ".join(
            f"level {b.year}: {b.size:+.1f} d" if b.kind == "level" else f"scatter {b.year}: x{b.size:.1f}"
            for b in self.breaks
        )
        return {
            "site": self.site,
            "seasons": len(self.years),
            "p_level": self.p_level,
            "p_scatter": self.p_scatter,
            "breaks": words,
            "outliers": " ".join(str(y) for y in self.outliers),
        }


def find_breaks(
    year: Array, residual: Array, *, site: str = "", alpha: float = 0.05, permutations: int = 499, seed: int = 0
) -> Record:
    """Breaks of one record.

    Args:
        year: (n,) years.
        residual: (n,) observed minus expected days; NaN is left out.
        site: Name for the answer.
        alpha: Probability that a clean record (exchangeable residuals) is suspected.
        permutations: B.
        seed: Of the shuffling.

    Raises:
        InputError: PH657 with fewer than 15 years; DA404 when lengths differ.
    """
    year, residual = np.asarray(year), np.asarray(residual, dtype=float)
    if year.shape != residual.shape:
        raise InputError("DA404", "find_breaks", "years and residuals differ in length", "give one residual per year")
    kept = np.flatnonzero(np.isfinite(residual))
    kept = kept[np.argsort(year[kept], kind="stable")]
    year, residual = year[kept].astype(int), residual[kept]
    if len(year) < LEAST_YEARS:
        what = f"{len(year)} years, too few to look for breaks"
        raise InputError("PH657", site or "find_breaks", what, f"give at least {LEAST_YEARS}")
    rng = np.random.default_rng(seed)
    clipped = _winsorised(residual)
    p_level, cuts = _test(clipped, permutations, rng)
    found = []
    for a, c, b in _neighbours(cuts if p_level <= alpha / 2 else (), len(year)):
        size = float(residual[c:b].mean() - residual[a:c].mean())
        found.append(Break(int(year[c]), "level", size, _local(clipped[a:b], c - a, rng)))
    pieces = _bounds([int(np.searchsorted(year, b.year)) for b in found], len(year))
    middle = np.concatenate([np.full(b - a, np.median(residual[a:b])) for a, b in pieces])
    deviation = residual - middle
    p_scatter, cuts = _test(deviation, permutations, rng, "scatter")
    for a, c, b in _neighbours(cuts if p_scatter <= alpha / 2 else (), len(year)):
        ratio = float(np.sqrt(np.mean(deviation[c:b] ** 2) / max(np.mean(deviation[a:c] ** 2), 1e-12)))
        found.append(Break(int(year[c]), "scatter", ratio, _local(deviation[a:b], c - a, rng, "scatter")))
    far = _outlying(residual, sorted({int(np.searchsorted(year, b.year)) for b in found}))
    return Record(site, year, residual, p_level, p_scatter, tuple(found), tuple(int(y) for y in year[far]))


def cut_points(x: Array, kind: str = "level", *, most: int = MOST, shortest: int = SHORTEST) -> tuple[Array, Array]:
    """Best places of 0..K cuts of a series into pieces of constant mean or scatter, by exact dynamic programming.

    Args:
        x: (..., n) series; leading axes are separate series cut at once.
        kind: "level": the cost of a piece is its sum of squares around its mean. "scatter": its length times the log of
            its mean square, twice the negative log-likelihood of noise around zero.
        most: K.
        shortest: Length of a piece.

    Returns:
        (..., K + 1) smallest costs with 0..K cuts (inf where they do not fit), and (..., K + 1, K) first positions
        after each cut, ascending, -1 where unused.
    """
    x = np.asarray(x, dtype=float)
    n, lead = x.shape[-1], x.shape[:-1]
    flat = (x - x.mean(axis=-1, keepdims=True) if kind == "level" else x).reshape(-1, n)
    m = len(flat)
    one, two = (np.concatenate([np.zeros((m, 1)), np.cumsum(v, axis=1)], axis=1) for v in (flat, flat**2))
    best = np.full((most + 1, m, n + 1), np.inf)
    back = np.full((most + 1, m, n + 1), -1)
    ends = np.arange(shortest, n + 1)

    def cost(start: Array | int, end: Array | int) -> Array:
        long = np.asarray(end) - np.asarray(start)
        squares = two[:, end] - two[:, start]
        if kind == "scatter":
            return long * np.log(np.maximum(squares / long, 1e-6))
        return squares - (one[:, end] - one[:, start]) ** 2 / long

    best[0][:, ends] = cost(np.zeros_like(ends), ends)
    for k in range(1, most + 1):
        for end in range((k + 1) * shortest, n + 1):
            starts = np.arange(k * shortest, end - shortest + 1)
            total = best[k - 1][:, starts] + cost(starts, np.full_like(starts, end))
            pick = total.argmin(axis=1)
            best[k, :, end], back[k, :, end] = total[np.arange(m), pick], starts[pick]
    cuts = np.full((m, most + 1, most), -1)
    for k in range(1, most + 1):
        at = np.full(m, n)
        for j in range(k, 0, -1):
            at = np.where(at >= 0, back[j, np.arange(m), at], -1)
            cuts[:, k, j - 1] = at
    return best[:, :, n].T.reshape(*lead, most + 1), cuts.reshape(*lead, most + 1, most)


def gain(costs: Array, n: int, kind: str = "level") -> tuple[Array, Array]:
    """(...,) BIC gain of the best number of cuts over none, and that number (at least one, for the test).

    Args:
        costs: (..., K + 1) from `cut_points`.
        n: Length of the series.
        kind: As for `cut_points`.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        score = costs if kind == "scatter" else n * np.log(np.maximum(costs, 1e-12))
        each = score[..., :1] - score[..., 1:]
    each = each - 2 * np.log(n) * np.arange(1, costs.shape[-1])  # a cut costs its place and a parameter
    each = np.where(np.isfinite(costs[..., 1:]), each, -np.inf)
    return each.max(axis=-1), each.argmax(axis=-1) + 1


def _test(x: Array, permutations: int, rng: np.random.Generator, kind: str = "level") -> tuple[float, tuple[int, ...]]:
    """p-value of any cut, and the best cuts."""
    costs, cuts = cut_points(x, kind)
    own, many = gain(costs, len(x), kind)
    shuffled = rng.permuted(np.tile(x, (permutations, 1)), axis=1)
    null, _ = gain(cut_points(shuffled, kind)[0], len(x), kind)
    p = (1 + int((null >= own - 1e-9).sum())) / (permutations + 1)
    return p, tuple(int(c) for c in cuts[int(many)] if c >= 0)


def _local(x: Array, cut: int, rng: np.random.Generator, kind: str = "level", permutations: int = 499) -> float:
    """p-value of a single cut within its two pieces, allowing for the choice of its place."""
    x = x - x.mean() if kind == "level" else x
    halves = x[:cut], x[cut:]
    if kind == "level":
        own = float(sum(((h - h.mean()) ** 2).sum() for h in halves))
    else:
        own = float(sum(len(h) * np.log(max(np.mean(h**2), 1e-6)) for h in halves))
    null = cut_points(rng.permuted(np.tile(x, (permutations, 1)), axis=1), kind, most=1)[0][:, 1]
    return (1 + int((null <= own + 1e-9).sum())) / (permutations + 1)


def _bounds(cuts: list[int], n: int) -> list[tuple[int, int]]:
    edges = [0, *sorted(cuts), n]
    return list(pairwise(edges))


def _neighbours(cuts: tuple[int, ...], n: int) -> list[tuple[int, int, int]]:
    edges = [0, *cuts, n]
    return list(zip(edges[:-2], edges[1:-1], edges[2:], strict=True))


def _winsorised(x: Array, at: float = 3.5) -> Array:
    """Values far from the middle drawn in, so that a single slip of the pen is no step."""
    middle = np.median(x)
    spread = 1.4826 * float(np.median(np.abs(x - middle)))
    return np.clip(x, middle - at * spread, middle + at * spread) if spread > 0 else x


def _outlying(x: Array, cuts: list[int]) -> Array:
    far = np.zeros(len(x), dtype=bool)
    for a, b in _bounds(cuts, len(x)):
        off = np.abs(x[a:b] - np.median(x[a:b]))
        far[a:b] = off > OUTLYING * max(1.4826 * float(np.median(off)), 0.5)
    return far


# ------------------------------------------------------------------------------------------- what to compare with
def against_temperature(seasons: Seasons, *, window: int = 60) -> Array:
    """(N,) residuals of bloom on the mean temperature before bloom time, per site.

    The window ends at the site's median day of bloom. The slope is the median of those between successive years
    (Theil-Sen on differences), which a step in the record touches once only.
    """
    out = np.full(len(seasons), np.nan)
    for _, rows in _by_site(seasons):
        end = np.full(len(rows), int(np.median(seasons.event[rows])))
        x, y = window_mean(seasons.take(rows), end, window), seasons.event[rows]
        apart_x, apart_y = np.diff(x), np.diff(y)
        enough = np.abs(apart_x) > 0.3
        slope = 0.0
        if enough.sum() >= 5:
            order = np.argsort((apart_y / np.where(enough, apart_x, 1.0))[enough])
            weight = np.cumsum(np.abs(apart_x[enough])[order])
            slope = float((apart_y[enough] / apart_x[enough])[order][np.searchsorted(weight, weight[-1] / 2)])
        out[rows] = y - slope * x - np.mean(y - slope * x)
    return out


def against_neighbours(seasons: Seasons, *, within: float = 150.0, least: int = 1) -> Array:
    """(N,) departures from the median of the neighbours' departures in the same year; NaN with fewer than `least` of them.

    Each site is first centred on its median, so that late sites count as well as early ones. With one or two neighbours
    a break of theirs shows as well, with the other sign: compare the records of all of them.

    Args:
        seasons: The seasons.
        within: Distance of a neighbour, km.
        least: How many are needed.
    """
    from ecotone.data.places import distance_km

    lat, lon = (seasons.sites[k].to_numpy(dtype=float) for k in ("latitude", "longitude"))
    near = distance_km(lat[:, None], lon[:, None], lat, lon) <= within
    np.fill_diagonal(near, False)
    centred = np.full(len(seasons), np.nan)
    for _, rows in _by_site(seasons):
        centred[rows] = seasons.event[rows] - np.median(seasons.event[rows])
    out = np.full(len(seasons), np.nan)
    for i in np.flatnonzero(np.isfinite(centred)):
        others = (seasons.year == seasons.year[i]) & near[seasons.site[i]][seasons.site] & np.isfinite(centred)
        if others.sum() >= least:
            out[i] = centred[i] - np.median(centred[others])
    return out


def against_model(seasons: Seasons, predicted: BloomDays) -> Array:
    """(N,) observed minus predicted days; use answers for held-out years, or a step is partly learned."""
    return np.where(seasons.observed, seasons.event - predicted.day, np.nan)


def check_records(seasons: Seasons, residual: Array, *, alpha: float = 0.05, seed: int = 0) -> list[Record]:
    """The records of all sites with at least 15 years, by site.

    Args:
        seasons: The seasons.
        residual: (N,) from one of the `against_` functions.
        alpha: Probability, per site, that a clean record is suspected.
        seed: Of the shuffling.
    """
    found = []
    for g, known in _by_site(seasons):
        rows = known[np.isfinite(residual[known])]
        if len(rows) >= LEAST_YEARS:
            name = str(seasons.sites["site_id"].iloc[g])
            found.append(find_breaks(seasons.year[rows], residual[rows], site=name, alpha=alpha, seed=seed))
    return found


def _by_site(seasons: Seasons) -> list[tuple[int, Array]]:
    """(site, rows in order of years) of sites with known blooms."""
    known = np.flatnonzero(seasons.observed & np.isfinite(seasons.event))
    found = []
    for g in np.unique(seasons.site[known]):
        rows = known[seasons.site[known] == g]
        found.append((int(g), rows[np.argsort(seasons.year[rows], kind="stable")]))
    return found
