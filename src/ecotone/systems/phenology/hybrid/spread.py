"""How much sites and groups differ, for answers at places the model does not know.

A known site, asked as if it were unknown, has gathered more or less forcing by its bloom than the mean of its group needs. The
log of that ratio, averaged over its seasons, is the offset of the site, whether it stems from another requirement, another
base temperature, or a thermometer that stands higher than the tree. The requirement of an unknown site is what is usual at
its place times a log-normal factor around what its neighbours say, as wide as these offsets leave it; answers average over it
by Gauss-Hermite quadrature. Where its place is not told, it may be that of any known site of its group.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ecotone.systems.phenology.hybrid import neighbours
from ecotone.systems.phenology.hybrid.features import TERMS, Features, Places
from ecotone.systems.phenology.hybrid.model import SPREAD, Hybrid, Parameters, pick
from ecotone.systems.phenology.hybrid.uncertainty import take

Array = np.ndarray
_points, _weights = np.polynomial.hermite_e.hermegauss(7)
NODES = tuple((float(x), float(w)) for x, w in zip(_points, _weights / _weights.sum(), strict=True))
LEAST = 0.03  # a few per cent of the requirement: no two trees are the same
SITES, GROUPS = (
    0.2,
    0.25,
)  # widths before any site was seen (requirement and base may differ); they count as two sites, as one group
SEASONS = 0.1  # standard deviation between seasons of a site; counts as one season
AXES = ((0, 1), (2,), (3,))  # terms of a place that come from its latitude, longitude, altitude
FARTHEST = 3.0  # of a log ratio; where next to nothing was gathered it says no more


@dataclass(frozen=True)
class Sites:
    """What is known of how sites differ.

    Attributes:
        offset: (G,) mean log ratio of what a site needs to what is usual at its place; NaN where nothing was learned.
        noise: (G,) variance of that mean.
        site: Standard deviation of offsets between sites of a group.
        group: The same between groups.
        weight: (J,) of the patterns of `neighbours`.
        moved: (G, 3) log ratio of what a site needs to what it would with its latitude, longitude or altitude not told; NaN
            where nothing was learned.
    """

    offset: Array
    noise: Array
    site: float
    group: float
    weight: Array
    moved: Array

    def between(self, places: Places, f: Features) -> tuple[Array, Array]:
        """(N,) expected log ratio where a season's site is not known, and (N,) its standard deviation."""
        group = f.group.numpy()
        kind = np.column_stack([group, f.where.numpy()])
        one, back = np.unique(kind, axis=0, return_inverse=True)
        mean, sd = neighbours.between(
            one[:, 1:], one[:, 0].astype(int), places, self.offset, self.noise, self.site**2, self.weight
        )
        mean, sd = mean[back.ravel()], np.maximum(sd[back.ravel()], LEAST)
        unknown = np.where(group == len(places.groups), self.group, 0.0)
        beyond = SPREAD["heat_place"] * f.beyond.numpy()
        usual, wide = (v[back.ravel()] for v in self._untold(places, one[:, 0].astype(int), one[:, 1:]))
        return mean + usual, np.sqrt(sd**2 + unknown**2 + beyond**2 + wide**2)

    def _untold(self, places: Places, group: Array, where: Array) -> tuple[Array, Array]:
        """(U,) mean and (U,) standard deviation over known sites of the part of their place that is not told."""
        known = np.isfinite(self.moved).all(1)
        mean, sd = np.zeros((2, len(group)))
        for k in range(len(group)):
            of_group = np.array(places.group_of) == group[k] if group[k] < len(places.groups) else True
            untold = ~np.isfinite(where[k]) if group[k] < len(places.groups) else np.ones(3, dtype=bool)
            values = self.moved[known & of_group][:, untold].sum(1)
            if len(values):
                mean[k], sd[k] = values.mean(), values.std()
        return mean, sd


def sites_apart(core: object, p: Parameters, places: Places, f: Features, rows: Tensor) -> Sites:
    """How known sites and groups deviate.

    Few sites say little: their variance is averaged with that of the prior, which counts as two sites (one group).

    Args:
        core: The model; the published form has no sites in common and gets the least width.
        p: Trained parameters.
        places: Known sites and groups.
        f: N seasons.
        rows: (R,) seasons with a known day of bloom that were learned from.
    """
    offset, noise = np.full((2, len(places.sites)), np.nan)
    if not isinstance(core, Hybrid) or not len(rows):
        return Sites(offset, noise, LEAST, LEAST, neighbours.PRIOR, np.full((len(places.sites), 3), np.nan))
    by_site, by_group, by_place = offsets(core, p, f, rows)
    site = f.site[rows].numpy()
    seen, count = np.unique(site, return_counts=True)
    offset[seen] = [by_site[site == k].mean() for k in seen]
    inner = float(((by_site - offset[site]) ** 2).sum()) + SEASONS**2
    noise[seen] = inner / (len(rows) - len(seen) + 1) / count
    group = np.array(places.group_of)[seen]
    inside = np.array([by_group[site == k].mean() for k in seen])
    of_group = np.array([inside[group == k].mean() for k in np.unique(group)])
    width = _shrunk(offset[seen], SITES, 2.0)
    weight = neighbours.weigh(places, offset, noise, width**2)
    moved = np.full((len(places.sites), 3), np.nan)
    moved[seen] = [by_place[site == k].mean(0) for k in seen]
    return Sites(offset, noise, width, _shrunk(of_group, GROUPS, 1.0), weight, moved)


def offsets(core: Hybrid, p: Parameters, f: Features, rows: Tensor) -> tuple[Array, Array, Array]:
    """Log ratios of forcing gathered by bloom to what is needed, mean over members.

    Returns:
        (R,) as if the site were unknown; (R,) by how much that changes where the group is unknown too, for a site amid its
        group; (R, 3) by how much where its latitude, longitude or altitude is.
    """
    some = take(f, rows)
    no_site = replace(some, site=torch.full_like(some.site, len(core.places.sites)))
    amid = replace(no_site, place=torch.zeros_like(some.place))
    no_group = replace(amid, group=torch.full_like(some.group, len(core.places.groups)))
    less = [no_site.place * torch.tensor([term not in lost for term in range(len(TERMS))]) for lost in AXES]
    with torch.no_grad():
        site, middle, both = (_log_ratio(core, p, part).mean(0) for part in (no_site, amid, no_group))
        moved = [_log_ratio(core, p, replace(no_site, place=place)).mean(0) - site for place in less]
    return tuple(v.numpy().astype(float) for v in (site, both - middle, torch.stack(moved, 1)))  # type: ignore[return-value]


def _log_ratio(core: Hybrid, p: Parameters, f: Features) -> Tensor:
    z, _ = core.event(p, f)
    slope = torch.exp(p["bloom"] + pick(p["bloom_group"], f.group))
    return (z / slope + 1).clamp(min=np.exp(-FARTHEST)).log().clamp(max=FARTHEST)


def _shrunk(values: Array, prior: float, counts: float) -> float:
    total = float((values**2).sum()) + counts * prior**2
    return max(LEAST, (total / (len(values) + counts)) ** 0.5)
