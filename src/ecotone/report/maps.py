"""Maps that a run made, read small enough for a page."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ecotone.contract import Overlay
from ecotone.errors import InputError

MAX_SIDE = 640
_MAX_DECODED = 400_000_000


def read_overlay(path: Path, title: str = "", *, max_side: int = MAX_SIDE, max_bands: int = 6) -> Overlay:
    """A GeoTIFF as an `Overlay`, decimated by its overviews.

    Args:
        path: A GeoTIFF; other formats are not opened.
        title: Heading; by default the file name.
        max_side: Longest side read, pixels.
        max_bands: Bands shown.

    Raises:
        InputError: IO101 when missing, IO102 when damaged, IO103 when not a GeoTIFF.
    """
    import rasterio
    from rasterio.enums import Resampling
    from rasterio.errors import RasterioError

    if not path.is_file():
        raise InputError("IO101", path, "not found", "make the map again with `ecotone map`")
    try:
        with rasterio.open(path, driver="GTiff") as source:
            step = max(1.0, max(source.height, source.width) / max_side)
            shape = max(1, math.floor(source.height / step)), max(1, math.floor(source.width / step))
            bands = list(range(1, min(source.count, max_bands) + 1))
            if not source.overviews(1) and source.height * source.width * len(bands) > _MAX_DECODED:
                raise InputError(
                    "IO103", path, "too large to read without overviews", "make it a cloud-optimised GeoTIFF"
                )
            whole_numbers = np.issubdtype(np.dtype(source.dtypes[0]), np.integer)
            method = Resampling.nearest if whole_numbers else Resampling.average
            stored = source.read(bands, out_shape=(len(bands), *shape), masked=True, resampling=method)
            west, south, east, north = source.bounds
            names = tuple(source.descriptions[b - 1] or f"band {b}" for b in bands)
            unit = next((u for u in source.units if u), "1")
            more = source.count - len(bands)
            legend = _legend(source.tags(1)) if whole_numbers else {}
            crs = source.crs.to_string() if source.crs else "no CRS"
    except (RasterioError, OSError) as error:
        raise InputError("IO102", path, "cannot be read as GeoTIFF", "make the map again") from error
    note = f"{path.name}, {source.width} x {source.height} pixels, {crs[:60]}."
    return Overlay(
        title=title or path.stem,
        weights=np.ma.filled(stored.astype(np.float64), np.nan),
        names=names,
        unit=unit,
        extent=(west, east, south, north),
        legend=legend,
        exact=True,
        note=f"{note} {more} further bands are in the file." if more else note,
    )


def recorded_maps(run: Path, record: dict[str, Any]) -> tuple[list[Overlay], list[str]]:
    """The maps named in run.json that can be read, and a line for each that cannot."""
    overlays: list[Overlay] = []
    problems: list[str] = []
    for entry in (record.get("maps") or [])[:20]:
        place = entry.get("path") if isinstance(entry, dict) else entry
        title = entry.get("title", "") if isinstance(entry, dict) else ""
        if not isinstance(place, str) or not isinstance(title, str) or "\0" in place:
            problems.append("a map entry of run.json is damaged")
            continue
        path = next((p for p in (run / place, Path(place)) if p.is_file()), run / place)
        try:
            overlays.append(read_overlay(path, title))
        except InputError as error:
            problems.append(f"{Path(place).name}: {error.what}")
    return overlays, problems


def _legend(tags: dict[str, str]) -> dict[int, str]:
    found = {}
    for key, label in tags.items():
        value = key.lower().removeprefix("class_")
        if value != key.lower() and value.lstrip("-").isdigit():
            found[int(value)] = label
    return dict(sorted(found.items()))
