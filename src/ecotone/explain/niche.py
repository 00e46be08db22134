"""How far species share their places, and whether that could be chance.

Each species' relative intensity is made a distribution p over cells (area-weighted, adding up to 1). Schoener's D =
1 - sum |p - q| / 2; I = 1 - sum (sqrt p - sqrt q)^2 / 2, from the Hellinger distance (Warren, Glor and Turelli 2008, Evolution
62:2868; corrected 2010). Breadth is Levins' inverse concentration, as the share of the area over which a species would be
spread evenly to be as concentrated. On map cells these compare predicted places, on a sample of conditions predicted niches.
Letters: N cells, S species, R repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ecotone.errors import InputError, UsageError

Array = np.ndarray
Statistic = Literal["D", "I", "rank"]
NAMES: dict[str, str] = {"D": "Schoener's D", "I": "Warren's I", "rank": "rank correlation"}
_BLOCK = 64  # species compared at once; keeps one block of differences in cache


@dataclass(frozen=True)
class Overlap:
    """All pairs at once.

    Attributes:
        d: (S, S) Schoener's D, 0 (apart) to 1 (same).
        i: (S, S) Warren's I, 0 to 1.
        rank: (S, S) rank correlation over cells, -1 to 1; nan where one species is constant.
        breadth: (S,) Levins' breadth, share of the area, 0 to 1.
    """

    d: Array
    i: Array
    rank: Array
    breadth: Array


def niche_overlap(intensity: Array, *, weight: Array | None = None) -> Overlap:
    """Overlap of every pair of species.

    Args:
        intensity: (N, S) non-negative relative intensities, any scale per species.
        weight: (N,) areas of the cells; None for equal ones. The rank correlation weighs cells with them too.

    Raises:
        InputError: DA404 for shapes, DA403 for values that are negative or not finite or a species that is 0 everywhere.
    """
    p, w = _distributions(intensity, weight)
    root = np.sqrt(p)
    same = np.minimum(root.T @ root, 1.0)
    np.fill_diagonal(same, 1.0)
    return Overlap(_schoener(p), same, _rank_correlation(np.asarray(intensity), w), _breadth(p, w))


def pair_overlap(one: Array, other: Array, *, weight: Array | None = None, statistic: Statistic = "D") -> float:
    """One statistic of one pair of (N,) intensities."""
    if statistic not in NAMES:
        raise UsageError("US104", "statistic", f"{statistic!r} is unknown", f"choose one of {', '.join(NAMES)}")
    both = np.stack([np.asarray(one), np.asarray(other)], axis=1)
    p, w = _distributions(both, weight)
    if statistic == "rank":
        return float(_rank_correlation(both, w)[0, 1])
    if statistic == "I":
        return float(np.sqrt(p[:, 0] * p[:, 1]).sum())
    return float(1 - 0.5 * np.abs(p[:, 0] - p[:, 1]).sum())


def _distributions(intensity: Array, weight: Array | None) -> tuple[Array, Array]:
    """(N, S) distributions and (N,) weights, both adding up to 1 over cells."""
    z = np.asarray(intensity, dtype=np.float64)
    w = np.ones(len(z)) if weight is None else np.asarray(weight, dtype=np.float64)
    if z.ndim != 2 or not z.size or w.shape != z.shape[:1]:
        raise InputError("DA404", "overlap", f"intensities {z.shape}, weights {w.shape}", "pass (N, S) and (N,)")
    if not (np.isfinite(z).all() and (z >= 0).all() and np.isfinite(w).all() and (w >= 0).all() and w.sum() > 0):
        raise InputError(
            "DA403", "overlap", "negative or not finite values", "pass relative intensities of valid cells"
        )
    w = w / w.sum()
    largest = z.max(0)
    mass = z / np.where(largest > 0, largest, 1.0) * w[:, None]  # the scale cancels; this keeps it from overflowing
    total = mass.sum(0)
    if not (total > 0).all():
        what = f"species {int(np.argmin(total > 0))} is 0 in every cell"
        raise InputError("DA403", "overlap", what, "leave that species out")
    return mass / total, w


def _schoener(p: Array) -> Array:
    from scipy.spatial.distance import cdist

    rows = np.ascontiguousarray(p.T)
    out = np.empty((len(rows), len(rows)))
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        part = 1 - 0.5 * cdist(some, rows[start:], "cityblock")
        out[start : start + _BLOCK, start:] = part
        out[start:, start : start + _BLOCK] = part.T
    np.fill_diagonal(out, 1.0)
    return np.clip(out, 0.0, 1.0)


def _rank_correlation(z: Array, w: Array) -> Array:
    from scipy.stats import rankdata

    ranks = rankdata(z, axis=0)
    centred = (ranks - w @ ranks) * np.sqrt(w)[:, None]
    norm = np.sqrt((centred**2).sum(0))
    flat = norm <= 1e-9 * len(z)
    scaled = centred / np.where(flat, 1.0, norm)
    out = np.clip(scaled.T @ scaled, -1.0, 1.0)
    np.fill_diagonal(out, 1.0)
    out[flat], out[:, flat] = np.nan, np.nan
    return out


def _breadth(p: Array, w: Array) -> Array:
    some = w > 0
    return 1 / (p[some] ** 2 / w[some][:, None]).sum(0)


# ------------------------------------------------------------------------------------------------ tests of a pair
@dataclass(frozen=True)
class OverlapTest:
    """An observed overlap among overlaps that chance gave.

    Attributes:
        observed: Of the two species.
        chance: (R,) of the repeats.
        lower: P value that the overlap is smaller than chance gives: (1 + repeats at most as large) / (1 + R).
        upper: P value that it is larger.
        statistic: Which overlap.
        kind: "identity" or "similarity".
    """

    observed: float
    chance: Array
    lower: float
    upper: float
    statistic: Statistic
    kind: Literal["identity", "similarity"]


def identity_test(
    refit: Callable[[Array], Array],
    records: tuple[int, int],
    *,
    weight: Array | None = None,
    statistic: Statistic = "D",
    repeats: int = 99,
    seed: int = 0,
) -> OverlapTest:
    """Are two species' distributions interchangeable (niche identity or equivalency)?

    The records of both are pooled and dealt out again at random, in the same numbers, and both are refitted. A small
    `lower` says that the two differ by more than chance.

    Args:
        refit: (n,) indices into the pooled records (species one first) -> (N,) relative intensities of a model of these.
        records: Number of records of each.
        weight: (N,) areas of the cells.
        statistic: "D", "I" or "rank".
        repeats: R; two refits each.
        seed: For the dealing.
    """
    one, other = records
    pool = np.arange(one + other)
    _check_test(min(records), repeats)

    def overlap(order: Array) -> float:
        return pair_overlap(refit(order[:one]), refit(order[one:]), weight=weight, statistic=statistic)

    rng = np.random.default_rng(seed)
    observed = overlap(pool)
    return _tested(observed, [overlap(rng.permutation(pool)) for _ in range(repeats)], statistic, "identity")


def similarity_test(
    fixed: Array,
    observed: Array,
    refit: Callable[[Array], Array],
    records: int,
    background: int,
    *,
    weight: Array | None = None,
    statistic: Statistic = "D",
    repeats: int = 99,
    seed: int = 0,
) -> OverlapTest:
    """Does one species resemble another more, or less, than random places within the other's reach would (background test)?

    Args:
        fixed: (N,) relative intensities of the species that stays.
        observed: (N,) those of the other species.
        refit: (n,) indices into the other's background sites -> (N,) relative intensities of a model of these as records.
        records: Records of the other species, as many as are drawn each time.
        background: Number of its background sites.
        weight: (N,) areas of the cells.
        statistic: "D", "I" or "rank".
        repeats: R; one refit each.
        seed: For the draws.
    """
    _check_test(min(records, background), repeats)
    if records > background:
        what = f"{records} records are to be drawn from {background} background sites"
        raise InputError("OC205", "similarity test", what, "give more background sites")
    rng = np.random.default_rng(seed)
    draws = (rng.choice(background, size=records, replace=False) for _ in range(repeats))
    chance = [pair_overlap(fixed, refit(rows), weight=weight, statistic=statistic) for rows in draws]
    return _tested(pair_overlap(fixed, observed, weight=weight, statistic=statistic), chance, statistic, "similarity")


def _check_test(records: int, repeats: int) -> None:
    if records < 1:
        raise InputError("OC205", "overlap test", "a species without records", "choose species with records")
    if repeats < 1:
        raise UsageError("US104", "repeats", f"{repeats} repeats test nothing", "use at least 1, better 99")


def _tested(
    observed: float, chance: list[float], statistic: Statistic, kind: Literal["identity", "similarity"]
) -> OverlapTest:
    drawn, close = np.array(chance), 1e-12
    lower, upper = (
        (1 + int(beyond.sum())) / (1 + len(drawn)) for beyond in (drawn <= observed + close, drawn >= observed - close)
    )
    return OverlapTest(observed, drawn, lower, upper, statistic, kind)
