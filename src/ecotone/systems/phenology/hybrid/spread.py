"""How much sites and groups differ, for answers at places the model does not know.

The requirement of an unknown site is the mean of its group times a log-normal factor; answers average over it by
Gauss-Hermite quadrature.
"""

from __future__ import annotations

import numpy as np

from ecotone.systems.phenology.hybrid.features import Places
from ecotone.systems.phenology.hybrid.model import SPREAD, Parameters

Array = np.ndarray
_points, _weights = np.polynomial.hermite_e.hermegauss(7)
NODES = tuple((float(x), float(w)) for x, w in zip(_points, _weights / _weights.sum(), strict=True))
LEAST = 0.03  # a few per cent of the requirement: no two trees are the same


def widths(p: Parameters, places: Places, seen: Array) -> tuple[float, float]:
    """Standard deviation of the log of the forcing requirement between sites of a group, and between groups.

    Few sites say little: their variance is averaged with that of the prior, which counts as two sites (one group).
    """
    if "heat_site" not in p:
        return LEAST, LEAST
    site = p["heat_site"].mean(0).numpy()[seen]
    group_of = np.array(places.group_of)[seen]
    group = p["heat_group"].mean(0).numpy()[np.unique(group_of)]
    return _shrunk(site, SPREAD["heat_site"], 2.0), _shrunk(group, SPREAD["heat_group"], 1.0)


def _shrunk(values: Array, prior: float, counts: float) -> float:
    total = float((values**2).sum()) + counts * prior**2
    return max(LEAST, (total / (len(values) + counts)) ** 0.5)
