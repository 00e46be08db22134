"""How much sites and groups differ, for answers at places the model does not know.

A known site, asked as if it were unknown, has gathered more or less forcing by its bloom than the mean of its group needs. The
log of that ratio, averaged over its seasons, is the offset of the site, whether it stems from another requirement, another
base temperature, or a thermometer that stands higher than the tree. The requirement of an unknown site is the mean of its group
times a log-normal factor as wide as these offsets; answers average over it by Gauss-Hermite quadrature.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ecotone.systems.phenology.hybrid.features import Features, Places
from ecotone.systems.phenology.hybrid.model import Hybrid, Parameters, pick
from ecotone.systems.phenology.hybrid.uncertainty import take

Array = np.ndarray
_points, _weights = np.polynomial.hermite_e.hermegauss(7)
NODES = tuple((float(x), float(w)) for x, w in zip(_points, _weights / _weights.sum(), strict=True))
LEAST = 0.03  # a few per cent of the requirement: no two trees are the same
SITES, GROUPS = (
    0.2,
    0.25,
)  # widths before any site was seen (requirement and base may differ); they count as two sites, as one group
FARTHEST = 3.0  # of a log ratio; where next to nothing was gathered it says no more


def widths(core: object, p: Parameters, places: Places, f: Features, rows: Tensor) -> tuple[float, float]:
    """Standard deviation of the log of the forcing requirement between sites of a group, and between groups.

    Few sites say little: their variance is averaged with that of the prior, which counts as two sites (one group).

    Args:
        core: The model; the published form has no sites in common and gets the least width.
        p: Trained parameters.
        places: Known sites and groups.
        f: N seasons.
        rows: (R,) seasons with a known day of bloom that were learned from.
    """
    if not isinstance(core, Hybrid) or not len(rows):
        return LEAST, LEAST
    by_site, by_group = offsets(core, p, f, rows)
    site = f.site[rows].numpy()
    seen = np.unique(site)
    of_site = np.array([by_site[site == k].mean() for k in seen])
    group = np.array(places.group_of)[seen]
    inside = np.array([by_group[site == k].mean() for k in seen])
    of_group = np.array([inside[group == k].mean() for k in np.unique(group)])
    return _shrunk(of_site, SITES, 2.0), _shrunk(of_group, GROUPS, 1.0)


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
