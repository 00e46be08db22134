"""One door for raster files: known formats only, limits checked from the header, every fault one line.

What GDAL itself would say goes to the logger ``rasterio``, never to stderr. VRT files can point at any file and are
opened only on request; network paths, archives and vector formats never are.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.windows import Window as PixelWindow

from ecotone.errors import InputError

_DRIVERS = """
    GTiff COG RRASTER AAIGrid GRASSASCIIGrid JP2OpenJPEG PNG JPEG WEBP GIF BMP netCDF HDF5Image GRIB EHdr HFA ENVI SAGA
    ERS ILWIS RST PCIDSK PCRaster BIL AIG DTED SRTMHGT USGSDEM GSAG GSBG GS7BG GXF BT XYZ ZMap NITF MRF LCP BAG PNM TGA
"""
_ENDINGS = """
    .tif .tiff .gtiff .grd .asc .jp2 .j2k .png .jpg .jpeg .webp .gif .bmp .nc .grb .grib .grb2 .bil .bip .bsq .img .sdat
    .ers .rst .map .flt .hgt .dt0 .dt1 .dt2 .dem .gxf .bt .mrf .lcp .bag
"""
DRIVERS = tuple(_DRIVERS.split())
ENDINGS = frozenset(_ENDINGS.split())
MAX_CELLS = 1 << 40
MAX_BANDS = 20_000
MAX_BLOCK_BYTES = 1 << 31
_CHECKED_BLOCKS = 50_000
_READING: dict[str, Any] = {
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none",
    "GDAL_PAM_ENABLED": "YES",
    "GTIFF_IGNORE_READ_ERRORS": "NO",
}
_REDO = "download or export it again"


_INSIDE = threading.local()


@contextmanager
def quiet_gdal(**options: Any) -> Iterator[None]:
    """GDAL with safe settings, its messages sent to the logger instead of stderr.

    Within itself it costs nothing, so a loop of many small reads is put inside one.
    """
    if getattr(_INSIDE, "depth", 0) and not options:
        yield
        return
    with rasterio.Env(**{**_READING, **options}):
        _INSIDE.depth = getattr(_INSIDE, "depth", 0) + 1
        try:
            yield
        finally:
            _INSIDE.depth -= 1


def locate(path: str | Path) -> Path:
    """The local file meant by `path`; the data half ``.gri`` of an R raster stands for its header ``.grd``.

    Raises:
        InputError: IO101 nothing there, IO103 a network path or a folder.
    """
    text = str(path)
    if "://" in text or text.startswith("/vsi") or "\0" in text:
        raise InputError("IO103", text[:200], "not a local file", "download it and give the local path")
    path = Path(path)
    if path.suffix.lower() == ".gri":
        header = next((p for p in (path.with_suffix(".grd"), path.with_suffix(".GRD")) if p.is_file()), None)
        if header is None:
            raise InputError("IO101", path, "its header file .grd is missing", "put the .grd beside the .gri")
        return header
    if path.is_dir():
        raise InputError("IO103", path, "is a folder, a raster file is needed", "name a file in it")
    if not path.exists():
        raise InputError("IO101", path, "not found", "check the path")
    return path


def open_raster(
    path: str | Path, *, allow_vrt: bool = False, sidecars: bool = True, whole: bool = True
) -> DatasetReader:
    """Opens a raster for reading after checking its header.

    Args:
        path: A local file; ``.gri`` opens the ``.grd`` beside it.
        allow_vrt: Also accept VRT files, which may point at any other file.
        sidecars: Let GDAL look at files beside it (``.prj``, ``.aux.xml``, ``.ovr``); False for files of strangers.
        whole: Look for truncation; False for a file that was looked at before.

    Returns:
        An open dataset; the caller closes it.

    Raises:
        InputError: IO101 missing, IO102 empty, truncated or damaged, IO103 of a kind not read or beyond the limits.
    """
    file = locate(path)
    try:
        size = file.stat().st_size
        with file.open("rb") as handle:
            head = handle.read(512)
    except OSError as error:
        raise InputError("IO102", file, f"cannot be read ({error.strerror})", "check its permissions") from None
    if size == 0:
        raise InputError("IO102", file, "is empty (0 bytes)", _REDO)
    if head.lstrip()[:11].lower() == b"<vrtdataset" and not allow_vrt:
        raise InputError(
            "IO103",
            file,
            "is a VRT, which can point at any other file",
            "convert it: `rio convert IN.vrt OUT.tif`, or allow VRT explicitly",
        )
    options = {} if sidecars else {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    with quiet_gdal(**options), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            dataset = DatasetReader(str(file), driver=[*_available(), *(["VRT"] if allow_vrt else [])], sharing=False)
        except RasterioError as error:
            raise _not_opened(file, size, head, str(error)) from None
        try:
            _check_header(dataset, file)
            if whole:
                _check_whole(dataset, file, size)
        except BaseException:
            dataset.close()
            raise
    return dataset


def read_bands(
    dataset: DatasetReader, band: int | list[int], window: tuple[int, int, int, int], *, mask: bool = False
) -> np.ndarray:
    """Reads (height, width) of one band in its own dtype, or its GDAL mask; (bands, height, width) of several.

    Args:
        dataset: An open raster.
        band: From 1, or several of one dtype.
        window: (row, column, height, width) of stored pixels, inside the raster.
        mask: Read the mask band (0 is nodata) instead of values.

    Raises:
        InputError: IO102 naming file and block when the data cannot be read.
    """
    row, col, height, width = window
    where = PixelWindow(col, row, width, height)  # pyright: ignore[reportCallIssue]
    try:
        with quiet_gdal():
            return (dataset.read_masks if mask else dataset.read)(band, window=where)
    except RasterioIOError as error:
        cause = f"{error} {error.__cause__ or ''}"
        found = re.search(r"X offset (\d+), Y offset (\d+)", cause)
        place = f"block ({found[2]},{found[1]})" if found else f"rows {row}-{row + height - 1}"
        if isinstance(band, list):
            named = re.search(r"band (\d+)", cause)
            band = int(named[1]) if named else band[0]
        raise InputError("IO102", dataset.name, f"{place} of band {band} is truncated or damaged", _REDO) from None


def _available() -> list[str]:
    with rasterio.Env() as env:
        built = env.drivers()
    return [name for name in DRIVERS if name in built]


def _not_opened(file: Path, size: int, head: bytes, said: str) -> InputError:
    signatures = (
        b"II*\0",
        b"MM\0*",
        b"II+\0",
        b"MM\0+",
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"\0\0\0\x0cjP",
        b"CDF",
        b"\x89HDF",
    )
    started = file.suffix.lower() in ENDINGS or any(head.startswith(s[: len(head)]) for s in signatures)
    text = head.lstrip()[:5].lower() in (b"<html", b"<!doc", b"<?xml")
    if started and not text and (size < 1024 or any(head.startswith(s) for s in signatures)):
        return InputError("IO102", file, f"is truncated or damaged ({size} bytes)", _REDO)
    if file.suffix.lower() in ENDINGS and not text and "not recognized" not in said:
        return InputError("IO102", file, "is damaged", _REDO)
    what = "is a web page or XML, not a raster" if text else "is not a raster format read here"
    return InputError("IO103", file, what, "give a GeoTIFF, .grd, .asc, .jp2, .png, .nc, .bil or .img file")


def _check_header(dataset: DatasetReader, file: Path) -> None:
    if dataset.count == 0:
        several = ", ".join(name.rsplit(":", 1)[-1] for name in dataset.subdatasets[:8])
        raise InputError("IO103", file, f"holds several variables ({several})", "export the wanted ones, one file each")
    if dataset.count > MAX_BANDS or dataset.width * dataset.height > MAX_CELLS:
        size = f"{dataset.width} x {dataset.height} x {dataset.count}"
        raise InputError("IO103", file, f"claims {size} values, beyond the limits", "check that the file is genuine")
    kinds = set(dataset.dtypes)
    if any("complex" in str(kind) for kind in kinds):
        raise InputError("IO103", file, "holds complex numbers", "export amplitude or another real quantity")
    for (rows, cols), kind in zip(dataset.block_shapes, dataset.dtypes):
        if rows * cols * np.dtype(kind).itemsize > MAX_BLOCK_BYTES:
            raise InputError(
                "IO103",
                file,
                f"has blocks of {rows} x {cols}, too large to read",
                "rewrite it: `rio convert IN OUT.tif --co tiled=true`",
            )


def _check_whole(dataset: DatasetReader, file: Path, size: int) -> None:
    """Truncation that a header check can see, before hours of work rather than in their midst."""
    if dataset.driver in ("GTiff", "COG"):
        _check_tiff_blocks(dataset, file, size)
    elif dataset.driver == "RRASTER":
        values = next((p for p in (file.with_suffix(".gri"), file.with_suffix(".GRI")) if p.is_file()), None)
        if values is None:
            raise InputError(
                "IO101",
                file.with_suffix(".gri"),
                "not found; it holds the values of the .grd",
                "put it beside the .grd",
            )
        needed = dataset.width * dataset.height * sum(np.dtype(kind).itemsize for kind in dataset.dtypes)
        if (found := values.stat().st_size) < needed:
            raise InputError("IO102", values, f"is truncated: {found} bytes of {needed}", _REDO)
    elif dataset.driver in ("PNG", "JPEG"):
        end = b"IEND" if dataset.driver == "PNG" else b"\xff\xd9"
        with file.open("rb") as handle:
            handle.seek(max(0, size - (1 << 16)))
            tail = handle.read()
        found_at = tail.rfind(end)
        if found_at < 0 or (dataset.driver == "PNG" and len(tail) - found_at < 8):
            raise InputError("IO102", file, "is truncated: its end is missing", _REDO)


def _check_tiff_blocks(dataset: DatasetReader, file: Path, size: int) -> None:
    rows, cols = dataset.block_shapes[0]
    down, across = -(-dataset.height // rows), -(-dataset.width // cols)
    last = dataset.count if dataset.interleaving is not None and dataset.interleaving.name == "band" else 1
    for band in range(1, last + 1):
        for y, x in _some_blocks(down, across, _CHECKED_BLOCKS // last):
            offset = dataset.get_tag_item(f"BLOCK_OFFSET_{x}_{y}", "TIFF", bidx=band)
            length = dataset.get_tag_item(f"BLOCK_SIZE_{x}_{y}", "TIFF", bidx=band)
            if offset is None or length is None:
                continue
            if int(offset) + int(length) > size:
                got = max(0, size - int(offset))
                what = f"block ({y},{x}) of band {band} is truncated: expected {int(length)} bytes, got {got}"
                raise InputError("IO102", file, what, _REDO)


def _some_blocks(down: int, across: int, limit: int) -> Iterable[tuple[int, int]]:
    """All blocks of a small raster, the outer ones of a large one."""
    if down * across <= limit:
        return ((y, x) for y in range(down) for x in range(across))
    edges = {(y, x) for y in (0, down // 2, down - 1) for x in (0, across // 2, across - 1)}
    return sorted(edges)
