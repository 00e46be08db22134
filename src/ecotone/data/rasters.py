"""Covariate rasters as one stack on one grid, read lazily by windows or at points.

**The template.** All covariates are brought onto the grid of the template: the first raster given, unless another one
is named. A template stored south-up or east-first is read as the north-up grid of the same cells.

**The nodata rule.** A cell is valid if and only if every covariate has a value there (see `ecotone.data.raster_source`
for one band and `ecotone.data.raster_align` for other grids). Nothing else makes a cell valid or invalid.

Letters: P covariates, N points, h, w rows and columns of a window.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ecotone.abilities import CovariateSpec
from ecotone.contract import Grid
from ecotone.data import raster_grid
from ecotone.data.raster_align import Alignment, Places, read_aligned
from ecotone.data.raster_find import check_unique, find_rasters, match, pick, rename
from ecotone.data.raster_grid import Window, cell_keys, cell_of, crs_wkt, row_areas, to_crs
from ecotone.data.raster_layers import Layers, read_layers
from ecotone.data.raster_source import Source, describe
from ecotone.data.stac import describe_item, is_item
from ecotone.errors import EcotoneWarning, InputError, UsageError, suggest
from ecotone.files.fingerprint import cache_key, hash_files

MAX_LEVELS = 1000
_PASS = 512
_LOOKUP = 256


class Samples(NamedTuple):
    """Covariates at points.

    Attributes:
        values: (N, P) float64, NaN where a covariate is missing or the point lies outside.
        valid: (N,) every covariate is there.
        cell: (N,) row-major cell number, -1 outside.
        inside: (N,) the point lies on the grid.
    """

    values: np.ndarray
    valid: np.ndarray
    cell: np.ndarray
    inside: np.ndarray


class Statistics(NamedTuple):
    """Of one covariate on the template grid, over its own valid cells."""

    valid: int
    cells: int
    minimum: float
    maximum: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class RasterStack:
    """Covariates on one grid. Plain data: picklable, and files are opened per thread and process when first read.

    Attributes:
        sources: P bands, in covariate order.
        grid: The template grid.
    """

    sources: tuple[Source, ...]
    grid: Grid

    @classmethod
    def open(
        cls,
        paths: str | Path | Iterable[str | Path],
        *,
        categorical: Iterable[str] = (),
        names: Sequence[str] | Mapping[str, str] | None = None,
        template: str | Path | Grid | None = None,
        assume_crs: str | int | None = None,
        only: Iterable[str] | None = None,
        exclude: Iterable[str] | None = None,
        allow_vrt: bool = False,
    ) -> RasterStack:
        """Describes the rasters without reading their cells.

        Args:
            paths: Files, folders, glob patterns, STAC Items (.json), or one of them.
            categorical: Covariates that hold labels; never averaged or interpolated.
            names: Other names, for all in order or old -> new.
            template: Covariate name, raster file or grid that all are aligned to; default the first covariate.
            assume_crs: Coordinate reference system of files that declare none.
            only: Keep only these names or patterns.
            exclude: Leave these names or patterns out.
            allow_vrt: Accept VRT files.

        Raises:
            InputError: IO101, IO102, IO103, RA301, RA304 (no overlap with the template), RA305, RA306.
            UsageError: US101 for a name that is not there.

        Warns:
            EcotoneWarning: RA302 when rasters declare no nodata value.
        """
        files = find_rasters(paths, allow_vrt=allow_vrt)
        sources = [s for file in files for s in _described(file, assume_crs, allow_vrt=allow_vrt)]
        sources = pick(rename(sources, names), only, exclude)
        if not sources:
            raise UsageError("US105", "only, exclude", "no covariate is left", "keep at least one")
        check_unique(sources)
        known = [s.name for s in sources]
        labels = [categorical] if isinstance(categorical, str) else list(categorical)
        for label in labels:
            if label not in known:
                raise UsageError("US101", label, "declared categorical, but no such covariate", suggest(label, known))
        sources = [replace(s, categorical=s.name in labels) for s in sources]
        stack = cls(tuple(sources), _template(template, sources, assume_crs, allow_vrt=allow_vrt))
        stack._check_overlap()
        _warn_nodata(sources)
        return stack

    @property
    def names(self) -> tuple[str, ...]:
        """P covariate names."""
        return tuple(s.name for s in self.sources)

    @property
    def categorical(self) -> tuple[str, ...]:
        """Names of covariates that hold labels."""
        return tuple(s.name for s in self.sources if s.categorical)

    @property
    def units(self) -> dict[str, str]:
        """Covariate name -> declared unit, where one is declared."""
        return {s.name: s.unit for s in self.sources if s.unit}

    def specs(self) -> tuple[CovariateSpec, ...]:
        """What a model fitted on this stack will need; finds the levels of categorical covariates by reading them."""
        return tuple(CovariateSpec(s.name, self.levels(s.name) if s.categorical else None) for s in self.sources)

    def select(self, names: Sequence[str], *, categorical: Iterable[str] | None = None) -> RasterStack:
        """The stack of the named covariates, in that order and under those names.

        A name is matched exactly, else ignoring upper and lower case. `categorical` redeclares which hold labels.

        Raises:
            InputError: RA303 listing what is missing.
        """
        found = match(list(names), self.names)
        by_name = {s.name: s for s in self.sources}
        labels = None if categorical is None else set(categorical)
        sources = []
        for name, old in zip(names, found, strict=True):
            labelled = by_name[old].categorical if labels is None else name in labels
            sources.append(replace(by_name[old], name=name, categorical=labelled))
        check_unique(sources)
        return RasterStack(tuple(sources), self.grid)

    def on_grid(self, grid: Grid) -> RasterStack:
        """The same covariates aligned to another grid.

        Raises:
            InputError: RA304 without overlap.
        """
        stack = RasterStack(self.sources, grid)
        stack._check_overlap()
        return stack

    # ------------------------------------------------------------------------------------------ reading
    def windows(self, size: int | tuple[int, int] = _PASS) -> Iterator[Window]:
        """Windows covering the grid, row by row."""
        return raster_grid.windows(self.grid, size)

    def read(self, window: tuple[int, int, int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Covariates of a window; the whole grid by default.

        Args:
            window: (row, column, height, width) in template cells, inside the grid.

        Returns:
            (P, h, w) float64 values, NaN where that covariate is missing, and (h, w) bool, valid in all.
        """
        window = Window(0, 0, self.grid.height, self.grid.width) if window is None else Window(*window)
        row, col, height, width = window
        if (
            min(row, col) < 0
            or min(height, width) < 1
            or row + height > self.grid.height
            or col + width > self.grid.width
        ):
            what = f"{tuple(window)} is not inside {self.grid.height} x {self.grid.width}"
            raise UsageError("US104", "window", what, "give row, column, height, width of cells on the grid")
        values = np.empty((len(self.sources), height, width))
        valid = np.ones((height, width), dtype=bool)
        places = {grid: Places(alignment, window) for grid, alignment in self._alignments.items()}
        for i, source in enumerate(self.sources):
            values[i], present = read_aligned(source, places[source.grid])
            valid &= present
        return values, valid

    def layers(self, window: tuple[int, int, int, int]) -> Layers:
        """Covariates of a window in their stored types; for maps, where `read` would be waste."""
        return read_layers(self.sources, self._alignments, Window(*window))

    def on_cells(self, source: Source) -> bool:
        """Whether the cells of a source are those of the template, so that it is copied rather than interpolated."""
        return self._alignments[source.grid].shift is not None

    def sample(self, x: np.ndarray, y: np.ndarray, crs: str | int | None = None) -> Samples:
        """Covariates of the cells that contain the points; the same numbers as `read` gives there.

        Args:
            x: (N,) east or longitude.
            y: (N,) north or latitude.
            crs: Their coordinate reference system; that of the grid by default.
        """
        x, y = np.atleast_1d(np.asarray(x, dtype=np.float64)), np.atleast_1d(np.asarray(y, dtype=np.float64))
        if x.shape != y.shape or x.ndim != 1:
            raise InputError("DA404", "points", f"x {x.shape} and y {y.shape} differ", "give one x and one y per point")
        if crs is not None:
            moved = to_crs(x, y, crs_wkt(crs), self.grid.crs)
            x, y = (np.asarray(c) for c in moved)
        cell = cell_of(self.grid, x, y)
        values, valid = self.at_cells(cell)
        return Samples(values, valid, cell, cell >= 0)

    def at_cells(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(N, P) covariates and (N,) validity of row-major cell numbers; negative numbers lie outside.

        Cells are visited block by block, each block read once and no further than its cells reach.
        """
        cells = np.asarray(cells, dtype=np.int64)
        values = np.full((len(cells), len(self.sources)), np.nan)
        valid = np.zeros(len(cells), dtype=bool)
        if not len(cells):
            return values, valid
        row, col = np.divmod(cells, self.grid.width)
        across = -(-self.grid.width // _LOOKUP)
        block = np.where(cells >= 0, row // _LOOKUP * across + col // _LOOKUP, -1)
        order = np.argsort(block, kind="stable")
        starts = np.flatnonzero(np.diff(block[order], prepend=-2))
        for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
            at = order[start:stop]
            if cells[at[0]] < 0:
                continue
            top, left = int(row[at].min()), int(col[at].min())
            window = Window(top, left, int(row[at].max()) - top + 1, int(col[at].max()) - left + 1)
            part, part_valid = self.read(window)
            values[at] = part[:, row[at] - top, col[at] - left].T
            valid[at] = part_valid[row[at] - top, col[at] - left]
        return values, valid

    # ------------------------------------------------------------------------------------------ cells
    def cell_xy(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Centres x, y of row-major cell numbers, in CRS units."""
        return raster_grid.cell_xy(self.grid, cells)

    def cell_area(self, rows: np.ndarray) -> np.ndarray:
        """Relative area of a cell in each row: 1 at the equator for degrees, 1 everywhere when projected."""
        return row_areas(self.grid, rows)

    def valid_cells(self, n_max: int | None = None, seed: int = 0) -> np.ndarray:
        """A uniform random sample, without replacement, of the cells valid in all covariates; all when there are fewer.

        Each cell has a pseudo-random key made from its number and the seed, and the smallest keys win: one pass, exact,
        the same whatever the window size, and a smaller sample is part of a larger one.

        Returns:
            (K,) sorted row-major cell numbers.

        Raises:
            InputError: RA304 when no cell is valid.
        """
        cells, keys = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint64)
        for window in self.windows():
            _, valid = self.read(window)
            row, col = np.nonzero(valid)
            new = (row + window.row) * np.int64(self.grid.width) + col + window.col
            new_keys = cell_keys(new, seed)
            if n_max is not None and len(keys) == n_max and n_max > 0:
                ahead = new_keys < keys.max()
                new, new_keys = new[ahead], new_keys[ahead]
            cells, keys = np.concatenate([cells, new]), np.concatenate([keys, new_keys])
            if n_max is not None and len(keys) > n_max:
                best = np.argpartition(keys, n_max)[:n_max]
                cells, keys = cells[best], keys[best]
        if not len(cells):
            raise InputError(
                "RA304",
                "rasters",
                "no cell is valid in all of them",
                "see which with `ecotone doctor` on the same files",
            )
        return np.sort(cells)

    def levels(self, name: str) -> tuple[int, ...]:
        """The labels a categorical covariate takes on the template grid, sorted.

        Raises:
            InputError: RA307 for values that are not whole numbers or more than 1000 of them.
        """
        stack = self.select([name], categorical=[name])
        found: set[float] = set()
        for window in stack.windows():
            values, valid = stack.read(window)
            new = np.unique(values[0][valid])
            if not np.array_equal(new, np.rint(new)):
                odd = new[new != np.rint(new)][0]
                raise InputError(
                    "RA307",
                    name,
                    f"is declared categorical but holds {odd:g}",
                    "declare it continuous or recode it to whole numbers",
                )
            found.update(new.tolist())
            if len(found) > MAX_LEVELS:
                raise InputError(
                    "RA307",
                    name,
                    f"is declared categorical but has over {MAX_LEVELS} levels",
                    "declare it continuous or merge levels",
                )
        return tuple(int(v) for v in sorted(found))

    def statistics(self) -> dict[str, Statistics]:
        """Covariate name -> `Statistics`, in one pass over the grid."""
        size = len(self.sources)
        count, total, square = np.zeros(size, dtype=np.int64), np.zeros(size), np.zeros(size)
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        for window in self.windows():
            values, _ = self.read(window)
            for i, layer in enumerate(values):
                some = layer[~np.isnan(layer)]
                if not some.size:
                    continue
                mean = some.mean()
                before, after = count[i], count[i] + some.size
                gap = mean - (total[i] / before if before else mean)
                square[i] += ((some - mean) ** 2).sum() + gap**2 * before * some.size / after
                count[i], total[i] = after, total[i] + some.sum()
                low[i], high[i] = min(low[i], some.min()), max(high[i], some.max())
        table = {}
        for i, name in enumerate(self.names):
            n = int(count[i])
            ends = (low[i], high[i], total[i] / n, float(np.sqrt(square[i] / n))) if n else (np.nan,) * 4
            table[name] = Statistics(n, self.grid.height * self.grid.width, *(float(v) for v in ends))
        return table

    # ------------------------------------------------------------------------------------------ identity
    @property
    def files(self) -> tuple[Path, ...]:
        """Every file the stack reads, data halves of R rasters included."""
        halves = (
            p.with_suffix(e)
            for p in {s.path for s in self.sources}
            for e in (".gri", ".GRI")
            if p.suffix.lower() == ".grd"
        )
        return tuple(sorted({s.path for s in self.sources} | {h for h in halves if h.is_file()}))

    @cached_property
    def hashes(self) -> dict[str, str]:
        """File -> sha256 of its content."""
        return hash_files(self.files)

    def fingerprint(self) -> str:
        """A hash that changes with content, order, names, kinds or grid, and not with where the files lie."""
        bands = [
            [
                s.name,
                s.band,
                s.categorical,
                self.hashes[str(s.path)],
                self.hashes.get(str(s.path.with_suffix(".gri")), ""),
            ]
            for s in self.sources
        ]
        grid = [self.grid.crs, list(self.grid.transform), self.grid.height, self.grid.width]
        return cache_key(bands=bands, grid=grid)

    # ------------------------------------------------------------------------------------------ private
    @cached_property
    def _alignments(self) -> dict[Grid, Alignment]:
        return {grid: Alignment.between(grid, self.grid) for grid in {s.grid for s in self.sources}}

    def _check_overlap(self) -> None:
        for source in self.sources:
            if not self._alignments[source.grid].overlaps():
                have = f"{_extent(source.grid)}, the template {_extent(self.grid)}"
                fix = "use rasters of one region, or check their coordinate reference systems with `ecotone doctor`"
                raise InputError("RA304", source.path, f"does not overlap the template: it covers {have}", fix)


def _described(file: Path, assume_crs: str | int | None, *, allow_vrt: bool) -> list[Source]:
    if is_item(file):
        return describe_item(file, assume_crs=assume_crs)
    return describe(file, assume_crs=assume_crs, allow_vrt=allow_vrt)


def _template(
    template: str | Path | Grid | None, sources: Sequence[Source], assume_crs: str | int | None, *, allow_vrt: bool
) -> Grid:
    if isinstance(template, Grid):
        return template
    if template is None:
        return sources[0].grid
    for source in sources:
        if str(template) in (source.name, str(source.path)):
            return source.grid
    if Path(template).exists():
        return describe(Path(template), assume_crs=assume_crs, allow_vrt=allow_vrt)[0].grid
    raise UsageError(
        "US101", template, "is neither a covariate nor a raster file", suggest(str(template), [s.name for s in sources])
    )


def _extent(grid: Grid) -> str:
    west, south, east, north = grid.bounds
    return f"x {west:g} to {east:g}, y {south:g} to {north:g}"


def _warn_nodata(sources: Sequence[Source]) -> None:
    bare = sorted({s.path for s in sources if s.nodata is None and not s.masked})
    if bare:
        shown = ", ".join(p.name for p in bare[:5]) + (f" and {len(bare) - 5} more" if len(bare) > 5 else "")
        what = f"no nodata value declared, every finite value counts as data ({shown})"
        message = EcotoneWarning(
            "RA302", bare[0] if len(bare) == 1 else "rasters", what, "declare one: `rio edit-info --nodata -9999 FILE`"
        )
        warnings.warn(message, stacklevel=3)
