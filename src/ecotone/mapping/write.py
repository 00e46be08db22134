"""Map files: cloud-optimised GeoTIFFs that appear whole, all products together, or not at all.

Everything is prepared in a hidden folder beside the output, which outlives interruptions: raw layers filled window by
window, then the packed files, flushed to disk. The final names are taken at the very end, after a note of all of them;
a process killed between two of them has its work finished by the next.
"""

from __future__ import annotations

import colorsys
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from ecotone import __version__
from ecotone.abilities import MapProduct
from ecotone.contract import Grid
from ecotone.data.raster_open import open_raster, quiet_gdal
from ecotone.errors import EcotoneError, InputError, InterruptedRunError, UsageError
from ecotone.files.atomic import fsync_path, make_folder, write_json, write_problem
from ecotone.files.bounded import read_json
from ecotone.files.lock import NAME as LOCK
from ecotone.files.lock import FolderLock
from ecotone.mapping.cog import BLOCK, write_cog
from ecotone.mapping.journal import PUBLISH
from ecotone.mapping.layers import RawLayers

DTYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32", "float64")
_MAX_NOTE = 1 << 20


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


def check_space(folder: Path, needed: int) -> None:
    """Refuses a map that the disk cannot hold while it is made.

    Raises:
        InterruptedRunError: ST102 when the folder's disk has less free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        what = f"the disk has {free / 1e9:.1f} GB free, the map needs up to {needed / 1e9:.1f} GB while it is made"
        raise InterruptedRunError("ST102", folder, what, "free some space or choose another --out")


def work_path(out: Path) -> Path:
    """The hidden folder in which the map of `out` is made."""
    return out.with_name(f".{out.name}.work")


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """The work folder, held for this process; what is in it stays, an empty one is removed.

    Raises:
        InputError: IO104 when the folder of `out` cannot be written.
        InterruptedRunError: ST103 while another process makes this map.
    """
    if out.is_dir():
        raise InputError("IO104", out, "is a folder, a file name is needed", f"write {out / 'map.tif'}")
    make_folder(out.parent)
    if not os.access(out.parent, os.W_OK):
        raise write_problem(out, PermissionError(errno.EACCES, "not writable"))
    folder = work_path(out)
    try:
        with FolderLock(folder):
            yield folder
    finally:
        with suppress(OSError):
            folder.rmdir()


def clear(folder: Path) -> None:
    """Removes everything in a work folder but its lock."""
    for path in folder.iterdir():
        if path.name != LOCK:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


class ProductFile:
    """One product on its way from raw layers to its final name.

    Args:
        folder: The work folder.
        out: The main output path.
        raw: The layers of all products.
        number: Which product.
        grid: Its grid.
        tags: Tags of the file.
    """

    def __init__(
        self, folder: Path, out: Path, raw: RawLayers, number: int, grid: Grid, tags: Mapping[str, str]
    ) -> None:
        self.raw, self.number, self.grid, self.tags = raw, number, grid, tags
        self.product = raw.products[number]
        self.final = product_path(out, self.product)
        self.template = folder / f"{number}.template.tif"
        self.packed = folder / f"{number}.packed.tif"

    def pack(self, tell: Callable[[int], None] = lambda n: None) -> None:
        """Makes the cloud-optimised file, flushed to disk but not yet under its final name.

        Raises:
            InterruptedRunError: ST102, ST104 when the disk is full or refuses; the raw layers are kept.
        """
        kind = np.dtype(self.product.dtype).kind
        reduce = "mean" if kind == "f" else ("mode" if self.product.legend else "nearest")
        try:
            self._write_template()
            write_cog(
                self.template,
                self.raw.level(self.number),
                self.packed,
                bands=len(self.product.bands),
                dtype=self.product.dtype,
                nodata=self.product.nodata,
                reduce=reduce,
                tell=tell,
            )
            self.template.unlink()
            fsync_path(self.packed)
        except (RasterioError, OSError) as error:
            for path in (self.packed, self.template):
                with suppress(OSError):
                    path.unlink(missing_ok=True)  # gives back the space
            raise _write_fault(self.final, error) from error
        try:
            open_raster(self.packed).close()
        except InputError as error:
            what, fix = "the written file is incomplete", "check the disk and run again"
            raise InterruptedRunError("ST104", self.final, what, fix) from error

    def _write_template(self) -> None:
        """An empty file of the same shape, for its tags."""
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
            "blockxsize": BLOCK,
            "blockysize": BLOCK,
            "compress": "DEFLATE",
            "predictor": 3 if np.dtype(product.dtype).kind == "f" else 2,
            "interleave": "band",
            "photometric": "MINISBLACK",
            "sparse_ok": True,
            "endianness": "LITTLE",
            "BIGTIFF": "IF_SAFER",
        }
        with quiet_gdal(), rasterio.open(self.template, "w", **profile) as dataset:
            dataset.update_tags(**_file_tags(product, self.tags))
            dataset.descriptions = product.bands
            dataset.units = tuple(product.unit for _ in product.bands)
            if product.legend and product.dtype in ("uint8", "uint16") and len(product.bands) == 1:
                dataset.write_colormap(1, class_colours(product.legend, int(product.nodata)))


def publish(folder: Path, files: Sequence[ProductFile]) -> list[Path]:
    """Gives all packed files their final names, after a note from which another process could finish.

    Raises:
        EcotoneError: IO104, ST102, ST104 when a name cannot be taken.
    """
    write_json(folder / PUBLISH, {"files": [[one.packed.name, one.final.name] for one in files]})
    return finish_publishing(folder) or []


def finish_publishing(folder: Path) -> list[Path] | None:
    """Takes the final names noted in a work folder that were not taken yet; None when there is no note.

    Sidecar files that described an older map are removed.
    """
    note = folder / PUBLISH
    if not note.is_file():
        return None
    try:
        pairs = [(Path(str(a)).name, Path(str(b)).name) for a, b in read_json(note, _MAX_NOTE)["files"]]
    except (EcotoneError, KeyError, TypeError, ValueError):
        note.unlink(missing_ok=True)
        return None
    for packed, name in pairs:
        final = folder.parent / name
        try:
            if (folder / packed).is_file():
                (folder / packed).replace(final)
        except OSError as error:
            raise write_problem(final, error) from error
        for ending in (".aux.xml", ".ovr", ".msk"):
            with suppress(OSError):
                final.with_name(final.name + ending).unlink(missing_ok=True)
    fsync_path(folder.parent)
    return [folder.parent / name for _, name in pairs]


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
