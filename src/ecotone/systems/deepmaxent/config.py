"""How DeepMaxent learns: the options, and the two presets.

An option left at None takes its value from the preset, so that `preset="paper"` is the published recipe and every single
option can still be changed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from ecotone.contract import Options
from ecotone.data.features import KINDS

Loss = Literal["maxent", "poisson", "ce", "bce"]
Background = Literal["auto", "target_group", "mixture", "uniform"]
Normaliser = Literal["batch", "full", "memory"]
Output = Literal["raw", "relative", "cloglog", "expected_count"]

PRESETS: dict[str, dict[str, Any]] = {
    # arXiv 2412.19217 and its launcher for the NCEAS benchmark
    "paper": {
        "features": ("linear",),
        "background": "target_group",
        "smoothing": 0.0,
        "width": 250,
        "blocks": 2,
        "dropout": 0.0,
        "learning_rate": 2e-4,
        "schedule": "constant",
        "weight_decay": 3e-4,
        "epochs": 100,
        "batch_size": 250,
        "even_batches": False,
        "min_steps": 0,
        "members": 1,
    },
    "ecotone": {
        "features": ("linear", "quantile"),
        "background": "auto",
        "smoothing": 50.0,
        "width": 128,
        "blocks": 2,
        "dropout": 0.3,
        "learning_rate": 2e-3,
        "schedule": "cosine",
        "weight_decay": 3e-4,
        "epochs": 40,
        "batch_size": 250,
        "even_batches": True,
        "min_steps": 100,
        "members": 5,
    },
}


class Config(Options):
    """Learning options of DeepMaxent.

    Attributes:
        preset: "ecotone" (ours) or "paper" (as published).
        loss: "maxent" is the method; "poisson", "ce" (softmax over species) and "bce" are the same network for comparison.
        background: What a species is compared with. "target_group": sites with a record of any species; "uniform": random
            valid cells; "mixture": both, `uniform_share` of the weight on uniform cells; "auto": target group where it is
            defined, with the share chosen by blocked validation on the records themselves.
        uniform_share: Share of the background weight on uniform cells, for "mixture" (0..1).
        smoothing: Uniform pseudo-sites added to a target group: they get the share smoothing / sites of its weight, at most
            10 %, so that a species is thought unlikely where nobody recorded anything. 0 (published) adds none.
        normaliser: "batch" (published): over the batch's sites; "full": over all sites; "memory": a running average.
        features: Kinds made of each continuous covariate.
        hinges: Hinge knots per side, for "hinge" features.
        width: Units per hidden layer.
        blocks: Residual blocks; 0 gives multi-response Maxent on the features.
        dropout: Share of hidden units dropped in training.
        learning_rate: Adam's step size.
        schedule: "constant", or "cosine" down to 0.
        weight_decay: L2 penalty.
        epochs: Passes over the sites.
        batch_size: Sites per step.
        even_batches: Batches of nearly equal size, rather than a short last one (published).
        min_steps: Least number of steps, for jobs with few sites; more epochs are run to reach it.
        background_batch: Uniform cells per step, where there are any.
        species_weight: Exponent b; a species' loss is divided by its number of records to the power b.
            0 (published) lets common species weigh most, 1 makes all equal.
        members: Ensemble members trained at once.
        seed: Where all randomness starts.
        device: "auto", "cpu" or "cuda".
        devices: Devices that share each batch, one process each; the normaliser still runs over the whole batch, so the
            result is that of one device up to rounding.
    """

    preset: Literal["ecotone", "paper"] = "ecotone"
    loss: Loss = "maxent"
    background: Background | None = None
    uniform_share: float = Field(default=0.3, ge=0, le=1)
    smoothing: float | None = Field(default=None, ge=0, le=1e6)
    normaliser: Normaliser = "batch"
    features: tuple[str, ...] | None = None
    hinges: int = Field(default=10, ge=1, le=200)
    width: int | None = Field(default=None, ge=1, le=8192)
    blocks: int | None = Field(default=None, ge=0, le=64)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    learning_rate: float | None = Field(default=None, gt=0, le=10)
    schedule: Literal["constant", "cosine"] | None = None
    weight_decay: float | None = Field(default=None, ge=0, le=10)
    epochs: int | None = Field(default=None, ge=1, le=1_000_000)
    batch_size: int | None = Field(default=None, ge=1, le=10_000_000)
    even_batches: bool | None = None
    min_steps: int | None = Field(default=None, ge=0, le=10_000_000)
    background_batch: int = Field(default=125, ge=1, le=10_000_000)
    species_weight: float = Field(default=0.0, ge=0, le=1)
    members: int | None = Field(default=None, ge=1, le=1000)
    seed: int = Field(default=0, ge=0, lt=2**32)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: int = Field(default=1, ge=1, le=1024)

    @field_validator("features", mode="before")
    @classmethod
    def _known_features(cls, value: Any) -> Any:
        kinds = (value,) if isinstance(value, str) else value
        for kind in kinds or ():
            if kind not in KINDS:
                raise ValueError(f"unknown feature kind {kind!r}, known: {', '.join(KINDS)}")
        return kinds

    def resolved(self) -> Config:
        """The same options with every None replaced by the preset's value."""
        chosen = {key: value for key, value in PRESETS[self.preset].items() if getattr(self, key) is None}
        return self.model_copy(update=chosen)


class Inputs(Options):
    """What `fit` reads.

    Attributes:
        occurrences: Table of presence-only records (CSV, TSV, GBIF download, GeoPackage, GeoParquet), or a data frame.
        covariates: Rasters: files, folders or glob patterns.
        categorical: Covariates whose values are labels.
        exclude: Covariates to leave out.
        x: Column of longitudes or eastings, when it is not found by itself.
        y: Column of latitudes or northings.
        species: Column of species names, or "=NAME" when all records are of one species.
        only_species: Species to model; all by default.
        crs: Coordinate reference system of the records; longitude and latitude (EPSG:4326) by default.
        raster_crs: Coordinate reference system for rasters that declare none.
        swap_xy: Exchange x and y, for tables with swapped axes.
        duplicates: Records of a species in one cell: "collapse" to one, or "count" them.
        background_cells: Uniform random cells drawn as background.
        bias: Raster of relative sampling effort; background sites are weighted by it.
        thin: Distance in cells within which sites share the background weight of one; 0 for none.
    """

    occurrences: Any = Field(description="table of presence-only records")
    covariates: list[Any] = Field(description="rasters: files, folders or glob patterns")
    categorical: list[str] = Field(default_factory=list)
    exclude: list[str] = Field(default_factory=list)
    x: str | None = None
    y: str | None = None
    species: str | None = None
    only_species: list[str] = Field(default_factory=list)
    crs: str | None = None
    raster_crs: str | None = None
    swap_xy: bool = False
    duplicates: Literal["collapse", "count"] = "collapse"
    background_cells: int = Field(default=10_000, ge=10, le=10_000_000)
    bias: Path | None = None
    thin: float = Field(default=0.0, ge=0)

    @field_validator("covariates", "categorical", "exclude", "only_species", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Path) else value


class Query(Options):
    """What `predict`, `evaluate` and `map` read; without covariates the rasters of `fit` are read again.

    Attributes:
        points: Table of points to answer for; for `evaluate` with presences and absences, either long (a species column
            and a presence column of 0 and 1) or wide (one 0/1 column per species).
        covariates: Rasters to use instead of those of `fit`; bands are matched by name.
        x: Column of longitudes or eastings.
        y: Column of latitudes or northings.
        species: Column of species names, for a long table.
        presence: Column of 0 and 1, for a long table.
        crs: Coordinate reference system of the points; longitude and latitude by default.
        raster_crs: Coordinate reference system for rasters that declare none.
    """

    points: Any = None
    covariates: list[Any] = Field(default_factory=list)
    x: str | None = None
    y: str | None = None
    species: str | None = None
    presence: str | None = None
    crs: str | None = None
    raster_crs: str | None = None

    @field_validator("covariates", mode="before")
    @classmethod
    def _as_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | Path) else value


class Ask(Options):
    """What a question may add.

    Attributes:
        output: Scale. "raw": sums to 1 over the background; "relative": 1 is the background's mean;
            "cloglog": 0..1 as in maxnet; "expected_count": records expected per background cell, which can be compared and
            added between species.
        species: Species to answer for; all by default.
        richness: Add the expected number of species recorded per cell (1 - exp(-expected_count), summed).
        top: Add the species with the highest expected count.
        spread: Add the standard deviation of the answer over ensemble members.
        thresholds: Add 0/1 maps at the 10th percentile of training presences and at the maximum of sensitivity + specificity.
        extrapolation: Add how far each cell lies outside the sampled conditions, and by which covariate.
    """

    output: Output = "cloglog"
    species: tuple[str, ...] = ()
    richness: bool = False
    top: bool = False
    spread: bool = False
    thresholds: bool = False
    extrapolation: bool = False

    @field_validator("species", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


LIMITS: dict[str, float] = {"width": 8192, "blocks": 64, "members": 1000, "hinges": 200}
