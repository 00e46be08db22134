"""One image from a file: JPEG, PNG, WebP, and TIFF of any number of bands, as (C, H, W) numbers with nothing guessed.

The size is checked before anything is decoded. Pictures turned by a camera (EXIF) are turned upright. What cannot be read whole
is one clear error; nothing is filled in.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ecotone.errors import InputError

Array = np.ndarray

MAX_PIXELS = 200_000_000
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_TIFF = (".tif", ".tiff")
_MODES = {"1": "L", "P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "LA": "LA"}


def read_image(path: str | Path) -> Array:
    """An image as it is in its file.

    Args:
        path: The file.

    Returns:
        (C, H, W) uint8, uint16, int16, int32 or float32: 1 channel for grey, 3 for colour, as many as there are bands for
        TIFF. A palette is resolved to colour. An alpha channel that hides nothing is dropped.

    Raises:
        InputError: IO101 not there, IM701 truncated or damaged, IM702 no image that is read here, IM703 too large, IM704 partly
            transparent or holding values that are not finite.
    """
    with decoders_quiet():
        return decode(Path(path))


def decode(path: Path) -> Array:
    """As `read_image`, with the decoders' warnings left as they are; for threads within `decoders_quiet`."""
    if not path.is_file():
        raise InputError("IO101", path, "not found or no file", "check the path")
    try:
        if path.stat().st_size == 0:
            raise InputError("IM701", path, "is empty", "export it again")
        array = _read_tiff(path) if path.suffix.lower() in _TIFF else _read_picture(path)
    except OSError as error:
        raise InputError("IM701", path, f"cannot be read ({_short(error)})", "export it again") from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError("IM704", path, "holds values that are not finite", "fill its gaps, or leave it out")
    return array


def as_channels(image: Array, channels: int, where: object) -> Array:
    """The image with as many channels as a model reads: grey is repeated to colour, nothing else is changed.

    Raises:
        InputError: IM704.
    """
    found = image.shape[0]
    if found == channels:
        return image
    if found == 1 and channels == 3:
        return image.repeat(3, axis=0)
    what = f"has {found} channel{'s' if found != 1 else ''} where {channels} are read"
    raise InputError("IM704", where, what, "use images of one kind, or say which channels with --channels")


@contextmanager
def decoders_quiet() -> Iterator[None]:
    """Silences what decoders warn about: sizes, which are checked here, and harmless metadata.

    Filters of warnings belong to the whole process: enter this once around a pool of threads, never within one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _read_picture(path: Path) -> Array:
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            _check_size(path, picture.width, picture.height)
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if upright.mode in _MODES:
                mode = "RGBA" if "transparency" in upright.info else _MODES[upright.mode]
                upright = upright.convert(mode)
            array = np.asarray(upright)
    except UnidentifiedImageError:
        raise InputError("IM702", path, "is no image of a known kind", f"use one of {', '.join(ENDINGS)}") from None
    except Image.DecompressionBombError:
        raise _too_large(path) from None
    except (SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise InputError("IM701", path, f"is damaged ({_short(error)})", "export it again") from None
    if array.ndim == 2:
        array = array[None]
    elif array.ndim == 3:
        array = array.transpose(2, 0, 1)
    else:
        raise InputError("IM702", path, f"has {array.ndim} dimensions", "use still pictures")
    return _checked_type(path, _without_alpha(path, array))


def _read_tiff(path: Path) -> Array:
    import rasterio
    from rasterio.enums import ColorInterp
    from rasterio.errors import RasterioError

    try:
        quiet = rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR", CPL_LOG="/dev/null")
        with quiet, rasterio.open(path, driver="GTiff") as raster:
            _check_size(path, raster.width, raster.height)
            if raster.width * raster.height * raster.count > 4 * MAX_PIXELS:
                raise _too_large(path)
            array = raster.read()
            alpha = raster.count in (2, 4) and raster.colorinterp[-1] == ColorInterp.alpha
    except RasterioError as error:
        code = "IM702" if "not recognized" in str(error) else "IM701"
        raise InputError(code, path, "is no TIFF that can be read whole", "export it again") from None
    return _checked_type(path, _without_alpha(path, array) if alpha else array)


def _without_alpha(path: Path, array: Array) -> Array:
    if array.shape[0] not in (2, 4):
        return array
    if (array[-1] != np.iinfo(array.dtype).max).any():
        raise InputError(
            "IM704", path, "is partly transparent", "flatten it onto a background and save it without alpha"
        )
    return array[:-1]


def _checked_type(path: Path, array: Array) -> Array:
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype.name in ("uint8", "uint16", "int16", "int32", "float32"):
        return array
    if array.dtype.kind in "iuf":
        return array.astype(np.float32)
    raise InputError("IM702", path, f"holds values of type {array.dtype}", "use whole numbers or floating point")


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(path)


def _too_large(path: Path) -> InputError:
    return InputError("IM703", path, f"has more than {MAX_PIXELS // 10**6} million pixels", "cut it into tiles")


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80].replace(" - ", ", ")
