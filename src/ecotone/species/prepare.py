"""From occurrence records and rasters to arrays: sites, their counts, and the background.

Letters: K cells with records, S species, P covariates, U background cells.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ecotone.data.cleaning import CleaningReport, clean
from ecotone.data.occurrences import Occurrences, read_occurrences
from ecotone.data.raster_grid import is_geographic
from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError
from ecotone.species.background import thinning_weight
from ecotone.species.options import Inputs

Array = np.ndarray
MAX_LABELS = 20


@dataclass(frozen=True)
class Prepared:
    """Training data of one job.

    Attributes:
        inputs: What was asked for.
        covariates: P names.
        stack: The rasters, or None for sites from a store.
        levels: Categorical covariate -> its levels on the rasters.
        species: S names.
        counts: (K, S) records, CSR.
        cells: (K,) row-major cells with records.
        xy: (K, 2) their centres in grid units, nan where a store holds none.
        sites: (K, P) their covariates.
        background: (U, P) uniform random valid cells.
        background_xy: (U, 2).
        background_weight: (U,) relative area times effort.
        site_weight: (K,) relative weight of sites as background, or None.
        valid_cells: Cells valid in all covariates.
        geographic: The grid is in degrees.
        report: What cleaning did; None for data that came as arrays.
    """

    inputs: Inputs
    covariates: tuple[str, ...]
    stack: RasterStack | None
    levels: dict[str, tuple[int, ...]]
    species: tuple[str, ...]
    counts: sparse.csr_array
    cells: Array
    xy: Array
    sites: Array
    background: Array
    background_xy: Array
    background_weight: Array
    site_weight: Array | None
    valid_cells: int
    geographic: bool
    report: CleaningReport | None

    @property
    def units(self) -> dict[str, str]:
        """Covariate -> declared unit."""
        return {} if self.stack is None else self.stack.units

    @property
    def reference(self) -> Array:
        """(N, P) conditions to average over: the uniform cells, or the sites where there are none."""
        return self.background if len(self.background) else self.sites

    @property
    def placed(self) -> bool:
        """Whether the sites have places."""
        return bool(np.isfinite(self.xy).all())

    @property
    def presences(self) -> list[Array]:
        """S arrays (n_j, P): the covariates where each species was recorded."""
        columns = self.counts.tocsc()
        return [self.sites[columns.indices[a:b]] for a, b in zip(columns.indptr[:-1], columns.indptr[1:], strict=True)]


def open_covariates(
    covariates: Sequence[Any],
    *,
    categorical: Sequence[str] = (),
    exclude: Sequence[str] = (),
    raster_crs: str | None = None,
) -> RasterStack:
    """The covariates as one stack."""
    return RasterStack.open(list(covariates), categorical=categorical, exclude=exclude or None, assume_crs=raster_crs)


def read_points(inputs: Any) -> Occurrences:
    """The occurrence table of an `Inputs`."""
    return read_occurrences(inputs.occurrences, x=inputs.x, y=inputs.y, species=inputs.species, crs=inputs.crs)


def input_files(inputs: Inputs) -> list[Path]:
    """Every file that `prepare` reads from disk."""
    inputs.check()
    if inputs.sites is not None:
        from ecotone.data.site_inputs import store_files

        return store_files(inputs.sites, inputs.labels, inputs.cells)
    files = [Path(inputs.occurrences)] if isinstance(inputs.occurrences, str | Path) else []
    for path in (*files, *([inputs.bias] if inputs.bias else [])):
        if not Path(path).is_file():
            what = "is a folder, a file is needed" if Path(path).is_dir() else "not found"
            raise InputError("IO101", path, what, "check the path")
    rasters = RasterStack.open(inputs.covariates, exclude=inputs.exclude or None, assume_crs=inputs.raster_crs).files
    return [*files, *rasters, *([Path(inputs.bias)] if inputs.bias else [])]


def prepare(inputs: Inputs, *, seed: int = 0) -> Prepared:
    """Reads, cleans, bins records to cells and draws the background.

    Args:
        inputs: What to read.
        seed: For the background draw.

    Raises:
        InputError: Whatever the readers and the cleaning find; OC205 when all records lie in one cell.
    """
    inputs.check()
    stack = open_covariates(
        inputs.covariates, categorical=inputs.categorical, exclude=inputs.exclude, raster_crs=inputs.raster_crs
    )
    records = read_points(inputs)
    if inputs.only_species:
        records = records.only(inputs.only_species)
    kept, report = clean(records, stack, duplicates=inputs.duplicates, swap_xy=inputs.swap_xy)
    levels = {name: stack.levels(name) for name in stack.categorical}

    present = np.unique(kept.species)
    names = tuple(kept.names[j] for j in present)
    column = np.searchsorted(present, kept.species)
    cell = np.asarray(kept.cell)
    cells, row = np.unique(cell, return_inverse=True)
    if len(cells) < 2:
        where = records.source or "records"
        raise InputError(
            "OC205", where, "all usable records lie in one raster cell", "a map needs records in two or more"
        )
    amount = np.ones(len(cell)) if kept.count is None else np.nan_to_num(kept.count, nan=1.0)
    counts = sparse.csr_array((amount.astype(np.float32), (row, column)), shape=(len(cells), len(names)))
    counts.sum_duplicates()
    sites, _ = stack.at_cells(cells)
    xy = np.column_stack(stack.cell_xy(cells))

    drawn = stack.valid_cells(inputs.background_cells, seed)
    every = len(drawn) < inputs.background_cells
    total = len(drawn) if every else sum(int(stack.read(w)[1].sum()) for w in stack.windows())
    background, _ = stack.at_cells(drawn)
    _warn_labels(stack, np.concatenate([sites, background]))
    weight = stack.cell_area(drawn // stack.grid.width)
    if inputs.bias is not None:
        weight = weight * _effort(inputs, stack, drawn)
        drawn, background, weight = (part[weight > 0] for part in (drawn, background, weight))
    size = abs(stack.grid.transform[0])
    thin = thinning_weight(xy[:, 0], xy[:, 1], inputs.thin * size) if inputs.thin else None
    return Prepared(
        inputs,
        stack.names,
        stack,
        levels,
        names,
        counts,
        cells,
        xy,
        sites,
        background,
        np.column_stack(stack.cell_xy(drawn)),
        weight,
        thin,
        total,
        is_geographic(stack.grid.crs),
        report,
    )


def _warn_labels(stack: RasterStack, values: Array) -> None:
    """Warns of whole-number rasters with few different values, which usually hold labels."""
    for column, source in zip(values.T, stack.sources, strict=True):
        if source.categorical or np.dtype(source.dtype).kind not in "iu":
            continue
        kinds = np.unique(column)
        if 2 < len(kinds) <= MAX_LABELS and np.array_equal(kinds, np.rint(kinds)):
            what = f"holds only {len(kinds)} different whole numbers and is taken as a quantity"
            fix = f"if they are labels, add --categorical {source.name}"
            warnings.warn(EcotoneWarning("RA308", source.name, what, fix), stacklevel=3)


def _effort(inputs: Inputs, stack: RasterStack, cells: Array) -> Array:
    layer = RasterStack.open([str(inputs.bias)], assume_crs=inputs.raster_crs).on_grid(stack.grid)
    values, valid = layer.at_cells(cells)
    effort = np.where(valid, values[:, 0], 0.0)
    if (effort < 0).any() or not (effort > 0).any():
        raise InputError(
            "DA403", inputs.bias, "effort is negative, or nowhere above 0 on the covariates", "pass relative effort"
        )
    return effort
