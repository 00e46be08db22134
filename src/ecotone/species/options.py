"""What species systems read and can be asked, the same for all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator

from ecotone.contract import Options
from ecotone.errors import UsageError

Output = Literal["raw", "relative", "cloglog", "logistic", "cumulative", "expected_count"]
Precision = Literal["float32", "bfloat16"]


class Inputs(Options):
    """What `fit` reads.

    Attributes:
        occurrences: Table of presence-only records (CSV, TSV, GBIF download, GeoPackage, GeoParquet), or a data frame.
        covariates: Rasters: files, folders or glob patterns.
        sites: Instead of occurrences and covariates: a site store, or Parquet with one row per site (covariates, and the list
            of species recorded there), of any size.
        labels: With Parquet sites: a Parquet table of records (site, species, count).
        cells: With Parquet sites: a Parquet table of uniform random cells with the same covariates.
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

    occurrences: Any = None
    covariates: list[Any] = Field(default_factory=list)
    sites: Path | None = None
    labels: Path | None = None
    cells: Path | None = None
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

    def check(self) -> Self:
        """Refuses inputs that do not say what to learn from.

        Raises:
            UsageError: US105 naming the option.
        """
        table = self.occurrences is not None
        if self.sites is not None:
            if table or self.covariates:
                what = "--sites stands instead of --occurrences and --covariates"
                raise UsageError("US105", "sites", what, "give one or the other")
            return self
        for name, value in (("labels", self.labels), ("cells", self.cells)):
            if value is not None:
                raise UsageError("US105", name, "belongs to --sites, which is missing", "add --sites FILE")
        for name, missing in (("occurrences", not table), ("covariates", not self.covariates)):
            if missing:
                fix = "pass records and rasters (--occurrences FILE --covariates FILES), or --sites FILE"
                raise UsageError("US105", name, "is missing", fix)
        return self


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
            "cloglog": 0..1 as in maxnet; "logistic": 0..1 as in older Maxent; "cumulative": percent of
            the background distribution in cells no better, 0..100, as in Maxent; "expected_count": records expected per
            background cell, which can be compared and added between species.
        species: Species to answer for; all by default.
        richness: Add the expected number of species recorded per cell (1 - exp(-expected_count), summed).
        top: Add the species with the highest expected count.
        spread: Add the standard deviation of the answer over ensemble members; with richness also its two uncertainties.
        thresholds: Add 0/1 maps at the 10th percentile of training presences and at the maximum of sensitivity + specificity.
        extrapolation: Add how far each cell lies outside the sampled conditions, and by which covariate.
        applicability: Add how unlike the sites of fit each cell is, as a multiple of the threshold of the area of applicability.
        turnover: Add, on maps of another climate, the species expected to be gained and lost, and the turnover.
        precision: Arithmetic of a network's hidden layers. "bfloat16" is faster on processors that have it and changes an
            answer by about 0.001; Maxent has no hidden layers and always computes in float64.
    """

    output: Output = "cloglog"
    species: tuple[str, ...] = ()
    richness: bool = False
    top: bool = False
    spread: bool = False
    thresholds: bool = False
    extrapolation: bool = False
    applicability: bool = False
    turnover: bool = False
    precision: Precision = "float32"

    @field_validator("species", mode="before")
    @classmethod
    def _as_tuple(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value
