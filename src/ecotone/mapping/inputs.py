"""What a map is made from, so that an interrupted one goes on only with the same, and changes on the way are noticed.

Files up to 64 MiB enter with their content. Of larger ones size, modification time and 64 blocks of 64 KiB spread evenly
are taken: reading terabytes to hash them would take longer than the map. Files a VRT points to count as well, those of
nested VRTs included. Statistics and overviews beside a raster do not.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ecotone import __version__
from ecotone.abilities import MapProduct
from ecotone.data.raster_grid import parse_crs, same_crs
from ecotone.data.raster_source import handle
from ecotone.data.rasters import RasterStack
from ecotone.errors import EcotoneWarning, InputError
from ecotone.files.fingerprint import cache_key, hash_file

WHOLE_BYTES = 64 << 20
"""Largest file whose whole content is hashed."""

_SAMPLES = 64
_SAMPLE_BYTES = 64 << 10
_BESIDE = (".xml", ".ovr", ".msk", ".rrd", ".aux")
_MAX_NESTED = 8

Stamp = tuple[int, int]


def read_files(stacks: Sequence[RasterStack]) -> list[Path]:
    """Every file whose content a map depends on, sorted."""
    found: set[Path] = set()
    for stack in stacks:
        found.update(stack.files)
        for path, stamp, allow_vrt in {(s.path, s.stamp, s.allow_vrt) for s in stack.sources}:
            if allow_vrt:
                _add_pointed(handle(path, stamp, allow_vrt=True).files, found, _MAX_NESTED)
    return sorted(found)


def _add_pointed(names: Sequence[str], found: set[Path], depth: int) -> None:
    from ecotone.data.raster_open import open_raster

    for name in names:
        path = Path(name)
        if path in found and path.suffix.lower() != ".vrt":
            continue
        if path.suffix.lower() in _BESIDE or not path.is_file():
            continue
        nested = path not in found and path.suffix.lower() == ".vrt"
        found.add(path)
        if path.suffix.lower() == ".grd":
            found.update(p for p in (path.with_suffix(".gri"), path.with_suffix(".GRI")) if p.is_file())
        if nested and depth > 0:
            with open_raster(path, allow_vrt=True) as dataset:
                _add_pointed(dataset.files, found, depth - 1)


def stamps(files: Sequence[Path]) -> tuple[tuple[str, Stamp], ...]:
    """Path, (size, modification time) of each file.

    Raises:
        InputError: IO101 for one that is not there.
    """
    found = []
    for path in files:
        try:
            info = Path(path).stat()
        except OSError:
            raise InputError("IO101", path, "not found", "check the path") from None
        found.append((str(path), (info.st_size, info.st_mtime_ns)))
    return tuple(found)


def file_mark(path: str | Path) -> str:
    """What a file's content is known by, hexadecimal: all of a small one, size, time and samples of a large one."""
    info = Path(path).stat()
    if info.st_size <= WHOLE_BYTES:
        return hash_file(path)[:32]
    digest = hashlib.sha256(f"{info.st_size} {info.st_mtime_ns}".encode())
    with Path(path).open("rb") as file:
        for k in range(_SAMPLES):
            file.seek((info.st_size - _SAMPLE_BYTES) * k // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:32]


def job_parts(
    model: str,
    stacks: Sequence[RasterStack],
    files: Sequence[Path],
    ask: Mapping[str, Any],
    products: Sequence[MapProduct],
    tags: Mapping[str, str],
) -> dict[str, Any]:
    """Everything the bytes of a map depend on, in named parts."""
    bands = [
        [[s.name, s.band, s.categorical, str(s.path), s.nodata, s.scale, s.offset] for s in stack.sources]
        for stack in stacks
    ]
    grid = stacks[0].grid
    return {
        "model": model,
        "rasters": {str(path): file_mark(path) for path in files},
        "covariates": cache_key(bands=bands),
        "grid": cache_key(grid=[grid.crs, list(grid.transform), grid.height, grid.width]),
        "options": {key: cache_key(value=value) for key, value in ask.items()},
        "products": cache_key(products=[asdict(p) for p in products]),
        "tags": dict(tags),
        "ecotone version": __version__,
    }


def tell_aligned(stack: RasterStack) -> None:
    """Says once which rasters have another coordinate reference system than the map, and what is done about it.

    Warns:
        EcotoneWarning: RA309.
    """
    other: dict[Path, str] = {}
    labels = False
    for source in stack.sources:
        if not same_crs(source.grid.crs, stack.grid.crs):
            other[source.path] = _crs_name(source.grid.crs)
            labels = labels or source.categorical
    if not other:
        return
    first, name = next(iter(other.items()))
    more = f" (and {len(other) - 1} more)" if len(other) > 1 else ""
    how = "nearest cell for labels, bilinear for numbers" if labels else "bilinear"
    what = f"is in {name}, the map in {_crs_name(stack.grid.crs)}{more}; aligned to the map's cells on the fly ({how})"
    fix = "nothing is needed; warping it once with `rio warp --like` makes further maps faster"
    warnings.warn(EcotoneWarning("RA309", first, what, fix), stacklevel=3)


def _crs_name(wkt: str) -> str:
    crs = parse_crs(wkt)
    authority = crs.to_authority()
    return ":".join(authority) if authority else crs.name
