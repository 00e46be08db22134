"""One covariate: a band of a raster file, and how its values and its nodata are read.

The nodata rule of a single band: a cell is missing when its value is the declared nodata value, is not finite, has a
magnitude of 1e38 or more (the usual fill values of floating-point rasters, often rounded in the header), or is masked
by the file's own mask or alpha band. Scale and offset declared by the band are applied after that.
"""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader

from ecotone.contract import Grid
from ecotone.data.raster_grid import Window, crs_wkt, north_up
from ecotone.data.raster_open import open_raster, read_bands
from ecotone.errors import InputError, UsageError

FILL = 1e38
_MAX_OPEN = 400
_POOL = threading.local()


@dataclass(frozen=True)
class Source:
    """A band as a covariate. Plain data: it can be pickled and sent to other processes.

    Attributes:
        name: Covariate name.
        path: Raster file.
        band: From 1.
        grid: North-up grid of the file.
        categorical: Whether values are labels.
        dtype: Stored type.
        nodata: Declared nodata value or None.
        scale: Factor applied to stored values.
        offset: Added after scaling.
        unit: Declared unit or "".
        masked: Whether the file has a mask or alpha band.
        rows_reversed: Stored from south to north.
        cols_reversed: Stored from east to west.
        stamp: Size and modification time when it was described.
        allow_vrt: Whether VRT files may be opened.
    """

    name: str
    path: Path
    band: int
    grid: Grid
    categorical: bool
    dtype: str
    nodata: float | None
    scale: float
    offset: float
    unit: str
    masked: bool
    rows_reversed: bool
    cols_reversed: bool
    stamp: tuple[int, int]
    allow_vrt: bool = False

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Values and validity of a window that lies inside the grid.

        Returns:
            (height, width) float64 values, NaN where missing, and (height, width) bool validity.
        """
        stored, valid = self.read_stored(window)
        values = stored.astype(np.float64)
        values[~valid] = np.nan
        return values, valid

    def read_stored(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """As `read`, in the type of the file, without spending a pass on cells that are missing.

        Returns:
            (height, width) values, in the stored type or in float64 where the band declares scale or offset, anything
            where missing; and (height, width) bool validity.
        """
        place = self.stored_window(window)
        dataset = handle(self.path, self.stamp, allow_vrt=self.allow_vrt)
        mask = read_bands(dataset, self.band, place, mask=True) if self.masked else None
        return self.decoded(read_bands(dataset, self.band, place), mask)

    def stored_window(self, window: Window) -> tuple[int, int, int, int]:
        """(row, column, height, width) of a window of the grid in the order of the file."""
        row, col, height, width = window
        if self.rows_reversed:
            row = self.grid.height - row - height
        if self.cols_reversed:
            col = self.grid.width - col - width
        return row, col, height, width

    def decoded(self, stored: np.ndarray, mask: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Stored values of a window, and its GDAL mask where the file has one, as `read_stored` gives them."""
        valid = present(stored, self.nodata)
        if mask is not None:
            valid &= mask != 0
        if self.scale != 1.0 or self.offset != 0.0:
            stored = stored.astype(np.float64) * self.scale + self.offset
        if self.rows_reversed:
            stored, valid = stored[::-1], valid[::-1]
        if self.cols_reversed:
            stored, valid = stored[:, ::-1], valid[:, ::-1]
        return stored, valid


def present(stored: np.ndarray, nodata: float | None) -> np.ndarray:
    """Where stored values count as data, by the rule above."""
    if stored.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            valid = stored < FILL
            valid &= stored > -FILL
        if nodata is not None and abs(nodata) < FILL:
            valid &= stored != stored.dtype.type(nodata)
        return valid
    if nodata is None or not np.isfinite(nodata) or nodata != int(nodata):
        return np.ones(stored.shape, dtype=bool)
    limits = np.iinfo(stored.dtype)
    if not limits.min <= int(nodata) <= limits.max:
        return np.ones(stored.shape, dtype=bool)
    return stored != stored.dtype.type(int(nodata))


def describe(
    path: Path, *, assume_crs: str | int | None = None, allow_vrt: bool = False, stem: str | None = None
) -> list[Source]:
    """The covariates a file offers, in band order, all as continuous.

    A single band is named after the file; those of a multi-band file after their description, or ``stem_1``...

    Raises:
        InputError: RA301 without a coordinate reference system, RA305 for a rotated grid, and those of `open_raster`.
    """
    with open_raster(path, allow_vrt=allow_vrt) as dataset:
        path = Path(dataset.name)
        crs = assume_crs if dataset.crs is None else dataset.crs
        if crs is None:
            fix = "pass --raster-crs EPSG:4326 (or the right one) or store it with `rio edit-info --crs EPSG:4326 FILE`"
            raise InputError("RA301", path, "has no coordinate reference system", fix)
        try:
            wkt = crs_wkt(crs)
        except UsageError:
            if dataset.crs is None:
                raise
            raise InputError(
                "RA301",
                path,
                "has an unreadable coordinate reference system",
                "store it again with `rio edit-info --crs EPSG:CODE FILE`",
            ) from None
        grid, rows_reversed, cols_reversed = north_up(path, wkt, dataset.transform, dataset.height, dataset.width)
        stem = stem or path.stem
        info = path.stat()
        found = []
        for band in range(1, dataset.count + 1):
            if dataset.colorinterp[band - 1].name == "alpha":
                continue
            label = (dataset.descriptions[band - 1] or f"{stem}_{band}").strip()
            flags = dataset.mask_flag_enums[band - 1]
            found.append(
                Source(
                    name=stem if dataset.count == 1 else label,
                    path=path,
                    band=band,
                    grid=grid,
                    categorical=False,
                    dtype=str(dataset.dtypes[band - 1]),
                    nodata=None if dataset.nodatavals[band - 1] is None else float(dataset.nodatavals[band - 1]),
                    scale=float(dataset.scales[band - 1]),
                    offset=float(dataset.offsets[band - 1]),
                    unit=(dataset.units[band - 1] or "").strip(),
                    masked=MaskFlags.per_dataset in flags or MaskFlags.alpha in flags,
                    rows_reversed=rows_reversed,
                    cols_reversed=cols_reversed,
                    stamp=(info.st_size, info.st_mtime_ns),
                    allow_vrt=allow_vrt,
                )
            )
    return found


def handle(path: Path, stamp: tuple[int, int], *, allow_vrt: bool = False) -> DatasetReader:
    """An open dataset of this thread and process; opened on first use, again after a fork or spawn."""
    if getattr(_POOL, "pid", None) != os.getpid():
        _POOL.pid, _POOL.open = os.getpid(), {}
    key = (str(path), stamp)
    dataset = _POOL.open.pop(key, None)
    if dataset is None:
        while len(_POOL.open) >= _MAX_OPEN:
            _POOL.open.pop(next(iter(_POOL.open))).close()
        dataset = open_raster(path, allow_vrt=allow_vrt, whole=False)  # `describe` looked at it
    _POOL.open[key] = dataset
    return dataset


def close_handles() -> None:
    """Closes every raster this thread holds open; reading opens them again."""
    if getattr(_POOL, "pid", None) == os.getpid():
        for dataset in _POOL.open.values():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                dataset.close()
        _POOL.open.clear()
