"""Maps that a run made, read small enough for a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ecotone.contract import Overlay
from ecotone.errors import InputError

MAX_SIDE = 640


def read_overlay(path: Path, title: str = "", *, max_side: int = MAX_SIDE, max_bands: int = 6) -> Overlay:
    """A map as an `Overlay`, decimated by its overviews.

    Args:
        path: A GeoTIFF.
        title: Heading; by default the file name.
        max_side: Side of the square with as many pixels as are read.
        max_bands: Bands shown.

    Raises:
        InputError: IO101 when missing, IO102 when damaged, IO103 when not a raster, RA301 without a CRS.
    """
    from ecotone.mapping.view import read_map

    view = read_map(path, max_side**2, max_bands=max_bands)
    west, south, east, north = view.grid.bounds
    note = f"{path.name}; {view.more} further bands are in the file." if view.more else f"{path.name}."
    return Overlay(
        title=title or path.stem,
        weights=view.array,
        names=view.names,
        unit=view.unit or "1",
        extent=(west, east, south, north),
        legend=view.legend,
        exact=True,
        note=note,
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
