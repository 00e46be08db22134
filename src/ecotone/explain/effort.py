"""Where people looked: the spread of all records, and what another background would have given.

Letters: N cells, S species.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from ecotone.contract import Contributions, Overlay

Array = np.ndarray


def agreement(one: Array, other: Array) -> Array:
    """(S,) Spearman correlation over cells of two (N, S) predictions; nan where one is constant."""
    ranks = [rankdata(v, axis=0) for v in (one, other)]
    a, b = (r - r.mean(0) for r in ranks)
    norm = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.divide((a * b).sum(0), norm, out=np.full(one.shape[1], np.nan), where=norm > 0)


def agreement_evidence(species: Sequence[str], values: Array, used: str, other: str) -> Contributions:
    """How much the map would change under the other background, per species."""
    return Contributions(
        title=f"What a {other} background would have given",
        names=tuple(species),
        values=values,
        unit="rank correlation with the map used",
        note=(
            f"Rank correlation over map cells between the suitability used ({used} background) and that of the same "
            f"network with a {other} background. Near 1: the choice hardly matters for this species."
        ),
    )


def record_density(xy: Array, extent: tuple[float, float, float, float], land: Array, *, cells: int = 40) -> Overlay:
    """Records of all species per coarse cell.

    Args:
        xy: (N, 2) sites with records.
        extent: (west, east, south, north) of `land`.
        land: (H, W) True where covariates are valid; other cells are left blank.
        cells: Coarse cells along the longer side.
    """
    west, east, south, north = extent
    step = max(east - west, north - south) / cells
    columns, rows = max(1, round((east - west) / step)), max(1, round((north - south) / step))
    density, _, _ = np.histogram2d(xy[:, 1], xy[:, 0], bins=(rows, columns), range=((south, north), (west, east)))
    density = density[::-1].astype(float)
    r = np.minimum((np.arange(land.shape[0]) * rows) // land.shape[0], rows - 1)
    c = np.minimum((np.arange(land.shape[1]) * columns) // land.shape[1], columns - 1)
    picture = np.where(land, np.log10(1 + density[r][:, c]), np.nan)
    return Overlay(
        title="Sampling effort: sites with records",
        weights=picture[None],
        names=("sites per coarse cell",),
        unit="log10(1 + sites)",
        extent=extent,
        points=xy,
        note="All sites with a record of any species. A map that follows this picture follows the observers.",
    )
