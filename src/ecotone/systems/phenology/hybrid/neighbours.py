"""What known sites say of a place between them.

A known site, asked as if it were unknown, needs more or less than what is usual at its place (`spread.offsets`). Where
neighbours deviate alike, an unknown site is expected to do so as well: its offset is the best linear guess from the nearest
known sites of its group (kriging) under a covariance that falls exponentially with distance, and its variance says how good
a guess that is. How far offsets go together is not assumed: a few patterns, "not at all" among them, are weighed by how well
each predicts every known site from the others.
Letters: G known sites, U places asked for, n neighbours, J patterns.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ecotone.systems.phenology.hybrid.features import Places

Array = np.ndarray
EARTH_KM = 6371.0
KM_PER_METRE = 1.0  # 100 m higher are about as much cooler as 100 km nearer to the pole
LENGTHS = (50.0, 200.0, 800.0)  # km
SHARES = (0.5, 0.9)  # of the variance that neighbours share; the rest is a site's own
PATTERNS = ((1.0, 0.0), *((length, share) for length in LENGTHS for share in SHARES))
PRIOR = np.array([0.9] + [0.1 / (len(PATTERNS) - 1)] * (len(PATTERNS) - 1))
MOST = 64  # nearest known sites that are listened to
AT_ONCE = 128


def weigh(places: Places, offset: Array, noise: Array, variance: float) -> Array:
    """(J,) how much to trust each pattern; they add up to 1.

    Args:
        places: G known sites.
        offset: (G,) log ratios; NaN for sites that were not learned from.
        noise: (G,) variances of these means.
        variance: Of offsets between sites of a group.
    """
    found = np.log(PRIOR)
    known = np.flatnonzero(np.isfinite(offset))
    where, group = np.array(places.where, dtype=float), np.array(places.group_of)
    for rows, mean, var in _answers(where[known], group[known], places, offset, noise, variance, known):
        own = known[rows]
        total = var + noise[own][:, None]
        found = found - 0.5 * (np.log(total) + (offset[own][:, None] - mean) ** 2 / total).sum(0)
    weight = np.exp(found - found.max())
    return weight / weight.sum()


def between(
    where: Array, group: Array, places: Places, offset: Array, noise: Array, variance: float, weight: Array
) -> tuple[Array, Array]:
    """(U,) expected offsets at places and (U,) their standard deviations; 0 and that of all sites where no site is known.

    Args:
        where: (U, 3) degrees north, degrees east, metres; NaN where not told.
        group: (U,) position among the groups, P for an unknown one.
        places: G known sites.
        offset: (G,) log ratios; NaN for sites that were not learned from.
        noise: (G,) variances of these means.
        variance: Of offsets between sites of a group.
        weight: (J,) of the patterns.
    """
    mean, sd = np.zeros(len(where)), np.full(len(where), variance**0.5)
    for rows, m, v in _answers(where, group, places, offset, noise, variance):
        mean[rows] = m @ weight
        sd[rows] = np.sqrt(np.maximum((v + m**2) @ weight - mean[rows] ** 2, 0.0))
    return mean, sd


def _answers(
    where: Array,
    group: Array,
    places: Places,
    offset: Array,
    noise: Array,
    variance: float,
    itself: Array | None = None,
) -> Iterator[tuple[Array, Array, Array]]:
    """Rows with (rows, J) means and variances by pattern; `itself` names the known site to leave out of its own answer."""
    home, of_group = np.array(places.where, dtype=float), np.array(places.group_of)
    for k in np.unique(group):
        known = np.flatnonzero((of_group == k) & np.isfinite(offset) & np.isfinite(home[:, :2]).all(1))
        asked = np.flatnonzero((group == k) & np.isfinite(where[:, :2]).all(1))
        for rows in np.array_split(asked, -(-len(asked) // AT_ONCE)) if len(asked) else []:
            far = apart(where[rows], home[known])
            if itself is not None:
                far = np.where(itself[rows][:, None] == known, np.inf, far)
            others = len(known) - (itself is not None)
            near = np.argsort(far, axis=1, kind="stable")[:, : min(MOST, others)]
            far = np.take_along_axis(far, near, 1)
            sites = known[near]
            inner = apart(home[sites], home[sites])
            told = offset[sites]
            mean, var = np.zeros((len(rows), len(PATTERNS))), np.full((len(rows), len(PATTERNS)), variance)
            for j, (length, share) in enumerate(PATTERNS):
                if share:
                    common = variance * share * np.exp(-far / length)
                    cover = variance * share * np.exp(-inner / length)
                    cover[:, range(near.shape[1]), range(near.shape[1])] += variance * (1 - share) + noise[sites]
                    weights = np.linalg.solve(cover, common[..., None])[..., 0]
                    mean[:, j], var[:, j] = (weights * told).sum(1), variance - (weights * common).sum(1)
            yield rows, mean, var


def alike(km: float, weight: Array) -> float:
    """Share of the variance of offsets that sites so far apart have in common, under weighed patterns."""
    return float(sum(w * share * np.exp(-km / length) for w, (length, share) in zip(weight, PATTERNS, strict=True)))


def apart(one: Array, other: Array) -> Array:
    """(..., U, V) distances in km of (..., U, 3) and (..., V, 3) places.

    Heights count by `KM_PER_METRE`, or not where one is not told.
    """
    flat = np.linalg.norm(_point(one)[..., :, None, :] - _point(other)[..., None, :, :], axis=-1)
    up = np.nan_to_num(one[..., :, None, 2] - other[..., None, :, 2]) * KM_PER_METRE
    return np.hypot(flat, up)


def _point(where: Array) -> Array:
    north, east = np.radians(where[..., 0]), np.radians(where[..., 1])
    return EARTH_KM * np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], -1)
