"""Writes a simulated archipelago the way a user's folder looks: a table of records and GeoTIFFs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

from ecotone.data.simulated.archipelago import UNITS
from ecotone.data.simulated.terrain import ROCKS
from ecotone.files.atomic import atomic_path, make_folder, write_bytes, write_json, write_text

if TYPE_CHECKING:
    from ecotone.contract import Grid
    from ecotone.data.simulated.archipelago import Archipelago

Array = np.ndarray


def write_archipelago(world: Archipelago, folder: Path) -> Path:
    """See `Archipelago.write`."""
    make_folder(folder)
    write_text(folder / "occurrences.csv", world.occurrences().to_csv(index=False, lineterminator="\n"))
    write_text(folder / "surveys.csv", _surveys(world))
    future = world.future()
    for name, layers in (("covariates", world.covariates), ("future", future.covariates)):
        for covariate, layer in layers.items():
            _write_layer(folder / name / f"{covariate}.tif", layer, world.grid, covariate)
    truth = {
        "log_intensity": world.log_intensity,
        "log_intensity_future": future.log_intensity,
        "effort": world.effort,
        "expected": world.expected,
        "land": world.terrain.land,
        "cells": world.cells,
        "species": np.array(world.species),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **truth)  # pyright: ignore[reportArgumentType]
    write_bytes(folder / "truth.npz", buffer.getvalue())
    about = {
        "seed": world.seed,
        "bias": world.bias,
        "climate_shift_degC": future.delta,
        "species": len(world.species),
        "records": len(world.records),
        "surveys": len(world.surveys),
        "covariates": {name: UNITS[name] for name in world.names},
        "categorical": {"rock": {str(code): name for code, name in ROCKS.items()}},
        "sha256": world.fingerprint(),
    }
    write_json(folder / "archipelago.json", about)
    return folder


def _surveys(world: Archipelago) -> str:
    """One row per surveyed cell: id, longitude, latitude, then 0/1 per species."""
    lines = [",".join(("siteID", "decimalLongitude", "decimalLatitude", *world.species))]
    for k, (cell, row) in enumerate(zip(world.surveys, world.found, strict=True)):
        east, north = world.centres[cell]
        lines.append(f"{k},{east:.5f},{north:.5f}," + ",".join(map(str, row)))
    return "\n".join(lines) + "\n"


def _write_layer(path: Path, layer: Array, grid: Grid, name: str) -> None:
    whole = layer.dtype.kind == "u"
    profile = {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": 1,
        "dtype": layer.dtype.name,
        "crs": CRS.from_wkt(grid.crs),
        "transform": Affine(grid.transform[0], 0.0, grid.transform[2], 0.0, grid.transform[4], grid.transform[5]),
        "nodata": 255 if whole else float("nan"),
        "compress": "deflate",
        "predictor": 2 if whole else 3,
    }
    with atomic_path(path) as temporary, rasterio.open(temporary, "w", **profile) as target:
        target.write(layer, 1)
        target.set_band_description(1, name)
        target.set_band_unit(1, UNITS[name])
        if whole:
            target.update_tags(1, **{f"class_{code}": label for code, label in ROCKS.items()})
