"""Large grids from small ones: rasters repeated side by side, as files or as a VRT that only points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import rasterio

from ecotone.data.raster_grid import WGS84
from ecotone.data.raster_open import open_raster, quiet_gdal
from ecotone.files.atomic import make_folder, write_text

CELL = 0.004
WEST, NORTH = -125.0, 45.0
_INNER = 2000
_TYPES = {"uint8": "Byte", "int16": "Int16", "uint16": "UInt16", "int32": "Int32", "uint32": "UInt32",
          "float32": "Float32", "float64": "Float64"}  # fmt: skip


def write_tiled(paths: Sequence[Path], folder: Path, size: int) -> list[Path]:
    """Repeats each raster over size x size cells, as GeoTIFFs in blocks of 256, uncompressed.

    Returns:
        One file per raster, named as it is.
    """
    made = []
    for path in paths:
        with open_raster(path) as source:
            values, nodata = source.read(1), source.nodata
        times = (-(-size // values.shape[0]), -(-size // values.shape[1]))
        whole = np.tile(values, times)[:size, :size]
        made.append(folder / f"{path.stem}.tif")
        transform = rasterio.Affine(CELL, 0, WEST, 0, -CELL, NORTH)
        with quiet_gdal(), rasterio.open(
            made[-1], "w", driver="GTiff", height=size, width=size, count=1, dtype=whole.dtype, nodata=nodata, crs=WGS84,
            transform=transform, tiled=True, blockxsize=256, blockysize=256,
        ) as target:  # fmt: skip
            target.write(whole, 1)
    return made


def write_vrt(path: Path, folder: Path, size: int) -> Path:
    """A VRT that repeats a raster over size x size cells; large ones point to a VRT of 2,000 x 2,000.

    Returns:
        The VRT, named as the raster.
    """
    with open_raster(path) as source:
        height, width, dtype, nodata = source.height, source.width, source.dtypes[0], source.nodata
    whole = folder / f"{path.stem}.vrt"
    if size <= _INNER:
        write_text(whole, _vrt(str(path.resolve()), (height, width), size, dtype, nodata))
        return whole
    side = -(-_INNER // max(height, width)) * max(height, width)
    tile = make_folder(folder / "tiles") / f"{path.stem}.vrt"
    write_text(tile, _vrt(str(path.resolve()), (height, width), side, dtype, nodata))
    write_text(whole, _vrt(str(tile.resolve()), (side, side), size, dtype, nodata))
    return whole


def _vrt(source: str, shape: tuple[int, int], size: int, dtype: str, nodata: float | None) -> str:
    parts = [
        f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>{WGS84}</SRS>',
        f"<GeoTransform>{WEST}, {CELL}, 0, {NORTH}, 0, {-CELL}</GeoTransform>",
        f'<VRTRasterBand dataType="{_TYPES[dtype]}" band="1">',
        "" if nodata is None else f"<NoDataValue>{nodata!r}</NoDataValue>",
    ]
    for row in range(0, size, shape[0]):
        for col in range(0, size, shape[1]):
            high, wide = min(shape[0], size - row), min(shape[1], size - col)
            parts.append(
                f'<SimpleSource><SourceFilename relativeToVRT="0">{escape(source)}</SourceFilename>'
                f'<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="{wide}" ySize="{high}"/>'
                f'<DstRect xOff="{col}" yOff="{row}" xSize="{wide}" ySize="{high}"/></SimpleSource>'
            )
    return "\n".join([*parts, "</VRTRasterBand></VRTDataset>", ""])
