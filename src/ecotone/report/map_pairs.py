"""Maps of two runs, layer by layer: do they share a grid, how alike are they, where do they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.contract import Overlay
from ecotone.report.maps import read_maps
from ecotone.report.pairing import Pairs, about, pair
from ecotone.report.style import pretty_unit

MAX_CELLS = 100_000
"""Cells of a map that are read and compared; a larger map is read at reduced size."""

MAX_BANDS = 24

Extent = tuple[float, float, float, float]


@dataclass(frozen=True)
class MapSide:
    """A map of one run.

    Attributes:
        title: Heading.
        layers: (K, H, W) values; nan where there are none.
        names: K layer names.
        unit: Unit of the values, as people write it.
        extent: (west, east, south, north), or None for pixels.
        legend: For classes: value -> label.
        crs: Coordinate reference system as WKT; "" where none is known.
        target: The species it is about; "" for several or all.
        more: Layers that were not read.
        reduced: Whether the file holds more cells than were read.
    """

    title: str
    layers: np.ndarray
    names: tuple[str, ...]
    unit: str = ""
    extent: Extent | None = None
    legend: Mapping[int, str] | None = None
    crs: str = ""
    target: str = ""
    more: int = 0
    reduced: bool = False


@dataclass(frozen=True)
class LayerPair:
    """One layer of a map in both runs.

    Attributes:
        title: Title of the map.
        name: Name of the layer.
        target: The species the map is about.
        run: (H, W) layer of the first run.
        other: (H, W) layer of the second.
        sides: The maps they belong to.
        apart: Why no difference can be taken; "" when it can.
        amount: Difference from which on a cell counts as differing, in the unit of the map; 0 for classes.
        rank: Rank correlation over the cells that both have; nan for classes.
        share: Share of these cells that differ by more than `amount`.
        mean: Mean of first minus second; nan for classes.
        cells: Cells that both have.
        alone: Cells that only one has.
    """

    title: str
    name: str
    target: str
    run: np.ndarray
    other: np.ndarray
    sides: tuple[MapSide, MapSide]
    apart: str = ""
    amount: float = 0.0
    rank: float = math.nan
    share: float = math.nan
    mean: float = math.nan
    cells: int = 0
    alone: int = 0

    @property
    def same(self) -> bool:
        """Whether both hold the same values in the same cells, so that there is nothing to see."""
        return not self.apart and np.array_equal(self.run, self.other, equal_nan=True)

    @property
    def classes(self) -> bool:
        """Whether the map holds classes rather than numbers."""
        return bool(self.sides[0].legend or self.sides[1].legend)

    @property
    def legend(self) -> dict[int, str]:
        """Classes of both."""
        return {**(self.sides[1].legend or {}), **(self.sides[0].legend or {})}

    @property
    def binary(self) -> bool:
        """Whether there are two classes, such as below and above a threshold."""
        return len(self.legend) == 2

    @property
    def difference(self) -> np.ndarray:
        """(H, W) first minus second; of two classes 1, 0 or -1; of more, 1 where they are not the same and 0 elsewhere."""
        if self.binary:
            return np.sign(self.run - self.other)
        if self.classes:
            both = np.isfinite(self.run) & np.isfinite(self.other)
            return np.where(both, (self.run != self.other) * 1.0, np.nan)
        return self.run - self.other


def recorded_sides(run: Path, record: dict[str, Any]) -> tuple[list[MapSide], list[str]]:
    """The maps noted in run.json that can be read, and a line for each that cannot."""
    return read_maps(run, record, read_side)


def read_side(path: Path, title: str = "") -> MapSide:
    """A map file, reduced to at most `MAX_CELLS` cells and `MAX_BANDS` bands.

    Raises:
        InputError: IO101, IO102, IO103 for the file; RA301 without a coordinate reference system.
    """
    from ecotone.data.raster_open import open_raster
    from ecotone.mapping.view import read_map

    with open_raster(path) as dataset:
        cells = dataset.height * dataset.width
    view = read_map(path, MAX_CELLS, max_bands=MAX_BANDS)
    west, south, east, north = view.grid.bounds
    return MapSide(
        title=title or path.stem,
        layers=view.array.astype(np.float32),  # up to twenty maps of each run are held at once
        names=view.names,
        unit=pretty_unit(view.unit or "1"),
        extent=(west, east, south, north),
        legend=view.legend or None,
        crs=view.grid.crs,
        more=view.more,
        reduced=cells > MAX_CELLS,
    )


def overlay_side(overlay: Overlay) -> MapSide:
    """A map of the evidence."""
    return MapSide(
        title=about(overlay),
        layers=np.asarray(overlay.weights, np.float32),
        names=overlay.names,
        unit=pretty_unit(overlay.unit),
        extent=overlay.extent,
        legend=overlay.legend or None,
        target=overlay.target,
    )


def pair_sides(run: Sequence[MapSide], other: Sequence[MapSide]) -> Pairs[MapSide]:
    """Maps of the same title and target; what is left, by layers, unit and the end of the title, if these fit one only."""

    def layers(side: MapSide) -> tuple[object, ...]:
        return side.target, side.unit, bool(side.legend), tuple(sorted(side.names))

    return pair(
        run,
        other,
        lambda side: (side.title.casefold(), side.target),
        lambda side: (side.title.partition(": ")[2].casefold(), layers(side)),  # "future: above ..." of two climates
        layers,
    )


def layer_pairs(run: MapSide, other: MapSide, *, amount: float = 0.1) -> list[LayerPair]:
    """The layers that both maps have, compared; two maps of one layer each are compared whatever its name.

    Args:
        run: Map of the first run.
        other: Map of the second.
        amount: For ratios between 0 and 1 the difference from which on a cell counts as differing; for other units the
            same as a share of the range of values.
    """
    matched = pair(list(enumerate(run.names)), list(enumerate(other.names)), lambda entry: entry[1].casefold()).both
    if not matched and len(run.names) == len(other.names) == 1:
        matched = (((0, run.names[0]), (0, other.names[0])),)
    apart = _apart(run, other)
    return [_compare(run, other, i, j, apart, amount) for (i, _), (j, _) in matched]


def _compare(run: MapSide, other: MapSide, i: int, j: int, apart: str, amount: float) -> LayerPair:
    a, b = run.layers[i], other.layers[j]
    name = run.names[i] if run.names[i] == other.names[j] else f"{run.names[i]} / {other.names[j]}"
    title = run.title if run.title.casefold() == other.title.casefold() else f"{run.title} / {other.title}"
    found = LayerPair(title, name, run.target or other.target, a, b, (run, other), apart)
    if apart:
        return found
    both = np.isfinite(a) & np.isfinite(b)
    alone = int((np.isfinite(a) ^ np.isfinite(b)).sum())
    x, y = a[both].astype(float), b[both].astype(float)
    facts: dict[str, Any] = {"cells": x.size, "alone": alone}
    if found.classes:
        facts |= {"share": float(np.mean(x != y)) if x.size else math.nan}
    elif x.size:
        limit = amount * (1.0 if _is_ratio(run, x, y) else _spread(x, y))
        facts |= {
            "amount": limit,
            "rank": rank_correlation(x, y),
            "share": float(np.mean(np.abs(x - y) > limit)),
            "mean": float(np.mean(x - y)),
        }
    return LayerPair(**{**found.__dict__, **facts})


def rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's correlation, ties at their mean rank; nan for fewer than three values or where one side is constant."""
    from scipy.stats import rankdata

    if x.size < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    return float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])


def _apart(run: MapSide, other: MapSide) -> str:
    if run.layers.shape[1:] != other.layers.shape[1:]:
        return "the grids differ in size"
    if (run.extent is None) != (other.extent is None) or not _same_extent(run, other):
        return "the grids differ in place"
    if not _same_crs(run.crs, other.crs):
        return "the coordinate reference systems differ"
    if bool(run.legend) != bool(other.legend) or run.unit != other.unit:
        return "the units differ"
    if run.legend and other.legend and any(other.legend.get(k, v) != v for k, v in run.legend.items()):
        return "the classes differ in meaning"
    return ""


def _same_extent(run: MapSide, other: MapSide) -> bool:
    if run.extent is None or other.extent is None:
        return True
    height, width = run.layers.shape[1:]
    west, east, south, north = run.extent
    cell = min(abs(east - west) / max(width, 1), abs(north - south) / max(height, 1))
    return bool(np.allclose(run.extent, other.extent, rtol=0, atol=1e-3 * cell))


def _same_crs(a: str, b: str) -> bool:
    if a == b or not (a and b):
        return True
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        return CRS.from_wkt(a) == CRS.from_wkt(b)
    except CRSError:
        return False


def _is_ratio(side: MapSide, x: np.ndarray, y: np.ndarray) -> bool:
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    return side.unit == "" and low >= 0 and high <= 1


def _spread(x: np.ndarray, y: np.ndarray) -> float:
    low, high = np.quantile(np.concatenate([x, y]), [0.005, 0.995])
    return float(high - low)
