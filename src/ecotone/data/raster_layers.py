"""The fast way through a window: covariates in their stored types, rows made only of the cells that are valid.

`RasterStack.read` gives float64 with NaN for every cell of every covariate; a map needs neither. Here a band that lies
on the template's cells stays as the file stores it, bands of one file are read in one go, and `rows` converts the valid
cells alone. The numbers are those of `RasterStack.read`, bit for bit (every stored type fits into float64).

Letters: P covariates, N rows, h, w rows and columns of a window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ecotone.contract import Grid
from ecotone.data.raster_align import Alignment, Places, read_aligned
from ecotone.data.raster_grid import Window
from ecotone.data.raster_open import quiet_gdal, read_bands
from ecotone.data.raster_source import Source, handle


@dataclass(frozen=True)
class Layers:
    """Covariates of one window.

    Attributes:
        values: P arrays (h * w,), each in its own type; anything where the cell is not valid.
        valid: (h, w) bool, valid in all.
        index: (N,) flat positions of the valid cells, or None when all are.
    """

    values: tuple[np.ndarray, ...]
    valid: np.ndarray
    index: np.ndarray | None

    @property
    def count(self) -> int:
        """N, valid cells."""
        return self.valid.size if self.index is None else len(self.index)

    def at(self, start: int, stop: int) -> slice | np.ndarray:
        """Flat positions of the valid cells number `start` to `stop`."""
        return slice(start, stop) if self.index is None else self.index[start:stop]

    def rows(self, where: slice | np.ndarray, dtype: str = "float64") -> np.ndarray:
        """(N, P) covariates at flat positions."""
        size = where.stop - where.start if isinstance(where, slice) else len(where)
        found = np.empty((size, len(self.values)), dtype=dtype)
        for i, layer in enumerate(self.values):
            found[:, i] = layer[where]
        return found


def read_layers(sources: Sequence[Source], alignments: Mapping[Grid, Alignment], window: Window) -> Layers:
    """Reads a window of the template grid.

    Args:
        sources: P bands.
        alignments: Source grid -> how it lies on the template.
        window: Inside the template.
    """
    shape = (window.height, window.width)
    places: tuple[Grid, Places] | None = None  # those of one grid at a time: they are large
    values: list[np.ndarray | None] = [None] * len(sources)
    valid: np.ndarray | None = None
    with quiet_gdal():
        for members in _together(sources, alignments, window):
            grid = sources[members[0]].grid
            if places is None or places[0] != grid:
                places = (grid, Places(alignments[grid], window))
            for i, layer, present in _read(sources, members, alignments[grid], places[1], window):
                values[i] = np.ascontiguousarray(layer).reshape(-1)
                valid = np.array(present) if valid is None else np.logical_and(valid, present, out=valid)
    valid = np.ones(shape, dtype=bool) if valid is None else valid
    index = None if valid.all() else np.flatnonzero(valid)
    return Layers(tuple(v for v in values if v is not None), valid, index)


def _read(
    sources: Sequence[Source],
    members: list[int],
    alignment: Alignment,
    places: Places,
    window: Window,
) -> list[tuple[int, np.ndarray, np.ndarray]]:
    first = sources[members[0]]
    own = _on_cells(alignment, window)
    if own is None:
        return [(i, *read_aligned(sources[i], places)) for i in members]
    if len(members) == 1:
        return [(members[0], *first.read_stored(own))]
    dataset = handle(first.path, first.stamp, allow_vrt=first.allow_vrt)
    bands = [sources[i].band for i in members]
    stored = read_bands(dataset, bands, first.stored_window(own))
    return [(i, *sources[i].decoded(layer)) for i, layer in zip(members, stored, strict=True)]


def _on_cells(alignment: Alignment, window: Window) -> Window | None:
    """The same cells in the source, when its cells are the template's and it covers the window; else None."""
    if alignment.shift is None:
        return None
    row, col = window.row + alignment.shift[0], window.col + alignment.shift[1]
    inside = row >= 0 and col >= 0
    inside = inside and row + window.height <= alignment.source.height and col + window.width <= alignment.source.width
    return Window(row, col, window.height, window.width) if inside else None


def _together(sources: Sequence[Source], alignments: Mapping[Grid, Alignment], window: Window) -> list[list[int]]:
    """Positions of sources that are read in one call: bands of one file and type, without masks, on the template's cells."""
    groups: dict[object, list[int]] = {}
    for i, source in enumerate(sources):
        alone = source.masked or _on_cells(alignments[source.grid], window) is None
        key = i if alone else (source.path, source.stamp, source.dtype, source.grid)
        groups.setdefault(key, []).append(i)
    order = {grid: k for k, grid in enumerate(alignments)}
    return sorted(groups.values(), key=lambda members: order[sources[members[0]].grid])
