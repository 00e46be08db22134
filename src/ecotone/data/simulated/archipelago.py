"""A simulated archipelago: islands, climate, species of known intensity, biased records and unbiased surveys.

Records come from an inhomogeneous Poisson process with rate ``n_j * lambda_j(x) s(x) / sum(lambda_j s)``, where
lambda is the true intensity of species j and ``s(x) = exp(bias * accessibility(x))`` the effort of observers, common to
all species. Surveys visit cells drawn uniformly and find a species with probability ``1 - exp(-lambda_j(x))``.

The world is an exam as much as a demo: its defaults were settled before any method was tuned on it and are not changed
afterwards; ``docs/explanation/archipelago.md`` has the difficulty card. The same seed gives the same land and species
whatever the bias, and `fingerprint` names a world.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecotone.contract import Grid
from ecotone.data.simulated.fields import random_field
from ecotone.data.simulated.niches import CONTINUOUS, Niches, draw_niches
from ecotone.data.simulated.terrain import KM_PER_DEGREE, Terrain, build_terrain
from ecotone.errors import UsageError
from ecotone.files.fingerprint import cache_key

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

UNITS: dict[str, str] = {
    "temperature": "degC",
    "precipitation": "mm",
    "seasonality": "degC",
    "soil_ph": "pH",
    "coast_distance": "km",
    "tree_cover": "%",
    "rock": "class",
}
_CELL = 0.05
_WEST, _SOUTH = -31.0, 34.0
_WGS84 = (
    'GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
    'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],'
    'UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],AXIS["Latitude",NORTH],AXIS["Longitude",EAST],'
    'AUTHORITY["EPSG","4326"]]'
)
_EPITHETS = (  # noqa: SIM905
    "prima altera tertia quarta quinta sexta septima octava nona decima alba nigra viridis rubra caerulea fusca lutea "
    "minor major gracilis robusta pallida obscura serena vaga rara communis solitaria australis borealis orientalis "
    "occidentalis montana littoralis collina umbrosa aprica arida humida saxatilis"
).split()


@dataclass(frozen=True, eq=False)
class Scenario:
    """Covariates of another time and the intensities the species would have under them.

    Attributes:
        covariates: Name -> (H, W), as in `Archipelago`.
        log_intensity: (C, S) truth at the land cells.
        delta: Warming in degC.
    """

    covariates: dict[str, Array]
    log_intensity: Array
    delta: float


@dataclass(frozen=True, eq=False)
class Archipelago:
    """One simulated world. C land cells in row-major order, S species, Q surveyed cells, R records.

    Attributes:
        seed: What it was drawn with.
        bias: Strength of effort bias; 0 is none.
        grid: EPSG:4326, cells of 0.05 degrees.
        terrain: Relief, covariates, towns and roads; `terrain.land` is the (H, W) mask of the C cells.
        niches: Parameters of the species.
        species: S names.
        history: (C, S) part of the log-intensity that no covariate explains.
        log_intensity: (C, S) truth: log of the expected individuals per cell.
        effort: (C,) relative effort, mean 1 over land.
        expected: (S,) expected number of records.
        counts: (C, S) records per cell.
        records: (R, 2) cell and species of each record.
        positions: (R, 2) longitude and latitude of each record, somewhere in its cell.
        surveys: (Q,) cells surveyed, none twice.
        found: (Q, S) 0/1 presence-absence truth of the surveys.
        climate_shift: Warming of `future` in degC.
    """

    seed: int
    bias: float
    grid: Grid
    terrain: Terrain = field(repr=False)
    niches: Niches = field(repr=False)
    species: tuple[str, ...]
    history: Array = field(repr=False)
    log_intensity: Array = field(repr=False)
    effort: Array = field(repr=False)
    expected: Array = field(repr=False)
    counts: Array = field(repr=False)
    records: Array = field(repr=False)
    positions: Array = field(repr=False)
    surveys: Array = field(repr=False)
    found: Array = field(repr=False)
    climate_shift: float = 2.0

    @property
    def covariates(self) -> dict[str, Array]:
        """Name -> (H, W): six float32 layers with NaN at sea, and `rock`, uint8 with 255 at sea."""
        return self.terrain.covariates

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the covariates, `rock` (the categorical one) last."""
        return tuple(self.terrain.covariates)

    @cached_property
    def cells(self) -> Array:
        """(C, 2) row and column of each land cell."""
        return np.argwhere(self.terrain.land)

    @cached_property
    def centres(self) -> Array:
        """(C, 2) longitude and latitude of cell centres."""
        width, _, west, _, height, north = self.grid.transform
        return np.stack((west + (self.cells[:, 1] + 0.5) * width, north + (self.cells[:, 0] + 0.5) * height), axis=1)

    def table(self, covariates: dict[str, Array] | None = None) -> Array:
        """(C, 7) float64 covariates of the land cells in the order of `names`; of another time when given."""
        layers = self.covariates if covariates is None else covariates
        return np.stack([layers[name][self.terrain.land].astype(np.float64) for name in self.names], axis=1)

    def raster(self, values: Array) -> Array:
        """Values of land cells (C,) laid out as (H, W), NaN at sea."""
        out = np.full(self.terrain.land.shape, np.nan)
        out[self.terrain.land] = values
        return out

    def occurrences(self) -> pd.DataFrame:
        """The records with Darwin Core column names, one row per record."""
        import pandas as pd

        return pd.DataFrame(
            {
                "occurrenceID": [f"archipelago-{self.seed}-{k}" for k in range(len(self.records))],
                "scientificName": np.array(self.species)[self.records[:, 1]],
                "decimalLongitude": self.positions[:, 0],
                "decimalLatitude": self.positions[:, 1],
                "geodeticDatum": "WGS84",
                "coordinateUncertaintyInMeters": 1000,
                "basisOfRecord": "HumanObservation",
                "occurrenceStatus": "PRESENT",
            }
        )

    def future(self, delta: float | None = None) -> Scenario:
        """A warmer, somewhat drier and more seasonal climate; rock, soil, coast and trees stay as they are.

        Args:
            delta: Warming in degC; None takes `climate_shift`.

        Returns:
            Covariates and true intensities, for judging projections.
        """
        warming = self.climate_shift if delta is None else float(delta)
        layers = dict(self.covariates)
        drier = np.exp(-0.04 * warming)
        layers["temperature"] = np.round(layers["temperature"] + np.float32(warming), 2)
        layers["precipitation"] = np.round(layers["precipitation"] * np.float32(drier))
        layers["seasonality"] = np.round(layers["seasonality"] + np.float32(0.08 * warming), 2)
        table = self.table(layers)
        truth = self.niches.log_intensity(table[:, :-1], table[:, -1].astype(int), self.history)
        return Scenario(layers, truth, warming)

    def fingerprint(self) -> str:
        """sha256 over covariates, records and surveys."""
        return cache_key(covariates=self.covariates, counts=self.counts, surveys=self.surveys, found=self.found)

    def write(self, folder: str | Path) -> Path:
        """Writes occurrences.csv, surveys.csv, covariates/*.tif, future/*.tif, truth.npz and archipelago.json.

        Every file is written whole or not at all. Needs rasterio.

        Args:
            folder: Made when missing.

        Returns:
            The folder.

        Raises:
            InputError: IO104 when it cannot be written.
        """
        from ecotone.data.simulated.export import write_archipelago

        return write_archipelago(self, Path(folder))


def archipelago(
    seed: int = 0,
    *,
    species: int = 20,
    size: tuple[int, int] = (160, 200),
    bias: float = 1.0,
    records: tuple[float, float] = (5.0, 400.0),
    surveys: int = 1500,
    prevalence: tuple[float, float] = (0.02, 0.5),
    noise: float = 0.4,
    climate_shift: float = 2.0,
) -> Archipelago:
    """Draws a world.

    Args:
        seed: Of everything. Land and species of a seed are the same whatever `bias`, `records` and `surveys`.
        species: How many.
        size: (rows, columns) of the grid, at least (32, 32).
        bias: Strength of effort bias: effort is ``exp(bias * accessibility)``, accessibility having mean 0 and standard
            deviation 1 over land. 0 is even effort, 2 is extreme.
        records: Expected number of records of the least and the most recorded species; the others lie between in equal
            ratios.
        surveys: How many cells are surveyed; at most all land cells.
        prevalence: Share of land cells occupied by the rarest and the commonest species.
        noise: Standard deviation of the part of the log-intensity that no covariate explains.
        climate_shift: Warming of `Archipelago.future`, degC.

    Returns:
        The world.

    Raises:
        UsageError: US104 when an argument is out of range.
    """
    _check(
        species=species,
        size=size,
        bias=bias,
        records=records,
        surveys=surveys,
        prevalence=prevalence,
        noise=noise,
    )
    root = np.random.SeedSequence([20241219, seed])
    streams = [np.random.default_rng(s) for s in root.spawn(10)]
    height, width = size
    grid = Grid(_WGS84, (_CELL, 0.0, _WEST, 0.0, -_CELL, round(_SOUTH + height * _CELL, 6)), height, width)
    latitude = np.repeat((_SOUTH + (np.arange(height)[::-1] + 0.5) * _CELL)[:, None], width, axis=1)
    cell_km = (_CELL * KM_PER_DEGREE, _CELL * KM_PER_DEGREE * float(np.cos(np.deg2rad(latitude.mean()))))
    terrain = build_terrain(streams[:4], latitude, cell_km)
    land = terrain.land

    table = np.stack([terrain.covariates[name][land].astype(np.float64) for name in CONTINUOUS], axis=1)
    rock = terrain.covariates["rock"][land].astype(int)
    history = np.stack([random_field(streams[4], size, 9)[land] for _ in range(species)], axis=1)
    history = np.round(noise * history, 4)
    ladder = np.linspace(0, 1, species) if species > 1 else np.array([0.5])
    order = np.argsort(ladder + 0.25 * streams[5].standard_normal(species))
    occupied = prevalence[0] * (prevalence[1] / prevalence[0]) ** ladder
    expected = np.empty(species)
    expected[order] = records[0] * (records[1] / records[0]) ** ladder
    niches = draw_niches(streams[6], table, rock, history, occupied)
    log_intensity = niches.log_intensity(table, rock, history)

    effort = np.exp(bias * terrain.accessibility[land])
    effort /= effort.mean()
    rate = np.exp(log_intensity - log_intensity.max(axis=0)) * effort[:, None]
    counts = streams[7].poisson(rate * (expected / rate.sum(axis=0)))
    cell, kind = np.nonzero(counts)
    repeats = counts[cell, kind]
    drawn = np.stack((np.repeat(cell, repeats), np.repeat(kind, repeats)), axis=1)
    drawn = drawn[np.lexsort((drawn[:, 0], drawn[:, 1]))]
    place = np.argwhere(land)[drawn[:, 0]] + streams[8].uniform(0.05, 0.95, (len(drawn), 2))
    positions = np.round(np.stack((_WEST + place[:, 1] * _CELL, grid.transform[5] - place[:, 0] * _CELL), axis=1), 5)
    visited = np.sort(streams[9].permutation(len(table))[: min(surveys, len(table))])
    chance = -np.expm1(-np.exp(log_intensity[visited]))
    found = (streams[9].random(chance.shape) < chance).astype(np.uint8)
    return Archipelago(
        seed=seed,
        bias=float(bias),
        grid=grid,
        terrain=terrain,
        niches=niches,
        species=_names(species),
        history=history,
        log_intensity=log_intensity,
        effort=effort,
        expected=expected,
        counts=counts,
        records=drawn,
        positions=positions,
        surveys=visited,
        found=found,
        climate_shift=float(climate_shift),
    )


def _names(species: int) -> tuple[str, ...]:
    n = len(_EPITHETS)
    return tuple(f"Simulata {_EPITHETS[k % n]}" + (f" {k // n + 1}" if k >= n else "") for k in range(species))


def _check(
    *,
    species: int,
    size: tuple[int, int],
    bias: float,
    records: tuple[float, float],
    surveys: int,
    prevalence: tuple[float, float],
    noise: float,
) -> None:
    wrong = {
        "species": (species, not 1 <= species <= 2000, "use 1 to 2000"),
        "size": (size, len(size) != 2 or min(size) < 32 or max(size) > 2000, "use (rows, columns) from 32 to 2000"),
        "bias": (bias, not -5 <= bias <= 5, "use -5 to 5"),
        "records": (
            records,
            len(records) != 2 or not 0 < records[0] <= records[1],
            "use (fewest, most), both positive",
        ),
        "surveys": (surveys, surveys < 1, "use at least 1"),
        "prevalence": (
            prevalence,
            len(prevalence) != 2 or not 0 < prevalence[0] <= prevalence[1] < 1,
            "use (rarest, commonest) between 0 and 1",
        ),
        "noise": (noise, not 0 <= noise <= 5, "use 0 to 5"),
    }
    for name, (value, bad, fix) in wrong.items():
        if bad:
            raise UsageError("US104", name, f"out of range, got {value!r}", fix)
