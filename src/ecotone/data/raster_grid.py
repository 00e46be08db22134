"""Where the cells of a raster lie: grids, windows, cell numbers, cell areas."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyproj
from pyproj.exceptions import CRSError

from ecotone.contract import Grid
from ecotone.errors import InputError, UsageError

WGS84 = "EPSG:4326"


class Window(NamedTuple):
    """A rectangle of cells: first row, first column, rows, columns."""

    row: int
    col: int
    height: int
    width: int


@lru_cache(maxsize=64)
def parse_crs(crs: str | int) -> pyproj.CRS:
    """A coordinate reference system from WKT, an EPSG number or a PROJ string.

    Longitude-latitude on WGS 84 is recognised however it is spelt (R's ``+proj=longlat +datum=WGS84 +towgs84=0,0,0``
    included) and becomes EPSG:4326; axis order never matters here, x is always east or longitude.

    Raises:
        UsageError: US104 for a text that names none.
    """
    try:
        parsed = pyproj.CRS.from_user_input(crs)
        lonlat = pyproj.CRS.from_epsg(4326)
        if parsed.is_bound and parsed.source_crs is not None and not _shift(parsed):
            hub, parsed = parsed.target_crs, parsed.source_crs
            onto_wgs84 = hub is not None and hub.equals(lonlat, ignore_axis_order=True)
            if onto_wgs84 and parsed.is_geographic and parsed.ellipsoid == lonlat.ellipsoid:
                return lonlat
        if parsed.is_geographic and len(parsed.axis_info) == 2 and parsed.equals(lonlat, ignore_axis_order=True):
            return lonlat
        if parsed.is_geographic and parsed.to_authority(min_confidence=20) == ("OGC", "CRS84"):
            return lonlat
    except (CRSError, TypeError):
        raise UsageError(
            "US104", "crs", f"{str(crs)[:80]!r} is no coordinate reference system", f"write for example {WGS84}"
        ) from None
    return parsed


def _shift(crs: pyproj.CRS) -> bool:
    values = crs.coordinate_operation.towgs84 if crs.coordinate_operation is not None else [1.0]
    return any(value != 0 for value in values)


def crs_wkt(crs: Any) -> str:
    """The WKT under which a CRS is stored in a `Grid`."""
    text = crs if isinstance(crs, str | int) else crs.to_wkt()
    return parse_crs(text).to_wkt("WKT1_GDAL" if not _needs_wkt2(text) else "WKT2_2019")


@lru_cache(maxsize=64)
def _needs_wkt2(crs: str | int) -> bool:
    try:
        return parse_crs(parse_crs(crs).to_wkt("WKT1_GDAL")) != parse_crs(crs)
    except (CRSError, UsageError):
        return True


@lru_cache(maxsize=256)
def same_crs(one: str, other: str) -> bool:
    """Whether two WKTs mean the same system, whatever their axis order."""
    return one == other or parse_crs(one).equals(parse_crs(other), ignore_axis_order=True)


@lru_cache(maxsize=64)
def is_geographic(crs: str) -> bool:
    """Whether coordinates are longitude and latitude in degrees."""
    return parse_crs(crs).is_geographic


def to_crs(x: np.ndarray, y: np.ndarray, source: str, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in another system; inf where there is none. x is east or longitude throughout."""
    if same_crs(source, target):
        return x, y
    return _transformer(source, target).transform(x, y)


@lru_cache(maxsize=64)
def _transformer(source: str, target: str) -> pyproj.Transformer:
    return pyproj.Transformer.from_crs(parse_crs(source), parse_crs(target), always_xy=True)


def north_up(where: object, crs: str, transform: Any, height: int, width: int) -> tuple[Grid, bool, bool]:
    """The north-up, west-to-east grid of a raster.

    Args:
        where: File, for messages.
        crs: WKT.
        transform: Six coefficients (a, b, c, d, e, f) as in ``rasterio.Affine``.
        height: Rows.
        width: Columns.

    Returns:
        The grid, whether stored rows run from south to north, whether stored columns run from east to west.

    Raises:
        InputError: RA305 for rotated, sheared or degenerate grids.
    """
    a, b, c, d, e, f = (float(v) for v in tuple(transform)[:6])
    if not np.isfinite([a, b, c, d, e, f]).all() or a == 0 or e == 0 or height < 1 or width < 1:
        raise InputError("RA305", where, "its grid has no cell size", "export it again with a georeference")
    if abs(b) * height > 1e-3 * abs(a) or abs(d) * width > 1e-3 * abs(e):
        raise InputError(
            "RA305", where, "its grid is rotated", "make it north-up with `rio warp IN OUT.tif --dst-crs EPSG:4326`"
        )
    south_up, east_first = e > 0, a < 0
    north = f + e * height if south_up else f
    west = c + a * width if east_first else c
    return Grid(crs, (abs(a), 0.0, west, 0.0, -abs(e), north), height, width), south_up, east_first


def offset_in(inner: Grid, outer: Grid) -> tuple[int, int] | None:
    """Row and column of `outer` at which the first cell of `inner` lies, when the cells of both coincide; else None.

    A hundredth of a cell is allowed, over the whole extent.
    """
    if not same_crs(inner.crs, outer.crs):
        return None
    (a, _, west, _, e, north), (a2, _, west2, _, e2, north2) = inner.transform, outer.transform
    span_x, span_y = max(inner.width, outer.width), max(inner.height, outer.height)
    if abs(a - a2) * span_x > 0.01 * abs(a2) or abs(e - e2) * span_y > 0.01 * abs(e2):
        return None
    col, row = (west - west2) / a2, (north - north2) / e2
    if abs(col - round(col)) > 0.01 or abs(row - round(row)) > 0.01:
        return None
    return round(row), round(col)


def windows(grid: Grid, size: int | tuple[int, int]) -> Iterator[Window]:
    """Windows covering the grid, row by row, anchored at its north-west corner."""
    rows, cols = (size, size) if isinstance(size, int) else size
    if rows < 1 or cols < 1:
        raise UsageError("US104", "window", f"size {size} is not positive", "give at least 1")
    for row in range(0, grid.height, rows):
        for col in range(0, grid.width, cols):
            yield Window(row, col, min(rows, grid.height - row), min(cols, grid.width - col))


def centres(grid: Grid, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Cell centres, x (width,) and y (height,); the same numbers whichever window asks."""
    a, _, west, _, e, north = grid.transform
    x = west + (np.arange(window.col, window.col + window.width) + 0.5) * a
    return x, north + (np.arange(window.row, window.row + window.height) + 0.5) * e


def cell_xy(grid: Grid, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres x, y of of row-major cell numbers, in CRS units."""
    row, col = np.divmod(np.asarray(cells, dtype=np.int64), grid.width)
    a, _, west, _, e, north = grid.transform
    return west + (col + 0.5) * a, north + (row + 0.5) * e


def cell_of(grid: Grid, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Row-major number of the cell containing each point, -1 outside; longitudes may be off by full turns.

    A cell owns its west and north edges; points on the outer east and south edges belong to the last cells.
    """
    u, v = fractional(grid, x, y)
    with np.errstate(invalid="ignore"):
        u = np.where((u >= grid.width) & (u <= grid.width + 1e-9), grid.width - 1, u)
        v = np.where((v >= grid.height) & (v <= grid.height + 1e-9), grid.height - 1, v)
        inside = (u >= 0) & (u < grid.width) & (v >= 0) & (v < grid.height)
    col, row = np.where(inside, u, 0).astype(np.int64), np.where(inside, v, 0).astype(np.int64)
    return np.where(inside, row * grid.width + col, -1)


def fractional(grid: Grid, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows as fractions, 0 at the outer north-west edge; longitudes are taken by full turns onto the grid.

    Fractions within a millionth of a cell edge are put on the edge, so that rounding noise never decides a cell.
    """
    a, _, west, _, e, north = grid.transform
    with np.errstate(invalid="ignore", over="ignore"):
        u, v = _snapped((x - west) / a), _snapped((y - north) / e)
        if is_geographic(grid.crs):
            away = np.isfinite(u) & ((u < 0) | (u >= grid.width))
            if away.any():
                u = np.where(away, _snapped(np.mod(u, 360.0 / a)), u)
                if wraps(grid):
                    u = np.where(u >= grid.width, 0.0, u)
    return u, v


def _snapped(fraction: np.ndarray) -> np.ndarray:
    near = np.rint(fraction)
    return np.where(np.abs(fraction - near) < 1e-6, near, fraction)


def wraps(grid: Grid) -> bool:
    """Whether the grid goes once round the earth, so that its last column touches its first."""
    return is_geographic(grid.crs) and abs(grid.width * grid.transform[0] - 360.0) < 0.01 * grid.transform[0]


def row_areas(grid: Grid, rows: np.ndarray) -> np.ndarray:
    """Relative area of a cell in each row: spherical bands, 1 at the equator, for degrees; 1 when projected."""
    rows = np.asarray(rows)
    if not is_geographic(grid.crs):
        return np.ones(rows.shape)
    _, _, _, _, e, north = grid.transform
    top = np.deg2rad(np.clip(north + rows * e, -90.0, 90.0))
    bottom = np.deg2rad(np.clip(north + (rows + 1) * e, -90.0, 90.0))
    return (np.sin(top) - np.sin(bottom)) / np.deg2rad(abs(e))


def cell_keys(cells: np.ndarray, seed: int) -> np.ndarray:
    """(N,) uint64 keys, one per cell number, distinct within a seed (finaliser of splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        start = _mix(np.array([seed % (1 << 64)], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
        return _mix(np.asarray(cells).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + start)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
