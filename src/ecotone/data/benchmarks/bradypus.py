"""The *Bradypus variegatus* example of the R package dismo: 116 points, 8 climate rasters and one of biomes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ecotone.errors import InputError

COVARIATES = ("bio1", "bio5", "bio6", "bio7", "bio8", "bio12", "bio16", "bio17", "biome")
CATEGORICAL = ("biome",)


class Files(NamedTuple):
    """The occurrence table and the rasters, in the order of `COVARIATES`."""

    occurrences: Path
    rasters: tuple[Path, ...]
    categorical: tuple[str, ...]


def files(folder: str | Path) -> Files:
    """Paths of the example's files.

    Raises:
        InputError: IO101 naming the first that is missing.
    """
    folder = Path(folder)
    found = Files(folder / "bradypus.csv", tuple(folder / f"{name}.grd" for name in COVARIATES), CATEGORICAL)
    for path in (found.occurrences, *(half for grd in found.rasters for half in (grd, grd.with_suffix(".gri")))):
        if not path.is_file():
            raise InputError("IO101", path, "not found", "see `ecotone data get bradypus`")
    return found
