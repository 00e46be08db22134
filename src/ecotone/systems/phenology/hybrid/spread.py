"""How much sites and groups differ, for answers at places the model does not know.

A known site, asked as if it were unknown, has gathered more or less forcing by its bloom than the mean of its group needs. The
log of that ratio, averaged over its seasons, is the offset of the site, whether it stems from another requirement, another
base temperature, or a thermometer that stands higher than the tree. The requirement of an unknown site is what is usual at
its place times a log-normal factor around what its neighbours say, as wide as these offsets leave it; answers average over it
by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ecotone.systems.phenology.hybrid import neighbours
from ecotone.systems.phenology.hybrid.features import Features, Places
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
    """

    offset: Array
    noise: Array
    site: float
    group: float
    weight: Array

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
        return mean, np.sqrt(sd**2 + unknown**2 + beyond**2)


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
        return Sites(offset, noise, LEAST, LEAST, neighbours.PRIOR)
    by_site, by_group = offsets(core, p, f, rows)
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
    return Sites(offset, noise, width, _shrunk(of_group, GROUPS, 1.0), weight)


def offsets(core: Hybrid, p: Parameters, f: Features, rows: Tensor) -> tuple[Array, Array]:
    """(R,) log ratios of forcing gathered by bloom to what is needed, mean over members: of sites in groups, and of groups.

    The first asks as if the site were unknown; the second is by how much that changes when the group is unknown as well.
    """
    some = take(f, rows)
    no_site = replace(some, site=torch.full_like(some.site, len(core.places.sites)))
    nowhere = {"group": torch.full_like(some.group, len(core.places.groups)), "place": torch.zeros_like(some.place)}
    no_group = replace(no_site, **nowhere)
    with torch.no_grad():
        site, both = (_log_ratio(core, p, part) for part in (no_site, no_group))
    return site.mean(0).numpy().astype(float), (both - site).mean(0).numpy().astype(float)


def _log_ratio(core: Hybrid, p: Parameters, f: Features) -> Tensor:
    z, _ = core.event(p, f)
    slope = torch.exp(p["bloom"] + pick(p["bloom_group"], f.group))
    return (z / slope + 1).clamp(min=np.exp(-FARTHEST)).log().clamp(max=FARTHEST)


def _shrunk(values: Array, prior: float, counts: float) -> float:
    total = float((values**2).sum()) + counts * prior**2
    return max(LEAST, (total / (len(values) + counts)) ** 0.5)
