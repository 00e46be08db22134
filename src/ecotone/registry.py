"""Which systems exist: each name written once, resolved when first used."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecotone.errors import InputError, IntegrityError, UsageError, suggest

if TYPE_CHECKING:
    from ecotone.contract import System


@dataclass(frozen=True)
class Entry:
    """A row of `ecotone list`: where the class lives (None while planned), what it eats and what it gives."""

    target: str | None
    eats: str
    gives: str
    paper: str


SYSTEMS: dict[str, Entry] = {
    "deepmaxent": Entry(
        "ecotone.systems.deepmaxent.system:DeepMaxentSystem",
        "presence-only records + covariate rasters",
        "suitability maps of many species",
        "arXiv 2412.19217",
    ),
    "maxent": Entry(
        "ecotone.systems.maxent.system:MaxentSystem",
        "presence-only records + covariate rasters",
        "suitability maps of many species, certified",
        "doi 10.1016/j.ecolmodel.2005.03.026",
    ),
    "geoplant": Entry(
        None, "surveys, sightings, climate, Landsat, Sentinel-2", "plant species of a place", "arXiv 2408.13928"
    ),
    "phenology": Entry(
        "ecotone.systems.phenology.system:PhenologySystem",
        "bloom dates + daily temperatures",
        "bloom dates, chill and forcing responses",
        "arXiv 2501.16848",
    ),
    "atomizer": Entry(None, "images of any satellite sensor", "embeddings, labels", "arXiv 2506.13542"),
    "pdiscoformer": Entry(
        "ecotone.systems.pdiscoformer.system:PDiscoFormerSystem",
        "images + class labels",
        "classes and the object parts that speak for them",
        "arXiv 2407.04538",
    ),
    "ifam": Entry(
        "ecotone.systems.ifam.system:IfamSystem",
        "images + class labels",
        "classes made from selected regions only, certified",
        "arXiv 2506.08915",
    ),
    "scaleprotoseg": Entry(None, "images + masks", "segmentation from prototypes", "arXiv 2409.09497"),
    "ecowikirs": Entry(None, "aerial images + habitat sentences", "ecosystem maps from words", "arXiv 2504.19742"),
    "senclip": Entry(None, "Sentinel-2 + ground photos", "land-use maps from words", "arXiv 2412.08536"),
    "rankconcepts": Entry(None, "image tiles + an outcome", "outcome, concepts behind it", "arXiv 2404.09768"),
}


def list_systems(*, ready: bool = True) -> list[str]:
    """Names of the systems, by default only those that can be used."""
    return [name for name, entry in SYSTEMS.items() if entry.target or not ready]


def system_class(name: str) -> type[System]:
    """The class behind a name.

    Raises:
        UsageError: US102, with the closest known name.
    """
    entry = SYSTEMS.get(name)
    if entry is None:
        raise UsageError("US102", name, "no such system", suggest(name, SYSTEMS))
    if entry.target is None:
        raise UsageError(
            "US102", name, "this system is planned but not built yet", f"ready: {', '.join(list_systems())}"
        )
    module, attribute = entry.target.split(":")
    return getattr(import_module(module), attribute)


def create(name: str, **config: Any) -> System:
    """An unfitted system, for example ``create("deepmaxent", preset="paper")``."""
    return system_class(name)(**config)


def load(folder: str | Path) -> System:
    """A fitted system from a run or model folder; the folder knows its system."""
    path = Path(folder) / "config.json"
    try:
        if path.stat().st_size > 1 << 20:
            raise IntegrityError("IN102", path, "larger than 1 MiB", "use a folder written by ecotone")
        name = json.loads(path.read_text(encoding="utf-8"))["system"]
    except FileNotFoundError:
        raise InputError("IO101", path, "not found", "pass a folder written by `ecotone fit`") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, RecursionError):
        raise IntegrityError("IN102", path, "not a model configuration", "use a folder written by ecotone") from None
    if not isinstance(name, str) or name not in SYSTEMS:
        raise IntegrityError(
            "IN102", path, f"names no known system ({str(name)[:40]!r})", "use a folder written by ecotone"
        )
    return system_class(name).load(Path(folder))
