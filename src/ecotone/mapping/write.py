"""Map files: cloud-optimised GeoTIFFs that appear whole, all products together, or not at all.

Everything is prepared in a hidden folder beside the output: first a plain tiled GeoTIFF filled window by window, then
its cloud-optimised copy with overviews, flushed to disk. The final names are taken at the very end.
"""

from __future__ import annotations

import colorsys
import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import rasterio.shutil
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.transform import Affine
from rasterio.windows import Window as PixelWindow

from ecotone import __version__
from ecotone.abilities import MapProduct
from ecotone.contract import Grid
from ecotone.data.raster_grid import Window
from ecotone.data.raster_open import open_raster, quiet_gdal
from ecotone.errors import EcotoneError, InputError, InterruptedRunError, UsageError
from ecotone.files.atomic import PARTIAL, fsync_path, make_folder, write_problem

BLOCK = 512
DTYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_STALE_S = 3600.0


def product_path(out: Path, product: MapProduct) -> Path:
    """OUT.tif for the main product, OUT.SUFFIX.tif for the others."""
    return out.with_name(f"{out.stem}.{product.suffix}{out.suffix}") if product.suffix else out


def check_products(products: Sequence[MapProduct]) -> None:
    """Refuses products that no GeoTIFF can hold.

    Raises:
        UsageError: US104 for a dtype that is not written, an integer product without an integer nodata value, no bands;
            US105 for two products of one name.
    """
    suffixes = [p.suffix for p in products]
    if not products or len(set(suffixes)) < len(suffixes):
        raise UsageError(
            "US105", "map products", f"their names clash or are missing: {suffixes}", "give each its own suffix"
        )
    for product in products:
        where = f"map product {product.suffix or 'main'!r}"
        if product.dtype not in DTYPES:
            raise UsageError(
                "US104", where, f"dtype {product.dtype!r} is not written", f"use one of {', '.join(DTYPES)}"
            )
        if not product.bands:
            raise UsageError("US104", where, "it has no bands", "name at least one")
        if np.dtype(product.dtype).kind in "iu":
            limits = np.iinfo(product.dtype)
            whole = np.isfinite(product.nodata) and product.nodata == int(product.nodata)
            if not whole or not limits.min <= product.nodata <= limits.max:
                what = f"nodata {product.nodata} does not fit {product.dtype}"
                raise UsageError("US104", where, what, "declare a whole number in range")


def check_space(folder: Path, grid: Grid, products: Sequence[MapProduct]) -> int:
    """Bytes the work needs on disk at most: the plain files, and compressed copies counted at their full size.

    Raises:
        InterruptedRunError: ST102 when the folder's disk has less free.
    """
    needed = sum(2 * grid.height * grid.width * len(p.bands) * np.dtype(p.dtype).itemsize for p in products) + (1 << 20)
    free = shutil.disk_usage(folder).free
    if free < needed:
        what = f"the disk has {free / 1e9:.1f} GB free, the map needs up to {needed / 1e9:.1f} GB while it is made"
        raise InterruptedRunError("ST102", folder, what, "free some space or choose another --out")
    return needed


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """A hidden folder beside `out`, removed at the end; what killed processes left behind for `out` is swept.

    Raises:
        InputError: IO104 when the folder of `out` cannot be written.
    """
    if out.is_dir():
        raise InputError("IO104", out, "is a folder, a file name is needed", f"write {out / 'map.tif'}")
    make_folder(out.parent)
    for old in out.parent.glob(f".{glob_escape(out.stem)}.*{PARTIAL}"):
        found = re.fullmatch(r"(\d+)", old.name[len(out.stem) + 2 : -len(PARTIAL)])
        if found and not _alive(int(found[1])) and time.time() - old.stat().st_mtime > _STALE_S:
            shutil.rmtree(old, ignore_errors=True)
    folder = out.with_name(f".{out.stem}.{os.getpid()}{PARTIAL}")
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if not os.access(out.parent, os.W_OK):
            raise PermissionError(errno.EACCES, "not writable")
    except OSError as error:
        raise write_problem(out, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def glob_escape(text: str) -> str:
    """The text with glob characters taken literally."""
    return re.sub(r"([*?\[])", r"[\1]", text)


class ProductWriter:
    """One product, filled window by window.

    Args:
        folder: The work folder.
        out: The main output path.
        product: What is written.
        grid: Its grid.
        tags: Tags of the file.
    """

    def __init__(self, folder: Path, out: Path, product: MapProduct, grid: Grid, tags: Mapping[str, str]) -> None:
        self.product, self.final, self.grid, self.tags = product, product_path(out, product), grid, tags
        self.plain = folder / f"plain.{self.final.name}"
        self.cog = folder / self.final.name
        self._dataset: DatasetWriter | None = None

    def __enter__(self) -> ProductWriter:
        product, grid = self.product, self.grid
        profile: dict[str, Any] = {
            "driver": "GTiff",
            "height": grid.height,
            "width": grid.width,
            "count": len(product.bands),
            "dtype": product.dtype,
            "nodata": product.nodata,
            "crs": CRS.from_wkt(grid.crs),
            "transform": Affine(*grid.transform),
            "tiled": True,
            "blockxsize": 256,
            "blockysize": 256,
            "interleave": "band",
            "photometric": "MINISBLACK",
            "BIGTIFF": "IF_SAFER",
        }
        with quiet_gdal(), self._explained():
            dataset = self._dataset = rasterio.open(self.plain, "w", **profile)
            dataset.update_tags(**_file_tags(product, self.tags))
            dataset.descriptions = product.bands
            dataset.units = tuple(product.unit for _ in product.bands)
            if product.legend and product.dtype in ("uint8", "uint16") and len(product.bands) == 1:
                dataset.write_colormap(1, class_colours(product.legend, int(product.nodata)))
        return self

    def __exit__(self, *_: object) -> None:
        if self._dataset is not None:
            with quiet_gdal(), suppress(RasterioError):
                self._dataset.close()
            self._dataset = None

    def put(self, window: Window, rows: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Writes (N, bands) answers of the valid pixels of a window; the others become nodata.

        Returns:
            (bands, height, width) as written.
        """
        bands = len(self.product.bands)
        rows = np.asarray(rows)
        n = int(np.count_nonzero(valid))
        if rows.shape != (n, bands):
            what = f"answers {rows.shape} for {n} pixels and {bands} bands"
            raise InputError("DA404", f"map product {self.product.suffix or 'main'!r}", what, "return (N, bands)")
        layers = np.full((bands, window.height, window.width), self.product.nodata, dtype=self.product.dtype)
        if np.dtype(self.product.dtype).kind in "iu" and rows.dtype.kind == "f":
            rows = np.where(np.isfinite(rows), np.rint(rows), self.product.nodata)
        layers[:, valid] = rows.T.astype(self.product.dtype)
        if self._dataset is None:
            raise InputError("IO104", self.final, "is not open for writing", "use the writer in a with block")
        where = PixelWindow(window.col, window.row, window.width, window.height)  # pyright: ignore[reportCallIssue]
        with quiet_gdal(), self._explained():
            self._dataset.write(layers, window=where)
        return layers

    def finish(self) -> None:
        """Closes the plain file and makes the cloud-optimised one, flushed to disk but not yet under its final name."""
        kind = np.dtype(self.product.dtype).kind
        resampling = "AVERAGE" if kind == "f" else ("MODE" if self.product.legend else "NEAREST")
        with quiet_gdal(), self._explained():
            if self._dataset is not None:
                self._dataset.close()
                self._dataset = None
            size = self.grid.height * self.grid.width * len(self.product.bands) * np.dtype(self.product.dtype).itemsize
            if self.plain.stat().st_size < size:
                raise OSError(errno.ENOSPC, "file shorter than its content")
            options: dict[str, Any] = {
                "COMPRESS": "DEFLATE",
                "PREDICTOR": "YES",
                "BLOCKSIZE": str(BLOCK),
                "OVERVIEWS": "IGNORE_EXISTING",
                "OVERVIEW_RESAMPLING": resampling,
                "BIGTIFF": "IF_SAFER",
                "NUM_THREADS": "2",
            }
            rasterio.shutil.copy(str(self.plain), str(self.cog), driver="COG", **options)
            self.plain.unlink()
            fsync_path(self.cog)
        try:
            open_raster(self.cog).close()
        except InputError as error:
            raise InterruptedRunError(
                "ST104", self.final, "the written file is incomplete", "check the disk and run again"
            ) from error

    def publish(self) -> Path:
        """Takes the final name; sidecar files that described an older map are removed."""
        try:
            self.cog.replace(self.final)
        except OSError as error:
            raise write_problem(self.final, error) from error
        for ending in (".aux.xml", ".ovr", ".msk"):
            with suppress(OSError):
                self.final.with_name(self.final.name + ending).unlink(missing_ok=True)
        return self.final

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except EcotoneError:
            raise
        except (RasterioError, OSError) as error:
            raise _write_fault(self.final, error) from error


def _write_fault(path: Path, error: Exception) -> EcotoneError:
    said = f"{error} {error.__cause__ or ''}"
    if "No space left" in said or shutil.disk_usage(path.parent).free < 1 << 20:
        return write_problem(path, OSError(errno.ENOSPC, "No space left on device"))
    if isinstance(error, OSError) and error.errno is not None:
        return write_problem(path, error)
    return write_problem(path, OSError(errno.EIO, said.strip()[:200]))


def _file_tags(product: MapProduct, tags: Mapping[str, str]) -> dict[str, str]:
    table = {
        "TIFFTAG_SOFTWARE": f"ecotone {__version__}",
        "ECOTONE_VERSION": __version__,
        "ECOTONE_PRODUCT": product.suffix or "main",
    }
    if product.legend:
        table["ECOTONE_LEGEND"] = json.dumps({str(k): v for k, v in sorted(product.legend.items())}, ensure_ascii=False)
    return table | {str(k): str(v) for k, v in tags.items()}


def class_colours(legend: Mapping[int, str], nodata: int) -> dict[int, tuple[int, int, int, int]]:
    """A colour per class, spread round the hues by the golden ratio; nodata is transparent."""
    table = {}
    for i, value in enumerate(sorted(legend)):
        red, green, blue = colorsys.hls_to_rgb((0.33 + i * 0.618034) % 1.0, 0.42 + 0.16 * (i % 2), 0.55)
        table[int(value)] = (round(255 * red), round(255 * green), round(255 * blue), 255)
    return table | {nodata: (0, 0, 0, 0)}


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
