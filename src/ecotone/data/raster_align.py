"""Bringing a covariate onto the template grid, cell by cell, so that no window size can change a value.

Three ways, chosen by the grids alone:

- cells coincide (same system, same size, whole-cell shift): values are copied;
- categorical: the value of the source cell that contains the centre of the template cell;
- continuous: bilinear between source cell centres. Missing neighbours drop out and the others' weights are rescaled;
  the result is missing exactly where the source cell containing the centre is. When a template cell spans two or more
  source cells, the source is first averaged over blocks of that many cells, anchored at its north-west corner
  (a block is missing when more than half of it is).

Every number depends on its template cell alone: coordinates are transformed exactly, point by point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ecotone.contract import Grid
from ecotone.data.raster_grid import Window, centres, fractional, offset_in, same_crs, to_crs, wraps
from ecotone.data.raster_source import Source

Read = Callable[[Window], tuple[np.ndarray, np.ndarray]]
_STRIP_CELLS = 1 << 20


@dataclass(frozen=True)
class Alignment:
    """How sources on `source` are read onto `template`.

    Attributes:
        source: Grid of the file.
        template: Grid of the map.
        shift: Row and column of the source at the template's first cell when cells coincide, else None.
        block: Source cells per template cell along a side, rounded down, at least 1.
    """

    source: Grid
    template: Grid
    shift: tuple[int, int] | None
    block: int

    @classmethod
    def between(cls, source: Grid, template: Grid) -> Alignment:
        """Finds shift and block size."""
        shift = offset_in(template, source)
        if shift is not None:
            within = shift[1] >= 0 and shift[1] + template.width <= source.width
            if within or not wraps(source):
                return cls(source, template, shift, 1)
        return cls(source, template, None, _block(source, template))

    def positions(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """(height, width) fractional source columns and rows of the window's cell centres."""
        x, y = centres(self.template, window)
        if same_crs(self.source.crs, self.template.crs):
            u, v = fractional(self.source, x, y)
            return np.broadcast_to(u, (len(y), len(x))), np.broadcast_to(v[:, None], (len(y), len(x)))
        grid_x, grid_y = np.broadcast_to(x, (len(y), len(x))), np.broadcast_to(y[:, None], (len(y), len(x)))
        moved_x, moved_y = to_crs(grid_x.ravel(), grid_y.ravel(), self.template.crs, self.source.crs)
        u, v = fractional(self.source, np.asarray(moved_x), np.asarray(moved_y))
        return u.reshape(len(y), len(x)), v.reshape(len(y), len(x))

    def overlaps(self) -> bool:
        """Whether any of a lattice of template cells (at most 64 x 64 and the corners) falls inside the source."""
        t = self.template
        rows = np.unique(np.linspace(0, t.height - 1, 64).astype(int))
        cols = np.unique(np.linspace(0, t.width - 1, 64).astype(int))
        a, _, west, _, e, north = t.transform
        x, y = np.meshgrid(west + (cols + 0.5) * a, north + (rows + 0.5) * e)
        u, v = fractional(self.source, *(np.asarray(c) for c in to_crs(x.ravel(), y.ravel(), t.crs, self.source.crs)))
        if bool(_inside(self.source, u, v).any()):
            return True
        s = self.source
        a, _, west, _, e, north = s.transform
        x, y = np.meshgrid(
            west + np.linspace(0.01, 0.99, 64) * a * s.width, north + np.linspace(0.01, 0.99, 64) * e * s.height
        )
        u, v = fractional(t, *(np.asarray(c) for c in to_crs(x.ravel(), y.ravel(), s.crs, t.crs)))
        return bool(_inside(t, u, v).any())


class Places:
    """Where the cells of one template window lie on one source grid; shared by all sources on that grid."""

    def __init__(self, alignment: Alignment, window: Window) -> None:
        self.alignment, self.window = alignment, window

    @cached_property
    def positions(self) -> tuple[np.ndarray, np.ndarray]:
        """(height, width) fractional source columns and rows."""
        return self.alignment.positions(self.window)

    @cached_property
    def taps(self) -> Taps | None:
        """The four neighbours of each position and their shares, None when no position is inside."""
        (u, v), grid, block = self.positions, self.alignment.source, self.alignment.block
        inside = _inside(grid, u, v)
        if not inside.any():
            return None
        coarse = _coarse_grid(grid, block)
        return Taps.of(
            coarse, inside, u[inside] / block, v[inside] / block, wrap=wraps(grid) and grid.width % block == 0
        )


def read_aligned(source: Source, places: Places) -> tuple[np.ndarray, np.ndarray]:
    """A window of the template grid, filled from one source.

    Args:
        source: The covariate.
        places: The window on the source's grid.

    Returns:
        (height, width) float64 values, NaN where missing, and bool validity.
    """
    alignment = places.alignment
    if alignment.shift is not None:
        return _shifted(source.read, source.grid, alignment.shift, places.window)
    if source.categorical:
        return nearest(source.read, source.grid, *places.positions)
    shape = (places.window.height, places.window.width)
    if places.taps is None:
        return np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    read = source.read if alignment.block == 1 else _averaged(source.read, source.grid, alignment.block)
    return places.taps.apply(read)


def nearest(read: Read, grid: Grid, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cell containing each position; the source is read in strips of bounded size."""
    values, valid = np.full(u.shape, np.nan), np.zeros(u.shape, dtype=bool)
    inside = _inside(grid, u, v)
    if not inside.any():
        return values, valid
    row, col = np.floor(v[inside]).astype(np.int64), np.floor(u[inside]).astype(np.int64)
    first_col, last_col = int(col.min()), int(col.max())
    width = last_col - first_col + 1
    step = max(1, _STRIP_CELLS // width)
    found, sound = np.full(len(row), np.nan), np.zeros(len(row), dtype=bool)
    for top in range(int(row.min()), int(row.max()) + 1, step):
        height = min(step, int(row.max()) + 1 - top)
        here = (row >= top) & (row < top + height)
        if here.any():
            part, part_valid = read(Window(top, first_col, height, width))
            found[here] = part[row[here] - top, col[here] - first_col]
            sound[here] = part_valid[row[here] - top, col[here] - first_col]
    values[inside], valid[inside] = found, sound
    return values, valid


@dataclass(frozen=True)
class Taps:
    """Bilinear interpolation between cell centres, prepared for a set of positions.

    Attributes:
        inside: (height, width) which positions are inside.
        window: The source window needed.
        index: Four (M,) flat positions in that window.
        share: Four (M,) weights, adding up to 1.
        own: (M,) flat position of the cell that contains each position.
    """

    inside: np.ndarray
    window: Window
    index: tuple[np.ndarray, ...]
    share: tuple[np.ndarray, ...]
    own: np.ndarray

    @classmethod
    def of(cls, grid: Grid, inside: np.ndarray, u: np.ndarray, v: np.ndarray, *, wrap: bool) -> Taps:
        """Prepares M positions.

        Args:
            grid: Source grid.
            inside: (height, width) which positions are inside, M of them.
            u: (M,) fractional columns, 0 at the outer west edge.
            v: (M,) fractional rows, 0 at the outer north edge.
            wrap: Whether the last column touches the first.
        """
        left, top = np.floor(u - 0.5).astype(np.int64), np.floor(v - 0.5).astype(np.int64)
        right_share, lower_share = u - 0.5 - left, v - 0.5 - top
        cols = [np.mod(c, grid.width) if wrap else np.clip(c, 0, grid.width - 1) for c in (left, left + 1)]
        rows = [np.clip(r, 0, grid.height - 1) for r in (top, top + 1)]
        first_row, last_row = int(rows[0].min()), int(rows[1].max())
        first_col, last_col = min(int(c.min()) for c in cols), max(int(c.max()) for c in cols)
        window = Window(first_row, first_col, last_row - first_row + 1, last_col - first_col + 1)
        index, share = [], []
        for row, down in zip(rows, (1.0 - lower_share, lower_share), strict=True):
            for col, along in zip(cols, (1.0 - right_share, right_share), strict=True):
                index.append((row - first_row) * window.width + col - first_col)
                share.append(down * along)
        own_col = np.minimum(np.floor(u).astype(np.int64), grid.width - 1) - first_col
        own_row = np.minimum(np.floor(v).astype(np.int64), grid.height - 1) - first_row
        return cls(inside, window, tuple(index), tuple(share), own_row * window.width + own_col)

    def apply(self, read: Read) -> tuple[np.ndarray, np.ndarray]:
        """(height, width) values and validity of one source."""
        part, part_valid = read(self.window)
        filled, present = np.where(part_valid, part, 0.0).ravel(), part_valid.astype(np.float64).ravel()
        total, weight = np.zeros(len(self.own)), np.zeros(len(self.own))
        for index, share in zip(self.index, self.share, strict=True):
            total += share * filled[index]
            weight += share * present[index]
        sound = present[self.own] > 0
        values, valid = np.full(self.inside.shape, np.nan), np.zeros(self.inside.shape, dtype=bool)
        values[self.inside] = np.where(sound, total / np.where(sound, weight, 1.0), np.nan)
        valid[self.inside] = sound
        return values, valid


def _inside(grid: Grid, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return (u >= 0) & (u < grid.width) & (v >= 0) & (v < grid.height)


def _shifted(read: Read, grid: Grid, shift: tuple[int, int], window: Window) -> tuple[np.ndarray, np.ndarray]:
    row, col = window.row + shift[0], window.col + shift[1]
    top, bottom = max(row, 0), min(row + window.height, grid.height)
    left, right = max(col, 0), min(col + window.width, grid.width)
    if (top, bottom, left, right) == (row, row + window.height, col, col + window.width):
        return read(Window(row, col, window.height, window.width))
    values, valid = np.full(window[2:], np.nan), np.zeros(window[2:], dtype=bool)
    if top < bottom and left < right:
        at = (slice(top - row, bottom - row), slice(left - col, right - col))
        values[at], valid[at] = read(Window(top, left, bottom - top, right - left))
    return values, valid


def _block(source: Grid, template: Grid) -> int:
    """Source cells per template cell, the median over a lattice of the template (fixed for the pair of grids)."""
    a, _, west, _, e, north = template.transform
    cols, rows = (np.linspace(0.05, 0.95, 9) * n for n in (template.width, template.height))
    col, row = (c.ravel() for c in np.meshgrid(cols, rows))

    def at(du: float, dv: float) -> tuple[np.ndarray, np.ndarray]:
        x, y = to_crs(west + (col + du) * a, north + (row + dv) * e, template.crs, source.crs)
        return np.asarray(x) / source.transform[0], np.asarray(y) / source.transform[4]

    with np.errstate(invalid="ignore"):
        (x0, y0), (x1, y1), (x2, y2) = at(0.0, 0.0), at(1.0, 0.0), at(0.0, 1.0)
        area = np.abs((x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0))
    area = area[np.isfinite(area)]
    return max(1, int(np.sqrt(np.median(area)) + 1e-6)) if area.size else 1


def _coarse_grid(grid: Grid, block: int) -> Grid:
    a, _, west, _, e, north = grid.transform
    height, width = -(-grid.height // block), -(-grid.width // block)
    return Grid(grid.crs, (a * block, 0.0, west, 0.0, e * block, north), height, width)


def _averaged(read: Read, grid: Grid, block: int) -> Read:
    """Reads windows of the source averaged over blocks of cells."""

    def strip(window: Window) -> tuple[np.ndarray, np.ndarray]:
        top, left = window.row * block, window.col * block
        rows = min(window.height * block, grid.height - top)
        cols = min(window.width * block, grid.width - left)
        part, part_valid = read(Window(top, left, rows, cols))
        total = np.zeros(window[2:])
        count, cells = np.zeros(window[2:], dtype=np.int64), np.zeros(window[2:], dtype=np.int64)
        filled = np.where(part_valid, part, 0.0)
        for i in range(min(block, rows)):
            for j in range(min(block, cols)):
                piece = filled[i::block, j::block]
                at = (slice(0, piece.shape[0]), slice(0, piece.shape[1]))
                total[at] += piece
                count[at] += part_valid[i::block, j::block]
                cells[at] += 1
        valid = (2 * count >= cells) & (count > 0)
        return np.where(valid, total / np.maximum(count, 1), np.nan), valid

    def read_coarse(window: Window) -> tuple[np.ndarray, np.ndarray]:
        step = max(1, _STRIP_CELLS // (window.width * block * block))
        parts = [
            strip(Window(window.row + row, window.col, min(step, window.height - row), window.width))
            for row in range(0, window.height, step)
        ]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    return read_coarse
