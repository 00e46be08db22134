"""A fitted phenology system as a folder: model.safetensors, config.json, preprocessing.json, card.md.

The seasons of `fit` are stored with the model: incomplete seasons are completed from their weather. Values that are not
known are stored as 0 with a mask, as a weights file holds finite numbers only.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ecotone.data.seasons import Seasons
from ecotone.errors import InputError, IntegrityError, UsageError
from ecotone.files.model_folder import read_model, write_model
from ecotone.systems.phenology.options import Inputs
from ecotone.systems.phenology.reading import kept

if TYPE_CHECKING:
    from ecotone.systems.phenology.system import PhenologySystem

Array = np.ndarray
MODEL, DATA = "model.", "seasons."
TEXT = ("site_id", "country", "group", "station")
NUMBERS = ("latitude", "longitude", "altitude")


def write(system: PhenologySystem, folder: Path) -> None:
    """Writes the four files."""
    from ecotone.systems.phenology import card

    tensors = {MODEL + k: np.asarray(v) for k, v in system.estimator.tensors().items()}
    data, notes = pack(system.seasons)
    write_model(
        folder,
        system=system.name,
        config=system.config.model_dump(),
        tensors=tensors | {DATA + k: v for k, v in data.items()},
        preprocessing={
            "model": system.estimator.notes(),
            "seasons": notes,
            "inputs": system.stored_inputs,
            "report": system.report,
        },
        card=card.write(system),
    )


def read(cls: type[PhenologySystem], folder: Path) -> PhenologySystem:
    """Reads the four files into a system.

    Raises:
        InputError: IO101 for missing files.
        IntegrityError: IN101, IN102 for anything that is not a model of the system within the limits.
    """
    from ecotone.systems.phenology.hybrid.estimator import HybridPhenology

    def shapes(config: dict[str, Any], preprocessing: dict[str, Any]) -> dict[str, tuple[int, ...]]:
        own = HybridPhenology.shapes(cls.Config.parse(config), preprocessing["model"])
        data = packed_shapes(preprocessing["seasons"])
        return {MODEL + k: tuple(v) for k, v in own.items()} | {DATA + k: v for k, v in data.items()}

    stored = read_model(folder, cls.name, options=cls.Config, limits=cls.limits, shapes=shapes)
    system = cls(stored.config)
    try:
        pre, parts = stored.preprocessing, stored.tensors
        own = {k.removeprefix(MODEL): v for k, v in parts.items() if k.startswith(MODEL)}
        data = {k.removeprefix(DATA): v for k, v in parts.items() if k.startswith(DATA)}
        system.estimator = HybridPhenology.restore(system.config, own, pre["model"])
        system.seasons = unpack(data, pre["seasons"])
        system.stored_inputs, system.report = _inputs(pre["inputs"], system.seasons), dict(pre["report"])
        system.read_again()
    except (InputError, UsageError, KeyError, TypeError, ValueError, AttributeError, RuntimeError, IndexError):
        where = Path(folder) / "preprocessing.json"
        raise IntegrityError("IN102", where, "is not consistent", "use the original folder") from None
    return system


def _inputs(stored: dict[str, Any], seasons: Seasons) -> dict[str, Any]:
    """The options of `fit` again.

    Raises:
        UsageError: For values that are none.
        ValueError: When they are not those of the seasons.
    """
    inputs = Inputs.parse(stored)
    inputs.calendar()
    # a default in place of a start that is gone would misplace later seasons
    if "season_start" not in stored or inputs.season_length != seasons.length:
        raise ValueError("another calendar")
    return kept(inputs)


# ------------------------------------------------------------------------------------------------ seasons
def pack(seasons: Seasons) -> tuple[dict[str, Array], dict[str, Any]]:
    """Seasons as finite tensors and plain JSON."""
    words = sorted({str(q) for q in seasons.quality})
    tensors = {
        "daily": np.nan_to_num(seasons.daily, nan=0.0).astype(np.float32),
        "missing": ~np.isfinite(seasons.daily),
        "known": seasons.known.astype(bool),
        "year": np.asarray(seasons.year, dtype=np.int64),
        "first": seasons.first.astype("datetime64[D]").astype(np.int64),
        "site": np.asarray(seasons.site, dtype=np.int64),
        "status": np.asarray(seasons.status, dtype=np.int8),
        "event": np.nan_to_num(np.asarray(seasons.event, dtype=np.float64), nan=-1.0),
        "quality": np.array([words.index(str(q)) for q in seasons.quality], dtype=np.int16),
    }
    if seasons.hours is not None:
        tensors["hours"] = np.nan_to_num(seasons.hours, nan=0.0).astype(np.float32)
        tensors["hours_missing"] = ~np.isfinite(seasons.hours)
    sites: dict[str, Any] = {k: ["" if pd.isna(v) else str(v) for v in seasons.sites[k]] for k in TEXT}
    for k in NUMBERS:
        values = seasons.sites[k].to_numpy(dtype=float)
        sites[k] = [None if np.isnan(v) else float(v) for v in values]
    notes = {
        "count": len(seasons),
        "length": seasons.length,
        "hourly": seasons.hours is not None,
        "source": seasons.source,
        "qualities": words,
        "sites": sites,
    }
    return tensors, notes


def packed_shapes(notes: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that belong to the notes."""
    n, length = int(notes["count"]), int(notes["length"])
    found: dict[str, tuple[int, ...]] = dict.fromkeys(("year", "first", "site", "status", "event", "quality"), (n,))
    found |= {"daily": (n, length, 3), "missing": (n, length, 3), "known": (n, length)}
    if notes["hourly"]:
        found |= {"hours": (n, length, 24), "hours_missing": (n, length, 24)}
    return found


def unpack(tensors: dict[str, Array], notes: dict[str, Any]) -> Seasons:
    """The seasons again.

    Raises:
        ValueError: When parts do not fit together.
    """
    sites: Any = pd.DataFrame({k: np.array(notes["sites"][k], dtype=object) for k in TEXT})
    for k in NUMBERS:
        sites[k] = [np.nan if v is None else float(v) for v in notes["sites"][k]]
    words = np.array([str(w) for w in notes["qualities"]], dtype=object)
    site, quality = tensors["site"].astype(np.int64), tensors["quality"].astype(np.int64)
    outside = len(site) and (site.min() < 0 or site.max() >= len(sites))
    if outside or (len(quality) and (quality.min() < 0 or quality.max() >= len(words))):
        raise ValueError("seasons of unknown sites")
    event = tensors["event"].astype(np.float64)
    hours = None
    if notes["hourly"]:
        hours = np.where(tensors["hours_missing"], np.float32(np.nan), tensors["hours"])
    return Seasons(
        daily=np.where(tensors["missing"], np.float32(np.nan), tensors["daily"]),
        known=tensors["known"].astype(bool),
        year=tensors["year"].astype(np.int64),
        first=tensors["first"].astype("datetime64[D]"),
        site=site,
        sites=sites[["site_id", *NUMBERS, "country", "group", "station"]],
        status=tensors["status"].astype(np.int8),
        event=np.where(event < 0, np.nan, event),
        quality=words[quality],
        hours=hours,
        source=str(notes["source"]),
    )
