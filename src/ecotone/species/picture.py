"""A thinned grid of the covariates, small enough to draw and to explain on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ecotone.data.rasters import RasterStack

Array = np.ndarray
PICTURE_CELLS = 90_000


class Picture:
    """Covariates of some cells of the training rasters, and how to paint answers for them.

    Attributes:
        values: (K, P) covariates of all drawn cells, nan where missing.
        valid: (K,) all are there.
        shape: (H, W) of the drawing, H * W = K.
        extent: (west, east, south, north).
    """

    def __init__(self, stack: RasterStack) -> None:
        grid = stack.grid
        step = max(1, int(np.ceil(np.sqrt(grid.height * grid.width / PICTURE_CELLS))))
        rows, columns = (
            np.arange(step // 2, n, step) if n > step // 2 else np.arange(1) for n in (grid.height, grid.width)
        )
        cells = (rows[:, None] * grid.width + columns[None]).ravel()
        self.values, self.valid = stack.at_cells(cells)
        self.shape = (len(rows), len(columns))
        west, south, east, north = grid.bounds
        self.extent = (west, east, south, north)

    @property
    def covariates(self) -> Array:
        """(N, P) of the valid cells."""
        return self.values[self.valid]

    def paint(self, values: Array) -> Array:
        """(N, K) of valid cells -> (K, H, W), nan elsewhere."""
        layers = np.full((values.shape[1], len(self.valid)), np.nan)
        layers[:, self.valid] = values.T
        return layers.reshape(-1, *self.shape)
