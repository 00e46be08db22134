"""Covariates listed in a STAC Item: a small JSON file that names raster files and their bands.

Only what lies beside the item is read: hrefs are relative, stay inside the item's folder, and are never fetched. A raster
asset gives covariates named by its bands (`bands` of STAC 1.1, `eo:bands` before), else by the key of the asset. Assets
that are pictures for people (thumbnail, overview) or metadata are left out.

Source: STAC specification 1.0 and 1.1, Item.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecotone.data.raster_open import ENDINGS
from ecotone.data.raster_source import Source, describe
from ecotone.errors import InputError
from ecotone.files.bounded import read_json

MAX_ITEM_BYTES = 4 << 20
MAX_ASSETS = 1000
_NOT_DATA = {"thumbnail", "overview", "metadata", "visual"}
_TYPES = ("image/tiff", "image/jp2", "application/x-hdf", "application/netcdf", "application/x-netcdf")


def is_item(path: Path) -> bool:
    """Whether a path is treated as a STAC Item."""
    return path.suffix.lower() in (".json", ".geojson")


def describe_item(path: Path, *, assume_crs: str | int | None = None) -> list[Source]:
    """The covariates of a STAC Item, in the order of its assets and their bands.

    Args:
        path: The item, a JSON file of at most 4 MiB.
        assume_crs: Coordinate reference system of rasters that declare none.

    Raises:
        InputError: IO102 not JSON or too large; IO103 no STAC Item, no raster asset, or an asset that lies elsewhere (on
            the network, outside the folder); IO101 an asset that is not there; and those of `describe`.
    """
    item = read_json(path, MAX_ITEM_BYTES, code="IO102")
    assets = item.get("assets")
    if item.get("type") != "Feature" or not isinstance(assets, dict) or "stac_version" not in item:
        raise _refused(path, "is no STAC Item", "give a raster file, or an item with `assets`")
    if len(assets) > MAX_ASSETS:
        raise _refused(path, f"lists {len(assets)} assets, more than {MAX_ASSETS}", "split it")
    found: list[Source] = []
    for key, asset in assets.items():
        if isinstance(asset, dict) and _is_raster(asset):
            found += _sources(path, key, asset, assume_crs)
    if not found:
        raise _refused(path, "lists no raster asset", "give an item whose assets are GeoTIFF or other rasters")
    return found


def _is_raster(asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles")
    if isinstance(roles, list) and _NOT_DATA & {str(r).lower() for r in roles} and "data" not in roles:
        return False
    kind, href = str(asset.get("type", "")).lower(), str(asset.get("href", ""))
    return kind.startswith(_TYPES) or (not kind and Path(href.split("?", maxsplit=1)[0]).suffix.lower() in ENDINGS)


def _sources(item: Path, key: str, asset: Mapping[str, Any], assume_crs: str | int | None) -> list[Source]:
    sources = describe(_local(item, key, asset.get("href")), assume_crs=assume_crs)
    bands = asset.get("bands", asset.get("eo:bands"))
    names = [str(b.get("name") or "").strip() for b in bands if isinstance(b, dict)] if isinstance(bands, list) else []
    if len(names) == len(sources) and all(names) and len(set(names)) == len(names):
        return [replace(s, name=name) for s, name in zip(sources, names, strict=True)]
    if len(sources) == 1:
        return [replace(sources[0], name=key)]
    return [replace(s, name=f"{key}_{s.band}") for s in sources]


def _local(item: Path, key: str, href: Any) -> Path:
    """The file an href means, inside the folder of the item."""
    where = f"{item}: asset {key[:60]!r}"
    if not isinstance(href, str) or not href or len(href) > 1024 or "\0" in href:
        raise _refused(where, "has no usable href", "give a relative path")
    if re.match(r"^[A-Za-z][A-Za-z0-9+.-]*:", href) or href.startswith("//"):
        raise _refused(
            where, f"lies on the network or elsewhere ({href[:80]})", "download it and make its href relative"
        )
    tricks = href.startswith(("/", "\\", "~")) or "\\" in href or "?" in href or "#" in href
    if tricks or ".." in href.lower().replace("%2e", ".").replace("%2f", "/").split("/"):
        fix = "put the file beside the item and make its href relative"
        raise _refused(where, f"points outside the folder of the item ({href[:80]})", fix)
    path = item.parent / href
    if not path.resolve().is_relative_to(item.parent.resolve()):
        raise _refused(where, "is a link that leads out of the folder of the item", "copy the real file there")
    if not path.is_file():
        raise InputError("IO101", path, f"not found (asset {key[:60]!r} of {item.name})", "download it there")
    return path


def _refused(where: object, what: str, fix: str) -> InputError:
    return InputError("IO103", where, what, fix)
