"""Seasons in one .npz file: written whole or not at all, read without executing anything."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ecotone.data.seasons import Seasons
from ecotone.errors import InputError, IntegrityError
from ecotone.files.atomic import atomic_path

Array = np.ndarray
FORMAT = "ecotone seasons 1"
_PARTS = ("daily", "known", "year", "first", "site", "status", "event")


def save_seasons(path: str | Path, seasons: Seasons) -> None:
    """Writes seasons; of `extra` the arrays are kept.

    Args:
        path: Ends in .npz.
        seasons: What is written.
    """
    parts: dict[str, Any] = {name: getattr(seasons, name) for name in _PARTS}
    parts["first"] = seasons.first.astype("datetime64[D]").astype(np.int64)
    parts["quality"] = _text(seasons.quality)
    if seasons.hours is not None:
        parts["hours"] = seasons.hours
    for name in seasons.sites.columns:
        parts[f"sites.{name}"] = _plain(seasons.sites[name].to_numpy())
    for name, value in seasons.extra.items():
        if isinstance(value, np.ndarray):
            parts[f"extra.{name}"] = _plain(value)
    parts["format"], parts["source"] = np.array(FORMAT), np.array(seasons.source)
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, **parts)


def load_seasons(path: str | Path) -> Seasons:
    """Reads seasons.

    Raises:
        InputError: IO101 when the file is not there.
        IntegrityError: IN101 when it is damaged or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("IO101", path, "not found", "check the path")
    try:
        with np.load(path, allow_pickle=False) as stored:
            parts = {name: stored[name] for name in stored.files}
        if str(parts["format"]) != FORMAT:
            raise IntegrityError("IN101", path, f"is of the format {parts['format']}", f"this reads {FORMAT}")
        sites = {name[6:]: _objects(value) for name, value in parts.items() if name.startswith("sites.")}
        return Seasons(
            **{name: parts[name] for name in _PARTS if name != "first"},
            first=parts["first"].astype("datetime64[D]"),
            sites=pd.DataFrame(sites),
            quality=_objects(parts["quality"]),
            hours=parts.get("hours"),
            source=str(parts["source"]),
            extra={name[6:]: _objects(value) for name, value in parts.items() if name.startswith("extra.")},
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, InputError) as error:
        raise IntegrityError("IN101", path, f"holds no seasons ({error})", "make it again") from None


def _text(words: Array) -> Array:
    return np.array([str(word) for word in words], dtype=np.str_)


def _plain(values: Array) -> Array:
    return _text(values) if values.dtype.kind in "OUT" else values


def _objects(values: Array) -> Array:
    return values.astype(object) if values.dtype.kind == "U" else values
