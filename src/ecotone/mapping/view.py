"""Looking at a finished map without reading all of it: a decimated view through the file's overviews."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ecotone.contract import Grid
from ecotone.data.raster_grid import crs_wkt, north_up
from ecotone.data.raster_open import open_raster, quiet_gdal
from ecotone.data.raster_source import present
from ecotone.errors import InputError, UsageError


class MapView(NamedTuple):
    """A map at reduced size.

    Attributes:
        array: (bands, h, w) float64, NaN where the map holds nodata.
        grid: The grid of the reduced cells.
        names: Band names.
        unit: Unit of the values.
        legend: Class value -> label, for maps of classes.
        tags: Tags of the file.
        more: Bands of the file that were not read.
    """

    array: np.ndarray
    grid: Grid
    names: tuple[str, ...]
    unit: str
    legend: dict[int, str]
    tags: dict[str, str]
    more: int = 0


def read_map(path: str | Path, max_pixels: int = 1_000_000, *, max_bands: int | None = None) -> MapView:
    """Reads a map, reduced until a band has at most `max_pixels`; classes are picked, numbers averaged.

    Args:
        path: A raster file.
        max_pixels: Most pixels per band.
        max_bands: Read only so many bands; all by default.

    Raises:
        InputError: IO101, IO102, IO103 as `open_raster`; RA301 without a coordinate reference system.
        UsageError: US104 for a `max_pixels` below 1.
    """
    if max_pixels < 1:
        raise UsageError("US104", "max_pixels", f"{max_pixels} is below 1", "give for example 1000000")
    with open_raster(path) as dataset:
        if dataset.crs is None:
            raise InputError(
                "RA301",
                path,
                "has no coordinate reference system",
                "store one with `rio edit-info --crs EPSG:4326 FILE`",
            )
        factor = max(1.0, math.sqrt(dataset.height * dataset.width / max_pixels))
        height, width = max(1, int(dataset.height / factor)), max(1, int(dataset.width / factor))
        tags = dataset.tags()
        legend = _legend(tags.get("ECOTONE_LEGEND", ""))
        averaged = not legend and np.dtype(dataset.dtypes[0]).kind == "f"
        bands = list(range(1, min(dataset.count, max_bands or dataset.count) + 1))
        layers = _decimated(dataset, bands, height, width, Resampling.average if averaged else Resampling.nearest)
        array = np.where(
            [present(b, n) for b, n in zip(layers, dataset.nodatavals, strict=False)], layers.astype(float), np.nan
        )
        a, b, c, d, e, f = tuple(dataset.transform)[:6]
        scaled = (a * dataset.width / width, b, c, d, e * dataset.height / height, f)
        grid, rows_reversed, cols_reversed = north_up(path, crs_wkt(dataset.crs), scaled, height, width)
        array = array[:, ::-1] if rows_reversed else array
        array = array[:, :, ::-1] if cols_reversed else array
        names = tuple(label or f"band {i}" for i, label in enumerate(dataset.descriptions[: len(bands)], start=1))
        return MapView(
            np.ascontiguousarray(array), grid, names, dataset.units[0] or "", legend, tags, dataset.count - len(bands)
        )


def _decimated(dataset: DatasetReader, bands: list[int], height: int, width: int, resampling: Resampling) -> np.ndarray:
    try:
        with quiet_gdal():
            return dataset.read(bands, out_shape=(len(bands), height, width), resampling=resampling)
    except RasterioError:
        raise InputError("IO102", dataset.name, "is truncated or damaged", "make the map again") from None


def _legend(text: str) -> dict[int, str]:
    try:
        table = json.loads(text) if text else {}
        return {int(k): str(v) for k, v in table.items()}
    except (ValueError, AttributeError, RecursionError):
        return {}
