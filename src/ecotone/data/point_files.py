"""Points of vector files (GeoPackage, GeoJSON, shapefile, FlatGeobuf, GeoParquet) as a plain table."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecotone.errors import InputError

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd

LONGITUDE_LATITUDE = "EPSG:4326"
MAGIC = {".gpkg": b"SQLite format 3\0", ".shp": b"\x00\x00\x27\x0a", ".fgb": b"fgb"}
KINDS = {".gpkg": "GeoPackage", ".shp": "shapefile", ".fgb": "FlatGeobuf", ".geojson": "GeoJSON", ".json": "GeoJSON"}


@dataclass(frozen=True)
class PointTable:
    """A table with its coordinates as two ordinary columns.

    Attributes:
        frame: Attributes and the two coordinate columns, no geometry.
        x: Name of the column of easting or longitude.
        y: Name of the column of northing or latitude.
        crs: What the coordinates are in: an authority code where there is one, otherwise WKT.
        notes: What was done to them.
    """

    frame: pd.DataFrame
    x: str
    y: str
    crs: str
    notes: tuple[str, ...] = ()


def is_vector_file(path: Path, head: bytes) -> bool:
    """Whether a file is read through GDAL; the content must be what the ending says, so GDAL cannot take it for more.

    Raises:
        InputError: IO102 when ending and content disagree.
    """
    ending = path.suffix.lower()
    if ending not in KINDS:
        return False
    json_like = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
    matches = head.startswith(MAGIC[ending]) if ending in MAGIC else json_like
    if not matches:
        raise InputError("IO102", path, f"is not a {KINDS[ending]}, or damaged", "export or download it again")
    return True


def read_points(
    path: Path, *, crs: str | None = None, to_crs: str | None = LONGITUDE_LATITUDE, layer: str | None = None
) -> PointTable:
    """Reads the points of a vector file.

    Args:
        path: A file that `is_vector_file` accepts.
        crs: Reference system to assume where the file states none.
        to_crs: What to reproject to; None keeps the file's own.
        layer: Layer name; may be left out when the file has one.

    Raises:
        InputError: IO102 damaged, IO103 not points, RA301 no reference system.
    """
    import geopandas as gpd
    import pyogrio

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # GDAL speaks through these
            if layer is None:
                layers = [str(name) for name, _ in pyogrio.list_layers(path)]
                if len(layers) > 1:
                    raise InputError(
                        "IO103",
                        path,
                        f"holds several layers ({', '.join(layers[:10])})",
                        "keep one, or name one with layer=",
                    )
            frame = gpd.read_file(path, layer=layer) if layer else gpd.read_file(path)
    except InputError:
        raise
    except Exception as error:  # whatever the parsers of damaged files raise
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise InputError("IO102", path, f"cannot be read ({reason})", "export or download it again") from None
    if not isinstance(frame, gpd.GeoDataFrame):
        raise InputError("IO103", path, "holds no geometry", "pass a point layer, or a CSV with coordinate columns")
    return points_of(frame, path, crs=crs, to_crs=to_crs)


def points_of(
    frame: gpd.GeoDataFrame, where: object, *, crs: str | None = None, to_crs: str | None = LONGITUDE_LATITUDE
) -> PointTable:
    """A GeoDataFrame of points as a plain table; missing geometries become missing coordinates."""
    import geopandas as gpd
    import pandas as pd
    import shapely
    from pyproj import CRS
    from pyproj.exceptions import ProjError

    geometry, notes = frame.geometry, []
    missing = np.asarray(geometry.isna() | geometry.is_empty, dtype=bool)
    there = gpd.GeoSeries(geometry[~missing])
    kinds = set(there.geom_type)
    if "MultiPoint" in kinds and kinds <= {"MultiPoint", "Point"} and bool((there.count_coordinates() == 1).all()):
        geometry = gpd.GeoSeries(shapely.get_geometry(geometry.to_numpy(), 0), index=geometry.index, crs=geometry.crs)
        kinds = {"Point"}
    if kinds - {"Point"}:
        raise InputError(
            "IO103", where, f"holds {', '.join(sorted(kinds))} geometries", "pass a layer of single points"
        )
    own = geometry.crs
    if own is None and crs is None:
        raise InputError(
            "RA301", where, "has no coordinate reference system", "name it with --crs, for example EPSG:4326"
        )
    try:
        own = CRS.from_user_input(own if own is not None else crs)
        target = own if to_crs is None else CRS.from_user_input(to_crs)
        if own != target:
            geometry = geometry.set_crs(own, allow_override=True).to_crs(target)
            notes.append(f"points reprojected from {crs_name(own)} to {crs_name(target)}")
    except ProjError as error:
        raise InputError(
            "RA301", where, f"unusable coordinate reference system ({str(error)[:80]})", "name one, such as EPSG:4326"
        ) from None
    plain = pd.DataFrame(frame.drop(columns=frame.geometry.name))
    x_name, y_name = ("longitude", "latitude") if target.is_geographic else ("x", "y")
    if x_name in plain or y_name in plain:
        x_name, y_name = f"geometry_{x_name}", f"geometry_{y_name}"
    x, y = np.full(len(frame), np.nan), np.full(len(frame), np.nan)
    points = gpd.GeoSeries(geometry[~missing])
    x[~missing], y[~missing] = points.x, points.y
    plain[x_name], plain[y_name] = x, y
    return PointTable(plain, x_name, y_name, crs_name(target), tuple(notes))


def crs_name(crs: Any) -> str:
    """A short name such as EPSG:4326 where there is one, otherwise WKT."""
    from pyproj import CRS

    system = CRS.from_user_input(crs)
    authority = system.to_authority()
    return ":".join(authority) if authority else system.to_wkt()
