"""Maps that a run made, read small enough for a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from ecotone.contract import Overlay
from ecotone.errors import InputError

MAX_SIDE = 640
MAX_MAPS = 20

T = TypeVar("T")


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


def map_files(run: Path, record: dict[str, Any]) -> Iterator[tuple[Path | None, str]]:
    """File and title of the maps named in run.json; None for an entry that names no file."""
    for entry in (record.get("maps") or [])[:MAX_MAPS]:
        place = entry.get("path") if isinstance(entry, dict) else entry
        title = entry.get("title", "") if isinstance(entry, dict) else ""
        if not isinstance(place, str) or not isinstance(title, str) or "\0" in place:
            yield None, ""
        else:
            yield next((p for p in (run / place, Path(place)) if p.is_file()), run / place), title


def read_maps(run: Path, record: dict[str, Any], read: Callable[[Path, str], T]) -> tuple[list[T], list[str]]:
    """What `read` makes of the maps named in run.json, and a line for each that it refuses."""
    found: list[T] = []
    problems: list[str] = []
    for path, title in map_files(run, record):
        if path is None:
            problems.append("a map entry of run.json is damaged")
            continue
        try:
            found.append(read(path, title))
        except InputError as error:
            problems.append(f"{path.name}: {error.what}")
    return found, problems


def recorded_maps(run: Path, record: dict[str, Any]) -> tuple[list[Overlay], list[str]]:
    """The maps named in run.json that can be read, and a line for each that cannot."""
    return read_maps(run, record, read_overlay)
